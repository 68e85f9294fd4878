//! The end of a shard: nothing new comes in, what is there is answered, then all is closed.

use std::sync::atomic::Ordering;

use super::work::{Accepting, Shard};
use crate::connection::http::Phase;

impl Shard {
    /// Begins to drain when told to. Returns whether the shard is done.
    pub(super) fn drain_step(&mut self) -> bool {
        match self.drain_deadline_ms {
            None => {
                if self.control.drain.load(Ordering::Relaxed) {
                    self.begin_drain();
                }
                false
            }
            Some(deadline_ms) => {
                let is_quiet = self.slots.is_empty()
                    && self.unsent.is_empty()
                    && self.handling.endpoint.core().is_quiet();
                if !is_quiet && self.now_ms >= deadline_ms {
                    tracing::warn!(
                        shard = self.handling.shard,
                        connections = self.slots.len(),
                        "drain timed out; what is left is closed"
                    );
                }
                is_quiet || self.now_ms >= deadline_ms
            }
        }
    }

    fn begin_drain(&mut self) {
        self.drain_deadline_ms = Some(self.now_ms + self.control.drain_timeout_ms);
        self.handling.is_draining = true;
        self.accepting = Accepting::Off;
        self.ring.stop_accepting();
        // The kernel refuses connections from here on.
        self.listener = None;
        self.handling.endpoint.core().drain();
        let keys: Vec<_> = self.slots.keys().collect();
        for key in keys {
            let Some(connection) = self.slots.get_mut(key) else {
                continue;
            };
            let mut context = self.handling.context(key);
            match connection.phase {
                // Requests that have arrived are answered first; the last answer says close.
                Phase::Idle if connection.has_requests_left_over() => {}
                Phase::Idle if !connection.is_sending => self.close(key),
                Phase::Idle => connection.phase = Phase::Flushing { lingers: false },
                Phase::Waiting | Phase::Streaming => {
                    connection.end_after_answer(&mut context);
                    let out = context.out.take();
                    self.after(key, out);
                }
                // What arrives in part is read to its end and answered, or runs into its deadline.
                _ => {}
            }
        }
    }
}
