//! A program whose processes keep ending before they answer anything: it is started rarely then.
//!
//! The clock is the caller's.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Ends without an answer that make a loop of crashes.
const ENDS_MAX: usize = 5;
/// The time in which they are.
const TIME: Duration = Duration::from_secs(60);
/// Between two starts in such a loop.
const TRIAL_INTERVAL: Duration = Duration::from_secs(60);

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Crashes {
    /// The last ends, of processes that had answered nothing.
    ends: VecDeque<Instant>,
    is_looping: bool,
    started: Option<Instant>,
    /// Whether a process has answered since the last end.
    has_answered: Arc<AtomicBool>,
}

impl Crashes {
    /// Set by shards when a process has answered something.
    pub(super) fn has_answered(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.has_answered)
    }

    /// Whether a process may be started now, which is then.
    pub(super) fn may_start(&mut self, now: Instant) -> bool {
        let is_early = self.started.is_some_and(|at| now < at + TRIAL_INTERVAL);
        if self.is_looping() && is_early {
            return false;
        }
        self.started = Some(now);
        true
    }

    /// A process has ended by itself. Returns whether a loop begins with that.
    pub(super) fn handle_end(&mut self, now: Instant) -> bool {
        if self.has_answered.swap(false, Ordering::Relaxed) {
            self.ends.clear();
            self.is_looping = false;
            return false;
        }
        self.ends.push_back(now);
        while self.ends.front().is_some_and(|at| *at + TIME < now) {
            self.ends.pop_front();
        }
        let begins = !self.is_looping && self.ends.len() >= ENDS_MAX;
        // Trials are far apart, so a loop goes on until a process answers.
        self.is_looping |= begins;
        self.ends.truncate(ENDS_MAX);
        begins
    }

    /// Whether it is in such a loop.
    pub(super) fn is_looping(&self) -> bool {
        self.is_looping && !self.has_answered.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::{Duration, Instant};

    use super::{Crashes, ENDS_MAX, TIME, TRIAL_INTERVAL};

    #[test]
    fn five_ends_in_a_minute_without_an_answer_make_a_loop_until_a_process_answers() {
        let (mut crashes, mut now) = (Crashes::default(), Instant::now());
        for number in 1..=ENDS_MAX {
            assert!(crashes.may_start(now) && !crashes.is_looping());
            now += Duration::from_secs(1);
            assert_eq!(crashes.handle_end(now), number == ENDS_MAX);
        }
        assert!(crashes.is_looping());
        assert!(!crashes.may_start(now));
        now += TRIAL_INTERVAL;
        assert!(crashes.may_start(now), "one trial");
        assert!(!crashes.may_start(now));
        assert!(!crashes.handle_end(now), "it goes on, and did not begin");
        assert!(crashes.is_looping());
        now += TRIAL_INTERVAL;
        assert!(crashes.may_start(now));
        crashes.has_answered().store(true, Ordering::Relaxed);
        assert!(!crashes.is_looping());
        assert!(crashes.may_start(now));
        assert!(!crashes.handle_end(now));
        assert!(!crashes.is_looping(), "it works, and ends now and then");
    }

    #[test]
    fn ends_that_are_far_apart_or_after_answers_make_no_loop() {
        let (mut crashes, mut now) = (Crashes::default(), Instant::now());
        for _ in 0..3 * ENDS_MAX {
            // Four of them are in each minute.
            now += TIME / 4 + Duration::from_millis(1);
            assert!(!crashes.handle_end(now));
        }
        for _ in 0..3 * ENDS_MAX {
            crashes.has_answered().store(true, Ordering::Relaxed);
            assert!(!crashes.handle_end(now));
        }
    }
}
