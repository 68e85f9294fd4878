//! Lines as messages: one message on each.
//!
//! Standard input and output are such a connection, and so is every byte stream that reuses their
//! framing. Their meaning is that of every channel, see `messages`. A line that is too long is
//! skipped and refused.
//!
//! ```text
//! Idle <-> ReadingMessage      either of them -> Flushing
//! ```

use corelane_io::ring::Hangup;
use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::framing::line::{Step, write_line};
use corelane_protocol::jsonrpc::OwnedId;

use super::buffers::ConnectionBuffers;
use super::channel::{Framing, Lines, MessageChannel};
use super::context::Context;
use super::http::{Connection, Phase};
use super::source::Source;

impl Connection {
    /// A connection of lines that was just opened.
    pub(super) fn of_lines(source: Source) -> Connection {
        let framing = Framing::Lines(Lines::default());
        let buffers = ConnectionBuffers::of_channel(MessageChannel::new(framing));
        Connection {
            buffers: Some(Box::new(buffers)),
            ..Connection::of_http(source)
        }
    }

    /// Handles whole lines at the start of `input`; returns how many bytes they took.
    pub(super) fn process_lines(&mut self, input: &[u8], context: &mut Context<'_>) -> usize {
        self.phase = Phase::Idle;
        let limit_bytes = context.rules.lines.message_bytes_max;
        let Some(lines) = self.lines_mut() else {
            return 0;
        };
        let mut framer = std::mem::take(&mut lines.framer);
        let mut scanner = lines.long.take();
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
                    let id = scanner.take().and_then(|scanner| scanner.id());
                    let text = format!(
                        "message exceeds limit of {limit_bytes} bytes (lines.message_bytes_max): \
                         it was skipped"
                    );
                    write_refusal(id.as_ref(), &text, context);
                }
            }
        }
        if let Some(lines) = self.lines_mut() {
            lines.framer = framer;
            lines.long = scanner;
        }
        consumed
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
            self.phase = Phase::Idle;
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

/// Refuses bytes that are no message.
fn write_refusal(id: Option<&OwnedId>, text: &str, context: &mut Context<'_>) {
    let mut message = Vec::new();
    let reason = Reason::Framing(text);
    let id = id.map(OwnedId::as_id);
    context.endpoint.refuse(id, reason, &mut message);
    write_line(context.out(), &message);
}
