//! Why the control thread does not start, or does not use a configuration.

use crate::config::ConfigError;
use crate::fetch::FetchError;

/// Why the control thread did not start, or does not use a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The configuration has faults.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No requests can be made.
    #[error("requests to issuers cannot be made: {0}")]
    Fetch(#[from] FetchError),
    /// The thread cannot be started.
    #[error("the control thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
    /// The thread has too much to do, or its files are on a disk that does not answer.
    #[error("the control thread does not answer: try again in a moment")]
    Busy,
}
