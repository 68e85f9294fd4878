//! The work that the core hands out, and the results that come back.
//!
//! The store is any table of keys with one ever-growing revision, conditional writes and expiry.
//! The bus is any publish and subscribe with requests that fail at once if no process listens.

use serde::{Deserialize, Serialize};

use crate::frame::{Envelope, Request, Xid};
use crate::id::Process;
use crate::refusal::{Busy, Missing};

/// The name of an operation of the store, unique within its process.
pub type Op = u64;
/// The name of a request of a local client, given by the host.
pub type Call = u64;
/// The random bits of a session.
pub type SessionKey = u128;

/// A key of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Key {
    /// The life of the bucket of sessions.
    Generation,
    /// A session, within one life of the bucket: a late write of an earlier life meets no record.
    Session(u64, SessionKey),
    /// The claim of a node number.
    Node(u16),
    /// The level of the cluster.
    Level,
}

/// The condition of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The key has no value and no delete marker.
    Absent,
    /// The last write of the key, or its delete marker, has this revision.
    Revision(u64),
    /// None. The core never uses it; a mutation does.
    Anything,
}

/// Which replica answers a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// The leader: the answer is current.
    Leader,
    /// Any: the answer may be old, and comes without a leader too.
    Any,
}

/// The result of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutResult {
    /// It has this revision.
    Written(u64),
    /// The condition did not hold. Nothing was written.
    Conflict,
    /// The store refused: it has no leader, or it is full. Nothing was written.
    Refused,
    /// No acknowledgement: it was written, or will be, or not.
    Unknown,
}

/// The result of a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadResult {
    /// The revision and the value.
    Found(u64, Vec<u8>),
    /// The key was never written.
    Absent,
    /// The key expired or was deleted, with this revision.
    Marker(u64),
    /// No answer.
    Failed,
}

/// The sender of a request that is served here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A client of this process.
    Local(Call),
    /// Another process, with its name of the exchange.
    Remote(Process, Xid),
}

/// Why a call failed after it may have been executed: its client gets -32603.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The owner did not accept in time: `outcome_unknown`.
    OutcomeUnknown,
    /// The owner accepted and is gone.
    NodeLost,
    /// A part of the answer was lost.
    Gap,
    /// The deadline of the exchange passed.
    Deadline,
}

/// Facts for log and counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// This process joined.
    Joined(Process),
    /// The node number is in use by a live process. This one must not start.
    NodeTaken(Process),
    /// A clock differs by that many seconds.
    Skew(Process, u64),
    /// A session was taken from a process.
    TakenOver(SessionKey, Process),
    /// A session was lost to another process.
    Lost(SessionKey, Process),
    /// A session was adopted without a record: changes, if there were any, are lost.
    WithoutHistory(SessionKey),
    /// Changes of a session were dropped: too many while its owner was in doubt.
    ChangesDropped(SessionKey),
    /// The store lost everything. Owners write their sessions anew.
    StoreWiped,
    /// A record could not be read or written; see its reason in the operator's guide.
    BadRecord(SessionKey),
    /// A frame was refused: repeated, or from an earlier process.
    FrameRefused(Process),
}

/// One piece of work, or one fact, for the host or its adapters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Publish to all processes.
    Publish(Envelope),
    /// Send to one process. Only a forward is a request: the adapter reports "no responders".
    Send(Process, Envelope),
    /// Write, with a time to live in seconds, 0 for none.
    Put(Op, Key, Expect, u64, Vec<u8>),
    /// Read.
    Read(Op, Key, ReadFrom),
    /// Execute this request now. Its result comes by `answer`.
    Serve(Origin, Box<Request>),
    /// A part of an answer to a local call; true marks the last one.
    Part(Call, bool, Box<[u8]>),
    /// Answer 404.
    NotFound(Call, Missing),
    /// Answer 503.
    Refuse(Call, Busy),
    /// Answer with an error of JSON-RPC.
    Fail(Call, Failure),
    /// The tombstone of a session is written, or its time passed: answer 204.
    Ended(Origin, SessionKey),
    /// The session left: end its streams here with `retry`, and forget it.
    Leave(SessionKey),
    /// The session came: the host makes it from these.
    Arrive(SessionKey),
    /// A resource changed, by its URI.
    Updated(Box<str>),
    /// Updates of a partition were lost: each subscribed URI of it counts as changed.
    AllUpdated(u16),
    /// A list of another process changed, by its index.
    ListChanged(usize),
    /// A drain is done: the process may exit.
    Drained,
    /// For log and counters.
    Note(Note),
}
