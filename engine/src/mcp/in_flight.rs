//! Calls that were started: what they say, how they end, and what their end sets free.

use std::collections::VecDeque;

use corelane_protocol::framing::http1::Status;
use corelane_protocol::jsonrpc::{Id, encode};
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::error_code;
use corelane_protocol::mcp::method::Method;
use corelane_protocol::mcp::resources;
use corelane_protocol::mcp::tools::ToolResult;
use corelane_protocol::request_state::Binding;

use super::endpoint::Core;
use super::{Delivery, Exchange, Part};
use crate::handler::Call;
use crate::handler::call::Event;
use crate::handler::error::{CallError, Kind};
use crate::handler::event_queue::{CallEvent, CallKey};
use crate::handler::runner::{Answer, Outcome};
use crate::meter::Counter;

/// Sessions ended for idleness in one turn; the others wait for the next one.
const SESSIONS_EXPIRED_PER_TURN: usize = 256;

/// What a request with a handler asked for: how its failures are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandlerKind {
    Tool,
    Prompt,
    Resource,
    Completion,
}

impl HandlerKind {
    pub(super) fn by(method: Method) -> HandlerKind {
        match method {
            Method::PromptsGet => HandlerKind::Prompt,
            Method::ResourcesRead => HandlerKind::Resource,
            Method::Complete => HandlerKind::Completion,
            _ => HandlerKind::Tool,
        }
    }

    /// The method, as it stands in what is sealed.
    fn method(self) -> &'static str {
        match self {
            HandlerKind::Tool => Method::ToolsCall.name(),
            HandlerKind::Prompt => Method::PromptsGet.name(),
            HandlerKind::Resource => Method::ResourcesRead.name(),
            HandlerKind::Completion => Method::Complete.name(),
        }
    }

    /// What a state is sealed for that is given to `principal`.
    pub(super) fn binding(self, principal: Option<&str>, params_digest: [u8; 32]) -> Binding<'_> {
        Binding {
            principal,
            method: self.method(),
            params_digest,
        }
    }
}

impl Core {
    /// Writes what came of a call. A handler may find late that its client lacks a capability,
    /// and even then modern clients are told with 400.
    pub(super) fn write_outcome(
        &self,
        out: &mut Vec<u8>,
        era: Era,
        id: Id<'_>,
        asked: HandlerKind,
        outcome: Outcome,
    ) -> Status {
        let error = match outcome {
            Ok(answer) => {
                self.write_answer(out, era, id, answer);
                return Status::Ok;
            }
            Err(error) => error,
        };
        self.meter.count(match error.kind() {
            Kind::Panicked => Counter::CallsPanicked,
            _ => Counter::CallsFailed,
        });
        match error.into_kind() {
            Kind::Failed(text) if asked == HandlerKind::Tool => {
                ToolResult::error(text).write(out, era, id, &self.trailer);
            }
            Kind::Failed(text) => {
                encode::write_error(out, Some(id), error_code::INTERNAL_ERROR, &text);
            }
            Kind::MissingCapability(capability) => {
                return self.write_missing_capability(out, era, id, capability);
            }
            Kind::NoResource { uri } => resources::write_not_found(out, era, id, &uri),
            Kind::Panicked => {
                let text = "the handler panicked";
                encode::write_error(out, Some(id), error_code::INTERNAL_ERROR, text);
            }
            Kind::Protocol { code, message } => {
                encode::write_error(out, Some(id), code, &message);
                if era == Era::Modern && code == error_code::MISSING_CLIENT_CAPABILITY {
                    return Status::BadRequest;
                }
            }
        }
        Status::Ok
    }

    fn write_answer(&self, out: &mut Vec<u8>, era: Era, id: Id<'_>, answer: Answer) {
        let is_error = matches!(&answer, Answer::Tool(result) if result.is_error);
        self.meter.count(match is_error {
            true => Counter::CallsFailed,
            false => Counter::CallsOk,
        });
        match answer {
            Answer::Tool(result) => result.write(out, era, id, &self.trailer),
            Answer::Prompt(result) => result.write(out, era, id, &self.trailer),
            Answer::Contents(parts) => {
                resources::write_read_result(out, era, id, &parts, &self.trailer);
            }
            Answer::Completion(completion) => completion.write(out, era, id, &self.trailer),
        }
    }

