//! One call on its way to an upstream, and its answer.

mod events;
mod health;
mod input;
mod key;
mod line;
mod peer;
pub(crate) mod questions;
mod session;
mod task;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use corelane_gateway::link::{AnswerEnd, AnswerReader, AnswerStep, LinkFault};
use corelane_gateway::relay::{
    Downward, Failure, Incoming, RelayedPart, is_session_lost, read_message, write_notification,
};
use corelane_io::chunk::Chunk;
use corelane_io::slots::SlotKey;
use corelane_protocol::binding::http_client::Outcome as HeadOutcome;
use corelane_protocol::framing::http1::HeadCache;
use corelane_protocol::jsonrpc::Id;
use corelane_protocol::mcp::capability::ClientCapabilities;
use corelane_protocol::mcp::era::Era;

use self::questions::Questions;
use super::board::{ControlAnswer, ControlEvent, Subscription, SubscriptionEvent};
use super::endpoint::Endpoint;
use super::exchanged_token::ExchangedToken;
pub(crate) use super::legacy_call::{Handshake, LegacyCall};
use super::owner::SessionOwner;
use crate::breaker::Admitted;
use crate::guard::subject::SubjectToken;
use crate::handler::Call;
use crate::handler::event_queue::{CallEvent, CallKey, EventQueue};
use crate::handler::outcome::Answer;
pub(crate) use key::RelayKey;
pub(crate) use peer::{Delivery, EventStream, StreamEvent};

/// The place of the answer of a call whose client is not there.
pub(crate) type ParkedAnswer = Rc<RefCell<Option<RelayedPart>>>;

/// The recipient of an answer.
#[derive(Debug)]
pub(crate) enum Recipient {
    /// A call of a client of this era.
    Call(Call, CallKey, Era),
    /// The control side.
    Control(u16, Sender<ControlEvent>),
    /// The control side, for as long as the request is open.
    Subscription(Subscription),
    /// The session that the request opens.
    Handshake(Box<Handshake>),
    /// The requests to the clients of a session, on its own stream.
    SessionStream,
    /// A call whose modern client answers a request of the upstream.
    Parked(ParkedAnswer),
    /// A peer of HTTP+SSE, whose stream the answer is.
    Stream(Box<EventStream>),
    /// A peer of HTTP+SSE, to which the request brings a message.
    Delivery(Delivery),
    /// It has its answer; the rest of the answer of HTTP is passed over.
    Nobody,
}

/// One call on its way.
#[derive(Debug)]
pub(crate) struct Relay {
    /// Its id on the link.
    pub(crate) id: u64,
    /// The number of its upstream, or of the replica that was chosen.
    pub(crate) upstream: u16,
    /// Whether it may be sent again when its fate is unknown.
    pub(crate) is_repeatable: bool,
    /// Whether its credential was refused once.
    pub(crate) was_challenged: bool,
    /// The token of its client, if that is exchanged.
    pub(crate) subject: Option<Box<SubjectToken>>,
    /// The token that it was exchanged for, which is in the request.
    pub(crate) exchanged: Option<Arc<ExchangedToken>>,
    /// Whether an upstream may have executed it before its present try.
    pub(crate) was_sent: bool,
    /// How the breaker of its upstream lets it run; none if it does not count there (yet).
    pub(crate) admitted: Option<Admitted>,
    /// Whether a replica, or one of the processes that share the calls, was chosen for it.
    pub(crate) is_placed: bool,
    /// The replicas that it was at, a bit for each.
    pub(crate) tried: u32,
    /// Times that it was begun on a link.
    pub(crate) tries: u8,
    /// The request, until it is sent; after that too if it may have to be sent again.
    pub(crate) request: Option<Chunk>,
    /// The link that carries it.
    pub(crate) link: Option<SlotKey>,
    /// When it fails, in milliseconds since the shard started; none if its call decides.
    pub(crate) due_ms: Option<u64>,
    /// The parts of a call for an upstream of the legacy era.
    pub(crate) legacy: Option<Box<LegacyCall>>,
    message_bytes_max: usize,
    reader: AnswerReader,
    reception: Reception,
}

