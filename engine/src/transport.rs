//! Sources of bytes: listeners, the files of Unix sockets, and standard input and output. Knows no
//! protocol.

pub(crate) mod listener;
pub(crate) mod stdio;
#[cfg(feature = "tls")]
pub(crate) mod tls;
pub(crate) mod unix;
#[cfg(not(feature = "tls"))]
pub(crate) mod without_tls;

#[cfg(feature = "tls")]
pub(crate) use tls::outgoing::{OutgoingSession, OutgoingTls};
#[cfg(not(feature = "tls"))]
pub(crate) use without_tls::{OutgoingSession, OutgoingTls};
