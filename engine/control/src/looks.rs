//! Notices files that were written or replaced.
//!
//! Simple version: watch them with inotify. Deviation: secrets and configurations are often links
//! to links that are swapped, on file systems that report nothing. A look at a few files once a
//! second costs less than either.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The properties of a file that differ when it was replaced or written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    device: u64,
    inode: u64,
    bytes: u64,
    mode: u32,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Decides when changed files are read: when they were the same for two looks, because several are
/// rarely replaced at the same time.
#[derive(Debug)]
pub struct Looks {
    files: Vec<PathBuf>,
    /// As they were read.
    read: Vec<Option<Mark>>,
    last: Vec<Option<Mark>>,
}

impl Looks {
    /// Looks at these files, which are read after this.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("f");
    /// use corelane_control::looks::Looks;
    ///
    /// let mut looks = Looks::new(vec![path.clone()]);
    /// std::fs::write(&path, "changed")?;
    /// assert!(!looks.are_due(), "it may change still");
    /// assert!(looks.are_due());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(files: Vec<PathBuf>) -> Looks {
        let read = marks(&files);
        let last = read.clone();
        Looks { files, read, last }
    }

    /// Looks at the files once more, and says whether they are to be read again.
    pub fn are_due(&mut self) -> bool {
        let now = marks(&self.files);
        let is_stable = now == self.last;
        self.last = now;
        let is_due = is_stable && self.last != self.read;
        if is_due {
            self.read.clone_from(&self.last);
        }
        is_due
    }
}

/// The marks of files; one that cannot be seen has none.
fn marks(files: &[PathBuf]) -> Vec<Option<Mark>> {
    files.iter().map(|path| mark(path).ok()).collect()
}

fn mark(path: &Path) -> io::Result<Mark> {
    let metadata = fs::metadata(path)?;
    Ok(Mark {
        device: metadata.dev(),
        inode: metadata.ino(),
        bytes: metadata.size(),
        mode: metadata.mode(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::Looks;
    use std::fs;

    #[test]
    fn files_are_read_once_when_they_no_longer_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a"), "1").expect("a file");
        let mut looks = Looks::new(vec![path("a"), path("b")]);
        assert_eq!([looks.are_due(), looks.are_due()], [false, false]);
        fs::write(path("a"), "22").expect("a file");
        assert!(!looks.are_due());
        fs::write(path("b"), "1").expect("a file");
        assert!(!looks.are_due(), "the other one changed since");
        assert_eq!([looks.are_due(), looks.are_due()], [true, false]);
        fs::write(path("c"), "1").expect("a file");
        fs::rename(path("c"), path("b")).expect("a rename");
        assert_eq!([looks.are_due(), looks.are_due()], [false, true]);
        fs::remove_file(path("a")).expect("a file");
        assert_eq!([looks.are_due(), looks.are_due()], [false, true]);
    }
}
