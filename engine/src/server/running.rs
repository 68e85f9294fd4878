//! A running server: its address, and its end.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::administered::Administered;
use super::directory::ServedDirectory;
use super::error::{Error, Result};
use super::event::Event;
use super::handle::ServerHandle;
use super::inherited::Inherited;
use super::pinning::Pinning;
use super::reload::{ReloadHooks, ReloadedFiles, Reloader};
use super::supervisor::{Ended, Supervisor};
use super::upgrade::Upgrader;
use super::upstreams::{FixedAndAll, UpstreamReload, UpstreamThread};
use super::{
    AdminListener, AuditThread, Certificates, ClusterThread, MetricsListener, RecordThread,
    ServerAccess, systemd,
};
use crate::files::Watch;
use crate::handler::runtime::{HandlerRuntime, RuntimeContext};
use crate::live::Live;
use crate::mcp::ServerParts;
use crate::meter::MeterSnapshot;
use crate::profile::memory::MemoryBudget;
use crate::profile::{Gateway, ListenAddress, Profile};
use crate::shard::error::ShardError;
use crate::shard::{ShardControl, ShardPlan};
use crate::transport::stdio::StdioError;
use crate::transport::unix::SocketFile;

/// The supervisor of the shards.
enum Supervision {
    /// It has no thread yet: a shard that fails while the server starts is not started again.
    Starting(Box<Supervisor>),
    /// It runs until all shards have ended.
    Running(JoinHandle<Ended>),
    /// All shards have ended.
    Over,
}

/// A server whose shards accept connections. Dropping it drains it.
#[derive(Debug)]
pub struct RunningServer {
    addresses: Vec<ListenAddress>,
    endpoint: String,
    connections_per_shard: u32,
    memory: MemoryBudget,
    pub(super) shards: Vec<Arc<ShardControl>>,
    supervision: Supervision,
    events: Sender<Event>,
    received: Receiver<Event>,
    /// Watches of directories, for the life of the server.
    watches: Vec<Watch>,
    /// The certificates of listeners with TLS.
    certificates: Option<Certificates>,
    /// Access control, if it is configured.
    pub(super) access: Option<ServerAccess>,
    /// Reloads, once the server has started.
    pub(super) reloader: Option<Arc<Reloader>>,
    /// Upgrades, of a server that is the whole of its process.
    pub(super) upgrader: Option<Arc<Upgrader>>,
    /// Knobs of upstreams.
    gateway: Gateway,
    /// The control side of upstreams; ends before the shards.
    pub(super) upstreams: Option<UpstreamThread>,
    /// Their part in reloads, until these are ready.
    upstream_reload: Option<UpstreamReload>,
    /// The thread of the cluster, if the server is a node of one; ends after the shards.
    pub(super) cluster: Option<ClusterThread>,
    /// Where the shards run, unless there is one channel.
    pub(super) pinning: Option<Pinning>,
    /// The listener for metrics, if there is one; ends after the shards.
    pub(super) metrics: Option<MetricsListener>,
    /// The thread that shows single requests, if any are shown; ends after the shards.
    pub(super) records: Option<RecordThread>,
    /// The control socket, if there is one; ends after the shards.
    pub(super) admin: Option<AdminListener>,
    /// The files of Unix sockets, removed after the shards have ended.
    pub(super) socket_files: Vec<SocketFile>,
    /// The writer of the audit log; ends after the shards.
    pub(super) audit: Option<AuditThread>,
    /// Drives the I/O of handlers; dropped after the shards have ended.
    runtime: Option<HandlerRuntime>,
}

