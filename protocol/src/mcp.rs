//! The vocabulary of the Model Context Protocol: names, values and how each era writes them.
//!
//! What is here is plain data and its encoding. Nothing here knows a transport, a session or a
//! clock; which message is allowed where is decided in [`crate::binding`].

pub mod about;
pub mod capability;
pub mod client_request;
pub mod completion;
pub mod content;
pub mod era;
pub mod error_code;
pub mod input_required;
pub mod lifecycle;
pub mod logging;
pub mod meta;
pub mod method;
pub mod output_schema;
pub mod progress;
pub mod prompts;
pub mod resources;
pub mod result;
pub mod revision;
pub mod schema_member;
pub mod subscription;
pub mod tasks;
pub mod tools;
