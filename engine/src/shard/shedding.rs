//! Closing the slowest readers when unsent output takes more memory than a shard has for it.
//!
//! Simple version: refuse requests until the readers time out. Deviation: then a few hundred
//! clients that read nothing stop a shard for as long as `write_timeout_ms`, again and again. So
//! the connections that have stalled longest are closed, until an eighth of the limit is free. A
//! connection counts as stalled while its peer has not taken the bytes that start its time for
//! writing anew, so that no peer on a slow network is closed in place of one that reads nothing.

use super::work::Shard;
use crate::connection::timer::Timer;
use crate::meter::Counter;
use corelane_io::slots::SlotKey;

/// A connection is not closed before it has stalled for this long.
const STALLED_MS: u64 = 1000;
/// Between two looks at all connections.
const LOOK_INTERVAL_MS: u64 = 100;
/// Between two warnings.
const WARNING_INTERVAL_MS: u64 = 10_000;

impl Shard {
    /// Closes connections that have stalled if unsent output takes too much memory. Called once per
    /// turn.
    pub(super) fn shed_output(&mut self) {
        let held_bytes = self.handling.output_bytes;
        let held_bytes_max = self.profile.connection.output_bytes_per_shard_max;
        let meter = &self.handling.meter;
        meter.set(Counter::OutputBytes, held_bytes as u64);
        if held_bytes < held_bytes_max || self.now_ms < self.shedding.next_look_ms {
            return;
        }
        self.shedding.next_look_ms = self.now_ms + LOOK_INTERVAL_MS;
        let enough_bytes = held_bytes_max / 8 * 7;
        let mut closed = 0;
        for key in self.stalled_connections() {
            if self.handling.output_bytes <= enough_bytes {
                break;
            }
            self.close(key);
            closed += 1;
        }
        self.handling.meter.add(Counter::ConnectionsShed, closed);
        if self.now_ms >= self.shedding.next_warning_ms {
            self.shedding.next_warning_ms = self.now_ms + WARNING_INTERVAL_MS;
            tracing::warn!(
                shard = self.handling.shard,
                held_bytes,
                closed,
                "unsent output exceeds limit of {held_bytes_max} bytes; connections that read too \
                 slowly are closed and requests are refused meanwhile; see \
                 connection.output_bytes_per_shard_max"
            );
        }
    }

    /// Connections whose peers have taken too little of their output for a while, the longest
    /// stalled first.
    fn stalled_connections(&self) -> Vec<SlotKey> {
        let timeout_ms = self.profile.connection.write_timeout_ms;
        let stalled = self.slots.keys().filter_map(|key| {
            let connection = self.slots.get(key)?;
            let left_ms = self.wheel.time_left_ms(key.index, self.now_ms)?;
            let stalled_ms = timeout_ms.saturating_sub(left_ms);
            let is_stalled = connection.armed.0 == Timer::Write && stalled_ms >= STALLED_MS;
            is_stalled.then_some((left_ms, key))
        });
        let mut stalled: Vec<(u64, SlotKey)> = stalled.collect();
        stalled.sort_unstable_by_key(|(left_ms, _)| *left_ms);
        stalled.into_iter().map(|(_, key)| key).collect()
    }
}
