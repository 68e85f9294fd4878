//! JSON-RPC 2.0: bytes to messages and back.
//!
//! A [`Decoder`] turns the bytes of one whole message into a [`Decoded`] document that borrows the
//! decoder's buffers. For long messages there is an [`OwnedDocument`] with memory of its own.
//! Either gives the [`Message`] of the envelope and [`Value`]s that serde can read. [`encode`]
//! writes messages straight into an output buffer.
//!
//! Invariant: the bytes of a [`Message`] were one strict RFC 8259 text within [`JsonLimits`], and
//! its envelope is exactly a request, a notification or a response. Decoding allocates only while
//! the reused buffers still grow.
//!
//! It deliberately lacks method names, the vocabulary of MCP, and rules for batches beyond
//! recognising one.

mod decode;
mod deserialize;
pub mod encode;
mod error;
mod id;
mod id_scanner;
mod limits;
mod members;
mod message;
mod node_count;
mod value;

pub use decode::{Batch, Decoded, Decoder, Document, OwnedDocument};
pub use deserialize::DeserializeError;
pub use error::{
    DecodeError, INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR,
    ShapeError, ShapeFault,
};
pub use id::{Id, OwnedId};
pub use id_scanner::IdScanner;
pub use limits::JsonLimits;
pub use members::{
    MembersFault, MessageMembers, divide_members, find_members, is_name, visit_members,
};
pub use message::Message;
pub use value::{Array, ArrayIter, Kind, Object, ObjectIter, Value};
