//! A token for which that of a client was exchanged (RFC 8693).

use std::fmt;
use std::time::Instant;

use corelane_protocol::framing::http1::write_field;
use secrecy::{ExposeSecret as _, SecretBox};

/// A token that another one was exchanged for.
pub(crate) struct ExchangedToken {
    /// Its number, which no other one ever has.
    pub(crate) number: u64,
    /// When another one is to be requested.
    pub(crate) renew: Instant,
    /// When it ends.
    pub(crate) ends: Instant,
    line: SecretBox<Vec<u8>>,
}

impl ExchangedToken {
    /// The token with this value of `Authorization`; none if that cannot be sent.
    pub(crate) fn new(
        value: &str,
        number: u64,
        (renew, ends): (Instant, Instant),
    ) -> Option<ExchangedToken> {
        let mut line = Vec::new();
        write_field(&mut line, "authorization", value.as_bytes()).ok()?;
        Some(ExchangedToken {
            number,
            renew,
            ends,
            line: SecretBox::new(Box::new(line)),
        })
    }

    /// The line of its field.
    pub(crate) fn line(&self) -> &[u8] {
        self.line.expose_secret()
    }
}

/// Shows no secret.
impl fmt::Debug for ExchangedToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ExchangedToken")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}
