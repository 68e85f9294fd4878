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

use corelane_gateway::config::Sessions;
use corelane_gateway::relay::{Failure, RelayedPart};
use corelane_protocol::mcp::era::Era;
use crossbeam::queue::SegQueue;
use socket2::SockAddr;

use super::interests::Interests;
use crate::transport::OutgoingTls;

/// Resources of one upstream to which clients may subscribe: they are in one request.
const RESOURCES_MAX: usize = 1024;

/// One upstream, as shards see it.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// Its name in the configuration.
    pub(crate) name: Arc<str>,
    /// The number of the upstream that it is, or that it is a further replica of.
    pub(crate) upstream: u16,
    /// The numbers of the further replicas of the upstream; none of such a replica.
    pub(crate) replicas: Arc<[u16]>,
    /// The hash of its address in the configuration.
    pub(crate) hash: u64,
    /// Its number, which no other one ever has; its place in the table may be used again.
    pub(crate) instance: u64,
    /// Whether it is to stay.
    pub(crate) standing: Standing,
    /// Where it is; none while that is not known, and of a program.
    pub(crate) address: Option<SockAddr>,
    /// How it is reached.
    pub(crate) carrier: Carrier,
    /// How links to it are secured, if they are.
    pub(crate) tls: Option<OutgoingTls>,
    /// The starts of the heads of its requests.
    pub(crate) heads: Heads,
    /// Fields of clients that are passed on to it, in lower case.
    pub(crate) forwarded: Arc<[Box<str>]>,
    /// The credential in them, if there is to be one.
    pub(crate) credential: Option<EndpointCredential>,
    /// The era that it speaks, as far as that is known.
    pub(crate) era: Era,
    /// The clients that share one of its sessions, in the legacy era.
    pub(crate) sessions: Sessions,
    /// Whether it reports updates of resources.
    pub(crate) has_updates: bool,
    /// The start of the messages of its elicitations, which names it; may be empty.
    pub(crate) question_prefix: Box<str>,
    /// Whether calls of modern clients stay open while the clients answer.
    pub(crate) parks_calls: bool,
    /// Of a program.
    pub(crate) processes: Processes,
}

/// How many processes of a program there are, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Processes {
    /// Most processes that share the calls of all clients on a shard.
    pub(crate) shared_max: u16,
    /// A process without a call for so many milliseconds is stopped; 0 if none is.
    pub(crate) idle_stop_ms: u64,
}

impl Processes {
    /// One, which is not stopped.
    pub(crate) const ONE: Processes = Processes {
        shared_max: 1,
        idle_stop_ms: 0,
    };
}

impl Endpoint {
    /// A number of the table that is free, and whose last upstream was this instance.
    pub(crate) fn free(number: u16, instance: u64) -> Endpoint {
        Endpoint {
            name: "".into(),
            upstream: number,
            replicas: Arc::default(),
            hash: 0,
            instance,
            standing: Standing::Ends,
            address: None,
            carrier: Carrier::Lines,
            tls: None,
            heads: Heads::default(),
            forwarded: Arc::default(),
            credential: None,
            era: Era::Modern,
            sessions: Sessions::Client,
            has_updates: false,
            question_prefix: Box::default(),
            parks_calls: false,
            processes: Processes::ONE,
        }
    }

    /// Whether what may change of an upstream is as in `other`.
    pub(crate) fn is_as(&self, other: &Endpoint) -> bool {
        self.instance == other.instance
            && self.standing == other.standing
            && self.address == other.address
            && self.era == other.era
            && self.has_updates == other.has_updates
            && (self.upstream, &self.replicas) == (other.upstream, &other.replicas)
            && self.question_prefix == other.question_prefix
            && self.parks_calls == other.parks_calls
            && self.credential == other.credential
    }

    /// Whether requests need a credential that is not there.
    pub(crate) fn lacks_credential(&self) -> bool {
        let credential = self.credential.as_ref();
        credential.is_some_and(|credential| !credential.is_there)
    }
}

