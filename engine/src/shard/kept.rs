//! Values that outlive the shard that uses them.
//!
//! A shard that died is followed by another one in its place, which continues with the same
//! listener and the same ends of the lanes: connections that wait in the backlog are accepted by
//! it, and messages of other shards are handled by it. So these values are lent to a shard, which
//! gives them back when it is dropped, also while a panic unwinds its thread.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where a value is while no shard has it. Clones are the same place.
pub(crate) struct Place<T>(Arc<Mutex<Option<T>>>);

/// A value that goes back to its place when it is dropped.
pub(crate) struct Kept<T> {
    /// There until the drop.
    value: Option<T>,
    place: Place<T>,
}

impl<T> Place<T> {
    /// A place with `value`.
    pub(crate) fn of(value: T) -> Place<T> {
        Place(Arc::new(Mutex::new(Some(value))))
    }

    /// Takes the value.
    ///
    /// # Panics
    /// If it was taken and has not been given back: a shard starts after the one before it ended.
    pub(crate) fn take(&self) -> Kept<T> {
        let value = self.lock().take();
        assert!(value.is_some(), "another shard has the value");
        let place = self.clone();
        Kept { value, place }
    }

    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Place<T> {
    fn clone(&self) -> Place<T> {
        Place(Arc::clone(&self.0))
    }
}

impl<T> Kept<T> {
    /// The value, which does not go back.
    pub(crate) fn into_inner(mut self) -> T {
        self.value.take().expect("it is there until the drop")
    }
}

impl<T> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("it is there until the drop")
    }
}

impl<T> DerefMut for Kept<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("it is there until the drop")
    }
}

impl<T> Drop for Kept<T> {
    fn drop(&mut self) {
        if let Some(value) = self.value.take() {
            *self.place.lock() = Some(value);
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Kept<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn a_value_comes_back_from_a_thread_that_panics_and_not_from_one_that_keeps_it() {
        let place = Place::of(1);
        let there = place.clone();
        let thread = std::thread::spawn(move || {
            let mut value = there.take();
            *value += 1;
            panic!("on purpose");
        });
        assert!(thread.join().is_err());
        assert_eq!(place.take().into_inner(), 2);
        assert!(place.lock().is_none());
    }
}
