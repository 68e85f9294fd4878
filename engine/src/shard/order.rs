//! The order in which a turn handles completions.
//!
//! Simple version: handle each completion when it is reaped. Deviation: with many requests ready at
//! once, or slow ones, a ping or a cancellation then waits until all of those before it are
//! answered. So a turn answers requests for a bounded time, and further input waits in `arrivals`.
//! Pings, notifications and responses go before it, but not before earlier input of their own
//! connection.

use super::work::Shard;
use crate::connection::http::RecvMode;
use corelane_io::ring::{Completion, Received};
use corelane_io::slots::SlotKey;
use corelane_protocol::binding::precedence::goes_first;

/// Pieces of input of one connection that wait, and more are received.
const ARRIVALS_PER_CONNECTION: usize = 16;
/// Requests between two looks at the clock.
const REQUESTS_PER_LOOK: u32 = 8;

impl Shard {
    /// Handles the completions of the ring, at most a budget of them, and answers requests as long
    /// as there is time. Returns whether there was anything, not counting a tick.
    pub(super) fn handle_completions(&mut self) -> bool {
        let mut completions = std::mem::take(&mut self.completions);
        // Input may wait in half of the receive buffers; the others bring input that goes first.
        let arrivals_max = self.profile.ring.buffer_count as usize / 2;
        let room = arrivals_max - self.arrivals.len();
        let most = room.min(self.profile.budget.completions_per_turn as usize);
        let ready = self.rings.ready() + self.arrivals.len();
        let count = self.rings.reap(&mut completions, most);
        let has_waiting = !self.arrivals.is_empty();
        let mut is_crowded = has_waiting;
        self.begin_requests(self.now_us, has_waiting || !self.leftover.is_empty());
        for completion in completions.drain(..) {
            let Some(completion) = self.pass_to_links(completion) else {
                continue;
            };
            if is_crowded {
                self.handle_or_keep(completion);
                continue;
            }
            self.handling.requests_per_connection = self.requests_per_connection();
            self.handle_completion(completion);
            if !self.has_time() {
                is_crowded = true;
                self.begin_requests(self.clock_us(), true);
            }
        }
        if has_waiting {
            self.begin_requests(self.clock_us(), !self.leftover.is_empty());
            self.handle_arrivals();
        }
        let left = self.rings.ready() + self.arrivals.len();
        let handled = ready.saturating_sub(left);
        self.loop_delay.begin_turn(self.now_us, ready, handled);
        self.completions = completions;
        has_waiting || count > usize::from(self.has_ticked)
    }

    /// Begins to answer requests of one kind at this time: those that go first, new ones, or
    /// leftover ones. If there are some of another kind too, there is half of the time of a turn.
    pub(super) fn begin_requests(&mut self, now_us: u64, is_shared: bool) {
        let time_us = self.profile.budget.request_time_us;
        self.requests_until_us = now_us + if is_shared { time_us / 2 } else { time_us };
        self.handling.requests_since_look = 0;
    }

    /// Whether there is time for another request of the kind; for some of them there always is. The
    /// clock is read now and then.
    #[inline]
    pub(super) fn has_time(&mut self) -> bool {
        if self.handling.requests_since_look < REQUESTS_PER_LOOK {
            return true;
        }
        let has_time = self.clock_us() < self.requests_until_us;
        if has_time {
            self.handling.requests_since_look = 0;
        }
        has_time
    }

    /// Microseconds since the shard was started.
    pub(super) fn clock_us(&self) -> u64 {
        (self.clock)().as_micros() as u64
    }

    /// Handles a completion, unless it brings input that has to wait.
    fn handle_or_keep(&mut self, completion: Completion) {
        if let Completion::Received { key, ref outcome }
        | Completion::Streamed {
            key, ref outcome, ..
        } = completion
            && !self.passes(key, outcome)
        {
            return self.keep(key, completion);
        }
        self.handling.requests_per_connection = 1;
        self.handle_completion(completion);
    }

    /// Lets input wait. Of a connection with much of it no more is received meanwhile, so that the
    /// buffers are there for others.
    fn keep(&mut self, key: SlotKey, completion: Completion) {
        self.arrivals.push(key, completion);
        let connection = self.slots.get_mut(key);
        if self.arrivals.count(key) >= ARRIVALS_PER_CONNECTION
            && connection.is_some_and(|it| it.reading == RecvMode::Multishot)
        {
            self.cancel_multishot(key);
        }
    }

    /// Whether this outcome is handled before other input that waits.
    fn passes(&mut self, key: SlotKey, outcome: &Received) -> bool {
        match outcome {
            Received::Data { buffer, bytes, .. } => {
                let buffers = self.rings.of(key).buffers();
                goes_first(buffers.bytes(buffer, *bytes))
                    && !self.arrivals.has(key)
                    && self.has_time()
            }
            // Nothing was received: the next receive is to begin soon.
            Received::WouldBlock | Received::NoBuffers => !self.is_ending(key),
            Received::EndOfStream | Received::Failed { .. } => !self.arrivals.has(key),
        }
    }

    /// Handles input that waits, one connection after the other, while there is time.
    fn handle_arrivals(&mut self) {
        while self.has_time()
            && let Some(completion) = self.arrivals.next()
        {
            self.handling.requests_per_connection = self.requests_per_connection();
            self.handle_completion(completion);
        }
        self.arrivals.end_turn();
    }
}
