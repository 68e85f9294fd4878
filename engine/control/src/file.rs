//! Files that are named in a configuration.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a file for reading. A pipe is opened without its writer: to wait for one would stop the
/// control thread.
///
/// # Errors
/// It cannot be opened.
pub(crate) fn open_at_once(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    options.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    options.open(path)
}

/// What a regular file had when it was read.
pub(crate) struct Contents {
    pub(crate) bytes: Vec<u8>,
    /// Every user of this host can write the file, and so make itself anybody.
    pub(crate) is_writable_by_all: bool,
}

/// Reads a regular file; of a longer one, one byte more than `bytes_max`.
///
/// # Errors
/// It cannot be read, or it is not a regular file.
pub(crate) fn read_regular(path: &Path, bytes_max: usize) -> io::Result<Contents> {
    let file = open_at_once(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    Ok(Contents {
        bytes,
        is_writable_by_all: metadata.permissions().mode() & 0o002 != 0,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::read_regular;

    #[test]
    fn a_file_is_read_to_its_bound_and_a_pipe_is_refused_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, pipe) = (folder.path().join("file"), folder.path().join("pipe"));
        fs::write(&file, "text").expect("a file");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).expect("a pipe");
        for (bytes_max, expected) in [(5, "text"), (4, "text"), (2, "tex")] {
            let contents = read_regular(&file, bytes_max).expect("it is there");
            assert_eq!(contents.bytes, expected.as_bytes());
        }
        for path in [&pipe, folder.path()] {
            let refused = read_regular(path, 9).err().expect("no file");
            assert_eq!(refused.to_string(), "it is not a regular file");
        }
        assert!(read_regular(&folder.path().join("absent"), 9).is_err());
    }
}
