//! One upstream, as the control side sees it: from its name to its lists, again and again.
//!
//! The clock and all effects are the caller's.

mod configured;
#[cfg(feature = "auth")]
mod definitions;
mod exposed;
mod inspected;
#[cfg(not(feature = "auth"))]
mod without_pins;

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use corelane_gateway::catalog::{ListKind, Walk, WalkLimits};
use corelane_gateway::config::Upstream;
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::era_probe::{EraProbe, ProbeRequest};
use socket2::SockAddr;

use super::answers::{self, Capabilities, answered, lacks_method};
use super::backoff::Backoff;
use super::endpoint::{Place, probe_of};
use super::listener::{Listen, Listener};
use super::outcomes::ListState;
use crate::catalog::RelayedList;
use crate::profile::Gateway;
use crate::upstream::board::ControlAnswer;
#[cfg(feature = "auth")]
use definitions::Definitions;
#[cfg(not(feature = "auth"))]
use without_pins::Definitions;

/// The time after which nothing more is expected of a step: a shard that ended took it along.
const STEP_SLACK: Duration = Duration::from_secs(5);
/// The longest time that lists are fresh, in milliseconds.
const DAY_MS: u64 = 24 * 3600 * 1000;
/// The least time between two reads of the lists.
const READ_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// The time and the settings of one step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn<'a> {
    pub(super) now: Instant,
    /// From 0 to 1, at random: it spreads times.
    pub(super) random: f64,
    pub(super) settings: &'a Gateway,
}

/// The next thing to do for an upstream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing, until the time that [`Tracked::due`] gives.
    Wait,
    /// Its address is looked up.
    Resolve,
    /// This method is requested with these params, in an era.
    Request(&'static str, String, Era),
    /// Something about its changes.
    Listen(Listen),
    /// Its lists have expired: their next use is to be reported.
    Expire,
    /// Its entries of these kinds have changed.
    Changed(Vec<ListKind>),
}

#[derive(Debug)]
enum Phase {
    /// Until the lists are read again.
    Idle,
    Resolving,
    Probing(EraProbe),
    Listing(Box<Listing>),
}

/// The reading of all lists, one after the other.
#[derive(Debug)]
struct Listing {
    walk: Walk,
    kind: ListKind,
    /// The kinds of the lists that follow.
    rest: VecDeque<ListKind>,
    /// Whether the upstream suggests values for arguments.
    has_completions: bool,
    lists: Lists,
    /// The least time that one of them is fresh.
    ttl_ms: Option<u64>,
}

/// The entries of one upstream, by [`ListKind`].
type Lists = [RelayedList; ListKind::ALL.len()];

/// One upstream.
#[derive(Debug)]
pub(super) struct Tracked {
    number: u16,
    upstream: Upstream,
    /// Of its replicas.
    places: Vec<Place>,
    addresses: Vec<Option<SockAddr>>,
    phase: Phase,
    due: Instant,
    backoff: Backoff,
    lists: Lists,
    /// When the lists were read last.
    read_at: Option<Instant>,
    definitions: Definitions,
    has_failed: bool,
    /// When it failed last, and why.
    last_failure: Option<(Instant, Box<str>)>,
    /// The lists that were cut at a bound.
    cut: Vec<ListKind>,
    /// When the last read of the lists began.
    begun_at: Instant,
    /// Whether a list has changed since then.
    is_outdated: bool,
    expiry: Expiry,
    listener: Listener,
    /// The era that it speaks, as far as that is known.
    era: Era,
    /// Its capabilities, while a session of the legacy era is open.
    session: Option<Capabilities>,
    /// Whether calls of its tools can become tasks.
    has_tasks: bool,
}

/// How long the lists that were read are fresh, as the upstream says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expiry {
    /// It says nothing, or is not read yet.
    Unknown,
    /// Until this time.
    At(Instant),
    /// They are not any more.
    Over,
}

impl Tracked {
    /// An upstream whose lists are read at `now`.
    pub(super) fn new(
        number: u16,
        upstream: Upstream,
        places: Vec<Place>,
        now: Instant,
    ) -> Tracked {
        Tracked {
            number,
            upstream,
            places,
            addresses: Vec::new(),
            phase: Phase::Idle,
            due: now,
            backoff: Backoff::START,
            lists: Lists::default(),
            read_at: None,
            definitions: Definitions::default(),
            has_failed: false,
            last_failure: None,
            cut: Vec::new(),
            begun_at: now,
            is_outdated: false,
            expiry: Expiry::Unknown,
            listener: Listener::new(),
            era: Era::Modern,
            session: None,
            has_tasks: false,
        }
    }

    /// The address of one of its replicas, as far as that is known.
    pub(super) fn address(&self, replica: usize) -> Option<&SockAddr> {
        self.addresses.get(replica)?.as_ref()
    }

