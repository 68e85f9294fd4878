//! A call in a session with an upstream of the legacy era, and the handshakes of sessions.

use corelane_protocol::binding::http_client::Outcome as HeadOutcome;
use corelane_protocol::mcp::era::Era;

use super::{Handshake, LegacyCall, Recipient, Relay};

/// The status of a request whose session does not exist.
pub(super) const STATUS_LOST: u16 = 404;

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
