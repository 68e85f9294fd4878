//! The ends of calls, sessions and tasks, each through one function.
//!
//! [`Endings::finish`] is the exit of every call, [`Endings::end_session`] that of every session.
//! They call each other: a session that ends cancels its calls, and a task that is stopped ends
//! its call.

use corelane_gateway::relay::RelayedPart;
use corelane_protocol::binding::refusal::clip;
use corelane_protocol::mcp::content::Content;
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::tasks::{AnswerPart, KEPT_ANSWER_ID};

use super::audit::{self, Actor, CallOf};
use super::call_table::InFlight;
use super::calls::Calls;
use super::delivery::Part;
use super::operation::error_code;
use super::relayed_task::RelayedTask;
use super::sessions::Session;
use super::task_id::TaskId;
use super::task_table::{Removed, TaskOwner, TaskStatus};
use super::task_updates::TaskUpdates;
use crate::guard::audit::Event;
use crate::guard::identity::Identity;
use crate::handler::error::{CallError, Kind};
use crate::handler::event_queue::CallKey;
use crate::handler::outcome::{Answer, Outcome};
use crate::meter::Counter;
use crate::meter::operations::Failure;

/// Sessions ended for idleness in one turn; the others wait for the next one.
const SESSIONS_EXPIRED_PER_TURN: usize = 256;

/// Expired tasks removed in one turn; the others wait for the next one.
const TASKS_EXPIRED_PER_TURN: usize = 64;

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionEnd {
    /// It was idle for too long.
    Expired,
    /// Evicted for another session.
    Evicted,
    /// Its connection, to which it belonged, is gone.
    ChannelGone,
    /// Its client deleted it.
    Deleted,
    /// Another node of the cluster has it.
    Moved,
    /// The server shut down.
    Drained,
}

impl SessionEnd {
    /// The word in records.
    fn word(self) -> &'static str {
        match self {
            SessionEnd::Expired => "expired",
            SessionEnd::Evicted => "evicted",
            SessionEnd::ChannelGone => "connection_closed",
            SessionEnd::Deleted => "deleted",
            SessionEnd::Moved => "moved",
            SessionEnd::Drained => "shutdown",
        }
    }
}

/// Ends calls, sessions and tasks.
pub(super) struct Endings<'a> {
    pub(super) calls: &'a mut Calls,
    pub(super) updates: TaskUpdates<'a>,
}