/// The part of a relay that understands the parts of its answer.
#[derive(Debug)]
struct Reception {
    id: u64,
    recipient: Recipient,
    /// The way down of answers of this upstream.
    from: Era,
    is_cacheable: bool,
    /// The capabilities of the client that were declared to the upstream.
    capabilities: ClientCapabilities,
    /// The number of the session that the request was sent in.
    session_number: Option<u64>,
    /// Whether the call may become a task.
    expects_task: bool,
    /// The task that the request is about, by the name that its client knows.
    about: Option<Box<str>>,
    /// The requests of the upstream, once it has sent any.
    questions: Option<Box<Questions>>,
    status: u16,
    outcome: HeadOutcome,
    retry_after_s: Option<u16>,
    /// Whether the request names a session.
    names_session: bool,
    /// Whether the upstream has accepted it as a subscription.
    is_open: bool,
    /// Of the last message that could not be used.
    fault: Option<String>,
}

/// The parts of a shard with which answers are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings<'a> {
    /// Where events of calls go.
    pub(crate) queue: &'a EventQueue,
    /// The name and version of this server, as a JSON object.
    pub(crate) server_info: &'a str,
    /// The upstream.
    pub(crate) endpoint: &'a Endpoint,
}

/// The effect of received bytes.
#[derive(Debug)]
pub(crate) enum Heard {
    /// More follow. `is_full` if the client takes no more messages at present.
    More {
        /// See above.
        is_full: bool,
    },
    /// The answer is over, and its recipient has it.
    Ended(AnswerEnd),
    /// The link is of no use any more.
    Broken(LinkFault),
}

impl Relay {
    /// A call that was not begun.
    pub(crate) fn new(
        (id, upstream): (u64, u16),
        recipient: Recipient,
        request: Option<Chunk>,
        message_bytes_max: usize,
    ) -> Relay {
        Relay {
            id,
            upstream,
            is_repeatable: false,
            was_challenged: false,
            subject: None,
            exchanged: None,
            was_sent: false,
            admitted: None,
            is_placed: false,
            tried: 0,
            tries: 0,
            request,
            link: None,
            due_ms: None,
            legacy: None,
            message_bytes_max,
            reader: AnswerReader::new(message_bytes_max),
            reception: Reception {
                id,
                recipient,
                from: Era::Modern,
                is_cacheable: false,
                capabilities: ClientCapabilities::default(),
                session_number: None,
                expects_task: false,
                about: None,
                questions: None,
                status: 0,
                outcome: HeadOutcome::Unreadable,
                retry_after_s: None,
                names_session: false,
                is_open: false,
                fault: None,
            },
        }
    }

    /// Reads received bytes. Messages and the answer go to the recipient at once.
    pub(crate) fn read(
        &mut self,
        heads: &mut HeadCache,
        bytes: &[u8],
        to: Surroundings<'_>,
    ) -> Heard {
        let reception = &mut self.reception;
        let read = self.reader.read(heads, bytes, &mut |step| {
            reception.take(step, to);
        });
        if self.reception.is_open {
            // It lasts until one of both sides ends it.
            self.due_ms = Some(u64::MAX);
        }
        match read {
            Ok(Some(end)) => Heard::Ended(end),
            Ok(None) => Heard::More {
                is_full: self.reception.is_full(),
            },
            Err(fault) => Heard::Broken(fault),
        }
    }

    /// Handles the end of the connection.
    pub(crate) fn end_of_stream(&mut self, to: Surroundings<'_>) -> Heard {
        let reception = &mut self.reception;
        let finished = self.reader.finish(&mut |step| reception.take(step, to));
        match finished {
            Ok(end) => Heard::Ended(end),
            Err(fault) => Heard::Broken(fault),
        }
    }

    /// It is sent with this request, which names the session, if there is one.
    pub(crate) fn set_request(&mut self, request: Chunk, session: Option<&str>) {
        self.request = Some(request);
        if let Some(legacy) = &mut self.legacy {
            (legacy.is_admitted, legacy.session) = (true, session.map(Box::from));
        }
        self.forget_answer();
    }

