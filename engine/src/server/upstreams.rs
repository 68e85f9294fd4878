//! The control side of upstreams: their addresses, their lists, and the catalog that follows.
//!
//! One thread resolves names, has the shards read the lists, and changes the catalog. A dead
//! upstream touches its own entries only, and neither the start of the server nor a call of another
//! upstream waits for it. The shards never wait for this thread.

mod answers;
mod backoff;
mod endpoint;
mod listener;
mod outcomes;
mod program;
mod secret;
mod tracked;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use corelane_gateway::catalog::ListKind;
use corelane_gateway::config::Upstream;
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::lifecycle::Feature;
use corelane_protocol::mcp::revision::Revision;
use corelane_protocol::mcp::subscription;

use endpoint::{Place, Served, check, resolve_all};
use listener::Listen;
use outcomes::Outcomes;
pub(super) use program::ProcessThreads;
use tracked::{Step, Tracked, Turn};

use super::error::{Error, Result};
use super::handle::ServerHandle;
use super::upstream_error::UpstreamError;
use crate::catalog::{Entries, RelayedList};
use crate::mcp::ServerParts;
use crate::profile::Gateway;
use crate::shard::ShardControl;
use crate::upstream::board::{
    ControlEvent, ControlRequest, Endpoint, ProcessRequest, Purpose, UpstreamBoard, UpstreamTable,
};

/// Between two trials to broadcast updates of resources.
const UPDATES_RETRY: Duration = Duration::from_millis(100);

/// An upstream that was checked.
pub(super) struct ServedUpstream {
    upstream: Upstream,
    replicas: Vec<Served>,
}

/// Checks an upstream that is served besides `others`.
///
/// # Errors
/// Its configuration needs something that is not supported, or another one has its name.
pub(super) fn check_upstream(
    upstream: Upstream,
    others: &[ServedUpstream],
) -> Result<ServedUpstream> {
    if others
        .iter()
        .any(|other| other.upstream.name == upstream.name)
    {
        let name = upstream.name.to_string();
        return Err(UpstreamError::Twice { name }.into());
    }
    let replicas = check(&upstream)?;
    Ok(ServedUpstream { upstream, replicas })
}

/// Checks that there is a launcher, if a program needs one.
///
/// # Errors
/// There is none.
pub(super) fn check_launcher(upstreams: &[ServedUpstream], has_launcher: bool) -> Result<()> {
    if has_launcher {
        return Ok(());
    }
    for served in upstreams {
        let name = &*served.upstream.name;
        for (place, _) in &served.replicas {
            match place {
                Place::Program(program) if program.has_limits() => {
                    let name = name.to_owned();
                    return Err(UpstreamError::Launcher { name }.into());
                }
                Place::Program(_) => tracing::info!(
                    upstream = name,
                    "its program may outlive a server that is killed: there is no launcher"
                ),
                Place::Host(..) | Place::Unix(_) => {}
            }
        }
    }
    Ok(())
}

/// Declares the features that upstreams may have, and their schemes. A client sees the same
/// capabilities before they are read, and while they are down.
pub(super) fn declare(upstreams: &[ServedUpstream], entries: &mut Entries) {
    if upstreams.is_empty() {
        return;
    }
    for feature in [Feature::Prompts, Feature::Resources, Feature::Completions] {
        entries.offer.insert(feature);
    }
    for (number, served) in (0..).zip(upstreams) {
        let schemes = served.upstream.schemes.iter();
        let schemes = schemes.map(|scheme| (number, scheme.clone()));
        entries.schemes.extend(schemes);
    }
}

/// The board of a server with these upstreams, if there are any.
pub(super) fn board_of(
    upstreams: &[ServedUpstream],
    parts: &ServerParts,
    shards: usize,
) -> Option<Arc<UpstreamBoard>> {
    if upstreams.is_empty() {
        return None;
    }
    let client_info = parts.description.server_info(Revision::V2026_07_28);
    let table = UpstreamTable {
        client_info: String::from_utf8_lossy(&client_info).into(),
        endpoints: endpoints_of(upstreams),
        notice: outcomes_of(upstreams).notice(),
    };
    Some(Arc::new(UpstreamBoard::new(table, shards)))
}