    /// The state of its lists.
    pub(super) fn list_state(&self) -> ListState {
        match (self.read_at, self.has_failed) {
            (Some(_), false) => ListState::Fresh,
            (Some(_), true) => ListState::Stale,
            (None, false) => ListState::Loading,
            (None, true) => ListState::Failed,
        }
    }

    /// When something is to be done without an event.
    pub(super) fn due(&self) -> Instant {
        let expiry = match self.expiry {
            Expiry::At(at) => Some(at),
            Expiry::Unknown | Expiry::Over => None,
        };
        let others = expiry.into_iter().chain(self.listener.due());
        others.fold(self.due, Instant::min)
    }

    /// Its entries of one kind, for the catalog.
    pub(super) fn entries(&self, kind: ListKind) -> &RelayedList {
        &self.lists[kind as usize]
    }

    /// The time of [`Tracked::due`] has come.
    pub(super) fn handle_due(&mut self, turn: Turn<'_>) -> Step {
        if matches!(self.expiry, Expiry::At(at) if at <= turn.now) {
            self.expiry = Expiry::Over;
            return Step::Expire;
        }
        if self.listener.due().is_some_and(|due| due <= turn.now)
            && let Some(listen) = self.listener.next(turn.now)
        {
            return Step::Listen(listen);
        }
        match self.phase {
            _ if self.due > turn.now => Step::Wait,
            Phase::Idle => {
                (self.begun_at, self.is_outdated) = (turn.now, false);
                self.cut.clear();
                self.begin(Phase::Resolving, turn);
                Step::Resolve
            }
            _ => self.fail("it did not answer in time", turn),
        }
    }

    /// Its addresses were looked up.
    pub(super) fn handle_addresses(
        &mut self,
        addresses: io::Result<Vec<Option<SockAddr>>>,
        turn: Turn<'_>,
    ) -> Step {
        if !matches!(self.phase, Phase::Resolving) {
            return Step::Wait;
        }
        match addresses {
            Ok(addresses) => {
                self.addresses = addresses;
                match self.session {
                    Some(capabilities) => self.list(capabilities, turn),
                    None => self.probe(probe_of(&self.upstream), None, turn),
                }
            }
            Err(error) => self.fail(&error.to_string(), turn),
        }
    }

