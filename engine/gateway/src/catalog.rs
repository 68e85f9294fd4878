//! The lists of upstreams: read page by page, and made into the entries that clients see.

mod entry;
mod merge;
mod walk;

pub use entry::{Entry, EntryError};
pub use merge::{Exposed, expose};
pub use walk::{ListKind, PageError, UpstreamList, Walk, WalkBound, WalkLimits};
