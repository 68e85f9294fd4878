//! Refusing new calls while the shard takes too long for its work.

use std::time::Duration;

use super::work::Shard;
use crate::meter::Counter;

impl Shard {
    /// Ends a turn when handlers have run and before the shard waits. `elapsed` reads the time
    /// since the start of the shard, and only if the turn is measured, as one is that `did`
    /// something while metrics are read.
    #[inline]
    pub(super) fn end_turn(&mut self, did: bool, elapsed: impl FnOnce() -> Duration) {
        let is_timed = did && self.handling.meter.is_timed();
        if !self.loop_delay.is_measured() && !is_timed {
            return;
        }
        let now_us = elapsed().as_micros() as u64;
        if is_timed {
            self.measure_turn(now_us);
        }
        let before = self.loop_delay.served_one_of;
        if let Some(calls) = self.loop_delay.end_turn(now_us) {
            self.serve_one_of(calls, before);
        }
    }

    /// Counts the turn that ends, and publishes the page if it is old.
    fn measure_turn(&self, now_us: u64) {
        let meter = &self.handling.meter;
        meter.end_turn(now_us, self.loop_delay.delay_us(now_us));
        if meter.is_publish_due(now_us) {
            self.publish(now_us);
        }
    }

    #[cold]
    pub(super) fn serve_one_of(&mut self, calls: u32, before: u32) {
        self.handling.endpoint.serve_one_of(calls);
        let shard = self.handling.shard;
        if before == 1 {
            self.handling.meter.count(Counter::DelaysBegun);
            if self.warnings.delay.begin() {
                tracing::warn!(
                    shard,
                    "the shard takes longer for its work than overload.loop_delay_ms allows: a \
                     part of the new calls is refused. For more, move work of handlers to the \
                     offload pool, or start more shards"
                );
            }
        } else if calls == 1 {
            self.warnings.delay.pause(self.now_ms);
        }
    }
}
