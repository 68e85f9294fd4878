//! Streams of sessions: their events are kept, so that a client can resume a lost stream.
//!
//! The stream of a legacy call begins when the call waits and ends with its answer. A stand-alone
//! stream begins with its first message, because a silent one must cost no more than its
//! connection, and ends with its session. Either outlives its connection. Each event goes into the
//! store first and then to the connection, if there is one; a client that resumes gets the stored
//! events after the last one it received, and from then on the new ones. Nothing is in flight
//! between the two, so a client gets each event once (MCP 2025-11-25 basic/transports,
//! "Resumability and Redelivery").

use std::rc::Rc;

use super::delivery::Part;
use super::event_store::{EventId, EventLimits, EventStore, Replay, ReplayError, StreamId};
use super::exchange::Exchange;
use super::outbox::Outbox;
use super::session_id::SessionId;
use crate::guard::holder::HolderKey;
use crate::meter::{Counter, ShardMeter};

/// The streams of a shard's sessions, and their events.
pub(super) struct Streams {
    home: u16,
    store: EventStore,
    meter: Rc<ShardMeter>,
}

impl Streams {
    /// No streams, on the shard `home`.
    pub(super) fn new(home: u16, limits: EventLimits, meter: Rc<ShardMeter>) -> Streams {
        Streams {
            home,
            store: EventStore::new(home, limits),
            meter,
        }
    }

    /// Changes the limits on kept events.
    pub(super) fn set_limits(&mut self, limits: EventLimits) {
        self.store.set_limits(limits);
    }

    /// Whether more is kept than a limit that was lowered allows.
    pub(super) fn is_shrinking(&self) -> bool {
        self.store.is_shrinking()
    }

    /// Drops up to `count` events because of that.
    pub(super) fn shrink(&mut self, count: usize) {
        for _ in 0..count {
            if !self.store.is_shrinking() {
                break;
            }
            self.store.shrink();
        }
        self.measure();
    }

    /// Begins a stream of a session, which counts for `holder`.
    pub(super) fn begin(&mut self, session: SessionId, holder: HolderKey) -> StreamId {
        let stream = self.store.begin(session, holder);
        self.measure();
        stream
    }

    /// The sequence of the next event of an open stream that is kept.
    pub(super) fn next_of(&self, stream: StreamId) -> Option<u64> {
        self.store.next_of(stream)
    }

    /// Continues a stream of a process before this one: see [`EventStore::adopt`].
    pub(super) fn adopt(&mut self, of: (SessionId, HolderKey), stream: (u64, u64)) -> StreamId {
        let stream = self.store.adopt(of, stream);
        self.measure();
        stream
    }

    /// Begins a stream with an event from which its client can resume; `None` if the stream cannot
    /// be kept.
    pub(super) fn begin_primed(
        &mut self,
        (session, holder): (SessionId, HolderKey),
        exchange: Exchange,
        outbox: &mut Outbox,
    ) -> Option<StreamId> {
        let stream = self.store.begin(session, holder);
        let id = self.store.append(stream, b"");
        self.measure();
        id?;
        let message = Vec::new();
        outbox.push(exchange, Part::Event { id, message });
        Some(stream)
    }

    /// Keeps a message as an event of `stream`, and sends it to the place where the stream is open.
    pub(super) fn send(
        &mut self,
        stream: Option<StreamId>,
        exchange: Option<Exchange>,
        message: Vec<u8>,
        outbox: &mut Outbox,
    ) {
        let id = stream.and_then(|stream| self.keep(stream, &message));
        if let Some(exchange) = exchange {
            outbox.push(exchange, Part::Event { id, message });
        }
    }

    /// Keeps a message as an event of `stream`; returns its id, if it is kept.
    pub(super) fn keep(&mut self, stream: StreamId, message: &[u8]) -> Option<EventId> {
        let id = self.store.append(stream, message);
        self.measure();
        id
    }

    /// Sends the answer of a call on its stream, as the last event.
    pub(super) fn finish(
        &mut self,
        stream: StreamId,
        exchange: Option<Exchange>,
        body: Vec<u8>,
        outbox: &mut Outbox,
    ) {
        self.send(Some(stream), exchange, body, outbox);
        self.store.finish(stream);
        if let Some(exchange) = exchange {
            outbox.end_stream(exchange);
        }
    }

    /// Whether the events of a stream are kept.
    pub(super) fn is_kept(&self, stream: StreamId) -> bool {
        self.store.owner_of(stream).is_some()
    }

    /// The session of the stream of an event, while that is kept.
    pub(super) fn owner_of(&self, event: EventId) -> Option<SessionId> {
        let is_here = event.home == self.home;
        self.store.owner_of(event.stream).filter(|_| is_here)
    }

    /// The events of a stream of `session` after one of them.
    ///
    /// # Errors
    /// See [`ReplayError`].
    pub(super) fn replay(
        &self,
        session: SessionId,
        after: EventId,
    ) -> Result<Replay<'_>, ReplayError> {
        if self.owner_of(after) != Some(session) {
            return Err(ReplayError::Unknown);
        }
        self.store.replay(after.stream, after.sequence)
    }

    /// Takes an event that was sent nowhere, and those behind it, out of their stream. Gives the
    /// messages behind it; nothing if they were taken before.
    pub(super) fn withdraw(&mut self, event: EventId) -> Option<Vec<Box<[u8]>>> {
        let withdrawn = self.store.withdraw(event);
        self.measure();
        withdrawn
    }

    /// Ends a stream whose client needs nothing more of it, and forgets its events.
    pub(super) fn cancel(&mut self, stream: StreamId) {
        self.store.cancel(stream);
        self.measure();
    }

    /// Forgets every stream of a session that ended.
    pub(super) fn forget_session(&mut self, session: SessionId) {
        self.store.forget_owner(session);
        self.measure();
    }

    fn measure(&self) {
        let drops = self.store.drops();
        self.meter
            .set(Counter::EventsBytes, self.store.bytes() as u64);
        self.meter.set(Counter::EventsDropped, drops.events);
        self.meter.set(Counter::EventStreamsDropped, drops.streams);
    }
}
