//! The official schemas of the protocol, and the part of them that a message of the server must
//! fit.
//!
//! [`check_schema`] is the entry: it takes a message, the revision in force and the method of the
//! request that the message answers, picks the definitions from a table of that revision and
//! validates. Connections of the harness call it for every message that arrives.
//!
//! Invariant: a message without a definition is a misfit and never ignored. It deliberately lacks
//! rules that the schemas do not express, such as the correct error code.

mod check_result;
mod definitions;
mod official;

pub use check_result::{Misfit, check_schema};
pub use official::Revision;
