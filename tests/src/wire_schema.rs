//! The official schemas of the protocol, and which part of them a message of the server is held to.
//!
//! [`judge`] is the whole of it: it takes a message, the revision in force and the method of the
//! request that the message answers, picks the definitions from a table of that revision and
//! validates. Connections of the harness do so with everything that arrives.
//!
//! Invariant: a message for which there is no definition is a misfit and never passed over. What
//! it lacks on purpose: rules the schemas do not have words for, such as which error code fits.

mod check_result;
mod definitions;
mod official;

pub use check_result::{Misfit, judge};
pub use official::Revision;
