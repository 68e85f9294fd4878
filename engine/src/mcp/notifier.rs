//! Messages to sessions that belong to no call: list changes, resource updates, task statuses.

use super::delivery::Part;
use super::event_store::StreamId;
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
    /// Sends a message to a session: on its oldest stand-alone stream, or into the store for a
    /// client that lost its last one. Without either the message is dropped.
    pub(super) fn notify(&mut self, session: SessionId, message: Vec<u8>) {
        if let Some((stream, exchange)) = self.stream_of(session) {
            self.streams.send(stream, exchange, message, self.outbox);
        }
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

    /// The stream that keeps the messages of a session, if there is one, and where it is open.
    fn stream_of(&mut self, session: SessionId) -> Option<(Option<StreamId>, Option<Exchange>)> {
        let found = self.sessions.find(session)?;
        let lost = found.lost_stream;
        match found.streams_mut().first_mut() {
            Some(open) if open.exchange.is_on_channel => Some((None, Some(open.exchange))),
            Some(open) => {
                let begin = || self.streams.begin(session);
                let stream = *open.stream.get_or_insert_with(begin);
                Some((Some(stream), Some(open.exchange)))
            }
            None => lost.map(|stream| (Some(stream), None)),
        }
    }

    /// The place to which [`Notifier::notify`] sends messages of a session, if a stream is open.
    pub(super) fn exchange_of(&mut self, session: SessionId) -> Option<Exchange> {
        let found = self.sessions.find(session)?;
        found.streams().first().map(|open| open.exchange)
    }
}
