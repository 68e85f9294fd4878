//! One upstream, as the control side sees it: from its name to its lists, again and again.
//!
//! The clock and all effects are the caller's.

use std::io;
use std::time::{Duration, Instant};

use corelane_gateway::catalog::{Entry, ListKind, Walk, WalkLimits, expose};
use corelane_gateway::config::Upstream;
use corelane_gateway::relay::RelayedPart;
use corelane_protocol::binding::header_param::{self, HeaderParam};
use corelane_protocol::jsonrpc::METHOD_NOT_FOUND;
use corelane_protocol::mcp::revision::Revision;
use serde::Deserialize;
use socket2::SockAddr;

use super::endpoint::Place;
use crate::catalog::RelayedList;
use crate::profile::Gateway;
use crate::upstream::entry::RelayedEntry;

/// The first and the longest wait after a failure.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// The time after which nothing more is expected of a step: a shard that ended took it along.
const STEP_SLACK: Duration = Duration::from_secs(5);
/// How long the entries of an upstream that fails stay listed.
const STALE_MAX: Duration = Duration::from_secs(3600);

/// The next thing to do for an upstream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing, until the time that [`Tracked::due`] gives.
    Wait,
    /// Its address is looked up.
    Resolve,
    /// This method is requested with these params.
    Request(&'static str, String),
    /// Its entries of these kinds have changed.
    Changed(Vec<ListKind>),
}

#[derive(Debug)]
enum Phase {
    /// Until the lists are read again.
    Idle,
    Resolving,
    Discovering,
    Listing(Box<Listing>),
}

/// The reading of all lists, one after the other.
#[derive(Debug)]
struct Listing {
    walk: Walk,
    kind: ListKind,
    /// The kinds of the lists that follow.
    rest: Vec<ListKind>,
    capabilities: Capabilities,
    lists: Lists,
}

/// The entries of one upstream, by [`ListKind`].
type Lists = [RelayedList; ListKind::ALL.len()];

/// One upstream.
#[derive(Debug)]
pub(super) struct Tracked {
    number: u16,
    upstream: Upstream,
    place: Place,
    address: Option<SockAddr>,
    phase: Phase,
    due: Instant,
    backoff: Duration,
    lists: Lists,
    /// When the lists were read last.
    read_at: Option<Instant>,
    has_failed: bool,
}

/// The parts of the result of `server/discover` that decide.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Discovered {
    supported_versions: Vec<String>,
    #[serde(default)]
    capabilities: Capabilities,
}

/// Its capabilities that matter here: one is there, or it is not.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Capabilities {
    #[serde(deserialize_with = "is_there")]
    tools: bool,
    #[serde(deserialize_with = "is_there")]
    prompts: bool,
    #[serde(deserialize_with = "is_there")]
    resources: bool,
    #[serde(deserialize_with = "is_there")]
    completions: bool,
}

impl Capabilities {
    /// The lists that it has.
    fn lists(self) -> impl Iterator<Item = ListKind> {
        ListKind::ALL.into_iter().filter(move |kind| match kind {
            ListKind::Tools => self.tools,
            ListKind::Prompts => self.prompts,
            ListKind::Resources | ListKind::Templates => self.resources,
        })
    }
}

/// Whether the value of a member is more than null.
fn is_there<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Option::<serde::de::IgnoredAny>::deserialize(deserializer).map(|it| it.is_some())
}

impl Tracked {
    /// An upstream whose lists are read at `now`.
    pub(super) fn new(number: u16, upstream: Upstream, place: Place, now: Instant) -> Tracked {
        Tracked {
            number,
            upstream,
            place,
            address: None,
            phase: Phase::Idle,
            due: now,
            backoff: BACKOFF_MIN,
            lists: Lists::default(),
            read_at: None,
            has_failed: false,
        }
    }

    /// Where it is.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Its address, as far as that is known.
    pub(super) fn address(&self) -> Option<&SockAddr> {
        self.address.as_ref()
    }

    /// When something is to be done without an event.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Its entries of one kind, for the catalog.
    pub(super) fn entries(&self, kind: ListKind) -> &RelayedList {
        &self.lists[kind as usize]
    }

