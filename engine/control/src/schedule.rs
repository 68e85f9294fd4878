//! When the keys of an issuer are fetched, and how long they are used. Without clock and network:
//! time is an argument, in milliseconds of a clock that never goes back.
//!
//! | event | next fetch |
//! |---|---|
//! | start | at once |
//! | success | after half of `max-age`, 60 s to 24 h; without that, 15 min; ± 10 % |
//! | failure | after 5 s, doubling to 5 min; the keys stay in use |
//! | a token with an unknown key | at once, but 30 s after the start of the last such fetch |
//!
//! Fetches for other reasons do not count there: an issuer may change its keys just after one.
//!
//! Keys are dropped when the last success is older than their greatest age.

use std::time::Duration;

/// Between two fetches without `max-age`.
const INTERVAL_DEFAULT_MS: u64 = 15 * 60 * 1000;
/// The bounds of the time between two fetches.
const INTERVAL_MIN_MS: u64 = 60 * 1000;
const INTERVAL_MAX_MS: u64 = 24 * 3600 * 1000;
/// The time after a failure, which doubles with each further one.
const RETRY_MIN_MS: u64 = 5 * 1000;
const RETRY_MAX_MS: u64 = 5 * 60 * 1000;
/// The most by which a time is shorter or longer than its value, in percent.
const JITTER_PERCENT: u64 = 10;

/// The schedule of one issuer.
#[derive(Clone, Debug)]
pub struct Schedule {
    age_max_ms: u64,
    interval_min_ms: u64,
    /// The start of the last fetch for an unknown key.
    requested_ms: Option<u64>,
    is_fetching: bool,
    /// The end of the last fetch that succeeded, whose keys are in use.
    succeeded_ms: Option<u64>,
    failures: u32,
    next_ms: u64,
}

impl Schedule {
    /// A schedule that is due now.
    ///
    /// ```
    /// use std::time::Duration;
    /// use corelane_control::schedule::Schedule;
    ///
    /// let day = Duration::from_secs(24 * 3600);
    /// let mut schedule = Schedule::new(0, day, Duration::from_secs(30));
    /// assert!(schedule.begin_if_due(0));
    /// schedule.succeed(100, Some(600), 0.5);
    /// assert!(!schedule.begin_if_due(299_000));
    /// assert!(schedule.begin_if_due(301_000));
    /// ```
    pub fn new(now_ms: u64, age_max: Duration, interval_min: Duration) -> Schedule {
        Schedule {
            age_max_ms: milliseconds(age_max),
            interval_min_ms: milliseconds(interval_min),
            requested_ms: None,
            is_fetching: false,
            succeeded_ms: None,
            failures: 0,
            next_ms: now_ms,
        }
    }

    /// Begins a fetch if it is time. Its end must be reported.
    pub fn begin_if_due(&mut self, now_ms: u64) -> bool {
        let is_due = !self.is_fetching && self.next_ms <= now_ms;
        self.is_fetching |= is_due;
        is_due
    }

    /// Begins a fetch for a token with an unknown key, unless one is under way or was begun for
    /// such a token too short a time ago, whatever its outcome.
    pub fn begin_for_unknown_key(&mut self, now_ms: u64) -> bool {
        let may_begin = !self.is_fetching && self.opens_ms() <= now_ms;
        if may_begin {
            self.requested_ms = Some(now_ms);
            self.is_fetching = true;
        }
        may_begin
    }

    /// Makes a fetch due now, or as soon as one for an unknown key may begin: an operator does not
    /// want to wait for the next one.
    pub fn hasten(&mut self, now_ms: u64) {
        let earliest_ms = self.opens_ms().max(now_ms);
        if earliest_ms < self.next_ms {
            self.next_ms = earliest_ms;
            self.requested_ms = Some(earliest_ms);
        }
    }

    /// Whether a fetch is under way.
    pub fn is_fetching(&self) -> bool {
        self.is_fetching
    }

    /// When a token with an unknown key may begin a fetch.
    pub fn opens_ms(&self) -> u64 {
        let requested = self.requested_ms;
        requested.map_or(0, |at_ms| at_ms.saturating_add(self.interval_min_ms))
    }

