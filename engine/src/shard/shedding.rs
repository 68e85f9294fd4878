//! Closing the slowest peers when their output or their requests take more memory than a shard has.
//!
//! Simple version: refuse requests until the peers time out. Deviation: then a few hundred clients
//! that read nothing, or that send bodies without an end, stop a shard for as long as
//! `write_timeout_ms` or `body_timeout_ms`, again and again. So the connections that have stalled
//! longest are closed, until some of the limit is free. A reader counts as stalled while it has not
//! taken the bytes that start its time for writing anew, and a sender while its request has been
//! arriving for a while, so that no peer on a slow network is closed in place of an idle one.
//! Answers of calls that were accepted before may still come faster than that: at twice the limit
//! of output the connections that hold most of it are closed at once.

use std::cmp::Reverse;

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
        let held_bytes = self.handling.pool.output_bytes;
        let held_bytes_max = self.profile.connection.output_bytes_per_shard_max;
        let meter = &self.handling.meter;
        meter.set(Counter::OutputBytes, held_bytes as u64);
        if held_bytes < held_bytes_max || self.now_ms < self.shedding_output.next_look_ms {
            return;
        }
        self.shedding_output.next_look_ms = self.now_ms + LOOK_INTERVAL_MS;
        let enough_bytes = held_bytes_max / 8 * 7;
        let mut closed = 0;
        for key in self.stalled_connections(&[Timer::Write]) {
            if self.handling.pool.output_bytes <= enough_bytes {
                break;
            }
            self.close(key, Counter::ClosedShed);
            closed += 1;
        }
        self.handling.meter.add(Counter::ConnectionsShed, closed);
        if self.now_ms >= self.shedding_output.next_warning_ms {
            self.shedding_output.next_warning_ms = self.now_ms + WARNING_INTERVAL_MS;
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

    /// Closes the connections that hold most unsent output if that reaches twice its limit, or half
    /// of the memory of the shard. Called after each answer.
    #[inline]
    pub(super) fn shed_largest_outputs(&mut self) {
        let limit = 2 * self.profile.connection.output_bytes_per_shard_max as u64;
        let bytes_max = limit.min(self.memory.bytes_max / 2);
        if self.handling.pool.output_bytes as u64 >= bytes_max {
            self.close_largest_outputs(bytes_max);
        }
    }

    #[cold]
    fn close_largest_outputs(&mut self, bytes_max: u64) {
        let held = self.slots.iter().map(|(key, connection)| {
            let bytes = connection.held_output_bytes();
            (bytes, key)
        });
        let mut held: Vec<(usize, SlotKey)> = held.filter(|(bytes, _)| *bytes > 0).collect();
        held.sort_unstable_by_key(|(bytes, _)| Reverse(*bytes));
        let before = self.handling.pool.output_bytes;
        let mut closed = 0;
        for (_, key) in held {
            if self.handling.pool.output_bytes as u64 <= bytes_max / 2 {
                break;
            }
            self.close(key, Counter::ClosedShed);
            closed += 1;
        }
        self.handling.meter.add(Counter::ConnectionsShed, closed);
        if let Some(suppressed) = self.warnings.output.admit(self.now_ms) {
            tracing::warn!(
                shard = self.handling.shard,
                held_bytes = before,
                closed,
                suppressed,
                "unsent output reaches {bytes_max} bytes, which is twice \
                 connection.output_bytes_per_shard_max or half of the memory of the shard: the \
                 connections that hold most of it are closed"
            );
        }
    }

    /// Refuses requests that have been arriving for a while if unfinished requests take much
    /// memory, before those of other clients must be refused. Called once per turn.
    pub(super) fn shed_input(&mut self) {
        let held_bytes = self.handling.pool.input_bytes;
        let held_bytes_max = self.profile.connection.input_bytes_max;
        if held_bytes < held_bytes_max / 8 * 7 || self.now_ms < self.shedding_input.next_look_ms {
            return;
        }
        self.shedding_input.next_look_ms = self.now_ms + LOOK_INTERVAL_MS;
        let enough_bytes = held_bytes_max / 4 * 3;
        let mut closed = 0;
        for key in self.stalled_connections(&[Timer::Head, Timer::Body]) {
            if self.handling.pool.input_bytes <= enough_bytes {
                break;
            }
            let Some(connection) = self.slots.get_mut(key) else {
                continue;
            };
            let mut context = self.handling.context(key);
            connection.shed_input(&mut context);
            let out = context.out.take();
            self.finish_step(key, out);
            closed += 1;
        }
        self.handling.meter.add(Counter::ConnectionsShed, closed);
        if self.now_ms >= self.shedding_input.next_warning_ms {
            self.shedding_input.next_warning_ms = self.now_ms + WARNING_INTERVAL_MS;
            tracing::warn!(
                shard = self.handling.shard,
                held_bytes,
                closed,
                "unfinished requests take most of the limit of {held_bytes_max} bytes; those that \
                 arrive too slowly are refused; see connection.input_bytes_max"
            );
        }
    }

    /// Connections that one of these deadlines has been running for a while, the longest first.
    fn stalled_connections(&self, timers: &[Timer]) -> Vec<SlotKey> {
        let stalled = self.slots.iter().filter_map(|(key, connection)| {
            let timer = connection.armed;
            if !timers.contains(&timer) {
                return None;
            }
            let left_ms = self.wheel.time_left_ms(key.index, self.now_ms)?;
            let timeout_ms = timer.duration_ms(&self.profile)?;
            let stalled_ms = timeout_ms.saturating_sub(left_ms);
            (stalled_ms >= STALLED_MS).then_some((stalled_ms, key))
        });
        let mut stalled: Vec<(u64, SlotKey)> = stalled.collect();
        stalled.sort_unstable_by_key(|(stalled_ms, _)| Reverse(*stalled_ms));
        stalled.into_iter().map(|(_, key)| key).collect()
    }
}
