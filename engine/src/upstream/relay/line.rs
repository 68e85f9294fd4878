//! A call on a connection with many of them.

use corelane_protocol::binding::http_client::Outcome as HeadOutcome;
use corelane_protocol::mcp::era::Era;

use super::{Recipient, Relay, SessionOwner, SubscriptionEvent, Surroundings};

impl Relay {
    /// The owner of the program that it is for; none if any program of its upstream serves it.
    pub(crate) fn owner(&self) -> Option<SessionOwner> {
        match (&self.legacy, &self.reception.recipient) {
            (Some(legacy), _) => Some(legacy.owner.clone()),
            (_, Recipient::Handshake(handshake)) => Some(handshake.owner.clone()),
            (_, Recipient::Control(..) | Recipient::Subscription(_)) => Some(SessionOwner::Control),
            _ => None,
        }
    }

    /// Whether it is for the notifications of a session, and no request.
    pub(crate) fn is_session_stream(&self) -> bool {
        self.is_subscription() && self.reception.from == Era::Legacy
    }

    /// Whether it stays open for notifications.
    pub(crate) fn is_subscription(&self) -> bool {
        matches!(self.reception.recipient, Recipient::Subscription(_))
    }

    /// Whether it is a request that is answered, and the answer matters.
    pub(crate) fn is_answerable(&self) -> bool {
        match &self.reception.recipient {
            Recipient::Nobody => false,
            Recipient::Handshake(handshake) => handshake.is_initialize,
            _ => true,
        }
    }

    /// Whether it opens a session.
    pub(crate) fn is_handshake(&self) -> bool {
        matches!(self.reception.recipient, Recipient::Handshake(_))
    }

    /// It was sent, and nothing answers it.
    pub(crate) fn accept(&mut self) {
        self.reception.outcome = HeadOutcome::Accepted;
    }

    /// The session is open whose notifications it is for.
    pub(crate) fn open_stream(&mut self) {
        self.reception.is_open = true;
        self.due_ms = Some(u64::MAX);
        self.reception.pass_on(SubscriptionEvent::Acknowledged);
    }

    /// Takes a message, which is an answer or a notification.
    pub(crate) fn take_line(&mut self, text: &[u8], to: Surroundings<'_>) {
        self.reception.outcome = HeadOutcome::Message;
        self.reception.take_message(text, to);
        if self.reception.is_open {
            self.due_ms = Some(u64::MAX);
        }
    }
}