    /// The fetch brought keys, which may be kept for `max_age_s`. `random` is from 0 to 1. Returns
    /// whether the fetches before had failed.
    pub fn succeed(&mut self, now_ms: u64, max_age_s: Option<u64>, random: f64) -> bool {
        let half = max_age_s.map(|seconds| seconds.saturating_mul(500));
        let interval = half.map_or(INTERVAL_DEFAULT_MS, |half| {
            half.clamp(INTERVAL_MIN_MS, INTERVAL_MAX_MS)
        });
        self.is_fetching = false;
        self.succeeded_ms = Some(now_ms);
        self.next_ms = now_ms.saturating_add(jittered(interval, random));
        std::mem::take(&mut self.failures) > 0
    }

    /// The fetch brought no keys. Returns whether it is the first in a row.
    pub fn fail(&mut self, now_ms: u64) -> bool {
        let doublings = self.failures.min(16);
        self.is_fetching = false;
        self.failures = self.failures.saturating_add(1);
        let wait = (RETRY_MIN_MS << doublings).min(RETRY_MAX_MS);
        self.next_ms = now_ms.saturating_add(wait);
        self.failures == 1
    }

    /// How old the keys are that are in use.
    pub fn age_ms(&self, now_ms: u64) -> Option<u64> {
        Some(now_ms.saturating_sub(self.succeeded_ms?))
    }

    /// Whether the keys are to be dropped now, which is so once.
    pub fn expire(&mut self, now_ms: u64) -> bool {
        let is_old = self.expires_ms().is_some_and(|at_ms| at_ms <= now_ms);
        if is_old {
            self.succeeded_ms = None;
        }
        is_old
    }

    fn expires_ms(&self) -> Option<u64> {
        Some(self.succeeded_ms?.saturating_add(self.age_max_ms))
    }

