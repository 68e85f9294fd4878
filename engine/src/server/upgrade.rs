//! An upgrade: another process of the server takes over from this one. This is the old one's part.
//!
//! The new process is started, and gets the listening sockets. When it is ready, the shards stop
//! accepting and let go of connections, and their sessions are copied. The new process serves as
//! soon as it has confirmed that; this one drains with the rest. Up to then every failure
//! leads back: the new process is ended, and the shards go on with everything.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::event::Event;
use super::handle::ServerHandle;
use super::reload::Reloader;
use super::state_keys::OwnKey;
use super::systemd;
use super::talk::{STEP_TIME, Talk};
use super::upgrade_result::{UpgradeError, UpgradeReport, UpgradeRequest};
use crate::handover::frame::{DESCRIPTORS_MAX, Frame, VERSION, pack};
use crate::handover::rows::{ConnectionRow, SocketRow};
use crate::handover::steps::Fault;
use crate::shard::ShardControl;
use crate::shard::jobs::{Answer, Frozen, HandsOver};

/// Looks for connections that have ended a request since the look before, and the time between two.
const LOOKS_MAX: usize = 5;
const LOOK_INTERVAL: Duration = Duration::from_millis(2);
/// Places of sessions of one look at a shard.
const SESSIONS_PER_LOOK: usize = 1024;
/// Rows of sessions in one frame.
const SESSION_ROWS_MAX: usize = 1024;

/// The parts of a server that an upgrade needs.
pub(super) struct Upgrader {
    program: Option<PathBuf>,
    handle: ServerHandle,
    shards: Vec<Arc<ShardControl>>,
    reloader: Option<Arc<Reloader>>,
    /// The texts of the addresses of the profile.
    addresses: Vec<String>,
    /// Of metrics and of the control socket, until this process ends.
    sockets: Mutex<Vec<(SocketRow, OwnedFd)>>,
    key: OwnKey,
    /// The part of the server that only one process may have.
    single_writer: Option<&'static str>,
    events: Sender<Event>,
    under_way: Mutex<()>,
    child: Mutex<ChildState>,
}

/// The new process of the upgrade that is under way, which has not taken over.
#[derive(Default)]
struct ChildState {
    pid: Option<Pid>,
    /// This process ends: no other one starts.
    is_over: bool,
}

impl Upgrader {
    pub(super) fn new(
        (shards, reloader): (Vec<Arc<ShardControl>>, Option<Arc<Reloader>>),
        addresses: Vec<String>,
        (handle, key): (ServerHandle, OwnKey),
        single_writer: Option<&'static str>,
        events: Sender<Event>,
    ) -> Arc<Upgrader> {
        Arc::new(Upgrader {
            program: std::env::current_exe().ok(),
            handle,
            shards,
            reloader,
            addresses,
            sockets: Mutex::default(),
            key,
            single_writer,
            events,
            under_way: Mutex::new(()),
            child: Mutex::default(),
        })
    }

    /// Adds a socket that the new process serves as well.
    pub(super) fn add_socket(&self, row: SocketRow, socket: OwnedFd) {
        self.lock_sockets().push((row, socket));
    }

