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
//! Invariant: no receive is queued behind a stream that has not ended, so bytes stay in order.
//! What a stream brings between its stop and its end is kept; it is one burst of the kernel's.

use super::work::Shard;
use crate::connection::http::RecvMode;
use crate::io::ring::Received;
use crate::io::slots::SlotKey;
use crate::meter::Counter;

impl Shard {
    /// The watch of a connection announced something.
    pub(super) fn readable(&mut self, key: SlotKey, armed: bool) {
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
        if connection.pause_if_full(&mut self.handling.context(key)) {
            return;
        }
        if reading == RecvMode::PollThenMultishot {
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
        let more_waiting = match outcome {
            Received::Data { more_waiting, .. } => more_waiting,
            Received::NoBuffers => true,
            _ => false,
        };
        self.on_recv(key, outcome);
        let Some(connection) = self.slots.get_mut(key) else {
            return;
        };
        if more_waiting && !connection.pause_if_full(&mut self.handling.context(key)) {
            self.receive(key);
        }
    }

    /// A stream brought something, or ended.
    pub(super) fn streamed(&mut self, key: SlotKey, outcome: Received, armed: bool) {
        let is_over = matches!(outcome, Received::EndOfStream);
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
            if !is_over {
                self.ring.watch(key);
            }
        } else if connection.reading == RecvMode::Multishot
            && connection.pause_if_full(&mut self.handling.context(key))
        {
            self.cancel_multishot(key);
        }
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
                let data = self.ring.buffers().bytes_mut(&buffer, bytes);
                connection.received(data, &mut context);
                let out = context.out.take();
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
