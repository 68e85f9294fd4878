//! One HTTP/1.1 connection: requests in order, one answer at a time.
//!
//! A whole request that is answered at once leaves nothing behind: it is parsed where it was
//! received, and its answer goes into the output of this step. Everything else, partial input, a
//! call that waits, output behind a send, needs an [`Active`].
//!
//! ```text
//! Idle <-> Reading -> Waiting -> Streaming      any of them -> Flushing -> Lingering
//! ```

use corelane_protocol::binding::accept::{self, Accept};
use corelane_protocol::binding::http::{self, Route};
use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::framing::http1::{CONTINUE, Field, Framer, RequestHead, Status, Step};

use corelane_protocol::limits::HttpLimits;

use super::active::{Active, Reply, WaitingRequest};
use super::response::{self, Date, Extra};
use super::timer::Timer;
use crate::guard::origin::{OriginPolicy, OriginRefusal};
use crate::io::chunk::{Chunk, ChunkPool};
use crate::io::slots::SlotKey;
use crate::mcp::{Disposition, Endpoint, Exchange, Forwarded};
use crate::meter::{Counter, ShardMeter};
use crate::profile::Connection as ConnectionProfile;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing.
    Idle,
    /// Part of a head has arrived.
    ReadingHead,
    /// A head and part of its body have arrived.
    ReadingBody,
    /// A request waits for its answer.
    Waiting,
    /// A stream of events is open.
    Streaming,
    /// Nothing more is read; the connection ends when its output is sent.
    Flushing {
        /// The peer may still be sending: read that before closing, or it never sees the answer.
        lingers: bool,
    },
    /// The output is sent; what still arrives is thrown away.
    Lingering,
}

/// One connection. Small: an idle one is nothing but this.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) phase: Phase,
    /// A send is under way.
    pub(crate) is_sending: bool,
    /// The peer sends no more.
    pub(super) is_read_closed: bool,
    /// Number of the current or last request; answers to another one are late.
    pub(crate) sequence: u32,
    /// The deadline that runs, and for which request.
    pub(crate) armed: (Timer, u32),
    pub(crate) active: Option<Box<Active>>,
}

/// What a connection works with during one step.
pub(crate) struct Context<'e> {
    pub(crate) endpoint: &'e mut Endpoint,
    pub(crate) chunks: &'e mut ChunkPool,
    #[expect(
        clippy::vec_box,
        reason = "the boxes are what is kept: they go back as they are"
    )]
    pub(crate) spare_actives: &'e mut Vec<Box<Active>>,
    pub(crate) scratch: &'e mut Vec<u8>,
    pub(crate) forwards: &'e mut Vec<(u16, Box<Forwarded>)>,
    pub(crate) meter: &'e ShardMeter,
    pub(crate) rules: &'e Rules,
    pub(crate) date: &'e Date,
    pub(crate) shard: u16,
    pub(crate) key: SlotKey,
    pub(crate) is_draining: bool,
    /// Requests this connection may still make in this turn.
    pub(crate) requests_left: u32,
    /// Bytes to be sent, made by this step.
    pub(crate) out: Option<Chunk>,
}

/// What is the same for all connections of a shard.
#[derive(Debug)]
pub(crate) struct Rules {
    /// Limits on framing.
    pub(crate) http: HttpLimits,
    /// Limits on connections.
    pub(crate) connection: ConnectionProfile,
    /// Who may talk to this server.
    pub(crate) origin: OriginPolicy,
    /// Path of the endpoint.
    pub(crate) endpoint_path: String,
}

impl Context<'_> {
    /// The output of this step.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        const ANSWER_BYTES_TYPICAL: usize = 1024;
        self.out
            .get_or_insert_with(|| self.chunks.take(ANSWER_BYTES_TYPICAL))
    }

    fn exchange(&self, sequence: u32) -> Exchange {
        Exchange {
            shard: self.shard,
            slot: self.key,
            sequence,
        }
    }
}

impl Connection {
    /// A connection that was just accepted.
    pub(crate) fn new() -> Connection {
        Connection {
            phase: Phase::Idle,
            is_sending: false,
            is_read_closed: false,
            sequence: 0,
            armed: (Timer::None, 0),
            active: None,
        }
    }

