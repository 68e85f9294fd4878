//! The session that makes room for another one at a limit.

use super::principals::PrincipalKey;
use super::{NONE, NoRoom, OF_HOLDER, Session, Sessions};
use crate::guard::holder::HolderKey;
use crate::mcp::session_id::SessionId;

/// Sessions looked at for eviction before a new one is refused.
pub(super) const EVICTION_LOOKS_MAX: usize = 64;
/// Sessions of a holder, of which the least recently used is evicted for another one of it.
pub(super) const EVICTION_SAMPLE: usize = 16;

impl Sessions {
    pub(super) fn evict_own(&mut self, key: PrincipalKey) -> Result<Session, NoRoom> {
        let full = NoRoom::Principal {
            max: self.limits.per_principal_max,
        };
        let index = self.principals.oldest_idle(key).ok_or(full)?;
        let id = self.sessions[index as usize].id;
        self.remove(id).ok_or(full)
    }

    /// Removes the least recently used session of a sample of a holder's. A list in the order of
    /// use, as principals have one, would cost each request of an anonymous client.
    pub(super) fn evict_of(&mut self, holder: HolderKey) -> Result<Session, NoRoom> {
        let mut oldest: Option<(u64, SessionId)> = None;
        for _ in 0..EVICTION_SAMPLE {
            let Some(index) = self.by_holder.oldest(holder) else {
                break;
            };
            // Behind the others: the next sample is another one.
            let place = (&mut self.sessions, index);
            self.by_holder.remove(holder, place, OF_HOLDER);
            let place = (&mut self.sessions, index);
            self.by_holder.push(holder, place, OF_HOLDER);
            let (session, used_ms) = (
                &self.sessions[index as usize],
                self.links[index as usize].used_ms,
            );
            if !session.is_busy() && oldest.is_none_or(|(other_ms, _)| used_ms < other_ms) {
                oldest = Some((used_ms, session.id));
            }
        }
        let full = NoRoom::Holder {
            held: self.shares.held_by(holder),
            max: self.limits.sessions_max,
        };
        let (_, id) = oldest.ok_or(full)?;
        self.remove(id).ok_or(full)
    }

    pub(super) fn evict(&mut self, now_ms: u64) -> Result<Session, NoRoom> {
        let full = NoRoom::Shard {
            max: self.limits.sessions_max,
        };
        for _ in 0..EVICTION_LOOKS_MAX {
            if self.oldest == NONE {
                break;
            }
            let session = &self.sessions[self.oldest as usize];
            let id = session.id;
            if !session.is_busy() {
                return self.remove(id).ok_or(full);
            }
            // Moved away: the next look must not find the same busy sessions again.
            self.touch(id, now_ms);
        }
        Err(full)
    }
}
