//! Streams of sessions: what goes on one is kept, so that a client that lost it has the rest.
//!
//! The stream of a legacy call begins when the call waits and ends with its answer; a stand-alone
//! one begins with its first message, as a silent one must cost no more than its connection, and
//! ends with its session. Either outlives its connection. Each event
//! goes into the store first and then to the connection, if there is one; a client that comes back
//! gets what the store has after the last event it saw, and from then on what is new. Nothing is
//! in flight between the two, so that it gets every event once (MCP 2025-11-25 basic/transports,
//! "Resumability and Redelivery").
//!
//! A stream belongs to one connection at a time: whoever resumes it ends it elsewhere.
//!
//! Of a stream that is over, because its client has the answer, cancelled the call or ended the
//! session, there is nothing to resume, and 204 says so: it tells an EventSource to come back no
//! more (WHATWG HTML 9.2.1). The TypeScript SDKs take it in silence, where an error is reported,
//! twice for each stream, and an empty stream brings them back for ever; the Python SDKs give up
//! after two attempts, as after an error.

use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::mcp::revision::Revision;

use super::endpoint::Core;
use super::event_store::{EventId, StreamId};
use super::session::OpenStream;
use super::session_id::SessionId;
use super::{Delivery, Disposition, Exchange, Opening, Part, StreamOf, StreamOwner};
use crate::handler::event_queue::CallKey;
use crate::meter::Counter;

/// The first revision whose clients take an event without data. Older ones read every event as a
/// message, and have the id of the first one that is.
const PRIMED_SINCE: Revision = Revision::V2025_11_25;

impl Core {
    /// Begins the stream of a legacy call that waits, if its client can be primed to resume it and
    /// there is room for a stream; that of another one begins with its first message.
    pub(super) fn prime_call(&mut self, key: CallKey) {
        let Some(entry) = self.calls.find(key) else {
            return;
        };
        let (Some(session), Some(exchange)) = (entry.session, entry.exchange) else {
            return;
        };
        let revision = self.sessions.find(session).map(|found| found.revision);
        if !exchange.takes_events || revision.is_none_or(|revision| revision < PRIMED_SINCE) {
            return;
        }
        let stream = self.events.begin(session);
        let id = self.events.append(stream, b"");
        if id.is_some() {
            entry.stream = Some(stream);
            entry.is_primed = true;
            let message = Vec::new();
            let part = Part::Event { id, message };
            self.deliveries.push_back(Delivery { exchange, part });
        }
        self.measure_events();
    }

    /// A call says something before its answer. The stream of a batch is not kept: it is no one
    /// call's.
    pub(super) fn say(&mut self, key: CallKey, message: Vec<u8>) {
        let Some(entry) = self.calls.find(key) else {
            return;
        };
        let exchange = entry.exchange;
        if entry.stream.is_none()
            && let Some(session) = entry.session
            && exchange.is_some_and(|exchange| exchange.takes_events)
            && exchange.is_some_and(|exchange| !self.batches.has(exchange))
        {
            entry.stream = Some(self.events.begin(session));
        }
        let stream = entry.stream;
        self.send_event(stream, exchange, message);
    }

    /// Keeps a message as an event of `stream`, and sends it to where the stream is open.
    pub(super) fn send_event(
        &mut self,
        stream: Option<StreamId>,
        exchange: Option<Exchange>,
        message: Vec<u8>,
    ) {
        let id = stream.and_then(|stream| self.events.append(stream, &message));
        if stream.is_some() {
            self.measure_events();
        }
        if let Some(exchange) = exchange {
            let part = Part::Event { id, message };
            self.deliveries.push_back(Delivery { exchange, part });
        }
    }

    /// The answer of a call goes on its stream, and is the last thing that does.
    pub(super) fn end_with_answer(
        &mut self,
        stream: StreamId,
        exchange: Option<Exchange>,
        body: Vec<u8>,
    ) {
        self.send_event(Some(stream), exchange, body);
        self.events.finish(stream);
        if let Some(exchange) = exchange {
            self.end_at(exchange);
        }
    }

    /// Sends the client of a call away, to come back after `retry_ms`; the call goes on. A client
    /// that could not come back stays.
    pub(super) fn pause(&mut self, key: CallKey, retry_ms: u64) {
        let Some(entry) = self.calls.find(key).filter(|entry| entry.is_primed) else {
            return;
        };
        let is_kept = entry
            .stream
            .is_some_and(|stream| self.events.owner_of(stream).is_some());
        if let Some(exchange) = entry.exchange.take_if(|_| is_kept) {
            let part = Part::StreamPause { retry_ms };
            self.deliveries.push_back(Delivery { exchange, part });
        }
    }

    /// Sends a message that belongs to no call to a session: on the oldest stand-alone stream, or
    /// into the store for a client that lost its last one. Without either it is dropped.
    pub(super) fn notify_session(&mut self, session: SessionId, message: Vec<u8>) {
        let Some(found) = self.sessions.find(session) else {
            return;
        };
        let lost = found.lost_stream;
        let (stream, exchange) = match (found.streams_mut().first_mut(), lost) {
            (Some(open), _) => {
                let begin = || self.events.begin(session);
                (*open.stream.get_or_insert_with(begin), Some(open.exchange))
            }
            (None, Some(stream)) => (stream, None),
            (None, None) => return,
        };
        self.send_event(Some(stream), exchange, message);
    }

