//! One HTTP/1.1 connection: requests in order, one answer at a time.
//!
//! A whole request that is answered at once leaves nothing behind: it is parsed where it was
//! received, and its answer goes into the output of this step. Everything else, partial input, a
//! call that waits, output behind a send, needs an [`ConnectionBuffers`].
//!
//! ```text
//! Idle <-> Reading -> Waiting -> Streaming      any of them -> Flushing -> Lingering
//! ```

use corelane_protocol::binding::accept::{self, Accept};
use corelane_protocol::binding::http::{self, Route};
use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::framing::http1::{
    CONTINUE, Field, Framer, Method, RequestHead, Status, Step,
};

use super::buffers::{ConnectionBuffers, Reply, WaitingRequest};
use super::context::{Context, Rules};
use super::response::{self, Extra};
use super::timer::Timer;
use crate::guard::origin::OriginRefusal;
use crate::handler::event_queue::CallKey;
use crate::io::ring::Hangup;
use crate::mcp::requester::Requester;
use crate::mcp::{Disposition, StreamOwner};

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

/// How the bytes of a connection are asked for; `shard::reading` decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecvMode {
    /// A watch announces them.
    Poll,
    /// A watch announces them, and did so a moment ago.
    PollThenMultishot,
    /// An armed receive brings them.
    Multishot,
    /// An armed receive was told to stop and has not ended.
    Cancelling,
}

/// One connection. Small: an idle one is nothing but this.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) phase: Phase,
    pub(crate) reading: RecvMode,
    /// A send is under way.
    pub(crate) is_sending: bool,
    /// The peer sends no more.
    pub(super) is_read_closed: bool,
    /// What the watch said of the peer; bytes from before it may not be received yet.
    pub(crate) hangup: Hangup,
    /// Number of the current or last request; answers to another one are late.
    pub(crate) sequence: u32,
    /// The deadline that runs, and for which request.
    pub(crate) armed: (Timer, u32),
    pub(crate) buffers: Option<Box<ConnectionBuffers>>,
}

impl Connection {
    /// A connection that was just accepted.
    pub(crate) fn new() -> Connection {
        Connection {
            phase: Phase::Idle,
            reading: RecvMode::Poll,
            is_sending: false,
            is_read_closed: false,
            hangup: Hangup::None,
            sequence: 0,
            armed: (Timer::None, 0),
            buffers: None,
        }
    }

