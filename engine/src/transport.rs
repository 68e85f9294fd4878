//! Sources of bytes: listeners, and standard input and output. Knows no protocol.

pub(crate) mod listener;
pub(crate) mod stdio;
#[cfg(feature = "tls")]
pub(crate) mod tls;
