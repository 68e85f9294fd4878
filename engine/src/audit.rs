//! The audit log of a server: shards leave records, and one thread writes them.
//!
//! Each shard has an [`AuditPort`] with a ring of bytes, into which it packs records without
//! waiting or allocating. The thread takes them out, makes lines of them, chains and signs them
//! (see [`guard::audit`](crate::guard::audit)), and appends them to files. Events of the process go
//! through the [`AuditLog`].
//!
//! Invariant: the thread never discards a record that it took. While it cannot write, it takes no
//! more, so rings fill; a record that finds its ring full is counted, and the count is a record.

#[cfg(feature = "auth")]
mod error;
#[cfg(feature = "auth")]
mod files;
mod log;
mod port;
#[cfg(feature = "auth")]
mod start;
#[cfg(all(test, feature = "auth"))]
mod tests;
#[cfg(feature = "auth")]
mod writer;

#[cfg(feature = "auth")]
pub use error::AuditError;
pub use log::AuditLog;
pub(crate) use log::now_us;
pub use port::AuditPort;
#[cfg(feature = "auth")]
pub use start::{AuditThread, start};
