//! A circuit breaker: whether calls of a tool or of an upstream run, or are refused because it
//! keeps failing.
//!
//! ```text
//! Closed --too many failures--> Open --after its time, with the next call--> Trying
//!   ^                            ^                                             |
//!   +----------------------------|----------- enough trials in a row succeed --+
//!                                +----------- a trial fails -------------------+
//! ```
//!
//! While it tries, one call runs and the others are refused. Calls that began before it opened
//! decide nothing when they end.

/// Milliseconds in which failures and calls are compared.
const SHARE_MS: u64 = 10_000;
/// Milliseconds after a call that succeeded in which a failure elsewhere opens no breaker here.
const WORKED_MS: u64 = 1000;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BreakerLimits {
    /// Failures in a row that open it; 0 keeps it closed.
    pub(crate) failures_max: u32,
    /// It opens, too, when half of so many calls in [`SHARE_MS`] fail; 0 does not compare them.
    pub(crate) share_calls_min: u32,
    /// Trials in a row that must succeed until it closes.
    pub(crate) trials_min: u32,
    /// Milliseconds until it lets a call through again.
    pub(crate) open_ms: u64,
    /// The most of them: they double with each trial that fails.
    pub(crate) open_ms_max: u64,
}

/// The breaker of one tool, or of one upstream, on one shard.
#[derive(Debug)]
pub(crate) struct Breaker {
    limits: BreakerLimits,
    state: State,
    next_open_ms: u64,
    window: Window,
    /// When a call succeeded last while it was closed.
    worked_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until_ms: u64, successes: u32 },
    Trying { successes: u32 },
}

/// Calls and failures of the present [`SHARE_MS`].
#[derive(Debug, Default)]
struct Window {
    until_ms: u64,
    calls: u32,
    failures: u32,
}

/// The meaning of the end of a call for its tool or upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallSign {
    /// It answered.
    Works,
    /// It failed, through no fault of the caller.
    Fails,
    /// Nothing: the client cancelled the call.
    Unknown,
}

/// A call that may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// With others.
    Usual,
    /// Alone, to see whether it works again.
    Trial,
    /// Besides them: it is needed, so it is not refused.
    Probe,
}

/// A change of a breaker that an operator hears of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Calls are refused from now on.
    Opened,
    /// A trial failed: calls are refused again.
    Reopened,
    /// Calls run again.
    Closed,
}

impl BreakerLimits {
    /// Only failures in a row count, and one trial decides.
    pub(crate) const fn in_a_row(failures_max: u32, open_ms: u64) -> BreakerLimits {
        BreakerLimits {
            failures_max,
            share_calls_min: 0,
            trials_min: 1,
            open_ms,
            open_ms_max: open_ms,
        }
    }
}

impl Breaker {
    pub(crate) fn new(limits: BreakerLimits) -> Breaker {
        Breaker {
            limits,
            state: State::Closed { failures: 0 },
            next_open_ms: limits.open_ms,
            window: Window::default(),
            worked_ms: None,
        }
    }

    /// Changes the limits. Calls that are refused stay so until the time of before is over.
    pub(crate) fn set_limits(&mut self, limits: BreakerLimits) {
        self.limits = limits;
        if limits.failures_max == 0 {
            *self = Breaker::new(limits);
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
            State::Closed { .. } => Ok(Admitted::Usual),
            State::Open { until_ms, .. } if now_ms < until_ms => Err(until_ms - now_ms),
            State::Open { successes, .. } => {
                self.state = State::Trying { successes };
                Ok(Admitted::Trial)
            }
            State::Trying { .. } => Err(0),
        }
    }

    /// How a call runs at `now_ms` that is not refused.
    pub(crate) fn admit_probe(&mut self, now_ms: u64) -> Admitted {
        self.admit(now_ms).unwrap_or(Admitted::Probe)
    }

    /// Takes in the end of a call at `now_ms`.
    pub(crate) fn ended(
        &mut self,
        admitted: Admitted,
        sign: CallSign,
        now_ms: u64,
    ) -> Option<Change> {
        let BreakerLimits {
            failures_max,
            trials_min,
            ..
        } = self.limits;
        match (self.state, admitted, sign) {
            (State::Closed { .. }, _, CallSign::Works) => {
                self.state = State::Closed { failures: 0 };
                self.worked_ms = Some(now_ms);
                self.is_share_reached(false, now_ms);
                None
            }
            (State::Closed { failures }, _, CallSign::Fails) if failures_max > 0 => {
                let failures = failures + 1;
                let is_reached = self.is_share_reached(true, now_ms);
                if failures < failures_max && !is_reached {
                    self.state = State::Closed { failures };
                    return None;
                }
                self.open(now_ms);
                Some(Change::Opened)
            }
            (State::Trying { successes }, Admitted::Trial, CallSign::Works)
            | (State::Open { successes, .. }, Admitted::Probe, CallSign::Works) => {
                if successes + 1 < trials_min {
                    self.await_trial(now_ms, successes + 1);
                    return None;
                }
                *self = Breaker::new(self.limits);
                self.worked_ms = Some(now_ms);
                Some(Change::Closed)
            }
            (State::Trying { .. }, Admitted::Trial, CallSign::Fails) => {
                self.open(now_ms);
                Some(Change::Reopened)
            }
            (State::Trying { successes }, Admitted::Trial, CallSign::Unknown) => {
                self.await_trial(now_ms, successes);
                None
            }
            _ => None,
        }
    }