impl Endings<'_> {
    /// Ends a call: with its outcome, or with a part instead of one.
    pub(super) fn finish(&mut self, key: CallKey, outcome: Result<Outcome, Part>) {
        let Some(entry) = self.calls.remove(key) else {
            return;
        };
        let context = self.updates.context;
        let other = context.meter.swap_operation(entry.operation);
        context.meter.end_handler();
        let mut code = None;
        let notifier = &mut self.updates.notifier;
        if let Some(session) = entry.session {
            notifier.sessions.end_call(session, key, context.now_ms());
        }
        let word = outcome.as_ref().map_or("cancelled", audit::word_of);
        let mut answer_bytes = 0;
        let part = match (outcome, entry.made_task) {
            (outcome, Some(task)) => {
                self.end_task(task, &entry, outcome.ok());
                Some(Part::Accepted)
            }
            (Err(part), None) => {
                if let Some(stream) = entry.stream {
                    notifier.streams.cancel(stream);
                }
                Some(part)
            }
            (Ok(mut outcome), None) => {
                let mut body = Vec::new();
                let request = (entry.era, entry.id.as_id());
                entry.call.downgrade(&mut outcome);
                let refused = context.write_outcome(&mut body, request, entry.kind, outcome);
                answer_bytes = body.len();
                code = error_code(&body);
                match entry.stream {
                    None => Some(Part::Final { refused, body }),
                    Some(stream) => {
                        let (streams, outbox) = (&mut notifier.streams, &mut notifier.outbox);
                        streams.finish(stream, entry.exchange, body, outbox);
                        None
                    }
                }
            }
        };
        context.meter.end_operation(code);
        context.meter.swap_operation(other);
        if let (Some(exchange), Some(part)) = (entry.exchange, part) {
            let outbox = &mut self.updates.notifier.outbox;
            outbox.end_call(exchange, entry.id.as_id(), part);
        }
        if let Some(facts) = &entry.facts {
            let identity = entry.call.identity();
            let of = CallOf {
                actor: actor_of(&entry, identity.as_deref()),
                id: entry.id.as_id(),
            };
            context.audit.end_kept_call(facts, of, word, answer_bytes);
        }
        self.calls.stop(entry);
    }

    /// Ends a call whose client needs no answer: no more messages are sent for it.
    pub(super) fn cancel(&mut self, key: CallKey) {
        if let Some(entry) = self.calls.find(key) {
            self.updates.context.meter.count(Counter::CallsCancelled);
            entry.operation.fail(Failure::Cancelled);
            entry.call.cancel();
            self.finish(key, Err(Part::Unanswered));
        }
    }

    /// Ends a call of a client that left, because another call of the same client needs its place.
    /// That happens only at the limit: leaving does not cancel (MCP 2025-11-25 basic/transports). A
    /// client that resumes the stream gets an error.
    pub(super) fn give_up(&mut self, key: CallKey) {
        let text = "overloaded: its client left, and other calls of the client needed the room";
        self.cut_short(key, text);
    }

    /// Ends every call because the `limit_ms` milliseconds that a shutdown gives them are over.
    pub(super) fn end_all_calls(&mut self, limit_ms: u64) {
        let text = format!(
            "the server shut down: calls in flight get {limit_ms} ms to end \
             (server.drain_timeout_ms)"
        );
        for key in self.calls.keys() {
            self.cut_short(key, &text);
        }
    }

    /// Stops the handler of a call, and answers the call with an error.
    fn cut_short(&mut self, key: CallKey, text: &str) {
        if let Some(entry) = self.calls.find(key) {
            self.updates.context.meter.count(Counter::CallsCancelled);
            entry.operation.fail(Failure::Cancelled);
            entry.call.cancel();
            self.finish(key, Ok(Err(CallError::internal(text))));
        }
    }

    /// Ends a session that was removed from the table: closes its streams, cancels its calls, and
    /// removes its tasks and events.
    pub(super) fn end_session(&mut self, session: Session, end: SessionEnd) {
        let meter = &self.updates.context.meter;
        match end {
            SessionEnd::Expired => meter.count(Counter::SessionsExpired),
            SessionEnd::Evicted => meter.count(Counter::SessionsEvicted),
            SessionEnd::Deleted => meter.count(Counter::SessionsDeleted),
            SessionEnd::ChannelGone => meter.count(Counter::SessionsWithConnection),
            SessionEnd::Moved => meter.count(Counter::SessionsMoved),
            SessionEnd::Drained => meter.count(Counter::SessionsDrained),
        }
        let is_channel = end == SessionEnd::ChannelGone;
        if end == SessionEnd::Deleted || session.has_changed() && !is_channel {
            let unix_s = self.updates.context.unix_now_ms() / 1000;
            let restorer = &mut self.updates.notifier.sessions.restorer;
            restorer.note_ended(session.id, unix_s);
        }
        let has_expired = end == SessionEnd::Expired;
        if session.is_in_cluster && (has_expired || end == SessionEnd::Evicted) {
            let departed = &mut self.updates.notifier.sessions.departed;
            departed.push_back((session.id.random, has_expired));
        }
        let lived_ms = self.updates.context.now_ms() - session.created_ms;
        meter.end_session(session.revision, lived_ms);
        let (audit, actor) = (&self.updates.context.audit, Actor::of_session(session.id));
        audit.session(Event::SessionClosed, actor, Some(end.word()));
        for open in session.streams() {
            self.updates.notifier.outbox.end_stream(open.exchange);
        }
        for key in session.calls() {
            self.cancel(*key);
        }
        if let Some(port) = self.calls.port() {
            port.end_session(session.id.random, session.capabilities);
        }
        let owner = TaskOwner::Session(session.id);
        for removed in self.updates.tasks.table.forget_owner(&owner) {
            self.answer_waiters_of(removed);
        }
        self.updates.tasks.measure();
        self.updates.notifier.streams.forget_session(session.id);
    }

    /// Ends expired calls, tasks and sessions.
    pub(super) fn expire(&mut self) {
        let now_ms = self.updates.context.now_ms();
        while let Some(key) = self.calls.next_expired(now_ms) {
            let limit_ms = self.updates.context.settings.calls.timeout_ms;
            let is_about_task = self
                .calls
                .find(key)
                .is_some_and(|entry| matches!(entry.relayed_task, Some(RelayedTask::About(_))));
            let text = timeout_text(limit_ms, is_about_task);
            self.finish(key, Ok(Err(CallError::internal(text))));
        }
        while let Some((key, place)) = self.calls.next_unanswered(now_ms) {
            let limit_ms = self.updates.context.settings.answer_timeout_ms;
            if let Some(entry) = self.calls.find(key) {
                let text = format!(
                    "the client did not answer within {limit_ms} ms (calls.answer_timeout_ms)"
                );
                entry.call.answer(place, || Err(text));
            }
        }
        while let Some(parked) = self.calls.parked.next_expired(now_ms) {
            parked.expire();
        }
        self.calls.wake_polls(now_ms);
        self.expire_tasks();
        for _ in 0..SESSIONS_EXPIRED_PER_TURN {
            let Some(session) = self.updates.notifier.sessions.expire(now_ms) else {
                break;
            };
            self.end_session(session, SessionEnd::Expired);
        }
    }

    /// Ends every session because the server is shut down.
    pub(super) fn end_all_sessions(&mut self) {
        while let Some(session) = self.updates.notifier.sessions.pop_oldest() {
            self.end_session(session, SessionEnd::Drained);
        }
    }

    /// Stops the handler of a task, if it runs.
    pub(super) fn stop_task(&mut self, task: TaskId) {
        if let Some(key) = self.updates.tasks.call_of(task) {
            self.cancel(key);
        }
    }

    /// Removes expired tasks, and stops their handlers.
    fn expire_tasks(&mut self) {
        let now_ms = self.updates.context.unix_now_ms();
        let table = &mut self.updates.tasks.table;
        for removed in table.expire(now_ms, TASKS_EXPIRED_PER_TURN) {
            self.updates.context.meter.count(Counter::TasksExpired);
            self.stop_task(removed.id);
            self.updates.tasks.watchers.changed(removed.id);
            self.answer_waiters_of(removed);
        }
        self.updates.tasks.measure();
    }

    fn answer_waiters_of(&mut self, removed: Removed) {
        let now_ms = self.updates.context.unix_now_ms();
        let outbox = &mut self.updates.notifier.outbox;
        self.updates
            .tasks
            .answer_waiters(removed.waiters, now_ms, outbox);
    }

    /// Records the end of a task's call. Without an outcome it was cancelled or expired, and the
    /// table knows that.
    fn end_task(&mut self, task: TaskId, entry: &InFlight, outcome: Option<Outcome>) {
        let TaskUpdates { context, tasks, .. } = &mut self.updates;
        tasks.stop_running(task);
        let identity = entry.call.identity();
        let actor = actor_of(entry, identity.as_deref());
        match &outcome {
            Some(outcome) => {
                let ended = (None, Some(audit::word_of(outcome)));
                context.audit.task(Event::TaskEnded, task, actor, ended);
            }
            None => {
                let owner = entry.task_owner();
                let found = tasks.table.get(task, &owner, context.unix_now_ms());
                // That its client cancelled it was recorded then.
                if found.is_none_or(|it| it.status != TaskStatus::Cancelled) {
                    let ended = (None, Some("stopped"));
                    context.audit.task(Event::TaskEnded, task, actor, ended);
                }
            }
        }
        let Some(outcome) = outcome else { return };
        let is_error = match &outcome {
            Ok(Answer::Tool(result)) => result.is_error,
            Ok(Answer::Relayed(RelayedPart::Result { is_error, .. })) => *is_error,
            Ok(_) => false,
            Err(error) => matches!(error.kind(), Kind::Failed { .. }),
        };
        let fault = fault_of(&outcome, entry.era);
        let mut answer = Vec::new();
        context.write_outcome(
            &mut answer,
            (entry.era, KEPT_ANSWER_ID),
            entry.kind,
            outcome,
        );
        let now_ms = context.unix_now_ms();
        let ended = match AnswerPart::of(&answer) {
            Some(AnswerPart::Result(result)) => {
                tasks
                    .table
                    .complete(task, result.to_vec(), is_error, now_ms)
            }
            Some(AnswerPart::Error(error)) => tasks.table.fail(task, error.to_vec(), now_ms),
            None => unreachable!("an answer has a result or an error"),
        };
        if let Some(text) = fault {
            tasks.table.explain(task, clip(&text));
        }
        tasks.measure();
        // A task that was removed meanwhile has no client to notify.
        if let Ok(waiters) = ended {
            self.updates.changed(task, &entry.task_owner());
            let outbox = &mut self.updates.notifier.outbox;
            self.updates.tasks.answer_waiters(waiters, now_ms, outbox);
        }
    }
}

