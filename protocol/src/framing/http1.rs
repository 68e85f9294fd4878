//! HTTP/1.1 responses out: RFC 9112, with the server's duties of RFC 9110.

mod grammar;
mod response;
mod status;

pub use response::{
    CONTINUE, Content, DATE_BYTES, LAST_CHUNK, ResponseHead, write_chunk, write_response_head,
};
pub use status::Status;
