//! Files of one directory as bytes: opened safely, read by the shard's ring, listed, watched.
//!
//! Names come from peers. Invariant: whatever a name says and whatever happens to the directory
//! meanwhile, no byte from outside of it is read, and a peer cannot tell what lies outside from
//! what does not exist. The kernel keeps that invariant, openat2(2): every lookup starts at the
//! descriptor of the root and is refused if it leaves.
//!
//! This room knows no MCP: what a file is called in a URI, who may read it and who is told of a
//! change is decided above. It writes nothing and keeps no content.

mod directory;
mod error;
mod limits;
mod list;
mod lookup;
mod media;
mod name;
mod scan;
mod watch;

pub(crate) use directory::Directory;
pub use error::FilesError;
pub use limits::DirectoryLimits;
pub(crate) use list::Entry;
pub(crate) use media::{is_text, mime_of_name, mime_type};
pub(crate) use watch::Watch;
pub(crate) use watch::burst::Change;

#[cfg(test)]
mod tests;