    /// Another answer is expected, because the request is sent again.
    pub(crate) fn forget_answer(&mut self) {
        let reader = AnswerReader::new(self.message_bytes_max);
        let session = self.legacy.as_ref().and_then(|it| it.session.as_ref());
        self.reception.names_session = session.is_some();
        self.reader = match session {
            Some(_) => reader.of_session(),
            None => reader,
        };
        (self.reception.status, self.reception.outcome) = (0, HeadOutcome::Unreadable);
    }

    /// Whether a head of an answer has come.
    pub(crate) fn has_begun(&self) -> bool {
        self.reader.has_begun()
    }

    /// Whether the recipient has its answer.
    pub(crate) fn is_answered(&self) -> bool {
        match &self.reception.recipient {
            Recipient::Nobody | Recipient::SessionStream => true,
            Recipient::Handshake(handshake) => handshake.answer.is_some(),
            _ => false,
        }
    }

    /// Whether the client takes messages.
    pub(crate) fn has_room(&self) -> bool {
        !self.reception.is_full()
    }

    /// The failure of an answer that is over and had no usable message.
    pub(crate) fn failure_of_answer(&self) -> Failure {
        self.reception.failure()
    }

    /// Gives the recipient a failure, unless it has its answer; `name` is that of the upstream.
    pub(crate) fn fail(&mut self, failure: &Failure, name: &str, queue: &EventQueue) {
        if matches!(self.reception.recipient, Recipient::Control(..)) {
            return self.reception.fail_control(failure);
        }
        if self.is_of_events() {
            // Its peer or its call gets the failure.
            return;
        }
        if let Recipient::Subscription(subscription) = &mut self.reception.recipient {
            subscription.is_refused = matches!(self.reception.outcome, HeadOutcome::Refused { .. });
        }
        let error = failure.to_json(name).into_bytes();
        self.reception.answer(RelayedPart::Error(error), queue);
    }
}

impl Reception {
    fn take(&mut self, step: AnswerStep<'_>, to: Surroundings<'_>) {
        match step {
            AnswerStep::Head {
                status,
                outcome,
                session,
                retry_after_s,
            } => {
                (self.status, self.outcome) = (status, outcome);
                self.retry_after_s = retry_after_s;
                if let Recipient::Handshake(handshake) = &mut self.recipient {
                    handshake.session = session.map(Box::from);
                }
                // The stream of a session is open with its head.
                if self.from == Era::Legacy && outcome == HeadOutcome::Events {
                    self.is_open = matches!(
                        self.recipient,
                        Recipient::Subscription(_) | Recipient::SessionStream
                    );
                    self.pass_on(SubscriptionEvent::Acknowledged);
                }
            }
            AnswerStep::Message(text) => match &mut self.recipient {
                Recipient::Stream(stream) => stream.take_message(text),
                _ => self.take_message(text, to),
            },
            AnswerStep::Endpoint(url) => {
                if let Recipient::Stream(stream) = &mut self.recipient {
                    stream.take_endpoint(url);
                }
            }
        }
    }

