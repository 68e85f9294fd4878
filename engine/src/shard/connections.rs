//! The effects of completions on connections, and the operations that follow.

use corelane_protocol::binding::refusal::Reason;

use super::work::Shard;
use crate::connection::body::BodyElsewhere;
use crate::connection::buffers::ConnectionBuffers;
use crate::connection::channel::MessageChannel;
use crate::connection::http::Phase;
use crate::connection::messages::EndOfInput;
use crate::connection::timer::Timer;
use crate::guard::network::Network;
use crate::mcp::Exchange;
use crate::meter::Counter;
use corelane_io::chunk::Chunk;
use corelane_io::ring::{Completion, Peer, Ring};
use corelane_io::slots::SlotKey;

/// Requests that the connections with leftover requests make in a round, all together.
const SHARED_REQUESTS: u32 = 64;

impl Shard {
    /// Requests that one connection may make at this step: the fewer the more connections have
    /// requests left over, so that one that sends a single request waits for a few of each.
    pub(super) fn requests_per_connection(&self) -> u32 {
        let most = self.profile.budget.requests_per_connection_per_turn;
        match self.leftover.len() as u32 {
            0 => most,
            waiting => SHARED_REQUESTS.div_ceil(waiting).min(most),
        }
    }

    pub(super) fn handle_completion(&mut self, completion: Completion) {
        match completion {
            Completion::Received { key, outcome } => self.received(key, outcome),
            Completion::Sent {
                key,
                chunk,
                from,
                outcome,
            } => self.sent(key, chunk, from, outcome),
            Completion::Readable { key, hangup, armed } => self.readable(key, hangup, armed),
            Completion::Accepted {
                listener,
                index,
                more,
            } => self.accepted(listener, index, more),
            Completion::AcceptedOne { listener, outcome } => self.accepted_one(listener, outcome),
            Completion::AcceptEnded { listener, errno } => self.accept_ended(listener, errno),
            Completion::Closed { .. } => self.handling.meter.uncount(Counter::ConnectionsOpen),
            Completion::Woken => {}
            Completion::Ticked => self.has_ticked = true,
            Completion::Streamed {
                key,
                outcome,
                armed,
            } => self.streamed(key, outcome, armed),
            Completion::PeerFound { key, peer } => self.peer_found(key, peer),
            Completion::Shared { key, outcome } => self.shared(key, outcome),
            Completion::Connected { .. } => unreachable!("a shard accepts and never connects"),
        }
    }

    pub(super) fn sent(
        &mut self,
        key: SlotKey,
        chunk: Chunk,
        from: usize,
        outcome: Result<usize, i32>,
    ) {
        let Some(connection) = self.slots.get_mut(key) else {
            return self.handling.pool.chunks.give(chunk);
        };
        let Ok(bytes) = outcome else {
            self.handling.pool.chunks.give(chunk);
            return self.close(key, Counter::ClosedPeer);
        };
        self.handling.meter.add(Counter::BytesOut, bytes as u64);
        let sent = from + bytes;
        if sent < chunk.len() {
            connection.continue_send(bytes, &mut self.handling.context(key));
            self.rings.of(key).send(key, chunk, sent);
            return self.finish_step(key, None);
        }
        self.handling.pool.chunks.give(chunk);
        self.handling.pool.output_bytes -= connection.held_output_bytes();
        let next = connection.end_send(bytes, &self.profile.connection);
        let waits = connection.awaits_any();
        if next.is_none() && connection.holds_changes() {
            let mut context = self.handling.context(key);
            connection.release_changes(&mut context);
            let out = context.out.take();
            self.finish_step(key, out);
        } else {
            self.finish_sealed(key, next);
        }
        if waits {
            self.release_posts(key);
            self.note_capacity();
        }
    }

    /// Does the work after a step of a connection: sends its output, or ends or continues reading.
    pub(super) fn finish_step(&mut self, key: SlotKey, out: Option<Chunk>) {
        let Some(connection) = self.slots.get_mut(key) else {
            return;
        };
        if !connection.source.is_tls() {
            return self.finish_sealed(key, out);
        }
        match self.seal(key, out) {
            Ok(sealed) => self.finish_sealed(key, sealed),
            Err(_) => self.close(key, Counter::ClosedError),
        }
    }