    /// This process ends, and with it a process that has not taken over: who stops the server does
    /// not expect another one. No client waits in the sockets in vain.
    pub(super) fn end(&self) {
        let pid = {
            let mut child = self.lock_child();
            child.is_over = true;
            child.pid.take()
        };
        if let Some(pid) = pid {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
        // The upgrade that is under way ends soon without it.
        drop(self.under_way.lock());
        self.lock_sockets().clear();
    }

    /// The new process has started. Returns false if this one ends.
    fn has_child(&self, pid: u32) -> bool {
        let mut child = self.lock_child();
        child.pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        !child.is_over
    }

    /// The new process has taken over, or ends. Returns false if this one ends it.
    fn forget_child(&self) -> bool {
        let mut child = self.lock_child();
        child.pid = None;
        !child.is_over
    }

    fn lock_child(&self) -> MutexGuard<'_, ChildState> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_sockets(&self) -> MutexGuard<'_, Vec<(SocketRow, OwnedFd)>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Upgrades soon, on a thread of its own: the result is logged.
    pub(super) fn request(self: &Arc<Upgrader>) {
        let upgrader = Arc::clone(self);
        let thread = thread::Builder::new().name("upgrade".to_owned());
        let spawned = thread.spawn(move || {
            let _ = upgrader.upgrade(&UpgradeRequest::default());
        });
        if let Err(error) = spawned {
            tracing::error!(%error, "the thread for an upgrade cannot be made");
        }
    }

    /// Lets another process take over. The result is logged.
    ///
    /// # Errors
    /// [`UpgradeError`]: this process goes on with everything.
    pub(super) fn upgrade(&self, request: &UpgradeRequest) -> Result<UpgradeReport, UpgradeError> {
        let result = self.upgrade_alone(request);
        match &result {
            Ok(report) if request.is_dry_run => {
                tracing::info!(?report, "another process could take over");
            }
            Ok(report) => tracing::info!(?report, "another process has taken over"),
            Err(error) => tracing::error!(%error, "no upgrade"),
        }
        result
    }

    fn upgrade_alone(&self, request: &UpgradeRequest) -> Result<UpgradeReport, UpgradeError> {
        let _one = self
            .under_way
            .try_lock()
            .map_err(|_| UpgradeError::UnderWay)?;
        let reloader = self.reloader.as_ref().ok_or(UpgradeError::Draining)?;
        let _no_reload = reloader.keep_away().map_err(|error| match error {
            super::ReloadError::Draining => UpgradeError::Draining,
            _ => UpgradeError::UnderWay,
        })?;
        if let Some(part) = self.single_writer {
            return Err(UpgradeError::SingleWriter { part });
        }
        let began = Instant::now();
        let mut report = UpgradeReport::default();
        let path = request.binary.clone().or(self.program.clone());
        let path = path.unwrap_or_else(|| PathBuf::from("/proc/self/exe"));
        let talk = Talk::start(&path, self.addresses.len());
        let mut talk = talk.map_err(|error| UpgradeError::Program { path, error })?;
        if !self.has_child(talk.pid()) {
            talk.end();
            return Err(UpgradeError::Draining);
        }
        let ready = self.until_ready(&mut talk, began + request.timeout, &mut report);
        let takes = match ready {
            Ok(takes) => takes,
            Err(fault) => {
                self.forget_child();
                talk.end();
                return Err(UpgradeError::Refused(fault));
            }
        };
        report.start_ms = began.elapsed().as_millis() as u64;
        if request.is_dry_run {
            self.forget_child();
            talk.abort();
            return Ok(report);
        }
        let calmed = Instant::now();
        let handed_over = self.hand_over(&mut talk, &takes, &mut report);
        let goes_on = self.forget_child();
        if let Err(fault) = handed_over {
            talk.abort();
            self.go_on();
            return Err(UpgradeError::RolledBack(fault));
        }
        if !goes_on {
            // It was killed just as it had begun to serve: both end.
            talk.end();
            self.go_on();
            return Err(UpgradeError::Draining);
        }
        report.stall_us = calmed.elapsed().as_micros() as u64;
        let left = self.on_shards(|shard, answer| {
            let _ = answer.try_send(shard.let_go());
        });
        report.connections_left = left.into_iter().flatten().sum();
        systemd::notify_main_process(report.pid);
        let linger_ms = request.linger.as_millis() as u64;
        for shard in &self.shards {
            shard.set_drain_timeout_ms(linger_ms);
        }
        // The receiver is gone if a shard has failed meanwhile: the server ends then.
        let _ = self.events.send(Event::HandedOver);
        Ok(report)
    }

    fn go_on(&self) {
        self.on_shards(|shard, answer: Answer<()>| {
            shard.go_on();
            let _ = answer.try_send(());
        });
    }

    /// Gives the new process its sockets, and returns which addresses it takes when it is ready.
    fn until_ready(
        &self,
        talk: &mut Talk,
        until: Instant,
        report: &mut UpgradeReport,
    ) -> Result<Vec<bool>, Fault> {
        let left = || until.saturating_duration_since(Instant::now());
        if let Frame::Hello { release, .. } = talk.receive(left())? {
            report.release = release;
        }
        report.pid = talk.pid();
        let sockets = self.sockets()?;
        let begin = Frame::Begin {
            version: VERSION,
            addresses: self.addresses.clone(),
            sockets: sockets.len(),
            key: self.key.to_text(),
        };
        talk.send(begin, &[])?;
        for sockets in sockets.chunks(DESCRIPTORS_MAX) {
            let rows = sockets.iter().map(|(row, _)| *row).collect();
            let descriptors: Vec<_> = sockets.iter().map(|(_, it)| it.as_fd()).collect();
            talk.send(Frame::Sockets { rows }, &descriptors)?;
        }
        match talk.receive(left())? {
            Frame::Ready { takes } => Ok(takes),
            _ => Err(Fault::Nonsense("frames")),
        }
    }

    /// Further descriptors of all listening sockets.
    fn sockets(&self) -> Result<Vec<(SocketRow, OwnedFd)>, Fault> {
        let of_shards = self.on_shards(|shard, answer| {
            let _ = answer.try_send(shard.share_listeners());
        });
        let mut sockets = Vec::new();
        for (shard, listeners) in (0..).zip(of_shards) {
            let listeners = listeners.ok_or(Fault::Shard)??;
            sockets.extend(listeners.into_iter().map(|(address, socket)| {
                let address = usize::from(address);
                (SocketRow::Listener { address, shard }, socket)
            }));
        }
        for (row, socket) in &*self.lock_sockets() {
            sockets.push((*row, socket.try_clone()?));
        }
        Ok(sockets)
    }

    /// Hands everything over that can move. After an error nothing has.
    fn hand_over(
        &self,
        talk: &mut Talk,
        takes: &[bool],
        report: &mut UpgradeReport,
    ) -> Result<(), Fault> {
        let calm = self.on_shards(|shard, answer| shard.calm_down(answer));
        if calm.iter().any(Option::is_none) {
            return Err(Fault::Shard);
        }
        self.freeze(takes)?;
        self.copy_sessions(talk, report)?;
        for shard in &self.shards {
            while self.move_some(talk, shard, report)? {}
        }
        let lists = self.handle.updates().latest();
        let lists = lists.map(|plan| plan.fingerprints()).unwrap_or_default();
        talk.commit(lists, STEP_TIME)
    }

    /// Takes the connections out of the shards' tables.
    fn freeze(&self, takes: &[bool]) -> Result<(), Fault> {
        let (until, mut looks) = (Instant::now() + STEP_TIME, 0);
        loop {
            let takes: Arc<[bool]> = takes.into();
            let frozen = self.on_shards(move |shard, answer| {
                let _ = answer.try_send(shard.freeze(&takes));
            });
            let frozen: Option<Vec<Frozen>> = frozen.into_iter().collect();
            let frozen = frozen.ok_or(Fault::Shard)?;
            looks += 1;
            match frozen.contains(&Frozen::Later) {
                true if Instant::now() > until => return Err(Fault::Busy),
                true => {}
                false if looks >= LOOKS_MAX || !frozen.contains(&Frozen::Some) => return Ok(()),
                false => {}
            }
            thread::sleep(LOOK_INTERVAL);
        }
    }

    fn copy_sessions(&self, talk: &mut Talk, report: &mut UpgradeReport) -> Result<(), Fault> {
        for shard in &self.shards {
            let mut next = Some(0);
            while let Some(from) = next {
                let rows = self.on_shard(shard, move |shard, answer: Answer<_>| {
                    let _ = answer.try_send(shard.leaving_sessions(from, SESSIONS_PER_LOOK));
                });
                let (rows, after) = rows?;
                next = after;
                let (frames, too_long) = pack(rows, SESSION_ROWS_MAX);
                report.sessions_refused += too_long;
                for rows in frames {
                    let count = rows.iter().filter(|row| !row.is_more).count();
                    let refused = talk.exchange(Frame::Sessions { rows }, &[])?;
                    report.sessions += count.saturating_sub(refused.len());
                    report.sessions_refused += refused.len();
                }
            }
            let ended = self.on_shard(shard, |shard, answer: Answer<_>| {
                let _ = answer.try_send(shard.ended_sessions());
            });
            for rows in pack(ended?, SESSION_ROWS_MAX).0 {
                talk.exchange(Frame::Ended { rows }, &[])?;
            }
        }
        Ok(())
    }

    /// Moves a batch of the connections of a shard. Returns whether there was any.
    fn move_some(
        &self,
        talk: &mut Talk,
        shard: &Arc<ShardControl>,
        report: &mut UpgradeReport,
    ) -> Result<bool, Fault> {
        let offered = self.on_shard(shard, |shard, answer: Answer<Option<Vec<_>>>| {
            shard.offer(DESCRIPTORS_MAX, answer);
        });
        let Some(offered) = offered? else {
            return Ok(false);
        };
        let of = offered.len();
        let (rows, sockets): (Vec<ConnectionRow>, Vec<OwnedFd>) = offered.into_iter().unzip();
        let mut refused = Vec::new();
        let mut sockets = &sockets[..];
        let (frames, too_long) = pack(rows, DESCRIPTORS_MAX);
        if too_long > 0 {
            // Their descriptors cannot be distinguished from the others'.
            return Err(Fault::Nonsense("a connection whose row is too long"));
        }
        let mut first = 0;
        for rows in frames {
            let count = rows.len();
            let descriptors: Vec<_> = sockets[..count].iter().map(AsFd::as_fd).collect();
            sockets = &sockets[count..];
            let some = talk.exchange(Frame::Connections { rows }, &descriptors)?;
            refused.extend(some.into_iter().map(|at| first + at));
            first += count;
        }
        report.connections_moved += of - refused.len();
        report.connections_refused += refused.len();
        if !refused.is_empty() {
            self.on_shard(shard, move |shard, answer: Answer<()>| {
                shard.take_back(&refused, of);
                let _ = answer.try_send(());
            })?;
        }
        Ok(true)
    }

    /// Lets one shard do a job, and returns its answer.
    fn on_shard<T: Send + 'static>(
        &self,
        control: &Arc<ShardControl>,
        job: impl FnOnce(&mut dyn HandsOver, Answer<T>) + Send + 'static,
    ) -> Result<T, Fault> {
        let answered = control.request(job);
        answered.recv_timeout(STEP_TIME).map_err(|_| Fault::Shard)
    }

    /// Lets all shards do a job at once, and returns their answers: none of one that is stuck.
    fn on_shards<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn HandsOver, Answer<T>) + Clone + Send + 'static,
    ) -> Vec<Option<T>> {
        let shards = self.shards.iter();
        let answers: Vec<Receiver<T>> = shards.map(|shard| shard.request(job.clone())).collect();
        let until = Instant::now() + STEP_TIME;
        let answers = answers.into_iter();
        let answer = |it: Receiver<T>| {
            let left = until.saturating_duration_since(Instant::now());
            it.recv_timeout(left).ok()
        };
        answers.map(answer).collect()
    }
}

impl fmt::Debug for Upgrader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Upgrader")
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}
