//! The plain descriptor of a connection that another process takes over.

use std::os::fd::{FromRawFd, OwnedFd};

/// The descriptor that the kernel made, or errno(3).
pub(super) fn shared(result: i32) -> Result<OwnedFd, i32> {
    match result {
        ..0 => Err(-result),
        // SAFETY: the kernel has just made this descriptor for this operation, whose only
        // completion this is: nothing else owns it.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
    }
}
