//! Messages to sessions that belong to no call: list changes, resource updates, task statuses.

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
        let Some(found) = self.sessions.find(session) else {
            return;
        };
        let lost = found.lost_stream;
        let (stream, exchange) = match (found.streams_mut().first_mut(), lost) {
            (Some(open), _) => {
                let begin = || self.streams.begin(session);
                (*open.stream.get_or_insert_with(begin), Some(open.exchange))
            }
            (None, Some(stream)) => (stream, None),
            (None, None) => return,
        };
        self.streams
            .send(Some(stream), exchange, message, self.outbox);
    }

    /// The place to which [`Notifier::notify`] sends messages of a session, if a stream is open.
    pub(super) fn exchange_of(&mut self, session: SessionId) -> Option<Exchange> {
        let found = self.sessions.find(session)?;
        found.streams().first().map(|open| open.exchange)
    }
}