/// How many of them have to be read before the server is ready.
pub(super) fn required_of(upstreams: &[ServedUpstream]) -> usize {
    outcomes_of(upstreams).required_down()
}

fn outcomes_of(upstreams: &[ServedUpstream]) -> Outcomes {
    Outcomes::new(upstreams.iter().map(|it| &it.upstream), SystemTime::now())
}

/// The first replicas of all upstreams, and then the further ones.
fn endpoints_of(upstreams: &[ServedUpstream]) -> Vec<Endpoint> {
    let (mut endpoints, mut further) = (Vec::new(), Vec::new());
    for (number, served) in (0..).zip(upstreams) {
        let mut replicas = served.replicas.iter().map(|(_, endpoint)| Endpoint {
            upstream: number,
            ..endpoint.clone()
        });
        let begin = (upstreams.len() + further.len()) as u16;
        endpoints.extend(replicas.next());
        further.extend(replicas);
        let end = (upstreams.len() + further.len()) as u16;
        if let Some(first) = endpoints.last_mut() {
            first.replicas = begin..end;
        }
    }
    endpoints.append(&mut further);
    endpoints
}

/// The control side of upstreams; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct UpstreamThread {
    events: Sender<ControlEvent>,
    thread: Option<JoinHandle<ProcessThreads>>,
}

/// The state of the thread.
struct Control {
    tracked: Vec<Tracked>,
    outcomes: Outcomes,
    board: Arc<UpstreamBoard>,
    shards: Vec<Arc<ShardControl>>,
    handle: ServerHandle,
    events: Sender<ControlEvent>,
    settings: Gateway,
    processes: ProcessThreads,
    /// Resources of upstreams with updates that are not broadcast yet.
    updated: BTreeSet<(u16, Arc<str>)>,
}

impl UpstreamThread {
    /// Starts to read the lists of `upstreams`, which were checked. Their programs are started by
    /// the launcher, if there is one.
    ///
    /// # Errors
    /// The thread cannot be made.
    pub(super) fn start(
        (upstreams, launcher): (Vec<ServedUpstream>, Option<PathBuf>),
        board: Arc<UpstreamBoard>,
        (shards, handle): (Vec<Arc<ShardControl>>, ServerHandle),
        settings: Gateway,
    ) -> Result<UpstreamThread> {
        let (events, received) = channel();
        board.set_control(events.clone());
        let now = Instant::now();
        let outcomes = outcomes_of(&upstreams);
        let tracked = (0..).zip(upstreams);
        let tracked = tracked.map(|(number, it)| {
            let places = it.replicas.into_iter().map(|(place, _)| place);
            Tracked::new(number, it.upstream, places.collect(), now)
        });
        let stop = Duration::from_millis(settings.stop_ms);
        let control = Control {
            tracked: tracked.collect(),
            outcomes,
            processes: ProcessThreads::new(Arc::clone(&board), launcher, stop),
            board,
            shards,
            handle,
            events: events.clone(),
            settings,
            updated: BTreeSet::new(),
        };
        let thread = thread::Builder::new().name("upstreams".to_owned());
        let thread = thread.spawn(move || control.run(received));
        Ok(UpstreamThread {
            events,
            thread: Some(thread.map_err(Error::Upstreams)?),
        })
    }
}

impl UpstreamThread {
    /// Ends the reading of lists, and the start of programs. The processes end after the shards,
    /// when what this returns is dropped.
    pub(super) fn end(mut self) -> Option<ProcessThreads> {
        self.stop()
    }

    fn stop(&mut self) -> Option<ProcessThreads> {
        let _ = self.events.send(ControlEvent::Stop);
        // A panic there was logged, and ends the reading of lists only.
        self.thread.take()?.join().ok()
    }
}

impl Drop for UpstreamThread {
    fn drop(&mut self) {
        drop(self.stop());
    }
}

