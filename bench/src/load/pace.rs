//! When requests are due: a pure function of the time since the start and of how many were sent.
//!
//! The schedule of an open loop does not depend on the server: request `n` is due at
//! [`Schedule::due_ns`] even if nothing was answered, and its latency counts from there. This
//! keeps a stalled server from hiding the requests that would have met the stall (coordinated
//! omission). A closed loop has no schedule. Invariant: due times never decrease, and none is
//! skipped.

use std::str::FromStr;
use std::time::Duration;

/// The highest rate in requests per second.
pub const RATE_MAX: f64 = 100e6;

const NS_PER_S: f64 = 1e9;

/// Rates of an open loop in requests per second: `5000`, `2k`, `1.5M`, or a ramp `1k..50k`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// At the start.
    pub from_per_s: f64,
    /// At the end.
    pub to_per_s: f64,
}

impl Rate {
    /// The same rate from start to end.
    pub fn constant(per_s: f64) -> Rate {
        Rate {
            from_per_s: per_s,
            to_per_s: per_s,
        }
    }
}

/// A text that is not a rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid rate {text:?}: give requests per second above 0 and up to 100M, such as 5000, 2k, \
     1.5M or the ramp 1k..50k"
)]
pub struct RateError {
    text: String,
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Rate, RateError> {
        let number = |part: &str| {
            let (digits, factor) = match part.as_bytes().last() {
                Some(b'k' | b'K') => (&part[..part.len() - 1], 1e3),
                Some(b'm' | b'M') => (&part[..part.len() - 1], 1e6),
                _ => (part, 1.0),
            };
            let per_s = digits.parse::<f64>().ok()? * factor;
            (per_s > 0.0 && per_s <= RATE_MAX).then_some(per_s)
        };
        let rate = match text.split_once("..") {
            Some((from, to)) => number(from).zip(number(to)),
            None => number(text).map(|per_s| (per_s, per_s)),
        };
        let (from_per_s, to_per_s) = rate.ok_or_else(|| RateError {
            text: text.to_owned(),
        })?;
        Ok(Rate {
            from_per_s,
            to_per_s,
        })
    }
}

/// One worker's share of an open loop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Requests per nanosecond at the start.
    start: f64,
    /// Half of the growth of that rate in each nanosecond.
    half_growth: f64,
    /// Where in the interval between two of its requests this worker begins, 0 to 1.
    phase: f64,
}

impl Schedule {
    /// The share of worker `worker` of `workers` in `rate`, which goes from its first to its last
    /// value in `duration`. Workers take turns, so that together they send evenly.
    ///
    /// # Panics
    /// If there is no worker or no duration.
    pub fn new(rate: Rate, duration: Duration, worker: u32, workers: u32) -> Schedule {
        assert!(worker < workers && !duration.is_zero());
        let share = 1.0 / f64::from(workers);
        let start = rate.from_per_s * share / NS_PER_S;
        let end = rate.to_per_s * share / NS_PER_S;
        Schedule {
            start,
            half_growth: (end - start) / duration.as_nanos() as f64 / 2.0,
            phase: f64::from(worker) * share,
        }
    }

    /// When request `number`, counted from 0, is due, in nanoseconds since the start; `u64::MAX`
    /// if the rate falls to 0 before.
    pub fn due_ns(&self, number: u64) -> u64 {
        let sent = number as f64 + self.phase;
        // Requests sent by the time t are start * t + half_growth * t^2. Solved for t in the form
        // that stays exact where the growth is small.
        let root = self.start * self.start + 4.0 * self.half_growth * sent;
        if root < 0.0 {
            return u64::MAX;
        }
        (2.0 * sent / (self.start + root.sqrt())) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::{Rate, Schedule};
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_rate_is_a_number_or_a_ramp() {
        let check = |text: &str, from: f64, to: f64| {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.from_per_s, rate.to_per_s), (from, to), "{text}");
        };
        check("5000", 5e3, 5e3);
        check("2k", 2e3, 2e3);
        check("1.5M", 1.5e6, 1.5e6);
        check("1k..50k", 1e3, 5e4);
        check("0.5..2", 0.5, 2.0);
        for bad in [
            "", "0", "-1", "k", "1..", "..1", "NaN", "inf", "200M", "1 k",
        ] {
            let error = bad.parse::<Rate>().unwrap_err().to_string();
            assert!(error.contains("ramp 1k..50k"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_constant_rate_is_even() {
        let schedule = Schedule::new(Rate::constant(1000.0), SECOND, 0, 1);
        for number in [0, 1, 2, 500, 1_000_000] {
            let due = schedule.due_ns(number);
            assert!(due.abs_diff(number * 1_000_000) <= 1, "{number}: {due}");
        }
    }

    #[test]
    fn workers_take_turns() {
        let due = |worker, number| {
            Schedule::new(Rate::constant(1000.0), SECOND, worker, 4).due_ns(number)
        };
        for worker in 0..4 {
            for number in 0..10 {
                let together = u64::from(worker) + 4 * number;
                assert!(due(worker, number).abs_diff(together * 1_000_000) <= 1);
            }
        }
    }

    #[test]
    fn a_ramp_sends_as_many_as_its_mean_rate() {
        let check = |from_per_s: f64, to_per_s: f64| {
            let rate = Rate {
                from_per_s,
                to_per_s,
            };
            let schedule = Schedule::new(rate, SECOND * 10, 0, 1);
            let sent = (0..).take_while(|number| schedule.due_ns(*number) < 10_000_000_000);
            let expected = (from_per_s + to_per_s) / 2.0 * 10.0;
            assert!((sent.count() as f64 - expected).abs() <= 1.0);
            let dues: Vec<u64> = (0..1000).map(|number| schedule.due_ns(number)).collect();
            assert!(dues.is_sorted(), "{rate:?}");
            // Half the time is over when a quarter of the growth has happened.
            let half = from_per_s * 5.0 + (to_per_s - from_per_s) * 1.25;
            let at_half = schedule.due_ns(half as u64) as f64;
            assert!((at_half - 5e9).abs() < 2e7, "{rate:?}: {at_half}");
        };
        check(100.0, 5000.0);
        check(5000.0, 100.0);
        check(300.0, 300.0);
    }

    #[test]
    fn a_rate_that_fell_to_nothing_is_never_due() {
        let rate = Rate {
            from_per_s: 100.0,
            to_per_s: 1e-9,
        };
        let schedule = Schedule::new(rate, SECOND, 0, 1);
        assert!(schedule.due_ns(40) < 1_000_000_000);
        assert_eq!(schedule.due_ns(1000), u64::MAX);
    }
}
