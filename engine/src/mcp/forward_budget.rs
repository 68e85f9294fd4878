//! Bytes of requests on their way from this shard to others.
//!
//! A queue between two shards bounds the number of its messages, not what is in them. So each body
//! is counted from when it is copied until the home shard has handled it, whatever becomes of it in
//! between. The shard that sends it adds and the one that handles it takes off, which makes the
//! count the one thing here that two threads write.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What may be on its way at once.
#[derive(Debug)]
pub(super) struct ForwardBudget {
    bytes_max: usize,
    bytes: Arc<AtomicUsize>,
}

/// Too much is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a body of {body_bytes} bytes exceeds half of the {free} left of {bytes_max} for requests on \
     their way to other shards (calls.bytes_max)"
)]
pub(super) struct ForwardsFull {
    body_bytes: usize,
    free: usize,
    bytes_max: usize,
}

/// The body of a request on its way, as it arrived.
#[derive(Debug)]
pub(crate) struct ForwardedBody {
    body: Box<[u8]>,
    bytes: Arc<AtomicUsize>,
}

impl ForwardBudget {
    /// Nothing is on its way of at most `bytes_max` bytes.
    pub(super) fn new(bytes_max: usize) -> ForwardBudget {
        ForwardBudget {
            bytes_max,
            bytes: Arc::default(),
        }
    }

    /// Copies a body that goes on its way. It may have half of what is left, so that large ones do
    /// not keep small ones out.
    ///
    /// # Errors
    /// It is larger than that.
    pub(super) fn copy(&self, body: &[u8]) -> Result<ForwardedBody, ForwardsFull> {
        // Only this thread adds: what others take off meanwhile leaves more room, never less.
        let free = self
            .bytes_max
            .saturating_sub(self.bytes.load(Ordering::Relaxed));
        if body.len() > free / 2 {
            return Err(ForwardsFull {
                body_bytes: body.len(),
                free,
                bytes_max: self.bytes_max,
            });
        }
        self.bytes.fetch_add(body.len(), Ordering::Relaxed);
        Ok(ForwardedBody {
            body: body.into(),
            bytes: Arc::clone(&self.bytes),
        })
    }
}

impl Deref for ForwardedBody {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.body
    }
}

impl Drop for ForwardedBody {
    fn drop(&mut self) {
        self.bytes.fetch_sub(self.body.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{ForwardBudget, ForwardsFull};

    #[test]
    fn bodies_count_until_they_are_handled_by_whatever_thread() {
        let budget = ForwardBudget::new(1000);
        let first = budget.copy(&[1; 500]).expect("half of all");
        let second = budget.copy(&[2; 250]).expect("half of the rest");
        assert_eq!((&*first, &*second), (&[1; 500][..], &[2; 250][..]));
        let refused = ForwardsFull {
            body_bytes: 126,
            free: 250,
            bytes_max: 1000,
        };
        assert_eq!(budget.copy(&[0; 126]).err(), Some(refused));
        let third = budget.copy(&[0; 125]).expect("small ones pass");
        let there = std::thread::spawn(move || drop(first));
        there.join().expect("dropping does not panic");
        drop((second, third));
        assert!(budget.copy(&[0; 500]).is_ok());
        assert!(budget.copy(&[0; 500]).is_ok(), "a body that was dropped");
    }

    #[test]
    fn a_body_of_nothing_always_passes() {
        let budget = ForwardBudget::new(0);
        assert!(budget.copy(&[]).is_ok());
        assert!(budget.copy(&[0]).is_err());
    }
}
