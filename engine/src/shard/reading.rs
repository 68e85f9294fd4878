//! How the bytes of a connection are received.
//!
//! A connection is polled, and each announcement is followed by one receive: the cheapest way to
//! wait, 256 bytes of kernel memory. A connection with a second request before it has been quiet
//! for `quiet_after_ms` gets a multishot receive instead: 600 bytes more, and a submission and a
//! completion less for each request. When it is quiet again, waits for events or exceeds its
//! limits, it is polled again.
//!
//! ```text
//! Poll --readable--> PollThenMultishot --readable--> Multishot --quiet, full, events--> Cancelling
//!  ^                     |                               | ended                          | ended
//!  +---quiet, events-----+                               +----------> Poll <--------------+
//! ```
//!
//! Bytes between the cancellation of a multishot receive and its end are kept; they are one burst
//! of the kernel's.
//!
//! Invariant: the end of a peer is noticed in every state of the connection. A poll and a multishot
//! receive report changes, so an end that comes together with bytes is reported once. A connection
//! that reads continues until it finds the end; a paused one acts on the poll. A multishot receive
//! may lose an end behind bytes on older kernels: where no later send would fail, one receive
//! follows. A receive beside a multishot one keeps the order of bytes: both run in the shard's own
//! calls of the kernel, one after the other, and complete in that order.

use super::work::Shard;
use crate::connection::http::RecvMode;
use crate::meter::Counter;
use corelane_io::ring::{Hangup, Received};
use corelane_io::slots::SlotKey;

/// Input that counts as a request when there are fewer in it: a long message, or bytes of no
/// meaning, take the time of several.
const BYTES_PER_REQUEST: u32 = 256;

impl Shard {
    /// The poll of a connection completed.
    pub(super) fn readable(&mut self, key: SlotKey, hangup: Hangup, armed: bool) {
        let Some(connection) = self.slots.get_mut(key) else {
            return;
        };
        let reading = connection.reading;
        // The poll was cancelled when the multishot receive began, and this completion is older
        // than that.
        if matches!(reading, RecvMode::Multishot | RecvMode::Cancelling) {
            return;
        }
        if !armed {
            self.rings.of(key).watch(key);
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
            self.rings.of(key).unwatch(key);
            self.rings.of(key).recv_multishot(key);
            return;
        }
        if self.profile.connection.quiet_after_ms > 0 {
            connection.reading = RecvMode::PollThenMultishot;
        }
        self.rings.of(key).receive(key);
    }

    /// A receive that was queued once ended.
    pub(super) fn received(&mut self, key: SlotKey, outcome: Received) {
        let (has_data, more_waiting) = match outcome {
            Received::Data { more_waiting, .. } => (true, more_waiting),
            Received::NoBuffers => (false, true),
            _ => (false, false),
        };
        let is_last = outcome == Received::WouldBlock && self.is_ending(key);
        self.on_recv(key, outcome);
        if is_last {
            return self.end_if_idle(key);
        }
        let Some(connection) = self.slots.get_mut(key) else {
            return;
        };
        // Behind the bytes of a closing peer comes its end, which has no other report.
        let end_waiting = has_data && connection.hangup != Hangup::None;
        // Nothing else looks again whether the socket of a connection that is to end is empty.
        let is_ending = has_data && self.is_ending(key);
        if (more_waiting || end_waiting || is_ending) && !self.pauses(key) {
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
        let is_out_of_buffers = outcome == Received::NoBuffers;
        let outcome = match outcome {
            // The multishot receive was cancelled, or more came at once than buffers were offered
            // for.
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
            // The next submission offers more.
            if is_out_of_buffers && connection.reading == RecvMode::Multishot && !self.pauses(key) {
                return self.rings.of(key).recv_multishot(key);
            }
            let Some(connection) = self.slots.get_mut(key) else {
                return;
            };
            connection.reading = RecvMode::Poll;
            // A channel has requests to answer after its end, and hears of the loss of its peer.
            if !is_over || connection.has_channel() {
                self.rings.of(key).watch(key);
            }
        } else if connection.reading == RecvMode::Multishot {
            if connection.pause_if_full(&mut self.handling.context(key)) {
                self.cancel_multishot(key);
            } else if is_last_data && !connection.is_sending() {
                self.rings.of(key).receive(key);
            }
        }
    }

    /// Whether reading pauses. A peer that has closed meanwhile is not waited for: the connection
    /// ends if no more can be sent, or if its pending request ends with its peer.
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
            self.close(key, Counter::ClosedPeer);
        }
        true
    }

    /// Handles the outcome of a receive.
    fn on_recv(&mut self, key: SlotKey, outcome: Received) {
        match outcome {
            Received::Data { buffer, bytes, .. } => {
                let mut from = 0;
                if self.clients.is_awaited(key.index) {
                    let data = self.rings.of(key).buffers().bytes_mut(&buffer, bytes);
                    let step = self.clients.read_header(key.index, data);
                    let Some(consumed) = self.header_read(key, step) else {
                        return self.rings.of(key).buffers().recycle(buffer);
                    };
                    from = consumed;
                }
                let ring = self.rings.of(key);
                let Some(connection) = self.slots.get_mut(key) else {
                    return ring.buffers().recycle(buffer);
                };
                self.handling.meter.add(Counter::BytesIn, bytes as u64);
                let mut context = self.handling.context(key);
                let most = context.requests_left;
                let data = ring.buffers().bytes_mut(&buffer, bytes);
                let data = &mut data[from..];
                let effect = if connection.source.is_tls() {
                    Some(self.secured.received(connection, data, &mut context))
                } else {
                    connection.received(data, &mut context);
                    None
                };
                let made = most - context.requests_left;
                let out = context.out.take();
                self.handling
                    .note_requests(made.max(bytes as u32 / BYTES_PER_REQUEST));
                ring.buffers().recycle(buffer);
                match effect {
                    Some(effect) => self.apply(key, effect, out),
                    None => self.finish_sealed(key, out),
                }
            }
            Received::EndOfStream => {
                let Some(connection) = self.slots.get_mut(key) else {
                    return;
                };
                if connection.source.is_tls() && !self.is_end_announced(key) {
                    return;
                }
                let Some(connection) = self.slots.get_mut(key) else {
                    return;
                };
                let mut context = self.handling.context(key);
                if connection.finished(&mut context) {
                    self.close(key, Counter::ClosedPeer);
                } else {
                    let out = context.out.take();
                    self.finish_step(key, out);
                }
            }
            Received::NoBuffers => {
                self.handling.meter.count(Counter::RingBuffersExhausted);
            }
            Received::WouldBlock => {}
            Received::Failed { .. } => self.close(key, Counter::ClosedPeer),
        }
    }

    /// Receives once, unless a multishot receive does it or its end will lead to it. A connection
    /// that is to end needs to know that its socket is empty, which such a receive does not report.
    pub(super) fn receive(&mut self, key: SlotKey) {
        let Some(connection) = self.slots.get_mut(key) else {
            return;
        };
        let is_polled = matches!(
            connection.reading,
            RecvMode::Poll | RecvMode::PollThenMultishot
        );
        if is_polled || key.index < self.ending_below {
            self.rings.of(key).receive(key);
        }
    }

    /// The connection has been quiet, or waits for events: it is polled from here on.
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

    pub(super) fn cancel_multishot(&mut self, key: SlotKey) {
        if let Some(connection) = self.slots.get_mut(key) {
            connection.reading = RecvMode::Cancelling;
            self.rings.of(key).cancel_multishot(key);
        }
    }
}
