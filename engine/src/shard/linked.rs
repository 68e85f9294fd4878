//! The shard and its links to upstreams.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use super::breaker_change::BreakerChange;
use super::links::Links;
use super::work::{Handling, Shard};
use crate::mcp::ServerParts;
use crate::profile::Gateway;
use crate::upstream::port::UpstreamPort;
use corelane_io::ring::Completion;

impl Handling {
    /// The links of the shard to the upstreams of the server, if there are any, with sockets
    /// at `indexes`. Calls of clients reach them from now on.
    pub(super) fn links_to(
        &mut self,
        parts: &ServerParts,
        settings: Gateway,
        indexes: Range<u32>,
    ) -> Option<Box<Links>> {
        let board = parts.upstreams.as_ref()?;
        let queue = Rc::clone(&self.event_queue);
        let (of_port, bytes_max) = (Arc::clone(board), settings.message_bytes_max);
        let port = Rc::new(UpstreamPort::new(of_port, self.shard, bytes_max, queue));
        self.endpoint.set_port(Rc::clone(&port));
        let board = Arc::clone(board);
        let meter = Rc::clone(&self.meter);
        let links = Links::new(port, board, (self.shard, settings), meter, indexes);
        Some(Box::new(links))
    }
}

impl Shard {
    /// Takes calls for upstreams, and looks at the links. Returns whether there was anything.
    pub(super) fn handle_links(&mut self) -> bool {
        let Some(links) = &mut self.links else {
            return false;
        };
        if self.handling.is_draining {
            links.close_idle(&mut self.rings);
        }
        links.turn(&mut self.rings, self.now_ms)
    }

    /// The next change of an upstream's health that the other shards do not know yet.
    pub(super) fn poll_breaker_change(&mut self) -> Option<BreakerChange> {
        self.links.as_mut()?.poll_breaker_change()
    }

    /// Takes a change of an upstream's health that another shard has found.
    pub(super) fn take_breaker_change(&mut self, change: &BreakerChange) {
        if let Some(links) = &mut self.links {
            links.handle_breaker_change(change, self.now_ms);
        }
    }

    /// Gives a completion of a link to the links; returns any other one.
    #[inline]
    pub(super) fn pass_to_links(&mut self, completion: Completion) -> Option<Completion> {
        let Some(links) = &mut self.links else {
            return Some(completion);
        };
        if !links.owns(&completion) {
            return Some(completion);
        }
        links.now_ms = self.now_ms;
        links.handle(&mut self.rings, completion);
        None
    }
}
