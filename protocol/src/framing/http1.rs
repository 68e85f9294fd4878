//! HTTP/1.1 requests in, responses out: RFC 9112, with the server's duties of RFC 9110.
//!
//! Input: a [`Framer`] reads the unconsumed bytes of a connection and returns one whole
//! [`RequestHead`] and its body, both borrowed from those bytes. Output: [`write_response_head`]
//! and [`write_chunk`] append to a buffer of the caller.
//!
//! Two invariants. The result never depends on how the bytes of a request were split on the way.
//! Wherever RFC 9112 lets two recipients disagree on where a message ends (section 6.3, section
//! 11.2: request smuggling), the request is refused, never repaired.
//!
//! It lacks deadlines, routing, upgrades, content codings and trailer fields: the first three
//! belong to the caller, the others are bounded or refused, then dropped.

mod chunked;
mod control;
mod field;
mod framer;
mod grammar;
mod refusal;
mod request;
mod response;
mod status;
mod target;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod work;

pub use chunked::CHUNK_FRAMING_BYTES_SPARE;
pub use field::{Field, sole_element};
pub use framer::{Framer, Step};
pub use grammar::is_field_name;
pub use refusal::{CHUNK_LINE_BYTES_MAX, METHOD_BYTES_MAX, Refusal, TRAILER_BYTES_MAX};
pub use request::{Headers, Method, RequestHead};
pub use response::{
    CONTINUE, Content, DATE_BYTES, LAST_CHUNK, ResponseHead, write_chunk, write_response_head,
};
pub use status::Status;