    /// The peer sent `bytes`, which may be changed in place.
    pub(crate) fn received(&mut self, bytes: &mut [u8], context: &mut Context<'_>) {
        match self.phase {
            Phase::Flushing { .. } => {}
            Phase::Lingering => self.linger(bytes.len(), context),
            Phase::Waiting | Phase::Streaming => self.keep_input(bytes, context),
            Phase::Idle | Phase::ReadingHead | Phase::ReadingBody => {
                if self
                    .active
                    .as_ref()
                    .is_some_and(|active| active.input.is_some())
                {
                    self.keep_input(bytes, context);
                    self.resume(context);
                } else {
                    let consumed = self.process(bytes, context);
                    if consumed < bytes.len() && self.reads() {
                        self.keep_input(&bytes[consumed..], context);
                    }
                }
            }
        }
        self.give_back_active(context);
    }

    /// Goes on with input that was kept.
    pub(crate) fn resume(&mut self, context: &mut Context<'_>) {
        if !self.is_between_answers() {
            return;
        }
        let Some(mut input) = self.active.as_mut().and_then(|active| active.input.take()) else {
            return;
        };
        let consumed = self.process(&mut input, context);
        if consumed < input.len() && self.reads() {
            input.drain(..consumed);
            self.active(context).input = Some(input);
        } else {
            context.chunks.give(input);
        }
        self.end_if_read_closed();
        self.give_back_active(context);
    }

    /// Whether the next thing to do is to read a request.
    fn is_between_answers(&self) -> bool {
        matches!(
            self.phase,
            Phase::Idle | Phase::ReadingHead | Phase::ReadingBody
        )
    }

    /// A peer that sends no more gets its answers, and then the connection ends.
    pub(super) fn end_if_read_closed(&mut self) {
        if self.is_read_closed && self.is_between_answers() && !self.has_requests_left_over() {
            self.phase = Phase::Flushing { lingers: false };
        }
    }

    /// Whether requests that were received wait for a turn.
    pub(crate) fn has_requests_left_over(&self) -> bool {
        matches!(self.phase, Phase::Idle)
            && self
                .active
                .as_ref()
                .is_some_and(|active| active.input.is_some())
    }

    /// Whether the connection has requests left over and needs a turn for them, once. A peer that
    /// does not take its answers gets no more of them made.
    pub(crate) fn takes_turn(&mut self, profile: &ConnectionProfile) -> bool {
        if !self.has_requests_left_over() || self.has_much_output(profile) {
            return false;
        }
        let active = self.active.as_mut();
        active.is_some_and(|active| !std::mem::replace(&mut active.has_turn, true))
    }

    /// Takes the turn.
    pub(crate) fn begin_turn(&mut self) {
        if let Some(active) = &mut self.active {
            active.has_turn = false;
        }
    }

    /// Whether reading has to stop until the connection has done some of its work.
    pub(crate) fn is_full(&self, profile: &ConnectionProfile) -> bool {
        let Some(active) = &self.active else {
            return false;
        };
        let input = active.input.as_ref().map_or(0, |chunk| chunk.len());
        let waits = matches!(self.phase, Phase::Idle | Phase::Waiting | Phase::Streaming);
        (waits && input >= profile.pipelined_bytes_max) || self.has_much_output(profile)
    }

    /// Notes that reading has to stop, if it has.
    pub(crate) fn pause_if_full(&mut self, context: &mut Context<'_>) -> bool {
        let is_full = self.is_full(&context.rules.connection);
        if is_full {
            self.active(context).is_paused = true;
        }
        is_full
    }

    /// Whether reading stopped and can go on; it does go on then.
    pub(crate) fn resume_reading(&mut self, context: &mut Context<'_>) -> bool {
        if !self.active.as_ref().is_some_and(|active| active.is_paused)
            || self.is_full(&context.rules.connection)
        {
            return false;
        }
        self.active(context).is_paused = false;
        self.give_back_active(context);
        true
    }

    /// Puts output behind the send that is under way.
    pub(crate) fn queue_output(&mut self, chunk: Chunk, context: &mut Context<'_>) {
        let active = self.active(context);
        match &mut active.output {
            None => active.output = Some(chunk),
            Some(output) => {
                output.extend_from_slice(&chunk);
                context.chunks.give(chunk);
            }
        }
    }

    /// A request took too long to arrive (RFC 9110 15.5.9).
    pub(crate) fn time_out(&mut self, is_head: bool, context: &mut Context<'_>) {
        let profile = &context.rules.connection;
        let (part, limit_ms) = match is_head {
            true => ("head", profile.head_timeout_ms),
            false => ("body", profile.body_timeout_ms),
        };
        self.sequence = self.sequence.wrapping_add(1);
        let text = format!("request {part} took longer than {limit_ms} ms");
        self.refuse_framing(Status::RequestTimeout, &text, context);
    }

