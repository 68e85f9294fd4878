//! What the rounds of a modern call leave to the next one: the answers of its client, and values of
//! side effects that must not happen again.
//!
//! A handler that asks a modern client runs again from its start when the answer is there. Nothing
//! of the round before is kept on the server: it travels sealed with the client.

use std::cell::Cell;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Bytes of JSON that all values of [`Call::once`](super::Call::once) in one call may have: a
/// client carries them.
pub const ONCE_BYTES_MAX: usize = 16 * 1024;

/// What earlier rounds of a call left; hardly any call has something.
pub(crate) type Rounds = Option<Box<EarlierRounds>>;

/// What the sealed state of a call has.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct EarlierRounds {
    /// What the client has answered, by the keys of the questions.
    pub(crate) answers: Map<String, Value>,
    /// Values of side effects by their keys. Apart from answers: those the client may choose.
    pub(super) kept: Map<String, Value>,
}

/// Reads what a state of earlier rounds has.
pub(crate) fn open_rounds(contents: &[u8]) -> Rounds {
    serde_json::from_slice(contents).ok()
}

/// What the state of the next round is to have.
pub(crate) fn seal_rounds(rounds: &Rounds) -> Vec<u8> {
    let text = rounds.as_ref().map(serde_json::to_vec);
    text.and_then(Result::ok)
        .unwrap_or_else(|| br#"{"answers":{},"kept":{}}"#.to_vec())
}

/// What a call knows of its own waiting, so that a debug build can warn of effects that happen
/// twice.
#[derive(Debug, Default)]
pub(super) struct WaitingRecord {
    /// Futures of [`Call::once`](super::Call::once) that exist.
    pub(super) guards: Cell<u32>,
    /// The handler waited for something outside of them.
    pub(super) has_waited: Cell<bool>,
}
