//! The reasons for which a request is not served. Nothing of it was executed.

use serde::{Deserialize, Serialize};

/// Why a session does not exist: its client gets 404.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Missing {
    /// It was ended by its client, or expired with changes.
    Ended,
    /// The id is older than ids may be.
    TooOld,
    /// No key of ours sealed the id for this principal.
    NotOurs,
}

/// Why a request was refused: its client gets 503 with `Retry-After: 1`. Nothing was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Busy {
    /// This process has not joined its cluster yet.
    Joining,
    /// This process gives its sessions away.
    Draining,
    /// A table of this process or of the owner is full.
    Full,
    /// The owner is silent, and is not gone yet.
    Suspect,
    /// The session moves faster than the request.
    Moving,
    /// This process is isolated and may not adopt.
    Isolated,
}
