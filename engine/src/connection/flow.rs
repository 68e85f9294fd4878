//! Bounds on the memory of a connection: kept input, queued output, the pause of reading, and the
//! running deadline.

use corelane_protocol::framing::http1::Status;

use super::buffers::ConnectionBuffers;
use super::channel::MessageChannel;
use super::context::Context;
use super::http::{Connection, Phase, RecvMode};
use super::timer::Timer;
use crate::profile::Connection as ConnectionProfile;
use corelane_io::chunk::Chunk;

impl Connection {
    /// The deadline of the connection in its present state.
    pub(crate) fn timer(&self) -> Timer {
        // The sends of a handshake do not prolong it.
        if self.is_sending() && self.phase != Phase::Handshaking {
            return Timer::Write;
        }
        match self.phase {
            Phase::Handshaking => Timer::Handshake,
            Phase::Idle => match self.reading {
                RecvMode::PollThenMultishot | RecvMode::Multishot => Timer::Quiet,
                RecvMode::Poll | RecvMode::Cancelling if self.has_lines() => self.line_timer(false),
                RecvMode::Poll | RecvMode::Cancelling => {
                    let ping_timer = self.channel().and_then(MessageChannel::ping_timer);
                    ping_timer.unwrap_or(Timer::Idle)
                }
            },
            Phase::ReadingMessage if self.has_lines() => self.line_timer(true),
            Phase::ReadingMessage if self.outgoing().is_some() => Timer::KeepAlive,
            Phase::ReadingMessage => Timer::Body,
            Phase::ReadingHead => Timer::Head,
            Phase::ReadingBody => Timer::Body,
            Phase::DecodingMessage => Timer::None,
            Phase::Waiting => Timer::Slow,
            Phase::Streaming | Phase::Padding => Timer::KeepAlive,
            Phase::Flushing { .. } | Phase::Lingering => Timer::Linger,
        }
    }

    /// The deadline of the connection in its present state, and the low bits of the number of its
    /// request: it is compared after every step, which handles far fewer than 2^16 requests. The
    /// deadline for writing belongs to no request: a peer gets no more time for unread output by
    /// sending another.
    pub(crate) fn armed_timer(&self) -> (Timer, u16) {
        match self.timer() {
            Timer::Write => (Timer::Write, 0),
            timer => (timer, self.sequence as u16),
        }
    }

    /// Whether requests that were received, or parts of one, wait for a turn.
    pub(crate) fn has_requests_left_over(&self) -> bool {
        let has_input = |buffers: &ConnectionBuffers| {
            let may_be_whole = self.phase == Phase::Idle || buffers.is_unseen;
            buffers.input.is_some() && may_be_whole
        };
        self.buffers.as_deref().is_some_and(has_input)
    }

    /// Whether the connection has requests left over and needs a turn for them, once. No further
    /// requests are handled for a peer that does not take its answers.
    pub(crate) fn takes_turn(&mut self, profile: &ConnectionProfile) -> bool {
        if !self.has_requests_left_over() || self.has_much_output(profile) {
            return false;
        }
        let buffers = self.buffers.as_mut();
        buffers.is_some_and(|buffers| !std::mem::replace(&mut buffers.has_turn, true))
    }

    /// Takes the turn.
    pub(crate) fn begin_turn(&mut self) {
        if let Some(buffers) = &mut self.buffers {
            buffers.has_turn = false;
        }
    }

    /// Whether reading has to stop until the connection has done some of its work.
    pub(crate) fn is_full(&self, profile: &ConnectionProfile) -> bool {
        let Some(buffers) = &self.buffers else {
            return false;
        };
        if self.phase == Phase::Handshaking {
            return buffers.is_paused;
        }
        let input = buffers.input.as_ref().map_or(0, |chunk| chunk.len());
        let waits = self.phase == Phase::Idle || self.is_answering() || self.is_decoding_message();
        (waits && input >= profile.pipelined_bytes_max) || self.has_much_output(profile)
    }

    /// Notes that reading has to stop, if it has.
    pub(crate) fn pause_if_full(&mut self, context: &mut Context<'_>) -> bool {
        let is_full = self.is_full(&context.rules.connection);
        if is_full {
            self.buffers(context).is_paused = true;
        }
        is_full
    }

    /// Records that reading must stop, if it must, or if received requests wait for a turn: later
    /// bytes wait in the socket.
    pub(crate) fn pause_if_busy(&mut self, context: &mut Context<'_>) -> bool {
        let buffers = self.buffers.as_mut();
        match buffers.filter(|buffers| buffers.has_turn) {
            Some(buffers) => {
                buffers.is_paused = true;
                true
            }
            None => self.pause_if_full(context),
        }
    }

