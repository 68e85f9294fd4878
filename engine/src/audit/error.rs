//! Why a server has no audit log.

use std::io;
use std::path::PathBuf;

use crate::guard::audit::KeyError;

/// Why there is no audit log. The operator is at fault, or the machine.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The directory or a file in it cannot be used.
    #[error("audit log {}: {error}", path.display())]
    Directory {
        /// The directory or file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// Everyone may replace files of the directory.
    #[error(
        "audit log {}: every user may write there: run chmod o-w {}", path.display(), path.display()
    )]
    DirectoryMode {
        /// The directory.
        path: PathBuf,
    },
    /// Another process writes there.
    #[error(
        "audit log {}: another process writes there: give each server a directory", .0.display()
    )]
    Locked(PathBuf),
    /// The last record cannot be continued.
    #[error(
        "audit log {}: the last record is damaged: run corelane audit verify on the directory, \
         keep it as evidence, and give the server another one", .0.display()
    )]
    Damaged(PathBuf),
    /// The file of a key cannot be read.
    #[error("audit key {}: {error}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// Others may read a key.
    #[error(
        "audit key {}: others than its owner and group may use it (mode {mode:o}): \
         run chmod o= {}", path.display(), path.display()
    )]
    KeyMode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A file has no key.
    #[error("audit key {}: {error}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The fault.
        error: KeyError,
    },
    /// The thread cannot be made.
    #[error("cannot start the thread that writes the audit log: {0}")]
    Thread(io::Error),
}
