//! Requests that wait for access control: for their turn to have a token verified, or for the key
//! of their token.
//!
//! They are handled in the order of their arrival and before any other request of the turn, so that
//! a flood of unknown tokens delays a new one by the tokens before it, and nobody else.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::connection::body::KeptRequest;

/// The requests of one shard: at most one for each connection.
#[derive(Debug, Default)]
pub(super) struct Rechecks {
    pub(super) next_turn: VecDeque<KeptRequest>,
    /// In the order of their deadlines; at most `auth.key_waits_max`.
    pub(super) for_snapshot: VecDeque<KeptRequest>,
}

impl Rechecks {
    /// Whether a request waits for the next turn.
    pub(super) fn has_work(&self) -> bool {
        !self.next_turn.is_empty()
    }

    /// When the time of the next request is over that waits for a key.
    pub(super) fn due_ms(&self) -> Option<u64> {
        Some(self.for_snapshot.front()?.due_ms)
    }

    /// Lets the requests that waited for a snapshot be handled.
    pub(super) fn on_snapshot(&mut self) {
        self.next_turn.append(&mut self.for_snapshot);
    }
}

/// The time, in seconds since 1970.
pub(super) fn unix_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
