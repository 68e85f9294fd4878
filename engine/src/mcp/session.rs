//! Legacy sessions of one home shard.
//!
//! Every session stands in one list, least recently used first. The list serves two purposes:
//! sessions that were idle too long are at its front, and at the cap the first one with nothing
//! in flight makes room. Clients that never end their session are the normal case.

use corelane_protocol::mcp::capability::ClientCapabilities;
use corelane_protocol::mcp::logging::LogLevel;
use corelane_protocol::mcp::revision::Revision;
use hashbrown::HashTable;
use slab::Slab;

use super::Exchange;
use super::event_store::StreamId;
use super::home_id::RandomBits;
use super::session_id::SessionId;
use crate::handler::mailbox::CallKey;

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    /// Its name.
    pub(crate) id: SessionId,
    /// The revision both sides agreed on.
    pub(crate) revision: Revision,
    /// What the client can do.
    pub(crate) capabilities: ClientCapabilities,
    /// Least severe log messages the client wants.
    pub(crate) log_level: LogLevel,
    /// Calls that were not answered yet.
    pub(crate) calls: Vec<CallKey>,
    /// Open streams for messages of the server, oldest first.
    pub(crate) streams: Vec<OpenStream>,
    /// The last of these streams whose connection was lost: its client may come back for it.
    pub(crate) lost_stream: Option<StreamId>,
    /// Resources whose changes the client wants to hear of.
    pub(crate) subscriptions: Vec<Box<str>>,
}

/// A stream for messages of the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenStream {
    /// Under which name its events are kept, once it has any.
    pub(crate) stream: Option<StreamId>,
    /// Where it is open.
    pub(crate) exchange: Exchange,
}

impl Session {
    /// Notes that a stream is open.
    pub(crate) fn open_stream(&mut self, stream: Option<StreamId>, exchange: Exchange) {
        // Most sessions have one, and never another beside it.
        self.streams.reserve_exact(1);
        self.streams.push(OpenStream { stream, exchange });
    }

    /// A session that is waited for is never evicted.
    fn is_busy(&self) -> bool {
        !self.calls.is_empty() || !self.streams.is_empty()
    }
}

/// A session's place in the list.
#[derive(Clone, Copy, Debug)]
struct Link {
    used_ms: u64,
    previous: u32,
    next: u32,
}

/// End of a list.
const NONE: u32 = u32::MAX;

/// Sessions looked at for eviction before a new one is refused.
const EVICTION_LOOKS_MAX: usize = 64;

/// All sessions of a shard.
#[derive(Debug)]
pub(crate) struct Sessions {
    home: u16,
    sessions_max: usize,
    idle_timeout_ms: u64,
    random: RandomBits,
    /// The indexes of sessions by the random bits of their ids. The bits themselves stand in the
    /// session only, which whoever finds it reads anyway.
    by_random: HashTable<u32>,
    sessions: Slab<Session>,
    /// By the index of the session. Each use of a session writes to its two neighbours' links,
    /// which are strangers to it: apart from the sessions, four links share a cache line.
    links: Vec<Link>,
    oldest: u32,
    newest: u32,
}

