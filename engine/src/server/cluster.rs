//! A node of a cluster: the thread that has its core, its bus and its store.
//!
//! The thread drives [`corelane_cluster`] with events of the shards, messages of other nodes, and
//! time. Shards never wait for it. It decides nothing by itself: which node has a session, and the
//! a client is answered, is decided by the core, which a simulator tests.

mod command;
mod fanout;
mod file;
mod frames;
mod host;
mod link;
mod sessions;
mod status;
mod unheard;

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use corelane_cluster::operators::StepRefused;
use corelane_protocol::request_state::Sealer;
use serde_json::Value;
use tokio::sync::mpsc;

use super::error::{Error, Result};
use super::event::Event;
use super::handle::ServerHandle;
use crate::cluster::{ClusterBoard, ClusterEvent, EVENTS_MAX};
use crate::profile::Profile;
use crate::shard::{ShardControl, ShardMessage};
use command::{Command, Started, taken_text};
use corelane_io::lanes::LaneSender;
use fanout::Fanout;
use host::Host;

/// How long the thread gets for an answer to an administrator.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);

/// What an administrator reads if it gives none.
pub(super) const STUCK: &str = "the thread of the cluster does not answer: see the log";

/// Requests for the thread of a cluster.
#[derive(Clone, Debug)]
pub(super) struct ClusterRequests {
    commands: mpsc::UnboundedSender<Command>,
}

/// A node that was configured, whose thread does not run yet.
pub(super) struct ClusterStart {
    board: Arc<ClusterBoard>,
    events: mpsc::Receiver<ClusterEvent>,
    fanout: Fanout,
}

/// The thread of a cluster; the node leaves when this is dropped.
pub(super) struct ClusterThread {
    requests: ClusterRequests,
    thread: Option<JoinHandle<()>>,
}

impl ClusterStart {
    /// The node of a profile, if it is one.
    pub(super) fn of(profile: &Profile, handle: &ServerHandle) -> Result<Option<ClusterStart>> {
        if profile.cluster.name.is_none() {
            return Ok(None);
        }
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let leave = move |event| {
            let sent = sender.try_send(event);
            sent.map_err(|refused| refused.into_inner())
        };
        let node = profile.cluster.node as u16;
        let board = Arc::new(ClusterBoard::new(node, leave));
        let fanout = Fanout::new(handle);
        Ok(Some(ClusterStart {
            board,
            events,
            fanout,
        }))
    }

    /// Where the shards leave their events.
    pub(super) fn board(&self) -> Arc<ClusterBoard> {
        Arc::clone(&self.board)
    }

    /// Starts the thread, and waits until the node has joined, or the time for that is over.
    ///
    /// # Errors
    /// A live process has the number of the node, or the settings cannot be used.
    pub(super) fn start(
        self,
        profile: &Profile,
        keys: &Arc<Sealer>,
        sender: LaneSender<ShardMessage>,
        (controls, server): (Vec<Arc<ShardControl>>, Sender<Event>),
    ) -> Result<ClusterThread> {
        let (commands, commanded) = mpsc::unbounded_channel();
        let (started, begins) = channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(Error::Cluster)?;
        let (events, fanout) = (self.events, self.fanout);
        let (keys, of_host) = (Arc::clone(keys), profile.clone());
        let thread = thread::Builder::new().name("cluster".to_owned());
        let thread = thread.spawn(move || {
            let of_shards = (sender, controls, fanout);
            let mut host = Host::new(&of_host, &keys, of_shards, (started, server));
            runtime.block_on(host.run(&of_host, events, commanded));
            runtime.shutdown_background();
        });
        let running = ClusterThread {
            requests: ClusterRequests { commands },
            thread: Some(thread.map_err(Error::Cluster)?),
        };
        let time = Duration::from_millis(profile.cluster.join_timeout_ms);
        wait_to_join(&begins, time)?;
        Ok(running)
    }
}

/// Waits until the node has joined. A number that is taken may become free in that time.
fn wait_to_join(begins: &Receiver<Started>, time: Duration) -> Result<()> {
    let until = std::time::Instant::now() + time;
    let mut taken = None;
    loop {
        let left = until.saturating_duration_since(std::time::Instant::now());
        match begins.recv_timeout(left) {
            Ok(Started::Joined) => return Ok(()),
            Ok(Started::Taken(process)) => taken = Some(process),
            Ok(Started::Failed(text)) => return Err(Error::Public(text)),
            Err(_) => break,
        }
    }
    match taken {
        Some(process) => Err(Error::Public(taken_text(process))),
        None => {
            tracing::warn!(
                "the node has not joined its cluster in {} ms (cluster.join_timeout_ms): it serves \
                 alone until it can",
                time.as_millis()
            );
            Ok(())
        }
    }
}

impl ClusterRequests {
    /// Describes the cluster as this node sees it; nothing if the thread does not answer.
    #[cfg_attr(
        not(feature = "metrics"),
        expect(dead_code, reason = "only the control socket asks for it")
    )]
    pub(super) fn status(&self) -> Option<Value> {
        let (answer, answered) = sync_channel(1);
        self.commands.send(Command::Status(answer)).ok()?;
        answered.recv_timeout(ANSWER_TIME_MAX).ok()
    }

    /// Whether the node may seal and open with these keys.
    ///
    /// # Errors
    /// The reason why other nodes cannot follow.
    pub(super) fn check_keys(&self, keys: &Sealer) -> std::result::Result<(), String> {
        let fingerprints = keys.fingerprints();
        self.request(|answer| Command::CheckKeys(fingerprints, answer))
    }

    /// Raises the level of records, from the first level of the answer to the second one.
    ///
    /// # Errors
    /// The reason why other nodes cannot follow.
    #[cfg_attr(
        not(feature = "metrics"),
        expect(dead_code, reason = "only the control socket raises it")
    )]
    pub(super) fn finalize(&self) -> std::result::Result<(u8, u8), String> {
        self.request(Command::Finalize)
    }

    fn request<T>(
        &self,
        command: impl FnOnce(SyncSender<std::result::Result<T, StepRefused>>) -> Command,
    ) -> std::result::Result<T, String> {
        let (answer, answered) = sync_channel(1);
        let sent = self.commands.send(command(answer)).ok();
        let answered = sent.and_then(|()| answered.recv_timeout(ANSWER_TIME_MAX).ok());
        answered
            .ok_or(STUCK)?
            .map_err(|refused| refused.to_string())
    }

    /// Seals and opens with these keys from now on.
    pub(super) fn set_keys(&self, keys: &Arc<Sealer>) {
        let _ = self.commands.send(Command::SetKeys(Arc::clone(keys)));
    }
}

impl ClusterThread {
    pub(super) fn requests(&self) -> ClusterRequests {
        self.requests.clone()
    }

    /// Begins to give the sessions of this node away.
    pub(super) fn begin_drain(&self) {
        let _ = self.requests.commands.send(Command::Drain);
    }
}

impl Drop for ClusterThread {
    fn drop(&mut self) {
        let _ = self.requests.commands.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            // It fails only after a panic, which was logged then.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for ClusterThread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClusterThread")
            .finish_non_exhaustive()
    }
}