impl RunningServer {
    pub(super) fn new(
        addresses: Vec<ListenAddress>,
        profile: &Profile,
        (connections_per_shard, memory): (u32, MemoryBudget),
        (events, received): (Sender<Event>, Receiver<Event>),
        supervisor: Supervisor,
    ) -> RunningServer {
        RunningServer {
            addresses,
            endpoint: profile.server.endpoint.as_slice()[0].clone(),
            connections_per_shard,
            memory,
            shards: Vec::new(),
            supervision: Supervision::Starting(Box::new(supervisor)),
            events,
            received,
            watches: Vec::new(),
            certificates: None,
            access: None,
            reloader: None,
            upgrader: None,
            gateway: profile.gateway,
            upstreams: None,
            upstream_reload: None,
            cluster: None,
            pinning: None,
            metrics: None,
            records: None,
            admin: None,
            socket_files: Vec::new(),
            audit: None,
            runtime: None,
        }
    }

    /// Starts the next shard, which reports to `ready`.
    ///
    /// # Errors
    /// Its thread cannot be made.
    pub(super) fn add(
        &mut self,
        plan: ShardPlan,
        ready: Sender<std::result::Result<(), ShardError>>,
    ) -> Result<()> {
        let Supervision::Starting(supervisor) = &mut self.supervision else {
            unreachable!("shards are added before the server runs");
        };
        self.shards.push(Arc::clone(&plan.control));
        Ok(supervisor.start(plan, ready)?)
    }

    /// Shows metrics and single requests of these shards as the profile has it.
    ///
    /// # Errors
    /// An address cannot be listened on, or a thread cannot be made.
    pub(super) fn show(
        &mut self,
        profile: &Profile,
        shards: &[Arc<ShardControl>],
        inherited: Option<Inherited>,
    ) -> Result<()> {
        self.records = RecordThread::start(profile, shards)?;
        let records = self.records.as_ref();
        let socket = inherited.and_then(|it| it.metrics);
        self.metrics = MetricsListener::start(&profile.metrics, shards, records, socket)?;
        Ok(())
    }

    /// Reads these files again, when they change or a reload is requested, for as long as the
    /// server runs. It runs with this profile and these settings.
    pub(super) fn keep_reloading(
        &mut self,
        (certificates, access): (Option<Certificates>, Option<ServerAccess>),
        profile: (Profile, ReloadHooks),
        live: Arc<Live>,
        of_server: (ServerHandle, Vec<Arc<ShardControl>>),
    ) {
        let files = ReloadedFiles {
            access: access.as_ref().map(ServerAccess::reload),
            certificates: certificates.as_ref().map(Certificates::reload),
            upstreams: self.upstream_reload.take(),
            cluster: self.cluster.as_ref().map(ClusterThread::requests),
        };
        let addresses = self.addresses.clone();
        self.reloader = Some(Reloader::new(profile, live, of_server, addresses, files));
        self.certificates = certificates;
        self.access = access;
    }

    /// Reads the lists of `upstreams` for as long as the server runs. The `fixed` ones stay with
    /// each reload. Their programs are started by the launcher, if there is one.
    ///
    /// # Errors
    /// The thread for that cannot be made.
    pub(super) fn read_lists(
        &mut self,
        ((fixed, upstreams), launcher): (FixedAndAll, Option<PathBuf>),
        parts: &ServerParts,
        of_server: (Vec<Arc<ShardControl>>, ServerHandle),
    ) -> Result<()> {
        let has_launcher = launcher.is_some();
        if let Some(board) = &parts.upstreams {
            let board = Arc::clone(board);
            let upstreams = (upstreams, launcher);
            let thread = UpstreamThread::start(upstreams, (board, parts), of_server, self.gateway)?;
            self.upstreams = Some(thread);
        }
        let requests = self.upstreams.as_ref().map(UpstreamThread::requests);
        self.upstream_reload = Some(UpstreamReload::new(
            (fixed, has_launcher),
            requests,
            Arc::clone(&parts.exposed),
        ));
        Ok(())
    }

    /// Where the server listens: its first address of TCP.
    ///
    /// # Panics
    /// If it listens on no such address; see [`RunningServer::addresses`].
    pub fn address(&self) -> SocketAddr {
        let mut addresses = self.addresses.iter();
        let first = addresses.find_map(ListenAddress::socket_addr);
        first.expect("the profile has an address of TCP")
    }

