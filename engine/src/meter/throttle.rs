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

#[cfg(test)]
mod tests {
    use super::Throttle;

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
