//! Names of processes and sessions, as the cluster sees them.
//!
//! The text of an id is a matter of `protocol`. It deliberately lacks keys: [`OpenTail`] opens the
//! sealed part of an id.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The time of one call into the core. The core reads no clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Microseconds of a clock that also runs while the machine sleeps, such as CLOCK_BOOTTIME.
    pub us: u64,
    /// Seconds of Unix time. It may jump.
    pub unix_s: u64,
}

/// One process of a cluster: the number of its node, and the count of starts of that node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Process {
    /// The configured number of the node, 1 to 4,095.
    pub node: u16,
    /// Counts the starts of this node number, from 1.
    pub incarnation: u16,
}

impl fmt::Display for Process {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.node, self.incarnation)
    }
}

/// The open part of the id of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId {
    /// The process that answered `initialize`.
    pub home: Process,
    /// The shard there.
    pub shard: u16,
    /// 128 random bits. They name the session in the store.
    pub random: u128,
}

/// The sealed part of an id, as text.
pub type Tail = [u8; TAIL_BYTES];
/// Bytes of the sealed part.
pub const TAIL_BYTES: usize = 34;

/// The facts that `initialize` fixed, out of the sealed part of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Birth {
    /// The revision of the protocol.
    pub revision: u8,
    /// The capabilities of the client, one bit each.
    pub capabilities: u8,
    /// Unix time of `initialize`, in seconds.
    pub created_unix_s: u64,
}

/// Opens the sealed part of an id with the keys that this process has.
pub trait OpenTail {
    /// The facts in `tail`, or nothing if no key of ours sealed it for this id and `principal`.
    fn open_tail(&self, id: &SessionId, tail: &Tail, principal: &str) -> Option<Birth>;
}
