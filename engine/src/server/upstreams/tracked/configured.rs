//! The configuration of an upstream, and another one that takes its place while it is served.

use std::time::Instant;

use corelane_gateway::catalog::ListKind;
#[cfg(feature = "auth")]
use corelane_gateway::config::OnChange;
use corelane_gateway::config::{Sessions, Target, Upstream};
use corelane_protocol::mcp::era::Era;

use super::{Definitions, Tracked};
use crate::server::upstreams::endpoint::Place;
use crate::server::upstreams::listener::Listener;

/// The kind and the name of an entry.
#[cfg(feature = "auth")]
pub(in crate::server::upstreams) type ChangedEntry = (&'static str, Box<str>);

impl Tracked {
    /// Takes the kinds and names of entries whose definitions have changed since they were first
    /// read, and whether they are refused.
    #[cfg(feature = "auth")]
    pub(in crate::server::upstreams) fn take_changed(&mut self) -> (Vec<ChangedEntry>, bool) {
        let is_refused = self.upstream.pins == OnChange::Refuse;
        (self.definitions.take_unreported(), is_refused)
    }

    /// The subscription to its changes.
    pub(in crate::server::upstreams) fn listener(&mut self) -> &mut Listener {
        &mut self.listener
    }

    /// Whether it reports updates of resources.
    pub(in crate::server::upstreams) fn has_updates(&self) -> bool {
        self.listener.takes_uris()
    }

    /// Whether calls of its tools can become tasks.
    pub(in crate::server::upstreams) fn has_tasks(&self) -> bool {
        self.has_tasks
    }

    /// Whether a later request of a client comes to the session with its tasks.
    pub(super) fn keeps_tasks(&self) -> bool {
        let mut targets = self.upstream.targets.iter();
        let is_one_of_several =
            targets.any(|it| matches!(it, Target::Child(child) if child.processes > 1));
        let ends_with_call = self.era == Era::Legacy && self.upstream.sessions == Sessions::Call;
        !is_one_of_several && !ends_with_call
    }

    /// The era that it speaks, as far as that is known.
    pub(in crate::server::upstreams) fn era(&self) -> Era {
        self.era
    }

    /// Where its replicas are.
    pub(in crate::server::upstreams) fn places(&self) -> &[Place] {
        &self.places
    }

    /// Its configuration.
    pub(in crate::server::upstreams) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Whether its program keeps ending before it answers.
    pub(in crate::server::upstreams) fn is_crash_looping(&self) -> bool {
        matches!(&self.places[..], [Place::Program(program)] if program.is_looping())
    }

    /// Its definitions as they were first read, with the configuration that they were read under.
    pub(in crate::server::upstreams) fn definitions(&self) -> (Definitions, Upstream) {
        (self.definitions.clone(), self.upstream.clone())
    }

    /// Compares its definitions with those of the upstream whose place it takes, if both are
    /// compared alike.
    pub(in crate::server::upstreams) fn take_definitions(
        &mut self,
        (definitions, before): (Definitions, Upstream),
    ) {
        if is_compared_alike(&before, &self.upstream) {
            self.definitions = definitions;
        }
    }

    /// Shows its entries as another configuration has it, which reaches it in the same way. Tools
    /// that this one hides are gone at once, and the lists are read again soon.
    pub(in crate::server::upstreams) fn set_upstream(&mut self, upstream: Upstream, now: Instant) {
        let tools = &mut self.lists[ListKind::Tools as usize];
        tools.retain(|(_, entry)| upstream.tools.admits(&entry.original));
        let before = std::mem::replace(&mut self.upstream, upstream);
        if !is_compared_alike(&before, &self.upstream) {
            self.definitions = Definitions::default();
        }
        self.read_soon(now);
    }

    /// Whether its lists were read.
    pub(in crate::server::upstreams) fn is_read(&self) -> bool {
        self.read_at.is_some()
    }
}

/// Whether a definition under one configuration can be compared with that under another one.
fn is_compared_alike(one: &Upstream, other: &Upstream) -> bool {
    one.pins == other.pins
        && one.naming == other.naming
        && one.overrides == other.overrides
        && one.has_namespaced_uris == other.has_namespaced_uris
}
