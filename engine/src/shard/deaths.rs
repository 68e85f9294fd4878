//! What a shard does when another one has died.
//!
//! Requests that it had forwarded to the dead shard are answered with a refusal, and streams whose
//! session lived there end: their clients learn from their next request that the session is gone.
//! State about connections of the dead shard is given up. Requests for the dead shard are refused
//! until it runs again; after that the next life knows none of its sessions.

use std::sync::Arc;

use corelane_protocol::binding::refusal::Reason;

use super::lives::Lives;
use super::work::Shard;
use crate::connection::http::{Connection, Phase};
use crate::mcp::{Delivery, Exchange, Part};

/// Exchanges that are ended in one turn: less than half a millisecond of work.
const ENDED_PER_TURN: usize = 128;

/// The distance of the first generations of two lives of a shard. Keys of slots differ as long as
/// no slot of the earlier life was used so often: its last messages find no connection of the next.
const GENERATIONS_PER_LIFE: u32 = 0x9e37_79b9;

/// The lives of all shards, as far as one of them has seen them.
#[derive(Debug)]
pub(super) struct Deaths {
    lives: Arc<Lives>,
    shard: u16,
    /// Of all shards together.
    seen: u32,
    /// Of each shard.
    seen_of: Vec<u32>,
    /// Exchanges of this shard whose answer was to come from one that died. At most one for each
    /// connection.
    lost: Vec<Exchange>,
}

impl Deaths {
    /// Of the shard `shard`, which starts now.
    pub(super) fn new(lives: &Arc<Lives>, shard: u16) -> Deaths {
        Deaths {
            lives: Arc::clone(lives),
            shard,
            seen: lives.deaths(),
            seen_of: lives.deaths_of_each().collect(),
            lost: Vec::new(),
        }
    }

    /// The generation that the slots of this life of the shard begin with.
    pub(super) fn first_generation(&self) -> u32 {
        let deaths = self.lives.deaths_of(self.shard);
        deaths.wrapping_mul(GENERATIONS_PER_LIFE)
    }

    /// The lives of all shards.
    #[cfg(test)]
    pub(super) fn lives(&self) -> &Arc<Lives> {
        &self.lives
    }

    /// Whether a shard takes no requests.
    pub(super) fn is_down(&self, shard: u16) -> bool {
        self.lives.is_down(shard)
    }

    /// Whether exchanges have to be ended.
    pub(super) fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// The other shards that have died since the last call.
    fn take(&mut self) -> Vec<u16> {
        self.seen = self.lives.deaths();
        let seen_of = self.seen_of.iter_mut().zip(self.lives.deaths_of_each());
        let changed = (0..).zip(seen_of).filter_map(|(shard, (seen, now))| {
            let before = std::mem::replace(seen, now);
            (before != now && shard != self.shard).then_some(shard)
        });
        changed.collect()
    }
}

impl Shard {
    /// Looks whether other shards have died. Called before this turn forwards anything, so that
    /// each request that is forwarded goes to a life that this shard knows of.
    pub(super) fn handle_deaths(&mut self) {
        if self.deaths.lives.deaths() == self.deaths.seen {
            return;
        }
        for dead in self.deaths.take() {
            let shard = self.handling.shard;
            let waits = |connection: &Connection| connection.forwarded_to() == Some(dead);
            let lost = self.slots.iter().filter(|(_, it)| waits(it));
            let lost = lost.map(|(slot, connection)| Exchange {
                shard,
                slot,
                sequence: connection.sequence,
                takes_events: false,
                is_on_channel: false,
            });
            self.deaths.lost.extend(lost);
            self.handling.endpoint.handle_shard_gone(dead);
            self.deliver_all();
        }
    }

    /// Ends some exchanges whose answer was to come from a shard that died. Returns whether there
    /// was any.
    pub(super) fn end_lost(&mut self) -> bool {
        if !self.deaths.has_lost() {
            return false;
        }
        for _ in 0..ENDED_PER_TURN {
            let Some(exchange) = self.deaths.lost.pop() else {
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
