//! Counters of one shard in plain cells, and snapshots of them that other threads can read.
//!
//! Invariant: a [`ShardMeter`] never leaves its shard, so that counting is one load and one store
//! without a lock or an atomic. A [`MeterSnapshot`] leaves it, by message.
//!
//! To add a counter, add one entry to `meter/counters.rs`: [`Counter`] and [`ROWS`] are both made
//! of it. It deliberately lacks export, histories, and labels that a peer could choose.

pub mod catalogue;
#[cfg(any(test, feature = "metrics"))]
pub(crate) mod conditions;
mod counters;
#[cfg(any(test, feature = "metrics"))]
pub(crate) mod exemplars;
#[cfg(any(test, feature = "metrics"))]
pub(crate) mod exposition;
pub(crate) mod histogram;
pub(crate) mod http;
mod label_key;
mod label_sets;
mod measured;
pub(crate) mod names;
pub(crate) mod operations;
pub(crate) mod page;
#[cfg(any(test, feature = "metrics"))]
pub(crate) mod reading;
pub(crate) mod records;
#[cfg(any(test, feature = "metrics"))]
pub(crate) mod shard_reading;
pub(crate) mod throttle;
pub(crate) mod timing;
pub(crate) mod traces;

use std::cell::Cell;

pub use counters::{Counter, Kind, ROWS, Row};
use timing::Timing;

/// Number of counters.
pub const COUNTERS: usize = ROWS.len();

/// The counters of one shard.
#[derive(Debug)]
pub struct ShardMeter {
    cells: [Cell<u64>; COUNTERS],
    /// Only while metrics are read.
    timing: Option<Box<Timing>>,
}

impl Default for ShardMeter {
    fn default() -> Self {
        Self {
            cells: [const { Cell::new(0) }; COUNTERS],
            timing: None,
        }
    }
}

impl ShardMeter {
    /// A meter with every counter at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one.
    pub fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Counts `amount`, such as bytes. Wraps after 2^64.
    pub fn add(&self, counter: Counter, amount: u64) {
        let cell = &self.cells[counter as usize];
        cell.set(cell.get().wrapping_add(amount));
    }

    /// Takes one off a total that will be counted again.
    pub fn recount(&self, total: Counter) {
        debug_assert_eq!(ROWS[total as usize].kind, Kind::Total, "{total:?}");
        let cell = &self.cells[total as usize];
        cell.set(cell.get().wrapping_sub(1));
    }

    /// Sets a counter that its owner counts elsewhere.
    pub fn set(&self, counter: Counter, value: u64) {
        self.cells[counter as usize].set(value);
    }

    /// Takes one off a level.
    ///
    /// # Panics
    /// In debug builds, if the counter is not a level or is at zero; release builds leave zero, as
    /// a wrong figure is no reason to end a shard.
    pub fn uncount(&self, level: Counter) {
        let cell = &self.cells[level as usize];
        debug_assert_eq!(ROWS[level as usize].kind, Kind::Level, "{level:?}");
        debug_assert!(cell.get() > 0, "{level:?} falls below zero");
        cell.set(cell.get().saturating_sub(1));
    }

    /// The value of one counter.
    #[must_use]
    pub fn value(&self, counter: Counter) -> u64 {
        self.cells[counter as usize].get()
    }

    /// All counters as they are.
    #[must_use]
    pub fn snapshot(&self) -> MeterSnapshot {
        MeterSnapshot {
            values: self.cells.each_ref().map(Cell::get),
        }
    }
}

/// The counters of one shard at one time, or of several shards in sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeterSnapshot {
    values: [u64; COUNTERS],
}

impl Default for MeterSnapshot {
    fn default() -> Self {
        Self {
            values: [0; COUNTERS],
        }
    }
}

impl MeterSnapshot {
    /// Adds the counters of another shard; levels add up as totals do.
    pub fn merge(&mut self, other: &Self) {
        for (value, other) in self.values.iter_mut().zip(&other.values) {
            *value = value.wrapping_add(*other);
        }
    }

    /// The same counters with every level at zero.
    #[must_use]
    pub fn without_levels(mut self) -> Self {
        for (value, row) in self.values.iter_mut().zip(&ROWS) {
            if row.kind == Kind::Level {
                *value = 0;
            }
        }
        self
    }

    /// The value of one counter.
    #[must_use]
    pub fn value(&self, counter: Counter) -> u64 {
        self.values[counter as usize]
    }

    /// Every counter with its value, in the order of [`ROWS`].
    pub fn rows(&self) -> impl Iterator<Item = (&'static Row, u64)> {
        ROWS.iter().zip(self.values)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::Deserialize;
    use serde::de::value::{Error, StrDeserializer};

    use super::{COUNTERS, Counter, Kind, MeterSnapshot, ROWS, ShardMeter};

    #[test]
    fn no_counter_lacks_a_row() {
        // serde lists the variants of an enum when it meets an unknown one: `A`, `B`, ...
        let unknown = StrDeserializer::<Error>::new("none of them");
        let error = Counter::deserialize(unknown).expect_err("no such variant");
        let error = error.to_string();
        let (_, variants) = error.split_once("expected one of ").expect("the list");
        assert_eq!(variants.split(", ").count(), COUNTERS);
    }

    #[test]
    fn rows_differ_in_name_or_label() {
        let names: BTreeSet<_> = ROWS.iter().map(|row| (row.name, row.label)).collect();
        assert_eq!(names.len(), COUNTERS);
    }

    #[test]
    fn each_counter_counts_alone() {
        for row in &ROWS {
            let meter = ShardMeter::new();
            meter.add(row.counter, 3);
            meter.count(row.counter);
            let mut left = 4;
            if row.kind == Kind::Level {
                meter.uncount(row.counter);
                left = 3;
            }
            assert_eq!(meter.value(row.counter), left);
            let snapshot = meter.snapshot();
            let others = snapshot.rows().filter(|(other, value)| {
                assert_eq!(*value, meter.value(other.counter));
                *value != 0
            });
            assert_eq!(others.count(), 1, "{}", row.name);
        }
    }

    #[test]
    fn snapshots_of_shards_add_up_and_cross_threads() {
        let meter = ShardMeter::new();
        meter.add(Counter::BytesIn, 100);
        meter.count(Counter::ConnectionsOpen);
        let first = meter.snapshot();
        meter.add(Counter::BytesIn, 1);
        let sum = std::thread::spawn(move || {
            let mut sum = MeterSnapshot::default();
            sum.merge(&first);
            sum.merge(&first);
            sum
        });
        let sum = sum.join().expect("merging does not panic");
        assert_eq!(sum.value(Counter::BytesIn), 200);
        assert_eq!(sum.value(Counter::ConnectionsOpen), 2);
        assert_eq!(sum.value(Counter::CallsOk), 0);
        assert_eq!(meter.value(Counter::BytesIn), 101);
    }
}
