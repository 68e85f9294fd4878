//! Files of one directory as bytes: opened safely, read, listed, watched.
//!
//! Names come from peers. Invariant: for any name and any change of the directory meanwhile, no
//! byte from outside of it is read, and a peer cannot distinguish files outside from files that do
//! not exist. The kernel keeps that invariant, openat2(2): every lookup starts at the descriptor of
//! the root and is refused if it leaves.
//!
//! This module knows no MCP: the URI of a file, access rights and notifications of changes are
//! decided above. It writes nothing and keeps no content.

mod directory;
mod error;
mod limits;
mod list;
mod lookup;
mod media;
mod name;
mod opened;
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
