//! The loop around the core of a node.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use corelane_cluster::cluster::Cluster;
use corelane_cluster::codec::LEVEL_MAX;
use corelane_cluster::frame::{Frame, Stage};
use corelane_cluster::id::Now;
use corelane_cluster::settings::Settings as CoreSettings;
use corelane_cluster::vocabulary::{Call, Note, Origin, Output, SessionKey};
use corelane_io::lanes::{LaneSender, Tier};
use corelane_nats::BusEvent;
use corelane_protocol::request_state::Sealer;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::command::{Command, Started, taken_text};
use super::fanout::{Fanout, follow_all};
use super::frames::{BadMessage, Keys, OpenedTails, unix_ms, unix_s};
use super::link::Link;
use super::unheard::Unheard;
use crate::cluster::{ClusterEvent, ClusterMessage};
use crate::meter::throttle::Throttle;
use crate::profile::Profile;
use crate::server::event::Event;
use crate::shard::{ShardControl, ShardMessage};

/// Between two ticks of the core.
const TICK: Duration = Duration::from_millis(10);
/// Events of shards that are taken before time and messages have their turn.
const EVENTS_PER_TURN: usize = 256;
/// The bus is connected anew when own messages do not come back for so long.
const RECONNECT_AFTER: Duration = Duration::from_secs(3);
/// How long the last writes of a node get after its shards have ended.
const LAST_WRITES: Duration = Duration::from_secs(3);
/// Between two lines of one kind.
const LINE_INTERVAL_MS: u64 = 60_000;

/// Facts that were counted.
#[derive(Debug, Default, Clone, Copy, serde::Serialize)]
pub(super) struct Counts {
    pub(super) taken_over: u64,
    pub(super) lost: u64,
    pub(super) without_history: u64,
    pub(super) changes_dropped: u64,
    pub(super) bad_records: u64,
    pub(super) messages_refused: u64,
    pub(super) store_wiped: u64,
}

/// The thread's state.
pub(super) struct Host {
    pub(super) core: Cluster,
    pub(super) keys: Keys,
    sender: LaneSender<ShardMessage>,
    controls: Vec<Arc<ShardControl>>,
    /// For each shard, messages that wait for its lane, in order: each ends something that waits
    /// there, or is one of a few for a session.
    overflow: Vec<VecDeque<ClusterMessage>>,
    pub(super) fanout: Fanout,
    started: Sender<Started>,
    server: Sender<Event>,
    has_started: bool,
    begun: Instant,
    /// The shard and the session of each call of the core.
    pub(super) calls: BTreeMap<Call, (usize, SessionKey)>,
    pub(super) next_call: Call,
    /// Events that the core could not take yet.
    pub(super) unheard: Unheard,
    doubts: u64,
    pub(super) is_connected: bool,
    /// Why the servers cannot be used, as they last said.
    pub(super) unusable: Option<String>,
    isolated_since: Option<Instant>,
    is_draining: bool,
    pub(super) has_drained: bool,
    /// The node has no right to its number.
    is_superseded: bool,
    pub(super) counts: Counts,
    lines: [Throttle; 4],
}