    /// Opens a stream for the messages of a session of `principal`, or one that was lost.
    pub(super) fn open_stream(
        &mut self,
        (session, principal): (SessionId, Option<&str>),
        opening: Opening,
        exchange: Exchange,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let found = self.sessions.touch_as(principal, session, self.now_ms);
        if found.is_none() {
            return self.refuse(None, Reason::SessionUnknown, out);
        }
        if self.is_draining {
            return self.refuse(None, Reason::Draining, out);
        }
        match opening {
            Opening::Fresh => self.open_fresh(session, exchange, out),
            Opening::After(event) => self.resume(session, event, exchange, out),
            Opening::AfterUnnamed => {
                let reason = Reason::NotResumable("Last-Event-ID is no id that this server gives");
                self.refuse(None, reason, out)
            }
        }
    }

    fn open_fresh(
        &mut self,
        session: SessionId,
        exchange: Exchange,
        out: &mut Vec<u8>,
    ) -> Disposition {
        if !self.has_room_for_stream(session) {
            return self.refuse(None, TOO_MANY_STREAMS, out);
        }
        let stream = None;
        self.sessions
            .open_stream(session, OpenStream { stream, exchange });
        Disposition::Stream(StreamOwner::Session(StreamOf {
            session,
            ends_with_answer: false,
        }))
    }

    /// Replays what came after an event on its stream, then goes on with it if it goes on.
    fn resume(
        &mut self,
        session: SessionId,
        after: EventId,
        exchange: Exchange,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let is_own = after.home == self.settings.shard
            && self.events.owner_of(after.stream) == Some(session);
        if !is_own {
            // A stream that is over is forgotten; one of another session looks the same.
            return Disposition::Done;
        }
        let is_finished = match self.events.replay(after.stream, after.sequence) {
            Ok(replay) if replay.is_over() => return Disposition::Done,
            Ok(replay) => replay.is_finished(),
            Err(error) => {
                let text = self.arena.format(format_args!("{error}"));
                return self.refuse(None, Reason::NotResumable(text), out);
            }
        };
        let call = self.call_of(session, after.stream);
        if !is_finished && !self.attach((session, call), after.stream, exchange) {
            return self.refuse(None, TOO_MANY_STREAMS, out);
        }
        if let Ok(replay) = self.events.replay(after.stream, after.sequence) {
            self.deliveries.extend(replay.map(|(id, message)| Delivery {
                exchange,
                part: Part::Event {
                    id: Some(id),
                    message: message.to_vec(),
                },
            }));
        }
        if is_finished {
            self.end_at(exchange);
        }
        self.meter.count(Counter::StreamsResumed);
        Disposition::Stream(StreamOwner::Session(StreamOf {
            session,
            ends_with_answer: is_finished || call.is_some(),
        }))
    }

    /// The call that a stream is of, while it runs.
    fn call_of(&mut self, session: SessionId, stream: StreamId) -> Option<CallKey> {
        let calls = &mut self.calls;
        let mut keys = self.sessions.find(session)?.calls().iter().copied();
        keys.find(|key| {
            let entry = calls.find(*key);
            entry.is_some_and(|entry| entry.stream == Some(stream))
        })
    }

    /// Lets what is still to come of a stream go to `exchange`; where it was open before, it ends.
    /// Says whether there is room: a stream that is no call's counts for its session.
    fn attach(
        &mut self,
        (session, call): (SessionId, Option<CallKey>),
        stream: StreamId,
        exchange: Exchange,
    ) -> bool {
        let has_room = self.has_room_for_stream(session);
        let Some(found) = self.sessions.find(session) else {
            return false;
        };
        let mut open = found.streams_mut().iter_mut();
        let before = if let Some(entry) = call.and_then(|key| self.calls.find(key)) {
            entry.exchange.replace(exchange)
        } else if let Some(open) = open.find(|open| open.stream == Some(stream)) {
            Some(std::mem::replace(&mut open.exchange, exchange))
        } else if has_room {
            found.lost_stream.take_if(|lost| *lost == stream);
            let stream = Some(stream);
            self.sessions
                .open_stream(session, OpenStream { stream, exchange });
            None
        } else {
            return false;
        };
        if let Some(before) = before {
            self.end_at(before);
        }
        true
    }

    fn has_room_for_stream(&mut self, session: SessionId) -> bool {
        let streams_max = self.settings.streams_per_session_max;
        let found = self.sessions.find(session);
        found.is_some_and(|found| found.streams().len() < streams_max)
    }

    /// The connection of a stream is gone; the stream is not.
    pub(crate) fn stream_gone(&mut self, session: SessionId, exchange: Exchange) {
        let Some(found) = self.sessions.touch(session, self.now_ms) else {
            return;
        };
        for key in found.calls() {
            if let Some(entry) = self.calls.find(*key) {
                entry.exchange.take_if(|its| *its == exchange);
            }
        }
        self.sessions.lose_stream(session, exchange);
    }

    /// Forgets what was kept for a session that is over.
    pub(super) fn forget_events(&mut self, session: SessionId) {
        self.events.forget_owner(session);
        self.measure_events();
    }

    /// Forgets a stream that nobody will want the rest of.
    pub(super) fn forget_stream(&mut self, stream: StreamId) {
        self.events.forget(stream);
        self.measure_events();
    }

    pub(super) fn end_at(&mut self, exchange: Exchange) {
        let part = Part::StreamEnd;
        self.deliveries.push_back(Delivery { exchange, part });
    }

    fn measure_events(&self) {
        let drops = self.events.drops();
        self.meter
            .set(Counter::EventsBytes, self.events.bytes() as u64);
        self.meter.set(Counter::EventsDropped, drops.events);
        self.meter.set(Counter::EventStreamsDropped, drops.streams);
    }
}

const TOO_MANY_STREAMS: Reason<'static> = Reason::Overloaded("the session has too many streams");
