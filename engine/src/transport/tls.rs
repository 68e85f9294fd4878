//! TLS 1.3, and 1.2 if it is allowed, without I/O: ciphertext in, plaintext out, and back (RFC
//! 8446, RFC 5246).
//!
//! rustls does the handshake and makes the keys; `session` protects the records with them, in the
//! buffers of the shard. Certificates come from files that are read again when they change.
//!
//! It deliberately lacks data in the first flight (0-RTT), which a third party could send again,
//! and renegotiation.

pub(crate) mod certificates;
pub(crate) mod config;
pub(crate) mod fault;
pub(crate) mod handshake;
pub(crate) mod identity;
pub(crate) mod outgoing;
pub(crate) mod record;
pub(crate) mod session;
#[cfg(test)]
mod tests;
