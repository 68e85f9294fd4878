//! The audit log: records, the chain over them, and its verification.
//!
//! A [`Record`] is one event. The writer makes a JSON line of each, and every line has the hash of
//! the line before it, so a record cannot be changed, removed or moved without a trace. Checkpoints
//! sign the chain so far: a record that a checkpoint covers cannot be changed by anyone without the
//! key, not even with a new chain over all lines. Nothing of it proves that a server recorded all
//! events.
//!
//! Nothing here opens a file or reads a clock; the writer and the commands do.

#[cfg(feature = "auth")]
mod chain;
mod event;
#[cfg(feature = "auth")]
mod key;
#[cfg(feature = "auth")]
mod line;
mod record;
mod settings;
#[cfg(feature = "auth")]
mod verify;

#[cfg(feature = "auth")]
pub use chain::{Chain, Head, HeadError};
pub use event::Event;
#[cfg(feature = "auth")]
pub use key::{ArgumentsKey, KeyError, SigningKey, VerifyingKey};
pub use record::{PACKED_BYTES_MAX, Record, TEXT_BYTES_MAX};
pub use settings::{AuditSettings, AuditText, OnFailure, RecordedArguments, RecordedCalls};
pub use settings::{FIELDS_MAX, SettingsFault, Sync, TOOLS_MAX};
#[cfg(feature = "auth")]
pub use verify::{Broken, Fault, LastRecord, Summary, Verifier};

/// The version of the format of lines.
pub const VERSION: u8 = 1;
/// The longest line, in bytes with its end.
pub const LINE_BYTES_MAX: usize = 2048;
/// The most records between two checkpoints of a log with a key.
pub const CHECKPOINT_RECORDS_MAX: u64 = 10_000;
/// The outcome of the last checkpoint of a writer that stops in order.
pub const STOPPED: &str = "stopped";
/// The longest name of a node, in bytes.
pub const NODE_BYTES_MAX: usize = 64;

/// Whether a text can name a node, in records and in names of files: 1 to [`NODE_BYTES_MAX`]
/// letters, digits, dots, underscores and hyphens, and no dot at the start.
///
/// ```
/// assert!(corelane_guard::audit::is_node_name("host-1.example.com"));
/// assert!(!corelane_guard::audit::is_node_name("../host"));
/// ```
pub fn is_node_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=NODE_BYTES_MAX).contains(&text.len())
        && !text.starts_with('.')
        && text.bytes().all(is_allowed)
}

/// The private key of RFC 8410 10.3, which is public.
#[cfg(all(test, feature = "auth"))]
fn test_key() -> String {
    let base64 = "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC";
    let label = "PRIVATE KEY";
    format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
}
