//! Where bytes come from: listeners. Knows no protocol.

pub(crate) mod listener;