    /// Does the work after a step of a connection, with its output as it is sent.
    pub(super) fn finish_sealed(&mut self, key: SlotKey, out: Option<Chunk>) {
        let Some(connection) = self.slots.get_mut(key) else {
            return;
        };
        if let Some(chunk) = out {
            let held_before = connection.held_output_bytes();
            let mut begun = None;
            if connection.is_sending() {
                connection.queue_output(chunk, &mut self.handling.context(key));
            } else {
                connection.begin_send(&chunk);
                begun = Some(chunk);
            }
            self.handling.pool.output_bytes += connection.held_output_bytes() - held_before;
            if let Some(chunk) = begun {
                self.hold_send(key, chunk);
            }
        }
        let mut connection = self.slots.get_mut(key).expect("it was there above");
        let mut reads = false;
        if let Phase::Flushing { lingers } = connection.phase
            && !connection.is_sending()
        {
            reads = !self.ends_with_a_record(key);
            if reads && !lingers {
                return self.close_answered(key);
            }
            connection = self.slots.get_mut(key).expect("it was there above");
            if reads {
                connection.phase = Phase::Lingering;
                self.rings.of(key).shutdown_write(key);
            }
        }
        // A finished send comes through here again, when more answers fit.
        if connection.takes_turn(&self.profile.connection) {
            self.leftover.push_back(key);
        }
        reads |= connection.resume_reading(&mut self.handling.context(key));
        connection.give_back_buffers(&mut self.handling.context(key));
        let input_ended = match connection.is_input_over() {
            true => connection.take_end_of_input(),
            false => None,
        };
        let listens = connection.listens();
        if (connection.armed, connection.armed_for) != connection.armed_timer() {
            self.set_timer(key);
        }
        if listens {
            self.rearm_poll(key);
        }
        if reads {
            self.receive(key);
        }
        self.send_forwards();
        self.send_posts();
        self.look_up_peers();
        self.keep_rechecks();
        if let Some(ended) = input_ended {
            self.end_input(ended);
        }
    }

    /// Ends the parts of a connection of lines that need a peer which may still send.
    fn end_input(&mut self, ended: EndOfInput) {
        let endpoint = &mut self.handling.endpoint;
        if let Some(session) = ended.session {
            endpoint.handle_channel_input_over(session);
        }
        for place in ended.subscriptions {
            endpoint.handle_subscriber_input_over(place);
        }
    }

    /// Looks up the peers that requests wait for.
    fn look_up_peers(&mut self) {
        while let Some((key, request)) = self.handling.effects.postponed.pop() {
            if self.slots.get(key).is_none() {
                continue;
            }
            self.lookups.insert(key, request);
            match self.clients.of(key.index) {
                Some(client) => self.peer_found(key, Some(Peer::Address(client))),
                None => self.look_up_peer(key),
            }
        }
    }

    /// Begins to read from a connection that waited for the name of its peer, or continues the
    /// request that waited for it.
    pub(super) fn peer_found(&mut self, key: SlotKey, peer: Option<Peer>) {
        let address = match peer {
            Some(Peer::Address(address)) => Some(address),
            Some(Peer::User(_)) | None => None,
        };
        if self.clients.is_peer_needed(key.index) {
            return self.peer_identified(key, address);
        }
        self.admit_address(key, address);
        let request = self.lookups.remove(&key);
        let named = |peer| match &request {
            Some(request) => self.clients.named_in(peer, request),
            None => peer,
        };
        let client = address.map(named).map(Network::from);
        let holder = self.handling.endpoint.holder_of(client);
        self.secured.identify(key, holder);
        self.open_for(key, peer, holder);
        let (Some(request), Some(connection)) = (request, self.slots.get_mut(key)) else {
            return;
        };
        let mut context = self.handling.context(key);
        context.peer = Some(holder);
        if connection.go_on(request, &mut context) {
            self.close(key, Counter::ClosedPeer);
        } else {
            let out = context.out.take();
            self.finish_step(key, out);
        }
    }

    /// Starts the deadline for the state of a connection.
    pub(super) fn set_timer(&mut self, key: SlotKey) {
        let Some(connection) = self.slots.get_mut(key) else {
            return;
        };
        (connection.armed, connection.armed_for) = connection.armed_timer();
        match connection.armed.duration_ms(&self.profile) {
            Some(duration_ms) => {
                let due_ms = match connection.armed {
                    Timer::Body => connection.channel().and_then(|it| it.message_due_ms()),
                    _ => None,
                };
                let due_ms = due_ms.unwrap_or(self.now_ms + duration_ms);
                self.wheel.schedule(key.index, due_ms);
            }
            None => self.wheel.cancel(key.index),
        }
    }