    /// Records whether a part of a TLS record was received: it may be the start of a request or of
    /// a line, and has as much time.
    #[cfg(feature = "tls")]
    pub(crate) fn note_partial_record(&mut self, has_part: bool) {
        let buffers = self.buffers.as_ref();
        if buffers.is_some_and(|it| it.input.is_some()) {
            return;
        }
        let reading = match self.channel() {
            None if self.has_lines() => Phase::ReadingMessage,
            None => Phase::ReadingHead,
            Some(channel) if channel.is_between_lines() => Phase::ReadingMessage,
            // Without the end of its record the peer of a WebSocket answers no ping.
            Some(_) => return,
        };
        match (self.phase, has_part) {
            (Phase::Idle, true) => self.phase = reading,
            (phase, false) if phase == reading => self.phase = Phase::Idle,
            _ => {}
        }
    }

    /// Records that reading must stop until a step of the handshake is over.
    #[cfg(feature = "tls")]
    pub(crate) fn pause_handshake(&mut self, context: &mut Context<'_>) {
        self.buffers(context).is_paused = true;
    }

    /// Whether reading stopped for a step of the handshake; it continues then.
    #[cfg(feature = "tls")]
    pub(crate) fn resume_handshake(&mut self) -> bool {
        let buffers = self.buffers.as_mut();
        buffers.is_some_and(|buffers| std::mem::take(&mut buffers.is_paused))
    }

    /// Whether reading was paused and can continue; it continues then.
    pub(crate) fn resume_reading(&mut self, context: &mut Context<'_>) -> bool {
        let buffers = self.buffers.as_ref();
        if !buffers.is_some_and(|buffers| buffers.is_paused && !buffers.has_turn)
            || self.is_full(&context.rules.connection)
        {
            return false;
        }
        self.buffers(context).is_paused = false;
        self.give_back_buffers(context);
        true
    }

    /// Whether a send is under way.
    pub(crate) fn is_sending(&self) -> bool {
        self.sending_bytes > 0
    }

    /// Records that `chunk` is being sent, the only one of the connection.
    pub(crate) fn begin_send(&mut self, chunk: &Chunk) {
        self.sending_bytes = u32::try_from(chunk.capacity()).unwrap_or(u32::MAX);
    }

    /// Records that the peer took `bytes` of the send under way, and not all of it.
    pub(crate) fn continue_send(&mut self, bytes: usize, context: &mut Context<'_>) {
        self.buffers(context);
        self.note_taken(bytes, &context.rules.connection);
    }

    /// Records that the peer took the last `bytes` of the send under way; returns the next chunk to
    /// send. A peer that has taken all of its output has its whole time for later output. Output
    /// that waited behind the send must be taken in the same time.
    pub(crate) fn end_send(&mut self, bytes: usize, profile: &ConnectionProfile) -> Option<Chunk> {
        self.sending_bytes = 0;
        self.forget_channel_answers();
        let output = self.buffers.as_mut().and_then(|it| it.output.take());
        if output.is_some() {
            self.note_taken(bytes, profile);
            return output;
        }
        self.armed = Timer::None;
        if let Some(buffers) = &mut self.buffers {
            buffers.taken_bytes = 0;
        }
        None
    }

    /// Counts the bytes that the peer takes; once they suffice, its time for writing starts anew.
    fn note_taken(&mut self, bytes: usize, profile: &ConnectionProfile) {
        let Some(buffers) = &mut self.buffers else {
            return;
        };
        buffers.taken_bytes += bytes;
        if buffers.taken_bytes >= profile.written_bytes_min() {
            buffers.taken_bytes = 0;
            self.armed = Timer::None;
        }
    }

    /// Bytes of memory that unsent output holds.
    pub(crate) fn held_output_bytes(&self) -> usize {
        let buffers = self.buffers.as_ref();
        let output = buffers.and_then(|buffers| buffers.output.as_ref());
        self.sending_bytes as usize + output.map_or(0, |output| output.capacity())
    }

    /// Puts output behind the send that is under way.
    pub(crate) fn queue_output(&mut self, chunk: Chunk, context: &mut Context<'_>) {
        let buffers = self.buffers(context);
        match &mut buffers.output {
            None => buffers.output = Some(chunk),
            Some(output) => {
                output.extend_from_slice(&chunk);
                context.pool.chunks.give(chunk);
            }
        }
    }

    /// Takes the output behind a send that was not submitted yet, to go with it, if that is no more
    /// than `max` bytes.
    pub(crate) fn take_queued(&mut self, max: usize) -> Option<Chunk> {
        let output = &mut self.buffers.as_mut()?.output;
        let output = output.take_if(|output| output.len() <= max)?;
        self.forget_channel_answers();
        Some(output)
    }

