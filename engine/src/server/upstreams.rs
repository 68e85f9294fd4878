//! The control side of upstreams: their addresses, their lists, and the catalog that follows.
//!
//! One thread resolves names, has the shards read the lists, and changes the catalog. A dead
//! upstream touches its own entries only, and neither the start of the server nor a call of another
//! upstream waits for it. The shards never wait for this thread.

mod answers;
mod backoff;
mod beginning;
mod credential;
mod endpoint;
mod exchange;
mod exchanged;
mod exchanging;
mod file;
mod instance;
mod instances;
mod listener;
mod outcomes;
mod program;
mod published;
#[cfg(feature = "auth")]
mod recorded;
mod renewed;
mod requests;
mod secret;
mod served;
mod tracked;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use corelane_gateway::catalog::ListKind;
use corelane_protocol::mcp::era::Era;

pub(super) use beginning::board_of;
use endpoint::{Place, resolve_all};
pub(super) use exchange::UpstreamReload;
use exchanged::Exchanges;
#[cfg(feature = "auth")]
pub(super) use file::upstreams_of;
use instances::Instances;
use listener::Listen;
use outcomes::Outcomes;
pub(super) use program::ProcessThreads;
pub(super) use requests::UpstreamRequests;
use requests::{Exchange, UpstreamRequest};
pub(super) use served::{
    FixedAndAll, ServedUpstream, check_launcher, check_upstream, declare, forwarded, links_of,
    required_of,
};
use tracked::{Step, Tracked, Turn};

use super::error::{Error, Result};
use super::handle::ServerHandle;
use super::upstream_error::UpstreamError;
use crate::audit::AuditLog;
use crate::mcp::ServerParts;
use crate::profile::Gateway;
use crate::shard::ShardControl;
use crate::upstream::board::{
    ControlEvent, ControlRequest, ProcessRequest, Purpose, UpstreamBoard,
};

/// Between two trials to broadcast updates of resources.
const UPDATES_RETRY: Duration = Duration::from_millis(100);

/// The control side of upstreams; it ends when this is dropped.
pub(super) struct UpstreamThread {
    events: Sender<ControlEvent>,
    requests: Sender<UpstreamRequest>,
    thread: Option<JoinHandle<ProcessThreads>>,
}

impl fmt::Debug for UpstreamThread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("UpstreamThread")
            .finish_non_exhaustive()
    }
}

/// The state of the thread.
struct Control {
    instances: Instances,
    outcomes: Outcomes,
    requests: Receiver<UpstreamRequest>,
    #[cfg_attr(
        not(feature = "auth"),
        expect(dead_code, reason = "nothing is recorded")
    )]
    audit: Option<AuditLog>,
    board: Arc<UpstreamBoard>,
    shards: Vec<Arc<ShardControl>>,
    handle: ServerHandle,
    events: Sender<ControlEvent>,
    settings: Gateway,
    processes: ProcessThreads,
    exchanges: Exchanges,
    /// Once a token was exchanged.
    #[cfg(feature = "auth")]
    exchanger: Option<corelane_oauth::exchange::Exchanger>,
    /// Resources of upstreams with updates that are not broadcast yet.
    updated: BTreeSet<(Arc<str>, Arc<str>)>,
    /// Entries that are hidden, with the numbers of their upstreams, and why.
    hidden: Vec<(ListKind, u16, String)>,
}

impl UpstreamThread {
    /// Starts to read the lists of `upstreams`, which were checked. Their programs are started by
    /// the launcher, if there is one.
    ///
    /// # Errors
    /// The thread cannot be made.
    pub(super) fn start(
        (upstreams, launcher): (Vec<ServedUpstream>, Option<PathBuf>),
        (board, parts): (Arc<UpstreamBoard>, &ServerParts),
        (shards, handle): (Vec<Arc<ShardControl>>, ServerHandle),
        settings: Gateway,
    ) -> Result<UpstreamThread> {
        let (events, received) = channel();
        board.set_control(events.clone());
        let (requests, requested) = channel();
        let stop = Duration::from_millis(settings.stop_ms);
        let instances = Instances::new(upstreams, shards.len(), Instant::now());
        let control = Control {
            outcomes: Outcomes::of(instances.list_states(), SystemTime::now()),
            instances,
            requests: requested,
            audit: parts.audit.clone(),
            processes: ProcessThreads::new(Arc::clone(&board), launcher, stop),
            board,
            shards,
            handle,
            events: events.clone(),
            settings,
            exchanges: Exchanges::default(),
            #[cfg(feature = "auth")]
            exchanger: None,
            updated: BTreeSet::new(),
            hidden: Vec::new(),
        };
        let thread = thread::Builder::new().name("upstreams".to_owned());
        let thread = thread.spawn(move || control.run(received));
        Ok(UpstreamThread {
            events,
            requests,
            thread: Some(thread.map_err(Error::Upstreams)?),
        })
    }
}