impl Host {
    pub(super) fn new(
        profile: &Profile,
        keys: &Arc<Sealer>,
        (sender, controls, fanout): (LaneSender<ShardMessage>, Vec<Arc<ShardControl>>, Fanout),
        (started, server): (Sender<Started>, Sender<Event>),
    ) -> Host {
        let sessions_max = profile.sessions.per_shard_max * controls.len();
        let default = CoreSettings::default();
        let settings = CoreSettings {
            forwards: false,
            // No other process can have the file: there is no holder of the node number to hear.
            suspect_us: match profile.cluster.file {
                Some(_) => 0,
                None => default.suspect_us,
            },
            sessions_max,
            idle_s: profile.sessions.idle_timeout_ms.div_ceil(1_000),
            id_age_max_s: profile.sessions.id_max_age_s,
            ..default
        };
        let random = || getrandom::u64().expect("getrandom(2) fails only where it is absent");
        let now = Now {
            us: 0,
            unix_s: unix_s(),
        };
        let node = profile.cluster.node as u16;
        let tails = Box::new(OpenedTails);
        let mut core = Cluster::new(node, settings, tails, Box::new(random), now);
        core.set_keys(&keys.fingerprints());
        follow_all(&mut core, now);
        let doubts = core.doubts();
        Host {
            core,
            keys: Keys(Arc::clone(keys)),
            sender,
            overflow: controls.iter().map(|_| VecDeque::new()).collect(),
            controls,
            fanout,
            started,
            server,
            has_started: false,
            begun: Instant::now(),
            calls: BTreeMap::new(),
            next_call: 1,
            unheard: Unheard::default(),
            doubts,
            is_connected: false,
            unusable: None,
            isolated_since: None,
            is_draining: false,
            has_drained: false,
            is_superseded: false,
            counts: Counts::default(),
            lines: std::array::from_fn(|_| Throttle::new(LINE_INTERVAL_MS)),
        }
    }

