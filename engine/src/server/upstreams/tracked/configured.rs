//! The configuration of an upstream, and another one that takes its place while it is served.

use std::time::Instant;

use corelane_gateway::catalog::ListKind;
use corelane_gateway::config::Upstream;
use corelane_protocol::mcp::era::Era;

use super::Tracked;
use crate::server::upstreams::endpoint::Place;
use crate::server::upstreams::listener::Listener;

impl Tracked {
    /// The subscription to its changes.
    pub(in crate::server::upstreams) fn listener(&mut self) -> &mut Listener {
        &mut self.listener
    }

    /// Whether it reports updates of resources.
    pub(in crate::server::upstreams) fn has_updates(&self) -> bool {
        self.listener.takes_uris()
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

    /// Shows its entries as another configuration has it, which reaches it in the same way. Tools
    /// that this one hides are gone at once, and the lists are read again soon.
    pub(in crate::server::upstreams) fn set_upstream(&mut self, upstream: Upstream, now: Instant) {
        let tools = &mut self.lists[ListKind::Tools as usize];
        tools.retain(|(_, entry)| upstream.tools.admits(&entry.original));
        self.upstream = upstream;
        self.read_soon(now);
    }

    /// Whether its lists were read.
    pub(in crate::server::upstreams) fn is_read(&self) -> bool {
        self.read_at.is_some()
    }
}