    /// It has answered.
    pub(super) fn handle_answer(&mut self, answer: &ControlAnswer, turn: Turn<'_>) -> Step {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Probing(mut probe) => match answers::probe(&mut probe, answer) {
                Ok(capabilities) => self.probe(probe, capabilities, turn),
                Err(fault) => self.fail(&fault, turn),
            },
            Phase::Listing(mut listing) => {
                if lacks_method(answer) {
                    listing.walk = Walk::new(listing.kind, WalkLimits::default());
                    return self.finish_list(listing, turn);
                }
                let read = answered(answer).and_then(|json| {
                    let read = listing.walk.handle_page(json);
                    read.map_err(|error| error.to_string())
                });
                match read {
                    Ok(()) => self.go_on(listing, turn),
                    Err(fault) => self.fail(&fault, turn),
                }
            }
            phase @ (Phase::Idle | Phase::Resolving) => {
                self.phase = phase;
                Step::Wait
            }
        }
    }

    /// Sends the next request of a probe, or ends it with the capabilities that were found.
    fn probe(
        &mut self,
        probe: EraProbe,
        capabilities: Option<Capabilities>,
        turn: Turn<'_>,
    ) -> Step {
        match (probe.poll_request(), probe.agreed(), capabilities) {
            (Some(request), ..) => {
                let (method, era) = match request {
                    ProbeRequest::Discover(_) => ("server/discover", Era::Modern),
                    ProbeRequest::Initialize(_) => ("initialize", Era::Legacy),
                };
                self.begin(Phase::Probing(probe), turn);
                Step::Request(method, "{}".to_owned(), era)
            }
            (None, Some(revision), Some(capabilities)) => {
                self.era = revision.era();
                self.session = (self.era == Era::Legacy).then_some(capabilities);
                self.has_tasks = capabilities.has_tasks(self.era) && self.keeps_tasks();
                let reported = (capabilities.reported(), capabilities.has_updates());
                self.listener.set_lists(self.era, reported, turn.now);
                self.list(capabilities, turn)
            }
            _ => self.fail("it does not describe itself", turn),
        }
    }

    /// Begins to read the lists that it has.
    fn list(&mut self, capabilities: Capabilities, turn: Turn<'_>) -> Step {
        let mut kinds = capabilities.lists();
        let listing = kinds.next().map(|kind| Listing {
            walk: Walk::new(kind, WalkLimits::default()),
            kind,
            rest: kinds.collect(),
            has_completions: capabilities.completions.is_some(),
            lists: Lists::default(),
            ttl_ms: None,
        });
        match listing {
            Some(listing) => self.go_on(Box::new(listing), turn),
            None => self.finish(Lists::default(), None, turn),
        }
    }

    /// Requests the next page of a list, or takes the whole list.
    fn go_on(&mut self, listing: Box<Listing>, turn: Turn<'_>) -> Step {
        let params = match listing.walk.next_cursor() {
            None => return self.finish_list(listing, turn),
            Some(None) => "{}".to_owned(),
            Some(Some(cursor)) => serde_json::json!({ "cursor": cursor }).to_string(),
        };
        let method = listing.kind.method();
        self.begin(Phase::Listing(listing), turn);
        Step::Request(method, params, self.era)
    }

    /// Takes a whole list, and begins the next one.
    fn finish_list(&mut self, mut listing: Box<Listing>, turn: Turn<'_>) -> Step {
        let kind = listing.kind;
        let name = self.upstream.name.clone();
        let next = listing.rest.pop_front().unwrap_or(kind);
        let walk = std::mem::replace(&mut listing.walk, Walk::new(next, WalkLimits::default()));
        let list = walk.finish();
        if let Some(bound) = list.bound {
            tracing::warn!(upstream = &*name, list = kind.method(), ?bound, "it is cut");
            self.cut.push(kind);
        }
        listing.ttl_ms = listing.ttl_ms.into_iter().chain(list.ttl_ms).min();
        for entry in list.entries {
            match self.relayed(&listing, entry, turn.settings.name_chars_max) {
                Ok(Some(entry)) => listing.lists[kind as usize].push(entry),
                Ok(None) => {}
                Err(fault) => {
                    let list = kind.method();
                    tracing::warn!(
                        upstream = &*name,
                        list,
                        fault,
                        "one of its entries is hidden"
                    );
                }
            }
        }
        if next == kind {
            return self.finish(listing.lists, listing.ttl_ms, turn);
        }
        listing.kind = next;
        self.go_on(listing, turn)
    }

    fn finish(&mut self, lists: Lists, ttl_ms: Option<u64>, turn: Turn<'_>) -> Step {
        let (now, settings) = (turn.now, turn.settings);
        let changed = changed(&self.lists, &lists);
        if self.read_at.is_none() || self.has_failed || !changed.is_empty() {
            let [tools, prompts, resources, templates] = lists.each_ref().map(Vec::len);
            tracing::info!(
                upstream = &*self.upstream.name,
                tools,
                prompts,
                resources,
                templates,
                "its lists are read"
            );
        }
        self.lists = lists;
        (self.read_at, self.has_failed) = (Some(now), false);
        self.backoff = Backoff::START;
        self.phase = Phase::Idle;
        let refresh = Duration::from_millis(settings.refresh_ms);
        self.due = now + refresh.mul_f64(1.0 - turn.random / 10.0);
        self.expiry = match ttl_ms {
            Some(ttl_ms) => Expiry::At(now + Duration::from_millis(ttl_ms.min(DAY_MS))),
            None => Expiry::Unknown,
        };
        if self.is_outdated {
            self.read_soon(now);
        }
        match changed.is_empty() {
            true => Step::Wait,
            false => Step::Changed(changed),
        }
    }

    fn begin(&mut self, phase: Phase, turn: Turn<'_>) {
        self.phase = phase;
        let times_ms = turn.settings.list_ms + self.places[0].open_ms(turn.settings);
        self.due = turn.now + Duration::from_millis(times_ms) + STEP_SLACK;
    }

    /// A step failed: the next try comes later. The tools stay, for a time.
    fn fail(&mut self, fault: &str, turn: Turn<'_>) -> Step {
        if !std::mem::replace(&mut self.has_failed, true) {
            let name = &*self.upstream.name;
            tracing::warn!(
                upstream = name,
                fault,
                "its lists cannot be read: trying again"
            );
        }
        self.last_failure = Some((turn.now, fault.into()));
        self.phase = Phase::Idle;
        // Its era may be another one now.
        self.session = None;
        self.due = turn.now + self.backoff.take();
        let stale = Duration::from_millis(turn.settings.stale_ms);
        let is_stale = self
            .read_at
            .is_some_and(|at| turn.now.duration_since(at) > stale);
        if !is_stale {
            return Step::Wait;
        }
        self.read_at = None;
        let stale = std::mem::take(&mut self.lists);
        match changed(&stale, &self.lists) {
            changed if changed.is_empty() => Step::Wait,
            changed => Step::Changed(changed),
        }
    }
}

/// The kinds of lists that differ.
fn changed(before: &Lists, after: &Lists) -> Vec<ListKind> {
    let is_changed = |kind: &ListKind| before[*kind as usize] != after[*kind as usize];
    ListKind::ALL.into_iter().filter(is_changed).collect()
}

mod changes;
#[cfg(test)]
mod tests;
