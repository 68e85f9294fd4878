//! Where the control side leaves what it knows of upstreams, and its requests for their lists.
//!
//! The table is a snapshot that each shard takes between two turns. A shard never waits for a newer
//! one. Invariant: a request for a list is answered through its sender, or its sender is dropped.

use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use corelane_gateway::relay::{Failure, RelayedPart};
use corelane_protocol::mcp::era::Era;
use crossbeam::queue::SegQueue;
use socket2::SockAddr;

use super::endpoint::UpstreamTable;
use super::exchanged_token::ExchangedToken;
use super::interests::Interests;
use crate::guard::subject::{SubjectKey, SubjectToken};

/// Resources of one upstream to which clients may subscribe: they are in one request.
const RESOURCES_MAX: usize = 1024;

/// A credential that an authorization server has granted.
pub(crate) struct Granted {
    /// The value of its field.
    pub(crate) value: String,
    /// How long it is valid, if that is known.
    pub(crate) life: Option<Duration>,
}

/// Shows no secret.
impl fmt::Debug for Granted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let life = &self.life;
        formatter
            .debug_struct("Granted")
            .field("life", life)
            .finish()
    }
}

/// Why no credential was granted.
#[derive(Debug)]
pub(crate) struct GrantFault {
    /// Whether the authorization server refuses it, so that no other answer is to be expected.
    pub(crate) is_refused: bool,
    /// The reason.
    pub(crate) text: String,
}

/// A request of the control side to an upstream.
#[derive(Debug)]
pub(crate) struct ControlRequest {
    /// The number of the upstream.
    pub(crate) upstream: u16,
    /// The era in which it is requested.
    pub(crate) era: Era,
    /// The method.
    pub(crate) method: &'static str,
    /// The params, as a JSON object.
    pub(crate) params: String,
    /// Its purpose.
    pub(crate) purpose: Purpose,
    /// Where the answer goes.
    pub(crate) reply: Sender<ControlEvent>,
}

/// The purpose of a [`ControlRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The control side waits for its answer.
    Answer,
    /// Its answer does not matter.
    Effect,
    /// It stays open for notifications, as the subscription with this number.
    Listen(u32),
    /// It is not sent: the subscription with this number ends.
    Close(u32),
}

/// A shard needs a process of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessRequest {
    /// The number of the upstream.
    pub(crate) upstream: u16,
    /// The shard.
    pub(crate) shard: u16,
    /// The number of the request.
    pub(crate) number: u64,
}

/// A process that was started.
#[derive(Debug)]
pub(crate) struct StartedProcess {
    /// Its standard input and output.
    pub(crate) socket: UnixStream,
    /// The process is stopped when this is dropped.
    pub(crate) leash: Leash,
}

/// The hold of a shard on a process.
#[derive(Debug)]
pub(crate) struct Leash {
    _socket: UnixStream,
    has_answered: Arc<AtomicBool>,
}

impl Leash {
    /// A process is stopped when the other end of `socket` is closed. An answer of it sets
    /// `has_answered`.
    pub(crate) fn new(socket: UnixStream, has_answered: Arc<AtomicBool>) -> Leash {
        Leash {
            _socket: socket,
            has_answered,
        }
    }

    /// The process has answered something.
    pub(crate) fn note_answer(&self) {
        self.has_answered.store(true, Ordering::Relaxed);
    }
}

/// The answer to a [`ControlRequest`].
#[derive(Debug)]
pub(crate) enum ControlAnswer {
    /// A result or an error, as it came.
    Message(RelayedPart),
    /// There is none.
    Failed {
        /// The status of HTTP, if there was one.
        status: Option<u16>,
        /// Why not.
        failure: Failure,
    },
}

/// A subscription on its way to an upstream. The control side hears of its end in every case.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// The number of the upstream.
    pub(crate) upstream: u16,
    /// The name of the upstream.
    pub(crate) name: Arc<str>,
    /// Its own number.
    pub(crate) number: u32,
    /// Where its events go.
    pub(crate) board: Arc<UpstreamBoard>,
    /// Why it ends, as far as that is known.
    pub(crate) fault: Option<String>,
    /// Whether the upstream has refused it, as one that has none.
    pub(crate) is_refused: bool,
}

impl Subscription {
    /// Passes an event on.
    pub(crate) fn send(&self, event: SubscriptionEvent) {
        let (upstream, number) = (self.upstream, self.number);
        self.board
            .send(ControlEvent::Subscription(upstream, number, event));
    }

    /// The upstream has reported an update of a resource.
    pub(crate) fn handle_update(&self, uri: &str) {
        let board = &self.board;
        board.report(board.interests.mark(&self.name, uri));
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let fault = self.fault.take();
        self.send(match self.is_refused {
            true => SubscriptionEvent::Refused,
            false => SubscriptionEvent::Ended(fault),
        });
    }
}

