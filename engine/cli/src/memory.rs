//! Gives memory that was freed back to the system.
//!
//! mimalloc gives back the pages that have been free for a second, but it looks for them only when
//! another page is freed. A server that goes quiet after a burst frees none, and would hold the
//! memory of the burst for ever. A page that is freed every second makes it look. Giving pages back
//! at once was rejected: a server that handles large messages would have the kernel clear each of
//! their pages again for every message.

use std::hint::black_box;
use std::thread;
use std::time::Duration;

/// As long as pages stay free before mimalloc gives them back.
const INTERVAL: Duration = Duration::from_secs(1);
/// More than shares a page with anything else: such a block is a page of its own.
const BLOCK_BYTES: usize = 1 << 20;

/// Starts a thread that has freed memory given back within some seconds, for as long as the process
/// runs. Without the thread, the memory stays with the process and is used again.
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