/// Why there is no new session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl Sessions {
    /// Sessions stand at places below this.
    pub(super) fn places(&self) -> usize {
        self.sessions.capacity()
    }

    /// The session at a place, if there is one; looking does not count as use.
    pub(super) fn at_place(&self, place: usize) -> Option<&Session> {
        self.sessions.get(place)
    }

    /// No sessions yet. At most `sessions_max` live at once; one that is idle for
    /// `idle_timeout_ms` ends.
    pub(crate) fn new(home: u16, sessions_max: usize, idle_timeout_ms: u64) -> Sessions {
        Sessions {
            home,
            sessions_max,
            idle_timeout_ms,
            random: RandomBits::default(),
            by_random: HashTable::new(),
            sessions: Slab::new(),
            links: Vec::new(),
            oldest: NONE,
            newest: NONE,
        }
    }

    /// Makes a session; at the cap, an old one with nothing in flight makes room. Says which one
    /// had to, if one did.
    ///
    /// # Errors
    /// [`NoRoom`] when all the oldest sessions are busy.
    pub(crate) fn create(
        &mut self,
        revision: Revision,
        capabilities: ClientCapabilities,
        now_ms: u64,
    ) -> Result<(SessionId, Option<SessionId>), NoRoom> {
        let is_full = self.sessions.len() >= self.sessions_max;
        let evicted = match is_full {
            true => Some(self.evict(now_ms)?),
            false => None,
        };
        let id = SessionId {
            home: self.home,
            random: self.random.draw(),
        };
        let index = self.sessions.insert(Session {
            id,
            revision,
            capabilities,
            log_level: LogLevel::Info,
            calls: Vec::new(),
            streams: Vec::new(),
            lost_stream: None,
            subscriptions: Vec::new(),
        }) as u32;
        let link = Link {
            used_ms: now_ms,
            previous: NONE,
            next: NONE,
        };
        match self.links.get_mut(index as usize) {
            Some(vacant) => *vacant = link,
            None => self.links.push(link),
        }
        let sessions = &self.sessions;
        self.by_random.insert_unique(hash_of(id), index, |index| {
            hash_of(sessions[*index as usize].id)
        });
        self.append(index);
        Ok((id, evicted))
    }

    /// The session called `id`, which is in use now.
    pub(crate) fn touch(&mut self, id: SessionId, now_ms: u64) -> Option<&mut Session> {
        let index = self.index_of(id)?;
        if self.newest != index {
            self.unlink(index);
            self.append(index);
        }
        self.links[index as usize].used_ms = now_ms;
        Some(&mut self.sessions[index as usize])
    }

    /// The session called `id`, not in use now.
    pub(crate) fn find(&mut self, id: SessionId) -> Option<&mut Session> {
        let index = self.index_of(id)?;
        Some(&mut self.sessions[index as usize])
    }

    fn index_of(&self, id: SessionId) -> Option<u32> {
        let is_it = |index: &u32| self.sessions[*index as usize].id == id;
        self.by_random.find(hash_of(id), is_it).copied()
    }

    /// Ends the session called `id`.
    pub(crate) fn remove(&mut self, id: SessionId) -> Option<Session> {
        let sessions = &self.sessions;
        let is_it = |index: &u32| sessions[*index as usize].id == id;
        let entry = self.by_random.find_entry(hash_of(id), is_it).ok()?;
        let (index, _) = entry.remove();
        self.unlink(index);
        Some(self.sessions.remove(index as usize))
    }

    /// Ends one session that was idle too long, if there is one. Busy ones are not idle.
    pub(crate) fn expire(&mut self, now_ms: u64) -> Option<Session> {
        while self.oldest != NONE {
            let index = self.oldest as usize;
            if now_ms.saturating_sub(self.links[index].used_ms) < self.idle_timeout_ms {
                return None;
            }
            let session = &self.sessions[index];
            let id = session.id;
            if !session.is_busy() {
                return self.remove(id);
            }
            self.touch(id, now_ms);
        }
        None
    }

    fn evict(&mut self, now_ms: u64) -> Result<SessionId, NoRoom> {
        for _ in 0..EVICTION_LOOKS_MAX {
            if self.oldest == NONE {
                break;
            }
            let session = &self.sessions[self.oldest as usize];
            let id = session.id;
            if !session.is_busy() {
                self.remove(id);
                return Ok(id);
            }
            // Out of the way: the next look must not meet the same busy sessions again.
            self.touch(id, now_ms);
        }
        Err(NoRoom)
    }

    fn append(&mut self, index: u32) {
        let newest = self.newest;
        let link = &mut self.links[index as usize];
        (link.previous, link.next) = (newest, NONE);
        match newest {
            NONE => self.oldest = index,
            _ => self.links[newest as usize].next = index,
        }
        self.newest = index;
    }

    fn unlink(&mut self, index: u32) {
        let Link { previous, next, .. } = self.links[index as usize];
        match previous {
            NONE => self.oldest = next,
            _ => self.links[previous as usize].next = next,
        }
        match next {
            NONE => self.newest = previous,
            _ => self.links[next as usize].previous = previous,
        }
    }
}

