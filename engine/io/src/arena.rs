//! Memory that lives no longer than a turn, mostly for texts of refusals.
//!
//! Peers decide how many refusals there are, so these texts must not cost an allocation each. A
//! bump allocator hands out memory by moving a pointer and frees all of it at the end of the turn.
//! Invariant: between turns the arena holds at most its bound.

use std::fmt::{Arguments, Write as _};

use bumpalo::Bump;
use bumpalo::collections::String;

/// Bytes an arena keeps between turns.
pub const KEPT_BYTES_MAX: usize = 64 * 1024;

/// One shard's memory for a turn.
#[derive(Debug, Default)]
pub struct Arena {
    bump: Bump,
}

impl Arena {
    /// `text` as a string that lives until the arena is reset.
    pub fn format(&self, text: Arguments<'_>) -> &str {
        let mut formatted = String::new_in(&self.bump);
        // A `Display` that fails leaves the text that it wrote before.
        let _ = formatted.write_fmt(text);
        formatted.into_bump_str()
    }

    /// Frees everything that was handed out; called at the end of a turn.
    pub fn reset(&mut self) {
        if self.bump.allocated_bytes() > KEPT_BYTES_MAX {
            self.bump = Bump::new();
        } else {
            self.bump.reset();
        }
    }

    /// Bytes held from the system at present.
    pub fn held_bytes(&self) -> usize {
        self.bump.allocated_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_live_until_the_turn_ends_and_memory_stays_within_its_bound() {
        let mut arena = Arena::default();
        for turn in 0..100_usize {
            let texts: Vec<&str> = (0..turn)
                .map(|at| arena.format(format_args!("{turn}-{at}")))
                .collect();
            for (at, text) in texts.iter().enumerate() {
                assert_eq!(*text, format!("{turn}-{at}"));
            }
            arena.reset();
            assert!(arena.held_bytes() <= KEPT_BYTES_MAX);
        }
        arena.format(format_args!("{}", "x".repeat(4 * KEPT_BYTES_MAX)));
        assert!(arena.held_bytes() > KEPT_BYTES_MAX);
        arena.reset();
        assert!(arena.held_bytes() <= KEPT_BYTES_MAX);
    }
}
