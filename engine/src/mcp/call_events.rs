//! The events of handlers since the last turn: messages, statuses, requests to clients, results.

use std::collections::VecDeque;

use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::input_required::write_input_request;
use corelane_protocol::mcp::tasks::RELATED_TASK;

use super::call_table::InFlight;
use super::delivery::Part;
use super::endings::Endings;
use super::exchange::Exchange;
use super::questions::{INPUT_OVER, Questions, UNREACHABLE};
use super::session_id::SessionId;
use super::task_id::TaskId;
use crate::handler::call::StreamItem;
use crate::handler::event_queue::{CallEvent, CallKey};

/// Turns the events of calls into parts of answers.
pub(super) struct CallEvents<'a> {
    pub(super) questions: &'a Questions,
    pub(super) endings: Endings<'a>,
}

impl CallEvents<'_> {
    /// Handles every event since the last turn.
    ///
    /// `has_capacity` returns whether the connection of an exchange takes more messages now; a call
    /// whose connection does not goes to `stalled`, to be pumped later.
    pub(super) fn handle_all(
        &mut self,
        has_capacity: impl Fn(Exchange) -> bool,
        stalled: &mut VecDeque<CallKey>,
    ) {
        let mut events = self.endings.calls.take_events();
        for event in events.drain(..) {
            match event {
                CallEvent::Messages(key) => {
                    if self.takes_messages(key, &has_capacity) {
                        self.pump(key);
                    } else {
                        stalled.push_back(key);
                    }
                }
                CallEvent::Status(key) => {
                    if self.keep_status(key) && !self.send_status(key, &has_capacity) {
                        stalled.push_back(key);
                    }
                }
                CallEvent::InputNeeded(key) => self.request_input(key),
                CallEvent::Input(key, input) => self.relay_input(key, *input),
                CallEvent::Task(key, made) => self.relay_made_task(key, &made),
                CallEvent::Due(key) => self.poll_task(key),
                CallEvent::Questions(key) => self.relay_questions(key),
                CallEvent::Answered(key) => self.relay_answers(key),
                CallEvent::Done(key, outcome) => {
                    self.pump(key);
                    self.end_call(key, outcome);
                }
            }
        }
        self.endings.calls.give_back_events(events);
    }

    /// The place of a call's answer, if it is not answered and its client is there; for a task, the
    /// place of its statuses.
    pub(super) fn exchange_of(&mut self, key: CallKey) -> Option<Exchange> {
        let entry = self.endings.calls.find(key)?;
        match (entry.made_task, entry.session) {
            (Some(task), Some(session)) => {
                let found = self.endings.updates.status_exchange(task, session);
                found.map(|(exchange, _)| exchange)
            }
            _ => entry.exchange,
        }
    }

    /// Whether the place of a call's messages has capacity: its connection, or every stream of its
    /// session that takes messages of a task.
    pub(super) fn takes_messages(
        &mut self,
        key: CallKey,
        has_capacity: impl Fn(Exchange) -> bool,
    ) -> bool {
        let Some(entry) = self.endings.calls.find(key) else {
            return true;
        };
        match (entry.made_task, entry.session) {
            (Some(task), Some(session)) => {
                let open = self.endings.updates.exchanges(task, session);
                open.into_iter().flatten().all(has_capacity)
            }
            _ => entry.exchange.is_none_or(has_capacity),
        }
    }

    /// Moves the waiting messages of a call to its connection.
    pub(super) fn pump(&mut self, key: CallKey) {
        let Some(entry) = self.endings.calls.find(key) else {
            return;
        };
        if entry.made_task.is_some() {
            return self.pump_task(key);
        }
        let call = entry.call.clone();
        while let Some(item) = call.take_event() {
            match item {
                StreamItem::Message(message) => self.send(key, message),
                StreamItem::Question { place, message } => self.send_question(key, place, message),
                StreamItem::Pause { retry_ms } => self.pause(key, retry_ms),
            }
        }
    }

    /// The connection of an exchange is gone. That cancels a modern call (MCP 2026-07-28
    /// basic/transports) and does not affect a legacy one (2025-11-25 basic/transports), whose
    /// client may have resumed on another connection before the loss of this one was seen.
    pub(super) fn client_gone(&mut self, key: CallKey, exchange: Exchange) {
        if !self.endings.calls.client_left(key, exchange) {
            return;
        }
        let entry = self.endings.calls.find(key);
        if entry.is_some_and(|entry| entry.era == Era::Modern) {
            self.endings.cancel(key);
        } else {
            self.pump(key);
        }
    }

    /// Sends a message of a call before its answer. The stream of a batch is not kept: it belongs
    /// to several calls.
    fn send(&mut self, key: CallKey, message: Vec<u8>) {
        let Some(entry) = self.endings.calls.find(key) else {
            return;
        };
        let notifier = &mut self.endings.updates.notifier;
        let (streams, outbox) = (&mut notifier.streams, &mut notifier.outbox);
        let is_kept = |it: Exchange| it.is_resumable() && !outbox.batches.has(it);
        if entry.stream.is_none()
            && let Some(session) = entry.session
            && entry.exchange.is_some_and(is_kept)
            && let Some(holder) = notifier.sessions.holder_of(session)
        {
            entry.stream = Some(streams.begin(session, holder));
        }
        streams.send(entry.stream, entry.exchange, message, outbox);
    }

    /// Sends a request of a call to its client: on the stream of the call, if the client takes it
    /// or may come back for it, or else on a stream of the session. Without either the handler is
    /// answered at once: the request would not be seen.
    fn send_question(&mut self, key: CallKey, place: usize, message: Vec<u8>) {
        let Some(entry) = self.endings.calls.find(key) else {
            return;
        };
        let (session, call) = (entry.session, entry.call.clone());
        let takes_events = entry.exchange.is_some_and(|it| it.takes_events);
        let takes_events = takes_events || entry.stream.is_some();
        if self.is_input_over(session) {
            return call.answer(place, || Err(INPUT_OVER.to_owned()));
        }
        if takes_events {
            return self.send(key, message);
        }
        let notifier = &mut self.endings.updates.notifier;
        if !session.is_some_and(|session| notifier.notify(session, message)) {
            call.answer(place, || Err(UNREACHABLE.to_owned()));
        }
    }

    /// Whether the client of a session, or every client, can answer no request any more.
    fn is_input_over(&mut self, session: Option<SessionId>) -> bool {
        let updates = &mut self.endings.updates;
        let session = session.and_then(|id| updates.notifier.sessions.find(id));
        updates.context.is_input_over() || session.is_some_and(|it| it.is_input_over)
    }

    /// The client of a session can answer no request any more: the open ones fail.
    pub(super) fn end_input_of(&mut self, session: SessionId) {
        let notifier = &mut self.endings.updates.notifier;
        let Some(session) = notifier.sessions.find(session) else {
            return;
        };
        session.is_input_over = true;
        for key in session.calls() {
            if let Some(entry) = self.endings.calls.find(*key) {
                entry.call.fail_questions(INPUT_OVER);
            }
        }
    }

    /// Fails every request to a client that waits for an answer: none can come any more. The
    /// requests of a modern call are its answer, so they can still be sent.
    pub(super) fn fail_open_requests(&mut self) {
        for key in self.endings.calls.keys() {
            let entry = self.endings.calls.find(key);
            let waits =
                |entry: &&mut InFlight| entry.era == Era::Legacy || entry.made_task.is_some();
            if let Some(entry) = entry.filter(waits) {
                entry.call.fail_questions(INPUT_OVER);
            }
        }
    }

    /// Pauses the stream of a call: its client reconnects after `retry_ms`; the call continues. The
    /// stream of a client that cannot resume stays open.
    fn pause(&mut self, key: CallKey, retry_ms: u64) {
        let entry = self.endings.calls.find(key);
        let Some(entry) = entry.filter(|entry| entry.is_primed) else {
            return;
        };
        let notifier = &mut self.endings.updates.notifier;
        let is_kept = entry
            .stream
            .is_some_and(|stream| notifier.streams.is_kept(stream));
        if let Some(exchange) = entry.exchange.filter(|_| is_kept) {
            let part = Part::StreamPause { retry_ms };
            notifier.outbox.push(exchange, part);
            self.endings.calls.client_left(key, exchange);
        }
    }

    /// Moves the messages of a legacy task to the request that waits for its result, or to the
    /// session's stream. Without either they are dropped: a handler does not wait for a client
    /// that left.
    fn pump_task(&mut self, key: CallKey) {
        let updates = &mut self.endings.updates;
        let now_ms = updates.context.unix_now_ms();
        let Some(entry) = self.endings.calls.find(key) else {
            return;
        };
        let (Some(task), session) = (entry.made_task, entry.session) else {
            return;
        };
        let owner = entry.task_owner();
        let call = entry.call.clone();
        if std::mem::take(&mut entry.has_unsent_status) {
            updates.changed(task, &owner);
        }
        let waiter = updates.tasks.last_waiter(task, &owner, now_ms);
        while let Some(item) = call.take_event() {
            // A task has no stream of its own that could be closed for a while.
            let StreamItem::Message(message) = item else {
                // Its questions do not come this way.
                continue;
            };
            let message = related(message, task);
            match (waiter, session) {
                (Some(exchange), _) => updates.notifier.outbox.push_message(exchange, message),
                (None, Some(session)) => {
                    updates.notifier.notify(session, message);
                }
                (None, None) => {}
            }
        }
    }

    /// Keeps the status text of a task's handler; returns whether it differs from the last one.
    fn keep_status(&mut self, key: CallKey) -> bool {
        let updates = &mut self.endings.updates;
        let Some(entry) = self.endings.calls.find(key) else {
            return false;
        };
        let (Some(task), owner) = (entry.made_task, entry.task_owner()) else {
            return false;
        };
        let now_ms = updates.context.unix_now_ms();
        let text = entry.call.take_status();
        text.is_some_and(|text| updates.tasks.set_message(task, &owner, &text, now_ms))
    }

    /// Sends the kept status; returns whether that is done. A session that reads slower than its
    /// handler reports gets it later, and only the last one. A session without a stream gets none:
    /// it fetches results rather than statuses.
    fn send_status(&mut self, key: CallKey, has_capacity: impl Fn(Exchange) -> bool) -> bool {
        let exchange = self.exchange_of(key);
        let Some(entry) = self.endings.calls.find(key) else {
            return true;
        };
        let (Some(task), owner) = (entry.made_task, entry.task_owner()) else {
            return true;
        };
        if exchange.is_none() && entry.era == Era::Legacy {
            return true;
        }
        if !exchange.is_none_or(has_capacity) {
            // A call that stalled before is sent with the status kept by then.
            return std::mem::replace(&mut entry.has_unsent_status, true);
        }
        entry.has_unsent_status = false;
        self.endings.updates.changed(task, &owner);
        true
    }

    /// Ends this round of a modern call with requests to its client, or sends the requests of a
    /// task.
    fn request_input(&mut self, key: CallKey) {
        let Some(entry) = self.endings.calls.find(key) else {
            return;
        };
        if entry.made_task.is_some() {
            return self.request_input_of_task(key);
        }
        if entry.era != Era::Modern || !entry.call.has_questions() {
            return;
        }
        let requests = entry.call.take_questions();
        let (id, kind) = (entry.id.clone(), entry.kind);
        let digest = entry.params_digest.take().map_or([0; 32], |digest| *digest);
        let principal = entry.call.principal_key();
        let binding = kind.binding(principal.as_deref(), digest);
        let mut body = Vec::new();
        let context = self.endings.updates.context;
        let request = (id.as_id(), &context.trailer);
        self.questions
            .write_input_required(&mut body, request, &binding, requests);
        self.pump(key);
        let refused = None;
        self.endings.finish(key, Err(Part::Final { refused, body }));
    }

    /// Passes on the questions of a task's handler.
    fn request_input_of_task(&mut self, key: CallKey) {
        let Some(entry) = self.endings.calls.find(key) else {
            return;
        };
        let Some(task) = entry.made_task else { return };
        let (era, session) = (entry.era, entry.session);
        let is_input_over = self.is_input_over(session);
        let updates = &mut self.endings.updates;
        let now_ms = updates.context.unix_now_ms();
        let Some(entry) = self.endings.calls.find(key) else {
            return;
        };
        if is_input_over {
            return entry.call.fail_questions(INPUT_OVER);
        }
        let owner = entry.task_owner();
        let mut has_sent_request = false;
        for (place, id, name, request) in entry.call.questions_to_pass_on() {
            let mut encoded = Vec::new();
            let (name, request) = match era {
                Era::Modern => {
                    write_input_request(&mut encoded, &request);
                    (name, encoded)
                }
                Era::Legacy => {
                    request.write_request(&mut encoded, &id);
                    (id, related(encoded, task))
                }
            };
            let requests = updates
                .tasks
                .table
                .request(task, &name, request.clone(), now_ms);
            has_sent_request |= requests.is_ok();
            match requests {
                Err(error) => entry.call.answer(place, || Err(error.to_string())),
                Ok(()) if era == Era::Modern => {}
                // A request that waits for the result gets it at once, later ones when they arrive.
                Ok(()) => {
                    let waiter = updates.tasks.last_waiter(task, &owner, now_ms);
                    if let (Some(exchange), Some(session)) = (waiter, session)
                        && !updates.notifier.request((session, exchange), request)
                    {
                        updates.tasks.note_answer(task, &owner, &name, now_ms);
                        entry.call.answer(place, || Err(UNREACHABLE.to_owned()));
                    }
                }
            }
        }
        if has_sent_request {
            updates.changed(task, &owner);
        }
    }
}

/// A legacy message with the name of its task in `params._meta`.
fn related(message: Vec<u8>, task: TaskId) -> Vec<u8> {
    let Ok(mut related) = serde_json::from_slice::<serde_json::Value>(&message) else {
        return message;
    };
    let id = task.to_text();
    let id = String::from_utf8_lossy(&id);
    related["params"]["_meta"][RELATED_TASK] = serde_json::json!({ "taskId": id });
    serde_json::to_vec(&related).unwrap_or(message)
}
