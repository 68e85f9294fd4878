//! Files up to a size: a longer one is an error, not a short text.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Reads a text file.
///
/// # Errors
/// Those of the file; [`io::ErrorKind::FileTooLarge`] for more than `bytes_max` bytes.
pub(crate) fn read(path: &Path, bytes_max: usize) -> io::Result<String> {
    text(File::open(path)?, bytes_max)
}

/// Reads all of a stream as text.
///
/// # Errors
/// As [`read`].
pub(crate) fn text(reader: impl Read, bytes_max: usize) -> io::Result<String> {
    let mut text = String::new();
    // One byte more shows that the file is longer.
    let bytes = reader
        .take(bytes_max as u64 + 1)
        .read_to_string(&mut text)?;
    match bytes > bytes_max {
        true => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("longer than limit of {bytes_max} bytes"),
        )),
        false => Ok(text),
    }
}