    /// Another shard has found at `now_ms` that calls fail, and refuses them for `refuses_ms`. They
    /// are refused here, too, unless one has succeeded here lately: the fault may be on the way of
    /// the other shard.
    pub(crate) fn heed_failure(&mut self, refuses_ms: u64, now_ms: u64) {
        let until_ms = now_ms + refuses_ms;
        match &mut self.state {
            State::Closed { .. } => {
                let worked = self.worked_ms.is_some_and(|it| now_ms < it + WORKED_MS);
                if self.limits.failures_max == 0 || worked {
                    return;
                }
                self.next_open_ms = (2 * refuses_ms).min(self.limits.open_ms_max);
                self.await_trial(until_ms, 0);
            }
            State::Open { until_ms: own, .. } => *own = until_ms.max(*own),
            // The trial decides.
            State::Trying { .. } => {}
        }
    }

    /// Another shard has found at `now_ms` that calls run again: the next one here is a trial.
    pub(crate) fn heed_success(&mut self, now_ms: u64) {
        if let State::Open { successes, .. } = self.state {
            self.await_trial(now_ms, successes);
        }
    }

    /// Its state in a word.
    pub(crate) fn word(&self) -> &'static str {
        match self.state {
            State::Closed { .. } => "closed",
            State::Open { .. } => "open",
            State::Trying { .. } => "trying",
        }
    }

    /// Milliseconds until a call may try; 0 if one may, or does.
    pub(crate) fn left_ms(&self, now_ms: u64) -> u64 {
        match self.state {
            State::Open { until_ms, .. } => until_ms.saturating_sub(now_ms),
            State::Closed { .. } | State::Trying { .. } => 0,
        }
    }

    /// Milliseconds for which it refuses calls, at least 1 while a trial runs; 0 if it does not.
    pub(crate) fn refuses_ms(&self, now_ms: u64) -> u64 {
        match self.state {
            State::Trying { .. } => 1,
            State::Open { .. } | State::Closed { .. } => self.left_ms(now_ms),
        }
    }

    fn open(&mut self, now_ms: u64) {
        let until_ms = now_ms + self.next_open_ms;
        self.next_open_ms = (2 * self.next_open_ms).min(self.limits.open_ms_max);
        self.state = State::Open {
            until_ms,
            successes: 0,
        };
    }

    /// The next call is another trial.
    fn await_trial(&mut self, until_ms: u64, successes: u32) {
        self.state = State::Open {
            until_ms,
            successes,
        };
    }

    /// Counts the end of a call. Returns whether half of the calls have failed, and these are
    /// enough to compare.
    fn is_share_reached(&mut self, has_failed: bool, now_ms: u64) -> bool {
        let calls_min = self.limits.share_calls_min;
        if calls_min == 0 {
            return false;
        }
        if now_ms >= self.window.until_ms {
            self.window = Window {
                until_ms: now_ms + SHARE_MS,
                ..Window::default()
            };
        }
        self.window.calls += 1;
        self.window.failures += u32::from(has_failed);
        self.window.calls >= calls_min && 2 * self.window.failures >= self.window.calls
    }
}

#[cfg(test)]
mod tests {
    use super::CallSign::{Fails, Unknown, Works};
    use super::{Admitted, Breaker, BreakerLimits, CallSign, Change, SHARE_MS, WORKED_MS};

    const LIMITS: BreakerLimits = BreakerLimits::in_a_row(3, 100);

    /// A call that ends at once.
    fn call(breaker: &mut Breaker, sign: CallSign, now_ms: u64) -> Result<Option<Change>, u64> {
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
        assert_eq!(breaker.admit(150), Ok(Admitted::Trial));
        assert_eq!(breaker.admit(150), Err(0));
        // One that began before it opened says nothing.
        assert_eq!(breaker.ended(Admitted::Usual, Works, 151), None);
        assert_eq!(breaker.admit(152), Err(0));
        let change = breaker.ended(Admitted::Trial, Works, 160);
        assert_eq!(change, Some(Change::Closed));
        assert_eq!(breaker.admit(160), Ok(Admitted::Usual));
    }