/// The credential of an upstream, which is in its heads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointCredential {
    /// Rises with each other one.
    pub(crate) number: u64,
    /// The name of its field, in lower case.
    pub(crate) field: Arc<str>,
    /// Rises with each try to get another one that failed.
    pub(crate) failures: u64,
    /// Whether it is there.
    pub(crate) is_there: bool,
}

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

/// Whether an upstream is to stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is.
    #[default]
    Serves,
    /// A reload has removed it or put another one in its place: its calls go on to their ends.
    Drains,
    /// The time for these calls is over.
    Ends,
}

/// How an upstream is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// Over HTTP: a link carries one call at a time.
    Http,
    /// Lines on the standard input and output of a process, which each owner of a session has.
    Program,
    /// Lines on a connection, which each owner of a session has.
    Lines,
    /// HTTP+SSE: each owner of a session has a stream, and messages to the upstream are requests.
    Events,
}

/// The starts of the heads of requests: the request line, and fields that are always the same. They
/// may have a credential. Messages of lines and of HTTP+SSE have no heads: these are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heads {
    /// Of messages.
    pub(crate) post: Arc<[u8]>,
    /// Of the stream of a session.
    pub(crate) get: Arc<[u8]>,
    /// Of the end of a session.
    pub(crate) delete: Arc<[u8]>,
    /// Of HTTP+SSE.
    pub(crate) events: Option<Arc<EventHeads>>,
}

/// The starts of the heads of HTTP+SSE.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EventHeads {
    /// The URL of the stream, to which that for messages may be relative.
    pub(crate) url: Box<str>,
    /// Of the stream.
    pub(crate) get: Arc<[u8]>,
    /// Of messages, but with the request target of the stream.
    pub(crate) post: Arc<[u8]>,
}

/// The replicas of all upstreams.
#[derive(Debug)]
pub(crate) struct UpstreamTable {
    /// The name and version of this server, as a JSON object.
    pub(crate) client_info: Box<str>,
    /// By number, with those that are free.
    pub(crate) endpoints: Vec<Endpoint>,
    /// What their lists lack.
    pub(crate) notice: ListNotice,
}

/// What clients learn about lists that upstreams have not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ListNotice {
    /// The upstreams whose lists are not as they are now, as a JSON array; none if all are.
    pub(crate) outcomes: Option<Arc<str>>,
    /// Whether an upstream that is required has given none, so that all lists fail.
    pub(crate) lacks_required: bool,
}

impl UpstreamTable {
    /// Whether an upstream has several replicas.
    pub(crate) fn has_replicas(&self, upstream: u16) -> bool {
        !self.endpoints[usize::from(upstream)].replicas.is_empty()
    }

    /// The numbers of the replicas of an upstream.
    pub(crate) fn replicas(&self, upstream: u16) -> impl Iterator<Item = u16> + use<> {
        let further = Arc::clone(&self.endpoints[usize::from(upstream)].replicas);
        let further = (0..further.len()).map(move |place| further[place]);
        std::iter::once(upstream).chain(further)
    }
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
    /// The process is stopped when this is closed.
    pub(crate) leash: UnixStream,
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
        /// That of [`Endpoint::instance`].
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
        /// That of [`EndpointCredential::number`].
        credential: u64,
    },
    /// A credential was granted to the upstream with this number and this
    /// [`Endpoint::instance`], or was not.
    Granted(u16, u64, Result<Granted, GrantFault>),
    /// The server ends.
    Stop,
}

/// The place of the table and of the requests. A shard looks at two numbers each turn.
pub(crate) struct UpstreamBoard {
    generation: AtomicU64,
    table: Mutex<Arc<UpstreamTable>>,
    /// By shard. The control side has one request of each upstream at a time.
    requests: Vec<SegQueue<ControlRequest>>,
    /// By shard: processes that were started, or none where that failed.
    processes: Vec<SegQueue<(ProcessRequest, Option<StartedProcess>)>>,
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
        is_newer || !self.requests[shard].is_empty() || !self.processes[shard].is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Arc<UpstreamTable>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
