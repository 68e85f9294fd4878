//! Answers that come later, or in parts.

use corelane_protocol::binding::http;
use corelane_protocol::binding::refusal::Category;
use corelane_protocol::framing::http1::Status;

use super::buffers::WaitingRequest;
use super::channel::MessageChannel;
use super::context::Context;
use super::http::{Connection, Phase};
use super::response::{self, Extra};
use crate::mcp::{EventId, Part, StreamOwner};

impl Connection {
    /// A part of the answer to the request numbered `sequence`, which is awaited.
    pub(crate) fn deliver_to(&mut self, sequence: u32, part: Part, context: &mut Context<'_>) {
        if matches!(part, Part::Event { .. } | Part::Change { .. }) && self.end_if_expired(context)
        {
            return;
        }
        match self.has_channel() {
            true => self.deliver_on_channel(sequence, part, context),
            false => self.deliver(part, context),
        }
    }

    /// A part of the answer to the current request.
    pub(crate) fn deliver(&mut self, part: Part, context: &mut Context<'_>) {
        match part {
            Part::Event { id, message } => self.deliver_event(id, &message, context),
            Part::Change { id, message } => {
                self.deliver_change(self.sequence, (id, message), context);
            }
            Part::Response(message) => self.deliver_response(&message, context),
            Part::StreamOpen(owner) => self.open_stream(owner, context),
            Part::Final { refused, body } => {
                self.deliver_final(refused, &body, context);
            }
            Part::Accepted => self.deliver_nothing(Status::Accepted, context),
            Part::Unanswered => self.deliver_no_answer(context),
            Part::Done => self.deliver_nothing(Status::NoContent, context),
            Part::StreamEnd => self.end_stream(context),
            Part::StreamPause { retry_ms } => self.pause_stream(retry_ms, context),
        }
    }

    /// Whether an answer numbered `sequence` is for the current request, or one in flight.
    pub(crate) fn awaits(&self, sequence: u32) -> bool {
        self.sequence == sequence && self.is_answering() || self.awaits_on_channel(sequence)
    }

    /// Whether anything is awaited.
    pub(crate) fn awaits_any(&self) -> bool {
        self.is_answering() || self.has_channel()
    }

    /// Whether a request has not got all of its answer.
    pub(crate) fn is_answering(&self) -> bool {
        matches!(
            self.phase,
            Phase::Waiting | Phase::Streaming | Phase::Padding
        )
    }

    /// The shard that the current request was forwarded to and that answers it, or owns its stream.
    pub(crate) fn forwarded_to(&self) -> Option<u16> {
        self.buffers.as_ref()?.waiting()?.home
    }

    pub(crate) fn waiting(&mut self) -> Option<&mut WaitingRequest> {
        self.buffers.as_mut()?.http_mut()?.waiting.as_mut()
    }

    /// When the request of its stream of events came, in microseconds since the shard was started,
    /// if it has one over HTTP; 0 without metrics.
    pub(crate) fn stream_started_us(&self) -> Option<u64> {
        let buffers = self.buffers.as_ref()?;
        let waiting = buffers.waiting().filter(|it| it.has_stream());
        let outgoing = buffers.channel().and_then(|channel| channel.outgoing());
        let reply = waiting.map(|it| it.reply).or(outgoing.map(|it| it.reply));
        reply.map(|reply| reply.started.us())
    }

    /// The pending answer is the last one; a stream without one ends now.
    pub(crate) fn end_after_answer(&mut self, context: &mut Context<'_>) {
        let Some(waiting) = self.waiting() else {
            return;
        };
        waiting.reply.keep_alive = false;
        if waiting.stream.is_some_and(StreamOwner::stays_open) {
            self.end_stream(context);
        }
    }

