//! Connections without sockets: bytes in, bytes out.

#[cfg(feature = "auth")]
mod access;
mod answers;
mod bounds;
mod framing;
#[cfg(feature = "auth")]
mod gates;
#[cfg(feature = "auth")]
mod keys;
mod large;
mod large_messages;
#[cfg(feature = "auth")]
mod limits;
mod lines;
mod postponed;
mod response;
mod streams;
mod test_connection;
mod web;
mod websocket;
