//! One HTTP/1.1 connection: requests in order, one answer at a time.
//!
//! A whole request that is answered at once leaves no state: it is parsed in the receive buffer,
//! and its answer goes into the output of this step. Everything else, partial input, a call that
//! waits, output behind a send, needs a [`ConnectionBuffers`].
//!
//! ```text
//! Idle <-> Reading -> Waiting -> Streaming or Padding      any of them -> Flushing -> Lingering
//! ```
//!
//! A connection that was upgraded goes on as of `websocket`.

use corelane_protocol::binding::accept::Accept;
use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::framing::http1::{CONTINUE, Framer, Method, Refusal, Status, Step};

use super::body::LargeRequest;
use super::buffers::ConnectionBuffers;
use super::context::Context;
use super::cors::{self, Page};
use super::foreign::{ForeignProtocol, HTTP2_GOAWAY};
use super::reply::{Reply, StartTime};
use super::response::{self, Extra};
use super::source::Source;
use super::timer::Timer;
use corelane_io::ring::Hangup;

/// The state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing.
    Idle,
    /// TLS has not begun, so that there is no byte for the connection.
    Handshaking,
    /// Part of a head has arrived.
    ReadingHead,
    /// A head and part of its body have arrived.
    ReadingBody,
    /// Part of a message of a channel has arrived.
    ReadingMessage,
    /// A message of a channel is decoded elsewhere; later ones wait for it.
    DecodingMessage,
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
    /// The output is sent; bytes that still arrive are discarded.
    Lingering,
}

/// How the bytes of a connection are received; `shard::reading` decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecvMode {
    /// A poll announces them.
    Poll,
    /// A poll announces them, and did so a moment ago.
    PollThenMultishot,
    /// An armed receive brings them.
    Multishot,
    /// A multishot receive was cancelled and has not ended.
    Cancelling,
}

/// One connection. Small: an idle one has no other memory.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) phase: Phase,
    pub(crate) reading: RecvMode,
    /// The peer sends no more.
    pub(crate) is_read_closed: bool,
    /// The last hang-up that the poll reported; earlier bytes may not be received yet.
    pub(crate) hangup: Hangup,
    /// Number of the current or last request; answers to another one are late.
    pub(crate) sequence: u32,
    /// Bytes of memory that the send under way holds until all of it is sent; 0 without one.
    pub(crate) sending_bytes: u32,
    /// The listener that it came from.
    pub(crate) source: Source,
    /// The deadline that runs.
    pub(crate) armed: Timer,
    /// The low bits of the number of the request that the deadline is for.
    pub(crate) armed_for: u16,
    pub(crate) buffers: Option<Box<ConnectionBuffers>>,
}

impl Connection {
    /// A connection that was just opened.
    pub(crate) fn from(source: Source) -> Connection {
        Connection {
            phase: match source.is_tls() {
                true => Phase::Handshaking,
                false => Phase::Idle,
            },
            reading: RecvMode::Poll,
            is_read_closed: false,
            hangup: Hangup::None,
            sequence: 0,
            sending_bytes: 0,
            source,
            armed: Timer::None,
            armed_for: 0,
            buffers: None,
        }
    }

    /// A connection that waits for its first bytes no longer than a head may take.
    pub(crate) fn awaited(source: Source) -> Connection {
        Connection {
            phase: Phase::ReadingHead,
            ..Connection::from(source)
        }
    }

    /// The header of its proxy is read, or is not expected.
    pub(crate) fn begin_requests(&mut self) {
        self.phase = match self.source.is_tls() {
            true => Phase::Handshaking,
            false => Phase::Idle,
        };
    }

