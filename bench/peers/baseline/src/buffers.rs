//! Receive buffers shared by all connections: the kernel takes one when bytes arrive, we hand it
//! back when they are read (io_uring_register_buf_ring(3)).
//!
//! An idle connection therefore owns no buffer. Every buffer handed back within a turn is published
//! once, at its end.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

/// Bytes of a buffer: one request of the workloads with room to spare.
const BUFFER_BYTES: usize = 2048;
/// Buffers in the ring, a power of two. Running out costs a re-arm, not a connection.
const BUFFERS: u16 = 512;
/// The group that receives name; there is only one.
pub const GROUP: u16 = 0;

const _: () = assert!(BUFFERS.is_power_of_two());

/// The buffers and the ring of entries through which the kernel is given them.
pub struct Buffers {
    entries: Mapping,
    bytes: Mapping,
    tail: u16,
}

impl Buffers {
    /// Maps the memory. Must outlive the ring it is registered with.
    ///
    /// # Errors
    /// The kernel has no memory for them.
    pub fn map() -> io::Result<Self> {
        Ok(Self {
            entries: Mapping::new(usize::from(BUFFERS) * size_of::<BufRingEntry>())?,
            bytes: Mapping::new(usize::from(BUFFERS) * BUFFER_BYTES)?,
            tail: 0,
        })
    }

    /// Makes the ring known to the kernel and fills it.
    ///
    /// # Errors
    /// The kernel refuses the registration.
    pub fn register(&mut self, submitter: &Submitter<'_>) -> io::Result<()> {
        let address = self.entries.start.as_ptr() as u64;
        // SAFETY: `entries` is page-aligned, holds BUFFERS entries, and is unmapped only when
        // `self` is dropped, which the caller of `map` does after the ring is gone.
        unsafe { submitter.register_buf_ring_with_flags(address, BUFFERS, GROUP, 0) }?;
        for id in 0..BUFFERS {
            self.hand_back(id);
        }
        self.publish();
        Ok(())
    }

    /// The bytes that the kernel wrote into buffer `id`, which is ours until it is handed back.
    pub fn received(&mut self, id: u16, bytes: usize) -> &mut [u8] {
        assert!(id < BUFFERS && bytes <= BUFFER_BYTES);
        let start = usize::from(id) * BUFFER_BYTES;
        // SAFETY: in bounds by the assert; the kernel does not write to a buffer it has completed
        // until `publish` gives it back, which needs `&mut self` and so ends this borrow.
        unsafe { std::slice::from_raw_parts_mut(self.bytes.start.as_ptr().add(start), bytes) }
    }

    /// Puts buffer `id` at the end of the ring; the kernel sees it at the next
    /// [`Buffers::publish`].
    pub fn hand_back(&mut self, id: u16) {
        assert!(id < BUFFERS);
        let at = usize::from(self.tail & (BUFFERS - 1));
        // SAFETY: `at` is below BUFFERS, the number of entries mapped; the kernel reads an entry
        // only between its head and the published tail, and this one lies past the tail.
        let entry = unsafe { &mut *self.entries.start.cast::<BufRingEntry>().as_ptr().add(at) };
        // SAFETY: in bounds by the assert above.
        let buffer = unsafe {
            self.bytes
                .start
                .as_ptr()
                .add(usize::from(id) * BUFFER_BYTES)
        };
        entry.set_addr(buffer as u64);
        entry.set_len(BUFFER_BYTES as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel every buffer handed back so far.
    pub fn publish(&mut self) {
        let first = self.entries.start.cast::<BufRingEntry>().as_ptr();
        // SAFETY: `first` points to the first of the mapped entries, and in its reserved field the
        // shared tail lies.
        let tail = unsafe { BufRingEntry::tail(first) };
        // SAFETY: the tail is aligned, mapped as long as `self`, and only this method writes it;
        // the kernel reads it atomically.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        // Release: the entries are written before the tail that covers them is seen.
        tail.store(self.tail, Ordering::Release);
    }
}

/// Anonymous zeroed pages, unmapped on drop.
struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

impl Mapping {
    fn new(bytes: usize) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_ANONYMOUS | libc::MAP_PRIVATE;
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice touches nothing.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).expect("a mapping never starts at address zero");
        Ok(Self { start, bytes })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly the range `new` mapped, and no borrow of it is left: all are tied to
        // the owner that is being dropped.
        let result = unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
        debug_assert_eq!(result, 0);
    }
}