    pub(super) fn spare(&mut self, call: Call) {
        const SPARE_CALLS_MAX: usize = 64;
        if call.is_unshared() && self.spare_calls.len() < SPARE_CALLS_MAX {
            call.forget();
            self.spare_calls.push(call);
        }
    }

    /// Turns what happened to calls since the last turn into deliveries.
    ///
    /// `has_room` says whether the connection of an exchange takes more messages now; a call
    /// whose connection does not goes to `stalled`, to be pumped later.
    pub(crate) fn collect_call_events(
        &mut self,
        has_room: impl Fn(Exchange) -> bool,
        stalled: &mut VecDeque<CallKey>,
    ) {
        self.offload.collect_finished();
        let mut news = std::mem::take(&mut self.news);
        self.event_queue.collect(&mut news);
        for item in news.drain(..) {
            match item {
                CallEvent::Messages(key) => {
                    if self.takes_messages(key, &has_room) {
                        self.pump_events(key);
                    } else {
                        stalled.push_back(key);
                    }
                }
                CallEvent::Status(key) => {
                    if self.keep_status(key) && !self.send_status(key, &has_room) {
                        stalled.push_back(key);
                    }
                }
                CallEvent::InputNeeded(key) => self.ask_client(key),
                CallEvent::Done(key, outcome) => {
                    self.pump_events(key);
                    self.finish(key, Ok(outcome));
                }
            }
        }
        self.news = news;
    }

    /// Where the answer of a call goes, if it is not answered and its client is there; of a task,
    /// where its session is told how it stands.
    pub(crate) fn exchange_of(&mut self, key: CallKey) -> Option<Exchange> {
        let entry = self.calls.find(key)?;
        match (entry.made_task, entry.session) {
            (Some(task), Some(session)) => {
                let found = self.status_exchange(task, session);
                found.map(|(exchange, _)| exchange)
            }
            _ => entry.exchange,
        }
    }

    /// Whether there is room where the messages of a call go: on its connection, or on all that
    /// its session has open for those of a task.
    pub(crate) fn takes_messages(
        &mut self,
        key: CallKey,
        has_room: impl Fn(Exchange) -> bool,
    ) -> bool {
        let Some(entry) = self.calls.find(key) else {
            return true;
        };
        match (entry.made_task, entry.session) {
            (Some(task), Some(session)) => {
                let mut open = self.task_exchanges(task, session).into_iter().flatten();
                open.all(has_room)
            }
            _ => entry.exchange.is_none_or(has_room),
        }
    }

    /// Whether a client that sends no more has given up on its call: closing is cancelling in
    /// the modern era, and means nothing in the legacy one.
    pub(crate) fn hangup_ends(&mut self, key: CallKey) -> bool {
        self.calls
            .find(key)
            .is_some_and(|entry| entry.era == Era::Modern)
    }

    /// Moves the waiting messages of a call to its connection.
    pub(crate) fn pump_events(&mut self, key: CallKey) {
        let Some(entry) = self.calls.find(key) else {
            return;
        };
        if entry.made_task.is_some() {
            return self.pump_task_events(key);
        }
        let call = entry.call.clone();
        while let Some(event) = call.take_event() {
            match event {
                Event::Message(message) => self.say(key, message),
                Event::Pause { retry_ms } => self.pause(key, retry_ms),
            }
        }
    }