impl Control {
    /// Runs until the server ends. Returns the processes that run then.
    fn run(mut self, received: Receiver<ControlEvent>) -> ProcessThreads {
        loop {
            let now = Instant::now();
            for upstream in 0..self.tracked.len() {
                while self.tracked[upstream].due() <= now {
                    let step = self.with(upstream, Tracked::handle_due);
                    self.take(upstream, step);
                }
            }
            let due = self.tracked.iter().map(Tracked::due).min();
            let wait = due.map_or(Duration::MAX, |due| due.saturating_duration_since(now));
            let wait = match self.broadcast_updates() {
                true => wait,
                false => wait.min(UPDATES_RETRY),
            };
            match received.recv_timeout(wait) {
                Ok(ControlEvent::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    return self.processes;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(event) => self.handle(event),
            }
        }
    }

    /// Broadcasts the updates of resources to the clients that subscribed to them. Returns whether
    /// none is left.
    fn broadcast_updates(&mut self) -> bool {
        while let Some((upstream, uri)) = self.updated.pop_first() {
            if self.handle.resource_updated(&uri).is_err() {
                // Too many wait: the shards take them soon.
                self.updated.insert((upstream, uri));
                return false;
            }
        }
        true
    }

    fn handle(&mut self, event: ControlEvent) {
        match event {
            ControlEvent::Answer(upstream, part) => {
                let upstream = usize::from(upstream);
                let step = self.with(upstream, |it, turn| it.handle_answer(&part, turn));
                self.take(upstream, step);
            }
            ControlEvent::Resolved(upstream, addresses) => {
                let upstream = usize::from(upstream);
                let step = self.with(upstream, |it, turn| it.handle_addresses(addresses, turn));
                self.take(upstream, step);
            }
            ControlEvent::Subscription(upstream, number, event) => {
                let place = usize::from(upstream);
                let has_missed = self.with(place, |it, turn| {
                    it.handle_subscription(number, event, turn)
                });
                if has_missed {
                    let uris = self.tracked[place].listener().uris();
                    self.updated
                        .extend(uris.map(|uri| (upstream, Arc::clone(uri))));
                }
            }
            ControlEvent::Interests => {
                let (news, now) = (self.board.interests().take_news(), Instant::now());
                for upstream in news.changed {
                    let uris = self.board.interests().of(upstream);
                    self.tracked[usize::from(upstream)]
                        .listener()
                        .set_uris(uris, now);
                }
                self.updated.extend(news.updated);
            }
            ControlEvent::Start(request) => self.start_process(request),
            ControlEvent::ExpiredListUsed => {
                let now = Instant::now();
                for tracked in &mut self.tracked {
                    tracked.handle_expired_use(now);
                }
            }
            ControlEvent::Stop => {}
        }
    }

    /// Lets an upstream handle something now.
    fn with<T>(&mut self, upstream: usize, handle: impl FnOnce(&mut Tracked, Turn<'_>) -> T) -> T {
        let turn = Turn {
            now: Instant::now(),
            // Without random numbers times are not spread.
            random: getrandom::u32().map_or(0.5, |it| f64::from(it) / f64::from(u32::MAX)),
            settings: &self.settings,
        };
        handle(&mut self.tracked[upstream], turn)
    }

    /// Does the next step for an upstream.
    fn take(&mut self, upstream: usize, step: Step) {
        self.publish_endpoint(upstream);
        match step {
            Step::Wait => {}
            Step::Resolve => self.resolve(upstream),
            Step::Request(method, params, era) => {
                self.request(upstream, (method, params, era), Purpose::Answer);
            }
            Step::Listen(listen) => {
                let era = self.tracked[upstream].era();
                let (method, params, purpose) = match listen {
                    Listen::Begin(number, params) => {
                        ("subscriptions/listen", params, Purpose::Listen(number))
                    }
                    Listen::Close(number) => ("", String::new(), Purpose::Close(number)),
                    Listen::Request(method, params) => (method, params, Purpose::Effect),
                };
                self.request(upstream, (method, params, era), purpose);
            }
            Step::Expire => self.board.expire_lists(),
            Step::Changed(kinds) => kinds.into_iter().for_each(|kind| self.publish(kind)),
        }
        // Its entries are in the catalog before clients learn that nothing is missing.
        self.publish_state(upstream);
    }

    /// Has a shard send a request.
    fn request(
        &self,
        upstream: usize,
        (method, params, era): (&'static str, String, Era),
        purpose: Purpose,
    ) {
        let shard = self.board.request(ControlRequest {
            upstream: upstream as u16,
            era,
            method,
            params,
            purpose,
            reply: self.events.clone(),
        });
        self.shards[shard].wake();
    }

    /// Looks the addresses of an upstream up on a thread of its own: that may take long.
    fn resolve(&self, upstream: usize) {
        let places = self.tracked[upstream].places().to_vec();
        let events = self.events.clone();
        let number = upstream as u16;
        let thread = thread::Builder::new().name("resolve".to_owned());
        let resolve = move || {
            let _ = events.send(ControlEvent::Resolved(number, resolve_all(&places)));
        };
        if let Err(error) = thread.spawn(resolve) {
            let _ = self.events.send(ControlEvent::Resolved(number, Err(error)));
        }
    }

    /// Starts a process of a program.
    fn start_process(&mut self, request: ProcessRequest) {
        let shard = Arc::clone(&self.shards[usize::from(request.shard)]);
        match self.tracked[usize::from(request.upstream)].places() {
            [Place::Program(program)] => {
                self.processes.start(Arc::clone(program), request, shard);
            }
            _ => self.board.leave_process(request, None),
        }
    }

    /// Lets clients and probes know the state of the lists of an upstream, if it is another one.
    fn publish_state(&mut self, upstream: usize) {
        let state = self.tracked[upstream].list_state();
        if !self.outcomes.set(upstream, state, SystemTime::now()) {
            return;
        }
        let present = self.board.present();
        self.board.publish(UpstreamTable {
            client_info: present.client_info.clone(),
            endpoints: present.endpoints.clone(),
            notice: self.outcomes.notice(),
        });
        if let Some(shard) = self.shards.first() {
            shard.set_upstreams_down(self.outcomes.required_down());
        }
        for shard in &self.shards {
            shard.wake();
        }
    }

    /// Gives the shards the addresses and the era of an upstream, if they are other ones.
    fn publish_endpoint(&self, upstream: usize) {
        let present = self.board.present();
        let tracked = &self.tracked[upstream];
        let mut endpoints = present.endpoints.clone();
        let mut is_same = true;
        for (replica, number) in present.replicas(upstream as u16).enumerate() {
            let endpoint = &mut endpoints[usize::from(number)];
            let address = tracked.address(replica).cloned();
            let (era, has_updates) = (tracked.era(), tracked.has_updates());
            is_same &= endpoint.address == address
                && (endpoint.era, endpoint.has_updates) == (era, has_updates);
            endpoint.address = address;
            (endpoint.era, endpoint.has_updates) = (era, has_updates);
        }
        if is_same {
            return;
        }
        self.board.publish(UpstreamTable {
            client_info: present.client_info.clone(),
            endpoints,
            notice: present.notice.clone(),
        });
        for shard in &self.shards {
            shard.wake();
        }
    }

    /// Puts the entries of all upstreams of one kind into the catalog.
    fn publish(&self, kind: ListKind) {
        let tracked = self.tracked.iter();
        let entries = tracked.flat_map(|it| it.entries(kind).iter().cloned());
        let entries: RelayedList = entries.collect();
        let mut faults = Vec::new();
        let list = match kind {
            ListKind::Tools => subscription::ListKind::Tools,
            ListKind::Prompts => subscription::ListKind::Prompts,
            ListKind::Resources | ListKind::Templates => subscription::ListKind::Resources,
        };
        let changed = self.handle.updates().change(list, |plan| {
            let (plan, left_out) = plan.with_relayed(kind, entries);
            faults = left_out;
            Ok(plan)
        });
        for fault in faults {
            tracing::warn!(%fault, "an entry of an upstream is hidden");
        }
        if let Err(error) = changed {
            let list = kind.method();
            tracing::error!(%error, list, "entries of upstreams are not in the catalog");
        }
    }
}

impl From<UpstreamError> for Error {
    fn from(error: UpstreamError) -> Error {
        Error::Upstream(error)
    }
}
