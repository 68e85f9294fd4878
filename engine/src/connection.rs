//! Drives one protocol binding over one transport: bytes in, messages and answers out.
//!
//! A connection gets the bytes of its peer and the parts of answers, and leaves bytes to be sent.
//! It owns no descriptor and makes no system call, so it is tested without a socket.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod buffers;
pub(crate) mod channel;
pub(crate) mod context;
pub(crate) mod flow;
pub(crate) mod http;
mod large;
mod lines;
pub(crate) mod messages;
mod postponed;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod source;
pub(crate) mod timer;
mod websocket;

#[cfg(test)]
mod tests;
