//! The plan of a run, and the state that its threads share.
//!
//! The plan never changes while a run lasts. Each cell of the state has one writer: the control
//! thread sets the number of connections, the window of measuring and the end; each
//! worker publishes its progress. Invariant: no worker blocks on the state.

use super::answer::{Checker, Expected};
use super::client::Checkers;
use super::mix::Mix;
use super::pace::Rate;
use super::script::{Revision, Script};
use super::target::Wire;
use super::tls::TlsSettings;
use crossbeam::utils::CachePadded;
use socket2::SockAddr;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Connections from one source address to one server address at most: ports from 32768 on, less
/// a reserve for closed connections (ip(7), ip_local_port_range).
pub(crate) const CONNECTIONS_PER_SOURCE_MAX: u32 = 14_000;
/// Source addresses that connections which come and go are spread over, since each closed one
/// keeps its port for a minute (TIME-WAIT, RFC 9293 3.6.1).
pub(crate) const SOURCES_OF_CHURN: u32 = 64;

/// The use of a connection once it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It makes requests.
    Caller,
    /// It makes one call and stays open; it may make more calls later.
    Idle,
    /// It opens a stream and keeps it.
    Stream,
}

/// The plan of a run.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Where to connect to.
    pub(crate) address: SockAddr,
    /// How many addresses of 127.0.0.0/8 to connect from; with 0 the kernel chooses.
    pub(crate) sources: u32,
    /// The protocol of connections.
    pub(crate) wire: Wire,
    /// Those of TLS, if connections have it.
    pub(crate) tls: Option<TlsSettings>,
    /// The revision of MCP.
    pub(crate) revision: Revision,
    /// The bytes of all requests.
    pub(crate) script: Script,
    /// The mix of requests.
    pub(crate) mix: Mix,
    /// The use of each connection.
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

    /// Whether connections are held: they are mostly idle, and all are closed at the end.
    ///
    /// They are polled between messages, which takes 600 bytes of kernel memory less for each than
    /// an armed receive, and reset at the end, so that a million of them leave nothing behind.
    pub(crate) fn holds(&self) -> bool {
        self.role != Role::Caller
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

    /// The checkers of the answers.
    pub(crate) fn checkers(&self) -> Checkers {
        let kinds = self.mix.kinds.iter();
        Checkers {
            initialize: Checker::new(Expected::Initialized),
            kinds: kinds
                .map(|kind| match self.has_fixed_answers {
                    true => Checker::new(Expected::Same),
                    false => Checker::new(Expected::of(kind)),
                })
                .collect(),
            has_fixed_ids: self.has_fixed_answers,
        }
    }
}

/// Interval at which a waiting worker checks for a window.
pub(crate) const POLL_INTERVAL_NS: u64 = 100_000_000;
/// From setting a window to its first request: by then every worker has seen it, so none is
/// late from the start.
pub(crate) const START_DELAY_NS: u64 = POLL_INTERVAL_NS + 20_000_000;

/// When requests are made, in nanoseconds since the state's epoch.
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
pub(crate) struct RunState {
    /// The origin of all times.
    pub(crate) epoch: Instant,
    /// Connections to have opened, of all workers.
    pub(crate) wanted: AtomicU32,
    /// Set once, when requests are to be made.
    pub(crate) window: OnceLock<Window>,
    /// The number of the current broadcast change, counted from 1.
    pub(crate) round: AtomicU64,
    /// No more requests are sent; those in flight are awaited.
    pub(crate) ends: AtomicBool,
    /// The run is over and the workers return.
    pub(crate) stops: AtomicBool,
    /// The first reason that a connection could not be opened.
    pub(crate) first_fault: Mutex<Option<Fault>>,
    /// Each worker's own.
    pub(crate) live: Vec<CachePadded<WorkerStatus>>,
}

/// The progress of a worker.
#[derive(Debug, Default)]
pub(crate) struct WorkerStatus {
    /// Connections that are open.
    pub(crate) held: AtomicU64,
    /// Connections that were open and broke.
    pub(crate) lost: AtomicU64,
    /// Connections that could not be made.
    pub(crate) failed_connects: AtomicU64,
    /// Requests with a correct answer.
    pub(crate) answered: AtomicU64,
    /// Failed requests and connections.
    pub(crate) errors: AtomicU64,
    /// Streams that have the current change.
    pub(crate) delivered: AtomicU64,
    /// Set when nothing more will be measured.
    pub(crate) is_done: AtomicBool,
}

/// Why a connection could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It could not be connected.
    Connect(String),
    /// It was connected, and the server did not answer as an MCP server.
    Protocol(String),
}

impl RunState {
    /// The state of a run with `workers` workers.
    pub(crate) fn new(workers: u32) -> RunState {
        RunState {
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
    pub(crate) fn sum(&self, cell: impl Fn(&WorkerStatus) -> &AtomicU64) -> u64 {
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
