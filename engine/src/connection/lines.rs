//! A connection of lines: one message on each, many requests at once on one channel.
//!
//! Standard input and output are such a connection, and so are sockets that reuse their framing.
//! Bounds on input, output and turns are those of every [`Connection`]; the rest is here. A request
//! leaves the connection [`Phase::Idle`] and waits in a table of its own, so that further lines are
//! read, among them the one that cancels it. A session belongs to the connection and ends with it.
//! A connection without a session and without a request in flight has no other memory.
//!
//! A program that speaks another protocol is recognised by its first byte and not answered: the
//! request of a browser, which any web page can send to a port of its user's host, is no message
//! and leads to none (MCP basic/security_best_practices).
//!
//! ```text
//! Idle <-> ReadingLine      either of them -> Flushing
//! ```

use corelane_io::ring::Hangup;
use corelane_protocol::binding::claims::Claims;
use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::framing::line::{Step, write_line};
use corelane_protocol::jsonrpc::OwnedId;

use super::channel::{LineChannel, LineRequest};
use super::context::Context;
use super::http::{Connection, Phase};
use super::timer::Timer;
use crate::guard::peer::{UserName, UserText};
use crate::mcp::{
    Channel, Disposition, Exchange, Inbound, Part, Requester, SessionId, StreamOwner,
};
use crate::meter::Counter;
use crate::profile::Binding;

/// The parts of a connection that end with the input of its peer.
pub(crate) struct EndOfInput {
    /// Its session, whose requests get no answers any more.
    pub(crate) session: Option<SessionId>,
    /// Its subscriptions, by their places.
    pub(crate) subscriptions: Vec<u32>,
}

/// Notifications of changes that wait on one connection; more than these wait as other output does.
const CHANGES_HELD_MAX: usize = 1024;

impl Connection {
    /// Whether it is a connection of lines.
    pub(crate) fn has_lines(&self) -> bool {
        self.source.binding() == Binding::Lines
    }

    /// The channel of a connection of lines, while it has a state.
    pub(crate) fn lines(&self) -> Option<&LineChannel> {
        self.buffers.as_ref()?.lines.as_deref()
    }

    /// The channel of a connection of lines.
    fn channel(&mut self, context: &mut Context<'_>) -> &mut LineChannel {
        self.buffers(context).lines.get_or_insert_default()
    }