    /// Runs until it is stopped.
    pub(super) async fn run(
        &mut self,
        profile: &Profile,
        mut events: mpsc::Receiver<ClusterEvent>,
        mut commands: mpsc::UnboundedReceiver<Command>,
    ) {
        let mut link = match Link::start(profile).await {
            Ok(link) => link,
            Err(fault) => {
                let _ = self.started.send(Started::Failed(fault));
                return;
            }
        };
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop_at: Option<Instant> = None;
        loop {
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(Command::Stop) | None => {
                        self.begin_drain();
                        stop_at = stop_at.or(Some(Instant::now() + LAST_WRITES));
                    }
                    Some(command) => self.on_command(command, &link),
                },
                _ = tick.tick() => {
                    let now = self.now();
                    self.core.handle_tick(now);
                    self.fanout.publish(&mut self.core, now);
                    self.try_again();
                    self.look_at_isolation(&link).await;
                }
                event = link.next() => {
                    self.on_bus(event, link.name());
                    // However many messages wait, the shards have their turn.
                    self.take_events(&mut events);
                }
                Some(event) = events.recv() => {
                    self.on_event(event);
                    self.take_events(&mut events);
                }
            }
            self.do_outputs(&mut link).await;
            self.flush();
            let is_over = self.has_drained || !self.is_connected || self.is_superseded;
            if stop_at.is_some_and(|at| is_over || Instant::now() >= at) {
                link.flush().await;
                return;
            }
        }
    }

    fn on_command(&mut self, command: Command, link: &Link) {
        let now = self.now();
        match command {
            Command::Status(answer) => {
                let _ = answer.try_send(self.status(link));
            }
            Command::SetKeys(sealer) => {
                self.core.set_keys(&sealer.fingerprints());
                self.keys.0 = sealer;
            }
            Command::CheckKeys(keys, answer) => {
                let _ = answer.try_send(self.core.check_keys(now, &keys));
            }
            Command::Finalize(answer) => {
                let level = self.core.level();
                // Those that are gone come back, and must read the records then.
                let nodes = self.core.members(now).into_iter();
                let nodes: Vec<u16> = nodes.map(|member| member.process.node).collect();
                let raised = self.core.finalize(now, LEVEL_MAX, &nodes);
                let _ = answer.try_send(raised.map(|()| (level, LEVEL_MAX)));
            }
            Command::Drain | Command::Stop => self.begin_drain(),
        }
    }

    fn take_events(&mut self, events: &mut mpsc::Receiver<ClusterEvent>) {
        for _ in 0..EVENTS_PER_TURN {
            let Ok(event) = events.try_recv() else {
                return;
            };
            self.on_event(event);
        }
    }

    /// The time, for the core: of a clock that does not jump, and of the wall.
    pub(super) fn now(&self) -> Now {
        Now {
            us: self.begun.elapsed().as_micros() as u64,
            unix_s: unix_s(),
        }
    }

    fn begin_drain(&mut self) {
        if !std::mem::replace(&mut self.is_draining, true) {
            let now = self.now();
            self.core.handle_drain(now);
            // One that has never joined has nothing to give.
            self.has_drained |= self.core.stage() == Stage::Joining;
        }
    }

    /// A connection that is open and carries nothing is made anew.
    async fn look_at_isolation(&mut self, link: &Link) {
        if !self.core.is_isolated() || !self.is_connected {
            self.isolated_since = None;
            return;
        }
        let since = *self.isolated_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= RECONNECT_AFTER {
            self.isolated_since = None;
            link.reconnect().await;
        }
    }

    fn on_bus(&mut self, event: BusEvent, store: &'static str) {
        let now = self.now();
        match event {
            BusEvent::Connected => {
                if self.unusable.take().is_some() || !self.is_connected {
                    tracing::info!(store, "the node has its bus and its store");
                }
                self.is_connected = true;
                self.core.handle_connected(now);
            }
            BusEvent::Disconnected => {
                tracing::warn!(
                    store,
                    "the node has lost its store: its sessions are served on, alone"
                );
                self.is_connected = false;
                self.core.handle_disconnected(now);
            }
            // As after a connection that was lost: messages that were missed are requested.
            BusEvent::Lagged => self.core.handle_connected(now),
            BusEvent::Unusable(text) => {
                if self.unusable.as_ref() != Some(&text) {
                    tracing::error!(reason = text, "the node cannot join its cluster");
                    self.unusable = Some(text);
                }
            }
            BusEvent::Refused(text) => self.line(0, || {
                tracing::warn!(store, reason = text, "the store refused something");
            }),
            BusEvent::Read(op, result) => self.core.handle_read(now, op, result),
            BusEvent::Put(op, result) => self.core.handle_put(now, op, result),
            BusEvent::Message(sealed) => match self.keys.open(&sealed, unix_ms()) {
                Ok(envelope) => self.core.handle_frame(now, envelope),
                Err(bad) => {
                    self.counts.messages_refused += 1;
                    self.line(1, || match bad {
                        BadMessage::Clock(seconds) => tracing::warn!(
                            seconds,
                            "messages of a node are refused: its clock differs by more than 30 s"
                        ),
                        BadMessage::Forged | BadMessage::Malformed => tracing::warn!(
                            "messages are refused: their sender has other state keys or another \
                             version"
                        ),
                    });
                }
            },
        }
    }

    /// Logs a line of one kind, once in a while.
    fn line(&mut self, kind: usize, log: impl FnOnce()) {
        let now_ms = self.begun.elapsed().as_millis() as u64;
        if self.lines[kind].admit(now_ms).is_some() {
            log();
        }
    }

    async fn do_outputs(&mut self, link: &mut Link) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Publish(envelope) => {
                    if let Some(sealed) = self.keys.seal(&envelope) {
                        match envelope.frame {
                            Frame::Update(partition, ..) => link.publish_update(partition, sealed),
                            _ => link.publish(sealed),
                        }
                    }
                }
                Output::Send(to, envelope) => {
                    if let Some(sealed) = self.keys.seal(&envelope) {
                        link.send(to, sealed);
                    }
                }
                Output::Put(op, key, expect, ttl_s, value) => {
                    link.put(op, key, (expect, ttl_s), value);
                }
                Output::Read(op, key, from) => link.read(op, key, from),
                Output::Note(Note::Joined(process)) => {
                    let listening = link.listen_for(process).await;
                    if let Err(error) = listening {
                        tracing::error!(%error, "the node cannot listen");
                    }
                    let (node, start) = (process.node, process.incarnation);
                    tracing::info!(node, start, "the node has joined its cluster");
                    self.has_started = true;
                    let _ = self.started.send(Started::Joined);
                }
                Output::Note(note) => self.on_note(note),
                Output::Drained => self.has_drained = true,
                other => self.on_output(other),
            }
        }
        let doubts = self.core.doubts();
        if std::mem::replace(&mut self.doubts, doubts) != doubts {
            for shard in 0..self.controls.len() {
                self.send(shard, ClusterMessage::Doubt);
            }
        }
    }

    fn on_note(&mut self, note: Note) {
        match note {
            Note::NodeTaken(by) => {
                // No one waits for the start any more when the time to join is over.
                let is_start_over = self.started.send(Started::Taken(by)).is_err();
                let must_end = (self.has_started || is_start_over) && !self.is_superseded;
                if must_end {
                    self.is_superseded = true;
                    tracing::error!("{}", taken_text(by));
                    // It must not serve beside the other one.
                    let _ = self.server.send(Event::Signal);
                }
            }
            Note::Skew(process, seconds) => {
                let node = process.node;
                self.line(2, || {
                    tracing::warn!(node, seconds, "the clock of a node differs")
                });
            }
            Note::TakenOver(..) => self.counts.taken_over += 1,
            Note::Lost(..) => self.counts.lost += 1,
            Note::WithoutHistory(_) => self.counts.without_history += 1,
            Note::ChangesDropped(_) => self.counts.changes_dropped += 1,
            Note::StoreWiped => {
                self.counts.store_wiped += 1;
                tracing::warn!("the store of the cluster was emptied: sessions are written anew");
            }
            Note::BadRecord(_) => {
                self.counts.bad_records += 1;
                self.line(3, || {
                    tracing::warn!("the record of a session cannot be read or written");
                });
            }
            Note::FrameRefused(_) => self.counts.messages_refused += 1,
            Note::Joined(_) => {}
        }
    }

    /// Outputs about sessions.
    fn on_output(&mut self, output: Output) {
        match output {
            Output::Serve(Origin::Local(call), request) => {
                let key = request.session.random;
                let state = self.state_of(key);
                self.answer(call, |random| ClusterMessage::Serve(random, state));
                // The shard serves it, now and later.
                let (now, origin) = (self.now(), Origin::Local(call));
                self.core.answer(now, origin, key, true, Box::default());
            }
            Output::NotFound(call, _) => self.answer(call, ClusterMessage::Missing),
            Output::Refuse(call, _) => {
                self.answer(call, |it| {
                    ClusterMessage::Busy(it, "the cluster cannot tell now who has the session")
                });
            }
            Output::Fail(call, _) => {
                self.answer(call, |it| {
                    ClusterMessage::Busy(it, "the node that had the session does not answer")
                });
            }
            Output::Ended(Origin::Local(call), _) => self.answer(call, ClusterMessage::Ended),
            Output::Leave(key) => {
                for shard in 0..self.controls.len() {
                    self.send(shard, ClusterMessage::Leave(key));
                }
            }
            Output::Updated(_) | Output::AllUpdated(_) | Output::ListChanged(_) => {
                self.fanout.on_output(output);
            }
            // Nothing is forwarded in this version.
            _ => {}
        }
    }

    /// Answers the shard that a call is of.
    fn answer(&mut self, call: Call, message: impl FnOnce(SessionKey) -> ClusterMessage) {
        if let Some((shard, key)) = self.calls.remove(&call) {
            self.send(shard, message(key));
        }
    }

    pub(super) fn send(&mut self, shard: usize, message: ClusterMessage) {
        self.overflow[shard].push_back(message);
    }

    /// Sends the messages that wait for the shards, those of each in order, and wakes the shards
    /// that sleep. A full lane keeps the messages of its shard waiting, and no others.
    fn flush(&mut self) {
        for (shard, waiting) in self.overflow.iter_mut().enumerate() {
            while let Some(message) = waiting.pop_front() {
                let message = ShardMessage::Cluster(message);
                let sent = self.sender.send(shard, Tier::Reply, message);
                if let Err(full) = sent {
                    if let ShardMessage::Cluster(message) = full.message {
                        waiting.push_front(message);
                    }
                    break;
                }
            }
        }
        let controls = &self.controls;
        self.sender.flush(|to| controls[to].wake());
    }

    /// Whether the node has never been part of its cluster, and cannot be now.
    pub(super) fn is_alone(&self) -> bool {
        self.core.stage() == Stage::Joining && !self.is_connected
    }
}
