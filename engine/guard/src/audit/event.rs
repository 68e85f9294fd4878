//! The events that are recorded, a closed set.

/// An event. The number of a variant is its byte in a packed record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Event {
    /// A credential was accepted for the first time.
    AuthAccepted,
    /// A credential was refused, or there was none.
    AuthRefused,
    /// The policy denied a request.
    AuthzDenied,
    /// A tool, a prompt or a resource was used; at its end, with the outcome.
    Call,
    /// A session began.
    SessionOpened,
    /// A session ended.
    SessionClosed,
    /// A call became a task.
    TaskCreated,
    /// A client ended a task.
    TaskCancelled,
    /// A task ended by itself.
    TaskEnded,
    /// Requests were refused because of a rate or a quota; the sum of a second and a principal.
    LimitHit,
    /// A policy is in use.
    PolicyLoaded,
    /// A policy was refused; the one before stays in use.
    PolicyRefused,
    /// An issuer has other keys.
    KeysChanged,
    /// Certificates were loaded again.
    TlsReloaded,
    /// An entry of the catalog differs from its pin.
    PinMismatch,
    /// An operator requested a reload of the configuration.
    AdminReload,
    /// An operator requested the end of the server.
    AdminDrain,
    /// Records were lost: `count` of them in the time from `from` to `to`.
    AuditGap,
    /// The writer started.
    AuditStarted,
    /// The writer stopped in order.
    AuditStopped,
    /// The writer removed an old segment, whose file is the name.
    AuditRemoved,
    /// A signature over the chain so far.
    Checkpoint,
}

impl Event {
    /// Every event, in the order of their numbers.
    pub const ALL: [Event; 22] = [
        Event::AuthAccepted,
        Event::AuthRefused,
        Event::AuthzDenied,
        Event::Call,
        Event::SessionOpened,
        Event::SessionClosed,
        Event::TaskCreated,
        Event::TaskCancelled,
        Event::TaskEnded,
        Event::LimitHit,
        Event::PolicyLoaded,
        Event::PolicyRefused,
        Event::KeysChanged,
        Event::TlsReloaded,
        Event::PinMismatch,
        Event::AdminReload,
        Event::AdminDrain,
        Event::AuditGap,
        Event::AuditStarted,
        Event::AuditStopped,
        Event::AuditRemoved,
        Event::Checkpoint,
    ];

    /// The name in records.
    pub fn name(self) -> &'static str {
        match self {
            Event::AuthAccepted => "auth.accepted",
            Event::AuthRefused => "auth.refused",
            Event::AuthzDenied => "authz.denied",
            Event::Call => "call",
            Event::SessionOpened => "session.opened",
            Event::SessionClosed => "session.closed",
            Event::TaskCreated => "task.created",
            Event::TaskCancelled => "task.cancelled",
            Event::TaskEnded => "task.ended",
            Event::LimitHit => "limit.hit",
            Event::PolicyLoaded => "policy.loaded",
            Event::PolicyRefused => "policy.refused",
            Event::KeysChanged => "keys.changed",
            Event::TlsReloaded => "tls.reloaded",
            Event::PinMismatch => "pin.mismatch",
            Event::AdminReload => "admin.reload",
            Event::AdminDrain => "admin.drain",
            Event::AuditGap => "audit.gap",
            Event::AuditStarted => "audit.started",
            Event::AuditStopped => "audit.stopped",
            Event::AuditRemoved => "audit.removed",
            Event::Checkpoint => "checkpoint",
        }
    }

    /// The event with this number.
    pub(super) fn from_byte(byte: u8) -> Option<Event> {
        Event::ALL.get(usize::from(byte)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::Event;
    use std::collections::HashSet;

    #[test]
    fn each_event_has_its_number_and_a_name_of_its_own() {
        let mut names = HashSet::new();
        for (number, event) in (0u8..).zip(Event::ALL) {
            assert_eq!(event as u8, number, "{event:?}");
            assert_eq!(Event::from_byte(number), Some(event));
            assert!(names.insert(event.name()), "{event:?}");
        }
        assert_eq!(Event::from_byte(Event::ALL.len() as u8), None);
    }
}
