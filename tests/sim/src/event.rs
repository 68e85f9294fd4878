//! What happens at a time of the virtual clock.

use std::cmp::Ordering;

use corelane_cluster::frame::{Envelope, Request, Xid};
use corelane_cluster::id::Process;
use corelane_cluster::record::Change;
use corelane_cluster::vocabulary::{Expect, Key, Op, Origin, PutResult, ReadFrom, ReadResult};

/// An event at a node, which a stopped node takes when it goes on.
#[derive(Clone, Debug)]
pub(crate) enum AtNode {
    /// Its 10-ms tick.
    Tick,
    /// A message of the bus.
    Frame(Box<Envelope>),
    /// A forward found no process.
    NoResponders(Process, Xid),
    /// Results of the store.
    Put(Op, Key, PutResult),
    /// Results of the store.
    Read(Op, Key, ReadResult),
    /// The handler of a request ends.
    Run(Origin, Box<Request>),
    /// A request of a client.
    Request(u64, Box<Request>),
    /// The bus is reachable.
    Connected,
    /// The bus is not reachable.
    Disconnected,
}

/// The answer to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Response {
    /// 200, 202 or 204.
    Ok,
    /// 404.
    Missing,
    /// 503.
    Busy,
    /// -32603.
    Failed,
    /// The connection closed.
    Closed,
}

/// An event.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Something at a node, in this life of its process.
    Node(usize, u32, AtNode),
    /// A write reaches the store: its node, life, and whether its acknowledgement is lost.
    Put(usize, u32, Op, Box<(Key, Expect, u64, Vec<u8>)>, bool),
    /// A read reaches the store.
    Read(usize, u32, Op, Key, ReadFrom),
    /// An answer reaches a client.
    Answer(u64, Response),
    /// A client does something.
    Client(usize),
    /// A client gives up.
    GiveUp(u64),
    /// A fault begins or ends.
    Fault(usize, bool),
    /// A node that is slow stops or goes on.
    Slow(usize),
    /// A second process with the number of a node starts or ends.
    Spare(usize, bool),
    /// A process starts.
    Start(usize),
    /// The balancer checks the nodes.
    Health,
    /// An operator does something.
    Operator,
    /// A resource or a list changes.
    Update,
    /// A change must be in the store by now: node, life, session, change, when it was acknowledged.
    Pin(usize, u32, u128, Box<Change>, u64),
    /// A tombstone must be in the store by now.
    Buried(usize, u32, u128, u64),
    /// The faults end.
    Heal,
    /// Clients stop.
    Quiet,
}

/// An event with its time. Events of one time happen in the order in which they were scheduled.
pub(crate) struct Scheduled {
    /// Its time in microseconds.
    pub at_us: u64,
    /// Its place among all.
    pub order: u64,
    /// The event.
    pub event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Scheduled) -> bool {
        self.order == other.order
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Scheduled) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    /// The earliest is the greatest, for a heap.
    fn cmp(&self, other: &Scheduled) -> Ordering {
        (other.at_us, other.order).cmp(&(self.at_us, self.order))
    }
}
