//! Drives one protocol binding over one transport: bytes in, messages and answers out.
//!
//! A connection gets the bytes of its peer and the parts of answers, and leaves bytes to be sent.
//! It owns no descriptor and makes no system call, so it is tested without a socket.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod buffers;
mod changes;
pub(crate) mod channel;
mod client;
pub(crate) mod context;
pub(crate) mod cors;
pub(crate) mod expiry;
mod flow;
pub(crate) mod foreign;
pub(crate) mod handover;
pub(crate) mod http;
pub(crate) mod http_settings;
pub(crate) mod in_flight;
mod large;
mod lines;
pub(crate) mod messages;
mod plain;
pub(crate) mod posted;
mod postponed;
mod preconditions;
mod probe;
pub(crate) mod readiness;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod source;
mod sse;
pub(crate) mod timer;
mod websocket;

#[cfg(test)]
mod tests;
