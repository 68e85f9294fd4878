//! The entries of one directory.

use rustix::fs::{AtFlags, Dir, FileType, statat};
use rustix::io::Errno;

use super::directory::Root;
use super::name::join;

/// The kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File,
    Symlink,
}

impl Root {
    /// Calls `visit` with the name, relative to the root, and the kind of each entry of
    /// `directory`, in no order, until it returns `false`. Skips entries that cannot be served:
    /// hidden ones unless `with_hidden`, names that are not UTF-8 or too long, pipes, sockets,
    /// devices.
    pub(super) fn scan(
        &self,
        directory: &str,
        with_hidden: bool,
        mut visit: impl FnMut(String, Kind) -> bool,
    ) -> Result<(), Errno> {
        let mut entries = Dir::new(self.open_directory(directory)?)?;
        while let Some(entry) = entries.read() {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            if matches!(name, "." | "..") || !with_hidden && name.starts_with('.') {
                continue;
            }
            let mut file_type = entry.file_type();
            if file_type == FileType::Unknown {
                // Some file systems do not report the kind; an entry that was removed meanwhile is
                // skipped.
                let status = statat(entries.fd()?, name, AtFlags::SYMLINK_NOFOLLOW);
                file_type = status.map_or(FileType::Unknown, |status| {
                    FileType::from_raw_mode(status.st_mode)
                });
            }
            let kind = match file_type {
                FileType::Directory => Kind::Directory,
                FileType::RegularFile => Kind::File,
                FileType::Symlink => Kind::Symlink,
                _ => continue,
            };
            let relative = join(directory, name);
            if relative.len() <= self.limits.path_bytes_max && !visit(relative, kind) {
                return Ok(());
            }
        }
        Ok(())
    }
}
