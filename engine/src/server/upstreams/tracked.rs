//! One upstream, as the control side sees it: from its name to its tools, again and again.
//!
//! The clock and all effects are the caller's.

use std::io;
use std::time::{Duration, Instant};

use corelane_gateway::catalog::{Entry, ListKind, Walk, WalkLimits, expose_tool};
use corelane_gateway::config::Upstream;
use corelane_gateway::relay::RelayedPart;
use corelane_protocol::binding::header_param;
use corelane_protocol::mcp::revision::Revision;
use serde::Deserialize;
use socket2::SockAddr;

use super::endpoint::Place;
use crate::catalog::tool::Tool;
use crate::profile::Gateway;
use crate::upstream::entry::RelayedEntry;

/// The first and the longest wait after a failure.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// The time after which nothing more is expected of a step: a shard that ended took it along.
const STEP_SLACK: Duration = Duration::from_secs(5);
/// How long the tools of an upstream that fails stay listed.
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
    /// Its tools have changed.
    Changed,
}

#[derive(Debug)]
enum Phase {
    /// Until the lists are read again.
    Idle,
    Resolving,
    Discovering,
    Listing(Walk),
}

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
    tools: Vec<(Box<str>, RelayedEntry)>,
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
    capabilities: serde_json::Map<String, serde_json::Value>,
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
            tools: Vec::new(),
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

    /// Its tools, for the catalog.
    pub(super) fn tools(&self) -> impl Iterator<Item = Tool> {
        let tools = self.tools.iter();
        tools.map(|(name, entry)| Tool::relayed(&**name, entry.clone()))
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
        let json = match part {
            RelayedPart::Result { json, .. } => str::from_utf8(json).unwrap_or_default(),
            RelayedPart::Error(json) => {
                let error = String::from_utf8_lossy(json).into_owned();
                return self.fail(&error, now);
            }
        };
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Discovering => match discovered(json) {
                Ok(true) => {
                    let walk = Walk::new(ListKind::Tools, WalkLimits::default());
                    self.go_on(walk, now, settings)
                }
                Ok(false) => self.finish(Vec::new(), now, settings),
                Err(fault) => self.fail(&fault, now),
            },
            Phase::Listing(mut walk) => match walk.handle_page(json) {
                Ok(()) => self.go_on(walk, now, settings),
                Err(error) => self.fail(&error.to_string(), now),
            },
            phase @ (Phase::Idle | Phase::Resolving) => {
                self.phase = phase;
                Step::Wait
            }
        }
    }

    /// Requests the next page of a list, or takes the whole list.
    fn go_on(&mut self, walk: Walk, now: Instant, settings: &Gateway) -> Step {
        let params = match walk.next_cursor() {
            None => {
                let list = walk.finish();
                if let Some(bound) = list.bound {
                    let name = &*self.upstream.name;
                    tracing::warn!(upstream = name, ?bound, "its list of tools is cut");
                }
                return self.finish(list.entries, now, settings);
            }
            Some(None) => "{}".to_owned(),
            Some(Some(cursor)) => serde_json::json!({ "cursor": cursor }).to_string(),
        };
        let method = ListKind::Tools.method();
        self.begin(Phase::Listing(walk), now, settings);
        Step::Request(method, params)
    }

    fn finish(&mut self, entries: Vec<Entry>, now: Instant, settings: &Gateway) -> Step {
        let name = self.upstream.name.clone();
        let mut tools = Vec::new();
        for entry in entries {
            match self.relayed(entry, settings.name_chars_max) {
                Ok(Some(tool)) => tools.push(tool),
                Ok(None) => {}
                Err(fault) => {
                    tracing::warn!(upstream = &*name, fault, "one of its tools is hidden");
                }
            }
        }
        let is_first = self.read_at.is_none();
        if is_first || self.has_failed || tools != self.tools {
            tracing::info!(
                upstream = &*name,
                tools = tools.len(),
                "its tools are listed"
            );
        }
        let is_changed = tools != self.tools;
        self.tools = tools;
        (self.read_at, self.has_failed) = (Some(now), false);
        self.backoff = BACKOFF_MIN;
        self.phase = Phase::Idle;
        self.due = now + Duration::from_millis(settings.refresh_ms);
        if is_changed {
            Step::Changed
        } else {
            Step::Wait
        }
    }

    /// The entry of a tool for the catalog; none if the configuration hides it.
    fn relayed(
        &self,
        entry: Entry,
        chars_max: usize,
    ) -> Result<Option<(Box<str>, RelayedEntry)>, String> {
        let schema = entry.raw("inputSchema").map(|raw| raw.get().to_owned());
        let schema = schema.ok_or("it has no inputSchema")?;
        let schema = serde_json::from_str(&schema).map_err(|error| error.to_string())?;
        // Requests with wrong fields would be refused (MCP 2026-07-28 basic/transports).
        let header_params = header_param::collect(&schema).map_err(|error| error.to_string())?;
        let exposed = expose_tool(&self.upstream, entry, chars_max);
        let Some(exposed) = exposed.map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        let changes = self.upstream.overrides.get(&exposed.original);
        let entry = RelayedEntry {
            upstream: self.number,
            fixed: changes.map(|it| it.fixed.clone()).unwrap_or_default(),
            header_params,
            // In valid JSON they stand between tokens only.
            listed: exposed.json.replace(['\r', '\n'], " ").into(),
            original: exposed.original,
        };
        Ok(Some((exposed.name, entry)))
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
        if is_stale && !self.tools.is_empty() {
            self.tools.clear();
            return Step::Changed;
        }
        Step::Wait
    }
}

/// Whether a server that describes itself like this has tools.
///
/// # Errors
/// It speaks no revision of the modern era.
fn discovered(json: &str) -> Result<bool, String> {
    let found: Discovered = serde_json::from_str(json)
        .map_err(|error| format!("the result of server/discover: {error}"))?;
    let revision = Revision::V2026_07_28.as_str();
    match found.supported_versions.iter().any(|it| it == revision) {
        true => Ok(found.capabilities.contains_key("tools")),
        false => Err(format!("it does not speak the revision {revision}")),
    }
}

#[cfg(test)]
mod tests;
