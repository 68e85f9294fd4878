//! The end of a shard: no more connections are accepted, pending requests are answered, then
//! everything is closed.
//!
//! Calls get `server.drain_timeout_ms` to end. After that each of them is answered with an error,
//! and the shard ends when its output was taken, or after [`LAST_OUTPUT_MS`].

use std::sync::atomic::Ordering;

use super::work::{Accepting, Drain, Shard};
use crate::connection::http::{Connection, Phase};
use corelane_io::ring::Wait;

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
        let has_lost_channel = self.has_lost_its_channel();
        if has_lost_channel {
            self.handling.endpoint.handle_end_of_answers();
        }
        match self.drain {
            Drain::No => {
                if has_lost_channel || self.control.drain.load(Ordering::Relaxed) {
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
        if !self.is_counted_quiet && self.is_quiet() {
            self.is_counted_quiet = true;
            let quiet = self.control.quiet_shards.fetch_add(1, Ordering::AcqRel) + 1;
            if quiet == self.ring_fds.len() {
                self.wake_all_shards()?;
            }
        }
        Ok(self.control.quiet_shards.load(Ordering::Acquire) == self.ring_fds.len())
    }

    /// Whether the only connection of a shard has nothing more to say.
    fn has_lost_its_channel(&self) -> bool {
        let is_over = |key| self.slots.get(key).is_none_or(Connection::is_input_over);
        self.channel.is_some_and(is_over)
    }

    fn is_quiet(&mut self) -> bool {
        let is_closed = self.slots.is_empty() && self.ring.closing() == 0;
        let is_quiet = is_closed && self.overflow.is_empty();
        is_quiet && self.handling.endpoint.is_quiet()
    }

    /// The last quiet shard wakes the others, which may be parked, before it ends.
    fn wake_all_shards(&mut self) -> std::io::Result<()> {
        for (shard, fd) in self.ring_fds.iter().enumerate() {
            let fd = fd.load(Ordering::Acquire);
            if fd >= 0 && shard != usize::from(self.handling.shard) {
                self.ring.wake_shard(fd);
            }
        }
        self.ring.enter(Wait::No)
    }

    /// Answers each call in flight with an error.
    fn end_calls(&mut self) {
        if self.handling.endpoint.has_calls() {
            let limit_ms = self.control.drain_timeout_ms;
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
        let deadline_ms = self.now_ms + self.control.drain_timeout_ms;
        self.drain = Drain::Calls { deadline_ms };
        self.handling.is_draining = true;
        self.accepting = Accepting::Off;
        self.ring.stop_accepting();
        // The kernel refuses connections from here on.
        self.listener = None;
        self.handling.endpoint.drain();
        self.deliver_all();
        let keys: Vec<_> = self.slots.keys().collect();
        for key in keys {
            let Some(connection) = self.slots.get_mut(key) else {
                continue;
            };
            let mut context = self.handling.context(key);
            if connection.lines().is_some() {
                connection.end_when_answered();
                self.finish_step(key, None);
                continue;
            }
            match connection.phase {
                // A received request is answered; its answer announces the end of the connection.
                Phase::Idle if connection.has_requests_left_over() => {}
                Phase::Idle if !connection.is_sending() => self.close(key),
                Phase::Idle => connection.phase = Phase::Flushing { lingers: true },
                Phase::Waiting | Phase::Streaming | Phase::Padding => {
                    connection.end_after_answer(&mut context);
                    let out = context.out.take();
                    self.finish_step(key, out);
                }
                // A partial request is read to its end and answered, or reaches its deadline.
                _ => {}
            }
        }
    }
}
