//! The end of a shard: connections that wait are accepted, requests that have arrived are answered,
//! then everything is closed.
//!
//! Bytes that the kernel acknowledged before the drain began may wait in a socket of the backlog or
//! of an idle connection. So the shard accepts the connections that wait, and receives from each
//! connection once more before it ends it: a connection that has no request then shuts its sending
//! side down and lingers, so that no reset destroys an answer on its way. A request that comes
//! after that is lost, as it may be with every persistent connection (RFC 9112 9.3.1 and 9.5), and
//! so is one whose head is not whole then. A request with a part of its body is read to its end.
//!
//! Calls get `server.drain_timeout_ms` to end. After that each of them is answered with an error,
//! and the shard ends when its output was taken, or after [`LAST_OUTPUT_MS`].

use std::sync::atomic::Ordering;

use super::work::{Drain, Shard};
use crate::connection::http::{Connection, Phase};
use crate::meter::Counter;
use corelane_io::ring::Wait;
use corelane_io::slots::SlotKey;

/// Connections that one turn begins to end. Each leads to about five completions, together fewer
/// than a turn handles.
const ENDED_PER_TURN: u32 = 64;

/// Milliseconds after the time for calls in which clients can take the last of the output: enough
/// for clients that read, and a short delay if one does not.
pub(crate) const LAST_OUTPUT_MS: u64 = 1000;

impl Shard {
    /// Begins to drain when requested. Returns whether the shard is done.
    ///
    /// A quiet shard stays until all are: another one may still receive a request for a session
    /// that lives here. A quiet shard gets work from no other source, so that once all are quiet
    /// none will have work again.
    pub(super) fn drain_step(&mut self) -> std::io::Result<bool> {
        if self.is_answer_impossible() {
            self.handling.endpoint.handle_end_of_answers();
        }
        match self.drain {
            Drain::No => {
                if self.has_lost_its_channel() || self.control.drain.load(Ordering::Relaxed) {
                    self.begin_drain();
                }
                return Ok(false);
            }
            Drain::Calls { deadline_ms } => {
                if self.now_ms >= deadline_ms || self.control.is_overdue.load(Ordering::Relaxed) {
                    let deadline_ms = self.now_ms + LAST_OUTPUT_MS;
                    self.drain = Drain::Output { deadline_ms };
                    self.end_calls();
                }
            }
            Drain::Output { deadline_ms } => {
                if self.now_ms >= deadline_ms {
                    self.log_lost_connections();
                    return Ok(true);
                }
                // Late messages of clients and shards may have started others.
                self.end_calls();
            }
        }
        self.end_connections();
        if self.is_quiet() && self.control.count_quiet() == Some(self.ring_fds.len()) {
            self.wake_all_shards()?;
        }
        Ok(self.control.quiet_shards.load(Ordering::Acquire) == self.ring_fds.len())
    }

    /// Whether no client can answer a request of a handler any more: the only connection has said
    /// everything, or the shard drains and has received from each connection once more.
    fn is_answer_impossible(&self) -> bool {
        match self.channel {
            Some(_) => self.has_lost_its_channel(),
            None => {
                let is_received = !self.is_listening() && !self.has_connections_to_end();
                self.handling.is_draining && is_received
            }
        }
    }

    /// Whether the only connection of a shard has nothing more to say.
    fn has_lost_its_channel(&self) -> bool {
        let is_over = |key| self.slots.get(key).is_none_or(Connection::is_input_over);
        self.channel.is_some_and(is_over)
    }

    fn is_quiet(&mut self) -> bool {
        let is_closed = self.slots.is_empty() && self.rings.closing() == 0;
        let is_quiet = is_closed && !self.is_listening() && self.overflow.is_empty();
        is_quiet && self.handling.endpoint.is_quiet()
    }

    /// The last quiet shard wakes the others, which may be parked, before it ends.
    fn wake_all_shards(&mut self) -> std::io::Result<()> {
        for (shard, fd) in self.ring_fds.iter().enumerate() {
            let fd = fd.load(Ordering::Acquire);
            if fd >= 0 && shard != usize::from(self.handling.shard) {
                self.rings.first().wake_shard(fd);
            }
        }
        self.rings.enter(Wait::No)
    }

