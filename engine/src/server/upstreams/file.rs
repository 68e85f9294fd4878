//! The upstreams of an access file.

use std::fs;
use std::path::Path;

use corelane_gateway::config::{self, Upstream};

use crate::server::error::{Error, Result};

/// The upstreams of the access file at `path`.
///
/// # Errors
/// It cannot be read, or has faults.
pub(super) fn upstreams_in(path: &Path) -> Result<Vec<Upstream>> {
    let text = fs::read_to_string(path)
        .map_err(|error| Error::Access(format!("{}: {error}", path.display())))?;
    upstreams_of(path, &text)
}

/// Those of its text.
///
/// # Errors
/// It has faults.
pub(in crate::server) fn upstreams_of(path: &Path, text: &str) -> Result<Vec<Upstream>> {
    config::parse(text).map_err(|error| {
        let faults = error.0.iter();
        let faults = faults.map(|finding| format!("{}: {finding}", path.display()));
        Error::Access(faults.collect::<Vec<_>>().join("\n"))
    })
}
