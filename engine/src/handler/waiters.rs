//! Futures that wait for the same condition: each has a place for its waker until it is dropped.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use slab::Slab;

/// The wakers of futures that wait for one condition. Bounded by those futures.
#[derive(Debug, Default)]
pub(super) struct Waiters(RefCell<Slab<Option<Waker>>>);

impl Waiters {
    /// Waits until `attempt` returns a value. It is tried at once, and after each
    /// [`Waiters::wake_all`].
    pub(super) async fn wait_for<T>(&self, mut attempt: impl FnMut() -> Option<T>) -> T {
        let mut place = None;
        poll_fn(|context| {
            if let Some(found) = attempt() {
                return Poll::Ready(found);
            }
            let place = place.get_or_insert_with(|| Place::new(self));
            place.keep(context.waker());
            Poll::Pending
        })
        .await
    }

    /// Wakes all futures that wait; returns whether there was one.
    pub(super) fn wake_all(&self) -> bool {
        // Taken first: a woken future may come back here.
        let mut places = self.0.borrow_mut();
        let wakers: Vec<Waker> = places.iter_mut().filter_map(|(_, it)| it.take()).collect();
        drop(places);
        let has_any = !wakers.is_empty();
        wakers.into_iter().for_each(Waker::wake);
        has_any
    }
}

/// The place of one future, free again when it is dropped.
struct Place<'a> {
    waiters: &'a Waiters,
    key: usize,
}

impl<'a> Place<'a> {
    fn new(waiters: &'a Waiters) -> Place<'a> {
        let key = waiters.0.borrow_mut().insert(None);
        Place { waiters, key }
    }

    fn keep(&self, waker: &Waker) {
        self.waiters.0.borrow_mut()[self.key] = Some(waker.clone());
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiters.0.borrow_mut().remove(self.key);
    }
}
