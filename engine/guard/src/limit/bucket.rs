//! A bucket of the generic cell rate algorithm (ITU-T I.371 annex A): one time, the theoretical
//! arrival time, stands for the whole state.
//!
//! A request takes the time of one interval. Credit is the part of the burst that is not taken, and
//! comes back as time passes. A bucket may also be booked beyond its credit: its taker waits until
//! the time is over.

use super::SECOND;

/// The largest rate, in requests per second. Its interval is still 100 ns, so that a whole number
/// of nanoseconds is within one per cent of each rate.
pub const PER_SECOND_MAX: u64 = 10_000_000;
/// The largest burst, in requests.
pub const BURST_MAX: u32 = 1_000_000_000;
/// The longest period that a rate may count requests of, in seconds: a day.
pub const PERIOD_S_MAX: u64 = 24 * 3600;

/// How many requests may come in a time, and how many of them at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    interval_ns: u64,
    burst: u32,
}

/// Numbers that are no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// Too few or too many requests.
    #[error("a rate is 1 request a day to {PER_SECOND_MAX} a second")]
    Count,
    /// Too small or too large a burst.
    #[error("a burst is 1 to {BURST_MAX} requests")]
    Burst,
}

impl Rate {
    /// `requests` in each period of `period_s` seconds, `burst` of them at once.
    ///
    /// ```
    /// use corelane_guard::limit::bucket::{Bucket, Rate};
    ///
    /// let rate = Rate::new(10, 1, 2)?;
    /// let mut bucket = Bucket::default();
    /// assert!(bucket.take(rate, 0) && bucket.take(rate, 0));
    /// assert!(!bucket.take(rate, 0));
    /// assert!(bucket.take(rate, 100_000_000), "a tenth of a second later");
    /// # Ok::<(), corelane_guard::limit::bucket::RateError>(())
    /// ```
    ///
    /// # Errors
    /// A number is out of its range.
    pub fn new(requests: u64, period_s: u64, burst: u32) -> Result<Rate, RateError> {
        let is_period = (1..=PERIOD_S_MAX).contains(&period_s);
        if requests == 0 || !is_period || requests.div_ceil(period_s) > PER_SECOND_MAX {
            return Err(RateError::Count);
        }
        if !(1..=BURST_MAX).contains(&burst) {
            return Err(RateError::Burst);
        }
        Ok(Rate {
            interval_ns: period_s * SECOND / requests,
            burst,
        })
    }

    /// How many requests may come at once.
    pub fn burst(self) -> u32 {
        self.burst
    }

    /// The time in which the whole burst comes back, in nanoseconds.
    pub fn burst_ns(self) -> u64 {
        self.time_of(self.burst)
    }

    /// The time in which so many requests come back, in nanoseconds.
    pub(super) fn time_of(self, requests: u32) -> u64 {
        self.interval_ns.saturating_mul(u64::from(requests))
    }

    /// How many requests come back in a time, at most the burst.
    pub(super) fn requests_in(self, time_ns: u64) -> u32 {
        let requests = time_ns / self.interval_ns;
        u32::try_from(requests).unwrap_or(u32::MAX).min(self.burst)
    }
}

/// The state of a bucket. A new one has all of its burst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// When all of the burst is there again.
    full_ns: u64,
}

impl Bucket {
    /// A bucket whose burst was taken at `now_ns`.
    pub fn empty(rate: Rate, now_ns: u64) -> Bucket {
        let full_ns = now_ns.saturating_add(rate.burst_ns());
        Bucket { full_ns }
    }

    /// Takes one request, if there is credit for it.
    pub fn take(&mut self, rate: Rate, now_ns: u64) -> bool {
        let has_credit = self.wait_ns(rate, now_ns) == 0;
        if has_credit {
            self.book(rate, 1, now_ns);
        }
        has_credit
    }

    /// Takes requests whether there is credit for them or not. Returns after how many nanoseconds
    /// there is.
    pub fn book(&mut self, rate: Rate, requests: u32, now_ns: u64) -> u64 {
        let start_ns = self.full_ns.max(now_ns);
        self.full_ns = start_ns.saturating_add(rate.time_of(requests));
        let credit_ns = now_ns.saturating_add(rate.burst_ns());
        self.full_ns.saturating_sub(credit_ns)
    }

