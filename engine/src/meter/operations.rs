//! Durations of operations by their labels: a table of a bounded number of sets of labels.
//!
//! A set is found by a packed key, in a table that never grows. A set for which there is no place
//! is counted in the first one, which stands for all others (`otel_metric_overflow` of
//! OpenTelemetry).

use std::cell::Cell;

use super::histogram::OPERATION;
use super::page::{OPERATION_WORDS, Page, PageWriter, SET_WORDS, SETS_AT};
use super::page::{SETS_OVERFLOWED, SETS_USED};

/// The labels of an operation, packed: see [`Labels`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LabelKey(u64);

/// The labels of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Labels {
    /// The number of a method, or [`Labels::OTHER_METHOD`].
    pub(crate) method: u8,
    /// The number of a revision, or [`Labels::NO_REVISION`].
    pub(crate) revision: u8,
    /// The number of a name of the catalog, or 0.
    pub(crate) name: u16,
    /// The failure, if it is one.
    pub(crate) failure: Failure,
    /// The place of the code of the answer in [`CODES`], from 1; 0 for a result.
    pub(crate) code: u8,
}

/// Why an operation failed, where its code does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Failure {
    /// It did not, or its code says why.
    #[default]
    None,
    /// The result of a tool is an error.
    ToolError,
    /// Its time was over.
    Timeout,
    /// Its client cancelled it, or the server ended it.
    Cancelled,
    /// Its handler panicked.
    Panic,
    /// It was refused for overload.
    Overloaded,
}

#[cfg(any(test, feature = "metrics"))]
/// All of them, by number.
const FAILURES: [Failure; 6] = [
    Failure::None,
    Failure::ToolError,
    Failure::Timeout,
    Failure::Cancelled,
    Failure::Panic,
    Failure::Overloaded,
];

/// Codes of JSON-RPC errors that are labels; a handler may send any other one, which counts as
/// another.
pub(crate) const CODES: [i64; 12] = [
    -32700, -32600, -32601, -32602, -32603, -32000, -32001, -32002, -32020, -32021, -32022, -32042,
];

#[cfg(any(test, feature = "metrics"))]
impl Failure {
    /// The value of the label `error_type`, as the conventions have it.
    pub(crate) fn text(self) -> Option<&'static str> {
        Some(match self {
            Failure::None => return None,
            Failure::ToolError => "tool_error",
            Failure::Timeout => "timeout",
            Failure::Cancelled => "cancelled",
            Failure::Panic => "panic",
            Failure::Overloaded => "overloaded",
        })
    }
}

impl Labels {
    /// For a method that the server does not know.
    pub(crate) const OTHER_METHOD: u8 = u8::MAX;
    /// For an operation before a revision was agreed on.
    pub(crate) const NO_REVISION: u8 = u8::MAX;

    /// The place of a code.
    #[cold]
    pub(crate) fn place_of(code: i64) -> u8 {
        let place = CODES.iter().position(|known| *known == code);
        place.map_or(CODES.len() as u8 + 1, |place| place as u8 + 1)
    }

    /// All in one word. It is not zero.
    #[inline]
    pub(crate) fn pack(self) -> LabelKey {
        LabelKey(
            u64::from(self.method)
                | u64::from(self.revision) << 8
                | u64::from(self.name) << 16
                | (self.failure as u64) << 32
                | u64::from(self.code) << 40
                | 1 << 63,
        )
    }

    #[cfg(any(test, feature = "metrics"))]
    /// The labels of a word of a page; nothing of the set that stands for all others.
    pub(crate) fn unpack(word: u64) -> Option<Labels> {
        let failure = FAILURES.get((word >> 32) as u8 as usize);
        (word != OVERFLOW).then(|| Labels {
            method: word as u8,
            revision: (word >> 8) as u8,
            name: (word >> 16) as u16,
            failure: failure.copied().unwrap_or_default(),
            code: (word >> 40) as u8,
        })
    }
}

/// The key of the set that stands for all others.
const OVERFLOW: u64 = u64::MAX;

/// The sets of one shard, in plain cells.
#[derive(Debug)]
pub(super) struct Operations {
    /// The key and the histogram of each set, as on the page.
    cells: Box<[Cell<u64>]>,
    /// The number of a set and one, where the hash of its key points or after it; 0 is free.
    index: Box<[Cell<u16>]>,
    /// Sets that changed since they were published, one bit each.
    changed: Box<[Cell<u64>]>,
    used: Cell<usize>,
    overflowed: Cell<u64>,
    /// The key of the last operation, and its set.
    last: Cell<(u64, u16)>,
}

impl Operations {
    /// A table for so many sets, with those of the page, on which a life before wrote.
    pub(super) fn of(page: &Page) -> Operations {
        let sets_max = page.settings.sets_max;
        let entries = (2 * sets_max).next_power_of_two();
        let operations = Operations {
            cells: vec![Cell::new(0); sets_max * SET_WORDS].into(),
            index: vec![Cell::new(0); entries].into(),
            changed: vec![Cell::new(0); sets_max.div_ceil(64)].into(),
            used: Cell::new(1),
            overflowed: Cell::new(page.word(SETS_OVERFLOWED)),
            last: Cell::new((OVERFLOW, 0)),
        };
        operations.cells[0].set(OVERFLOW);
        let used = (page.word(SETS_USED) as usize).min(sets_max);
        for set in 0..used {
            let at = set * SET_WORDS;
            let key = page.word(SETS_AT + at);
            let set = if set == 0 { 0 } else { operations.set_of(key) };
            let to = set * SET_WORDS;
            for word in 1..SET_WORDS {
                operations.cells[to + word].set(page.word(SETS_AT + at + word));
            }
        }
        operations.change(0);
        operations
    }

    /// Counts an operation.
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
        let bucket = &self.cells[at + OPERATION.of(duration_us)];
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
        writer.put(SETS_USED, self.used.get() as u64);
        writer.put(SETS_OVERFLOWED, self.overflowed.get());
        for (bits, number) in self.changed.iter().zip(0..) {
            let mut left = bits.take();
            while left != 0 {
                let set = number * 64 + left.trailing_zeros() as usize;
                left &= left - 1;
                let at = set * SET_WORDS;
                for (word, cell) in self.cells[at..at + SET_WORDS].iter().enumerate() {
                    writer.put(SETS_AT + at + word, cell.get());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::{Failure, Labels, Operations};
    use crate::meter::names::Names;
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
    fn labels_survive_the_packing() {
        let other = Labels {
            method: Labels::OTHER_METHOD,
            revision: Labels::NO_REVISION,
            name: u16::MAX,
            failure: Failure::None,
            code: Labels::place_of(12),
        };
        for labels in [labels(7), other] {
            assert_eq!(Labels::unpack(labels.pack().0), Some(labels));
        }
    }

    #[test]
    fn sets_past_the_limit_are_counted_together() {
        let page = page(16);
        let operations = Operations::of(&page);
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
        let first = Operations::of(&page);
        (0..20).for_each(|name| first.record(labels(name).pack(), 70));
        first.publish(&page.write());
        let second = Operations::of(&page);
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
