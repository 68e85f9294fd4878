//! JSON-RPC 2.0: bytes to messages and back.
//!
//! A [`Decoder`] turns the bytes of one whole message into a [`Decoded`] document that borrows the
//! decoder's buffers, for long messages there is an [`OwnedDocument`] with memory of its own; from
//! either come the [`Message`] of the envelope and [`Value`]s that serde can read. [`encode`]
//! writes messages straight into an output buffer.
//!
//! Invariant: having a [`Message`] tells you that the bytes were one strict RFC 8259 text within
//! [`JsonLimits`], and that the envelope is a request, a notification or a response and nothing in
//! between. Decoding allocates only while the reused buffers still grow.
//!
//! What it lacks on purpose: method names, MCP's vocabulary, and any opinion on batches beyond
//! telling that there is one.

mod decode;
mod deserialize;
pub mod encode;
mod error;
mod id;
mod limits;
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
pub use limits::JsonLimits;
pub use message::Message;
pub use value::{Array, ArrayIter, Kind, Object, ObjectIter, Value};