/// An event of the subscription at an upstream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SubscriptionEvent {
    /// The upstream has accepted it.
    Acknowledged,
    /// A list has changed.
    ListChanged,
    /// The upstream has no subscriptions.
    Refused,
    /// It has ended, with the error of the upstream if there is one.
    Ended(Option<String>),
}

/// Something that the control side waits for.
#[derive(Debug)]
pub(crate) enum ControlEvent {
    /// The upstream with this number has answered a [`ControlRequest`].
    Answer(u16, ControlAnswer),
    /// The addresses of the replicas of the upstream with this number are known, as far as they
    /// have any, or none is.
    Resolved(u16, io::Result<Vec<Option<SockAddr>>>),
    /// A process of a program is to be started.
    Start(ProcessRequest),
    /// A program keeps ending before it answers.
    CrashLoop,
    /// Something about a subscription at the upstream with this number, and its own number.
    Subscription(u16, u32, SubscriptionEvent),
    /// Clients have subscribed to other resources, or some have updates.
    Interests,
    /// A client reads lists that have expired.
    ExpiredListUsed,
    /// A shard has nothing more of an upstream that was removed or replaced.
    Drained {
        /// The number of the upstream.
        upstream: u16,
        /// That of `Endpoint::instance`.
        instance: u64,
        /// The shard.
        shard: u16,
    },
    /// A request waits for the control side.
    Request,
    /// An upstream refuses its credential with this number.
    Challenged {
        /// The number of the upstream.
        upstream: u16,
        /// That of `EndpointCredential::number`.
        credential: u64,
    },
    /// A credential was granted to the upstream with this number and this
    /// `Endpoint::instance`, or was not.
    Granted(u16, u64, Result<Granted, GrantFault>),
    /// The token of a client is to be exchanged.
    Exchange(ExchangeRequest),
    /// The token with this key was exchanged for the upstream with this number and this
    /// `Endpoint::instance`, or was not.
    #[cfg_attr(
        not(feature = "auth"),
        expect(dead_code, reason = "nothing is exchanged")
    )]
    Exchanged(u16, u64, SubjectKey, Result<Granted, GrantFault>),
    /// The server ends.
    Stop,
}

/// A shard needs a token for which that of a client is exchanged.
#[derive(Debug)]
pub(crate) struct ExchangeRequest {
    /// The number of the upstream.
    pub(crate) upstream: u16,
    /// That of `Endpoint::instance`.
    pub(crate) instance: u64,
    /// The shard.
    pub(crate) shard: u16,
    /// The token of the client.
    pub(crate) subject: SubjectToken,
    /// The number of a token that the upstream refuses, or that is to be renewed.
    pub(crate) before: Option<u64>,
}

/// The answer to an [`ExchangeRequest`].
#[derive(Clone, Debug)]
pub(crate) struct ExchangeAnswer {
    /// The number of the upstream.
    pub(crate) upstream: u16,
    /// That of `Endpoint::instance`.
    pub(crate) instance: u64,
    /// The token of the client.
    pub(crate) key: SubjectKey,
    /// The token that it was exchanged for, or why there is none, for the client.
    pub(crate) result: Result<Arc<ExchangedToken>, &'static str>,
}

/// The place of the table and of the requests. A shard looks at two numbers each turn.
pub(crate) struct UpstreamBoard {
    generation: AtomicU64,
    table: Mutex<Arc<UpstreamTable>>,
    /// By shard. The control side has one request of each upstream at a time.
    requests: Vec<SegQueue<ControlRequest>>,
    /// By shard: processes that were started, or none where that failed.
    processes: Vec<SegQueue<(ProcessRequest, Option<StartedProcess>)>>,
    /// By shard: tokens that were exchanged.
    exchanged: Vec<SegQueue<ExchangeAnswer>>,
    /// Whether no shard takes processes any more.
    is_over: AtomicBool,
    /// Whether lists have expired, which are read again once a client uses them.
    has_expired: AtomicBool,
    interests: Interests,
    last_process: AtomicU64,
    control: OnceLock<Sender<ControlEvent>>,
}

impl fmt::Debug for UpstreamBoard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("UpstreamBoard")
            .finish_non_exhaustive()
    }
}

impl UpstreamBoard {
    /// A board of a server with so many shards.
    pub(crate) fn new(table: UpstreamTable, shards: usize) -> UpstreamBoard {
        UpstreamBoard {
            generation: AtomicU64::new(1),
            table: Mutex::new(Arc::new(table)),
            requests: (0..shards).map(|_| SegQueue::new()).collect(),
            processes: (0..shards).map(|_| SegQueue::new()).collect(),
            exchanged: (0..shards).map(|_| SegQueue::new()).collect(),
            is_over: AtomicBool::new(false),
            has_expired: AtomicBool::new(false),
            interests: Interests::default(),
            last_process: AtomicU64::new(0),
            control: OnceLock::new(),
        }
    }