    /// The peer sent `bytes`, which may be changed in place.
    pub(crate) fn received(&mut self, bytes: &mut [u8], context: &mut Context<'_>) {
        match self.phase {
            Phase::Flushing { .. } => {}
            Phase::Lingering => self.linger(bytes.len(), context),
            Phase::Waiting | Phase::Streaming => self.keep_input(bytes, context),
            Phase::Idle | Phase::ReadingHead | Phase::ReadingBody => {
                let buffers = self.buffers.as_deref();
                let has_turn = buffers.is_some_and(|buffers| buffers.has_turn);
                if has_turn || context.requests_left == 0 {
                    // Others come first.
                    self.keep_input(bytes, context);
                    self.buffers(context).is_unseen = true;
                } else if buffers.is_some_and(|buffers| buffers.input.is_some()) {
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
        self.give_back_buffers(context);
    }

    /// Goes on with input that was kept.
    pub(crate) fn resume(&mut self, context: &mut Context<'_>) {
        if !self.is_between_answers() {
            return;
        }
        if context.requests_left == 0 {
            return;
        }
        let Some(buffers) = &mut self.buffers else {
            return;
        };
        buffers.is_unseen = false;
        let Some(mut input) = buffers.input.take() else {
            return;
        };
        *context.input_bytes -= input.len();
        let consumed = self.process(&mut input, context);
        if consumed < input.len() && self.reads() {
            input.drain(..consumed);
            *context.input_bytes += input.len();
            self.buffers(context).input = Some(input);
        } else {
            context.chunks.give(input);
        }
        self.end_if_read_closed();
        self.give_back_buffers(context);
    }

    /// Whether the next thing to do is to read a request.
    pub(super) fn is_between_answers(&self) -> bool {
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
                let ends = self.hangup_ends(context);
                if ends {
                    self.phase = Phase::Flushing { lingers: false };
                }
                ends
            }
        }
    }

    /// Whether what the peer waits for is of no use when the peer sends no more.
    pub(crate) fn hangup_ends(&self, context: &mut Context<'_>) -> bool {
        if !matches!(self.phase, Phase::Waiting | Phase::Streaming) {
            return false;
        }
        let Some(waiting) = self.buffers.as_ref().and_then(|it| it.waiting.as_ref()) else {
            return true;
        };
        waiting.stream.is_some_and(StreamOwner::stays_open)
            || waiting
                .call
                .is_some_and(|call| context.endpoint.core().hangup_ends(call))
    }

    /// Throws away what arrives after the last answer.
    fn linger(&mut self, bytes: usize, context: &mut Context<'_>) {
        let buffers = self.buffers(context);
        buffers.lingered_bytes += bytes;
        if buffers.lingered_bytes > context.rules.connection.linger_bytes_max {
            self.phase = Phase::Flushing { lingers: false };
        }
    }

    fn reads(&self) -> bool {
        !matches!(self.phase, Phase::Flushing { .. } | Phase::Lingering)
    }

    /// Handles whole requests at the start of `input`; returns how many bytes they took.
    fn process(&mut self, input: &mut [u8], context: &mut Context<'_>) -> usize {
        let mut framer = match &mut self.buffers {
            Some(buffers) => std::mem::take(&mut buffers.framer),
            None => Framer::default(),
        };
        let mut consumed = 0;
        while consumed < input.len() && context.requests_left > 0 && !context.is_out_full() {
            match framer.step(&mut input[consumed..], &context.rules.http) {
                Err(refusal) => {
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
                    self.buffers(context).framer = framer;
                    return consumed;
                }
                // By reference: the head is a few hundred bytes.
                Ok(Step::Request {
                    ref head,
                    body,
                    consumed: bytes,
                }) => {
                    context.requests_left -= 1;
                    consumed += bytes;
                    self.phase = Phase::Idle;
                    self.request(head, body, context);
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
        let accept = Accept::read(head.accept);
        // A stream to HTTP/1.0 ends with its connection.
        let may_go_on = head.version_minor >= 1 || accept.json;
        // The answer to HEAD has no body (RFC 9110 9.3.2), and nothing here answers HEAD.
        let is_head = head.method == Method::Head;
        let reply = Reply {
            keep_alive: head.keep_alive && may_go_on && !is_head && !context.is_draining,
            version_minor: head.version_minor,
            accept,
        };
        if !reply.keep_alive {
            // A peer that expected to go on may have sent more already.
            self.phase = Phase::Flushing {
                lingers: context.is_draining,
            };
        }
        if is_head {
            let date = context.date;
            response::write_empty(context.out(), &reply, date, Status::MethodNotAllowed);
            return;
        }
        let mut scratch = std::mem::take(context.scratch);
        scratch.clear();
        let exchange = context.exchange(self.sequence, accept.event_stream);
        let endpoint = &mut *context.endpoint;
        let disposition = match who_asks(head, context.rules) {
            Err(reason) => endpoint.core().refuse(None, reason, &mut scratch),
            Ok(principal) => {
                let requester = &Requester::Here { head, principal };
                match check(head, &reply, context.rules) {
                    Ok(Route::Post) => {
                        endpoint.post((head, requester), body, exchange, &mut scratch)
                    }
                    Ok(Route::OpenStream {
                        session,
                        last_event_id,
                    }) => {
                        let wanted = (session, last_event_id);
                        endpoint.open_stream(requester, wanted, exchange, &mut scratch)
                    }
                    Ok(Route::EndSession(headers)) => {
                        endpoint.end_session(requester, headers, exchange, &mut scratch)
                    }
                    Err(reason) => endpoint.core().refuse(None, reason, &mut scratch),
                }
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
            Disposition::Pending(call) => self.wait(reply, call, None, context),
            Disposition::Forward { home, request } => {
                self.wait(reply, None, None, context);
                context.forwards.push((home, request));
            }
            Disposition::Stream(owner) => {
                self.wait(reply, None, Some(owner), context);
                self.begin_stream(context);
            }
        }
    }

    fn wait(
        &mut self,
        reply: Reply,
        call: Option<CallKey>,
        stream: Option<StreamOwner>,
        context: &mut Context<'_>,
    ) {
        self.phase = Phase::Waiting;
        self.buffers(context).waiting = Some(WaitingRequest {
            reply,
            call,
            stream,
            batch: None,
        });
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
}

/// Who asks, if there is a header that says so.
fn who_asks<'a>(head: &RequestHead<'a>, rules: &Rules) -> Result<Option<&'a str>, Reason<'a>> {
    let Some(header) = &rules.principal else {
        return Ok(None);
    };
    let principal = header.read(head.headers());
    principal.map_err(|refusal| Reason::Principal(refusal.to_string()))
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
        Route::OpenStream { .. } if !accept.event_stream => {
            Err(Reason::NotAcceptable("text/event-stream"))
        }
        route => Ok(route),
    }
}
