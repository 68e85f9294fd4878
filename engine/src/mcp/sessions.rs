//! Legacy sessions of one home shard.
//!
//! Every session is in one list, least recently used first. The list serves two purposes: sessions
//! that were idle too long are at its front, and at the limit the first one with nothing in flight
//! is evicted. Clients that never end their session are the normal case.
//!
//! A session belongs to the principal that made it; for all others it does not exist. At its own
//! limit a principal's own session is evicted, and at its share a holder's own, such as an address
//! whose anonymous clients make one after the other. A session is in the lists of idle ones only
//! while it is not busy, so its calls and streams are changed here only.

mod eviction;
mod limits;
mod lowered;
mod principals;
mod restorer;

pub(crate) use limits::{NoRoom, SessionLimits};

use std::collections::VecDeque;
use std::sync::Arc;

use corelane_protocol::mcp::capability::ClientCapabilities;
use corelane_protocol::mcp::logging::LogLevel;
use corelane_protocol::mcp::revision::Revision;
use corelane_protocol::mcp::subscription::ListKinds;
use corelane_protocol::request_state::Sealer;
use hashbrown::HashTable;
use slab::Slab;

use super::age_list::{Links, LinksOf};
use super::event_store::StreamId;
use super::exchange::Exchange;
use super::holder_lists::HolderLists;
use super::home_id::RandomBits;
use super::session_id::SessionId;
use crate::guard::holder::HolderKey;
use crate::guard::shares::Shares;
use crate::handler::event_queue::CallKey;
use crate::upstream::interest::SubscribedUri;
use principals::{OwnedKey, Principals};
use restorer::Restorer;

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    /// Its name.
    pub(crate) id: SessionId,
    /// The revision both sides agreed on.
    pub(crate) revision: Revision,
    /// When it was made, in milliseconds since the shard was started.
    pub(crate) created_ms: u64,
    /// The capabilities of the client.
    pub(crate) capabilities: ClientCapabilities,
    /// Least severe log messages the client wants.
    pub(crate) log_level: LogLevel,
    /// Lists for which the server declared notifications of changes in the handshake.
    pub(crate) lists: ListKinds,
    /// The client can answer no request any more.
    pub(crate) is_input_over: bool,
    calls: Vec<CallKey>,
    streams: Vec<OpenStream>,
    /// The last stream whose connection was lost: its client may resume it.
    pub(crate) lost_stream: Option<StreamId>,
    /// Resources to which the client has subscribed.
    pub(crate) subscriptions: Vec<SubscribedUri>,
    /// The configuration of access control that permitted them.
    pub(crate) configuration: u32,
    /// It is served without a look at the cluster while this is that of all sessions.
    pub(crate) epoch: u32,
    /// The cluster knows it: it has changed.
    pub(crate) is_in_cluster: bool,
    /// Its state is to be left for the cluster.
    pub(crate) is_unsent: bool,
    /// Its principal.
    owned: OwnedKey,
    /// Its holder.
    holder: HolderKey,
    /// Its place among the sessions of its holder.
    of_holder: Links,
}

const OF_HOLDER: LinksOf<Session> = |session| &mut session.of_holder;

/// A stream for messages of the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenStream {
    /// The name under which its events are kept, once it has any.
    pub(crate) stream: Option<StreamId>,
    /// Where it is open.
    pub(crate) exchange: Exchange,
}

impl Session {
    /// Calls that were not answered yet.
    pub(crate) fn calls(&self) -> &[CallKey] {
        &self.calls
    }

    /// Open streams for messages of the server, oldest first.
    pub(crate) fn streams(&self) -> &[OpenStream] {
        &self.streams
    }

    /// The same streams, for changes.
    pub(crate) fn streams_mut(&mut self) -> &mut [OpenStream] {
        &mut self.streams
    }

    /// Its holder.
    pub(crate) fn holder(&self) -> HolderKey {
        self.holder
    }

    /// Whether it has more than its handshake, so that its id alone does not bring it back.
    pub(crate) fn has_changed(&self) -> bool {
        self.log_level != LogLevel::Info || !self.subscriptions.is_empty()
    }

    /// A session with a waiting client is never evicted.
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

/// All sessions of a shard.
#[derive(Debug)]
pub(crate) struct Sessions {
    home: u16,
    limits: SessionLimits,
    random: RandomBits,
    /// The indexes of sessions by the random bits of their ids. The bits themselves are in the
    /// session only, which is read after each look-up anyway.
    by_random: HashTable<u32>,
    sessions: Slab<Session>,
    /// By the index of the session. Each use of a session writes to the links of its two
    /// neighbours: apart from the sessions, four links share a cache line.
    links: Vec<Link>,
    oldest: u32,
    newest: u32,
    principals: Principals,
    /// How many sessions each holder has, and which.
    shares: Shares,
    by_holder: HolderLists,
    /// Sessions that [`Sessions::shrink`] has yet to look at.
    shrink_looks: usize,
    /// The number of streams of each holder's sessions.
    stream_shares: Shares,
    /// The texts of ids, and sessions that are not here.
    pub(crate) restorer: Restorer,
    /// Changes when other nodes of the cluster may have taken sessions.
    pub(crate) epoch: u32,
    /// Sessions that the cluster knows and that left, each with whether it had expired: no more
    /// than there were sessions.
    pub(crate) departed: VecDeque<(u128, bool)>,
}

impl Sessions {
    /// Sessions stand at places below this.
    pub(super) fn places(&self) -> usize {
        self.links.len()
    }

