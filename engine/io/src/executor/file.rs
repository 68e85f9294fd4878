//! An open file that the executor's ring reads, io_uring(7), while the shard runs on.

use std::io;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};

use glommio::io::BufferedFile;

/// A regular file to be read by the shard that made this. Closed by the ring when dropped.
pub struct ReadFile(BufferedFile);

impl ReadFile {
    /// Takes over `fd`. Only within a running executor.
    pub fn new(fd: OwnedFd) -> ReadFile {
        // SAFETY: `into_raw_fd` gave up an open descriptor, which nothing else owns.
        ReadFile(unsafe { BufferedFile::from_raw_fd(fd.into_raw_fd()) })
    }

    /// Appends up to `bytes_max` bytes of the file from `position` on to `into`, and returns the
    /// count; 0 means the end of the file. Dropping the future cancels the read.
    ///
    /// Like a timer, it continues when the executor looks at its ring, which it does when none of
    /// its tasks can run: a shard that finds work in each of its turns delays it.
    ///
    /// # Errors
    /// The kernel's error for the read.
    pub async fn read_at(
        &self,
        position: u64,
        bytes_max: usize,
        into: &mut Vec<u8>,
    ) -> io::Result<usize> {
        let read = self.0.read_at(position, bytes_max).await?;
        into.extend_from_slice(&read);
        Ok(read.len())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::ReadFile;
    use crate::executor::Executor;

    #[test]
    fn reads_pieces_up_to_the_end() {
        let mut file = tempfile::NamedTempFile::new().expect("a file can be made");
        file.write_all(b"0123456789").expect("it can be written");
        let file = File::open(file.path()).expect("it can be read");
        Executor::of_test().run(async move {
            let file = ReadFile::new(file.into());
            for (position, bytes_max, expected) in
                [(0, 4, "0123"), (4, 100, "456789"), (10, 5, ""), (99, 5, "")]
            {
                let mut read = b"kept ".to_vec();
                let count = file.read_at(position, bytes_max, &mut read).await;
                assert_eq!(count.expect("it is a file"), expected.len());
                assert_eq!(read, format!("kept {expected}").as_bytes());
            }
        });
    }

    #[test]
    fn reports_the_fault_of_a_name_that_is_not_a_file() {
        let directory = File::open("/").expect("every system has a root");
        Executor::of_test().run(async move {
            let read = ReadFile::new(directory.into());
            let error = read.read_at(0, 1, &mut Vec::new()).await;
            let error = error.expect_err("a directory has no bytes");
            assert_eq!(error.kind(), std::io::ErrorKind::IsADirectory);
        });
    }
}
