//! Which files there are.

use std::time::SystemTime;

use super::directory::{Directory, Root};
use super::error::FilesError;
use super::name;
use super::scan::Kind;

/// A file that can be read, as it was when it was listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name relative to the directory; [`Directory::read`] takes it.
    pub relative: String,
    /// Its size in bytes, which may exceed the limit on reads.
    pub size_bytes: u64,
    /// When its content was last modified.
    pub modified: SystemTime,
}

/// The files of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listing {
    /// The files, in the order of the bytes of their names.
    pub entries: Vec<Entry>,
    /// Whether these are all files down to the greatest depth. If not, there are more than the
    /// limit, and the file system decides which ones are missing.
    pub is_complete: bool,
}

impl Directory {
    /// The regular files that can be opened. Waits for the file system: for no shard's thread.
    ///
    /// # Errors
    /// [`FilesError::Io`] when the root itself cannot be read.
    pub(crate) fn list_blocking(&self) -> Result<Listing, FilesError> {
        let mut walk = Walk::new(&self.0);
        // The operator named the root: a failure to read it is reported.
        walk.look_into("")?;
        while walk.is_complete
            && let Some(directory) = walk.pending.pop()
        {
            // Below it, a directory that cannot be opened is skipped, like one that was just
            // removed.
            let _ = walk.look_into(&directory);
        }
        walk.entries
            .sort_unstable_by(|one, other| one.relative.cmp(&other.relative));
        Ok(Listing {
            entries: walk.entries,
            is_complete: walk.is_complete,
        })
    }

    /// The file `relative` as it is now, if it can be opened. Waits for the file system.
    pub(crate) fn entry(&self, relative: &str) -> Option<Entry> {
        self.0.entry(relative.to_owned())
    }
}

impl Root {
    fn entry(&self, relative: String) -> Option<Entry> {
        let opened = self.open_file(&relative).ok()?;
        Some(Entry {
            relative,
            size_bytes: opened.size_bytes,
            modified: opened.modified,
        })
    }
}

/// A walk through the directories below a root.
struct Walk<'a> {
    root: &'a Root,
    entries: Vec<Entry>,
    /// Directories to look into; bounded with those looked into already.
    pending: Vec<String>,
    directories_left: usize,
    is_complete: bool,
}

impl Walk<'_> {
    fn new(root: &Root) -> Walk<'_> {
        Walk {
            root,
            entries: Vec::new(),
            pending: Vec::new(),
            directories_left: root.limits.entries_max,
            is_complete: true,
        }
    }

    /// Lists the entries of `directory`.
    fn look_into(&mut self, directory: &str) -> Result<(), FilesError> {
        let root = self.root;
        root.scan(directory, root.limits.shows_hidden, |relative, kind| {
            self.take_up(relative, kind);
            self.is_complete
        })?;
        Ok(())
    }

    fn take_up(&mut self, relative: String, kind: Kind) {
        let limits = &self.root.limits;
        match kind {
            Kind::Directory if name::depth(&relative) > limits.depth_max => {}
            Kind::Directory if self.directories_left == 0 => self.is_complete = false,
            Kind::Directory => {
                self.directories_left -= 1;
                self.pending.push(relative);
            }
            Kind::Symlink if !limits.follow_symlinks => {}
            Kind::File | Kind::Symlink => {
                // Opening it as a read does shows whether it can be read.
                let Some(entry) = self.root.entry(relative) else {
                    return;
                };
                if self.entries.len() == limits.entries_max {
                    self.is_complete = false;
                    return;
                }
                self.entries.push(entry);
            }
        }
    }
}