    /// The deadline of a connection that waits for a line, or for the rest of one.
    pub(super) fn line_timer(&self, is_within: bool) -> Timer {
        let has_requests = self.lines().is_some_and(|it| !it.in_flight.is_empty());
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
        let is_in_long = self.lines().is_some_and(|it| it.framer.is_in_long());
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

    fn lines_mut(&mut self) -> Option<&mut LineChannel> {
        self.buffers.as_mut()?.lines.as_deref_mut()
    }

    /// Handles whole lines at the start of `input`; returns how many bytes they took.
    pub(super) fn process_lines(&mut self, input: &[u8], context: &mut Context<'_>) -> usize {
        self.phase = Phase::Idle;
        let limit_bytes = context.rules.lines.message_bytes_max;
        if self.is_foreign(input, context) {
            return input.len();
        }
        let (mut framer, mut scanner) = match self.lines_mut() {
            Some(lines) => (std::mem::take(&mut lines.framer), lines.long.take()),
            None => Default::default(),
        };
        let mut consumed = 0;
        while consumed < input.len() && context.requests_left > 0 && !self.is_output_full(context) {
            match framer.step(&input[consumed..], limit_bytes) {
                Step::NeedMore { consumed: bytes } => {
                    consumed += bytes;
                    if consumed < input.len() {
                        self.phase = Phase::ReadingLine;
                    }
                    break;
                }
                Step::Line {
                    line,
                    consumed: bytes,
                } => {
                    context.requests_left -= 1;
                    consumed += bytes;
                    self.handle_line(line, context);
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
        if !framer.is_fresh() || scanner.is_some() {
            let lines = self.channel(context);
            lines.framer = framer;
            lines.long = scanner;
        }
        consumed
    }

    fn handle_line(&mut self, line: &[u8], context: &mut Context<'_>) {
        self.sequence = self.next_sequence();
        let lines = self.lines();
        let overload = overload(lines.map_or(0, |it| it.in_flight.len()), context);
        let channel = Channel {
            session: lines.and_then(|lines| lines.session),
            overload: overload.as_deref(),
        };
        let (user, holder) = context.known_peer();
        let user = user.map(UserName::text);
        let requester = Requester::Here {
            claims: Claims::NONE,
            principal: user.as_ref().map(UserText::as_str),
            peer: Some(holder),
        };
        let exchange = context.channel_exchange(self.sequence);
        let inbound = Inbound::new(&requester, exchange).on_channel(channel);
        let mut scratch = std::mem::take(context.scratch);
        scratch.clear();
        let (disposition, id) =
            context
                .endpoint
                .handle_channel_message(inbound, line, &mut scratch);
        if !scratch.is_empty() {
            write_line(context.out(), &scratch);
        }
        *context.scratch = scratch;
        self.settle_line(disposition, id, context);
    }

    /// Numbers of requests go around; no two requests in flight have one, and none has that of the
    /// channel.
    fn next_sequence(&self) -> u32 {
        let mut sequence = self.sequence;
        loop {
            sequence = sequence.wrapping_add(1);
            let lines = self.lines();
            let is_taken = lines.is_some_and(|lines| lines.in_flight.contains_key(&sequence));
            if sequence != Exchange::CHANNEL && !is_taken {
                return sequence;
            }
        }
    }

    /// Remembers a request that is answered later.
    fn settle_line(
        &mut self,
        disposition: Disposition,
        id: Option<OwnedId>,
        context: &mut Context<'_>,
    ) {
        let (call, stream) = match disposition {
            Disposition::Answer { session, .. } => {
                if session.is_some() {
                    self.channel(context).session = session;
                }
                return;
            }
            Disposition::Accepted | Disposition::Done => return,
            Disposition::Cancel(id) => return self.cancel(&id, context),
            Disposition::Pending(call) => (call, None),
            Disposition::PendingCalls(session) => (None, Some(StreamOwner::Calls(session))),
            Disposition::Stream(owner) => {
                context.meter.count(Counter::StreamsOpen);
                (None, Some(owner))
            }
            Disposition::Forward { home, request } => {
                let stream = request.answered_by();
                context.forwards.push((home, request));
                (None, stream)
            }
            Disposition::PeerNeeded => unreachable!("the holder of a channel is known"),
        };
        let request = LineRequest {
            id,
            call,
            stream,
            responses: Vec::new(),
        };
        let sequence = self.sequence;
        self.channel(context).in_flight.insert(sequence, request);
    }

    /// Cancels the oldest request in flight with this id: nothing more is sent for it. An id of
    /// none is ignored, as the answer may have been on its way.
    fn cancel(&mut self, id: &OwnedId, context: &mut Context<'_>) {
        let Some(lines) = self.lines_mut() else {
            return;
        };
        let mut in_flight = lines.in_flight.iter();
        let found = in_flight.find(|(_, request)| request.id.as_ref() == Some(id));
        let Some(sequence) = found.map(|(sequence, _)| *sequence) else {
            if let Some(session) = lines.session {
                let endpoint = &mut context.endpoint;
                endpoint.handle_cancel_in_session(session, id.as_id());
            }
            return;
        };
        lines.changes.retain(|(of, _)| *of != sequence);
        let Some(request) = self.end_line_request(sequence, context) else {
            return;
        };
        if let Some(call) = request.call {
            context.endpoint.handle_cancel(call);
        }
        if let Some(StreamOwner::Listen(place)) = request.stream {
            context.endpoint.handle_subscription_gone(place);
        }
    }

    /// Whether an answer numbered `sequence` has a place.
    pub(super) fn awaits_on_channel(&self, sequence: u32) -> bool {
        let has_place = |lines: &LineChannel| match sequence {
            Exchange::CHANNEL => lines.session.is_some(),
            sequence => lines.in_flight.contains_key(&sequence),
        };
        self.is_between_answers() && self.lines().is_some_and(has_place)
    }

    /// A part of the answer to the request `sequence`, or a message of the channel itself.
    pub(super) fn deliver_on_channel(
        &mut self,
        sequence: u32,
        part: Part,
        context: &mut Context<'_>,
    ) {
        match part {
            Part::Event { message, .. } => self.write_message(&message, context),
            Part::Change { message, .. } => self.write_change(sequence, message, context),
            Part::Response(message) => {
                let lines = self.lines_mut();
                let request = lines.and_then(|lines| lines.in_flight.get_mut(&sequence));
                if let Some(LineRequest { responses, .. }) = request {
                    responses.push(if responses.is_empty() { b'[' } else { b',' });
                    responses.extend_from_slice(&message);
                }
            }
            Part::Final { body, .. } => {
                self.write_answer(&body, context);
                self.end_line_request(sequence, context);
            }
            Part::Accepted | Part::Unanswered | Part::Done | Part::StreamEnd => {
                let ended = self.end_line_request(sequence, context);
                let responses = ended.map(|request| request.responses);
                if let Some(mut responses) = responses.filter(|it| !it.is_empty()) {
                    responses.push(b']');
                    self.write_answer(&responses, context);
                }
            }
            // There is no stream that could be open, or away for a while.
            Part::StreamOpen(_) | Part::StreamPause { .. } => {}
        }
        self.end_if_answered();
    }

    fn write_answer(&mut self, message: &[u8], context: &mut Context<'_>) {
        self.write_message(message, context);
        let waits = self.is_sending();
        if let Some(lines) = self.lines_mut().filter(|_| waits) {
            lines.answer_bytes += message.len();
        }
    }

    /// Writes a message behind the changes that have waited.
    fn write_message(&mut self, message: &[u8], context: &mut Context<'_>) {
        self.release_line_changes(context);
        write_line(context.out(), message);
    }

    /// A change that is news to a peer that has taken all of its output. Any other peer gets it
    /// later, and only once however often it comes until then.
    fn write_change(&mut self, sequence: u32, message: Vec<u8>, context: &mut Context<'_>) {
        if !self.is_sending() {
            return self.write_message(&message, context);
        }
        let Some(lines) = self.lines_mut() else {
            return;
        };
        lines.changes.retain(|(_, other)| *other != message);
        lines.changes.push((sequence, message));
        if lines.changes.len() > CHANGES_HELD_MAX {
            self.release_line_changes(context);
        }
    }

    /// Whether notifications of changes wait.
    pub(super) fn holds_line_changes(&self) -> bool {
        self.lines().is_some_and(|lines| !lines.changes.is_empty())
    }

    /// Writes the notifications of changes that have waited.
    pub(super) fn release_line_changes(&mut self, context: &mut Context<'_>) {
        let Some(lines) = self.lines_mut() else {
            return;
        };
        for (_, message) in std::mem::take(&mut lines.changes) {
            write_line(context.out(), &message);
        }
    }

    /// Bytes of answers that wait behind the send under way. They do not show how far behind the
    /// peer is: they may be ready all at once, however fast it reads.
    pub(super) fn line_answer_bytes(&self) -> usize {
        self.lines().map_or(0, |lines| lines.answer_bytes)
    }

    /// Takes a request out of those in flight.
    fn end_line_request(
        &mut self,
        sequence: u32,
        context: &mut Context<'_>,
    ) -> Option<LineRequest> {
        let request = self.lines_mut()?.in_flight.remove(&sequence)?;
        if request.stream.is_some_and(StreamOwner::is_stream) {
            context.meter.uncount(Counter::StreamsOpen);
        }
        Some(request)
    }

    /// The peer sends no more, which ends its last line. Returns whether the connection is of no
    /// use any more. Requests in flight are answered.
    pub(super) fn finish_lines(&mut self, context: &mut Context<'_>) -> bool {
        if self.hangup == Hangup::Closed || self.phase == Phase::Lingering {
            return true;
        }
        let input = self.buffers.as_ref().and_then(|it| it.input.as_ref());
        let is_in_long = self.lines().is_some_and(|lines| lines.framer.is_in_long());
        if is_in_long || input.is_some_and(|input| !input.ends_with(b"\n")) {
            self.keep_input(b"\n", context);
            self.phase = Phase::Idle;
        }
        self.end_if_answered();
        false
    }

    /// The connection takes no further request, and ends when those in flight are answered.
    pub(crate) fn end_when_answered(&mut self, context: &mut Context<'_>) {
        self.channel(context).is_ending = true;
        self.end_if_answered();
    }

    /// What waits for a peer that sends no more on its socket, once. Standard input is the only
    /// one of its server, which drains at its end.
    pub(crate) fn take_end_of_input(&mut self) -> Option<EndOfInput> {
        let is_over = self.is_input_over() && !self.source.is_stdio();
        let lines = self
            .lines_mut()
            .filter(|lines| is_over && !lines.is_ending)?;
        lines.is_ending = true;
        let subscriptions = lines.in_flight.values().filter_map(|it| match it.stream {
            Some(StreamOwner::Listen(place)) => Some(place),
            _ => None,
        });
        Some(EndOfInput {
            session: lines.session,
            subscriptions: subscriptions.collect(),
        })
    }

    /// Whether everything that the peer has sent, and ever will, was handled.
    pub(crate) fn is_input_over(&self) -> bool {
        self.is_read_closed && !self.has_requests_left_over()
    }

    /// Ends a connection that has nothing to answer any more and gets nothing else to. Not while it
    /// handles lines: the rest of them does not count as left over.
    pub(super) fn end_if_answered(&mut self) {
        let lines = self.lines();
        let is_over = self.is_read_closed || lines.is_some_and(|lines| lines.is_ending);
        let has_requests = lines.is_some_and(|lines| !lines.in_flight.is_empty());
        let is_answered = !has_requests && !self.has_requests_left_over();
        if is_over && is_answered && self.is_between_answers() {
            self.phase = Phase::Flushing { lingers: false };
        }
    }

    /// Refuses input that is too much for the whole shard, and ends.
    pub(super) fn refuse_lines(&mut self, text: &str, context: &mut Context<'_>) {
        write_refusal(None, text, context);
        self.phase = Phase::Flushing { lingers: false };
    }

    /// Forgets the answers that waited behind a send that has ended.
    pub(super) fn forget_line_answers(&mut self) {
        if let Some(lines) = self.lines_mut() {
            lines.answer_bytes = 0;
        }
    }
}

/// Why a connection takes no further request now, if so.
fn overload(in_flight: usize, context: &Context<'_>) -> Option<String> {
    let in_flight_max = context.rules.lines.in_flight_max;
    if in_flight >= in_flight_max {
        return Some(format!(
            "the connection has {in_flight_max} requests in flight, which is its limit \
             (lines.in_flight_max)"
        ));
    }
    let output_bytes_max = context.rules.connection.output_bytes_per_shard_max;
    let is_overloaded = context.shard_output_bytes >= output_bytes_max;
    is_overloaded.then(|| "the unsent answers of all clients take too much memory".to_owned())
}

/// The protocol that the first bytes of a connection belong to, for the log.
fn protocol_of(bytes: &[u8]) -> String {
    let is_method = |word: &[u8]| matches!(word, b"GET" | b"POST" | b"PUT" | b"HEAD" | b"OPTIONS");
    match bytes.split(|byte| *byte == b' ').next() {
        Some(word) if is_method(word) => {
            "an HTTP request, which needs an address with http://".to_owned()
        }
        // A record of the type "handshake" (RFC 8446 5.1).
        _ if bytes.starts_with(&[22, 3]) => "a TLS handshake".to_owned(),
        _ if bytes.starts_with(b"SSH-") => "the banner of SSH".to_owned(),
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
