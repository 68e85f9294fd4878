//! The work of a shard when another one has died.
//!
//! Requests that it had forwarded to the dead shard are answered with a refusal, and streams whose
//! session lived there end: their clients learn from their next request that the session is gone.
//! State about connections of the dead shard is given up. Requests for the dead shard are refused
//! until it runs again; after that the next life knows none of its sessions.

use corelane_protocol::binding::refusal::Reason;

use super::work::Shard;
use crate::connection::http::Phase;
use crate::mcp::{Delivery, Exchange, Part};

/// Exchanges that are ended in one turn: less than half a millisecond of work.
const ENDED_PER_TURN: usize = 128;

impl Shard {
    /// Looks whether other shards have died. Called before this turn forwards anything, so that
    /// each request that is forwarded goes to a life that this shard knows of.
    pub(super) fn handle_deaths(&mut self) {
        if !self.deaths.has_unseen() {
            return;
        }
        for dead in self.deaths.take() {
            let shard = self.handling.shard;
            let lost = self.slots.iter();
            let lost = lost.filter(|(_, connection)| connection.forwarded_to() == Some(dead));
            let lost = lost.map(|(slot, connection)| Exchange {
                shard,
                slot,
                sequence: connection.sequence,
                takes_events: false,
                is_on_channel: false,
            });
            self.lost.extend(lost);
            self.handling.endpoint.handle_shard_gone(dead);
            self.deliver_all();
        }
    }

    /// Ends some exchanges that waited for a shard that died. Returns whether there
    /// was any.
    pub(super) fn end_lost(&mut self) -> bool {
        if self.lost.is_empty() {
            return false;
        }
        for _ in 0..ENDED_PER_TURN {
            let Some(exchange) = self.lost.pop() else {
                break;
            };
            let phase = self.slots.get(exchange.slot).map(|it| it.phase);
            let part = match phase {
                // A message that no request is named in would be lost on a stream.
                Some(Phase::Streaming) => Part::StreamEnd,
                _ => self.refuse_lost(),
            };
            self.deliver_here(Delivery { exchange, part });
        }
        true
    }

    fn refuse_lost(&mut self) -> Part {
        let reason = Reason::Overloaded("the shard of the session has failed: begin a new session");
        let refused = Some(reason.category());
        let mut body = Vec::new();
        self.handling.endpoint.refuse(None, reason, &mut body);
        Part::Final { refused, body }
    }
}
