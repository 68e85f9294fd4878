//! The bytes of requests on their way from this shard to others.
//!
//! A queue between two shards bounds the number of its messages, not their bytes. So each body is
//! counted from its copy until the home shard has handled it, on every path in between. The sending
//! shard adds and the handling shard subtracts, which makes the count the one value here that two
//! threads write.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::large_message::LargeMessage;

/// The limit on bytes on their way at once.
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

/// A body that is to go on its way.
#[derive(Debug, Clone, Copy)]
pub(super) enum PostedBody<'a> {
    /// As it arrived.
    Text(&'a [u8]),
    /// That of a large message, which had so many bytes. It is moved, not copied.
    Large { bytes: usize },
}

/// The body of a request on its way.
#[derive(Debug)]
pub(crate) struct ForwardedBody {
    content: Content,
    counted_bytes: usize,
    bytes: Arc<AtomicUsize>,
}

#[derive(Debug)]
enum Content {
    Text(Box<[u8]>),
    /// Nothing until the message is put in, and after it was taken out.
    Large(Option<Box<LargeMessage>>),
}

impl ForwardBudget {
    /// Changes how many bytes may be on their way.
    pub(super) fn set_bytes_max(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// No bytes are on their way, of at most `bytes_max`.
    pub(super) fn new(bytes_max: usize) -> ForwardBudget {
        ForwardBudget {
            bytes_max,
            bytes: Arc::default(),
        }
    }

    /// Bytes on their way.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Counts a body that will be sent, and copies its text. It may have half of the free bytes, so
    /// that large ones do not keep small ones out.
    ///
    /// # Errors
    /// It is larger than that.
    pub(super) fn admit(&self, body: PostedBody<'_>) -> Result<ForwardedBody, ForwardsFull> {
        let body_bytes = match body {
            PostedBody::Text(text) => text.len(),
            PostedBody::Large { bytes } => bytes,
        };
        // Only this thread adds: concurrent subtraction leaves more free bytes, never fewer.
        let free = self
            .bytes_max
            .saturating_sub(self.bytes.load(Ordering::Relaxed));
        if body_bytes > free / 2 {
            return Err(ForwardsFull {
                body_bytes,
                free,
                bytes_max: self.bytes_max,
            });
        }
        self.bytes.fetch_add(body_bytes, Ordering::Relaxed);
        Ok(ForwardedBody {
            content: match body {
                PostedBody::Text(text) => Content::Text(text.into()),
                PostedBody::Large { .. } => Content::Large(None),
            },
            counted_bytes: body_bytes,
            bytes: Arc::clone(&self.bytes),
        })
    }
}

impl ForwardedBody {
    /// The text, or nothing if the body is that of a large message.
    pub(crate) fn text(&self) -> Option<&[u8]> {
        match &self.content {
            Content::Text(text) => Some(text),
            Content::Large(_) => None,
        }
    }

    /// Puts the large message in whose body this is.
    pub(super) fn put(&mut self, message: Box<LargeMessage>) {
        self.content = Content::Large(Some(message));
    }

    /// Takes the large message out; it counts until this is dropped.
    pub(super) fn take(&mut self) -> Option<Box<LargeMessage>> {
        match &mut self.content {
            Content::Text(_) => None,
            Content::Large(message) => message.take(),
        }
    }
}

impl Drop for ForwardedBody {
    fn drop(&mut self) {
        self.bytes.fetch_sub(self.counted_bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{ForwardBudget, ForwardsFull, PostedBody};

    #[test]
    fn bodies_count_until_any_thread_has_handled_them() {
        let budget = ForwardBudget::new(1000);
        let first = budget
            .admit(PostedBody::Text(&[1; 500]))
            .expect("half of all");
        let second = budget
            .admit(PostedBody::Text(&[2; 250]))
            .expect("half of the rest");
        assert_eq!(first.text(), Some(&[1; 500][..]));
        assert_eq!(second.text(), Some(&[2; 250][..]));
        let refused = ForwardsFull {
            body_bytes: 126,
            free: 250,
            bytes_max: 1000,
        };
        assert_eq!(
            budget.admit(PostedBody::Text(&[0; 126])).err(),
            Some(refused)
        );
        let third = budget
            .admit(PostedBody::Text(&[0; 125]))
            .expect("small ones pass");
        let there = std::thread::spawn(move || drop(first));
        there.join().expect("dropping does not panic");
        drop((second, third));
        assert!(budget.admit(PostedBody::Text(&[0; 500])).is_ok());
        assert!(
            budget.admit(PostedBody::Text(&[0; 500])).is_ok(),
            "a body that was dropped"
        );
    }

    #[test]
    fn a_large_message_counts_as_its_text_does() {
        let budget = ForwardBudget::new(1000);
        let large = |bytes| budget.admit(PostedBody::Large { bytes });
        assert!(large(501).is_err());
        let first = large(500).expect("half of all");
        assert!(large(251).is_err());
        drop(first);
        assert!(large(500).is_ok());
    }

    #[test]
    fn a_body_of_nothing_always_passes() {
        let budget = ForwardBudget::new(0);
        assert!(budget.admit(PostedBody::Text(&[])).is_ok());
        assert!(budget.admit(PostedBody::Text(&[0])).is_err());
    }
}
