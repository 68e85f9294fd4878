//! Sources that are blocked for failed credentials.
//!
//! Every shard counts every failure: a shard that sees one notifies the others. So all of them
//! block a source at its last try, except for tries that are on their way to two shards at once. It
//! deliberately lacks the question which failures count, and the answer to a blocked source.

use std::collections::VecDeque;

use super::table::{Entry, Table};
use super::{LimitKey, MS, SECOND};
use crate::holder::HolderKey;

/// Milliseconds of one tick, the unit of the times of failures.
const TICK_MS: u64 = 10;

/// When a source is blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureLimit {
    /// So many failures block a source.
    pub tries: u32,
    /// In so many seconds.
    pub window_s: u32,
    /// For so many seconds, and each time for twice as long as before.
    pub block_s: u32,
    /// And at most for so many. Without a failure for so long after a block, the source begins
    /// anew.
    pub block_s_max: u32,
}

impl Default for FailureLimit {
    fn default() -> FailureLimit {
        FailureLimit {
            tries: 20,
            window_s: 60,
            block_s: 60,
            block_s_max: 3600,
        }
    }
}

/// The sources with failures that one shard knows.
#[derive(Debug)]
pub struct Failures {
    limit: FailureLimit,
    table: Table<Source>,
}

#[derive(Debug)]
struct Source {
    key: LimitKey,
    /// The last failures, in ticks: fewer than block it.
    failed: VecDeque<u32>,
    blocked_until_ns: u64,
    /// How often it was blocked.
    blocks: u32,
    /// Until then the blocks count.
    remembered_until_ns: u64,
}

impl Failures {
    /// No failures, and those of at most `sources_max` sources later.
    ///
    /// ```
    /// use corelane_guard::holder::HolderKey;
    /// use corelane_guard::limit::failures::{FailureLimit, Failures};
    ///
    /// let source = Failures::key(HolderKey::ANONYMOUS);
    /// let mut failures = Failures::new(FailureLimit::default(), 65_536);
    /// for try_number in 1..=20 {
    ///     assert_eq!(failures.blocked_ms(source, 0), None);
    ///     assert_eq!(failures.record(source, 0), try_number == 20);
    /// }
    /// assert_eq!(failures.blocked_ms(source, 0), Some(60_000));
    /// ```
    pub fn new(limit: FailureLimit, sources_max: usize) -> Failures {
        Failures {
            limit,
            table: Table::new(sources_max),
        }
    }

    /// The key of a source.
    pub fn key(source: HolderKey) -> LimitKey {
        LimitKey::new("failures", source)
    }

    /// Sets the limit of another configuration. Blocks stay as they are.
    pub fn set_limit(&mut self, limit: FailureLimit) {
        self.limit = limit;
    }

    /// For how many milliseconds a source is blocked, if it is.
    #[inline]
    pub fn blocked_ms(&self, source: LimitKey, now_ns: u64) -> Option<u64> {
        if self.table.is_empty() {
            return None;
        }
        let blocked_ns = self.table.get(source)?.blocked_until_ns;
        let left_ms = blocked_ns.saturating_sub(now_ns).div_ceil(MS);
        (left_ms > 0).then_some(left_ms)
    }

    /// Records a failure, seen by this shard or another one. Returns whether it blocks the source.
    pub fn record(&mut self, source: LimitKey, now_ns: u64) -> bool {
        let limit = self.limit;
        let place = self.table.find(source).unwrap_or_else(|| {
            let (place, _) = self.table.insert(Source::new(source), now_ns);
            place
        });
        self.table.at(place).record(limit, now_ns)
    }

    /// Forgets sources without a recent failure. Looks at a part of them; calls once a second look
    /// at all of them in a minute.
    pub fn handle_time(&mut self, now_ns: u64) {
        for _ in 0..self.table.len().min(self.table.max().div_ceil(60)) {
            let Some(place) = self.table.next_place() else {
                return;
            };
            let source = self.table.at(place);
            source.forget(self.limit, now_ns);
            if source.loss(now_ns) == 0 {
                self.table.remove(place);
            }
        }
    }

    /// How many sources are known.
    pub fn count(&self) -> usize {
        self.table.len()
    }

    /// How many sources are blocked.
    pub fn blocked(&self, now_ns: u64) -> usize {
        let sources = self.table.iter();
        sources.filter(|it| it.blocked_until_ns > now_ns).count()
    }
}

impl Source {
    fn new(key: LimitKey) -> Source {
        Source {
            key,
            failed: VecDeque::new(),
            blocked_until_ns: 0,
            blocks: 0,
            remembered_until_ns: 0,
        }
    }

