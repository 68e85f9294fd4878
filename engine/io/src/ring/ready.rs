//! The completions that wait to be reaped.

use super::Ring;

impl Ring {
    /// Entries of the completion queue that were not reaped. Those of which nothing is reported are
    /// among them.
    pub fn ready(&mut self) -> usize {
        self.kernel.events().len()
    }

    /// Whether there is something to reap without entering the kernel.
    pub fn has_completions(&mut self) -> bool {
        !self.kernel.events().is_empty()
    }
}