    fn take_message(&mut self, text: &[u8], to: Surroundings<'_>) {
        let era = match &self.recipient {
            Recipient::Call(_, _, era) => Some(*era),
            Recipient::Parked(_) => Some(Era::Modern),
            Recipient::SessionStream => return self.take_apart(text),
            Recipient::Control(..) | Recipient::Subscription(_) | Recipient::Handshake(_) => None,
            Recipient::Stream(_) | Recipient::Delivery(_) | Recipient::Nobody => return,
        };
        let way = era.map(|era| Downward {
            from: self.from,
            to: era,
            server_info: to.server_info,
            is_cacheable: self.is_cacheable,
        });
        if self.outcome == HeadOutcome::SessionLost {
            return;
        }
        let read = read_message(text, self.id);
        let Ok(incoming) = read.inspect_err(|fault| self.fault = Some(fault.to_string())) else {
            return;
        };
        if self.names_session && is_session_lost(text, &incoming) {
            self.outcome = HeadOutcome::SessionLost;
            return;
        }
        // A refusal is an error, whatever its body says.
        let is_success = matches!(self.outcome, HeadOutcome::Message | HeadOutcome::Events);
        match &incoming {
            Incoming::Result { .. } | Incoming::InputRequired { .. } | Incoming::Task { .. }
                if !is_success => {}
            Incoming::Result { range, .. } | Incoming::Task { range } if self.about.is_some() => {
                self.answer(
                    to.endpoint.exposed(RelayedPart::as_is(text, range)),
                    to.queue,
                );
            }
            Incoming::Task { range } => self.take_task(text, (range.clone(), None), to),
            Incoming::Result { range, .. } if self.takes_legacy_task(text, range, to) => {}
            Incoming::InputRequired { requests, state } => {
                let parts = (requests.clone(), state.clone());
                if let Err(fault) = self.take_input(text, parts, to) {
                    self.fault = Some(fault.to_string());
                }
            }
            Incoming::Error { range, code } if self.takes_pages(text, (range, *code), to) => {}
            Incoming::Result { .. } | Incoming::Error { .. } => {
                match (RelayedPart::of(text, &incoming, way.as_ref()), way) {
                    (Some(part), Some(_)) => self.answer(to.endpoint.exposed(part), to.queue),
                    (Some(part), None) => self.answer(part, to.queue),
                    (None, _) => {}
                }
            }
            Incoming::Progress { .. } | Incoming::Log { .. } => self.notify(text, &incoming),
            Incoming::Acknowledged => {
                self.is_open = true;
                self.pass_on(SubscriptionEvent::Acknowledged);
            }
            Incoming::ListChanged(_) => self.pass_on(SubscriptionEvent::ListChanged),
            Incoming::ResourceUpdated { uri } => {
                if let Recipient::Subscription(subscription) = &self.recipient {
                    subscription.handle_update(&to.endpoint.exposed_uri(uri));
                }
            }
            Incoming::Request { id, method, params } => {
                self.take_request(text, id, (method, params.clone()), to);
            }
            Incoming::Other => {}
        }
    }

    /// Sends a notification to the client of the call.
    fn notify(&self, text: &[u8], incoming: &Incoming) {
        let Recipient::Call(call, ..) = &self.recipient else {
            return;
        };
        let write = |token: Option<Id<'_>>| {
            let mut message = Vec::with_capacity(text.len());
            write_notification(&mut message, text, incoming, token);
            message
        };
        match incoming {
            Incoming::Progress { progress, .. } => {
                call.relay_progress(*progress, |token| write(Some(token)));
            }
            Incoming::Log { level, .. }
                if call.relayed_log_level().is_some_and(|it| *level >= it) =>
            {
                call.relay_message(write(None));
            }
            _ => {}
        }
    }

    fn pass_on(&self, event: SubscriptionEvent) {
        if let Recipient::Subscription(subscription) = &self.recipient {
            subscription.send(event);
        }
    }

    fn answer(&mut self, part: RelayedPart, queue: &EventQueue) {
        match std::mem::replace(&mut self.recipient, Recipient::Nobody) {
            Recipient::Call(_, key, _) => {
                queue.leave(CallEvent::Done(key, Ok(Answer::Relayed(part))));
            }
            Recipient::Parked(answer) => *answer.borrow_mut() = Some(part),
            Recipient::Control(upstream, reply) => {
                let answer = ControlAnswer::Message(part);
                // The control side may have ended.
                let _ = reply.send(ControlEvent::Answer(upstream, answer));
            }
            Recipient::Handshake(mut handshake) => {
                handshake.answer = Some(part);
                self.recipient = Recipient::Handshake(handshake);
            }
            Recipient::Subscription(mut subscription) => {
                if let RelayedPart::Error(error) = &part {
                    let error = String::from_utf8_lossy(error).into_owned();
                    subscription.fault = Some(error);
                }
            }
            Recipient::Stream(_)
            | Recipient::Delivery(_)
            | Recipient::SessionStream
            | Recipient::Nobody => {}
        }
    }

    fn fail_control(&mut self, failure: &Failure) {
        let recipient = std::mem::replace(&mut self.recipient, Recipient::Nobody);
        if let Recipient::Control(upstream, reply) = recipient {
            let answer = ControlAnswer::Failed {
                status: (self.status != 0).then_some(self.status),
                failure: failure.clone(),
            };
            // The control side may have ended.
            let _ = reply.send(ControlEvent::Answer(upstream, answer));
        }
    }

    fn is_full(&self) -> bool {
        matches!(&self.recipient, Recipient::Call(call, ..) if !call.has_room())
    }
}
