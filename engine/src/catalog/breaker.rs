//! The circuit breaker of a tool: whether its calls run, or are refused because it keeps failing.
//!
//! ```text
//! Closed --failures_max failures in a row--> Open --after open_ms, with the next call--> Trying
//!   ^                                         ^                                           |
//!   +-----------------------------------------|---------------- the call succeeds --------+
//!                                             +---------------- it fails -----------------+
//! ```
//!
//! While it tries, one call runs and the others are refused. Calls that began before it opened
//! decide nothing when they end.

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BreakerLimits {
    /// Failures in a row that open it; 0 keeps it closed.
    pub(crate) failures_max: u32,
    /// Milliseconds until it lets a call through again.
    pub(crate) open_ms: u64,
}

/// The breaker of one tool on one shard.
#[derive(Debug)]
pub(crate) struct Breaker {
    limits: BreakerLimits,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until_ms: u64 },
    Trying,
}

/// The meaning of the end of a call for its tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ToolSign {
    /// It answered.
    Works,
    /// It panicked, took too long, or met an error that is not the caller's.
    Fails,
    /// Nothing: the client cancelled the call.
    Unknown,
}

/// A call that may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// With others.
    AsUsual,
    /// Alone, to see whether the tool works again.
    AsTrial,
}

/// A change of a breaker that an operator hears of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Calls are refused from now on.
    Opened,
    /// The call that tried the tool failed: calls are refused again.
    Reopened,
    /// Calls run again.
    Closed,
}

impl Breaker {
    pub(crate) fn new(limits: BreakerLimits) -> Breaker {
        Breaker {
            limits,
            state: State::Closed { failures: 0 },
        }
    }

    /// Changes the limits. Calls that are refused stay so until the time of before is over.
    pub(crate) fn set_limits(&mut self, limits: BreakerLimits) {
        self.limits = limits;
        if limits.failures_max == 0 {
            self.state = State::Closed { failures: 0 };
        }
    }

    pub(crate) fn limits(&self) -> BreakerLimits {
        self.limits
    }

    /// Whether calls run, and the last one did not fail: no time is needed then.
    #[inline]
    pub(crate) fn is_untroubled(&self) -> bool {
        self.state == State::Closed { failures: 0 }
    }

    /// Whether a call may run at `now_ms`.
    ///
    /// # Errors
    /// The milliseconds until another one may; 0 if that depends on the end of a trial.
    pub(crate) fn admit(&mut self, now_ms: u64) -> Result<Admitted, u64> {
        match self.state {
            State::Closed { .. } => Ok(Admitted::AsUsual),
            State::Open { until_ms } if now_ms < until_ms => Err(until_ms - now_ms),
            State::Open { .. } => {
                self.state = State::Trying;
                Ok(Admitted::AsTrial)
            }
            State::Trying => Err(0),
        }
    }

    /// Takes in the end of a call at `now_ms`.
    pub(crate) fn ended(
        &mut self,
        admitted: Admitted,
        sign: ToolSign,
        now_ms: u64,
    ) -> Option<Change> {
        match (self.state, admitted, sign) {
            (State::Closed { .. }, _, ToolSign::Works) => {
                self.state = State::Closed { failures: 0 };
                None
            }
            (State::Closed { failures }, _, ToolSign::Fails) if self.limits.failures_max > 0 => {
                let failures = failures + 1;
                if failures < self.limits.failures_max {
                    self.state = State::Closed { failures };
                    return None;
                }
                self.open(now_ms);
                Some(Change::Opened)
            }
            (State::Trying, Admitted::AsTrial, ToolSign::Works) => {
                self.state = State::Closed { failures: 0 };
                Some(Change::Closed)
            }
            (State::Trying, Admitted::AsTrial, ToolSign::Fails) => {
                self.open(now_ms);
                Some(Change::Reopened)
            }
            // The next call tries again at once.
            (State::Trying, Admitted::AsTrial, ToolSign::Unknown) => {
                self.state = State::Open { until_ms: now_ms };
                None
            }
            _ => None,
        }
    }

    fn open(&mut self, now_ms: u64) {
        let until_ms = now_ms + self.limits.open_ms;
        self.state = State::Open { until_ms };
    }
}

#[cfg(test)]
mod tests {
    use super::ToolSign::{Fails, Unknown, Works};
    use super::{Admitted, Breaker, BreakerLimits, Change, ToolSign};

    const LIMITS: BreakerLimits = BreakerLimits {
        failures_max: 3,
        open_ms: 100,
    };

    /// A call that ends at once.
    fn call(breaker: &mut Breaker, sign: ToolSign, now_ms: u64) -> Result<Option<Change>, u64> {
        let admitted = breaker.admit(now_ms)?;
        Ok(breaker.ended(admitted, sign, now_ms))
    }

    fn opened_at(now_ms: u64) -> Breaker {
        let mut breaker = Breaker::new(LIMITS);
        for expected in [None, None, Some(Change::Opened)] {
            assert_eq!(call(&mut breaker, Fails, now_ms), Ok(expected));
        }
        breaker
    }

    #[test]
    fn only_failures_in_a_row_open_it() {
        let mut breaker = Breaker::new(LIMITS);
        for sign in [Fails, Fails, Works, Fails, Unknown, Fails, Works, Fails] {
            assert_eq!(call(&mut breaker, sign, 0), Ok(None));
        }
        assert!(!breaker.is_untroubled());
        assert_eq!(call(&mut breaker, Works, 0), Ok(None));
        assert!(breaker.is_untroubled());
    }

    #[test]
    fn an_open_one_refuses_until_its_time_is_over_and_then_lets_one_call_try() {
        let mut breaker = opened_at(50);
        assert_eq!(breaker.admit(50), Err(100));
        assert_eq!(breaker.admit(149), Err(1));
        assert_eq!(breaker.admit(150), Ok(Admitted::AsTrial));
        assert_eq!(breaker.admit(150), Err(0));
        // One that began before it opened says nothing.
        assert_eq!(breaker.ended(Admitted::AsUsual, Works, 151), None);
        assert_eq!(breaker.admit(152), Err(0));
        let change = breaker.ended(Admitted::AsTrial, Works, 160);
        assert_eq!(change, Some(Change::Closed));
        assert_eq!(breaker.admit(160), Ok(Admitted::AsUsual));
    }

    #[test]
    fn a_trial_that_fails_opens_it_again_and_one_that_was_cancelled_lets_the_next_try() {
        let mut breaker = opened_at(0);
        let again = Ok(Some(Change::Reopened));
        assert_eq!(call(&mut breaker, Fails, 100), again);
        assert_eq!(breaker.admit(199), Err(1));
        assert_eq!(call(&mut breaker, Unknown, 200), Ok(None));
        assert_eq!(breaker.admit(200), Ok(Admitted::AsTrial));
    }

    #[test]
    fn without_a_limit_it_stays_closed() {
        let mut breaker = Breaker::new(BreakerLimits {
            failures_max: 0,
            ..LIMITS
        });
        for _ in 0..1000 {
            assert_eq!(call(&mut breaker, Fails, 0), Ok(None));
        }
    }
}
