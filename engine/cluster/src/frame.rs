//! Messages between the processes of a cluster. The adapter encodes and authenticates them.

use serde::{Deserialize, Serialize};

use crate::id::{Process, SessionId, Tail};
use crate::record::{Change, Record};
use crate::refusal::{Busy, Missing};

/// A message with its sender. Sequences of one process never repeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The sender.
    pub from: Process,
    /// Counts the messages of the sender, from 1.
    pub sequence: u64,
    /// The message.
    pub frame: Frame,
}

/// A request of a client, on its way through the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The session that it names.
    pub session: SessionId,
    /// The sealed part of the id.
    #[serde(with = "tail_bytes")]
    pub tail: Tail,
    /// The principal that the receiving node authenticated.
    pub principal: Box<str>,
    /// It may run twice: a method without side effects, or a tool that says so.
    pub is_repeatable: bool,
    /// The message, whole.
    pub body: Box<[u8]>,
}

/// The name of an exchange, unique within its sender.
pub type Xid = u64;
/// The life of a bucket of the store.
pub type Generation = u64;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frame {
    /// The sender lives. It goes to all, the sender included.
    Heartbeat(Box<Heartbeat>),
    /// The node of the receiver has a later process: the receiver must stop.
    Superseded(Process),
    /// Serve this request. The time is the rest of its deadline, in microseconds.
    Forward(Xid, u64, Box<Request>),
    /// The owner is about to serve.
    Accepted(Xid),
    /// Not executed: the session is not here.
    NotHere(Xid),
    /// Not executed: the session moved there.
    Moved(Xid, Process),
    /// Not executed: its client gets 404.
    Unknown(Xid, Missing),
    /// Not executed: its client gets 503.
    Busy(Xid, Busy),
    /// A part of an answer: its number from 0, whether it is the last, and its bytes.
    Part(Xid, u32, bool, Box<[u8]>),
    /// The sender has room for parts below this number.
    Credit(Xid, u32),
    /// Give this session to the sender.
    Release(SessionId),
    /// The session is free at this revision, with this record.
    Released(Generation, u64, Box<Record>),
    /// The session was taken from the receiver with this revision.
    Took(SessionId, Generation, u64),
    /// The receiver of that notice doubts its ownership now, or has none.
    TookHeard(SessionId, u64),
    /// Changes that the sender made while it served a session of the receiver.
    Merge(SessionId, Vec<Change>),
    /// Resources changed: partition, sequence, URIs. Without URIs any of the partition may have.
    Update(u16, u64, Vec<Box<str>>),
    /// Repeat the updates of a partition from this sequence on.
    Gap(u16, u64),
    /// An answer to a gap that reaches further back than the sender remembers.
    GapLost(u16, u64),
}

/// The state of a process in its own words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// It claims its node number and serves nothing.
    #[default]
    Joining,
    /// It serves.
    Alive,
    /// It gives its sessions away.
    Draining,
}

/// The content of a heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Whether the process serves.
    pub stage: Stage,
    /// Its clock, in seconds of Unix time. Receivers warn about differences only.
    pub unix_s: u64,
    /// The highest level of records that it can read.
    pub level_max: u8,
    /// The level that it writes.
    pub level: u8,
    /// Fingerprints of the state keys that it opens with.
    pub keys: Vec<u64>,
    /// The fingerprint of the state key that it seals with.
    pub sealing_key: u64,
    /// The generation of each of its lists: tools, resources, prompts.
    pub lists: [u64; 3],
    /// The last sequence of each partition that it published to.
    pub updates: Vec<(u16, u64)>,
    /// The life of the store that it knows, 0 if none.
    pub generation: Generation,
}

mod tail_bytes {
    //! Arrays of this length, for which serde has no implementation.
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::id::Tail;

    pub(super) fn serialize<S: Serializer>(tail: &Tail, out: S) -> Result<S::Ok, S::Error> {
        tail.as_slice().serialize(out)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Tail, D::Error> {
        let bytes: Vec<u8> = Vec::deserialize(input)?;
        Tail::try_from(bytes).map_err(|_| D::Error::custom("a tail has another length"))
    }
}