    #[test]
    fn a_trial_that_fails_opens_it_again_and_one_that_was_cancelled_lets_the_next_try() {
        let mut breaker = opened_at(0);
        let again = Ok(Some(Change::Reopened));
        assert_eq!(call(&mut breaker, Fails, 100), again);
        assert_eq!(breaker.admit(199), Err(1));
        assert_eq!(call(&mut breaker, Unknown, 200), Ok(None));
        assert_eq!(breaker.admit(200), Ok(Admitted::Trial));
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

    #[test]
    fn failed_trials_open_it_ever_longer_and_several_that_succeed_close_it() {
        let mut breaker = Breaker::new(BreakerLimits {
            trials_min: 2,
            open_ms_max: 300,
            ..BreakerLimits::in_a_row(1, 100)
        });
        assert_eq!(call(&mut breaker, Fails, 0), Ok(Some(Change::Opened)));
        let mut now_ms = 0;
        for open_ms in [100, 200, 300, 300] {
            assert_eq!(breaker.admit(now_ms), Err(open_ms));
            now_ms += open_ms;
            let again = Ok(Some(Change::Reopened));
            assert_eq!(call(&mut breaker, Fails, now_ms), again);
        }
        now_ms += 300;
        assert_eq!(call(&mut breaker, Works, now_ms), Ok(None));
        assert_eq!(call(&mut breaker, Unknown, now_ms), Ok(None));
        let closed = Ok(Some(Change::Closed));
        assert_eq!(call(&mut breaker, Works, now_ms), closed);
        assert_eq!(call(&mut breaker, Fails, now_ms), Ok(Some(Change::Opened)));
        assert_eq!(breaker.admit(now_ms), Err(100), "the first time again");
    }

    #[test]
    fn a_probe_is_not_refused_and_makes_the_next_call_a_trial() {
        let mut breaker = opened_at(0);
        assert_eq!(breaker.admit_probe(1), Admitted::Probe);
        assert_eq!(breaker.ended(Admitted::Probe, Fails, 2), None);
        assert_eq!(breaker.admit(99), Err(1), "a failure changes nothing");
        let limits = BreakerLimits {
            trials_min: 2,
            ..LIMITS
        };
        let mut breaker = Breaker::new(limits);
        for _ in 0..3 {
            assert!(call(&mut breaker, Fails, 0).is_ok());
        }
        assert_eq!(breaker.ended(Admitted::Probe, Works, 2), None);
        assert_eq!(breaker.admit_probe(2), Admitted::Trial);
        let closed = breaker.ended(Admitted::Trial, Works, 3);
        assert_eq!(closed, Some(Change::Closed));
        assert_eq!(breaker.admit_probe(3), Admitted::Usual);
    }

    #[test]
    fn a_failure_elsewhere_opens_it_unless_it_has_worked_lately() {
        let mut breaker = Breaker::new(LIMITS);
        assert_eq!(call(&mut breaker, Works, 0), Ok(None));
        breaker.heed_failure(100, WORKED_MS - 1);
        assert_eq!(call(&mut breaker, Fails, WORKED_MS - 1), Ok(None));
        breaker.heed_failure(100, WORKED_MS);
        assert_eq!(breaker.admit(WORKED_MS), Err(100));
        // A trial of another shard has failed.
        breaker.heed_failure(150, WORKED_MS + 50);
        breaker.heed_failure(10, WORKED_MS + 50);
        assert_eq!(breaker.admit(WORKED_MS + 199), Err(1));
        let changed = call(&mut breaker, Fails, WORKED_MS + 200);
        assert_eq!(changed, Ok(Some(Change::Reopened)));
    }

    #[test]
    fn a_success_elsewhere_allows_a_trial_and_no_more() {
        let mut breaker = opened_at(0);
        breaker.heed_success(10);
        assert_eq!(breaker.admit(10), Ok(Admitted::Trial));
        breaker.heed_failure(100, 10);
        assert_eq!(breaker.admit(10), Err(0), "the trial decides");
        let closed = breaker.ended(Admitted::Trial, Works, 20);
        assert_eq!(closed, Some(Change::Closed));
        breaker.heed_success(30);
        breaker.heed_failure(100, 30);
        assert!(breaker.is_untroubled());
    }

    #[test]
    fn a_failure_elsewhere_does_not_open_one_without_a_limit() {
        let mut breaker = Breaker::new(BreakerLimits {
            failures_max: 0,
            ..LIMITS
        });
        breaker.heed_failure(100, 0);
        assert!(breaker.is_untroubled());
    }

    #[test]
    fn it_opens_when_half_of_enough_calls_fail() {
        let limits = BreakerLimits {
            share_calls_min: 6,
            ..BreakerLimits::in_a_row(5, 100)
        };
        let mut breaker = Breaker::new(limits);
        for sign in [Fails, Works, Fails, Works, Works] {
            assert_eq!(call(&mut breaker, sign, 0), Ok(None));
        }
        // A new window has too few calls.
        for sign in [Fails, Fails, Works, Works, Fails] {
            assert_eq!(call(&mut breaker, sign, SHARE_MS), Ok(None));
        }
        let opened = Ok(Some(Change::Opened));
        assert_eq!(call(&mut breaker, Fails, SHARE_MS), opened);
    }
}
