//! Finds shards that stall: the same numbers of their activity for too long.

use std::time::Duration;

use crate::handler::activity::{ActivitySample, PollNumber};
use crate::shard::run::PARK_MAX;

/// Looks at a shard within the time after which it counts as stalled.
const LOOKS: u32 = 4;
/// The longest time between two looks: a stall is over at most so long before that is logged.
const LOOK_INTERVAL_MAX: Duration = Duration::from_millis(250);

/// How a shard is seen.
#[derive(Debug)]
pub(super) struct StallDetector {
    limit: Duration,
    seen: ActivitySample,
    /// How long the shard has made no turn.
    without_turn: Duration,
    /// How long it has been in the poll that was seen.
    in_poll: Duration,
    is_stalled: bool,
}

/// The result of a look.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// The shard has been stuck for at least this time, in this poll of a handler or elsewhere.
    Stalled(Duration, Option<PollNumber>),
    /// A stall that was found is over, after at least this time.
    Over(Duration),
}

/// How often to look at shards.
pub(super) fn look_interval(limit: Duration) -> Duration {
    LOOK_INTERVAL_MAX.min(limit / LOOKS)
}

impl StallDetector {
    /// A shard may be stuck for `limit`.
    pub(super) fn new(limit: Duration) -> StallDetector {
        StallDetector {
            limit,
            seen: ActivitySample::default(),
            without_turn: Duration::ZERO,
            in_poll: Duration::ZERO,
            is_stalled: false,
        }
    }

    /// Compares the work of the shard with that at the last look, `elapsed` ago.
    pub(super) fn look(&mut self, now: ActivitySample, elapsed: Duration) -> Option<Finding> {
        // A process that was stopped, or a suspended machine, stops the looks as well.
        let elapsed = elapsed.min(2 * look_interval(self.limit));
        let stuck_before = self.in_poll.max(self.without_turn);
        let before = std::mem::replace(&mut self.seen, now);
        let is_same_poll = now.poll.is_some() && now.poll == before.poll;
        self.in_poll = match is_same_poll {
            true => self.in_poll + elapsed,
            false => Duration::ZERO,
        };
        self.without_turn = match now.turns == before.turns {
            true => self.without_turn + elapsed,
            false => Duration::ZERO,
        };
        // A shard without work sleeps for that long.
        let is_stuck = self.in_poll >= self.limit || self.without_turn >= self.limit + PARK_MAX;
        match (is_stuck, std::mem::replace(&mut self.is_stalled, is_stuck)) {
            (true, false) => Some(Finding::Stalled(
                self.in_poll.max(self.without_turn),
                now.poll.filter(|_| is_same_poll),
            )),
            (false, true) => Some(Finding::Over(stuck_before)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::activity::Activity;

    const LIMIT: Duration = Duration::from_secs(1);
    const LOOK: Duration = Duration::from_millis(250);

    #[test]
    fn a_handler_that_blocks_is_found_once_and_its_end_too() {
        let activity = Activity::default();
        let number = activity.number_of("slow");
        let mut detector = StallDetector::new(LIMIT);
        activity.begin_turn(1);
        assert_eq!(detector.look(activity.sample(), LOOK), None);
        let inside = activity.enter(number);
        for look in 0..8 {
            let found = detector.look(activity.sample(), LOOK);
            let Some(Finding::Stalled(time, Some(poll))) = found else {
                assert!(found.is_none() && look != 4, "{look}: {found:?}");
                continue;
            };
            assert_eq!((look, &*activity.name_of(poll)), (4, "slow"));
            assert!(time >= LIMIT);
        }
        drop(inside);
        activity.begin_turn(2);
        let over = detector.look(activity.sample(), LOOK);
        assert!(matches!(over, Some(Finding::Over(time)) if time >= 7 * LOOK));
        assert_eq!(detector.look(activity.sample(), LOOK), None);
    }

    #[test]
    fn a_shard_that_sleeps_or_polls_other_handlers_does_not_stall() {
        let activity = Activity::default();
        let number = activity.number_of("quick");
        let mut detector = StallDetector::new(LIMIT);
        for turn in 1..20 {
            activity.begin_turn(turn);
            for _ in 0..PARK_MAX.as_millis() / LOOK.as_millis() {
                let _inside = activity.enter(number);
                assert_eq!(detector.look(activity.sample(), LOOK), None);
            }
        }
    }

    #[test]
    fn a_shard_that_makes_no_turn_outside_of_handlers_stalls() {
        let mut detector = StallDetector::new(LIMIT);
        let looks = (0..20).filter_map(|_| detector.look(ActivitySample::default(), LOOK));
        let found: Vec<_> = looks.collect();
        assert_eq!(found, [Finding::Stalled(LIMIT + PARK_MAX, None)]);
    }

    #[test]
    fn a_process_that_was_stopped_has_no_stall() {
        let mut detector = StallDetector::new(LIMIT);
        let hours = Duration::from_secs(3 * 3600);
        assert_eq!(detector.look(ActivitySample::default(), hours), None);
    }
}
