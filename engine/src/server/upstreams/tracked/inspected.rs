//! The state of an upstream for an administrator, and the request to read its lists again.

use std::time::Instant;

use corelane_gateway::catalog::ListKind;
use serde_json::{Value, json};

use super::{Phase, Tracked};
use crate::server::upstreams::endpoint::Place;

impl Tracked {
    /// Reads its lists again now, also if it has failed a moment ago.
    pub(in crate::server::upstreams) fn refresh(&mut self, now: Instant) {
        self.is_outdated = true;
        if matches!(self.phase, Phase::Idle) {
            self.due = now;
        }
    }

    /// Its state. Nothing in it is a secret.
    pub(in crate::server::upstreams) fn inspected(&self, now: Instant) -> Value {
        let age_s = |at: Instant| now.saturating_duration_since(at).as_secs();
        let counts = ListKind::ALL.map(|kind| self.entries(kind).len());
        let [tools, prompts, resources, templates] = counts;
        let failure = self.last_failure.as_ref();
        let error_lines = match &self.places[..] {
            [Place::Program(program)] => program.error_lines(),
            _ => Vec::new(),
        };
        json!({
            "state": self.list_state().word(),
            "era": self.read_at.map(|_| format!("{:?}", self.era).to_lowercase()),
            "entries": {
                "tools": tools, "prompts": prompts, "resources": resources,
                "templates": templates,
            },
            "catalog_age_s": self.read_at.map(age_s),
            "cut": self.cut.iter().map(|kind| kind.method()).collect::<Vec<_>>(),
            "changed": self.definitions.changed().collect::<Vec<_>>(),
            "last_error": failure.map(|(_, text)| text),
            "last_error_age_s": failure.map(|(at, _)| age_s(*at)),
            "standard_error": error_lines,
        })
    }
}
