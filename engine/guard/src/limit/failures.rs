//! Sources that are blocked for failed credentials.
//!
//! Every shard counts every failure: a shard that sees one notifies the others. So all of them
//! block a source at its last try, except for tries that are on their way to two shards at once.
//!
//! Many clients may share one address, so a block must not cost those with good credentials
//! theirs. A credential that fails again and again is a client that was configured wrongly, and
//! not a guess: it counts once. And while a source is blocked, one of its credentials that did not
//! just fail is checked now and then. It deliberately lacks the question which failures count, and
//! the answer to a blocked source.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use super::table::{Entry, Table};
use super::{LimitKey, MS, SECOND};
use crate::holder::HolderKey;

/// Milliseconds of one tick, the unit of the times of failures.
const TICK_MS: u64 = 10;

/// Of a blocked source, a shard checks one credential in so many milliseconds. Nobody guesses at
/// this pace, and a client with a good credential that the block hits waits seconds for it.
const BLOCKED_CHECK_MS: u64 = 1000;

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

/// A credential of a source, which failed or is about to be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    source: LimitKey,
    /// A keyed hash of the credential, the same on every shard.
    credential: u32,
}

impl Attempt {
    /// The attempt of a source to use a credential.
    pub fn new(source: HolderKey, credential: &[u8]) -> Attempt {
        static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Attempt {
            source: Failures::key(source),
            credential: HASHER.hash_one(credential) as u32,
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
    /// The last failures, each of another credential: at most as many as block the source.
    failed: VecDeque<Failed>,
    blocked_until_ns: u64,
    /// From then on another credential is checked although the source is blocked.
    next_check_ns: u64,
    /// How often it was blocked.
    blocks: u32,
    /// Until then the blocks count.
    remembered_until_ns: u64,
}

#[derive(Clone, Copy, Debug)]
struct Failed {
    tick: u32,
    credential: u32,
}

impl Failures {
    /// No failures, and those of at most `sources_max` sources later.
    ///
    /// ```
    /// use corelane_guard::holder::HolderKey;
    /// use corelane_guard::limit::failures::{Attempt, FailureLimit, Failures};
    ///
    /// let attempt = |guess: &str| Attempt::new(HolderKey::ANONYMOUS, guess.as_bytes());
    /// let mut failures = Failures::new(FailureLimit::default(), 65_536);
    /// for number in 1..=20 {
    ///     let guess = attempt(&format!("guess {number}"));
    ///     assert_eq!(failures.refuses(guess, 0), None);
    ///     assert!(failures.record(guess, 0));
    /// }
    /// assert_eq!(failures.refuses(attempt("guess 21"), 0), Some(60_000));
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

    /// For how many milliseconds the source of an attempt is blocked, if the attempt must be
    /// refused unchecked for that.
    #[inline]
    pub fn refuses(&mut self, attempt: Attempt, now_ns: u64) -> Option<u64> {
        if self.table.is_empty() {
            return None;
        }
        let place = self.table.find(attempt.source)?;
        self.table.at(place).refuses(attempt.credential, now_ns)
    }

    /// Records an attempt that failed, on this shard or another one. Returns whether it counts: its
    /// credential has not failed before.
    pub fn record(&mut self, attempt: Attempt, now_ns: u64) -> bool {
        let limit = self.limit;
        let source = attempt.source;
        let place = self.table.find(source).unwrap_or_else(|| {
            let (place, _) = self.table.insert(Source::new(source), now_ns);
            place
        });
        let source = self.table.at(place);
        source.record(attempt.credential, limit, now_ns)
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
            next_check_ns: 0,
            blocks: 0,
            remembered_until_ns: 0,
        }
    }

    fn refuses(&mut self, credential: u32, now_ns: u64) -> Option<u64> {
        let left_ms = self.blocked_until_ns.saturating_sub(now_ns).div_ceil(MS);
        if left_ms == 0 {
            return None;
        }
        if self.next_check_ns <= now_ns && !self.has_failed(credential) {
            self.next_check_ns = now_ns + BLOCKED_CHECK_MS * MS;
            return None;
        }
        Some(left_ms)
    }

    fn has_failed(&self, credential: u32) -> bool {
        self.failed.iter().any(|it| it.credential == credential)
    }

    fn record(&mut self, credential: u32, limit: FailureLimit, now_ns: u64) -> bool {
        let is_blocked = self.blocked_until_ns > now_ns;
        if !is_blocked {
            self.forget(limit, now_ns);
        }
        if self.has_failed(credential) {
            return false;
        }
        if self.failed.len() >= limit.tries as usize {
            self.failed.pop_front();
        }
        self.failed.push_back(Failed {
            tick: tick(now_ns),
            credential,
        });
        if is_blocked || self.failed.len() < limit.tries as usize {
            return true;
        }
        let doubled = u64::from(limit.block_s) << self.blocks.min(32);
        let block_ns = doubled.min(u64::from(limit.block_s_max)) * SECOND;
        self.blocked_until_ns = now_ns + block_ns;
        self.next_check_ns = now_ns + BLOCKED_CHECK_MS * MS;
        self.remembered_until_ns = self.blocked_until_ns + u64::from(limit.block_s_max) * SECOND;
        self.blocks += 1;
        true
    }

    /// Forgets what no longer counts: failures that are too old, and those of a block that is over.
    fn forget(&mut self, limit: FailureLimit, now_ns: u64) {
        if self.blocked_until_ns > now_ns {
            return;
        }
        if self.blocked_until_ns > 0 {
            self.failed = VecDeque::new();
            self.blocked_until_ns = 0;
        }
        let window = u64::from(limit.window_s) * 1000 / TICK_MS;
        let now = tick(now_ns);
        let is_old = |failed: &Failed| u64::from(now.wrapping_sub(failed.tick)) >= window;
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
    use super::{Attempt, FailureLimit, Failures};
    use crate::holder::{HolderKey, Holders};
    use crate::limit::SECOND;

    fn source(number: u32) -> HolderKey {
        Holders::default().of_principal(&number.to_string())
    }

    /// A source tries the credential with this number.
    fn attempt(of: u32, credential: u64) -> Attempt {
        Attempt::new(source(of), &credential.to_le_bytes())
    }

    /// For how long a source is blocked, by a credential that has failed.
    fn blocked_ms(failures: &mut Failures, now_ns: u64) -> Option<u64> {
        failures.refuses(attempt(1, u64::MAX), now_ns)
    }

    /// Lets a source fail so many times, each time with another credential. Returns whether the
    /// last one blocks it.
    fn fail(failures: &mut Failures, times: u64, now_ns: u64) -> bool {
        for number in 0..times {
            assert_eq!(blocked_ms(failures, now_ns), None);
            assert!(failures.record(attempt(1, now_ns + number), now_ns));
        }
        blocked_ms(failures, now_ns).is_some()
    }

    #[test]
    fn the_twentieth_failure_of_any_minute_blocks_a_source() {
        let mut failures = Failures::new(FailureLimit::default(), 10);
        assert!(!fail(&mut failures, 19, SECOND));
        assert!(!fail(&mut failures, 19, 61 * SECOND), "the first are over");
        assert!(!fail(&mut failures, 1, 122 * SECOND));
        assert!(!fail(&mut failures, 18, 150 * SECOND));
        assert_eq!(blocked_ms(&mut failures, 181 * SECOND), None);
        assert!(fail(&mut failures, 1, 181 * SECOND));
        assert_eq!(blocked_ms(&mut failures, 181 * SECOND), Some(60_000));
        assert_eq!(failures.refuses(attempt(2, 0), 181 * SECOND), None);
        assert_eq!(failures.blocked(181 * SECOND), 1);
        assert_eq!(blocked_ms(&mut failures, 241 * SECOND), None);
    }

    #[test]
    fn each_block_is_twice_as_long_as_the_one_before_up_to_an_hour() {
        let mut failures = Failures::new(FailureLimit::default(), 10);
        let mut now_ns = 0;
        for expected_s in [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600] {
            assert!(fail(&mut failures, 20, now_ns));
            assert_eq!(blocked_ms(&mut failures, now_ns), Some(expected_s * 1000));
            failures.record(attempt(1, u64::MAX), now_ns);
            assert_eq!(blocked_ms(&mut failures, now_ns), Some(expected_s * 1000));
            now_ns += (expected_s + 30) * SECOND;
        }
        now_ns += 3600 * SECOND;
        assert!(fail(&mut failures, 20, now_ns));
        assert_eq!(blocked_ms(&mut failures, now_ns), Some(60_000));
    }

    #[test]
    fn sources_are_forgotten_and_their_number_is_bounded() {
        let mut failures = Failures::new(FailureLimit::default(), 1000);
        assert!(fail(&mut failures, 20, 0));
        for number in 0..100_000 {
            failures.record(attempt(number, 0), u64::from(number) * 1000);
        }
        assert_eq!(failures.count(), 1000);
        assert!(blocked_ms(&mut failures, SECOND / 2).is_some());
        for second in 0..=60 {
            failures.handle_time((3 * 3600 + second) * SECOND);
        }
        assert_eq!(failures.count(), 0);
    }
    #[test]
    fn a_credential_that_fails_again_and_again_counts_once() {
        let mut failures = Failures::new(FailureLimit::default(), 10);
        for number in 0..2000_u64 {
            let wrongly_configured = attempt(1, number % 19);
            let counts = failures.record(wrongly_configured, number * SECOND / 100);
            assert_eq!(counts, number < 19);
            assert_eq!(blocked_ms(&mut failures, number * SECOND / 100), None);
        }
        failures.record(attempt(1, 19), 20 * SECOND);
        assert_eq!(blocked_ms(&mut failures, 20 * SECOND), Some(60_000));
    }

    #[test]
    fn of_a_blocked_source_one_other_credential_is_checked_in_a_second() {
        let mut failures = Failures::new(FailureLimit::default(), 10);
        for number in 0..20 {
            failures.record(attempt(1, number), 0);
        }
        let mut checked = |credential, now_ms: u64| {
            let attempt = attempt(1, credential);
            let refused_ms = failures.refuses(attempt, now_ms * 1_000_000);
            assert!(refused_ms.is_none_or(|it| it == 60_000 - now_ms));
            if refused_ms.is_none() {
                failures.record(attempt, now_ms * 1_000_000);
            }
            refused_ms.is_none()
        };
        assert!(!checked(20, 999));
        assert!(!checked(19, 1000), "it has failed before");
        assert!(checked(20, 1000));
        assert!(!checked(21, 1999));
        assert!(
            !checked(20, 2000),
            "it has failed while the source was blocked"
        );
        assert!(checked(21, 2000));
        assert!(checked(22, 60_000), "the block is over");
        assert!(checked(22, 60_000));
    }
}
