//! Sources of bytes: listeners, the files of Unix sockets, and standard input and output. Knows no
//! protocol.

pub(crate) mod listener;
pub(crate) mod stdio;
#[cfg(feature = "tls")]
pub(crate) mod tls;
pub(crate) mod unix;
