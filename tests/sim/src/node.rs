//! A node: its disk, its links, and the process that runs on it.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use corelane_cluster::cluster::Cluster;
use corelane_cluster::id::{Birth, Now, OpenTail, Process, SessionId, TAIL_BYTES, Tail};

use crate::event::AtNode;

/// Unix time at the start of a run, in seconds.
pub(crate) const UNIX_S: u64 = 1_900_000_000;

/// Seals an id, as far as a model must: key, binding to id and principal, time.
#[must_use]
pub(crate) fn seal(key: u64, id: &SessionId, principal: &str, created_s: u64) -> Tail {
    let mut tail = [0; TAIL_BYTES];
    tail[..8].copy_from_slice(&key.to_le_bytes());
    tail[8..16].copy_from_slice(&binding(id, principal).to_le_bytes());
    tail[16..24].copy_from_slice(&created_s.to_le_bytes());
    tail
}

fn binding(id: &SessionId, principal: &str) -> u64 {
    let bytes = id.random.to_le_bytes();
    let all = bytes.iter().chain(principal.as_bytes());
    all.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// The keys of a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys(pub Rc<RefCell<Vec<u64>>>);

impl OpenTail for Keys {
    fn open_tail(&self, id: &SessionId, tail: &Tail, principal: &str) -> Option<Birth> {
        let number = |at: usize| {
            let bytes = tail.get(at..at + 8)?;
            Some(u64::from_le_bytes(bytes.try_into().ok()?))
        };
        let is_ours = self.0.borrow().contains(&number(0)?);
        let is_bound = number(8)? == binding(id, principal);
        let created_unix_s = number(16)?;
        (is_ours && is_bound).then_some(Birth {
            revision: 1,
            capabilities: 0,
            created_unix_s,
        })
    }
}

/// A node of the cluster.
#[derive(Default)]
pub(crate) struct Node {
    /// The core, while a process runs.
    pub core: Option<Cluster>,
    /// Counts processes.
    pub life: u32,
    /// Its node number.
    pub number: u16,
    /// When it began to be stopped.
    pub stopped_us: u64,
    /// When it last had a reason to doubt its sessions.
    pub doubt_us: u64,
    /// It was isolated after the last event.
    pub was_isolated: bool,
    /// Reasons why it is stopped.
    pub stops: u32,
    /// The time of a slow node in which it is stopped.
    pub is_in_gap: bool,
    /// Events that wait while it is stopped.
    pub inbox: VecDeque<AtNode>,
    /// Seconds by which its wall clock differs.
    pub wall_s: i64,
    /// Its state keys on disk, and the one that it seals with.
    pub keys: Keys,
    /// The key that it seals with.
    pub sealing: u64,
    /// It has subscriptions at the bus.
    pub is_subscribed: bool,
    /// Until when the bus believes in a lost host, and which process that was.
    pub ghost: Option<(Process, u64)>,
    /// Reasons why it is cut, in each direction.
    pub cuts_out: u32,
    /// Reasons why it is cut.
    pub cuts_in: u32,
    /// Reasons why it loses messages.
    pub overflows: u32,
    /// Reasons why it is slow.
    pub slowness: u32,
    /// When a fault last touched it.
    pub touched_us: u64,
    /// Reasons why it is not quiet now.
    pub trouble: u32,
    /// It runs a version that reads level 1 only.
    pub is_old: bool,
    /// When clients here began to subscribe to each resource.
    pub interest_us: BTreeMap<usize, u64>,
    /// When clients here were last notified of each resource.
    pub notified_us: BTreeMap<usize, u64>,
    /// The generations of its lists.
    pub lists: [u64; 3],
    /// Failed and passed checks of the balancer in a row.
    pub checks: (u32, u32),
    /// The balancer sends requests here.
    pub is_in_balancer: bool,
    /// The last time a message for it was delivered, by sender: order of a publisher holds.
    pub last_delivery_us: BTreeMap<usize, u64>,
}

impl Node {
    pub(crate) fn new() -> Node {
        Node {
            lists: [1; 3],
            ..Node::default()
        }
    }

    /// The time on this node.
    #[must_use]
    pub(crate) fn now(&self, us: u64) -> Now {
        let unix_s = UNIX_S + us / 1_000_000;
        Now {
            us,
            unix_s: unix_s.saturating_add_signed(self.wall_s),
        }
    }

    /// Whether its process does not run now.
    #[must_use]
    pub(crate) fn is_stopped(&self) -> bool {
        self.stops > 0 || self.is_in_gap
    }

    /// The process, if one runs.
    #[must_use]
    pub(crate) fn process(&self) -> Option<Process> {
        self.core.as_ref().map(Cluster::process)
    }
}