    /// Where the server listens, in the order of the profile, with the ports that were bound;
    /// nowhere if it serves standard input and output.
    pub fn addresses(&self) -> &[ListenAddress] {
        &self.addresses
    }

    /// Where metrics are read, if `metrics.listen` of the profile is set, with the port that was
    /// bound.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(MetricsListener::address)
    }

    /// Path of the MCP endpoint, the first one if there are several.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// How many connections each shard can hold: the least of the shards.
    pub fn connections_per_shard(&self) -> u32 {
        self.connections_per_shard
    }

    /// How much memory clients can make it hold.
    pub(super) fn memory(&self) -> MemoryBudget {
        self.memory
    }

    /// Serves until a signal, or until a shard fails; then drains.
    pub(super) fn run_until_signal(mut self, is_ending: &AtomicBool) -> Result<()> {
        let is_stalled = || {
            let mut shards = self.shards.iter();
            shards.any(|shard| shard.is_stalled.load(Ordering::Relaxed))
        };
        match systemd::receive(&self.received, is_stalled) {
            Some(Event::Signal) => {
                systemd::notify_stopping();
                self.give_notice();
                tracing::info!("draining");
            }
            Some(Event::HandedOver) => {
                // A signal ends this process at once: the other one serves.
                is_ending.store(true, Ordering::Relaxed);
                self.retire();
            }
            Some(Event::ShardEnded | Event::InputEnded(_)) | None => {
                tracing::error!("a shard ended; draining the rest");
            }
        }
        let totals = self.finish()?;
        for (row, value) in totals.rows().filter(|(_, value)| *value > 0) {
            tracing::info!(name = row.name, label = row.label, value, "total");
        }
        Ok(())
    }

    /// Lets load balancers see that the server drains soon, and goes on until they have had the
    /// time to look, or a shard ends.
    fn give_notice(&self) {
        let reloader = self.reloader.as_ref();
        let notice = reloader.map_or(Duration::ZERO, |it| it.drain_notice());
        if notice.is_zero() {
            return;
        }
        tracing::info!("draining in {} ms", notice.as_millis());
        if let Some(control) = self.shards.first() {
            control.begin_notice();
        }
        let _ = self.received.recv_timeout(notice);
    }

    /// The parts for an administrator; `is_ending` is that of its signals.
    pub(super) fn administered(
        &self,
        is_ending: Arc<AtomicBool>,
        upgrader: Arc<Upgrader>,
    ) -> Administered {
        let addresses = self.addresses().iter();
        Administered {
            shards: self.shards.clone(),
            addresses: addresses.map(ToString::to_string).collect(),
            started: Instant::now(),
            reloader: self.reloader.clone(),
            upgrader,
            events: self.events(),
            is_ending,
            slow: self.records.as_ref().and_then(RecordThread::slow),
            upstreams: self.upstreams.as_ref().map(UpstreamThread::requests),
            cluster: self.cluster.as_ref().map(ClusterThread::requests),
        }
    }

    /// The sender of its events.
    pub(super) fn events(&self) -> Sender<Event> {
        self.events.clone()
    }

    /// Serves until the only shard has ended, a signal arrives, or `calls_time` after the end of
    /// standard input. Returns when the time for calls is over, and the error of reading.
    pub(super) fn wait_for_channel(
        &self,
        calls_time: Duration,
    ) -> (Instant, std::result::Result<(), StdioError>) {
        let mut read = Ok(());
        let mut input_ended: Option<Instant> = None;
        loop {
            let event = match input_ended {
                None => self.received.recv().ok(),
                Some(ended) => {
                    let left = calls_time.saturating_sub(ended.elapsed());
                    self.received.recv_timeout(left).ok()
                }
            };
            let ended = input_ended.unwrap_or_else(Instant::now);
            match event {
                Some(Event::InputEnded(error)) => {
                    input_ended = Some(ended);
                    read = error.map_or(read, Err);
                }
                Some(Event::Signal | Event::HandedOver) => {
                    tracing::info!("draining");
                    return (ended + calls_time, read);
                }
                Some(Event::ShardEnded) | None => return (ended + calls_time, read),
            }
        }
    }

    /// Ends the calls in flight: their time is over, or will be before the shards notice it.
    pub(super) fn end_calls(&self) {
        for control in &self.shards {
            control.is_overdue.store(true, Ordering::Relaxed);
        }
    }

    /// Drains the server and logs its counters at the level for developers: the standard error of a
    /// child process is read for faults.
    pub(super) fn log_channel_totals(&mut self) -> Result<()> {
        let totals = self.finish()?;
        for (row, value) in totals.rows().filter(|(_, value)| *value > 0) {
            tracing::debug!(name = row.name, label = row.label, value, "total");
        }
        Ok(())
    }

    /// Drains the server: finishes the calls in flight, closes everything, returns the counters.
    ///
    /// # Errors
    /// The first shard that failed.
    pub fn drain(mut self) -> Result<MeterSnapshot> {
        self.finish()
    }

    /// Starts the runtime in whose context handlers run.
    pub(super) fn start_runtime(&mut self) -> Result<RuntimeContext> {
        let runtime = HandlerRuntime::start().map_err(Error::Runtime)?;
        Ok(self.runtime.insert(runtime).context())
    }

    /// Reports changes of directories for the life of the server.
    ///
    /// # Errors
    /// One of them cannot be watched.
    pub(super) fn watch(
        &mut self,
        directories: Vec<ServedDirectory>,
        handle: &ServerHandle,
    ) -> Result<()> {
        for directory in directories {
            self.watches.push(directory.watch(handle.clone())?);
        }
        Ok(())
    }

    /// Waits until each shard has started or has failed. No further one reports to `sender`.
    pub(super) fn when_ready(
        mut self,
        shards: usize,
        sender: Sender<std::result::Result<(), ShardError>>,
        ready: &Receiver<std::result::Result<(), ShardError>>,
    ) -> Result<RunningServer> {
        // Each shard reports exactly once; one that panics hangs up instead.
        drop(sender);
        for _ in 0..shards {
            match ready.recv() {
                Ok(started) => started?,
                Err(_) => return Err(self.first_failure()),
            }
        }
        if let Supervision::Starting(supervisor) = self.supervision.take() {
            let thread = supervisor.spawn().map_err(Error::Supervisor)?;
            self.supervision = Supervision::Running(thread);
        }
        Ok(self)
    }

    /// Why the server did not start, when no shard reported a reason.
    pub(super) fn first_failure(&mut self) -> Error {
        match self.finish() {
            Err(error) => error,
            Ok(_) => unreachable!("a shard that does not say it is ready has failed"),
        }
    }

    fn finish(&mut self) -> Result<MeterSnapshot> {
        self.upgrader.iter().for_each(|it| it.end());
        let processes = self.upstreams.take().and_then(UpstreamThread::end);
        if let Some(cluster) = &self.cluster {
            cluster.begin_drain();
        }
        for control in &self.shards {
            control.begin_drain();
        }
        let ended = match self.supervision.take() {
            Supervision::Starting(supervisor) => supervisor.run(),
            Supervision::Running(thread) => thread.join().unwrap_or_else(|panic| {
                // A fault of this crate: it is not hidden.
                std::panic::resume_unwind(panic)
            }),
            Supervision::Over => Ok(MeterSnapshot::default()),
        };
        // The last writes of the node.
        self.cluster = None;
        // The shards have let go of them.
        drop(processes);
        // The shards have left all of their records.
        self.audit = None;
        Ok(ended?)
    }
}

impl fmt::Debug for Supervision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Supervision::Starting(_) => "Starting",
            Supervision::Running(_) => "Running",
            Supervision::Over => "Over",
        })
    }
}

impl Supervision {
    fn take(&mut self) -> Supervision {
        std::mem::replace(self, Supervision::Over)
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            tracing::error!(%error, "while draining");
        }
    }
}