    /// Answers each call in flight with an error.
    fn end_calls(&mut self) {
        if self.handling.endpoint.has_calls() {
            let limit_ms = self.control.drain_timeout_ms();
            self.handling.endpoint.end_calls(limit_ms);
            self.deliver_all();
        }
    }

    fn log_lost_connections(&self) {
        let (shard, connections) = (self.handling.shard, self.slots.len());
        if connections > 0 {
            tracing::warn!(
                shard,
                connections,
                "drain timed out; remaining connections are closed"
            );
        }
    }

    fn begin_drain(&mut self) {
        let deadline_ms = self.now_ms + self.control.drain_timeout_ms();
        self.drain = Drain::Calls { deadline_ms };
        self.handling.is_draining = true;
        self.begin_last_accepts();
        self.handling.endpoint.drain();
        self.deliver_all();
    }

    /// Whether connections have yet to be ended.
    pub(super) fn has_connections_to_end(&self) -> bool {
        self.handling.is_draining && self.ending_below < u32::MAX
    }

    /// Ends some more connections, each when it has no request.
    fn end_connections(&mut self) {
        if !self.has_connections_to_end() {
            return;
        }
        for _ in 0..ENDED_PER_TURN {
            let Some(key) = self.slots.first_from(self.ending_below) else {
                self.ending_below = u32::MAX;
                return;
            };
            self.ending_below = key.index + 1;
            self.end_connection(key);
        }
    }

    fn end_connection(&mut self, key: SlotKey) {
        let Some(connection) = self.slots.get_mut(key) else {
            return;
        };
        if connection.has_channel() {
            connection.begin_ending(&mut self.handling.context(key));
            // A request may wait in the socket: it is refused, and then the connection ends.
            return self.rings.of(key).receive(key);
        }
        match connection.phase {
            // A received request is answered; its answer announces the end of the connection.
            Phase::Idle if connection.has_requests_left_over() => {}
            // Its peer is being looked up; then it is received from.
            _ if self.clients.is_peer_needed(key.index) => {}
            // A request, or the rest of its head, may wait in the socket. If it does not, the
            // connection ends.
            Phase::Idle | Phase::ReadingHead => self.rings.of(key).receive(key),
            // It has sent no request.
            Phase::Handshaking => self.close(key, Counter::ClosedDrain),
            Phase::Waiting | Phase::Streaming | Phase::Padding => {
                let mut context = self.handling.context(key);
                connection.end_after_answer(&mut context);
                let out = context.out.take();
                self.finish_step(key, out);
            }
            // A request with a part of its body is read to its end and answered, or reaches its
            // deadline.
            _ => {}
        }
    }

    /// Whether a receive that finds nothing is the last one of a connection. One that was queued
    /// before the connection was to end may be older than a request: another follows it.
    pub(super) fn is_ending(&mut self, key: SlotKey) -> bool {
        key.index < self.ending_below && !self.rings.of(key).is_receiving(key)
    }

    /// Ends a connection that has no request, after the answers on their way.
    pub(super) fn end_if_idle(&mut self, key: SlotKey) {
        if self.arrivals.has(key) {
            // Handled first; then another look at the socket.
            return self.rings.of(key).receive(key);
        }
        let Some(connection) = self.slots.get_mut(key) else {
            return;
        };
        if connection.has_channel() {
            let mut context = self.handling.context(key);
            connection.end_when_answered(&mut context);
            let out = context.out.take();
            return self.finish_step(key, out);
        }
        let has_request = !matches!(connection.phase, Phase::Idle | Phase::ReadingHead);
        if !has_request && !connection.has_requests_left_over() {
            connection.drop_input(&mut self.handling.context(key));
            connection.phase = Phase::Flushing { lingers: true };
            self.finish_step(key, None);
        }
    }
}
