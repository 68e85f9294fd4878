//! The events of legacy streams, kept so that a client can resume a lost stream.
//!
//! A client names the last event it received and gets the later events of that stream, never those
//! of another stream (MCP 2025-11-25 basic/transports, "Resumability and Redelivery"). An event id
//! names its stream but authorizes nothing: before a replay the caller checks with
//! [`EventStore::owner_of`] whether the stream belongs to the client.
//!
//! The simple version keeps every event of every stream. Here all of it is bounded, the parts of a
//! session and of a holder too. When memory is short, streams are dropped in the order finished
//! before open and idle longest first; each loses its events from the oldest on, then its place.
//! A holder past its share loses its own before another does. Losing the front of a stream does not
//! affect a client that is past it, so the kept part of a stream is always its end. The first event
//! of a stream is never kept: no client can name an event before it.
//!
//! Invariants: after each call everything counted is within its limit; a store without streams owns
//! no memory. The store knows no connection and reads no clock: idle is the order of use.

mod adopted;
mod event_id;
mod replay;
mod stream;
#[cfg(test)]
mod tests;

pub(crate) use event_id::{EventId, StreamId};
pub(crate) use replay::{Replay, ReplayError};

use std::collections::VecDeque;

use hashbrown::HashTable;
use slab::Slab;

use super::home_id::RandomBits;
use super::session_id::SessionId;
use crate::guard::holder::HolderKey;
use crate::guard::shares::Shares;
use stream::{DropOrder, HolderOrders, IN_SESSION, IN_SHARD, Stream};

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventLimits {
    /// Bytes of all streams together, overhead included.
    pub(crate) bytes_max: usize,
    /// Bytes of a session's streams, overhead included.
    pub(crate) bytes_per_session_max: usize,
    /// Events of a stream.
    pub(crate) events_per_stream_max: usize,
    /// Streams of a session.
    pub(crate) streams_per_session_max: usize,
}

/// Losses to the limits since the store was made; intended removals are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventDrops {
    /// Events.
    pub(crate) events: u64,
    /// Streams.
    pub(crate) streams: u64,
}

/// The events of a shard's streams; see the module's text.
#[derive(Debug)]
pub(crate) struct EventStore {
    home: u16,
    limits: EventLimits,
    streams: Slab<Stream>,
    /// The indexes of streams by their numbers, which stand in the streams.
    by_number: HashTable<u32>,
    owners: Slab<Owner>,
    /// The indexes of owners by their sessions, which stand in the owners.
    by_session: HashTable<u32>,
    order: DropOrder,
    by_holder: HolderOrders,
    next_number: u64,
    /// Counted bytes of each holder's streams.
    bytes: Shares,
    drops: EventDrops,
}

/// A session with streams.
#[derive(Debug)]
struct Owner {
    session: SessionId,
    holder: HolderKey,
    streams: usize,
    bytes: usize,
    order: DropOrder,
}

/// The cost of an event beside its message: its place in a queue that may be a third full, and the
/// allocator's overhead.
const EVENT_OVERHEAD_BYTES: usize = 3 * size_of::<Box<[u8]>>() + 16;

/// The cost of a stream beside its events: its, its owner's and its holder's places in tables that
/// may be half empty, and the least capacity of a queue of events.
const STREAM_OVERHEAD_BYTES: usize = 2
    * (size_of::<Stream>()
        + size_of::<Owner>()
        + 2 * (size_of::<u32>() + 1)
        + HolderOrders::ENTRY_BYTES
        + size_of::<(HolderKey, usize)>())
    + EVENT_SLOTS_MIN * size_of::<Box<[u8]>>();

/// Places of a queue of events that has any.
const EVENT_SLOTS_MIN: usize = 4;

impl EventStore {
    /// A store of the shard `home` without streams. Their numbers begin at random, so that the id
    /// of an event of an earlier life of the shard names none of this one. Limits that do not allow
    /// a single stream switch resumption off: no event is kept then.
    pub(crate) fn new(home: u16, limits: EventLimits) -> EventStore {
        EventStore {
            home,
            limits,
            streams: Slab::new(),
            by_number: HashTable::new(),
            owners: Slab::new(),
            by_session: HashTable::new(),
            order: DropOrder::NOTHING,
            by_holder: HolderOrders::default(),
            next_number: u64::from(RandomBits::default().draw() as u32),
            bytes: Shares::new(limits.bytes_max),
            drops: EventDrops::default(),
        }
    }

