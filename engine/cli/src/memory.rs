//! Returns freed memory to the system.
//!
//! mimalloc returns the pages that have been free for a second, but it looks for them only when
//! another page is freed. A server that goes quiet after a burst frees none, and would keep the
//! memory of the burst for ever. A page that is freed every second makes it look. Returning pages
//! at once was rejected: with large messages the kernel would clear each page again for every
//! message.

use std::hint::black_box;
use std::thread;
use std::time::Duration;

/// The time for which mimalloc keeps free pages.
const INTERVAL: Duration = Duration::from_secs(1);
/// Large enough that the block is a page of its own in mimalloc.
const BLOCK_BYTES: usize = 1 << 20;

/// Starts a thread that makes mimalloc return freed memory within some seconds, for as long as the
/// process runs. Without the thread, the memory stays with the process and is used again.
pub(crate) fn give_back_when_freed() {
    let started = thread::Builder::new().name("memory".into()).spawn(|| {
        loop {
            thread::sleep(INTERVAL);
            drop(black_box(Vec::<u8>::with_capacity(BLOCK_BYTES)));
        }
    });
    if let Err(error) = started {
        eprintln!("corelane: freed memory stays with the process: {error}");
    }
}
