//! Connections without sockets: bytes in, bytes out.

mod answers;
mod bounds;
mod framing;
mod line;
mod response;
mod streams;
