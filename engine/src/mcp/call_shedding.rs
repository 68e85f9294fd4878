//! New calls that are refused because their shard is overloaded, before anything is done for them.
//!
//! The shard decides how many of them; here they are counted off, evenly among those that are
//! served. A call that runs, and every message about it, is not touched.

use corelane_protocol::binding::refusal::Reason;

/// Why nothing is begun that takes memory.
pub(super) const OUT_OF_MEMORY: Reason<'static> =
    Reason::Overloaded("the shard holds as much memory as it may (overload.memory_bytes_max)");

/// The fewest new calls that are served are one of so many.
pub(crate) const SERVED_ONE_OF_MAX: u32 = 64;

/// The new calls that are served.
#[derive(Debug)]
pub(super) struct CallShedding {
    /// One of so many is served: 1 for all of them.
    served_one_of: u32,
    /// The shard holds too much memory: none is served.
    is_out_of_memory: bool,
    /// Calls since the last one that was served for this.
    refused: u32,
    /// A call was served in this turn.
    has_served: bool,
}

impl Default for CallShedding {
    fn default() -> CallShedding {
        CallShedding {
            served_one_of: 1,
            is_out_of_memory: false,
            refused: 0,
            has_served: false,
        }
    }
}

impl CallShedding {
    /// Begins a turn. Its first call is served. So a client with one call at a time is never
    /// refused by itself, however slow its calls are, and the shard notices when it has time again.
    #[inline]
    pub(super) fn begin_turn(&mut self) {
        self.has_served = false;
    }

    /// Serves one of so many new calls from here on.
    pub(super) fn serve_one_of(&mut self, calls: u32) {
        debug_assert!((1..=SERVED_ONE_OF_MAX).contains(&calls), "{calls}");
        self.served_one_of = calls;
    }

    /// Serves no new call while the shard holds too much memory.
    pub(super) fn set_out_of_memory(&mut self, is_out: bool) {
        self.is_out_of_memory = is_out;
    }

    /// Whether new calls are refused for the memory of the shard.
    pub(super) fn is_out_of_memory(&self) -> bool {
        self.is_out_of_memory
    }

    /// Whether the next new call is refused.
    #[inline]
    pub(super) fn refuses(&mut self) -> bool {
        (self.served_one_of > 1 || self.is_out_of_memory) && self.refuses_this()
    }

    #[cold]
    fn refuses_this(&mut self) -> bool {
        if self.is_out_of_memory {
            return true;
        }
        if !std::mem::replace(&mut self.has_served, true) {
            return false;
        }
        self.refused += 1;
        let refuses = self.refused < self.served_one_of;
        if !refuses {
            self.refused = 0;
        }
        refuses
    }
}

#[cfg(test)]
mod tests {
    use super::{CallShedding, SERVED_ONE_OF_MAX};

    /// Which of the next calls of one turn are refused.
    fn refused(shedding: &mut CallShedding, calls: usize) -> Vec<bool> {
        shedding.begin_turn();
        (0..calls).map(|_| shedding.refuses()).collect()
    }

    #[test]
    fn calls_are_refused_evenly_and_never_the_first_of_a_turn() {
        let mut shedding = CallShedding::default();
        assert_eq!(refused(&mut shedding, 20), [false; 20]);
        for one_of in [2, 8, SERVED_ONE_OF_MAX] {
            shedding.serve_one_of(one_of);
            let calls = refused(&mut shedding, 1 + 10 * one_of as usize);
            assert!(!calls[0]);
            for calls in calls[1..].chunks(one_of as usize) {
                let served = calls.iter().filter(|is_refused| !**is_refused);
                assert_eq!(served.count(), 1, "{calls:?}");
            }
        }
        for _ in 0..10 {
            assert_eq!(refused(&mut shedding, 1), [false]);
        }
        shedding.serve_one_of(1);
        assert_eq!(refused(&mut shedding, 20), [false; 20]);
    }
}
