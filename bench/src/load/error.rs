//! Errors of a run, in one line each, and their exit codes.

use super::mix::MixError;
use std::path::PathBuf;

/// The exit codes of `corelane-load`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The run was made, and nothing went wrong in it.
    Success = 0,
    /// The run was made, and requests failed in it, or a threshold was not kept.
    Failures = 1,
    /// The command line or a file it names is wrong.
    Usage = 2,
    /// The server cannot be reached, or does not answer as an MCP server.
    NoServer = 3,
    /// The run was made, and its figures must not be used: the generator was the bottleneck.
    Invalid = 4,
    /// The server went away in the middle.
    ServerGone = 5,
    /// Ctrl-C ended the run early; the report covers the time until then.
    Interrupted = 130,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A flag that parses and makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A file that cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that is not a mix.
    #[error("{path}: {source}", path = path.display())]
    Mix {
        /// Which.
        path: PathBuf,
        /// Why.
        source: MixError,
    },
    /// A host without an address.
    #[error("cannot look up {host}: {reason}")]
    UnknownHost {
        /// Which.
        host: String,
        /// Why.
        reason: String,
    },
    /// No connection could be made.
    #[error("cannot connect to {address}: {reason}")]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        reason: String,
    },
    /// Something answers, and not as an MCP server does.
    #[error("the first request to {url} failed: {reason}")]
    NotMcp {
        /// Where.
        url: String,
        /// The unexpected answer.
        reason: String,
    },
    /// This machine cannot make the run.
    #[error("{0}")]
    Machine(String),
}

impl LoadError {
    /// The exit code for it.
    pub fn exit(&self) -> Exit {
        match self {
            LoadError::Usage(_) | LoadError::File { .. } | LoadError::Mix { .. } => Exit::Usage,
            LoadError::Machine(_) => Exit::Invalid,
            LoadError::UnknownHost { .. }
            | LoadError::Unreachable { .. }
            | LoadError::NotMcp { .. } => Exit::NoServer,
        }
    }
}
