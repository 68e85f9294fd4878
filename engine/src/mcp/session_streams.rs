//! Opens, resumes and loses the streams of sessions.
//!
//! A stream belongs to one connection at a time: resuming it ends it on the other connection.
//!
//! A stream is over when its client has the answer or cancelled the call. There is nothing to
//! resume then, and the answer is 204: it stops an EventSource from reconnecting (WHATWG HTML
//! 9.2.1). The TypeScript SDKs accept it silently, where they report an error twice for each
//! stream, and reconnect for ever after an empty stream; the Python SDKs give up after two
//! attempts.
//!
//! A stream that is not kept any more may have had an answer that its client never got: 204 would
//! hide that, so such a request is refused. A stream of another session looks the same.

use corelane_protocol::binding::refusal::Reason;

use super::calls::Calls;
use super::context::Context;
use super::delivery::Part;
use super::disposition::Disposition;
use super::event_store::{EventId, StreamId};
use super::exchange::{Exchange, Opening, StreamOf, StreamOwner};
use super::inbound::Inbound;
use super::outbox::Outbox;
use super::session_id::SessionId;
use super::sessions::{OpenStream, Sessions};
use super::streams::Streams;
use crate::handler::event_queue::CallKey;
use crate::meter::Counter;

const TOO_MANY_STREAMS: Reason<'static> = Reason::Overloaded(
    "the other sessions of the client have its share of the connections of the shard as streams \
     (ring.descriptors), or sessions have none (streams.per_session_max)",
);

/// Opens and resumes streams of sessions.
pub(super) struct SessionStreams<'a> {
    pub(super) context: &'a Context,
    pub(super) sessions: &'a mut Sessions,
    pub(super) streams: &'a mut Streams,
    pub(super) calls: &'a mut Calls,
    pub(super) outbox: &'a mut Outbox,
}

