//! Why a file was not read. All but the last two are the fault of the peer's name.

use std::io;

use rustix::io::Errno;

/// Why a file was not read, or a directory not listed or watched.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// There is no such file, this process may not read it, or its name leads out of the directory:
    /// deliberately one answer, so that a peer learns nothing about files outside.
    #[error("no such file")]
    NotFound,
    /// The name is of a directory, a pipe, a socket or a device.
    #[error("not a regular file")]
    NotAFile,
    /// The file has more bytes than are read, or grew past the limit while it was read.
    #[error("file exceeds limit of {limit_bytes} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit_bytes: u64,
    },
    /// The queue of the offload pool is full, or the client has its share; later may be better.
    #[error("too many reads of files wait (offload.queue_max); try again later")]
    Overloaded,
    /// The system failed, not the peer.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl FilesError {
    /// The error that a peer gets for a failed lookup.
    pub(super) fn of_lookup(errno: Errno) -> FilesError {
        match errno {
            // The last three are the kernel's errors for a name that leaves the directory, a
            // symbolic link where none is followed, and a name that is too long for the file
            // system.
            Errno::NOENT
            | Errno::NOTDIR
            | Errno::ACCESS
            | Errno::PERM
            | Errno::XDEV
            | Errno::LOOP
            | Errno::NAMETOOLONG => FilesError::NotFound,
            // Sockets, and devices without a driver.
            Errno::NXIO | Errno::NODEV => FilesError::NotAFile,
            other => FilesError::Io(other.into()),
        }
    }
}

impl From<Errno> for FilesError {
    fn from(errno: Errno) -> FilesError {
        FilesError::Io(errno.into())
    }
}
