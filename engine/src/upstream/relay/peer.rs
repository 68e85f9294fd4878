//! The requests of HTTP+SSE: the stream of a peer, and the messages that are brought to it.

use corelane_io::slots::SlotKey;

use super::key::RelayKey;
use crate::upstream::owner::SessionOwner;

/// The stream of one peer.
#[derive(Debug)]
pub(crate) struct EventStream {
    /// The owner of the peer.
    pub(super) owner: SessionOwner,
    /// Events since the last look, in order.
    pub(super) events: Vec<StreamEvent>,
}

/// An event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StreamEvent {
    /// The URL for messages to the peer.
    Endpoint(Vec<u8>),
    /// A message of the peer.
    Message(Vec<u8>),
}

/// A message on its way to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// The link with the stream of the peer.
    pub(crate) stream: SlotKey,
    /// The call that the message is for; none if nothing waits for it.
    pub(crate) call: Option<RelayKey>,
}

impl EventStream {
    /// Of the peer of this owner; nothing was received.
    pub(crate) fn new(owner: SessionOwner) -> EventStream {
        EventStream {
            owner,
            events: Vec::new(),
        }
    }

    pub(super) fn take_endpoint(&mut self, url: &[u8]) {
        self.events.push(StreamEvent::Endpoint(url.to_vec()));
    }

    pub(super) fn take_message(&mut self, text: &[u8]) {
        self.events.push(StreamEvent::Message(text.to_vec()));
    }
}