    /// Gives back requests that were taken and not made.
    pub fn give_back(&mut self, rate: Rate, requests: u32) {
        self.full_ns = self.full_ns.saturating_sub(rate.time_of(requests));
    }

    /// The requests that there is credit for.
    pub fn credit(&self, rate: Rate, now_ns: u64) -> u32 {
        let credit_ns = now_ns.saturating_add(rate.burst_ns());
        rate.requests_in(credit_ns.saturating_sub(self.full_ns.max(now_ns)))
    }

    /// After how many nanoseconds there is credit for a request.
    pub fn wait_ns(&self, rate: Rate, now_ns: u64) -> u64 {
        let taken_ns = self.full_ns.max(now_ns).saturating_add(rate.time_of(1));
        taken_ns.saturating_sub(now_ns.saturating_add(rate.burst_ns()))
    }

    /// After how many nanoseconds the bucket is as a new one.
    pub fn full_after_ns(&self, now_ns: u64) -> u64 {
        self.full_ns.saturating_sub(now_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::{BURST_MAX, Bucket, PER_SECOND_MAX, PERIOD_S_MAX, Rate, RateError};
    use crate::limit::{MS, SECOND};

    /// How many of `tries` a bucket admits that come evenly in `time_ns`, from `start_ns` on.
    fn admitted(bucket: &mut Bucket, rate: Rate, (start_ns, time_ns): (u64, u64)) -> u64 {
        let tries = 10_000;
        let at = |number: u64| start_ns + number * (time_ns / tries);
        (0..tries)
            .filter(|number| bucket.take(rate, at(*number)))
            .count() as u64
    }

    #[test]
    fn a_bucket_admits_the_burst_and_then_the_rate() {
        for (requests, period_s, burst, expected) in [
            (100, 1, 1, 1 + 999),
            (100, 1, 200, 200 + 999),
            (7, 1, 3, 3 + 69),
            (30, 60, 5, 5 + 4),
            (3, 86_400, 3, 3),
        ] {
            let rate = Rate::new(requests, period_s, burst).unwrap();
            let mut bucket = Bucket::default();
            let found = admitted(&mut bucket, rate, (5, 10 * SECOND));
            assert!(found.abs_diff(expected) <= 1, "{rate:?}: {found}");
        }
    }

    #[test]
    fn an_idle_bucket_is_full_and_no_fuller() {
        let rate = Rate::new(10, 1, 5).unwrap();
        let mut bucket = Bucket::empty(rate, 0);
        assert_eq!(bucket.credit(rate, 0), 0);
        assert_eq!(bucket.credit(rate, 250 * MS), 2);
        assert_eq!(bucket.full_after_ns(200 * MS), 300 * MS);
        assert_eq!(bucket.credit(rate, 3600 * SECOND), 5);
        let found = admitted(&mut bucket, rate, (3600 * SECOND, 10_000));
        assert_eq!(found, 5);
    }

    #[test]
    fn a_booking_waits_for_its_last_request() {
        let rate = Rate::new(10, 1, 2).unwrap();
        let mut bucket = Bucket::default();
        assert_eq!(bucket.book(rate, 2, SECOND), 0);
        assert_eq!(bucket.wait_ns(rate, SECOND), 100 * MS);
        assert_eq!(bucket.book(rate, 3, SECOND), 300 * MS);
        assert!(!bucket.take(rate, SECOND + 300 * MS));
        assert!(bucket.take(rate, SECOND + 400 * MS));
        bucket.give_back(rate, 1);
        assert!(bucket.take(rate, SECOND + 400 * MS));
    }

    #[test]
    fn rates_have_ranges() {
        for (requests, period_s, burst, expected) in [
            (0, 1, 1, Some(RateError::Count)),
            (1, PERIOD_S_MAX, 1, None),
            (1, PERIOD_S_MAX + 1, 1, Some(RateError::Count)),
            (PER_SECOND_MAX, 1, 1, None),
            (PER_SECOND_MAX + 1, 1, 1, Some(RateError::Count)),
            (1, 0, 1, Some(RateError::Count)),
            (1, 1, 0, Some(RateError::Burst)),
            (1, 1, BURST_MAX, None),
            (1, 1, BURST_MAX + 1, Some(RateError::Burst)),
        ] {
            let found = Rate::new(requests, period_s, burst).err();
            assert_eq!(found, expected, "{requests} {period_s} {burst}");
        }
    }
}
