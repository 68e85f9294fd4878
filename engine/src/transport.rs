//! Sources of bytes: listeners, and standard input and output. Knows no protocol.

pub(crate) mod listener;
pub(crate) mod stdio;
#[cfg(feature = "tls")]
#[cfg_attr(not(test), expect(dead_code, reason = "listeners with TLS follow"))]
pub(crate) mod tls;
