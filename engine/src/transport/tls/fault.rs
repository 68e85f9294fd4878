//! Faults that end a connection with TLS.

use rustls::AlertDescription;

/// Why a connection ends, and the alert that its peer gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Fault {
    alert: Option<AlertDescription>,
    text: &'static str,
}

impl Fault {
    pub(super) const fn new(alert: AlertDescription, text: &'static str) -> Fault {
        let alert = Some(alert);
        Fault { alert, text }
    }

    /// A fault of our own.
    pub(super) const fn internal(text: &'static str) -> Fault {
        Fault::new(AlertDescription::InternalError, text)
    }

    /// The peer reported a fault: it gets no alert (RFC 8446 6.2).
    pub(super) const fn reported() -> Fault {
        Fault {
            alert: None,
            text: "the peer sent a fatal alert",
        }
    }

    /// The alert for the peer.
    pub(super) fn alert(self) -> Option<AlertDescription> {
        self.alert
    }
}
