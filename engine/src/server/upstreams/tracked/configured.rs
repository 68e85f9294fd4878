//! The configuration of an upstream, and another one that takes its place while it is served.

use std::time::Instant;

use corelane_gateway::catalog::ListKind;
use corelane_gateway::config::Upstream;

use super::Tracked;
use crate::server::upstreams::endpoint::Place;

impl Tracked {
    /// Where it is.
    pub(in crate::server::upstreams) fn place(&self) -> &Place {
        &self.place
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