    /// Ends a connection after its last answer, or because its peer sends no more.
    fn close_answered(&mut self, key: SlotKey) {
        let connection = self.slots.get(key);
        let is_over = connection.is_some_and(|it| it.is_read_closed);
        self.close(
            key,
            match self.handling.is_draining {
                true => Counter::ClosedDrain,
                false if is_over => Counter::ClosedPeer,
                false => Counter::ClosedAnswered,
            },
        );
    }

    /// Ends a connection now, for the reason that this counter counts: see [`Shard::end`].
    pub(super) fn close(&mut self, key: SlotKey, reason: Counter) {
        self.end(key, reason, Ring::close);
    }

    /// Ends a connection here, whose descriptor `end` gives up. Its pending calls are notified; its
    /// unsent output is lost.
    pub(super) fn end(&mut self, key: SlotKey, reason: Counter, end: fn(&mut Ring, SlotKey)) {
        if self.held_send.as_ref().is_some_and(|(of, _)| *of == key) {
            self.release_send();
        }
        let Some(mut connection) = self.slots.remove(key) else {
            return;
        };
        self.handling.meter.count(reason);
        if connection.source.is_tls() {
            self.forget_secured(key, connection.is_sending());
        }
        self.wheel.cancel(key.index);
        self.forget_admitted(key);
        self.handling.pool.output_bytes -= connection.held_output_bytes();
        end(self.rings.of(key), key);
        let mut context = self.handling.context(key);
        connection.drop_input(&mut context);
        let Some(buffers) = &mut connection.buffers else {
            return;
        };
        if let Some(output) = buffers.output.take() {
            context.pool.chunks.give(output);
        }
        let (waiting, channel) = buffers.take_work();
        **buffers = ConnectionBuffers::default();
        connection.phase = Phase::Idle;
        connection.give_back_buffers(&mut context);
        if let Some(channel) = channel {
            self.channel_gone(key, channel);
        }
        if let Some(waiting) = waiting {
            self.note_capacity();
            let exchange = Exchange {
                shard: self.handling.shard,
                slot: key,
                sequence: connection.sequence,
                takes_events: waiting.reply.accept.event_stream,
                is_on_channel: false,
            };
            if let Some(call) = waiting.call {
                self.handling.endpoint.handle_client_gone(call, exchange);
            }
            self.forget_decoding(waiting.decoding.as_deref());
            if waiting.has_stream() {
                let started_us = waiting.reply.started.us();
                self.handling.meter.end_stream(Some(started_us));
            }
            if let Some(owner) = waiting.stream {
                self.stream_gone(owner, exchange);
            }
        }
    }

    /// Takes the body of a closed connection back, unless its decoding has begun.
    fn forget_decoding(&mut self, body: Option<&BodyElsewhere>) {
        if let Some(body) = body
            && self.handling.endpoint.cancel_decoding(body.job)
        {
            self.handling.pool.input_bytes -= body.held_bytes;
        }
    }

    /// Ends the calls and streams of a closed channel, its session first.
    fn channel_gone(&mut self, key: SlotKey, mut channel: MessageChannel) {
        for post in channel.held_mut().into_iter().flat_map(std::mem::take) {
            self.refuse_post(&post, Reason::SessionUnknown);
        }
        self.forget_decoding(channel.decoding.as_deref());
        self.note_capacity();
        if channel.is_websocket() {
            self.handling.meter.uncount(Counter::WebSocketsOpen);
        }
        if let Some(outgoing) = channel.outgoing() {
            let started_us = outgoing.reply.started.us();
            self.handling.meter.end_stream(Some(started_us));
        }
        let endpoint = &mut self.handling.endpoint;
        if let Some(session) = channel.session {
            endpoint.handle_channel_gone(session);
        }
        for (sequence, request) in channel.in_flight {
            let exchange = self.handling.context(key).channel_exchange(sequence);
            if let Some(call) = request.call {
                self.handling.endpoint.handle_client_gone(call, exchange);
            }
            let Some(owner) = request.stream else {
                continue;
            };
            if owner.is_stream() {
                self.handling.meter.end_stream(None);
            }
            self.stream_gone(owner, exchange);
        }
    }