    /// Whether the peer takes its output so slowly that no more should be made for it.
    pub(crate) fn has_much_output(&self, profile: &ConnectionProfile) -> bool {
        let output = self
            .active
            .as_ref()
            .and_then(|active| active.output.as_ref());
        output.is_some_and(|output| output.len() >= profile.output_bytes_max)
    }

    /// The peer sends no more. Returns whether the connection is of no use any more.
    pub(crate) fn finished(&mut self, context: &mut Context<'_>) -> bool {
        self.is_read_closed = true;
        match self.phase {
            Phase::Lingering => true,
            Phase::Flushing { .. } => {
                self.phase = Phase::Flushing { lingers: false };
                false
            }
            Phase::Idle | Phase::ReadingHead | Phase::ReadingBody => {
                self.end_if_read_closed();
                false
            }
            Phase::Waiting | Phase::Streaming => {
                let Some(waiting) = self.active.as_mut().and_then(|it| it.waiting.as_mut()) else {
                    return true;
                };
                let ends = waiting.stream.is_some()
                    || waiting
                        .call
                        .is_some_and(|call| context.endpoint.core().hangup_ends(call));
                if ends {
                    self.phase = Phase::Flushing { lingers: false };
                }
                ends
            }
        }
    }

    /// Throws away what arrives after the last answer.
    fn linger(&mut self, bytes: usize, context: &mut Context<'_>) {
        let active = self.active(context);
        active.lingered_bytes += bytes;
        if active.lingered_bytes > context.rules.connection.linger_bytes_max {
            self.phase = Phase::Flushing { lingers: false };
        }
    }

    fn reads(&self) -> bool {
        !matches!(self.phase, Phase::Flushing { .. } | Phase::Lingering)
    }

    fn keep_input(&mut self, bytes: &[u8], context: &mut Context<'_>) {
        if self
            .active
            .as_ref()
            .is_none_or(|active| active.input.is_none())
        {
            let chunk = context.chunks.take(bytes.len());
            self.active(context).input = Some(chunk);
        }
        let input = self
            .active(context)
            .input
            .as_mut()
            .expect("it was put there above");
        input.extend_from_slice(bytes);
    }

    /// Handles whole requests at the start of `input`; returns how many bytes they took.
    fn process(&mut self, input: &mut [u8], context: &mut Context<'_>) -> usize {
        let mut framer = match &mut self.active {
            Some(active) => std::mem::take(&mut active.framer),
            None => Framer::default(),
        };
        let mut consumed = 0;
        while consumed < input.len() && context.requests_left > 0 {
            match framer.step(&mut input[consumed..], &context.rules.http) {
                Err(refusal) => {
                    context.meter.count(Counter::RefusedFraming);
                    self.sequence = self.sequence.wrapping_add(1);
                    self.refuse_framing(refusal.status(), &refusal.to_string(), context);
                    return input.len();
                }
                Ok(Step::NeedMore {
                    continue_due,
                    head_complete,
                    ..
                }) => {
                    if continue_due {
                        context.out().extend_from_slice(CONTINUE);
                    }
                    self.phase = if head_complete {
                        Phase::ReadingBody
                    } else {
                        Phase::ReadingHead
                    };
                    self.active(context).framer = framer;
                    return consumed;
                }
                Ok(Step::Request {
                    head,
                    body,
                    consumed: bytes,
                }) => {
                    context.requests_left -= 1;
                    consumed += bytes;
                    self.phase = Phase::Idle;
                    self.request(&head, body, context);
                    if self.phase != Phase::Idle {
                        return consumed;
                    }
                }
            }
        }
        consumed
    }

    fn request(&mut self, head: &RequestHead<'_>, body: &[u8], context: &mut Context<'_>) {
        self.sequence = self.sequence.wrapping_add(1);
        let reply = Reply {
            keep_alive: head.keep_alive && !context.is_draining,
            version_minor: head.version_minor,
            accept: Accept::read(head.accept),
        };
        if !reply.keep_alive {
            self.phase = Phase::Flushing { lingers: false };
        }
        let mut scratch = std::mem::take(context.scratch);
        scratch.clear();
        let exchange = context.exchange(self.sequence);
        let disposition = match check(head, &reply, context.rules) {
            Ok(Route::Post) => context.endpoint.post(head, body, exchange, &mut scratch),
            Ok(Route::OpenStream(headers)) => {
                context
                    .endpoint
                    .open_stream(headers, exchange, &mut scratch)
            }
            Ok(Route::EndSession(headers)) => {
                context
                    .endpoint
                    .end_session(headers, exchange, &mut scratch)
            }
            Err(reason) => {
                let is_origin = matches!(reason, Reason::Forbidden(_));
                context
                    .meter
                    .add(Counter::RefusedOrigin, u64::from(is_origin));
                context.endpoint.core().refuse(None, reason, &mut scratch)
            }
        };
        self.settle(disposition, reply, &scratch, context);
        *context.scratch = scratch;
    }

