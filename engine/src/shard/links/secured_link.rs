//! The TLS of one link.

use crate::transport::OutgoingSession;

/// Between two warnings of links to one upstream whose TLS failed.
pub(super) const WARNING_INTERVAL_MS: u64 = 60_000;

/// The TLS of a link.
#[derive(Debug)]
pub(super) struct SecuredLink {
    pub(super) session: OutgoingSession,
    /// The place of its request.
    pub(super) request: RequestPlace,
}

/// Where the request of a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestPlace {
    /// It waits until the chunk before it was sent.
    Waiting,
    /// It is in the chunk that is being sent.
    InChunk,
    /// It was sent, or there is none.
    Sent,
}

impl SecuredLink {
    /// Whether the end of the connection was announced, so that no answer was cut.
    pub(super) fn is_closed(&self) -> bool {
        self.session.is_closed()
    }
}