    /// When [`Schedule::begin_if_due`] or [`Schedule::expire`] has an effect next.
    pub fn wakes_ms(&self) -> u64 {
        let next = if self.is_fetching {
            u64::MAX
        } else {
            self.next_ms
        };
        next.min(self.expires_ms().unwrap_or(u64::MAX))
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A time, shorter or longer by chance, so that many servers do not fetch at once.
fn jittered(time_ms: u64, random: f64) -> u64 {
    let most = time_ms * JITTER_PERCENT / 100;
    let longer = (random.clamp(0.0, 1.0) * (2 * most) as f64) as u64;
    time_ms - most + longer
}

#[cfg(test)]
mod tests {
    use super::Schedule;
    use std::time::Duration;

    const MINUTE: u64 = 60_000;
    const HOUR: u64 = 60 * MINUTE;

    fn schedule() -> Schedule {
        let hours = |count: u64| Duration::from_secs(count * 3600);
        Schedule::new(0, hours(24), Duration::from_secs(30))
    }

    /// The times at which fetches begin until `end_ms`, each of which takes 1 s and has an outcome.
    fn run(
        schedule: &mut Schedule,
        end_ms: u64,
        mut outcome: impl FnMut(&mut Schedule, u64),
    ) -> Vec<u64> {
        let mut begun = Vec::new();
        let mut now = 0;
        while now < end_ms {
            if schedule.begin_if_due(now) {
                begun.push(now);
                assert!(!schedule.begin_if_due(now) && !schedule.begin_for_unknown_key(now));
                outcome(schedule, now + 1000);
            }
            now = schedule.wakes_ms().max(now + 1000);
        }
        begun
    }

    #[test]
    fn keys_are_fetched_at_half_of_their_age_with_jitter() {
        for (max_age_s, random, expected) in [
            (None, 0.5, 15 * MINUTE),
            (None, 0.0, 15 * MINUTE - 90_000),
            (None, 1.0, 15 * MINUTE + 90_000),
            (Some(600), 0.5, 5 * MINUTE),
            (Some(0), 0.5, MINUTE),
            (Some(119), 0.5, MINUTE),
            (Some(u64::MAX), 0.5, 24 * HOUR),
        ] {
            let mut schedule = schedule();
            assert!(schedule.begin_if_due(0));
            assert!(!schedule.succeed(0, max_age_s, random));
            assert!(
                !schedule.begin_if_due(expected - 1),
                "{max_age_s:?} {random}"
            );
            assert!(schedule.begin_if_due(expected), "{max_age_s:?} {random}");
        }
    }

    #[test]
    fn a_withdrawn_key_lives_until_the_next_fetch_or_a_signal() {
        let mut schedule = schedule();
        assert!(schedule.begin_if_due(0));
        schedule.succeed(0, None, 1.0);
        assert_eq!(
            schedule.wakes_ms(),
            16 * MINUTE + 30_000,
            "the latest fetch"
        );
        schedule.hasten(MINUTE);
        assert!(schedule.begin_if_due(MINUTE));
        schedule.succeed(MINUTE, None, 0.5);
        // Signals that follow each other fetch no more often than tokens with unknown keys.
        for now in [MINUTE + 1, MINUTE + 2] {
            schedule.hasten(now);
            assert!(!schedule.begin_if_due(now));
        }
        assert!(!schedule.begin_if_due(MINUTE + 29_999));
        assert!(schedule.begin_if_due(MINUTE + 30_000));
    }

    #[test]
    fn failures_are_retried_ever_later_and_keep_the_keys_for_a_day() {
        let mut schedule = schedule();
        let mut firsts = 0;
        let begun = run(&mut schedule, 2 * HOUR, |schedule, now| {
            firsts += u32::from(schedule.fail(now));
        });
        let gaps: Vec<u64> = begun.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let seconds = [6, 11, 21, 41, 81, 161, 301, 301];
        assert_eq!(gaps[..8], seconds.map(|seconds| seconds * 1000));
        assert_eq!(firsts, 1);
        assert!(gaps[8..].iter().all(|gap| *gap == 301_000));
    }

    #[test]
    fn an_outage_of_a_day_drops_the_keys_at_its_end_and_recovers() {
        let mut schedule = schedule();
        assert!(schedule.begin_if_due(0));
        schedule.succeed(0, None, 0.5);
        let mut now = 0;
        let mut dropped = Vec::new();
        while now < 25 * HOUR {
            now = schedule.wakes_ms();
            if schedule.expire(now) {
                dropped.push(now);
            }
            if schedule.begin_if_due(now) {
                schedule.fail(now);
            }
        }
        assert_eq!(dropped, [24 * HOUR]);
        assert_eq!(schedule.age_ms(now), None);
        assert!(schedule.wakes_ms() - now <= 5 * MINUTE);
        let now = schedule.wakes_ms();
        assert!(schedule.begin_if_due(now));
        assert!(
            schedule.succeed(now, None, 0.5),
            "it recovers from failures"
        );
        assert_eq!(schedule.age_ms(now + 7), Some(7));
        assert!(!schedule.begin_if_due(now + 5 * MINUTE));
    }

    #[test]
    fn unknown_keys_begin_a_fetch_each_30_seconds_whatever_the_outcome() {
        for succeeds in [true, false] {
            let mut schedule = schedule();
            assert!(schedule.begin_if_due(0));
            schedule.succeed(10, None, 0.5);
            let mut begun = Vec::new();
            for now in (12..120_000).step_by(12) {
                // 10,000 tokens in two minutes, each with another id.
                if schedule.begin_for_unknown_key(now) {
                    begun.push(now);
                    match succeeds {
                        true => _ = schedule.succeed(now, None, 0.5),
                        false => _ = schedule.fail(now),
                    }
                }
            }
            assert_eq!(begun, [12, 30_012, 60_012, 90_012], "{succeeds}");
        }
    }

    #[test]
    fn an_issuer_without_keys_from_the_start_is_bounded_alike() {
        let mut schedule = schedule();
        assert!(schedule.begin_for_unknown_key(0), "nothing was fetched yet");
        assert!(!schedule.begin_for_unknown_key(0), "one is under way");
        assert!(!schedule.begin_if_due(60_000), "also after its time");
        schedule.fail(1_000);
        assert!(!schedule.begin_for_unknown_key(29_999));
        assert!(schedule.begin_for_unknown_key(30_000));
    }
}
