//! How much one turn of a shard may do before somebody else gets the core.
//!
//! Bounded work is what keeps one busy connection from delaying all others. The numbers live in
//! [`Budget`]; a [`Countdown`] spends one of them. Nothing here knows what is being counted.

/// What one turn may spend; the tuning profile fills it in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Completions taken from the ring in one turn, at least 1.
    pub completions_per_turn: u32,
    /// Bytes read from one connection in one turn before the others are served, at least 1.
    pub bytes_per_connection: u32,
    /// Entries of the timing wheel visited in one turn, at least 1.
    pub expiries_per_turn: u32,
    /// Messages taken from the lanes in one turn, at least 1.
    pub messages_per_turn: u32,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget {
            completions_per_turn: 1024,
            bytes_per_connection: 64 * 1024,
            expiries_per_turn: 1024,
            messages_per_turn: 256,
        }
    }
}

/// Counts one allowance down to zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Countdown {
    left: u32,
}

impl Countdown {
    /// Starts with `allowance` units, bytes or completions as the caller counts them.
    pub fn new(allowance: u32) -> Countdown {
        Countdown { left: allowance }
    }

    /// Spends `units` and says whether anything is left.
    ///
    /// The last piece of work may cost more than what is left: it is done, and nothing after it.
    pub fn spend(&mut self, units: usize) -> bool {
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        self.left = self.left.saturating_sub(units);
        self.left > 0
    }

    /// The units left.
    pub fn left(&self) -> u32 {
        self.left
    }

    /// Whether the turn must end.
    pub fn is_spent(&self) -> bool {
        self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::Countdown;

    fn check(allowance: u32, spends: &[usize], left: u32) {
        let mut countdown = Countdown::new(allowance);
        for &units in spends {
            let goes_on = countdown.spend(units);
            assert_eq!(goes_on, !countdown.is_spent());
        }
        assert_eq!(countdown.left(), left);
    }

    #[test]
    fn work_ends_when_the_allowance_is_spent() {
        check(3, &[1, 1], 1);
        check(3, &[1, 1, 1], 0);
        check(3, &[2, 2], 0);
        check(3, &[usize::MAX], 0);
        check(0, &[], 0);
    }
}