impl SessionStreams<'_> {
    /// Opens a stream for the messages of a session, or resumes a lost one.
    pub(super) fn open(
        &mut self,
        inbound: Inbound<'_>,
        session: SessionId,
        opening: Opening,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let (principal, now_ms) = (inbound.principal(), self.context.now_ms());
        let found = self.sessions.touch_as(principal, session, now_ms);
        if found.is_none() {
            return self.context.refuse(None, Reason::SessionUnknown, out);
        }
        if self.context.is_draining() {
            return self.context.refuse(None, Reason::Draining, out);
        }
        match opening {
            Opening::Fresh => self.open_fresh(session, inbound.exchange, out),
            Opening::After(event) => self.resume(session, event, inbound.exchange, out),
            Opening::AfterUnnamed => {
                let reason = Reason::NotResumable("Last-Event-ID is no id that this server gives");
                self.context.refuse(None, reason, out)
            }
        }
    }

    fn open_fresh(
        &mut self,
        session: SessionId,
        exchange: Exchange,
        out: &mut Vec<u8>,
    ) -> Disposition {
        if !self.make_room_for_stream(session) {
            return self.context.refuse(None, TOO_MANY_STREAMS, out);
        }
        let stream = None;
        self.sessions
            .open_stream(session, OpenStream { stream, exchange });
        Disposition::Stream(StreamOwner::Session(StreamOf {
            session,
            ends_with_answer: false,
        }))
    }

    /// Replays the later events of a stream, then continues it if it is not finished.
    fn resume(
        &mut self,
        session: SessionId,
        after: EventId,
        exchange: Exchange,
        out: &mut Vec<u8>,
    ) -> Disposition {
        let is_finished = match self.streams.replay(session, after) {
            Ok(replay) if replay.is_over() => return Disposition::Done,
            Ok(replay) => replay.is_finished(),
            Err(error) => {
                let text = self.context.format(format_args!("{error}"));
                return self.context.refuse(None, Reason::NotResumable(text), out);
            }
        };
        let call = self.call_of(session, after.stream);
        if !is_finished && !self.attach((session, call), after.stream, exchange) {
            return self.context.refuse(None, TOO_MANY_STREAMS, out);
        }
        if let Ok(replay) = self.streams.replay(session, after) {
            for (id, message) in replay {
                let (id, message) = (Some(id), message.to_vec());
                self.outbox.push(exchange, Part::Event { id, message });
            }
        }
        if is_finished {
            self.outbox.end_stream(exchange);
        }
        self.context.meter.count(Counter::StreamsResumed);
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

    /// Makes `exchange` the place for later messages of a stream; its earlier place ends. Returns
    /// whether the limit allows it: a stream without a call counts for its session.
    fn attach(
        &mut self,
        (session, call): (SessionId, Option<CallKey>),
        stream: StreamId,
        exchange: Exchange,
    ) -> bool {
        if let Some(key) = call {
            if let Some(before) = self.calls.client_back(key, exchange) {
                self.outbox.end_stream(before);
            }
            return true;
        }
        let Some(found) = self.sessions.find(session) else {
            return false;
        };
        let mut open = found.streams().iter();
        let before = open.find(|open| open.stream == Some(stream));
        match before.map(|open| open.exchange) {
            Some(before) => self.end_stream(session, before),
            None if !self.make_room_for_stream(session) => return false,
            None => {}
        }
        if let Some(found) = self.sessions.find(session) {
            found.lost_stream.take_if(|lost| *lost == stream);
        }
        let stream = Some(stream);
        self.sessions
            .open_stream(session, OpenStream { stream, exchange });
        true
    }

    /// Lets a session open another stream, if need be in the place of its oldest one: a client that
    /// lost its connection comes back long before the loss is seen here. Returns whether it may.
    fn make_room_for_stream(&mut self, session: SessionId) -> bool {
        let streams_max = self.context.settings.streams_per_session_max;
        let is_at_share = self.sessions.is_at_stream_share(session);
        let Some(found) = self.sessions.find(session) else {
            return false;
        };
        if found.streams().len() < streams_max && !is_at_share {
            return true;
        }
        let oldest = found.streams().first().map(|open| open.exchange);
        if let Some(oldest) = oldest {
            self.end_stream(session, oldest);
        }
        oldest.is_some()
    }

    /// Ends a stream of a session where it is open; its client may resume it.
    fn end_stream(&mut self, session: SessionId, exchange: Exchange) {
        self.outbox.end_stream(exchange);
        self.sessions.lose_stream(session, exchange);
    }

    /// The connection of a stream is gone, or one that waited for calls; stream and calls stay.
    pub(super) fn connection_gone(&mut self, session: SessionId, exchange: Exchange) {
        let now_ms = self.context.now_ms();
        let Some(found) = self.sessions.touch(session, now_ms) else {
            return;
        };
        for key in found.calls() {
            self.calls.client_left(*key, exchange);
        }
        self.outbox.batches.forget(exchange);
        self.sessions.lose_stream(session, exchange);
    }

    /// All connections of the shard `shard` are gone.
    pub(super) fn shard_gone(&mut self, shard: u16) {
        for place in 0..self.sessions.places() {
            let Some(found) = self.sessions.at_place(place) else {
                continue;
            };
            let calls = found.calls().iter();
            let of_calls = calls.filter_map(|key| self.calls.find(*key)?.exchange);
            let of_streams = found.streams().iter().map(|open| open.exchange);
            let exchanges = of_calls.chain(of_streams);
            let gone: Vec<Exchange> = exchanges.filter(|it| it.shard == shard).collect();
            let session = found.id;
            for exchange in gone {
                self.connection_gone(session, exchange);
            }
        }
    }

    /// The client of an exchange that waits for calls sends no more, and may be gone.
    pub(super) fn client_hung_up(&mut self, session: SessionId, exchange: Exchange) {
        let Some(found) = self.sessions.find(session) else {
            return;
        };
        for key in found.calls() {
            let entry = self.calls.find(*key);
            if entry.is_some_and(|entry| entry.exchange == Some(exchange)) {
                self.calls.abandon(*key);
            }
        }
    }
}
