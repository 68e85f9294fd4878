//! Sources of bytes: listeners. Knows no protocol.

pub(crate) mod listener;