    fn record(&mut self, limit: FailureLimit, now_ns: u64) -> bool {
        if self.blocked_until_ns > now_ns {
            return false;
        }
        self.forget(limit, now_ns);
        self.failed.push_back(tick(now_ns));
        if self.failed.len() < limit.tries as usize {
            return false;
        }
        let doubled = u64::from(limit.block_s) << self.blocks.min(32);
        let block_ns = doubled.min(u64::from(limit.block_s_max)) * SECOND;
        self.blocked_until_ns = now_ns + block_ns;
        self.remembered_until_ns = self.blocked_until_ns + u64::from(limit.block_s_max) * SECOND;
        self.blocks += 1;
        self.failed = VecDeque::new();
        true
    }

    /// Forgets what is too old to count.
    fn forget(&mut self, limit: FailureLimit, now_ns: u64) {
        let window = u64::from(limit.window_s) * 1000 / TICK_MS;
        let now = tick(now_ns);
        let is_old = |failed: &u32| u64::from(now.wrapping_sub(*failed)) >= window;
        while self.failed.front().is_some_and(is_old) {
            self.failed.pop_front();
        }
        if self.remembered_until_ns <= now_ns {
            self.blocks = 0;
        }
    }
}

/// The time in ticks. It wraps after more than a year; by then every failure is forgotten.
fn tick(now_ns: u64) -> u32 {
    (now_ns / (TICK_MS * MS)) as u32
}

impl Entry for Source {
    fn key(&self) -> LimitKey {
        self.key
    }

    fn loss(&self, now_ns: u64) -> u64 {
        let blocked_ns = self.blocked_until_ns.saturating_sub(now_ns);
        blocked_ns + u64::from(self.blocks) * SECOND + self.failed.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::{FailureLimit, Failures};
    use crate::holder::Holders;
    use crate::limit::{LimitKey, SECOND};

    fn source(number: u32) -> LimitKey {
        Failures::key(Holders::default().of_principal(&number.to_string()))
    }

    /// Lets a source fail so many times. Returns whether the last one blocks it.
    fn fail(failures: &mut Failures, times: u32, now_ns: u64) -> bool {
        let blocked: Vec<bool> = (0..times)
            .map(|_| failures.record(source(1), now_ns))
            .collect();
        assert!(!blocked[..blocked.len() - 1].contains(&true));
        blocked[blocked.len() - 1]
    }

    #[test]
    fn the_twentieth_failure_of_any_minute_blocks_a_source() {
        let mut failures = Failures::new(FailureLimit::default(), 10);
        assert!(!fail(&mut failures, 19, SECOND));
        assert!(!fail(&mut failures, 19, 61 * SECOND), "the first are over");
        assert!(!fail(&mut failures, 1, 122 * SECOND));
        assert!(!fail(&mut failures, 18, 150 * SECOND));
        assert_eq!(failures.blocked_ms(source(1), 181 * SECOND), None);
        assert!(fail(&mut failures, 1, 181 * SECOND));
        assert_eq!(failures.blocked_ms(source(1), 181 * SECOND), Some(60_000));
        assert_eq!(failures.blocked_ms(source(2), 181 * SECOND), None);
        assert_eq!(failures.blocked(181 * SECOND), 1);
        assert_eq!(failures.blocked_ms(source(1), 241 * SECOND), None);
    }

    #[test]
    fn each_block_is_twice_as_long_as_the_one_before_up_to_an_hour() {
        let mut failures = Failures::new(FailureLimit::default(), 10);
        let mut now_ns = 0;
        for expected_s in [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600] {
            assert!(fail(&mut failures, 20, now_ns));
            let blocked_ms = failures.blocked_ms(source(1), now_ns);
            assert_eq!(blocked_ms, Some(expected_s * 1000));
            assert!(!failures.record(source(1), now_ns), "it is blocked");
            now_ns += (expected_s + 30) * SECOND;
        }
        now_ns += 3600 * SECOND;
        assert!(fail(&mut failures, 20, now_ns));
        assert_eq!(failures.blocked_ms(source(1), now_ns), Some(60_000));
    }

    #[test]
    fn sources_are_forgotten_and_their_number_is_bounded() {
        let mut failures = Failures::new(FailureLimit::default(), 1000);
        assert!(fail(&mut failures, 20, 0));
        for number in 0..100_000 {
            failures.record(source(number), u64::from(number) * 1000);
        }
        assert_eq!(failures.count(), 1000);
        assert!(failures.blocked_ms(source(1), SECOND).is_some());
        for second in 0..=60 {
            failures.handle_time((3 * 3600 + second) * SECOND);
        }
        assert_eq!(failures.count(), 0);
    }
}
