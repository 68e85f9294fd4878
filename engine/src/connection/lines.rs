//! Lines as messages: one message on each.
//!
//! Standard input and output are such a connection, and so are sockets that reuse their framing.
//! Their meaning is that of every channel, see `messages`. A line that is too long is skipped and
//! refused. A connection without a session, a request in flight or a part of a line has no memory
//! but its slot.
//!
//! A program that speaks another protocol is recognised by its first byte and not answered: the
//! request of a browser, which any web page can send to a port of its user's host, is no message
//! and leads to none (MCP basic/security_best_practices).
//!
//! ```text
//! Idle <-> ReadingMessage      either of them -> Flushing
//! ```

use corelane_io::ring::Hangup;
use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::framing::line::{Step, write_line};
use corelane_protocol::jsonrpc::OwnedId;

use super::body::LargeRequest;
use super::channel::Lines;
use super::context::Context;
use super::foreign::ForeignProtocol;
use super::http::{Connection, Phase, Processed};
use super::timer::Timer;
use crate::meter::Counter;
use crate::profile::Binding;

impl Connection {
    /// Whether it is a connection of lines.
    pub(crate) fn has_lines(&self) -> bool {
        self.source.binding() == Binding::Lines
    }

    /// The deadline of a connection that waits for a line, or for the rest of one.
    pub(super) fn line_timer(&self, is_within: bool) -> Timer {
        let has_requests = self.channel().is_some_and(|it| !it.in_flight.is_empty());
        match is_within {
            // The parent of a process may send nothing for days.
            _ if self.source.is_stdio() => Timer::None,
            true => Timer::Body,
            false if has_requests => Timer::None,
            false if self.sequence == 0 => Timer::FirstLine,
            false => Timer::NextLine,
        }
    }

    /// Whether the first bytes of a connection are those of another protocol; it ends then.
    fn is_foreign(&mut self, input: &[u8], context: &mut Context<'_>) -> bool {
        let is_in_long = self
            .lines_mut()
            .is_some_and(|lines| lines.framer.is_in_long());
        let has_begun = self.sequence > 0 || is_in_long;
        let first = input.iter().position(|byte| !byte.is_ascii_whitespace());
        let Some(first) = first.filter(|_| !has_begun && !self.source.is_stdio()) else {
            return false;
        };
        if matches!(input[first], b'{' | b'[') {
            return false;
        }
        context.meter.count(Counter::ConnectionsRefusedProtocol);
        if let Some(others) = context.rules.foreign.admit(context.endpoint.now_ms()) {
            tracing::warn!(
                others_since_the_last = others,
                "closed a connection that has no lines of JSON: it begins with {}",
                protocol_of(&input[first..])
            );
        }
        self.phase = Phase::Flushing { lingers: false };
        true
    }

    /// Handles whole lines at the start of `input`, up to one that is decoded elsewhere.
    pub(super) fn process_lines(&mut self, input: &[u8], context: &mut Context<'_>) -> Processed {
        self.phase = Phase::Idle;
        let limit_bytes = context.rules.lines.message_bytes_max;
        if self.is_foreign(input, context) {
            return Processed::bytes(input.len());
        }
        let mut large = None;
        let Lines {
            mut framer,
            long: mut scanner,
        } = self.lines_mut().map(std::mem::take).unwrap_or_default();
        let mut consumed = 0;
        while consumed < input.len() && context.requests_left > 0 && !self.is_output_full(context) {
            match framer.step(&input[consumed..], limit_bytes) {
                Step::NeedMore { consumed: bytes } => {
                    consumed += bytes;
                    if consumed < input.len() {
                        self.phase = Phase::ReadingMessage;
                    }
                    break;
                }
                Step::Line {
                    line,
                    consumed: bytes,
                } => {
                    context.requests_left -= 1;
                    let line_bytes = line.len();
                    if context.endpoint.decodes_elsewhere(line_bytes) {
                        // With the white space around it.
                        let body = consumed..consumed + bytes;
                        consumed += bytes;
                        large = Some(LargeRequest { http: None, body });
                        break;
                    }
                    consumed += bytes;
                    self.handle_message(line, context);
                }
                Step::TooLong {
                    part,
                    is_last,
                    consumed: bytes,
                } => {
                    consumed += bytes;
                    scanner.get_or_insert_default().read(part);
                    if !is_last {
                        continue;
                    }
                    context.requests_left -= 1;
                    self.sequence = self.next_sequence();
                    let id = scanner.take().and_then(|scanner| scanner.id());
                    let text = format!(
                        "message exceeds limit of {limit_bytes} bytes (lines.message_bytes_max): \
                         it was skipped"
                    );
                    write_refusal(id.as_ref(), &text, context);
                }
            }
        }
        if (!framer.is_fresh() || scanner.is_some())
            && let Some(lines) = self.open_channel(context).lines_mut()
        {
            lines.framer = framer;
            lines.long = scanner;
        }
        Processed { consumed, large }
    }

    /// The peer sends no more, which ends its last line. Returns whether the connection is of no
    /// use any more. Requests in flight are answered.
    pub(super) fn finish_lines(&mut self, context: &mut Context<'_>) -> bool {
        if self.hangup == Hangup::Closed || self.phase == Phase::Lingering {
            return true;
        }
        let input = self.buffers.as_ref().and_then(|it| it.input.as_ref());
        let is_partial = input.is_some_and(|input| !input.ends_with(b"\n"));
        let lines = self.lines_mut();
        if is_partial || lines.is_some_and(|lines| lines.framer.is_in_long()) {
            self.keep_input(b"\n", context);
            if self.is_between_answers() {
                self.phase = Phase::Idle;
            }
        }
        self.end_if_answered(context);
        false
    }

    fn lines_mut(&mut self) -> Option<&mut Lines> {
        self.channel_mut()?.lines_mut()
    }

    /// Refuses input that is too much for the whole shard, and ends.
    pub(super) fn refuse_lines(&mut self, text: &str, context: &mut Context<'_>) {
        write_refusal(None, text, context);
        self.phase = Phase::Flushing { lingers: false };
    }
}

/// The protocol that the first bytes of a connection belong to, for the log.
fn protocol_of(bytes: &[u8]) -> String {
    match ForeignProtocol::of(bytes) {
        Some(ForeignProtocol::Tls) => {
            return "a TLS handshake, which needs an address with tcps://".to_owned();
        }
        Some(ForeignProtocol::Ssh) => return "the banner of SSH".to_owned(),
        Some(ForeignProtocol::Proxy) => {
            return "a header of the PROXY protocol, which is expected of the networks in \
                    server.proxy_protocol_from only"
                .to_owned();
        }
        _ => {}
    }
    match bytes.split(|byte| *byte == b' ').next() {
        Some(b"GET" | b"POST" | b"PUT" | b"HEAD" | b"OPTIONS") => {
            "an HTTP request, which needs an address with http://".to_owned()
        }
        _ => format!("the byte 0x{:02x}", bytes[0]),
    }
}

/// Refuses bytes that are no message.
fn write_refusal(id: Option<&OwnedId>, text: &str, context: &mut Context<'_>) {
    let mut message = Vec::new();
    let reason = Reason::Framing(text);
    let id = id.map(OwnedId::as_id);
    context.endpoint.refuse(id, reason, &mut message);
    write_line(context.out(), &message);
}
