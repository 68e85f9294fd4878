//! The access file of a server, as commands read it.

use std::path::Path;

use corelane_control::config::{Config, ConfigError, ServerFacts};

/// Reads the access file of a server with these facts.
///
/// # Errors
/// All of its faults.
pub(crate) fn read(path: &Path, facts: &ServerFacts) -> Result<Config, ConfigError> {
    Config::read(path, facts, &mut Vec::new())
}
