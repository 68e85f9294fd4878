//! From a name to a descriptor, without ever leaving the root.
//!
//! The kernel resolves the whole name in one call, openat2(2), so that renaming or replacing a file
//! between two steps cannot lead outside: there is one step only.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::UNIX_EPOCH;

use rustix::fs::{Mode, OFlags, ResolveFlags, fcntl_setfl, openat2};
use rustix::io::Errno;

use super::directory::Root;
use super::error::FilesError;
use super::opened::Opened;

/// How often a lookup is tried that a rename elsewhere in the system disturbed. The kernel requires
/// a retry if a rename crosses `..` in a symbolic link, because it cannot vouch for the name.
const ATTEMPTS_MAX: usize = 32;

impl Root {
    /// Opens the regular file `relative`. Blocks as long as the file system does.
    pub(super) fn open_file(&self, relative: &str) -> Result<Opened, FilesError> {
        for _ in 1..ATTEMPTS_MAX {
            match self.lookup_file(relative, ResolveFlags::empty()) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                ended => return regular(ended),
            }
        }
        regular(self.lookup_file(relative, ResolveFlags::empty()))
    }

    /// Opens the regular file `relative` if that needs no more than the kernel's cache of names;
    /// nothing if it might block.
    pub(super) fn open_cached_file(&self, relative: &str) -> Option<Result<Opened, FilesError>> {
        match self.lookup_file(relative, ResolveFlags::CACHED) {
            Err(Errno::AGAIN | Errno::INTR) => None,
            ended => Some(regular(ended)),
        }
    }

    /// Opens the directory `relative`, the root if that is empty, to list its entries. Follows no
    /// link: a directory that a link beneath the root leads to has a name of its own beneath the
    /// root.
    pub(super) fn open_directory(&self, relative: &str) -> Result<OwnedFd, Errno> {
        let relative = if relative.is_empty() { "." } else { relative };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = confined() | ResolveFlags::NO_SYMLINKS;
        rustix::io::retry_on_intr(|| openat2(&self.fd, relative, flags, Mode::empty(), resolve))
    }

    fn lookup_file(&self, relative: &str, resolve: ResolveFlags) -> Result<OwnedFd, Errno> {
        // Opening a pipe without a writer would wait for one, and opening a terminal would make it
        // the process's.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let mut resolve = resolve | confined();
        if !self.limits.follow_symlinks {
            resolve |= ResolveFlags::NO_SYMLINKS;
        }
        openat2(&self.fd, relative, flags, Mode::empty(), resolve)
    }
}

/// Never outside: neither by `..`, nor an absolute link, nor a magic link of proc(5). openat2(2)
/// recommends the second although the first includes it today.
fn confined() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS
}

/// The file behind a looked up descriptor, if it is a regular one.
fn regular(looked_up: Result<OwnedFd, Errno>) -> Result<Opened, FilesError> {
    let file = File::from(looked_up.map_err(FilesError::of_lookup)?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(FilesError::NotAFile);
    }
    // The flag for opening would make a read fail where it should wait for the disk.
    fcntl_setfl(&file, OFlags::empty())?;
    Ok(Opened {
        fd: file.into(),
        size_bytes: metadata.len(),
        modified: metadata.modified().unwrap_or(UNIX_EPOCH),
    })
}
