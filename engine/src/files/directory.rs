//! A directory whose files are read, and the limits on them.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use super::error::FilesError;
use super::limits::DirectoryLimits;
use super::name;
use crate::handler::Call;

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
    /// For handlers: the shard does not wait. A small file whose name and content the kernel has in
    /// its caches is read at once, any other on the offload pool. The pool owns the memory that it
    /// reads into, so a shard can end while the kernel still reads. A file that is written
    /// meanwhile may be read half old and half new, as by any reader.
    ///
    /// # Errors
    /// Any of [`FilesError`].
    pub(crate) async fn read(&self, call: &Call, relative: &str) -> Result<Vec<u8>, FilesError> {
        let root = &self.0;
        name::check(relative, &root.limits)?;
        let opened = root.open_cached_file(relative).transpose()?;
        let cached = opened.as_ref().and_then(|opened| {
            let is_small = opened.size_bytes <= root.limits.file_bytes_max;
            is_small.then(|| opened.read_cached()).flatten()
        });
        if let Some(content) = cached {
            return Ok(content);
        }
        let (root, relative) = (Arc::clone(root), relative.to_owned());
        let read = move || {
            let opened = opened.map_or_else(|| root.open_file(&relative), Ok)?;
            opened.read_whole(root.limits.file_bytes_max)
        };
        let read = call.offload_file_read(read).await;
        read.map_err(|_| FilesError::Overloaded)?
    }
}
