//! How much of a directory is seen.

/// The visible part of a directory, and its limits.
#[derive(Debug, Clone)]
pub struct DirectoryLimits {
    /// Bytes of a file. Each call that reads may hold this many.
    pub file_bytes_max: u64,
    /// Bytes of a name relative to the directory; the kernel takes no more than 4095.
    pub path_bytes_max: usize,
    /// Files that are listed, and directories that are looked into for them, at most each.
    pub entries_max: usize,
    /// Directories below each other that are listed and watched; 0 is the root alone.
    pub depth_max: usize,
    /// Directories that are watched.
    pub watches_max: usize,
    /// Names that start with a dot exist. Otherwise such a file is neither read nor listed.
    pub shows_hidden: bool,
    /// Symbolic links that stay beneath the directory are followed. Otherwise none is.
    pub follow_symlinks: bool,
}

impl Default for DirectoryLimits {
    fn default() -> DirectoryLimits {
        DirectoryLimits {
            file_bytes_max: 4 << 20,
            path_bytes_max: 1024,
            entries_max: 10_000,
            depth_max: 16,
            watches_max: 4096,
            shows_hidden: false,
            follow_symlinks: false,
        }
    }
}

impl DirectoryLimits {
    /// Whether an entry of this name exists for a peer.
    pub(super) fn is_shown(&self, name: &str) -> bool {
        self.shows_hidden || !name.starts_with('.')
    }
}
