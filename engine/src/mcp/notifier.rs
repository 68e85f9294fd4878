//! Messages to sessions that belong to no call: list changes, resource updates, task statuses.

use super::delivery::Part;
use super::event_store::{EventId, StreamId};
use super::exchange::Exchange;
use super::outbox::Outbox;
use super::session_id::SessionId;
use super::sessions::Sessions;
use super::streams::Streams;

/// Sends messages to sessions, on the streams that they have open.
pub(super) struct Notifier<'a> {
    pub(super) sessions: &'a mut Sessions,
    pub(super) streams: &'a mut Streams,
    pub(super) outbox: &'a mut Outbox,
}

impl Notifier<'_> {
    /// Sends a message to a session: on its newest stand-alone stream, which is the most likely to
    /// have a client, or into the store for a client that lost its last one. Without either the
    /// message is dropped; returns whether it was not.
    pub(super) fn notify(&mut self, session: SessionId, message: Vec<u8>) -> bool {
        let found = self.stream_of(session);
        if let Some((stream, exchange)) = found {
            self.streams.send(stream, exchange, message, self.outbox);
        }
        found.is_some()
    }

    /// Sends a request about a task to the client that waits at `exchange` for its result: there,
    /// if the client takes a stream, or else on a stream of the session. Returns whether it was
    /// sent.
    pub(super) fn request(
        &mut self,
        (session, exchange): (SessionId, Exchange),
        request: Vec<u8>,
    ) -> bool {
        if exchange.takes_events {
            self.outbox.push_message(exchange, request);
            return true;
        }
        self.notify(session, request)
    }

    /// Notifies a session of a change, as [`Notifier::notify`] does.
    pub(super) fn notify_change(&mut self, session: SessionId, message: Vec<u8>) {
        let Some((stream, exchange)) = self.stream_of(session) else {
            return;
        };
        let id = stream.and_then(|stream| self.streams.keep(stream, &message));
        if let Some(exchange) = exchange {
            self.outbox.push(exchange, Part::Change { id, message });
        }
    }

    /// Sends a message that did not reach the stream of its event, and those behind it, on another
    /// stream of the session. They stay where they are if there is none, or if their stream is that
    /// of a call: its client comes back for them.
    pub(super) fn redirect(&mut self, event: EventId, message: Vec<u8>) {
        let Some(session) = self.streams.owner_of(event) else {
            return;
        };
        let found = self.sessions.find(session);
        let is_beside = found.is_some_and(|found| {
            found.lost_stream == Some(event.stream) && !found.streams().is_empty()
        });
        if is_beside && let Some(behind) = self.streams.withdraw(event) {
            self.notify(session, message);
            for message in behind {
                self.notify(session, message.into());
            }
        }
    }

    /// The stream that keeps the messages of a session, if there is one, and where it is open.
    fn stream_of(&mut self, session: SessionId) -> Option<(Option<StreamId>, Option<Exchange>)> {
        let found = self.sessions.find(session)?;
        let (lost, holder) = (found.lost_stream, found.holder());
        match found.streams_mut().last_mut() {
            Some(open) if open.exchange.is_on_channel => Some((None, Some(open.exchange))),
            Some(open) => {
                let begin = || self.streams.begin(session, holder);
                let stream = *open.stream.get_or_insert_with(begin);
                Some((Some(stream), Some(open.exchange)))
            }
            None => lost.map(|stream| (Some(stream), None)),
        }
    }

    /// The place to which [`Notifier::notify`] sends messages of a session, if a stream is open.
    pub(super) fn exchange_of(&mut self, session: SessionId) -> Option<Exchange> {
        let found = self.sessions.find(session)?;
        found.streams().last().map(|open| open.exchange)
    }
}
