//! A directory whose files are read, and the limits on them.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use super::error::FilesError;
use super::limits::DirectoryLimits;
use super::name;
use crate::handler::Call;
use corelane_io::executor::ReadFile;

/// The least bytes that one read of the ring requests, so that a file of unknown size, such as
/// those of proc(5), does not take an operation for each byte.
const READ_BYTES_MIN: u64 = 4 << 10;
/// The most bytes that one read of the ring requests: copying more at once would keep the shard
/// from other work.
const READ_BYTES_MAX: u64 = 256 << 10;

const _: () = assert!(READ_BYTES_MIN <= READ_BYTES_MAX);

/// A directory. Cheap to clone; shards share it.
///
/// It stays the directory that was opened, even if its path names another one later.
#[derive(Debug, Clone)]
pub(crate) struct Directory(pub(super) Arc<Root>);

/// The start of lookups.
#[derive(Debug)]
pub(super) struct Root {
    /// Opened with `O_PATH`: good for lookups and nothing else.
    pub(super) fd: OwnedFd,
    pub(super) limits: DirectoryLimits,
}

impl Directory {
    /// Opens the directory at `path`, which the operator chose: links in it are followed. Blocks.
    ///
    /// # Errors
    /// [`FilesError::Io`] when `path` is no directory or cannot be opened.
    pub(crate) fn open(path: &Path, limits: DirectoryLimits) -> Result<Directory, FilesError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Directory(Arc::new(Root { fd, limits })))
    }

    /// The content of the regular file `relative`, a percent-decoded path below this directory.
    ///
    /// For handlers: the shard does not wait. A name in the kernel's cache is looked up at once,
    /// any other on the offload pool; the bytes are read by the executor's ring. A file that is
    /// written meanwhile may be read half old and half new, as by any reader.
    ///
    /// # Errors
    /// Any of [`FilesError`].
    pub(crate) async fn read(&self, call: &Call, relative: &str) -> Result<Vec<u8>, FilesError> {
        let root = &self.0;
        name::check(relative, &root.limits)?;
        let opened = match root.open_cached_file(relative) {
            Some(opened) => opened?,
            None => {
                let (root, relative) = (Arc::clone(root), relative.to_owned());
                call.offload_file_lookup(move || root.open_file(&relative))
                    .await
                    .map_err(|_| FilesError::Overloaded)??
            }
        };
        let limit_bytes = root.limits.file_bytes_max;
        if opened.size_bytes > limit_bytes {
            return Err(FilesError::TooLarge { limit_bytes });
        }
        let file = ReadFile::new(opened.fd);
        read_whole(&file, opened.size_bytes, limit_bytes).await
    }
}

/// Reads a file that had `size_bytes` when it was opened, and may have any number by now.
pub(super) async fn read_whole(
    file: &ReadFile,
    size_bytes: u64,
    limit_bytes: u64,
) -> Result<Vec<u8>, FilesError> {
    // One byte more than expected is requested: a short read then shows the end.
    let mut content = Vec::with_capacity(size_bytes as usize + 1);
    loop {
        let had_bytes = content.len() as u64;
        let wanted_bytes = (size_bytes + 1)
            .saturating_sub(had_bytes)
            .clamp(READ_BYTES_MIN, READ_BYTES_MAX)
            .min(limit_bytes.saturating_add(1) - had_bytes);
        let count = file
            .read_at(had_bytes, wanted_bytes as usize, &mut content)
            .await? as u64;
        let have_bytes = had_bytes + count;
        if have_bytes > limit_bytes {
            return Err(FilesError::TooLarge { limit_bytes });
        }
        // A short read of a file of known size ends where the file does, once past that size.
        let is_whole = size_bytes > 0 && have_bytes >= size_bytes && count < wanted_bytes;
        if count == 0 || is_whole {
            return Ok(content);
        }
    }
}
