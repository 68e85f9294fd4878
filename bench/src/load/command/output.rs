//! Where results go: standard output and files.

use crate::load::error::LoadError;
use std::fs;
use std::io::Write;
use std::path::Path;

/// Prints to standard output; a reader that went away is no failure of the run.
pub(super) fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}

/// Writes a file that the command line named, if it named one.
pub(super) fn write_file(
    path: Option<&Path>,
    content: impl FnOnce() -> String,
) -> Result<(), LoadError> {
    let Some(path) = path else {
        return Ok(());
    };
    fs::write(path, content()).map_err(|source| LoadError::File {
        path: path.to_owned(),
        source,
    })
}