/// Ids are random bits of our own making: they are their own hash. Peers ask for ids but never
/// choose one, so they cannot make them collide.
fn hash_of(id: SessionId) -> u64 {
    id.random as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE_TIMEOUT_MS: u64 = 1000;

    fn sessions(sessions_max: usize) -> Sessions {
        Sessions::new(3, sessions_max, IDLE_TIMEOUT_MS)
    }

    fn create(sessions: &mut Sessions, now_ms: u64) -> Result<SessionId, NoRoom> {
        let created = sessions.create(Revision::V2025_11_25, ClientCapabilities::default(), now_ms);
        created.map(|(id, _)| id)
    }

    const BUSY: CallKey = CallKey {
        index: 0,
        generation: 0,
    };

    #[test]
    fn a_session_is_found_until_it_is_removed() {
        let mut sessions = sessions(10);
        let ids: Vec<_> = (0..10).map(|_| create(&mut sessions, 0).unwrap()).collect();
        for id in &ids {
            assert_eq!(id.home, 3);
            assert_eq!(sessions.touch(*id, 1).unwrap().id, *id);
        }
        assert!(sessions.remove(ids[4]).is_some());
        assert!(sessions.touch(ids[4], 2).is_none());
        assert!(sessions.remove(ids[4]).is_none());
        assert_eq!(sessions.sessions.len(), 9);
    }

    #[test]
    fn idle_sessions_expire_in_order_and_busy_ones_do_not() {
        let mut sessions = sessions(10);
        let old = create(&mut sessions, 0).unwrap();
        let busy = create(&mut sessions, 1).unwrap();
        let used = create(&mut sessions, 2).unwrap();
        sessions.find(busy).unwrap().calls.push(BUSY);
        sessions.touch(used, 500);
        assert!(sessions.expire(IDLE_TIMEOUT_MS - 1).is_none());
        assert_eq!(sessions.expire(IDLE_TIMEOUT_MS + 2).unwrap().id, old);
        assert!(sessions.expire(IDLE_TIMEOUT_MS + 2).is_none());
        assert_eq!(sessions.expire(IDLE_TIMEOUT_MS + 500).unwrap().id, used);
        sessions.find(busy).unwrap().calls.clear();
        assert_eq!(sessions.expire(IDLE_TIMEOUT_MS * 3).unwrap().id, busy);
        assert_eq!(sessions.sessions.len(), 0);
    }

    #[test]
    fn at_the_cap_the_least_recently_used_idle_session_makes_room() {
        let mut sessions = sessions(3);
        let busy = create(&mut sessions, 0).unwrap();
        let first = create(&mut sessions, 1).unwrap();
        let second = create(&mut sessions, 2).unwrap();
        sessions.find(busy).unwrap().calls.push(BUSY);
        sessions.touch(first, 3);
        let third = create(&mut sessions, 4).unwrap();
        assert!(sessions.find(second).is_none());
        for id in [busy, first, third] {
            sessions.find(id).unwrap().calls.push(BUSY);
        }
        assert_eq!(create(&mut sessions, 5), Err(NoRoom));
        assert_eq!(sessions.sessions.len(), 3);
    }

    #[test]
    fn busy_sessions_in_front_do_not_hide_idle_ones_for_ever() {
        let busy_count = 2 * EVICTION_LOOKS_MAX;
        let mut sessions = sessions(busy_count + 1);
        for _ in 0..busy_count {
            let busy = create(&mut sessions, 0).unwrap();
            sessions.find(busy).unwrap().calls.push(BUSY);
        }
        let idle = create(&mut sessions, 1).unwrap();
        let tries = (0..3).filter(|_| create(&mut sessions, 2).is_ok()).count();
        assert_eq!(tries, 1);
        assert!(sessions.find(idle).is_none());
    }
}
