//! Batches with missing answers: the number that each lacks, and the bytes that it has.
//!
//! The answers of a batch are held until its client takes them, on any shard; their bytes are
//! counted here, on the shard that makes them. As with the output of a connection, the answer that
//! reaches the limit is the last one that is taken, so that a batch of one message is answered like
//! the message alone. Each further answer is replaced by a short error: a client gets an answer to
//! every request.

use std::collections::HashMap;

use super::exchange::Exchange;

/// Batches with calls that wait, and the one that is handled. There are at most as many as calls,
/// and one.
#[derive(Debug)]
pub(super) struct Batches {
    /// Bytes of answers past which a batch gets no more.
    bytes_max: usize,
    /// The hash needs no protection against attacks: peers choose no part of an exchange.
    open: HashMap<Exchange, Open, foldhash::fast::RandomState>,
}

/// A batch that is not answered whole.
#[derive(Debug, Default)]
struct Open {
    /// How many of its messages were not answered.
    left: usize,
    /// Bytes of its answers, without the errors in place of others.
    bytes: usize,
}

/// A batch was answered as much as it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answers of the batch exceed limit of {bytes_max} bytes")]
pub(super) struct AnswersTooLong {
    bytes_max: usize,
}

impl Batches {
    /// No batches, each of which gets no more answers once they have `bytes_max` bytes.
    pub(super) fn new(bytes_max: usize) -> Batches {
        Batches {
            bytes_max,
            open: HashMap::default(),
        }
    }

    /// Changes the bytes of answers past which a batch gets no more.
    pub(super) fn set_bytes_max(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// Whether every batch was answered.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether `exchange` is of a batch that waits.
    pub(super) fn has(&self, exchange: Exchange) -> bool {
        self.open.contains_key(&exchange)
    }

    /// Records that one more message of the batch of `exchange` must be answered.
    pub(super) fn expect(&mut self, exchange: Exchange) {
        self.open.entry(exchange).or_default().left += 1;
    }

    /// Records that one of them was answered. Returns the number of the others, or none if
    /// `exchange` has no batch.
    pub(super) fn settle(&mut self, exchange: Exchange) -> Option<usize> {
        let open = self.open.get_mut(&exchange)?;
        open.left -= 1;
        let left = open.left;
        if left == 0 {
            self.open.remove(&exchange);
        }
        Some(left)
    }

    /// Drops the batch of `exchange`, whose client left.
    pub(super) fn forget(&mut self, exchange: Exchange) {
        self.open.remove(&exchange);
    }

    /// Counts an answer of `bytes`, if the batch of `exchange` takes it. An answer outside a batch
    /// is not counted.
    pub(super) fn count(&mut self, exchange: Exchange, bytes: usize) -> Result<(), AnswersTooLong> {
        let bytes_max = self.bytes_max;
        let Some(open) = self.open.get_mut(&exchange) else {
            return Ok(());
        };
        if open.bytes >= bytes_max {
            return Err(AnswersTooLong { bytes_max });
        }
        open.bytes += bytes;
        Ok(())
    }
}
