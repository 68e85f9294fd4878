//! Warnings that a peer can cause: one in each interval is logged, the others are counted.

use std::cell::Cell;

/// Lets one of many like events through in an interval; a shard has one for each warning.
#[derive(Debug)]
pub(crate) struct Throttle {
    interval_ms: u64,
    /// When the next one is let through, in milliseconds since the shard started.
    next_at_ms: Cell<u64>,
    held_back: Cell<u64>,
}

impl Throttle {
    /// One event in `interval_ms` milliseconds, the first at once.
    pub(crate) fn new(interval_ms: u64) -> Throttle {
        Throttle {
            interval_ms,
            next_at_ms: Cell::new(0),
            held_back: Cell::new(0),
        }
    }

    /// Whether the event at `now_ms` is let through, and then the number suppressed since the last
    /// one.
    pub(crate) fn admit(&self, now_ms: u64) -> Option<u64> {
        if now_ms < self.next_at_ms.get() {
            self.held_back.set(self.held_back.get() + 1);
            return None;
        }
        self.next_at_ms.set(now_ms + self.interval_ms);
        Some(self.held_back.take())
    }
}

/// A state of a shard that comes and goes, such as overload: its beginning and its end are logged
/// once, however often it comes and goes in between. The end is that of a calm time.
#[derive(Debug)]
pub(crate) struct Episode {
    /// Milliseconds without the state after which the episode has ended.
    calm_ms: u64,
    /// How often it came in this episode; 0 outside of one.
    times: u64,
    /// Since when it is gone, in milliseconds since the shard started.
    gone_ms: Option<u64>,
}

impl Episode {
    /// None has begun; one ends after `calm_ms`.
    pub(crate) fn new(calm_ms: u64) -> Episode {
        Episode {
            calm_ms,
            times: 0,
            gone_ms: None,
        }
    }

    /// The state came. Returns whether that begins an episode.
    pub(crate) fn begin(&mut self) -> bool {
        self.times += 1;
        self.gone_ms = None;
        self.times == 1
    }

    /// The state went at `now_ms`.
    pub(crate) fn pause(&mut self, now_ms: u64) {
        self.gone_ms = Some(now_ms);
    }

    /// Ends the episode if the state has been gone for long enough; returns how often it came.
    pub(crate) fn end(&mut self, now_ms: u64) -> Option<u64> {
        let gone_ms = self.gone_ms?;
        if now_ms - gone_ms < self.calm_ms {
            return None;
        }
        self.gone_ms = None;
        Some(std::mem::take(&mut self.times))
    }
}

#[cfg(test)]
mod tests {
    use super::{Episode, Throttle};

    #[test]
    fn a_state_that_comes_and_goes_has_one_beginning_and_one_end() {
        let mut episode = Episode::new(1000);
        assert_eq!(episode.end(0), None);
        for now_ms in [0, 900, 1500] {
            assert_eq!(episode.begin(), now_ms == 0);
            assert_eq!(episode.end(now_ms + 5000), None, "it lasts");
            episode.pause(now_ms + 100);
            assert_eq!(episode.end(now_ms + 1099), None, "it may come again");
        }
        assert_eq!(episode.end(2600), Some(3));
        assert_eq!(episode.end(9000), None);
        assert!(episode.begin());
    }

    #[test]
    fn one_event_in_an_interval_is_let_through_and_says_how_many_were_not() {
        let throttle = Throttle::new(1000);
        for (now_ms, expected) in [
            (0, Some(0)),
            (0, None),
            (999, None),
            (1000, Some(2)),
            (1500, None),
            (5000, Some(1)),
            (6000, Some(0)),
        ] {
            assert_eq!(throttle.admit(now_ms), expected, "{now_ms}");
        }
    }
}
