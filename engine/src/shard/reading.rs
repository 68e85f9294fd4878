//! How the bytes of a connection are asked for.
//!
//! A connection is watched, and what the watch announces is received once: the cheapest way to
//! wait, 256 bytes of kernel memory. One that makes a second request before it has been quiet for
//! `quiet_after_ms` is streamed instead, by a receive that stays armed: 600 bytes more, and a
//! submission and a completion less for each request. When it is quiet again, listens to events
//! or has sent more than it may, it is watched once more.
//!
//! ```text
//! Watched --readable--> Recent --readable--> Streamed --quiet, full, listens--> Stopping
//!    ^                     |                     | ended                           | ended
//!    +---quiet, listens-----+                     +--------> Watched <------------+
//! ```
//!
//! What a stream brings between its stop and its end is kept; it is one burst of the kernel's.
//!
//! Invariant: the end of a peer is noticed, whatever the connection does. A watch and a stream
//! tell of changes, so an end that comes together with bytes is told once. A connection that
//! reads goes on until it meets the end; one that is paused acts on what the watch says. A stream
//! may lose an end behind bytes on older kernels: when nothing is sent after them, which would
//! fail, one receive follows. A receive beside a stream keeps the order of bytes: both run in
//! the shard's own calls of the kernel, one after the other, and complete in that order.

use super::work::Shard;
use crate::connection::http::RecvMode;
use crate::meter::Counter;
use corelane_io::ring::{Hangup, Received};
use corelane_io::slots::SlotKey;

impl Shard {
    /// The watch of a connection announced something.
    pub(super) fn readable(&mut self, key: SlotKey, hangup: Hangup, armed: bool) {
        let Some(connection) = self.slots.get_mut(key) else {
            return;
        };
        let reading = connection.reading;
        // The watch was cancelled when the stream began, and this is older than that.
        if matches!(reading, RecvMode::Multishot | RecvMode::Cancelling) {
            return;
        }
        if !armed {
            self.ring.watch(key);
        }
        connection.hangup = connection.hangup.max(hangup);
        if self.pauses(key) {
            return;
        }
        let Some(connection) = self.slots.get_mut(key) else {
            return;
        };
        if reading == RecvMode::PollThenMultishot && connection.hangup == Hangup::None {
            connection.reading = RecvMode::Multishot;
            self.ring.unwatch(key);
            self.ring.recv_multishot(key);
            return;
        }
        if self.profile.connection.quiet_after_ms > 0 {
            connection.reading = RecvMode::PollThenMultishot;
        }
        self.ring.receive(key);
    }

    /// A receive that was queued once ended.
    pub(super) fn received(&mut self, key: SlotKey, outcome: Received) {
        let (has_data, more_waiting) = match outcome {
            Received::Data { more_waiting, .. } => (true, more_waiting),
            Received::NoBuffers => (false, true),
            _ => (false, false),
        };
        self.on_recv(key, outcome);
        let Some(connection) = self.slots.get_mut(key) else {
            return;
        };
        // Behind the bytes of a peer that is going comes its end, which nothing else tells.
        let end_waiting = has_data && connection.hangup != Hangup::None;
        if (more_waiting || end_waiting) && !self.pauses(key) {
            self.receive(key);
        }
    }

    /// A stream brought something, or ended.
    pub(super) fn streamed(&mut self, key: SlotKey, outcome: Received, armed: bool) {
        let is_over = matches!(outcome, Received::EndOfStream);
        let is_last_data = matches!(
            outcome,
            Received::Data {
                more_waiting: false,
                ..
            }
        );
        let outcome = match outcome {
            // The stream was stopped, or more came at once than there were buffers offered for.
            Received::Failed {
                errno: libc::ECANCELED,
            }
            | Received::NoBuffers => Received::WouldBlock,
            outcome => outcome,
        };
        self.on_recv(key, outcome);
        let Some(connection) = self.slots.get_mut(key) else {
            return;
        };
        if !armed {
            connection.reading = RecvMode::Poll;
            // A channel has requests to answer after its end, and hears of the loss of its peer.
            if !is_over || connection.lines().is_some() {
                self.ring.watch(key);
            }
        } else if connection.reading == RecvMode::Multishot {
            if connection.pause_if_full(&mut self.handling.context(key)) {
                self.cancel_multishot(key);
            } else if is_last_data && !connection.is_sending() {
                self.ring.receive(key);
            }
        }
    }

    /// Whether reading pauses. A peer that has gone meanwhile is not waited for: the connection
    /// ends if nothing can be sent any more, or if what it waits for ends with its peer.
    fn pauses(&mut self, key: SlotKey) -> bool {
        let Some(connection) = self.slots.get_mut(key) else {
            return false;
        };
        let mut context = self.handling.context(key);
        if !connection.pause_if_busy(&mut context) {
            return false;
        }
        let ends = match connection.hangup {
            Hangup::None => false,
            Hangup::HalfClosed => connection.hang_up(&mut context),
            Hangup::Closed => true,
        };
        if ends {
            self.close(key);
        }
        true
    }

    /// Handles what was received.
    fn on_recv(&mut self, key: SlotKey, outcome: Received) {
        match outcome {
            Received::Data { buffer, bytes, .. } => {
                let Some(connection) = self.slots.get_mut(key) else {
                    return self.ring.buffers().recycle(buffer);
                };
                self.handling.meter.add(Counter::BytesIn, bytes as u64);
                let mut context = self.handling.context(key);
                let most = context.requests_left;
                let data = self.ring.buffers().bytes_mut(&buffer, bytes);
                connection.received(data, &mut context);
                let made = most - context.requests_left;
                let out = context.out.take();
                self.handling.note_requests(made);
                self.ring.buffers().recycle(buffer);
                self.finish_step(key, out);
            }
            Received::EndOfStream => {
                let Some(connection) = self.slots.get_mut(key) else {
                    return;
                };
                let mut context = self.handling.context(key);
                if connection.finished(&mut context) {
                    self.close(key);
                } else {
                    let out = context.out.take();
                    self.finish_step(key, out);
                }
            }
            Received::NoBuffers => {
                self.handling.meter.count(Counter::RingBuffersExhausted);
            }
            Received::WouldBlock => {}
            Received::Failed { .. } => self.close(key),
        }
    }

    /// Receives once, unless a stream does it or its end will lead to it.
    pub(super) fn receive(&mut self, key: SlotKey) {
        let Some(connection) = self.slots.get_mut(key) else {
            return;
        };
        if matches!(
            connection.reading,
            RecvMode::Poll | RecvMode::PollThenMultishot
        ) {
            self.ring.receive(key);
        }
    }

    /// The connection has been quiet, or listens to events: it is watched from here on.
    pub(super) fn rearm_poll(&mut self, key: SlotKey) {
        let Some(connection) = self.slots.get_mut(key) else {
            return;
        };
        match connection.reading {
            RecvMode::Poll | RecvMode::Cancelling => {}
            RecvMode::PollThenMultishot => connection.reading = RecvMode::Poll,
            RecvMode::Multishot => self.cancel_multishot(key),
        }
    }

    fn cancel_multishot(&mut self, key: SlotKey) {
        if let Some(connection) = self.slots.get_mut(key) {
            connection.reading = RecvMode::Cancelling;
            self.ring.cancel_multishot(key);
        }
    }
}
