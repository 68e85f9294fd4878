//! A call whose upstream has refused its credential.

use crate::upstream::relay::RelayKey;

/// A call that waits for another credential.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChallengedCall {
    pub(super) key: RelayKey,
    /// That of `failures` of the credential when it began to wait.
    pub(super) failures: u64,
    pub(super) due_ms: u64,
}