    /// Continues leftover requests from earlier turns while there is time, one share for each of
    /// the connections that wait longest. Returns whether there were any.
    pub(super) fn handle_leftover(&mut self) -> bool {
        let count = self.leftover.len();
        if count == 0 {
            return false;
        }
        self.begin_requests(self.clock_us(), !self.arrivals.is_empty());
        self.handling.requests_per_connection = self.requests_per_connection();
        for _ in 0..count {
            if !self.has_time() {
                break;
            }
            let Some(key) = self.leftover.pop_front() else {
                break;
            };
            let Some(connection) = self.slots.get_mut(key) else {
                continue;
            };
            connection.begin_turn();
            if !connection.has_much_output(&self.profile.connection) {
                let mut context = self.handling.context(key);
                let most = context.requests_left;
                connection.resume(&mut context);
                // Finding that a request is not whole costs time too.
                let made = (most - context.requests_left).max(1);
                let out = context.out.take();
                self.handling.note_requests(made);
                self.finish_step(key, out);
            }
        }
        true
    }

    /// Handles deadlines that have passed. Returns whether all of them were.
    pub(super) fn handle_timers(&mut self, budget: usize) -> bool {
        self.continue_accepting();
        let mut expired = std::mem::take(&mut self.expired);
        let caught_up = self
            .wheel
            .advance(self.now_ms, budget, |index| expired.push(index));
        for index in expired.drain(..) {
            if let Some(key) = self.slots.key_of(index) {
                self.on_timeout(key);
            }
        }
        self.expired = expired;
        self.handling.endpoint.handle_deadlines();
        caught_up
    }

    fn on_timeout(&mut self, key: SlotKey) {
        let Some(connection) = self.slots.get_mut(key) else {
            return;
        };
        // A change of state that was not a step leaves an old deadline behind.
        let is_old = connection.armed == Timer::Quiet && connection.timer() != Timer::Quiet;
        let due_ms = connection.channel().and_then(|it| it.message_due_ms());
        if is_old || due_ms.is_some_and(|due_ms| due_ms > self.now_ms) {
            return self.set_timer(key);
        }
        let timer = connection.timer();
        if let Some(counter) = closing_counter(timer, self.clients.is_awaited(key.index)) {
            self.handling.meter.count(counter);
            return self.close(key, Counter::ClosedTimeout);
        }
        let mut context = self.handling.context(key);
        match timer {
            Timer::Quiet => {
                if connection.source.is_tls() {
                    self.secured.shed(key);
                }
                self.rearm_poll(key);
                return self.rearm_idle_timer(key);
            }
            Timer::Linger => return self.close_answered(key),
            Timer::Head | Timer::Body => {
                let is_head = timer == Timer::Head;
                context.meter.count(if is_head {
                    Counter::TimeoutsHead
                } else {
                    Counter::TimeoutsBody
                });
                connection.time_out(is_head, &mut context);
            }
            Timer::Slow => connection.begin_slow_answer(&mut context),
            Timer::Ping => connection.ping(&mut context),
            Timer::KeepAlive => connection.keep_alive(&mut context),
            _ => return,
        }
        let out = context.out.take();
        self.finish_step(key, out);
    }

    /// Starts the rest of the idle deadline when the one for quiet connections is over.
    fn rearm_idle_timer(&mut self, key: SlotKey) {
        let Some(connection) = self.slots.get_mut(key) else {
            return;
        };
        if connection.channel().is_some_and(|it| it.is_websocket()) {
            return self.set_timer(key);
        }
        (connection.armed, connection.armed_for) = connection.armed_timer();
        let quiet_ms = self.profile.connection.quiet_after_ms;
        match connection.armed.duration_ms(&self.profile) {
            Some(all_ms) => {
                let left_ms = all_ms.saturating_sub(quiet_ms);
                self.wheel.schedule(key.index, self.now_ms + left_ms);
            }
            None => self.wheel.cancel(key.index),
        }
    }
}

/// The counter of a deadline that ends its connection without an answer.
fn closing_counter(timer: Timer, awaits_header: bool) -> Option<Counter> {
    Some(match timer {
        Timer::Handshake => Counter::TimeoutsHandshake,
        Timer::Idle | Timer::NextLine => Counter::TimeoutsIdle,
        Timer::FirstLine => Counter::TimeoutsHead,
        // Of a proxy, which may be about to speak anything.
        Timer::Head if awaits_header => Counter::TimeoutsHead,
        Timer::Write => Counter::TimeoutsWrite,
        Timer::Pong => Counter::TimeoutsPong,
        _ => return None,
    })
}
