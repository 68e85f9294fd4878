//! A call in a session with an upstream of the legacy era, and the handshakes of sessions.

use corelane_gateway::relay::RelayedPart;
use corelane_protocol::binding::http_client::Outcome as HeadOutcome;
use corelane_protocol::mcp::era::Era;

use super::{Recipient, Relay};
use crate::upstream::owner::SessionOwner;

/// The status of a request whose session does not exist.
pub(super) const STATUS_LOST: u16 = 404;

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

/// A call for an upstream of the legacy era.
#[derive(Debug)]
pub(crate) struct LegacyCall {
    /// The owner of its session.
    pub(crate) owner: SessionOwner,
    /// The body of the request; empty for the stream of the session.
    pub(crate) body: Box<[u8]>,
    /// Whether it counts among the calls of its session.
    pub(crate) is_admitted: bool,
    /// The id of the session that the request names.
    pub(crate) session: Option<Box<str>>,
    /// Whether the upstream has forgotten its session once.
    pub(crate) was_lost: bool,
}

impl Relay {
    /// Makes it a call for an upstream of the legacy era.
    pub(crate) fn set_legacy(&mut self, legacy: LegacyCall, is_cacheable: bool) {
        self.legacy = Some(Box::new(legacy));
        (self.reception.from, self.reception.is_cacheable) = (Era::Legacy, is_cacheable);
    }

    /// Whether the call can be made again whose session the upstream has forgotten: it changes
    /// nothing, or the status says that it was not executed.
    pub(crate) fn is_repeatable_in_session(&self) -> bool {
        self.is_repeatable || self.reception.status == STATUS_LOST
    }

    /// The session that the upstream has forgotten.
    pub(crate) fn lost_session(&self) -> Option<&str> {
        let is_lost = self.reception.outcome == HeadOutcome::SessionLost;
        let session = self.legacy.as_ref()?.session.as_deref();
        session.filter(|_| is_lost && !self.is_answered())
    }

    /// Whether the answer shows that the upstream knows the session of the call.
    pub(crate) fn knows_session(&self) -> bool {
        self.has_begun() && self.reception.outcome != HeadOutcome::SessionLost
    }

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
