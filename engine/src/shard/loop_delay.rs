//! How long a shard takes for its work, and how many new calls it serves because of that.
//!
//! The delay is the time from the moment when completions are ready until the last of them has been
//! handled and handlers have run: one turn, or several while more is ready than one turn reaps. No
//! request waits longer in the ring than that. Simple version: refuse every new call while the
//! delay is too long. Deviation: then a shard alternates between too many calls and none. So half
//! as many are served as before while the delay is too long, and twice as many while it is shorter
//! than half of that: between the two nothing changes.

use crate::mcp::SERVED_ONE_OF_MAX;
use crate::profile::Overload;

/// Delays in a row that must be too long: a process that was stopped has one.
const LATE_MIN: u32 = 3;

/// Measures the delay of a loop, and derives how many new calls are served.
#[derive(Debug)]
pub(super) struct LoopDelay {
    /// The longest that the delay should be; 0 if nothing is refused.
    threshold_us: u64,
    window_us: u64,
    /// When the completions became ready that are being measured.
    marked_us: u64,
    /// Those of them that were not reaped.
    ahead: usize,
    window: Window,
    /// One of so many new calls is served.
    pub(super) served_one_of: u32,
}

/// The delays since the last adjustment.
#[derive(Debug, Default)]
struct Window {
    began_us: u64,
    /// Time in delays above the threshold, and how many there were.
    late_us: u64,
    late: u32,
    /// Time in delays above half of it.
    long_us: u64,
}

impl LoopDelay {
    pub(super) fn new(overload: &Overload) -> LoopDelay {
        LoopDelay {
            threshold_us: overload.loop_delay_ms * 1000,
            window_us: overload.loop_delay_window_ms * 1000,
            marked_us: 0,
            ahead: 0,
            window: Window::default(),
            served_one_of: 1,
        }
    }

    /// Changes the limits. Returns whether all new calls are served from here on, as nothing is
    /// refused any more.
    pub(super) fn set_limits(&mut self, overload: &Overload) -> bool {
        self.threshold_us = overload.loop_delay_ms * 1000;
        self.window_us = overload.loop_delay_window_ms * 1000;
        let ends = self.threshold_us == 0 && self.served_one_of > 1;
        if ends {
            self.served_one_of = 1;
        }
        ends
    }

    /// Notes a turn that begins with `ready` completions and reaps `reaped` of them.
    #[inline]
    pub(super) fn begin_turn(&mut self, now_us: u64, ready: usize, reaped: usize) {
        if self.ahead == 0 {
            self.marked_us = now_us;
            self.ahead = ready;
        }
        self.ahead = self.ahead.saturating_sub(reaped);
    }

    /// Whether the end of this turn is the end of a delay that counts.
    #[inline]
    pub(super) fn is_measured(&self) -> bool {
        self.ahead == 0 && self.threshold_us > 0
    }

    /// The delay that ends at `now_us`; nothing if completions of before are still to be reaped.
    pub(super) fn delay_us(&self, now_us: u64) -> Option<u64> {
        (self.ahead == 0).then(|| now_us.saturating_sub(self.marked_us))
    }

    /// Notes the end of a turn. If it changes how many new calls are served, returns of how many
    /// one is served from here on.
    #[inline]
    pub(super) fn end_turn(&mut self, now_us: u64) -> Option<u32> {
        if !self.is_measured() {
            return None;
        }
        let delay_us = now_us - self.marked_us;
        let window = &mut self.window;
        if delay_us > self.threshold_us / 2 {
            window.long_us += delay_us;
            if delay_us > self.threshold_us {
                window.late_us += delay_us;
                window.late += 1;
            }
        }
        (now_us - window.began_us >= self.window_us)
            .then(|| self.adjust(now_us))
            .flatten()
    }

    /// Ends the window. Most of its time decides: short turns that only send answers lie between
    /// long ones.
    #[cold]
    fn adjust(&mut self, now_us: u64) -> Option<u32> {
        let window = &mut self.window;
        let span_us = now_us - window.began_us;
        let is_late = 2 * window.late_us > span_us;
        if is_late && window.late < LATE_MIN {
            return None;
        }
        let is_long = 2 * window.long_us > span_us;
        let before = self.served_one_of;
        self.served_one_of = match (is_late, is_long) {
            (true, _) => SERVED_ONE_OF_MAX.min(before * 2),
            (false, true) => before,
            (false, false) => 1.max(before / 2),
        };
        self.window = Window {
            began_us: now_us,
            ..Window::default()
        };
        (self.served_one_of != before).then_some(self.served_one_of)
    }
}

#[cfg(test)]
mod tests {
    use super::LoopDelay;
    use crate::profile::Overload;

    const THRESHOLD_US: u64 = 100_000;

    /// A loop, with the time.
    struct TestLoop(LoopDelay, u64);

    impl TestLoop {
        fn new() -> TestLoop {
            let overload = Overload {
                loop_delay_ms: THRESHOLD_US / 1000,
                loop_delay_window_ms: 1000,
                ..Overload::default()
            };
            TestLoop(LoopDelay::new(&overload), 0)
        }

        /// A turn that takes this long, with all that is ready; one of so many calls is served.
        fn turn(&mut self, time_us: u64) -> u32 {
            self.0.begin_turn(self.1, 5, 5);
            self.1 += time_us;
            self.0.end_turn(self.1);
            self.0.served_one_of
        }

        /// Turns to the end of the window, each of which takes this long.
        fn turns_of(&mut self, time_us: u64) -> u32 {
            let began_us = self.0.window.began_us;
            while self.0.window.began_us == began_us {
                self.turn(time_us);
            }
            self.0.served_one_of
        }
    }

    #[test]
    fn fewer_calls_are_served_while_the_loop_is_late_and_more_when_it_is_quick() {
        let mut test = TestLoop::new();
        assert_eq!(test.turns_of(THRESHOLD_US), 1, "as long as it may take");
        let late = THRESHOLD_US + 1000;
        let expected = [2, 4, 8, 16, 32, 64, 64];
        assert_eq!([0; 7].map(|_| test.turns_of(late)), expected);
        assert_eq!(test.turns_of(THRESHOLD_US / 2 + 1000), 64);
        let quick = THRESHOLD_US / 2;
        let expected = [32, 16, 8, 4, 2, 1, 1];
        assert_eq!([0; 7].map(|_| test.turns_of(quick)), expected);
    }

    #[test]
    fn short_turns_between_long_ones_change_nothing() {
        let mut test = TestLoop::new();
        for _ in 0..11 {
            test.turn(2 * THRESHOLD_US);
            test.turn(10);
        }
        assert_eq!(test.0.served_one_of, 4);
    }

    #[test]
    fn a_process_that_was_stopped_refuses_nothing() {
        let mut test = TestLoop::new();
        test.turns_of(100);
        assert_eq!(test.turn(10_000_000), 1);
        assert_eq!(test.turns_of(100), 1);
        assert_eq!(test.turn(10_000_000), 1);
    }

    #[test]
    fn what_more_turns_than_one_take_is_one_delay() {
        let mut test = TestLoop::new();
        for _ in 0..20 {
            // Ten turns for the completions of the first; more come meanwhile.
            for turn in 0..10 {
                test.0.begin_turn(test.1, 100 - turn * 5, 10);
                test.1 += THRESHOLD_US / 9;
                test.0.end_turn(test.1);
            }
        }
        assert!(test.0.served_one_of > 1);
    }
}
