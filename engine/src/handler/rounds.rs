//! The state that one round of a modern call leaves to the next: the answers of its client, and
//! values of side effects that must not happen again.
//!
//! A handler with a request to a modern client runs again from its start when the answer arrives.
//! The server keeps no state of the earlier round: it travels encrypted with the client.

use std::cell::Cell;

use corelane_gateway::relay::RelayedState;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Bytes of JSON that all values of [`Call::once`](super::Call::once) in one call may have: a
/// client carries them.
pub const ONCE_BYTES_MAX: usize = 16 * 1024;

/// The state of earlier rounds of a call; most calls have none.
pub(crate) type Rounds = Option<Box<EarlierRounds>>;

/// The contents of the sealed state of a call.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct EarlierRounds {
    /// The answers of the client, by the keys of the requests.
    pub(crate) answers: Map<String, Value>,
    /// Values of side effects by their keys. Apart from answers: those the client may choose.
    pub(super) kept: Map<String, Value>,
    /// The contents of the state of a relayed call, which has none of the others.
    #[serde(skip)]
    pub(crate) relayed: Option<Box<[u8]>>,
}

/// Reads the state of earlier rounds.
pub(crate) fn open_rounds(contents: &[u8]) -> Rounds {
    if RelayedState::read(contents).is_some() {
        let rounds = EarlierRounds {
            relayed: Some(contents.into()),
            ..EarlierRounds::default()
        };
        return Some(Box::new(rounds));
    }
    serde_json::from_slice(contents).ok()
}

/// Writes the state for the next round.
pub(crate) fn seal_rounds(rounds: &Rounds) -> Vec<u8> {
    let text = rounds.as_ref().map(serde_json::to_vec);
    text.and_then(Result::ok)
        .unwrap_or_else(|| br#"{"answers":{},"kept":{}}"#.to_vec())
}

/// A record of the call's waits, so that a debug build can warn of effects that happen twice.
#[derive(Debug, Default)]
pub(super) struct WaitingRecord {
    /// Futures of [`Call::once`](super::Call::once) that exist.
    pub(super) guards: Cell<u32>,
    /// The handler waited outside of them.
    pub(super) has_waited: Cell<bool>,
}
