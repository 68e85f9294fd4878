//! One HTTP/1.1 connection: requests in order, one answer at a time.
//!
//! A whole request that is answered at once leaves nothing behind: it is parsed where it was
//! received, and its answer goes into the output of this step. Everything else, partial input, a
//! call that waits, output behind a send, needs an [`ConnectionBuffers`].
//!
//! ```text
//! Idle <-> Reading -> Waiting -> Streaming or Padding      any of them -> Flushing -> Lingering
//! ```

use corelane_protocol::binding::accept::{self, Accept};
use corelane_protocol::binding::claims::Claims;
use corelane_protocol::binding::http::{self, Route};
use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::framing::http1::{
    CONTINUE, Field, Framer, Method, RequestHead, Status, Step,
};

use super::buffers::{ConnectionBuffers, Reply, WaitingRequest};
use super::context::{Context, Rules};
use super::postponed::PostponedRequest;
use super::response::{self, Extra};
use super::timer::Timer;
use crate::guard::origin::OriginRefusal;
use crate::mcp::{Disposition, Inbound, Requester, StreamOwner};
use corelane_io::ring::Hangup;

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
    /// The head of an answer in JSON was sent; spaces follow until its message is there.
    Padding,
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
    /// The peer sends no more.
    pub(super) is_read_closed: bool,
    /// What the watch said of the peer; bytes from before it may not be received yet.
    pub(crate) hangup: Hangup,
    /// Number of the current or last request; answers to another one are late.
    pub(crate) sequence: u32,
    /// Bytes of memory that the send under way holds until all of it is sent; 0 without one.
    pub(crate) sending_bytes: u32,
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
            is_read_closed: false,
            hangup: Hangup::None,
            sequence: 0,
            sending_bytes: 0,
            armed: (Timer::None, 0),
            buffers: None,
        }
    }

    /// The peer sent `bytes`, which may be changed in place.
    pub(crate) fn received(&mut self, bytes: &mut [u8], context: &mut Context<'_>) {
        match self.phase {
            Phase::Flushing { .. } => {}
            Phase::Lingering => self.linger(bytes.len(), context),
            Phase::Waiting | Phase::Streaming | Phase::Padding => self.keep_input(bytes, context),
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
            Phase::Waiting | Phase::Streaming | Phase::Padding => {
                let ends = self.hang_up(context);
                if ends {
                    self.phase = Phase::Flushing { lingers: false };
                }
                ends
            }
        }
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

    /// Handles whole requests at the start of `input`; returns how many bytes they took. With as
    /// much output as a peer may have, what is left waits until the peer has taken some of it.
    fn process(&mut self, input: &mut [u8], context: &mut Context<'_>) -> usize {
        if self.is_output_full(context) {
            // A part of a request waits as a whole one does; the framer goes on where it stopped.
            self.phase = Phase::Idle;
            return 0;
        }
        let mut framer = match &mut self.buffers {
            Some(buffers) => std::mem::take(&mut buffers.framer),
            None => Framer::default(),
        };
        let mut consumed = 0;
        while consumed < input.len() && context.requests_left > 0 && !self.is_output_full(context) {
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
        let reply = Reply {
            keep_alive: head.keep_alive && may_go_on && !context.is_draining,
            is_head: head.method == Method::Head,
            version_minor: head.version_minor,
            accept,
        };
        self.answer(head, body, reply, context);
    }

    /// Answers a request, or lets it wait for its answer.
    pub(super) fn answer(
        &mut self,
        head: &RequestHead<'_>,
        body: &[u8],
        reply: Reply,
        context: &mut Context<'_>,
    ) {
        if !reply.keep_alive {
            // A peer that expected to go on may have sent more already.
            self.phase = Phase::Flushing {
                lingers: context.is_draining,
            };
        }
        let mut scratch = std::mem::take(context.scratch);
        scratch.clear();
        let exchange = context.exchange(self.sequence, reply.accept.event_stream);
        let peer = context.peer;
        let output_bytes_max = context.rules.connection.output_bytes_per_shard_max;
        let is_overloaded = context.shard_output_bytes >= output_bytes_max;
        let endpoint = &mut *context.endpoint;
        let checked = who_asks(head, context.rules).and_then(|principal| {
            let route = check(head, &reply, context.rules)?;
            Ok((principal, route))
        });
        let field = checked.as_ref().err().and_then(Reason::field);
        let disposition = match checked {
            Err(reason) => {
                warn_of_refused_hosts(&reason, context.rules, endpoint.now_ms());
                endpoint.refuse(None, reason, &mut scratch)
            }
            Ok(_) if is_overloaded => {
                let text = "the unsent answers of all clients take too much memory";
                endpoint.refuse(None, Reason::Overloaded(text), &mut scratch)
            }
            Ok((principal, route)) => {
                let claims = Claims::of_head(head);
                let inbound = Inbound {
                    requester: &Requester::Here {
                        claims,
                        principal,
                        peer,
                    },
                    exchange,
                    own_session: None,
                };
                match route {
                    Route::Post => endpoint.handle_message(inbound, body, &mut scratch),
                    Route::OpenStream {
                        session,
                        last_event_id,
                    } => {
                        let wanted = (session, last_event_id);
                        endpoint.handle_open_stream(inbound, wanted, &mut scratch)
                    }
                    Route::EndSession(session) => {
                        endpoint.handle_delete_session(inbound, session, &mut scratch)
                    }
                }
            }
        };
        if let Disposition::PeerNeeded = disposition {
            let request = PostponedRequest::new(head, body);
            context.postponed.push((context.key, request));
            // It is not the call of a tool that takes its time: nothing is sent before its answer.
            self.wait(reply, context).is_post = false;
        } else {
            self.settle(disposition, (reply, field), &scratch, context);
        }
        *context.scratch = scratch;
    }

    /// Answers a request, or remembers how to.
    fn settle(
        &mut self,
        disposition: Disposition,
        (reply, field): (Reply, Option<(&'static str, &'static str)>),
        body: &[u8],
        context: &mut Context<'_>,
    ) {
        let date = context.date;
        match disposition {
            Disposition::Answer { refused, session } => {
                let (status, extra) = (http::status_of(refused), Extra { session, field });
                response::write_message(context.out(), &reply, date, status, &extra, body);
            }
            Disposition::Accepted => {
                response::write_empty(context.out(), &reply, date, Status::Accepted);
            }
            Disposition::Done => {
                response::write_empty(context.out(), &reply, date, Status::NoContent);
            }
            Disposition::Pending(call) => {
                self.wait(reply, context).call = call;
            }
            Disposition::PendingCalls(session) => {
                self.wait(reply, context).stream = Some(StreamOwner::Calls(session));
            }
            Disposition::Forward { home, request } => {
                let waiting = self.wait(reply, context);
                waiting.is_post = request.kind.is_post();
                waiting.stream = request.answered_by();
                context.forwards.push((home, request));
            }
            Disposition::PeerNeeded => unreachable!("the request was postponed"),
            Disposition::Stream(owner) => {
                self.wait(reply, context);
                self.open_stream(owner, context);
            }
        }
    }

    fn wait(&mut self, reply: Reply, context: &mut Context<'_>) -> &mut WaitingRequest {
        self.phase = Phase::Waiting;
        self.buffers(context).waiting.insert(WaitingRequest {
            reply,
            is_post: true,
            call: None,
            stream: None,
            batch: None,
        })
    }

    /// Refuses bytes that are no request; nothing after them can be trusted.
    pub(super) fn refuse_framing(&mut self, status: Status, text: &str, context: &mut Context<'_>) {
        let reply = Reply {
            keep_alive: false,
            is_head: false,
            version_minor: 1,
            accept: Accept {
                json: true,
                event_stream: false,
            },
        };
        let mut body = Vec::new();
        let reason = Reason::Framing(text);
        context.endpoint.refuse(None, reason, &mut body);
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

/// How often at most a shard warns of requests that were refused for their host or origin, in
/// milliseconds: an operator sees within a minute why a proxy or a page gets nothing.
pub(crate) const REFUSAL_WARNING_INTERVAL_MS: u64 = 60_000;

/// Warns of a request that the host check or the origin check refused, which is the fault of the
/// configuration as often as of the peer.
fn warn_of_refused_hosts(reason: &Reason<'_>, rules: &Rules, now_ms: u64) {
    if let Reason::Forbidden(text) = reason
        && let Some(others) = rules.refusals.admit(now_ms)
    {
        tracing::warn!(others_since_the_last = others, "refused a request: {text}");
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
    head: &'a RequestHead<'a>,
    reply: &Reply,
    rules: &'a Rules,
) -> Result<Route<'a>, Reason<'a>> {
    let (host, origin) = (head.effective_host(), head.origin.value());
    let allowed = match head.origin {
        Field::Repeated => Err(OriginRefusal::OriginRepeated),
        _ => rules.origin.check(host, origin),
    };
    allowed.map_err(|refusal| Reason::Forbidden(refusal.explain(host, origin)))?;
    let route = http::route(head, &rules.endpoint_path)?;
    let accept = reply.accept;
    match route {
        Route::Post if head.content_type == Field::Repeated => {
            Err(Reason::HeaderDiffers("Content-Type"))
        }
        Route::Post if !accept::is_json(head.content_type) => Err(Reason::ContentType),
        Route::Post if head.is_encoded => Err(Reason::ContentEncoding),
        Route::Post if !accept.json && !accept.event_stream => Err(Reason::NotAcceptable(
            "application/json or text/event-stream",
        )),
        Route::OpenStream { .. } if !accept.event_stream => {
            Err(Reason::NotAcceptable("text/event-stream"))
        }
        route => Ok(route),
    }
}