impl UpstreamThread {
    /// The way of requests to the thread.
    pub(super) fn requests(&self) -> UpstreamRequests {
        UpstreamRequests {
            events: self.events.clone(),
            requests: self.requests.clone(),
        }
    }

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
            for upstream in self.instances.numbers() {
                self.renew(upstream, |credential| credential.handle_due(now));
                while self.is_due(upstream, now) {
                    let step = self.with(upstream, Tracked::handle_due);
                    self.take(upstream, step);
                }
            }
            if self.instances.advance(now, &self.settings) {
                self.publish(&ListKind::ALL);
                self.note_states();
            }
            self.publish_table();
            self.note_crash_loops();
            let due = self.instances.due();
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
            if self.handle.resource_updated_here(&uri).is_err() {
                // Too many wait: the shards take them soon.
                self.updated.insert((upstream, uri));
                return false;
            }
        }
        true
    }

    fn is_due(&mut self, upstream: u16, now: Instant) -> bool {
        let instance = self.instances.active(upstream);
        instance.is_some_and(|it| it.is_due(now))
    }

    fn handle(&mut self, event: ControlEvent) {
        match event {
            ControlEvent::Answer(upstream, part) => {
                let step = self.with(upstream, |it, turn| it.handle_answer(&part, turn));
                self.take(upstream, step);
            }
            ControlEvent::Resolved(upstream, addresses) => {
                let step = self.with(upstream, |it, turn| it.handle_addresses(addresses, turn));
                self.take(upstream, step);
                self.instances.handle_looked_up(upstream);
            }
            ControlEvent::Subscription(upstream, number, event) => {
                let has_missed = self.with(upstream, |it, turn| {
                    it.handle_subscription(number, event, turn)
                });
                if has_missed == Some(true) {
                    self.update_all_of(upstream);
                }
            }
            ControlEvent::Interests => {
                let news = self.board.interests().take_news();
                for upstream in self.instances.numbers() {
                    self.take_interests(upstream, |name| news.changed.contains(name));
                }
                self.updated.extend(news.updated);
            }
            ControlEvent::Start(request) => self.start_process(request),
            ControlEvent::ExpiredListUsed => {
                let now = Instant::now();
                for upstream in self.instances.numbers() {
                    if let Some(instance) = self.instances.active(upstream) {
                        instance.tracked.handle_expired_use(now);
                    }
                }
            }
            ControlEvent::Drained {
                upstream,
                instance,
                shard,
            } => self.instances.handle_drained(upstream, instance, shard),
            ControlEvent::Challenged {
                upstream,
                credential,
            } => {
                let now = Instant::now();
                self.renew(upstream, |it| it.handle_refused(credential, now));
            }
            ControlEvent::Granted(upstream, instance, granted) => {
                self.handle_granted(upstream, instance, granted);
            }
            ControlEvent::Exchange(request) => self.handle_exchange(&request),
            ControlEvent::Exchanged(upstream, instance, key, granted) => {
                self.handle_exchanged((upstream, instance, key), granted);
            }
            ControlEvent::Request => {
                if let Ok(request) = self.requests.try_recv() {
                    self.handle_request(request);
                }
            }
            // The next round of the loop sees it.
            ControlEvent::CrashLoop | ControlEvent::Stop => {}
        }
    }

    /// Answers a request. Its sender may have given up.
    fn handle_request(&mut self, request: UpstreamRequest) {
        let now = Instant::now();
        match request {
            UpstreamRequest::Exchange(set, is_check, answer) => {
                let _ = answer.send(self.exchange(set, is_check));
            }
            UpstreamRequest::Inspect(answer) => {
                let _ = answer.send(self.instances.inspected(now, &self.hidden));
            }
            UpstreamRequest::Refresh(name, answer) => {
                let _ = answer.send(self.instances.refresh(&name, now));
            }
        }
    }

    /// Serves another set of upstreams, if that is no check. Returns what changes.
    fn exchange(&mut self, set: Vec<ServedUpstream>, is_check: bool) -> Exchange {
        let changes = self.instances.changes_to(&set);
        let changes = changes.map_err(|_| UpstreamError::TooManyDrain)?;
        if !is_check {
            self.instances.exchange(set, Instant::now(), &self.settings);
            for upstream in self.instances.numbers() {
                self.take_interests(upstream, |_| true);
            }
            self.forget_exchanged();
            // Shards learn that an upstream drains after they have the catalog without it.
            let are_known = self.publish(&ListKind::ALL);
            self.note_states();
            self.publish_table();
            if !are_known {
                self.publish(&ListKind::ALL);
            }
        }
        Ok(changes)
    }

    /// The resources of an upstream may have been updated without a report.
    fn update_all_of(&mut self, upstream: u16) {
        if let Some(instance) = self.instances.active(upstream) {
            let name = Arc::clone(instance.name());
            let exposed = instance.replicas[0].clone();
            let uris = instance.tracked.listener().uris();
            let uris = uris.map(|uri| (Arc::clone(&name), exposed.exposed_uri(uri).into()));
            self.updated.extend(uris);
        }
    }

    /// Lets an upstream subscribe to the resources to which clients have subscribed, if its name is
    /// one of those.
    fn take_interests(&mut self, upstream: u16, is_one: impl Fn(&Arc<str>) -> bool) {
        if let Some(instance) = self.instances.active(upstream)
            && is_one(instance.name())
        {
            let uris = self.board.interests().of(instance.name());
            let originals = uris.iter();
            let originals = originals.filter_map(|uri| instance.replicas[0].original_uri(uri));
            let uris = originals.map(Arc::from).collect();
            instance.tracked.listener().set_uris(uris, Instant::now());
        }
    }

    /// Lets an upstream handle something now, unless it drains.
    fn with<T>(
        &mut self,
        upstream: u16,
        handle: impl FnOnce(&mut Tracked, Turn<'_>) -> T,
    ) -> Option<T> {
        let turn = Turn {
            now: Instant::now(),
            random: random(),
            settings: &self.settings,
        };
        let instance = self.instances.active(upstream)?;
        Some(handle(&mut instance.tracked, turn))
    }

    /// Does the next step for an upstream.
    fn take(&mut self, upstream: u16, step: Option<Step>) {
        #[cfg(feature = "auth")]
        self.record_changed(upstream);
        self.publish_table();
        match step {
            None | Some(Step::Wait) => {}
            Some(Step::Resolve) => self.resolve(upstream),
            Some(Step::Request(method, params, era)) => {
                self.request(upstream, (method, params, era), Purpose::Answer);
            }
            Some(Step::Listen(listen)) => self.listen(upstream, listen),
            Some(Step::Expire) => self.board.expire_lists(),
            Some(Step::Changed(kinds)) => {
                self.publish(&kinds);
            }
        }
        // Its entries are in the catalog before clients learn that nothing is missing.
        if self.note_states() {
            self.publish_table();
        }
    }

    fn listen(&mut self, upstream: u16, listen: Listen) {
        let Some(era) = self.instances.used(upstream).map(|it| it.tracked.era()) else {
            return;
        };
        let (method, params, purpose) = match listen {
            Listen::Begin(number, params) => {
                ("subscriptions/listen", params, Purpose::Listen(number))
            }
            Listen::Close(number) => ("", String::new(), Purpose::Close(number)),
            Listen::Request(method, params) => (method, params, Purpose::Effect),
        };
        self.request(upstream, (method, params, era), purpose);
    }

    /// Has a shard send a request.
    fn request(
        &self,
        upstream: u16,
        (method, params, era): (&'static str, String, Era),
        purpose: Purpose,
    ) {
        let shard = self.board.request(ControlRequest {
            upstream,
            era,
            method,
            params,
            purpose,
            reply: self.events.clone(),
        });
        self.shards[shard].wake();
    }

    /// Looks the addresses of an upstream up on a thread of its own: that may take long.
    fn resolve(&mut self, upstream: u16) {
        let Some(instance) = self.instances.active(upstream) else {
            return;
        };
        instance.lookups += 1;
        let places = instance.tracked.places().to_vec();
        let events = self.events.clone();
        let thread = thread::Builder::new().name("resolve".to_owned());
        let resolve = move || {
            let _ = events.send(ControlEvent::Resolved(upstream, resolve_all(&places)));
        };
        if let Err(error) = thread.spawn(resolve) {
            let _ = self
                .events
                .send(ControlEvent::Resolved(upstream, Err(error)));
        }
    }

    /// Starts a process of a program.
    fn start_process(&mut self, request: ProcessRequest) {
        let shard = Arc::clone(&self.shards[usize::from(request.shard)]);
        let instance = self.instances.used(request.upstream);
        match instance.map(|it| it.tracked.places()) {
            Some([Place::Program(program)]) => {
                self.processes.start(Arc::clone(program), request, shard);
            }
            _ => self.board.leave_process(request, None),
        }
    }
}

/// A number from 0 to 1. Without random numbers times are not spread.
fn random() -> f64 {
    getrandom::u32().map_or(0.5, |it| f64::from(it) / f64::from(u32::MAX))
}

impl From<UpstreamError> for Error {
    fn from(error: UpstreamError) -> Error {
        Error::Upstream(error)
    }
}