    /// The time of [`Tracked::due`] has come.
    pub(super) fn handle_due(&mut self, now: Instant, settings: &Gateway) -> Step {
        match self.phase {
            Phase::Idle => {
                self.begin(Phase::Resolving, now, settings);
                Step::Resolve
            }
            _ => self.fail("it did not answer in time", now),
        }
    }

    /// Its address was looked up. Returns the next step, and whether the address is another one.
    pub(super) fn handle_address(
        &mut self,
        address: io::Result<SockAddr>,
        now: Instant,
        settings: &Gateway,
    ) -> (Step, bool) {
        if !matches!(self.phase, Phase::Resolving) {
            return (Step::Wait, false);
        }
        match address {
            Ok(address) => {
                let is_new = self.address.as_ref() != Some(&address);
                self.address = Some(address);
                self.begin(Phase::Discovering, now, settings);
                let step = Step::Request("server/discover", "{}".to_owned());
                (step, is_new)
            }
            Err(error) => (self.fail(&error.to_string(), now), false),
        }
    }

    /// It has answered.
    pub(super) fn handle_answer(
        &mut self,
        part: &RelayedPart,
        now: Instant,
        settings: &Gateway,
    ) -> Step {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Discovering => match answered(part).and_then(discovered) {
                Ok(capabilities) => {
                    let lists = capabilities.lists().collect();
                    self.list_next(lists, capabilities, Lists::default(), (now, settings))
                }
                Err(fault) => self.fail(&fault, now),
            },
            Phase::Listing(mut listing) => {
                let read = match part {
                    RelayedPart::Error(error) if lacks_method(error) => {
                        listing.walk = Walk::new(listing.kind, WalkLimits::default());
                        return self.finish_list(*listing, now, settings);
                    }
                    part => answered(part).and_then(|json| {
                        let read = listing.walk.handle_page(json);
                        read.map_err(|error| error.to_string())
                    }),
                };
                match read {
                    Ok(()) => self.go_on(listing, now, settings),
                    Err(fault) => self.fail(&fault, now),
                }
            }
            phase @ (Phase::Idle | Phase::Resolving) => {
                self.phase = phase;
                Step::Wait
            }
        }
    }

    /// Begins the next one of `rest`, or ends with all of them.
    fn list_next(
        &mut self,
        mut rest: Vec<ListKind>,
        capabilities: Capabilities,
        lists: Lists,
        (now, settings): (Instant, &Gateway),
    ) -> Step {
        if rest.is_empty() {
            return self.finish(lists, now, settings);
        }
        let kind = rest.remove(0);
        let listing = Listing {
            walk: Walk::new(kind, WalkLimits::default()),
            kind,
            rest,
            capabilities,
            lists,
        };
        self.go_on(Box::new(listing), now, settings)
    }

    /// Requests the next page of a list, or takes the whole list.
    fn go_on(&mut self, listing: Box<Listing>, now: Instant, settings: &Gateway) -> Step {
        let params = match listing.walk.next_cursor() {
            None => return self.finish_list(*listing, now, settings),
            Some(None) => "{}".to_owned(),
            Some(Some(cursor)) => serde_json::json!({ "cursor": cursor }).to_string(),
        };
        let method = listing.kind.method();
        self.begin(Phase::Listing(listing), now, settings);
        Step::Request(method, params)
    }

    fn finish_list(&mut self, listing: Listing, now: Instant, settings: &Gateway) -> Step {
        let name = self.upstream.name.clone();
        let (kind, mut lists) = (listing.kind, listing.lists);
        let list = listing.walk.finish();
        if let Some(bound) = list.bound {
            tracing::warn!(upstream = &*name, list = kind.method(), ?bound, "it is cut");
        }
        let has_completions = listing.capabilities.completions;
        for entry in list.entries {
            match self.relayed(kind, entry, settings.name_chars_max) {
                Ok(Some((key, entry))) => {
                    let entry = RelayedEntry {
                        has_completions,
                        ..entry
                    };
                    lists[kind as usize].push((key, entry));
                }
                Ok(None) => {}
                Err(fault) => {
                    let list = kind.method();
                    tracing::warn!(upstream = &*name, list, fault, "one of its entries is hidden");
                }
            }
        }
        self.list_next(listing.rest, listing.capabilities, lists, (now, settings))
    }

    fn finish(&mut self, lists: Lists, now: Instant, settings: &Gateway) -> Step {
        let changed = changed(&self.lists, &lists);
        if self.read_at.is_none() || self.has_failed || !changed.is_empty() {
            let [tools, prompts, resources, templates] = lists.each_ref().map(Vec::len);
            let name = &*self.upstream.name;
            tracing::info!(
                upstream = name,
                tools,
                prompts,
                resources,
                templates,
                "its lists are read"
            );
        }
        self.lists = lists;
        (self.read_at, self.has_failed) = (Some(now), false);
        self.backoff = BACKOFF_MIN;
        self.phase = Phase::Idle;
        self.due = now + Duration::from_millis(settings.refresh_ms);
        match changed.is_empty() {
            true => Step::Wait,
            false => Step::Changed(changed),
        }
    }

    /// The entry for the catalog; none if the configuration hides it.
    fn relayed(
        &self,
        kind: ListKind,
        entry: Entry,
        chars_max: usize,
    ) -> Result<Option<(Box<str>, RelayedEntry)>, String> {
        let header_params = match kind {
            ListKind::Tools => header_params_of(&entry)?,
            _ => Vec::new(),
        };
        let exposed = expose(&self.upstream, kind, entry, chars_max);
        let Some(exposed) = exposed.map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        let changes = self.upstream.overrides.get(&exposed.original);
        let changes = changes.filter(|_| kind == ListKind::Tools);
        let entry = RelayedEntry {
            upstream: self.number,
            has_completions: false,
            fixed: changes.map(|it| it.fixed.clone()).unwrap_or_default(),
            header_params,
            listed: exposed.json.into(),
            original: exposed.original,
        };
        Ok(Some((exposed.key, entry)))
    }

    fn begin(&mut self, phase: Phase, now: Instant, settings: &Gateway) {
        self.phase = phase;
        let times_ms = settings.list_ms + settings.connect_ms;
        self.due = now + Duration::from_millis(times_ms) + STEP_SLACK;
    }

    /// A step failed: the next try comes later. The tools stay, for a time.
    fn fail(&mut self, fault: &str, now: Instant) -> Step {
        if !std::mem::replace(&mut self.has_failed, true) {
            let name = &*self.upstream.name;
            tracing::warn!(
                upstream = name,
                fault,
                "its lists cannot be read: trying again"
            );
        }
        self.phase = Phase::Idle;
        self.due = now + self.backoff;
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        let is_stale = self
            .read_at
            .is_some_and(|at| now.duration_since(at) > STALE_MAX);
        if !is_stale {
            return Step::Wait;
        }
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

/// The arguments of a tool that requests repeat in their heads.
///
/// # Errors
/// It has no schema, or requests with wrong fields would be refused (MCP 2026-07-28
/// basic/transports).
fn header_params_of(tool: &Entry) -> Result<Vec<HeaderParam>, String> {
    let schema = tool.raw("inputSchema").ok_or("it has no inputSchema")?;
    let schema = serde_json::from_str(schema.get()).map_err(|error| error.to_string())?;
    header_param::collect(&schema).map_err(|error| error.to_string())
}

/// The result of an answer.
///
/// # Errors
/// The error that it is instead.
fn answered(part: &RelayedPart) -> Result<&str, String> {
    match part {
        RelayedPart::Result { json, .. } => Ok(str::from_utf8(json).unwrap_or_default()),
        RelayedPart::Error(error) => Err(String::from_utf8_lossy(error).into_owned()),
    }
}

/// Whether a server refuses a list as a method that it does not have: its list is empty then, as
/// servers with resources need not have templates.
fn lacks_method(error: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Refusal {
        code: i64,
    }
    let error = serde_json::from_slice::<Refusal>(error);
    error.is_ok_and(|error| error.code == METHOD_NOT_FOUND)
}

/// The capabilities of a server that describes itself like this.
///
/// # Errors
/// It speaks no revision of the modern era.
fn discovered(json: &str) -> Result<Capabilities, String> {
    let found: Discovered = serde_json::from_str(json)
        .map_err(|error| format!("the result of server/discover: {error}"))?;
    let revision = Revision::V2026_07_28.as_str();
    match found.supported_versions.iter().any(|it| it == revision) {
        true => Ok(found.capabilities),
        false => Err(format!("it does not speak the revision {revision}")),
    }
}

#[cfg(test)]
mod tests;
