//! Keeps huge pages away from the memory that a starting server registers with the kernel.
//!
//! The executor of each shard registers 64 KiB with each of its three rings. Registered memory
//! counts as locked memory in whole pages (io_uring_register(2)): where the allocator has backed it
//! with a huge page of 2 MiB, a shard takes 6 MiB of RLIMIT_MEMLOCK, which is 8 MiB for an ordinary
//! user. Pages that are touched later may be huge again.

use rustix::thread::{disable_transparent_huge_pages, transparent_huge_pages_are_disabled};

/// While this exists, memory of the process that is touched for the first time gets small pages.
///
/// The switch is one of the process: of two servers that start at once, the first that is ready
/// turns huge pages on again, and the other one may lock more.
pub(super) struct SmallPages {
    were_disabled: bool,
}

impl SmallPages {
    pub(super) fn begin() -> SmallPages {
        // A kernel without huge pages refuses, and needs nothing.
        let were_disabled = transparent_huge_pages_are_disabled().unwrap_or(true);
        if !were_disabled {
            let _ = disable_transparent_huge_pages(true);
        }
        SmallPages { were_disabled }
    }
}

impl Drop for SmallPages {
    fn drop(&mut self) {
        if !self.were_disabled {
            let _ = disable_transparent_huge_pages(false);
        }
    }
}