    /// Sets where the uses of expired lists are reported.
    pub(crate) fn set_control(&self, control: Sender<ControlEvent>) {
        let _ = self.control.set(control);
    }

    /// Sends an event to the control side. Returns whether that can take it.
    pub(crate) fn send(&self, event: ControlEvent) -> bool {
        let control = self.control.get();
        control.is_some_and(|control| control.send(event).is_ok())
    }

    /// The number of the next request for a process. None is used twice: an answer that comes late
    /// must not be taken for that to a request of another upstream.
    pub(crate) fn next_process(&self) -> u64 {
        self.last_process.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Leaves a process for the shard that needs it. The caller wakes it.
    pub(crate) fn leave_process(&self, request: ProcessRequest, started: Option<StartedProcess>) {
        self.processes[usize::from(request.shard)].push((request, started));
        if self.is_over.load(Ordering::SeqCst) {
            self.end_processes();
        }
    }

    /// Takes a process for this shard.
    pub(crate) fn take_process(
        &self,
        shard: u16,
    ) -> Option<(ProcessRequest, Option<StartedProcess>)> {
        self.processes[usize::from(shard)].pop()
    }

    /// Leaves an exchanged token for a shard, which has requested it. The caller wakes it.
    pub(crate) fn leave_exchanged(&self, shard: u16, answer: ExchangeAnswer) {
        self.exchanged[usize::from(shard)].push(answer);
    }

    /// Takes an exchanged token for this shard.
    pub(crate) fn take_exchanged(&self, shard: u16) -> Option<ExchangeAnswer> {
        self.exchanged[usize::from(shard)].pop()
    }

    /// All shards have ended: processes that none of them took are stopped.
    pub(crate) fn end_processes(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        for of_shard in &self.processes {
            while of_shard.pop().is_some() {}
        }
    }

    /// Whether this shard reads the lists of an upstream.
    pub(crate) fn reads(&self, upstream: u16, shard: u16) -> bool {
        usize::from(upstream) % self.requests.len() == usize::from(shard)
    }

    /// The resources to which clients have subscribed.
    pub(crate) fn interests(&self) -> &Interests {
        &self.interests
    }

    /// A client subscribes to a resource of an upstream. Returns whether it may.
    pub(super) fn add_interest(&self, upstream: &Arc<str>, uri: &Arc<str>) -> bool {
        let added = self.interests.add(upstream, uri, RESOURCES_MAX);
        self.report(added == Some(true));
        added.is_some()
    }

    /// The subscription of a client has ended.
    pub(super) fn remove_interest(&self, upstream: &Arc<str>, uri: &Arc<str>) {
        self.report(self.interests.remove(upstream, uri));
    }

    fn report(&self, is_due: bool) {
        if is_due {
            self.send(ControlEvent::Interests);
        }
    }

    /// From now on the next use of a list is reported.
    pub(crate) fn expire_lists(&self) {
        self.has_expired.store(true, Ordering::Relaxed);
    }

    /// A client reads a list.
    pub(crate) fn use_list(&self) {
        if self.has_expired.load(Ordering::Relaxed)
            && self.has_expired.swap(false, Ordering::Relaxed)
        {
            self.send(ControlEvent::ExpiredListUsed);
        }
    }

    /// Leaves another table. The caller wakes the shards.
    pub(crate) fn publish(&self, table: UpstreamTable) {
        *self.lock() = Arc::new(table);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// The present table.
    pub(crate) fn present(&self) -> Arc<UpstreamTable> {
        Arc::clone(&self.lock())
    }

    /// The table and its generation, unless that is `generation`.
    pub(crate) fn after(&self, generation: u64) -> Option<(u64, Arc<UpstreamTable>)> {
        let latest = self.generation.load(Ordering::Acquire);
        (latest != generation).then(|| (latest, self.present()))
    }

    /// Leaves a request for the shard that reads the lists of its upstream. The caller wakes it.
    pub(crate) fn request(&self, request: ControlRequest) -> usize {
        let shard = usize::from(request.upstream) % self.requests.len();
        self.requests[shard].push(request);
        shard
    }

    /// Takes a request for this shard.
    pub(crate) fn take_request(&self, shard: u16) -> Option<ControlRequest> {
        self.requests[usize::from(shard)].pop()
    }

    /// Whether there is a request for this shard, or a table after `generation`.
    pub(crate) fn has_news(&self, shard: u16, generation: u64) -> bool {
        let is_newer = self.generation.load(Ordering::Relaxed) != generation;
        let shard = usize::from(shard);
        is_newer
            || !self.requests[shard].is_empty()
            || !self.processes[shard].is_empty()
            || !self.exchanged[shard].is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Arc<UpstreamTable>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