    /// The peer sends no more. Returns whether that ends the pending request, if there is one.
    pub(crate) fn hang_up(&mut self, context: &mut Context<'_>) -> bool {
        if !matches!(
            self.phase,
            Phase::Waiting | Phase::Streaming | Phase::Padding
        ) {
            return false;
        }
        let Some(waiting) = self.waiting() else {
            return true;
        };
        let (call, stream) = (waiting.call, waiting.stream);
        let takes_events = waiting.reply.accept.event_stream;
        if let Some(call) = call {
            return context.endpoint.handle_hang_up(call);
        }
        if let Some(StreamOwner::Calls(session)) = stream {
            let exchange = context.exchange(self.sequence, takes_events);
            let endpoint = &mut context.endpoint;
            let notice = endpoint.handle_hang_up_of_calls(session, exchange);
            let notice = notice.map(|notice| (session.home, Box::new(notice)));
            context.effects.forwards.extend(notice);
            return false;
        }
        stream.is_some_and(StreamOwner::stays_open)
    }

    /// Sends bytes without a meaning, so that no proxy on the way takes the connection for dead.
    pub(crate) fn keep_alive(&mut self, context: &mut Context<'_>) {
        if self.end_if_expired(context) {
            return;
        }
        if let Some(outgoing) = self.channel().and_then(MessageChannel::outgoing) {
            return response::write_keep_alive(context.out(), &outgoing.reply);
        }
        let Some(reply) = self.waiting().map(|waiting| waiting.reply) else {
            return;
        };
        match self.phase {
            // White space before the message is part of JSON (RFC 8259 section 2).
            Phase::Padding => response::write_json_part(context.out(), &reply, b" "),
            _ => response::write_keep_alive(context.out(), &reply),
        }
    }

    /// Begins a slow answer: with a stream if the client takes one, or else with the head of an
    /// answer in JSON. Its status is 200 from here on, for any message.
    pub(crate) fn begin_slow_answer(&mut self, context: &mut Context<'_>) {
        let waiting = self.waiting().filter(|waiting| waiting.is_post);
        let Some(reply) = waiting.map(|waiting| waiting.reply) else {
            return;
        };
        if reply.accept.event_stream {
            self.begin_stream(context);
        } else {
            self.phase = Phase::Padding;
            let fields = context.head_fields();
            response::write_json_head(context.out(), &reply, fields);
        }
        self.keep_alive(context);
    }

    /// Opens the stream of `owner`. The stream of a session may have no event for hours: a comment
    /// goes with its head, which some proxies hold back until there is a byte of the body.
    pub(super) fn open_stream(&mut self, owner: StreamOwner, context: &mut Context<'_>) {
        if let Some(waiting) = self.waiting() {
            waiting.stream = Some(owner);
        }
        self.begin_stream(context);
        if matches!(owner, StreamOwner::Session(_)) {
            self.keep_alive(context);
        }
    }

    pub(super) fn deliver_event(
        &mut self,
        id: Option<EventId>,
        message: &[u8],
        context: &mut Context<'_>,
    ) {
        if self.has_channel() {
            return self.write_message(None, message, context);
        }
        let Some(reply) = self.waiting().map(|waiting| waiting.reply) else {
            return;
        };
        // A client that takes JSON only gets no message before the answer.
        if !reply.accept.event_stream {
            return;
        }
        self.begin_stream(context);
        self.write_message(id, message, context);
    }

    /// One response to a batch. Clients that take JSON only get all of them together.
    fn deliver_response(&mut self, message: &[u8], context: &mut Context<'_>) {
        let Some(waiting) = self.waiting() else {
            return;
        };
        let reply = waiting.reply;
        if reply.accept.event_stream {
            waiting.batch.get_or_insert_default().streamed_bytes += message.len();
            self.begin_stream(context);
            return self.write_message(None, message, context);
        }
        let gathered = &mut waiting.batch.get_or_insert_default().gathered;
        gathered.push(if gathered.is_empty() { b'[' } else { b',' });
        gathered.extend_from_slice(message);
    }

    pub(super) fn begin_stream(&mut self, context: &mut Context<'_>) {
        if self.phase != Phase::Waiting {
            return;
        }
        let Some(reply) = self.waiting().map(|waiting| waiting.reply) else {
            return;
        };
        self.phase = Phase::Streaming;
        if self.waiting().is_some_and(|it| it.has_stream()) {
            context.meter.open_stream();
        }
        let fields = context.head_fields();
        response::write_stream_head(context.out(), &reply, fields);
    }

