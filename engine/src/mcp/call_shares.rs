//! The shares of clients in the waiting calls of a shard, and in the bytes of their arguments.

use crate::guard::holder::HolderKey;
use crate::guard::shares::{Lack, Shares};

/// Calls and bytes by holder. A call that is answered at once counts for neither.
#[derive(Debug)]
pub(super) struct CallShares {
    calls: Shares,
    bytes: Shares,
}

/// Why no more calls may wait. No part of the refused call was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallsFull {
    /// Other calls have all places.
    #[error("all {max} calls in flight of the shard are taken (calls.in_flight_max)")]
    Calls { max: usize },
    /// Its client holds its share of calls. An anonymous client may have more than are counted for
    /// it: those that began while half of all places were free.
    #[error(
        "the client has at least {held} calls in flight, its share while {used} of the {max} of \
         the shard are taken (calls.in_flight_max)"
    )]
    CallsOfHolder {
        held: usize,
        used: usize,
        max: usize,
    },
    /// The arguments exceed the free bytes of the share.
    #[error(
        "arguments of {bytes} bytes exceed the {free} left of {max} for calls in flight \
         (calls.bytes_max)"
    )]
    Bytes {
        bytes: usize,
        free: usize,
        max: usize,
    },
    /// Its client holds its share of bytes, counted as the calls are.
    #[error(
        "the client holds at least {held} bytes of arguments of calls in flight, and {bytes} more \
         exceed its share of {max} (calls.bytes_max)"
    )]
    BytesOfHolder {
        bytes: usize,
        held: usize,
        max: usize,
    },
}

impl CallShares {
    /// No use of this many calls and bytes of arguments.
    pub(super) fn new(calls_max: usize, bytes_max: usize) -> CallShares {
        CallShares {
            calls: Shares::new(calls_max),
            bytes: Shares::new(bytes_max),
        }
    }

    /// Changes the limits. What is used past them stays until its calls end.
    pub(super) fn set_limits(&mut self, calls_max: usize, bytes_max: usize) {
        self.calls.set_max(calls_max);
        self.bytes.set_max(bytes_max);
    }

    /// Whether a call of any holder may wait. The texts of one message fit into the half of the
    /// bytes that is free, as the profile makes sure.
    pub(super) fn is_ample(&self) -> bool {
        self.calls.is_ample() && self.bytes.is_ample()
    }

    /// Whether a call of `holder` with arguments of `bytes` may wait.
    ///
    /// # Errors
    /// The limit that it would exceed.
    pub(super) fn check(&self, holder: HolderKey, bytes: usize) -> Result<(), CallsFull> {
        let (used, max) = (self.calls.used(), self.calls.max());
        self.calls.check(holder, 1).map_err(|lack| match lack {
            Lack::Free { .. } => CallsFull::Calls { max },
            Lack::Share { held } => CallsFull::CallsOfHolder { held, used, max },
        })?;
        self.check_bytes(holder, bytes)
    }

    /// Whether a waiting call of `holder` may hold more bytes.
    ///
    /// # Errors
    /// The limit that they would exceed.
    pub(super) fn check_bytes(&self, holder: HolderKey, bytes: usize) -> Result<(), CallsFull> {
        let max = self.bytes.max();
        self.bytes.check(holder, bytes).map_err(|lack| match lack {
            Lack::Free { free } => CallsFull::Bytes { bytes, free, max },
            Lack::Share { held } => CallsFull::BytesOfHolder { bytes, held, max },
        })
    }

    /// Counts a call that waits.
    pub(super) fn take(&mut self, holder: HolderKey, bytes: usize) {
        self.calls.take(holder, 1);
        self.bytes.take(holder, bytes);
    }

    /// Counts a call that waited no more.
    pub(super) fn give_back(&mut self, holder: HolderKey, bytes: usize) {
        self.calls.give_back(holder, 1);
        self.bytes.give_back(holder, bytes);
    }

    /// Counts bytes that came to a call that waits.
    pub(super) fn take_bytes(&mut self, holder: HolderKey, bytes: usize) {
        self.bytes.take(holder, bytes);
    }

    /// Bytes of all calls.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.used()
    }
}