    /// The session at a place, if there is one; looking does not count as use.
    pub(super) fn at_place(&self, place: usize) -> Option<&Session> {
        self.sessions.get(place)
    }

    /// No sessions yet, on the shard `home`. Memory for all of them is reserved and touched as far
    /// as sessions were made: nothing moves when their number grows.
    pub(crate) fn new(home: u16, limits: SessionLimits, sealer: Arc<Sealer>) -> Sessions {
        Sessions {
            home,
            limits,
            random: RandomBits::default(),
            by_random: HashTable::new(),
            sessions: Slab::with_capacity(limits.sessions_max),
            links: Vec::with_capacity(limits.sessions_max),
            oldest: NONE,
            newest: NONE,
            principals: Principals::default(),
            shares: Shares::new(limits.sessions_max),
            stream_shares: Shares::new(limits.streams_max),
            by_holder: HolderLists::default(),
            shrink_looks: 0,
            restorer: Restorer::new(sealer, &limits),
            epoch: 0,
            departed: VecDeque::new(),
        }
    }

    /// Makes a session of a principal, or of an anonymous client, that counts for `holder`. At a
    /// limit an old session with nothing in flight is evicted: it is removed and returned, and the
    /// caller ends it.
    ///
    /// # Errors
    /// [`NoRoom`] when all sessions that could be evicted are busy.
    pub(crate) fn create(
        &mut self,
        owner: (Option<&str>, HolderKey),
        terms: (Revision, ClientCapabilities),
        now_ms: u64,
    ) -> Result<(SessionId, Option<Session>), NoRoom> {
        let random = self.random.draw();
        let evicted = self.create_as(random, owner, terms, now_ms)?;
        let home = self.home;
        Ok((SessionId { home, random }, evicted))
    }

    /// The same with these random bits, which no session here has.
    ///
    /// # Errors
    /// As for [`Sessions::create`].
    pub(crate) fn create_as(
        &mut self,
        random: u128,
        (principal, holder): (Option<&str>, HolderKey),
        (revision, capabilities): (Revision, ClientCapabilities),
        now_ms: u64,
    ) -> Result<Option<Session>, NoRoom> {
        let known = principal.and_then(|name| self.principals.find(name));
        let full =
            known.filter(|key| self.principals.sessions_of(*key) >= self.limits.per_principal_max);
        let evicted = match full {
            Some(key) => Some(self.evict_own(key)?),
            None if self.shares.is_at_share(holder) => Some(self.evict_of(holder)?),
            None if self.sessions.len() >= self.limits.sessions_max => Some(self.evict(now_ms)?),
            None => None,
        };
        let home = self.home;
        let id = SessionId { home, random };
        let index = self.sessions.vacant_key() as u32;
        self.sessions.insert(Session {
            id,
            revision,
            created_ms: now_ms,
            capabilities,
            log_level: LogLevel::Info,
            lists: ListKinds::default(),
            calls: Vec::new(),
            streams: Vec::new(),
            is_input_over: false,
            lost_stream: None,
            subscriptions: Vec::new(),
            configuration: 0,
            epoch: self.epoch,
            is_in_cluster: false,
            is_unsent: false,
            owned: self.principals.join(principal, index),
            holder,
            of_holder: Links::LOOSE,
        });
        self.shares.take(holder, 1);
        let place = (&mut self.sessions, index);
        self.by_holder.push(holder, place, OF_HOLDER);
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
        Ok(evicted)
    }

    /// Whether there is a session called `id`.
    pub(crate) fn contains(&self, id: SessionId) -> bool {
        self.index_of(id).is_some()
    }

    /// Whether there is a session called `id` that no other node may have taken.
    pub(crate) fn is_current(&self, id: SessionId) -> bool {
        let index = self.index_of(id);
        index.is_some_and(|index| self.sessions[index as usize].epoch == self.epoch)
    }

    /// The session called `id`, which is in use now.
    pub(crate) fn touch(&mut self, id: SessionId, now_ms: u64) -> Option<&mut Session> {
        let index = self.index_of(id)?;
        Some(self.touch_at(index, now_ms))
    }

    /// The session called `id`, which `principal` uses now. A session of another principal is not
    /// found, and does not count as used.
    pub(crate) fn touch_as(
        &mut self,
        principal: Option<&str>,
        id: SessionId,
        now_ms: u64,
    ) -> Option<&mut Session> {
        let index = self.index_of(id)?;
        let owned = self.sessions[index as usize].owned;
        let is_own = match principal {
            None => owned == OwnedKey::NOBODY,
            Some(name) => self.principals.is_of(owned, name),
        };
        is_own.then(|| self.touch_at(index, now_ms))
    }

