//! A request of HTTP+SSE itself.

use super::peer::{Delivery, StreamEvent};
use super::{Recipient, Relay, SessionOwner};

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
