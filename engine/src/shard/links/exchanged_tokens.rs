//! The exchanged tokens that a shard has, and the calls that wait for one.

use std::collections::HashMap;
use std::sync::Arc;

use crate::guard::subject::SubjectKey;
use crate::upstream::exchanged_token::ExchangedToken;
use crate::upstream::owner::SessionOwner;
use crate::upstream::relay::RelayKey;

/// The tokens of clients of one upstream that were exchanged.
pub(super) type ExchangedTokens = HashMap<SubjectKey, Held, foldhash::fast::RandomState>;
/// The exchanged tokens for sessions, by owner: as many as there are sessions, but for those that
/// have just ended.
pub(super) type Bearers = HashMap<SessionOwner, Arc<ExchangedToken>, foldhash::fast::RandomState>;

/// A token that a client's was exchanged for.
pub(super) struct Held {
    pub(super) token: Arc<ExchangedToken>,
    pub(super) is_renewing: bool,
    /// Whether the upstream refuses it.
    pub(super) is_refused: bool,
}

/// A call that waits for the token of its client to be exchanged.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExchangingCall {
    pub(super) call: RelayKey,
    /// That of the upstream.
    pub(super) instance: u64,
    pub(super) key: SubjectKey,
    pub(super) due_ms: u64,
}
