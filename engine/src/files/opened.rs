//! A file that was looked up, and its content.

use std::fs::File;
use std::io::{IoSliceMut, Read};
use std::os::fd::OwnedFd;
use std::time::SystemTime;

use rustix::io::{ReadWriteFlags, preadv2};

use super::error::FilesError;

/// Bytes of a file that the shard copies out of the kernel's cache itself, in some 10 us. A larger
/// file is read on the pool.
const CACHED_READ_BYTES_MAX: u64 = 64 << 10;

/// A regular file, open for reading.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) fd: OwnedFd,
    pub(super) size_bytes: u64,
    pub(super) modified: SystemTime,
}

impl Opened {
    /// The content if the kernel has all of it in its cache, and it is small.
    pub(super) fn read_cached(&self) -> Option<Vec<u8>> {
        // The size of a file of proc(5) is not known.
        if !(1..=CACHED_READ_BYTES_MAX).contains(&self.size_bytes) {
            return None;
        }
        let size = self.size_bytes as usize;
        // One byte more: not getting it is how the end is known.
        let mut content = vec![0; size + 1];
        let mut into = [IoSliceMut::new(&mut content)];
        let read = preadv2(&self.fd, &mut into, 0, ReadWriteFlags::NOWAIT);
        (read == Ok(size)).then(|| {
            content.truncate(size);
            content
        })
    }

    /// The content of a file that may have another size by now. Blocks.
    ///
    /// # Errors
    /// [`FilesError::TooLarge`] past `limit_bytes`, and what the system says of the read.
    pub(super) fn read_whole(self, limit_bytes: u64) -> Result<Vec<u8>, FilesError> {
        if self.size_bytes > limit_bytes {
            return Err(FilesError::TooLarge { limit_bytes });
        }
        let mut content = Vec::with_capacity(self.size_bytes as usize + 1);
        let file = File::from(self.fd);
        let most = limit_bytes.saturating_add(1);
        file.take(most).read_to_end(&mut content)?;
        match content.len() as u64 <= limit_bytes {
            true => Ok(content),
            false => Err(FilesError::TooLarge { limit_bytes }),
        }
    }
}
