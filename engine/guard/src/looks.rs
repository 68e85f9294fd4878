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

/// Decides when changed files are read.
#[derive(Debug)]
pub struct Looks {
    files: Vec<PathBuf>,
    marks: Stable<Vec<Option<Mark>>>,
}

/// Decides when a value is taken over that was looked at: when it was the same for two looks,
/// because several files are rarely replaced at the same time.
#[derive(Debug)]
struct Stable<T> {
    /// As it was read.
    read: T,
    last: T,
}

impl<T: Clone + PartialEq> Stable<T> {
    fn new(read: T) -> Stable<T> {
        let last = read.clone();
        Stable { read, last }
    }

    /// Whether the value is to be read, which looks like `now`.
    fn is_due(&mut self, now: T) -> bool {
        let is_stable = now == self.last;
        self.last = now;
        let is_due = is_stable && self.last != self.read;
        if is_due {
            self.read = self.last.clone();
        }
        is_due
    }
}

impl Looks {
    /// Looks at these files, which are read after this.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("f");
    /// use corelane_guard::looks::Looks;
    ///
    /// let mut looks = Looks::new(vec![path.clone()]);
    /// std::fs::write(&path, "changed")?;
    /// assert!(!looks.are_due(), "it may change still");
    /// assert!(looks.are_due());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(files: Vec<PathBuf>) -> Looks {
        let marks = Stable::new(marks(&files));
        Looks { files, marks }
    }

    /// Looks at the files once more, and says whether they are to be read again.
    pub fn are_due(&mut self) -> bool {
        self.marks.is_due(marks(&self.files))
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
    use super::{Looks, Stable};
    use std::fs;

    #[test]
    fn a_value_is_read_once_when_it_no_longer_changes() {
        let mut value = Stable::new(0);
        let due: Vec<bool> = [0, 0, 1, 1, 1, 2, 3, 3, 3, 4, 3, 3]
            .into_iter()
            .map(|look| value.is_due(look))
            .collect();
        let read: Vec<usize> = (0..due.len()).filter(|at| due[*at]).collect();
        assert_eq!(read, [3, 7]);
    }

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