/// The text for a client whose call, or request about a task of an upstream, takes too long. Such a
/// task goes on.
fn timeout_text(limit_ms: u64, is_about_task: bool) -> String {
    match is_about_task {
        false => format!("the tool took longer than {limit_ms} ms (calls.timeout_ms)"),
        true => format!(
            "the upstream of the task gave no answer within {limit_ms} ms (calls.timeout_ms): \
             repeat the request"
        ),
    }
}

/// The client of a call, which has this identity.
fn actor_of<'a>(entry: &InFlight, identity: Option<&'a Identity>) -> Actor<'a> {
    Actor {
        identity,
        peer: entry.call.client_address(),
        session: entry.session,
    }
}

/// Why a task has failed, for people (MCP 2025-11-25 basic/utilities/tasks, "Task Execution
/// Errors"). In the modern era a tool that failed completes its task.
fn fault_of(outcome: &Outcome, era: Era) -> Option<String> {
    let result = match outcome {
        Ok(Answer::Tool(result)) => result,
        Ok(_) => return None,
        Err(error) if era == Era::Modern && matches!(error.kind(), Kind::Failed { .. }) => {
            return None;
        }
        Err(error) => return Some(error.to_string()),
    };
    if era == Era::Modern || !result.is_error {
        return None;
    }
    let text = result.content.iter().find_map(|content| match content {
        Content::Text(text) => Some(text.clone().into_owned()),
        _ => None,
    });
    text.or_else(|| Some("the tool failed: its result says why".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::timeout_text;

    #[test]
    fn a_request_about_a_task_that_takes_too_long_is_no_slow_tool() {
        assert_eq!(
            timeout_text(5, false),
            "the tool took longer than 5 ms (calls.timeout_ms)"
        );
        assert_eq!(
            timeout_text(5, true),
            "the upstream of the task gave no answer within 5 ms (calls.timeout_ms): repeat the \
             request"
        );
    }
}