    /// Changes the limits. Past a lower one [`EventStore::shrink`] drops events.
    pub(crate) fn set_limits(&mut self, limits: EventLimits) {
        self.limits = limits;
        self.bytes.set_max(limits.bytes_max);
    }

    /// Whether more is kept than a limit that was lowered allows.
    pub(crate) fn is_shrinking(&self) -> bool {
        self.bytes() > self.limits.bytes_max
    }

    /// Drops an event, or a stream without events, in the order of the module's text.
    pub(crate) fn shrink(&mut self) {
        if let Some(first) = self.order.first() {
            self.drop_from(first);
        }
    }

    /// Bytes of everything kept, overhead included.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.used()
    }

    /// Losses to the limits so far.
    pub(crate) fn drops(&self) -> EventDrops {
        self.drops
    }

    /// Begins a stream of the session `owner`, which counts for `holder`. At the session's limit
    /// its first stream in the order above is dropped.
    pub(crate) fn begin(&mut self, owner: SessionId, holder: HolderKey) -> StreamId {
        let number = self.next_number;
        self.next_number += 1;
        let limits = self.limits;
        let bytes_max = limits.bytes_max.min(limits.bytes_per_session_max);
        if bytes_max < STREAM_OVERHEAD_BYTES || limits.streams_per_session_max == 0 {
            return StreamId(number);
        }
        let owner = self.owner_index(owner, holder);
        let index = self.insert(number, owner);
        let owned = &self.owners[owner as usize];
        let has_too_many = owned.streams > limits.streams_per_session_max;
        // Never the stream just begun: it is the last in the order, and there is another one.
        if let Some(first) = owned.order.first().filter(|_| has_too_many) {
            self.drop_stream(first);
        }
        self.make_room(index);
        StreamId(number)
    }

    /// Appends an event and names it; an empty `message` is the first event, from which a client
    /// can resume. The oldest events are dropped if necessary, in the order of the module's text.
    ///
    /// `None` if the stream is not kept, or finished: the event then has no id and cannot be
    /// requested. Later events of such a stream may go to another one.
    pub(crate) fn append(&mut self, stream: StreamId, message: &[u8]) -> Option<EventId> {
        let index = self.index_of(stream)?;
        let entry = &self.streams[index as usize];
        if entry.is_finished {
            return None;
        }
        let sequence = entry.next();
        self.unlink(index);
        self.link(index);
        if sequence == 0 {
            self.streams[index as usize].first = 1;
        } else {
            self.keep(index, message);
        }
        Some(EventId {
            home: self.home,
            stream,
            sequence,
        })
    }

    /// Marks a stream as finished: a replay that reaches the end ends it.
    pub(crate) fn finish(&mut self, stream: StreamId) {
        let Some(index) = self.index_of(stream) else {
            return;
        };
        self.unlink(index);
        self.streams[index as usize].is_finished = true;
        self.link(index);
    }

    /// The session that a stream belongs to, while it is kept.
    pub(crate) fn owner_of(&self, stream: StreamId) -> Option<SessionId> {
        let owner = self.streams[self.index_of(stream)? as usize].owner;
        Some(self.owners[owner as usize].session)
    }

    /// The events of `stream` after the one with sequence `after`, in order.
    ///
    /// # Errors
    /// See [`ReplayError`].
    pub(crate) fn replay(&self, stream: StreamId, after: u64) -> Result<Replay<'_>, ReplayError> {
        let index = self.index_of(stream).ok_or(ReplayError::Unknown)?;
        let entry = &self.streams[index as usize];
        if after >= entry.next() {
            return Err(ReplayError::Unknown);
        }
        let next = match entry.is_cancelled {
            true => entry.first,
            false => after + 1,
        };
        let skipped = next.checked_sub(entry.first).ok_or(ReplayError::Evicted)?;
        Ok(Replay {
            next: EventId {
                home: self.home,
                stream,
                sequence: next,
            },
            events: entry.events.range(skipped as usize..),
            is_finished: entry.is_finished,
        })
    }

    /// Takes an event and all behind it out of their stream, which goes on as if they had never
    /// been: they were sent nowhere. Gives the messages behind it that were kept; nothing if the
    /// event is not there any more.
    pub(crate) fn withdraw(&mut self, event: EventId) -> Option<Vec<Box<[u8]>>> {
        let index = self.index_of(event.stream)?;
        let stream = &mut self.streams[index as usize];
        if event.sequence >= stream.next() {
            return None;
        }
        // The first event of a stream is never kept, and others may have been dropped.
        let is_kept = event.sequence >= stream.first;
        let before = event.sequence.saturating_sub(stream.first);
        let mut withdrawn = stream.events.split_off(before as usize);
        stream.first = stream.first.min(event.sequence);
        let bytes = withdrawn.iter().map(|it| EVENT_OVERHEAD_BYTES + it.len());
        let bytes = bytes.sum();
        if is_kept {
            withdrawn.pop_front();
        }
        self.credit(index, bytes);
        Some(withdrawn.into())
    }

    /// Finishes a stream that no client needs: its events are forgotten, and a replay finds none
    /// after any of them.
    pub(crate) fn cancel(&mut self, stream: StreamId) {
        let Some(index) = self.index_of(stream) else {
            return;
        };
        self.finish(stream);
        let entry = &mut self.streams[index as usize];
        entry.is_cancelled = true;
        let (kept, next) = (entry.bytes - STREAM_OVERHEAD_BYTES, entry.next());
        (entry.first, entry.events) = (next, VecDeque::new());
        self.credit(index, kept);
    }

    /// Forgets every stream of a session.
    pub(crate) fn forget_owner(&mut self, owner: SessionId) {
        let is_it = |index: &u32| self.owners[*index as usize].session == owner;
        let Some(owner) = self.by_session.find(hash_of_session(owner), is_it).copied() else {
            return;
        };
        for _ in 0..self.owners[owner as usize].streams {
            if let Some(index) = self.owners[owner as usize].order.first() {
                self.remove(index);
            }
        }
    }

    /// The entry of the session `owner`, which is made if there is none.
    fn owner_index(&mut self, owner: SessionId, holder: HolderKey) -> u32 {
        let owners = &mut self.owners;
        let hash = hash_of_session(owner);
        let is_it = |index: &u32| owners[*index as usize].session == owner;
        if let Some(index) = self.by_session.find(hash, is_it) {
            return *index;
        }
        let index = owners.insert(Owner {
            session: owner,
            holder,
            streams: 0,
            bytes: 0,
            order: DropOrder::NOTHING,
        }) as u32;
        self.by_session.insert_unique(hash, index, |index| {
            hash_of_session(owners[*index as usize].session)
        });
        index
    }

    fn index_of(&self, StreamId(number): StreamId) -> Option<u32> {
        let is_it = |index: &u32| self.streams[*index as usize].number == number;
        self.by_number.find(hash_of_number(number), is_it).copied()
    }

    /// Keeps an event at the end of a stream.
    fn keep(&mut self, index: u32, message: &[u8]) {
        let cost = EVENT_OVERHEAD_BYTES + message.len();
        let EventLimits {
            bytes_max,
            bytes_per_session_max,
            events_per_stream_max,
            ..
        } = self.limits;
        let bytes_max = bytes_max.min(bytes_per_session_max);
        if STREAM_OVERHEAD_BYTES + cost > bytes_max || events_per_stream_max == 0 {
            // It cannot be kept, and with a gap behind them the earlier ones have no use. The other
            // streams must not be dropped in vain.
            while self.drop_event(index) {}
            self.streams[index as usize].first += 1;
            self.drops.events += 1;
            return;
        }
        // More than one only after the limit was lowered.
        while self.streams[index as usize].events.len() >= events_per_stream_max {
            self.drop_event(index);
        }
        self.streams[index as usize]
            .events
            .push_back(message.into());
        self.charge(index, cost);
        self.make_room(index);
    }

    /// Drops streams in the order of the module's text until everything is within the limits. The
    /// stream `index` is the last used one and comes last, so a stream that fits by itself stays.
    fn make_room(&mut self, index: u32) {
        let owner = self.streams[index as usize].owner;
        while self.owners[owner as usize].bytes > self.limits.bytes_per_session_max {
            let Some(first) = self.owners[owner as usize].order.first() else {
                break;
            };
            self.drop_from(first);
        }
        let holder = self.owners[owner as usize].holder;
        while self.bytes.exceeds_share(holder, 0)
            && let Some(first) = self.by_holder.first(holder)
        {
            // Its newest event is kept beyond its share.
            if first == index && self.streams[index as usize].events.len() <= 1 {
                break;
            }
            self.drop_from(first);
        }
        while self.bytes() > self.limits.bytes_max {
            let largest = self.bytes.largest_past_share(0, |other| other != holder);
            let first = largest.and_then(|it| self.by_holder.first(it));
            let Some(first) = first.or(self.order.first()) else {
                break;
            };
            self.drop_from(first);
        }
    }

    /// Drops the oldest event of a stream, or its place if it has none.
    fn drop_from(&mut self, index: u32) {
        if !self.drop_event(index) {
            self.drop_stream(index);
        }
    }

    /// Drops the oldest event of a stream; returns whether there was one.
    fn drop_event(&mut self, index: u32) -> bool {
        let stream = &mut self.streams[index as usize];
        let Some(message) = stream.events.pop_front() else {
            return false;
        };
        stream.first += 1;
        let kept = stream.events.len();
        if stream.events.capacity() > 3 * kept + EVENT_SLOTS_MIN {
            stream.events.shrink_to(2 * kept);
        }
        self.credit(index, EVENT_OVERHEAD_BYTES + message.len());
        self.drops.events += 1;
        true
    }

    fn drop_stream(&mut self, index: u32) {
        self.drops.events += self.streams[index as usize].events.len() as u64;
        self.drops.streams += 1;
        self.remove(index);
    }

    fn insert(&mut self, number: u64, owner: u32) -> u32 {
        let index = self.streams.insert(Stream::new(number, owner)) as u32;
        let streams = &self.streams;
        let rehash = |index: &u32| hash_of_number(streams[*index as usize].number);
        self.by_number
            .insert_unique(hash_of_number(number), index, rehash);
        self.owners[owner as usize].streams += 1;
        self.link(index);
        self.charge(index, STREAM_OVERHEAD_BYTES);
        index
    }

    fn remove(&mut self, index: u32) {
        self.unlink(index);
        self.credit(index, self.streams[index as usize].bytes);
        let Stream { number, owner, .. } = self.streams.remove(index as usize);
        let hash = hash_of_number(number);
        if let Ok(entry) = self.by_number.find_entry(hash, |other| *other == index) {
            entry.remove();
        }
        self.owners[owner as usize].streams -= 1;
        if self.owners[owner as usize].streams == 0 {
            let hash = hash_of_session(self.owners.remove(owner as usize).session);
            if let Ok(entry) = self.by_session.find_entry(hash, |other| *other == owner) {
                entry.remove();
            }
        }
        if self.streams.is_empty() {
            self.streams = Slab::new();
            self.by_number = HashTable::new();
            self.owners = Slab::new();
            self.by_session = HashTable::new();
            self.by_holder = HolderOrders::default();
            self.bytes = Shares::new(self.limits.bytes_max);
        }
    }

    /// Puts a stream behind the others of its kind.
    fn link(&mut self, index: u32) {
        let owner = &mut self.owners[self.streams[index as usize].owner as usize];
        self.order.push(&mut self.streams, index, IN_SHARD);
        self.by_holder.push(owner.holder, &mut self.streams, index);
        owner.order.push(&mut self.streams, index, IN_SESSION);
    }

    fn unlink(&mut self, index: u32) {
        let owner = &mut self.owners[self.streams[index as usize].owner as usize];
        self.order.remove(&mut self.streams, index, IN_SHARD);
        self.by_holder
            .remove(owner.holder, &mut self.streams, index);
        owner.order.remove(&mut self.streams, index, IN_SESSION);
    }

    fn charge(&mut self, index: u32, bytes: usize) {
        let stream = &mut self.streams[index as usize];
        stream.bytes += bytes;
        let owner = &mut self.owners[stream.owner as usize];
        owner.bytes += bytes;
        self.bytes.take(owner.holder, bytes);
    }

    fn credit(&mut self, index: u32, bytes: usize) {
        let stream = &mut self.streams[index as usize];
        stream.bytes -= bytes;
        let owner = &mut self.owners[stream.owner as usize];
        owner.bytes -= bytes;
        self.bytes.give_back(owner.holder, bytes);
    }
}

/// Numbers are counted and never chosen by a peer: multiplied by an odd constant, those that
/// follow each other differ in the low and in the high bits, which is all that the table needs.
fn hash_of_number(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Session ids are random bits of our own making: they are their own hash.
fn hash_of_session(session: SessionId) -> u64 {
    session.random as u64
}
