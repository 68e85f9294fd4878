//! What a run is to do, and the board by which its threads agree on when.
//!
//! The plan never changes while a run lasts. The board has one writer for each cell: the control
//! thread says how many connections to hold, when measuring begins and when all is over; each
//! worker says how far it is. Invariant: no worker waits for the board.

use super::answer::{Judge, Wanted};
use super::client::Judges;
use super::mix::Mix;
use super::pace::Rate;
use super::script::{Revision, Script};
use crossbeam::utils::CachePadded;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Connections from one source address to one server address at most: ports from 32768 on, less
/// what may linger (ip(7), ip_local_port_range).
pub(crate) const CONNECTIONS_PER_SOURCE_MAX: u32 = 14_000;
/// Source addresses that connections which come and go are spread over, since each closed one
/// keeps its port for a minute (TIME-WAIT, RFC 9293 3.6.1).
pub(crate) const SOURCES_OF_CHURN: u32 = 64;

/// What becomes of a connection when it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It waits for its turn to make requests.
    Caller,
    /// It makes one call and stays open; it may be called upon again.
    Idle,
    /// It opens a stream and keeps it.
    Stream,
}

/// What to do; see the module's text.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Where to connect to.
    pub(crate) address: SocketAddr,
    /// How many addresses of 127.0.0.0/8 to connect from; with 0 the kernel chooses.
    pub(crate) sources: u32,
    /// What is spoken.
    pub(crate) revision: Revision,
    /// The bytes of all requests.
    pub(crate) script: Script,
    /// What is sent.
    pub(crate) mix: Mix,
    /// What becomes of a connection.
    pub(crate) role: Role,
    /// Connections of all workers.
    pub(crate) connections: u32,
    /// Requests in flight on each.
    pub(crate) in_flight_max: u32,
    /// Threads.
    pub(crate) workers: u32,
    /// Cores the threads are pinned to, in turn; at least one.
    pub(crate) cores: Vec<usize>,
    /// Connections begun per second by all workers, if that is limited.
    pub(crate) ramp: Option<Rate>,
    /// How long a request may take.
    pub(crate) timeout: Duration,
    /// Whether the server gives the same answer to all requests.
    pub(crate) has_fixed_answers: bool,
    /// Whether a connection that broke is made again.
    pub(crate) reconnects: bool,
}

impl Plan {
    /// How many of `count` things are worker `worker`'s.
    pub(crate) fn share(&self, count: u32, worker: u32) -> u32 {
        let part = |of: u32| (u64::from(count) * u64::from(of) / u64::from(self.workers)) as u32;
        part(worker + 1) - part(worker)
    }

    /// The source of the dial `number`, counted over all workers.
    pub(crate) fn source(&self, number: u64) -> Option<SocketAddr> {
        if self.sources == 0 {
            return None;
        }
        let at = (number % u64::from(self.sources)) as u32;
        // From 127.1.0.1 on, in the order of the addresses without the last octets 0 and 255.
        let [high, low, last] = [at / 254 / 256, at / 254 % 256, at % 254].map(|part| part as u8);
        let address = Ipv4Addr::new(127, 1 + high, low, last + 1);
        Some(SocketAddr::from((address, 0)))
    }

    /// Those who judge the answers.
    pub(crate) fn judges(&self) -> Judges {
        let kinds = self.mix.kinds.iter();
        Judges {
            initialize: Judge::new(Wanted::Initialized),
            kinds: kinds
                .map(|kind| match self.has_fixed_answers {
                    true => Judge::new(Wanted::Same),
                    false => Judge::new(Wanted::of(&kind.method, kind.echo())),
                })
                .collect(),
        }
    }
}

/// A worker that waits looks this often whether there is a window.
pub(crate) const LOOK_NS: u64 = 100_000_000;
/// From setting a window to its first request: by then every worker has seen it, so that none is
/// late from the start and what they find counts from when it was due.
pub(crate) const LEAD_NS: u64 = LOOK_NS + 20_000_000;

/// When requests are made, in nanoseconds since the board's epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// The first request is due.
    pub(crate) start_ns: u64,
    /// Requests due from here on are measured.
    pub(crate) measure_from_ns: u64,
    /// No request is due from here on.
    pub(crate) end_ns: u64,
    /// The rate of an open loop, from start to end.
    pub(crate) rate: Option<Rate>,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Board {
    /// What all times count from.
    pub(crate) epoch: Instant,
    /// Connections to have opened, of all workers.
    pub(crate) wanted: AtomicU32,
    /// Set once, when requests are to be made.
    pub(crate) window: OnceLock<Window>,
    /// The change that is being told, counted from 1.
    pub(crate) round: AtomicU64,
    /// Requests due are not made any more, and what is in flight is waited for.
    pub(crate) ends: AtomicBool,
    /// All is over.
    pub(crate) stops: AtomicBool,
    /// The first thing that kept a connection from standing.
    pub(crate) first_fault: Mutex<Option<Fault>>,
    /// Each worker's own.
    pub(crate) live: Vec<CachePadded<Live>>,
}

/// How far a worker is.
#[derive(Debug, Default)]
pub(crate) struct Live {
    /// Connections that stand.
    pub(crate) held: AtomicU64,
    /// Connections that stood and broke.
    pub(crate) lost: AtomicU64,
    /// Connections that could not be made.
    pub(crate) unmade: AtomicU64,
    /// Requests answered rightly.
    pub(crate) answered: AtomicU64,
    /// What went wrong.
    pub(crate) errors: AtomicU64,
    /// The 99th percentile of the last second's latency.
    pub p99_ns: AtomicU64,
    /// Streams that have the present change.
    pub(crate) delivered: AtomicU64,
    /// Set when nothing more will be measured.
    pub(crate) is_done: AtomicBool,
}

/// Why a connection does not stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It could not be connected.
    Connect(String),
    /// It was, and then the server did not do as an MCP server does.
    Protocol(String),
}

impl Board {
    /// A board for so many workers.
    pub(crate) fn new(workers: u32) -> Board {
        Board {
            epoch: Instant::now(),
            wanted: AtomicU32::new(0),
            window: OnceLock::new(),
            round: AtomicU64::new(0),
            ends: AtomicBool::new(false),
            stops: AtomicBool::new(false),
            first_fault: Mutex::new(None),
            live: (0..workers).map(|_| CachePadded::default()).collect(),
        }
    }

    /// Nanoseconds since the epoch.
    pub(crate) fn now_ns(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    /// A cell's sum over all workers.
    pub(crate) fn sum(&self, cell: impl Fn(&Live) -> &AtomicU64) -> u64 {
        let cells = self.live.iter().map(|live| cell(live));
        cells.map(|cell| cell.load(Ordering::Relaxed)).sum()
    }

    /// Keeps the first fault.
    pub(crate) fn report_fault(&self, fault: Fault) {
        let mut first = self
            .first_fault
            .lock()
            .unwrap_or_else(|held| held.into_inner());
        first.get_or_insert(fault);
    }

    /// The first fault, if there was one.
    pub(crate) fn fault(&self) -> Option<Fault> {
        let first = self
            .first_fault
            .lock()
            .unwrap_or_else(|held| held.into_inner());
        first.clone()
    }
}