    fn touch_at(&mut self, index: u32, now_ms: u64) -> &mut Session {
        if self.newest != index {
            self.unlink(index);
            self.append(index);
        }
        self.links[index as usize].used_ms = now_ms;
        let session = &self.sessions[index as usize];
        if session.owned != OwnedKey::NOBODY && !session.is_busy() {
            self.principals.remove_idle(session.owned);
            self.principals.push_idle(session.owned);
        }
        &mut self.sessions[index as usize]
    }

    /// Records that a call of the session called `id` waits.
    pub(crate) fn begin_call(&mut self, id: SessionId, call: CallKey) {
        self.change(id, |session| session.calls.push(call));
    }

    /// Records that a call of the session called `id` waits no more. A session that becomes idle
    /// counts as used until now.
    pub(crate) fn end_call(&mut self, id: SessionId, call: CallKey, now_ms: u64) {
        let is_busy = self.change(id, |session| {
            session.calls.retain(|other| *other != call);
            session.is_busy()
        });
        if is_busy == Some(false) {
            self.touch(id, now_ms);
        }
    }

    /// Whether the sessions of its holder have all the streams of the holder's share.
    pub(crate) fn is_at_stream_share(&self, id: SessionId) -> bool {
        let holder = self.holder_of(id);
        holder.is_some_and(|holder| self.stream_shares.is_at_share(holder))
    }

    /// Records that a stream of the session called `id` is open.
    pub(crate) fn open_stream(&mut self, id: SessionId, stream: OpenStream) {
        if let Some(holder) = self.holder_of(id) {
            self.stream_shares.take(holder, 1);
        }
        self.change(id, |session| {
            // Most sessions have one, and never another beside it.
            session.streams.reserve_exact(1);
            session.streams.push(stream);
        });
    }

    /// Records that the stream of the session called `id` that was open at `exchange` is lost.
    pub(crate) fn lose_stream(&mut self, id: SessionId, exchange: Exchange) {
        let lost_of = self.change(id, |session| {
            let mut open = session.streams.iter();
            let at = open.position(|open| open.exchange == exchange)?;
            let lost = session.streams.remove(at).stream;
            session.lost_stream = lost.or(session.lost_stream);
            Some(session.holder)
        });
        if let Some(holder) = lost_of.flatten() {
            self.stream_shares.give_back(holder, 1);
        }
    }

    /// Changes whether a session is busy.
    fn change<T>(&mut self, id: SessionId, change: impl FnOnce(&mut Session) -> T) -> Option<T> {
        let index = self.index_of(id)?;
        let session = &mut self.sessions[index as usize];
        let was_busy = session.is_busy();
        let changed = change(session);
        match (was_busy, session.is_busy()) {
            (false, true) => self.principals.remove_idle(session.owned),
            (true, false) => self.principals.push_idle(session.owned),
            _ => {}
        }
        Some(changed)
    }

    /// The session called `id`, not in use now.
    pub(crate) fn find(&mut self, id: SessionId) -> Option<&mut Session> {
        let index = self.index_of(id)?;
        Some(&mut self.sessions[index as usize])
    }

    /// The principal of a session.
    pub(crate) fn principal_of(&self, session: &Session) -> Option<&str> {
        self.principals.name_of(session.owned)
    }

    /// The holder of the session called `id`.
    pub(crate) fn holder_of(&self, id: SessionId) -> Option<HolderKey> {
        Some(self.sessions[self.index_of(id)? as usize].holder)
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
        let session = &self.sessions[index as usize];
        let holder = session.holder;
        self.shares.give_back(holder, 1);
        self.stream_shares.give_back(holder, session.streams.len());
        let place = (&mut self.sessions, index);
        self.by_holder.remove(holder, place, OF_HOLDER);
        let session = self.sessions.remove(index as usize);
        if !session.is_busy() {
            self.principals.remove_idle(session.owned);
        }
        self.principals.leave(session.owned);
        Some(session)
    }

    /// Removes a session, the least recently used first.
    pub(crate) fn pop_oldest(&mut self) -> Option<Session> {
        let oldest = self.sessions.get(self.oldest as usize)?;
        self.remove(oldest.id)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Ends one session that was idle too long, if there is one. Busy ones are not idle.
    pub(crate) fn expire(&mut self, now_ms: u64) -> Option<Session> {
        self.expire_after(self.limits.idle_timeout_ms, now_ms)
    }

    /// The same of one that was idle for `idle_ms`.
    pub(crate) fn expire_after(&mut self, idle_ms: u64, now_ms: u64) -> Option<Session> {
        while self.oldest != NONE {
            let index = self.oldest as usize;
            if now_ms.saturating_sub(self.links[index].used_ms) < idle_ms {
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

/// Ids are random bits that no peer chooses: they are their own hash.
fn hash_of(id: SessionId) -> u64 {
    id.random as u64
}

#[cfg(test)]
mod tests;