    /// The peer sent `bytes`, which may be changed in place.
    pub(crate) fn received(&mut self, bytes: &mut [u8], context: &mut Context<'_>) {
        match self.phase {
            Phase::Flushing { .. } | Phase::Handshaking => {}
            Phase::Lingering => self.linger(bytes.len(), context),
            Phase::Waiting | Phase::Streaming | Phase::Padding | Phase::DecodingMessage => {
                self.keep_input(bytes, context);
            }
            Phase::Idle | Phase::ReadingHead | Phase::ReadingBody | Phase::ReadingMessage => {
                let buffers = self.buffers.as_deref();
                let has_turn = buffers.is_some_and(|buffers| buffers.has_turn);
                if has_turn || context.requests_left == 0 {
                    // Other connections come first. A step with TLS may have many records.
                    self.keep_input(bytes, context);
                    self.buffers(context).is_unseen = true;
                } else if buffers.is_some_and(|buffers| buffers.input.is_some()) {
                    self.keep_input(bytes, context);
                    self.resume(context);
                } else {
                    let Processed { consumed, large } = self.process(bytes, context);
                    if let Some(large) = large {
                        self.decode_elsewhere(large, bytes[..consumed].to_vec(), context);
                    }
                    if consumed < bytes.len() && self.reads() {
                        self.keep_input(&bytes[consumed..], context);
                    }
                    if self.buffers.is_some() {
                        self.end_if_read_closed(context);
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
        let Some(buffers) = &mut self.buffers else {
            return;
        };
        buffers.is_unseen = false;
        let Some(mut input) = buffers.input.take() else {
            return;
        };
        context.pool.input_bytes -= input.capacity();
        let Processed { consumed, large } = self.process(&mut input, context);
        if let Some(large) = large {
            // Later bytes arrived with the end of the body: little is copied.
            let rest = input.split_off(consumed);
            self.decode_elsewhere(large, std::mem::take(&mut *input), context);
            if !rest.is_empty() && self.reads() {
                self.keep_input(&rest, context);
            }
        } else if consumed < input.len() && self.reads() {
            // The rest of a long message is kept in memory of its own size.
            if consumed > 0 {
                let mut rest = context.pool.chunks.take(input.len() - consumed);
                rest.extend_from_slice(&input[consumed..]);
                context
                    .pool
                    .chunks
                    .give(std::mem::replace(&mut input, rest));
            }
            context.pool.input_bytes += input.capacity();
            self.buffers(context).input = Some(input);
        } else {
            context.pool.chunks.give(input);
        }
        self.end_if_read_closed(context);
        self.give_back_buffers(context);
    }

    /// Whether the next step is to read a request.
    pub(crate) fn is_between_answers(&self) -> bool {
        matches!(
            self.phase,
            Phase::Idle | Phase::ReadingHead | Phase::ReadingBody | Phase::ReadingMessage
        )
    }

    /// A peer that sends no more gets its answers, and then the connection ends.
    pub(super) fn end_if_read_closed(&mut self, context: &mut Context<'_>) {
        if self.has_channel() {
            return self.end_if_answered(context);
        }
        if self.is_read_closed && self.is_between_answers() && !self.has_requests_left_over() {
            self.phase = Phase::Flushing { lingers: false };
        }
    }

    /// A request took too long to arrive (RFC 9110 15.5.9).
    pub(crate) fn time_out(&mut self, is_head: bool, context: &mut Context<'_>) {
        let profile = &context.rules.connection;
        let (limit_ms, knob) = match is_head {
            true => (profile.head_timeout_ms, "head_timeout_ms"),
            false => (profile.body_timeout_ms, "body_timeout_ms"),
        };
        self.sequence = self.sequence.wrapping_add(1);
        let part = match (self.has_channel(), is_head) {
            (true, _) => "message",
            (false, true) => "request head",
            (false, false) => "request body",
        };
        let text = format!("{part} took longer than {limit_ms} ms (connection.{knob})");
        self.refuse_framing(Status::RequestTimeout, &text, context);
    }

    /// The peer sends no more. Returns whether the connection has no further use.
    pub(crate) fn finished(&mut self, context: &mut Context<'_>) -> bool {
        self.is_read_closed = true;
        match self.channel() {
            Some(channel) if channel.is_websocket() => return self.finish_socket(),
            Some(channel) if channel.outgoing().is_some() => return true,
            _ if self.has_lines() && self.phase != Phase::Handshaking => {
                return self.finish_lines(context);
            }
            _ => {}
        }
        match self.phase {
            Phase::Lingering | Phase::Handshaking => true,
            Phase::Flushing { .. } => {
                self.phase = Phase::Flushing { lingers: false };
                false
            }
            Phase::Idle | Phase::ReadingHead | Phase::ReadingBody | Phase::ReadingMessage => {
                self.end_if_read_closed(context);
                false
            }
            Phase::Waiting | Phase::Streaming | Phase::Padding | Phase::DecodingMessage => {
                let ends = self.hang_up(context);
                if ends {
                    self.phase = Phase::Flushing { lingers: false };
                }
                ends
            }
        }
    }

    /// Discards bytes that arrive after the last answer.
    fn linger(&mut self, bytes: usize, context: &mut Context<'_>) {
        let buffers = self.buffers(context);
        buffers.lingered_bytes = buffers.lingered_bytes.saturating_add(bytes as u32);
        if buffers.lingered_bytes as usize > context.rules.connection.linger_bytes_max {
            self.phase = Phase::Flushing { lingers: false };
        }
    }

    pub(super) fn reads(&self) -> bool {
        !matches!(self.phase, Phase::Flushing { .. } | Phase::Lingering)
    }

    /// Handles whole requests at the start of `input`, up to one that is decoded elsewhere. When
    /// the unsent output reaches the limit of a peer, further requests wait until the peer has
    /// taken some of it.
    fn process(&mut self, input: &mut [u8], context: &mut Context<'_>) -> Processed {
        if self.is_output_full(context) {
            // A part of a request waits like a whole one; the framer continues where it stopped.
            self.phase = Phase::Idle;
            return Processed::bytes(0);
        }
        match self.has_lines() {
            true => self.process_lines(input, context),
            false => self.process_requests(input, context),
        }
    }

    fn process_requests(&mut self, input: &mut [u8], context: &mut Context<'_>) -> Processed {
        let mut framer = match &mut self.buffers {
            None => Framer::default(),
            Some(buffers) => match buffers.http_mut() {
                Some(http) => std::mem::take(&mut http.framer),
                None => return Processed::bytes(self.process_messages(input, context)),
            },
        };
        let mut consumed = 0;
        while consumed < input.len() && context.requests_left > 0 && !self.is_output_full(context) {
            match framer.step(&mut input[consumed..], &context.rules.http) {
                Err(refusal) => {
                    self.refuse_bytes(refusal, &input[consumed..], context);
                    return Processed::bytes(input.len());
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
                    self.buffers(context).keep_framer(framer);
                    return Processed::bytes(consumed);
                }
                // By reference: the head is a few hundred bytes.
                Ok(Step::Request {
                    ref head,
                    body,
                    body_at,
                    consumed: bytes,
                }) => {
                    context.requests_left -= 1;
                    self.phase = Phase::Idle;
                    if let Some(reply) = self.request(head, body, context) {
                        let body_at = consumed + body_at;
                        return Processed {
                            consumed: consumed + bytes,
                            large: Some(LargeRequest {
                                http: Some((reply, head.bytes().into())),
                                body: body_at..body_at + body.len(),
                            }),
                        };
                    }
                    consumed += bytes;
                    if self.phase != Phase::Idle {
                        if self.phase == Phase::ReadingMessage {
                            consumed += self.process_messages(&mut input[consumed..], context);
                        }
                        return Processed::bytes(consumed);
                    }
                }
            }
        }
        Processed::bytes(consumed)
    }

    /// Refuses input that is no request, or starts with a head that is refused. The first bytes of
    /// another protocol are logged: most likely its client was given a wrong address.
    #[cold]
    fn refuse_bytes(&mut self, refusal: Refusal, input: &[u8], context: &mut Context<'_>) {
        let is_first = self.sequence == 0;
        self.sequence = self.sequence.wrapping_add(1);
        let protocol = ForeignProtocol::of(input).filter(|_| is_first);
        if let Some(protocol) = protocol {
            protocol.warn(&context.rules.foreign, context.endpoint.now_ms());
        }
        let listener = self.source.listener();
        let policy = &context.rules.origins[usize::from(listener)];
        let origin = cors::origin_of_refused(input, policy);
        let page = origin.and_then(|origin| context.rules.cors.page(listener, origin));
        let (status, text) = (refusal.status(), refusal.to_string());
        let written = context.out.as_ref().map_or(0, |out| out.len());
        self.refuse(status, &text, page, context);
        if protocol == Some(ForeignProtocol::Http2) {
            context.out().truncate(written);
            context.out().extend_from_slice(HTTP2_GOAWAY);
        }
    }

    /// Refuses a request that is not whole; nothing after it can be trusted.
    pub(super) fn refuse_framing(&mut self, status: Status, text: &str, context: &mut Context<'_>) {
        self.refuse(status, text, None, context);
    }

    fn refuse(
        &mut self,
        status: Status,
        text: &str,
        page: Option<Page>,
        context: &mut Context<'_>,
    ) {
        match self.channel() {
            Some(channel) if channel.is_websocket() => {
                return self.refuse_socket(status, text, context);
            }
            // It has no input that could be refused.
            Some(channel) if channel.outgoing().is_some() => return,
            _ if self.has_lines() => return self.refuse_lines(text, context),
            _ => {}
        }
        let reply = Reply {
            keep_alive: false,
            method: Method::Other,
            is_tls: self.source.is_tls(),
            version_minor: 1,
            accept: Accept {
                json: true,
                event_stream: false,
            },
            page,
            started: StartTime::of(context.meter.turn_us()),
        };
        let mut body = Vec::new();
        let reason = Reason::Framing(text);
        context.endpoint.refuse(None, reason, &mut body);
        let (fields, extra) = (context.head_fields(), Extra::default());
        response::write_message(context.out(), &reply, fields, status, &extra, &body);
        self.phase = Phase::Flushing { lingers: true };
    }
}

/// The result of handling some input.
pub(super) struct Processed {
    /// Bytes of requests that were handled, or are being decoded.
    pub(super) consumed: usize,
    /// The last of the requests, if its body is to be decoded elsewhere.
    pub(super) large: Option<LargeRequest>,
}

impl Processed {
    pub(super) fn bytes(consumed: usize) -> Processed {
        let large = None;
        Processed { consumed, large }
    }
}
