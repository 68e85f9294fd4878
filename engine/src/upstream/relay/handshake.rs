//! The steps of the handshake of a session.

use corelane_gateway::relay::RelayedPart;

use super::{HeadOutcome, Recipient, Relay, SessionOwner};

/// A step of the handshake of a session.
#[derive(Debug)]
pub(crate) struct Handshake {
    /// The owner of the session.
    pub(crate) owner: SessionOwner,
    /// The result of `initialize`, or the error; none yet, or for a notification.
    pub(crate) answer: Option<RelayedPart>,
    /// The id of the session, if the answer has one.
    pub(crate) session: Option<Box<str>>,
    /// Whether the step is `initialize`.
    pub(crate) is_initialize: bool,
    /// Whether the upstream has accepted the notification.
    pub(crate) is_accepted: bool,
}

impl Relay {
    /// Takes the step of a handshake that it is.
    pub(crate) fn take_handshake(&mut self) -> Option<Box<Handshake>> {
        match &self.reception.recipient {
            Recipient::Handshake(_) => {}
            _ => return None,
        }
        match std::mem::replace(&mut self.reception.recipient, Recipient::Nobody) {
            Recipient::Handshake(mut handshake) => {
                handshake.is_accepted = matches!(
                    self.reception.outcome,
                    HeadOutcome::Accepted | HeadOutcome::Message | HeadOutcome::Events
                );
                Some(handshake)
            }
            _ => None,
        }
    }
}
