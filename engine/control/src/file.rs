//! Files that are named in a configuration.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
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

/// The same of a regular file.
///
/// # Errors
/// It cannot be opened, or it is not a regular file.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    let file = open_at_once(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a regular file")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::open_regular;

    #[test]
    fn a_pipe_is_refused_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, pipe) = (folder.path().join("file"), folder.path().join("pipe"));
        fs::write(&file, "text").expect("a file");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).expect("a pipe");
        assert!(open_regular(&file).is_ok());
        for path in [&pipe, folder.path()] {
            let refused = open_regular(path).expect_err("no file");
            assert_eq!(refused.to_string(), "it is not a regular file");
        }
        assert!(open_regular(&folder.path().join("absent")).is_err());
    }
}
