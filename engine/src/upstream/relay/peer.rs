//! The requests of HTTP+SSE: the stream of a peer, and the messages that are brought to it.

use corelane_io::slots::SlotKey;

use super::{Recipient, Relay, RelayKey, SessionOwner};

/// The stream of one peer.
#[derive(Debug)]
pub(crate) struct EventStream {
    /// The owner of the peer.
    owner: SessionOwner,
    /// Events since the last look, in order.
    events: Vec<StreamEvent>,
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

impl Relay {
    /// The owner of the peer whose stream it is.
    pub(crate) fn stream_owner(&self) -> Option<&SessionOwner> {
        match &self.reception.recipient {
            Recipient::Stream(stream) => Some(&stream.owner),
            _ => None,
        }
    }

    /// Takes the events of the stream that it is.
    pub(crate) fn take_events(&mut self) -> Vec<StreamEvent> {
        match &mut self.reception.recipient {
            Recipient::Stream(stream) => std::mem::take(&mut stream.events),
            _ => Vec::new(),
        }
    }

    /// The message that it brings to a peer.
    pub(crate) fn delivery(&self) -> Option<Delivery> {
        match self.reception.recipient {
            Recipient::Delivery(delivery) => Some(delivery),
            _ => None,
        }
    }

    /// Whether it is a request of HTTP+SSE itself, and no message on a stream.
    pub(crate) fn is_of_events(&self) -> bool {
        self.stream_owner().is_some() || self.delivery().is_some()
    }

    /// Whether the upstream has taken the message that it brings.
    pub(crate) fn is_delivered(&self) -> bool {
        (200..300).contains(&self.reception.status)
    }

    /// Whether the upstream does not know the stream for which the message is.
    pub(crate) fn has_lost_stream(&self) -> bool {
        self.reception.status == super::session::STATUS_LOST
    }
}