    /// Answers a request, or remembers how to.
    fn settle(
        &mut self,
        disposition: Disposition,
        reply: Reply,
        body: &[u8],
        context: &mut Context<'_>,
    ) {
        let date = context.date;
        match disposition {
            Disposition::Answer {
                status,
                session,
                allow,
            } => {
                let extra = Extra { session, allow };
                response::write_message(context.out(), &reply, date, status, &extra, body);
            }
            Disposition::Accepted => {
                response::write_empty(context.out(), &reply, date, Status::Accepted);
            }
            Disposition::Done => {
                response::write_empty(context.out(), &reply, date, Status::NoContent);
            }
            Disposition::Pending(call) => {
                self.wait(
                    WaitingRequest {
                        reply,
                        call,
                        stream: None,
                    },
                    context,
                );
            }
            Disposition::Forward { home, request } => {
                self.wait(
                    WaitingRequest {
                        reply,
                        call: None,
                        stream: None,
                    },
                    context,
                );
                context.forwards.push((home, request));
            }
            Disposition::Stream(session) => {
                self.wait(
                    WaitingRequest {
                        reply,
                        call: None,
                        stream: Some(session),
                    },
                    context,
                );
                self.begin_stream(context);
            }
        }
    }

    fn wait(&mut self, waiting: WaitingRequest, context: &mut Context<'_>) {
        self.phase = Phase::Waiting;
        self.active(context).waiting = Some(waiting);
    }

    /// Refuses bytes that are no request; nothing after them can be trusted.
    pub(super) fn refuse_framing(&mut self, status: Status, text: &str, context: &mut Context<'_>) {
        let reply = Reply {
            keep_alive: false,
            version_minor: 1,
            accept: Accept {
                json: true,
                event_stream: false,
            },
        };
        let mut body = Vec::new();
        let reason = Reason::Framing(text);
        context.endpoint.core().refuse(None, reason, &mut body);
        let date = context.date;
        response::write_message(
            context.out(),
            &reply,
            date,
            status,
            &Extra::default(),
            &body,
        );
        self.phase = Phase::Flushing { lingers: true };
    }

    pub(super) fn active(&mut self, context: &mut Context<'_>) -> &mut Active {
        self.active
            .get_or_insert_with(|| context.spare_actives.pop().unwrap_or_default())
    }

    /// Goes back to owning nothing when there is nothing to own.
    pub(crate) fn give_back_active(&mut self, context: &mut Context<'_>) {
        const SPARE_ACTIVES_MAX: usize = 1024;
        let is_spent = matches!(self.phase, Phase::Idle)
            && self.active.as_ref().is_some_and(|active| active.is_spent());
        if is_spent
            && let Some(mut active) = self.active.take()
            && context.spare_actives.len() < SPARE_ACTIVES_MAX
        {
            *active = Active::default();
            context.spare_actives.push(active);
        }
    }
}

/// What can be refused before the body is looked at.
fn check<'a>(
    head: &RequestHead<'a>,
    reply: &Reply,
    rules: &'a Rules,
) -> Result<Route<'a>, Reason<'a>> {
    let origin = match head.origin {
        Field::Repeated => Err(OriginRefusal::OriginRepeated),
        origin => rules.origin.check(head.effective_host(), origin.value()),
    };
    origin.map_err(|refusal| Reason::Forbidden(refusal.to_string()))?;
    let route = http::route(head, &rules.endpoint_path)?;
    let accept = reply.accept;
    match route {
        Route::Post if !accept::is_json(head.content_type) => Err(Reason::ContentType),
        Route::Post if !accept.json && !accept.event_stream => Err(Reason::NotAcceptable(
            "application/json or text/event-stream",
        )),
        Route::OpenStream(_) if !accept.event_stream => {
            Err(Reason::NotAcceptable("text/event-stream"))
        }
        route => Ok(route),
    }
}
