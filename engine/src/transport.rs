//! Sources of bytes: listeners, the files of Unix sockets, and standard input and output. Knows no
//! protocol.

pub(crate) mod listener;
pub(crate) mod stdio;
pub(crate) mod unix;
