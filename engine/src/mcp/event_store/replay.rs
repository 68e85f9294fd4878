//! The replay for a client that lost a stream.

use std::collections::vec_deque;

use super::EventId;

/// Why there is no replay. In both cases the client must start again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReplayError {
    /// No such stream is kept, or it never had such an event.
    #[error(
        "event is unknown or its stream is no longer kept: make the request again if its answer is \
         missing"
    )]
    Unknown,
    /// Some later events were dropped.
    #[error(
        "events after the last one received were dropped: make the request again if its answer is \
         missing"
    )]
    Evicted,
}

/// The requested events, each with its id, in order. An empty message is a first event.
#[derive(Debug)]
pub(crate) struct Replay<'a> {
    pub(super) next: EventId,
    pub(super) events: vec_deque::Iter<'a, Box<[u8]>>,
    pub(super) is_finished: bool,
}

impl Replay<'_> {
    /// Whether there are no events, and will be none.
    pub(crate) fn is_over(&self) -> bool {
        self.is_finished && self.events.len() == 0
    }

    /// Whether the stream ends after these events; otherwise more may come.
    pub(crate) fn is_finished(&self) -> bool {
        self.is_finished
    }
}

impl<'a> Iterator for Replay<'a> {
    type Item = (EventId, &'a [u8]);

    fn next(&mut self) -> Option<(EventId, &'a [u8])> {
        let message = self.events.next()?;
        let id = self.next;
        self.next.sequence += 1;
        Some((id, message))
    }
}
