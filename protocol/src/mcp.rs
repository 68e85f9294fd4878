//! The vocabulary of the Model Context Protocol: names, values and their encoding in each era.
//!
//! This module is plain data and its encoding. It knows no transport, session or clock;
//! [`crate::binding`] decides which message is allowed where.

pub mod about;
pub mod capability;
pub mod client_request;
pub mod completion;
pub mod content;
pub mod era;
pub mod era_probe;
pub mod error_code;
pub mod input_required;
pub mod legacy_session;
pub mod lifecycle;
pub mod logging;
pub mod meta;
pub mod method;
pub mod output_schema;
pub mod params;
pub mod progress;
pub mod prompts;
pub mod resources;
pub mod result;
pub mod revision;
pub mod schema_member;
pub mod subscription;
pub mod tasks;
pub mod tools;
pub mod trace_context;
