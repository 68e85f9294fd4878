//! HTTP/1.1 of both roles: RFC 9112, with the server's duties of RFC 9110.
//!
//! A server's input: a [`Framer`] reads the unconsumed bytes of a connection and returns one whole
//! [`RequestHead`] and its body, both borrowed from those bytes. Its output:
//! [`write_response_head`] and [`write_chunk`] append to a buffer of the caller. A client writes
//! with [`begin_request_head`] and reads with a [`ResponseReader`].
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
mod request_head;
mod response;
mod response_fault;
mod response_head;
mod response_reader;
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
pub use request_head::{RequestFieldError, begin_request_head, end_request_head, write_field};
pub use response::{
    CONTINUE, Content, DATE_BYTES, LAST_CHUNK, ResponseHead, write_chunk, write_response_head,
};
pub use response_fault::{INTERIM_ANSWERS_MAX, RESPONSE_HEAD_BYTES_MAX, ResponseFault};
pub use response_head::{AnswerHead, MediaType};
pub use response_reader::{HeadCache, Item, MESSAGE_BYTES_MAX, ResponseReader};
pub use status::Status;
