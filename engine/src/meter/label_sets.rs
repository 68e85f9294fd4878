//! A table of histograms by their labels, of a bounded number of sets of labels.
//!
//! A set is found by a packed key, in a table that never grows. A set for which there is no place
//! is counted in the first one, which stands for all others (`otel_metric_overflow` of
//! OpenTelemetry).

use std::cell::Cell;

use super::histogram::Buckets;
use super::label_key::{LabelKey, OVERFLOW};
use super::page::{OPERATION_WORDS, Page, PageWriter, SET_WORDS, TablePlace};

/// The buckets of the histograms of a table.
pub(super) type SetBuckets = Buckets<{ OPERATION_WORDS - 2 }>;

/// The sets of one table of a shard, in plain cells.
#[derive(Debug)]
pub(super) struct LabelSets {
    place: TablePlace,
    buckets: &'static SetBuckets,
    /// The key and the histogram of each set, as on the page.
    cells: Box<[Cell<u64>]>,
    /// The number of a set and one, where the hash of its key points or after it; 0 is free.
    index: Box<[Cell<u16>]>,
    /// Sets that changed since they were published, one bit each.
    changed: Box<[Cell<u64>]>,
    used: Cell<usize>,
    overflowed: Cell<u64>,
    /// The key that was counted last, and its set.
    last: Cell<(u64, u16)>,
}

impl LabelSets {
    /// A table with the sets of the page, on which a life before wrote.
    pub(super) fn of(page: &Page, place: TablePlace, buckets: &'static SetBuckets) -> LabelSets {
        let sets_max = place.sets_max;
        let entries = (2 * sets_max).next_power_of_two();
        let table = LabelSets {
            place,
            buckets,
            cells: vec![Cell::new(0); sets_max * SET_WORDS].into(),
            index: vec![Cell::new(0); entries].into(),
            changed: vec![Cell::new(0); sets_max.div_ceil(64)].into(),
            used: Cell::new(1),
            overflowed: Cell::new(page.word(place.overflowed)),
            last: Cell::new((OVERFLOW, 0)),
        };
        table.cells[0].set(OVERFLOW);
        let used = (page.word(place.used) as usize).min(sets_max);
        for set in 0..used {
            let at = set * SET_WORDS;
            let key = page.word(place.sets + at);
            let set = if set == 0 { 0 } else { table.set_of(key) };
            let to = set * SET_WORDS;
            for word in 1..SET_WORDS {
                table.cells[to + word].set(page.word(place.sets + at + word));
            }
        }
        table.change(0);
        table
    }

    /// Counts a duration.
    #[inline]
    pub(super) fn record(&self, key: LabelKey, duration_us: u64) {
        let (last, set) = self.last.get();
        let set = match last == key.0 {
            true => usize::from(set),
            false => {
                let set = self.set_of(key.0);
                self.last.set((key.0, set as u16));
                set
            }
        };
        if set == 0 {
            self.overflowed.set(self.overflowed.get() + 1);
        }
        let at = set * SET_WORDS + 1;
        let bucket = &self.cells[at + self.buckets.of(duration_us)];
        bucket.set(bucket.get() + 1);
        let sum = &self.cells[at + OPERATION_WORDS - 1];
        sum.set(sum.get().wrapping_add(duration_us));
        self.change(set);
    }

    #[inline]
    fn change(&self, set: usize) {
        let bits = &self.changed[set / 64];
        bits.set(bits.get() | 1 << (set % 64));
    }

    /// The set of a key, which may be a new one, or the first one if there is no place.
    fn set_of(&self, key: u64) -> usize {
        // A multiplication spreads keys that differ in few bits (Knuth, Fibonacci hashing).
        let hash = key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let mask = self.index.len() - 1;
        let mut place = hash as usize & mask;
        // The table has twice as many places as sets, so that there is a free one.
        loop {
            match self.index[place].get() {
                0 => break,
                set if self.cells[usize::from(set - 1) * SET_WORDS].get() == key => {
                    return usize::from(set - 1);
                }
                _ => place = (place + 1) & mask,
            }
        }
        let set = self.used.get();
        if (set + 1) * SET_WORDS > self.cells.len() {
            return 0;
        }
        self.used.set(set + 1);
        self.cells[set * SET_WORDS].set(key);
        self.index[place].set(set as u16 + 1);
        self.change(set);
        set
    }

    /// Copies the sets that changed to the page.
    pub(super) fn publish(&self, writer: &PageWriter<'_>) {
        let place = self.place;
        writer.put(place.used, self.used.get() as u64);
        writer.put(place.overflowed, self.overflowed.get());
        for (bits, number) in self.changed.iter().zip(0..) {
            let mut left = bits.take();
            while left != 0 {
                let set = number * 64 + left.trailing_zeros() as usize;
                left &= left - 1;
                let at = set * SET_WORDS;
                for (word, cell) in self.cells[at..at + SET_WORDS].iter().enumerate() {
                    writer.put(place.sets + at + word, cell.get());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::LabelSets;
    use crate::meter::histogram::OPERATION;
    use crate::meter::names::Names;
    use crate::meter::operations::{Failure, Labels};
    use crate::meter::page::{Page, PageSettings, SET_WORDS, SETS_AT, SETS_OVERFLOWED};

    fn labels(name: u16) -> Labels {
        Labels {
            method: 3,
            revision: 4,
            name,
            failure: Failure::Timeout,
            code: 5,
        }
    }

    fn page(sets_max: usize) -> Page {
        Page::new(Arc::new(PageSettings {
            sets_max,
            interval_us: 0,
            names: Arc::new(Names::default()),
            records: None,
            base: Instant::now(),
        }))
    }

    /// The labels and the number of operations of each set on the page.
    fn sets(page: &Page) -> Vec<(Option<Labels>, u64)> {
        let mut words = Vec::new();
        assert!(page.read(&mut words));
        let sets = words[SETS_AT..].chunks(SET_WORDS);
        sets.map(|set| {
            let count = set[1..SET_WORDS - 1].iter().sum();
            (Labels::unpack(set[0]), count)
        })
        .collect()
    }

    #[test]
    fn sets_past_the_limit_are_counted_together() {
        let page = page(16);
        let operations = LabelSets::of(&page, page.operations(), &OPERATION);
        for name in 0..1000 {
            operations.record(labels(name).pack(), 30);
            operations.record(labels(0).pack(), 3_000_000);
        }
        operations.publish(&page.write());
        let sets = sets(&page);
        assert_eq!(sets.len(), 16);
        assert_eq!(sets[0], (None, 985));
        assert_eq!(sets[1], (Some(labels(0)), 1001));
        assert!((2..16).all(|at| sets[at] == (Some(labels(at as u16 - 1)), 1)));
        assert_eq!(page.word(SETS_OVERFLOWED), 985);
    }

    #[test]
    fn a_new_life_continues_where_the_one_before_ended() {
        let page = page(16);
        let first = LabelSets::of(&page, page.operations(), &OPERATION);
        (0..20).for_each(|name| first.record(labels(name).pack(), 70));
        first.publish(&page.write());
        let second = LabelSets::of(&page, page.operations(), &OPERATION);
        second.publish(&page.write());
        let before = sets(&page);
        second.record(labels(3).pack(), 1);
        second.record(labels(99).pack(), 1);
        second.publish(&page.write());
        let after = sets(&page);
        let changed = before
            .iter()
            .zip(&after)
            .filter(|(one, other)| one != other);
        let changed: Vec<_> = changed.map(|(_, other)| *other).collect();
        assert_eq!(changed, [(None, 6), (Some(labels(3)), 2)]);
    }
}