    /// Ends a call: with its outcome, or with a part that says there is none.
    pub(super) fn finish(&mut self, key: CallKey, outcome: Result<Outcome, Part>) {
        let Some(mut entry) = self.calls.remove(key) else {
            return;
        };
        self.meter.uncount(Counter::CallsInFlight);
        if let Some(session) = entry.session {
            self.sessions.end_call(session, key, self.now_ms);
        }
        let part = match (outcome, entry.made_task) {
            (outcome, Some(task)) => {
                self.end_task(task, &entry, outcome.ok());
                Some(Part::Accepted)
            }
            (Err(part), None) => {
                if let Some(stream) = entry.stream {
                    self.forget_stream(stream);
                }
                Some(part)
            }
            (Ok(mut outcome), None) => {
                let mut body = Vec::new();
                let id = entry.id.as_id();
                entry.call.downgrade(&mut outcome);
                let status = self.write_outcome(&mut body, entry.era, id, entry.asked, outcome);
                match entry.stream {
                    None => Some(Part::Final { status, body }),
                    Some(stream) => {
                        self.end_with_answer(stream, entry.exchange, body);
                        None
                    }
                }
            }
        };
        if let (Some(exchange), Some(part)) = (entry.exchange, part) {
            self.deliver_end(exchange, entry.id.as_id(), part);
        }
        // Dropping the task stops a handler that still runs; the executor drops its future.
        if entry.task.take().is_some() {
            self.event_queue.note_task_woken();
        }
        self.spare(entry.call);
    }

    /// The client of a call said that it needs no answer: nothing is sent for it any more.
    pub(super) fn cancel(&mut self, key: CallKey) {
        if let Some(entry) = self.calls.find(key) {
            self.meter.add(Counter::CallsCancelled, 1);
            entry.call.cancel();
            self.finish(key, Err(Part::Unanswered));
        }
    }

    /// The connection of an exchange is gone. That cancels a modern call (MCP 2026-07-28
    /// basic/transports) and means nothing to a legacy one (2025-11-25 basic/transports), whose
    /// client may have come back on another connection before this one was seen to go.
    pub(crate) fn client_gone(&mut self, key: CallKey, exchange: Exchange) {
        let Some(entry) = self.calls.find(key) else {
            return;
        };
        if entry.exchange.take_if(|its| *its == exchange).is_none() {
            return;
        }
        if entry.era == Era::Modern {
            self.cancel(key);
        } else {
            self.pump_events(key);
        }
    }

    /// Ends calls and sessions whose time is over.
    pub(crate) fn expire(&mut self) {
        while let Some(key) = self.calls.next_expired(self.now_ms) {
            self.meter.add(Counter::TimeoutsCall, 1);
            if let Some(entry) = self.calls.find(key) {
                entry.call.cancel();
            }
            let text = format!(
                "the tool took longer than {} ms",
                self.settings.call_timeout_ms
            );
            self.finish(key, Ok(Err(CallError::internal(text))));
        }
        self.expire_tasks();
        for _ in 0..SESSIONS_EXPIRED_PER_TURN {
            let Some(session) = self.sessions.expire(self.now_ms) else {
                break;
            };
            self.meter.add(Counter::SessionsExpired, 1);
            self.close_session(session);
        }
    }

    /// Queues a part of an answer for delivery.
    pub(crate) fn queue_delivery(&mut self, delivery: Delivery) {
        self.deliveries.push_back(delivery);
    }

    /// When the next call or task runs out of time, in milliseconds since the shard started.
    pub(crate) fn next_deadline_ms(&self) -> Option<u64> {
        let deadlines_ms = [self.calls.next_deadline_ms(), self.tasks.next_expiry_ms()];
        deadlines_ms.into_iter().flatten().min()
    }

    /// Takes the next part of an answer that is ready.
    pub(crate) fn next_delivery(&mut self) -> Option<Delivery> {
        self.deliveries.pop_front()
    }

    /// Whether calls wait.
    pub(crate) fn has_calls(&self) -> bool {
        self.calls.len() > 0
    }

    /// Whether nothing waits to be answered.
    pub(crate) fn is_quiet(&self) -> bool {
        self.calls.len() == 0 && self.deliveries.is_empty() && self.notes.is_empty()
    }

    /// Whether calls have news, so that the shard must not sleep.
    pub(crate) fn has_call_events(&self) -> bool {
        !self.event_queue.is_empty() || self.offload.has_finished()
    }

    /// From now on no session is made and no stream is opened; listen streams end.
    pub(crate) fn drain(&mut self) {
        self.is_draining = true;
        self.end_subscriptions();
    }
}
