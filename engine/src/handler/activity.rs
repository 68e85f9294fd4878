//! The present work of a shard, as far as other threads can see it: its turns, and the handler
//! that it is in.
//!
//! The shard publishes a number at each turn and at each poll of a handler, with plain stores to a
//! line of the cache that no other thread writes. A supervisor that reads the same numbers for too
//! long knows that the shard stalls, and where. It deliberately lacks times: the reader has a
//! clock, and the shard needs none for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam::utils::CachePadded;

/// Bits of the number of a handler in `Published::handler`; the others count polls.
const NUMBER_BITS: u32 = 16;
const NUMBER_MASK: u64 = (1 << NUMBER_BITS) - 1;
/// The most names of handlers that are kept, for catalogs that change for ever. Later handlers
/// share the name that the number after the last one has: none.
const NAMES_MAX: usize = 4096;

/// The work of one shard.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    published: CachePadded<Published>,
    /// By number, from 1.
    names: Mutex<Vec<Box<str>>>,
    /// The shard is to die at its next turn.
    #[cfg(feature = "test-support")]
    is_doomed: std::sync::atomic::AtomicBool,
}

#[derive(Debug, Default)]
struct Published {
    turns: AtomicU64,
    /// The number of polls so far, and the number of the handler that is polled at present or 0.
    handler: AtomicU64,
}

/// The work of a shard at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ActivitySample {
    /// The number of its turns.
    pub(crate) turns: u64,
    /// The poll of a handler: two samples have the same one only during one poll.
    pub(crate) poll: Option<PollNumber>,
}

/// A poll of a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PollNumber(u64);

/// The time inside a handler; it ends with the drop.
pub(crate) struct InHandler<'a>(&'a Activity);

impl Activity {
    /// The shard begins its turn number `turns`.
    pub(crate) fn begin_turn(&self, turns: u64) {
        self.published.turns.store(turns, Ordering::Relaxed);
    }

    /// The number of the handlers called `name`.
    #[cold]
    pub(crate) fn number_of(&self, name: &str) -> u16 {
        let mut names = self.names();
        let known = names.iter().position(|other| **other == *name);
        let at = known.unwrap_or_else(|| {
            if names.len() < NAMES_MAX {
                names.push(name.into());
                return names.len() - 1;
            }
            NAMES_MAX
        });
        at as u16 + 1
    }

    /// The shard polls the handler with this number until the drop of the guard.
    pub(crate) fn enter(&self, number: u16) -> InHandler<'_> {
        // Only the shard stores.
        let before = self.published.handler.load(Ordering::Relaxed);
        let polls = (before & !NUMBER_MASK).wrapping_add(1 << NUMBER_BITS);
        let inside = polls | u64::from(number);
        self.published.handler.store(inside, Ordering::Relaxed);
        InHandler(self)
    }

    /// The work of the shard now. Any thread may call it.
    pub(crate) fn sample(&self) -> ActivitySample {
        let handler = self.published.handler.load(Ordering::Relaxed);
        ActivitySample {
            turns: self.published.turns.load(Ordering::Relaxed),
            poll: (handler & NUMBER_MASK != 0).then_some(PollNumber(handler)),
        }
    }

    /// The name in the log of the handler that is polled.
    pub(crate) fn name_of(&self, poll: PollNumber) -> Box<str> {
        let at = (poll.0 & NUMBER_MASK) as usize - 1;
        let name = self.names().get(at).cloned();
        name.unwrap_or_else(|| "a handler".into())
    }

    fn names(&self) -> MutexGuard<'_, Vec<Box<str>>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(feature = "test-support")]
impl Activity {
    /// Lets the shard die at its next turn.
    pub(crate) fn doom(&self) {
        self.is_doomed.store(true, Ordering::Relaxed);
    }

    /// Dies if that is requested.
    ///
    /// # Panics
    /// Then, and only then.
    pub(crate) fn die_if_doomed(&self) {
        let is_doomed =
            self.is_doomed.load(Ordering::Relaxed) && self.is_doomed.swap(false, Ordering::Relaxed);
        assert!(!is_doomed, "a test requests the death of the shard");
    }
}

impl Drop for InHandler<'_> {
    fn drop(&mut self) {
        let handler = &self.0.published.handler;
        let outside = handler.load(Ordering::Relaxed) & !NUMBER_MASK;
        handler.store(outside, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{Activity, NAMES_MAX};

    #[test]
    fn each_poll_has_a_number_and_the_name_of_its_handler() {
        let activity = Activity::default();
        let (add, echo) = (activity.number_of("add"), activity.number_of("echo"));
        assert_eq!(activity.number_of("add"), add);
        assert_eq!(activity.sample().poll, None);
        let poll_of = |number| {
            let _inside = activity.enter(number);
            activity.sample().poll.expect("inside")
        };
        let polls = [poll_of(add), poll_of(add), poll_of(echo)];
        assert_ne!(polls[0], polls[1]);
        let names = polls.map(|poll| activity.name_of(poll));
        assert_eq!(names.each_ref().map(|it| &**it), ["add", "add", "echo"]);
        assert_eq!(activity.sample().poll, None);
    }

    #[test]
    fn names_beyond_those_that_are_kept_have_none() {
        let activity = Activity::default();
        for at in 0..NAMES_MAX {
            activity.number_of(&format!("tool{at}"));
        }
        let number = activity.number_of("one more");
        assert_eq!(activity.number_of("another"), number);
        let _inside = activity.enter(number);
        let poll = activity.sample().poll.expect("inside");
        assert_eq!(&*activity.name_of(poll), "a handler");
    }
}