    fn deliver_final(&mut self, refused: Option<Category>, body: &[u8], context: &mut Context<'_>) {
        let Some(reply) = self.waiting().map(|waiting| waiting.reply) else {
            return;
        };
        match self.phase {
            Phase::Streaming => self.write_message(None, body, context),
            Phase::Padding => response::write_json_part(context.out(), &reply, body),
            _ => {
                let (fields, status) = (context.head_fields(), http::status_of(refused));
                let extra = Extra {
                    refused,
                    challenge: context.access.challenge_of(refused),
                    ..Extra::default()
                };
                response::write_message(context.out(), &reply, fields, status, &extra, body);
                return self.end_request(context);
            }
        }
        self.end_stream(context);
    }

    fn deliver_nothing(&mut self, status: Status, context: &mut Context<'_>) {
        if self.phase == Phase::Streaming {
            self.end_stream(context);
            return;
        }
        let batch = self.waiting().and_then(|waiting| waiting.batch.take());
        let gathered = batch.map(|batch| batch.gathered);
        if let Some(mut gathered) = gathered.filter(|it| !it.is_empty()) {
            gathered.push(b']');
            return self.deliver_final(None, &gathered, context);
        }
        if self.phase == Phase::Padding {
            return self.end_stream(context);
        }
        if let Some(reply) = self.waiting().map(|waiting| waiting.reply) {
            let fields = context.head_fields();
            response::write_empty(context.out(), &reply, fields, status);
        }
        self.end_request(context);
    }

    /// A request is answered with JSON or with a stream (MCP 2025-11-25 basic/transports, "Sending
    /// Messages to the Server"): a stream that ends at once carries no answer. A client that takes
    /// no stream gets "accepted".
    fn deliver_no_answer(&mut self, context: &mut Context<'_>) {
        let takes_events = |waiting: &mut WaitingRequest| waiting.reply.accept.event_stream;
        if self.waiting().is_some_and(takes_events) {
            self.begin_stream(context);
            return self.end_stream(context);
        }
        self.deliver_nothing(Status::Accepted, context);
    }

    /// Ends the open stream and sends the time after which the client should resume it.
    pub(super) fn pause_stream(&mut self, retry_ms: u64, context: &mut Context<'_>) {
        if let Some(reply) = self.waiting().map(|waiting| waiting.reply) {
            self.begin_stream(context);
            response::write_retry(context.out(), &reply, retry_ms);
        }
        self.end_stream(context);
    }

    /// Ends the stream that is open, or the answer in JSON that has begun.
    pub(crate) fn end_stream(&mut self, context: &mut Context<'_>) {
        self.release_changes(context);
        if let Some(waiting) = self.waiting() {
            let reply = waiting.reply;
            waiting.reply.keep_alive &= response::is_chunked(&reply);
            // A stream that ends with its connection has no end mark: no output must be begun for
            // it.
            if self.phase == Phase::Padding {
                context.meter.end_http(reply.measured(), Status::Ok);
            }
            let has_begun = matches!(self.phase, Phase::Streaming | Phase::Padding);
            if has_begun && response::is_chunked(&reply) {
                response::write_stream_end(context.out(), &reply);
            }
        }
        self.end_request(context);
    }

    /// The request is answered: continues with the bytes that arrived meanwhile, or ends.
    fn end_request(&mut self, context: &mut Context<'_>) {
        let waiting = self
            .buffers
            .as_mut()
            .and_then(|buffers| buffers.take_waiting());
        if let Some(waiting) = waiting.as_ref().filter(|it| it.has_stream()) {
            context.meter.end_stream(Some(waiting.reply.started.us()));
        }
        let keep_alive = waiting.is_some_and(|waiting| waiting.reply.keep_alive);
        if !keep_alive {
            // A peer that expected the connection to stay open may have sent more already.
            self.phase = Phase::Flushing {
                lingers: context.is_draining,
            };
            return;
        }
        self.phase = Phase::Idle;
        self.resume(context);
        self.end_if_read_closed(context);
        self.give_back_buffers(context);
    }
}