    /// Whether the peer takes its output so slowly that no more should be made for it.
    pub(crate) fn has_much_output(&self, profile: &ConnectionProfile) -> bool {
        self.unsent_bytes() >= profile.output_bytes_max
    }

    /// Whether no further request is handled in this step: the answers so far and the unsent output
    /// reach the limit of a peer.
    pub(super) fn is_output_full(&self, context: &Context<'_>) -> bool {
        let made = context.out.as_ref().map_or(0, |out| out.len());
        self.unsent_bytes() + made >= context.rules.connection.output_bytes_max
    }

    /// Whether the peer is so far behind that its connection is closed. The responses to its batch,
    /// and the answers on a channel, do not count: they may be ready all at once, for any speed of
    /// reading, and have a bound of their own.
    pub(crate) fn has_twice_the_output(&self, profile: &ConnectionProfile) -> bool {
        let waiting = self.buffers.as_ref().and_then(|it| it.waiting());
        let batch = waiting.and_then(|it| it.batch.as_ref());
        let streamed_bytes = batch.map_or(0, |it| it.streamed_bytes) + self.channel_answer_bytes();
        self.queued_bytes().saturating_sub(streamed_bytes) / 2 >= profile.output_bytes_max
    }

    /// Whether the peer waits for events of its session, and sends nothing meanwhile.
    pub(crate) fn listens(&self) -> bool {
        let waiting = self.buffers.as_ref().and_then(|it| it.waiting());
        let has_stream = |channel: &MessageChannel| channel.outgoing().is_some();
        self.phase == Phase::Streaming && waiting.is_some_and(|it| it.has_stream())
            || self.channel().is_some_and(has_stream)
    }

    /// Bytes that the peer has not taken, those being sent included.
    fn unsent_bytes(&self) -> usize {
        self.sending_bytes as usize + self.queued_bytes()
    }

    /// Bytes that wait behind the send that is under way.
    fn queued_bytes(&self) -> usize {
        let buffers = self.buffers.as_ref();
        let output = buffers.and_then(|buffers| buffers.output.as_ref());
        output.map_or(0, |output| output.len())
    }

    pub(super) fn keep_input(&mut self, bytes: &[u8], context: &mut Context<'_>) {
        let mut input = self.buffers(context).input.take();
        context.append_input(&mut input, bytes);
        self.buffers(context).input = input;
        self.shed_input_if_much(context);
    }

    /// Refuses the unfinished request of the connection if it is too much for the shard.
    pub(super) fn shed_input_if_much(&mut self, context: &mut Context<'_>) {
        if context.pool.input_bytes > context.pool.input_bytes_max && self.is_between_answers() {
            self.shed_input(context);
        }
    }

    /// Refuses the unfinished request of the connection, to free its memory.
    pub(crate) fn shed_input(&mut self, context: &mut Context<'_>) {
        self.drop_input(context);
        let text = "overloaded: unfinished requests of all clients take more memory than \
                    connection.input_bytes_max or overload.memory_bytes_max allows; try again";
        self.sequence = self.sequence.wrapping_add(1);
        self.refuse_framing(Status::ServiceUnavailable, text, context);
    }

    /// Forgets input that was kept.
    pub(crate) fn drop_input(&mut self, context: &mut Context<'_>) {
        let Some(buffers) = &mut self.buffers else {
            return;
        };
        let socket = buffers.channel_mut().and_then(|it| it.websocket_mut());
        let message = socket.and_then(|socket| socket.message.take());
        let message = message.map(|message| *message);
        for input in buffers.input.take().into_iter().chain(message) {
            context.drop_input(input);
        }
    }

    pub(super) fn buffers(&mut self, context: &mut Context<'_>) -> &mut ConnectionBuffers {
        self.buffers
            .get_or_insert_with(|| context.pool.spare.pop().unwrap_or_default())
    }

    /// Releases the buffers when they are empty.
    pub(crate) fn give_back_buffers(&mut self, context: &mut Context<'_>) {
        const SPARE_BUFFERS_MAX: usize = 1024;
        let is_spent = matches!(self.phase, Phase::Idle)
            && self
                .buffers
                .as_ref()
                .is_some_and(|buffers| buffers.is_spent());
        if is_spent
            && let Some(mut buffers) = self.buffers.take()
            && context.pool.spare.len() < SPARE_BUFFERS_MAX
        {
            *buffers = ConnectionBuffers::default();
            context.pool.spare.push(buffers);
        }
    }
}
