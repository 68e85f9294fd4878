//! The buffers a ring receives into: io_uring_register_buf_ring(3).
//!
//! Simple version: give the kernel all buffers, take the one each completion names, put it back at
//! the end. Deviation: the kernel takes buffers in the order given, so that version walks through
//! all the memory even if little is in use. Here buffers wait in a stack of our own, and before
//! each submission the kernel is offered just as many as receives are under way: the buffer used
//! last is used next, and memory touched follows the burst, not the pool.
//!
//! Invariant: a buffer is in exactly one of three states: free (in the stack), offered (the kernel
//! may write to it) or held (a [`BufferId`] exists for it). Only a held buffer can be read or
//! written here.

use io_uring::Submitter;
use io_uring::types::BufRingEntry;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

/// The most buffers a ring may have: io_uring_register_buf_ring(3).
pub const BUFFERS_MAX: u16 = 1 << 15;

/// The right to one received buffer: read it, then hand it to [`BufferRing::recycle`].
///
/// It is not `Clone`, because a buffer recycled twice would be given to two receives.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a buffer that is not recycled is lost to its ring"]
pub struct BufferId(u16);

/// All receive buffers of one ring; see the module's text.
#[derive(Debug)]
pub struct BufferRing {
    entries: Mapping,
    memory: Mapping,
    group: u16,
    count: u16,
    buffer_bytes: usize,
    /// The next entry to write, modulo 2^16; the kernel reads its copy behind the first entry.
    tail: u16,
    free: Vec<u16>,
    /// Buffers that the kernel has and has not used, by the completions reaped so far.
    offered: usize,
    held: Vec<bool>,
    held_count: usize,
}

impl BufferRing {
    /// Registers `count` buffers, a power of two up to [`BUFFERS_MAX`], of `buffer_bytes` each, as
    /// the buffer group `group` of the ring behind `submitter`.
    ///
    /// The caller must call [`unregister`](BufferRing::unregister), or close the ring with no
    /// receive under way, before it drops this.
    ///
    /// # Errors
    /// The error of mmap(2) or io_uring_register(2).
    pub(crate) fn register(
        submitter: &Submitter<'_>,
        group: u16,
        count: u16,
        buffer_bytes: u32,
    ) -> io::Result<BufferRing> {
        let buffers = BufferRing::map(group, count, buffer_bytes)?;
        let address = buffers.entries.start.as_ptr() as u64;
        // SAFETY: the mapping has room for `count` entries; it lives as long as this value, which
        // outlives the registration as the contract above says.
        unsafe { submitter.register_buf_ring_with_flags(address, count, group, 0) }?;
        Ok(buffers)
    }

    /// Buffers that no kernel knows of yet.
    fn map(group: u16, count: u16, buffer_bytes: u32) -> io::Result<BufferRing> {
        assert!(count.is_power_of_two() && count <= BUFFERS_MAX);
        let buffer_bytes = buffer_bytes as usize;
        let entries = Mapping::anonymous(usize::from(count) * size_of::<BufRingEntry>())?;
        let memory = Mapping::anonymous(usize::from(count) * buffer_bytes)?;
        Ok(BufferRing {
            entries,
            memory,
            group,
            count,
            buffer_bytes,
            tail: 0,
            free: (0..count).rev().collect(),
            offered: 0,
            held: vec![false; usize::from(count)],
            held_count: 0,
        })
    }

    /// Ends the kernel's use of the buffers.
    pub(crate) fn unregister(&mut self, submitter: &Submitter<'_>) -> io::Result<()> {
        submitter.unregister_buf_ring(self.group)
    }

    /// The first `bytes` of a held buffer.
    ///
    /// # Panics
    /// If the buffer belongs to another ring or is shorter than `bytes`.
    pub fn bytes(&self, buffer: &BufferId, bytes: usize) -> &[u8] {
        let start = self.start_of_held(buffer, bytes);
        // SAFETY: the range is within the mapping, which starts zeroed; a held buffer is ours
        // until it is recycled, which needs `&mut self` (both checked in `start_of_held`).
        unsafe { std::slice::from_raw_parts(start, bytes) }
    }

    /// The first `bytes` of a held buffer, for parsing in place.
    ///
    /// # Panics
    /// If the buffer belongs to another ring or is shorter than `bytes`.
    pub fn bytes_mut(&mut self, buffer: &BufferId, bytes: usize) -> &mut [u8] {
        let start = self.start_of_held(buffer, bytes);
        // SAFETY: the range is within the mapping, which starts zeroed; a held buffer is ours
        // until it is recycled (both checked in `start_of_held`), and `&mut self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(start, bytes) }
    }

    /// Takes a buffer back; the kernel gets it with a later submission.
    ///
    /// # Panics
    /// If the buffer belongs to another ring.
    pub fn recycle(&mut self, buffer: BufferId) {
        let held = &mut self.held[usize::from(buffer.0)];
        assert!(*held, "buffer {} is not held", buffer.0);
        *held = false;
        self.held_count -= 1;
        self.free.push(buffer.0);
    }

    /// How many buffers there are.
    pub fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// Bytes of one buffer.
    pub fn buffer_bytes(&self) -> usize {
        self.buffer_bytes
    }

    /// The number of buffers that were received and not recycled.
    pub fn held(&self) -> usize {
        self.held_count
    }

    pub(crate) fn group(&self) -> u16 {
        self.group
    }

    /// Offers the kernel buffers until it has one for each of `receives` receives under way, or
    /// none is free.
    pub(crate) fn offer(&mut self, receives: usize) {
        if self.offered >= receives || self.free.is_empty() {
            return;
        }
        while self.offered < receives {
            let Some(id) = self.free.pop() else { break };
            self.write_entry(id);
            self.tail = self.tail.wrapping_add(1);
            self.offered += 1;
        }
        let entries = self.entries.start.cast::<BufRingEntry>().as_ptr();
        // SAFETY: `entries` is the first entry of the registered ring, zeroed by mmap(2).
        let tail = unsafe { BufRingEntry::tail(entries) };
        // SAFETY: the tail is aligned, lives as long as the mapping, and is written by this
        // thread alone; the kernel reads it.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        // The kernel must see the entries before it sees a tail that includes them.
        tail.store(self.tail, Ordering::Release);
    }

    /// Records that a completion handed over the buffer `id`.
    pub(crate) fn hold(&mut self, id: u16) -> BufferId {
        let held = &mut self.held[usize::from(id)];
        assert!(!*held, "the kernel used buffer {id}, which is held");
        *held = true;
        self.held_count += 1;
        self.offered -= 1;
        BufferId(id)
    }

    fn write_entry(&mut self, id: u16) {
        let slot = usize::from(self.tail & (self.count - 1));
        let entries = self.entries.start.cast::<BufRingEntry>().as_ptr();
        // SAFETY: `slot` is below `count`, the number of entries in the mapping.
        let entry = unsafe { entries.add(slot) };
        // SAFETY: the entry is aligned and zeroed by mmap(2), and the kernel does not read it
        // before the tail passes it: at most `count` buffers exist, so it was consumed before.
        let entry = unsafe { &mut *entry };
        // The fields are set one by one: the first entry's fourth field is the ring's tail.
        entry.set_addr(self.start_of(id) as u64);
        entry.set_len(self.buffer_bytes as u32);
        entry.set_bid(id);
    }

    fn start_of(&self, id: u16) -> *mut u8 {
        let offset = usize::from(id) * self.buffer_bytes;
        assert!(offset + self.buffer_bytes <= self.memory.bytes);
        // SAFETY: the offset is within the mapping, as the line above checks.
        unsafe { self.memory.start.as_ptr().add(offset) }
    }

    fn start_of_held(&self, buffer: &BufferId, bytes: usize) -> *mut u8 {
        assert!(
            bytes <= self.buffer_bytes,
            "{bytes} bytes exceed a buffer of {}",
            self.buffer_bytes
        );
        let is_held = self.held[usize::from(buffer.0)];
        assert!(is_held, "buffer {} is not held", buffer.0);
        self.start_of(buffer.0)
    }
}

/// The operations of a model of the kernel.
#[cfg(any(test, feature = "test-support"))]
impl BufferRing {
    /// Buffers for a ring over a model of the kernel.
    pub(crate) fn unregistered(count: u16, buffer_bytes: u32) -> io::Result<BufferRing> {
        BufferRing::map(0, count, buffer_bytes)
    }

    /// The buffer in the entry `head`, if it was offered.
    pub(crate) fn offered_at(&self, head: u16) -> Option<u16> {
        if head == self.tail {
            return None;
        }
        let slot = usize::from(head & (self.count - 1));
        let entries = self.entries.start.cast::<BufRingEntry>().as_ptr();
        // SAFETY: `slot` is below `count`, the number of entries in the mapping.
        let entry = unsafe { entries.add(slot) };
        // SAFETY: the entry is aligned, and zeroed by mmap(2) or written by `write_entry`.
        Some(unsafe { &*entry }.bid())
    }

    /// Writes received bytes to a buffer that was offered.
    pub(crate) fn fill(&mut self, id: u16, bytes: &[u8]) {
        assert!(bytes.len() <= self.buffer_bytes);
        assert!(!self.held[usize::from(id)], "buffer {id} is held");
        let start = self.start_of(id);
        // SAFETY: the range is within the mapping; an offered buffer has no borrower.
        unsafe { std::slice::from_raw_parts_mut(start, bytes.len()) }.copy_from_slice(bytes);
    }
}

/// Private zeroed memory from mmap(2), touched only where it is used.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

impl Mapping {
    fn anonymous(bytes: usize) -> io::Result<Mapping> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a mapping at an address of the kernel's choice overlaps nothing of ours.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { start, bytes })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the whole mapping made above; the borrows handed out have ended, and
        // the kernel's use has too, by the contract of `BufferRing::register`.
        let outcome = unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
        debug_assert_eq!(outcome, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::BufferRing;
    use io_uring::IoUring;

    fn check(count: u16, receives: usize, offered: usize) {
        let uring = IoUring::new(8).unwrap();
        let mut buffers = BufferRing::register(&uring.submitter(), 0, count, 512).unwrap();
        buffers.offer(receives);
        assert_eq!(buffers.offered, offered);
        buffers.offer(receives);
        assert_eq!(buffers.offered, offered);
        assert_eq!(buffers.free.len() + offered, buffers.count());
        buffers.unregister(&uring.submitter()).unwrap();
    }

    #[test]
    fn offers_one_buffer_a_receive_while_there_are_some() {
        check(8, 0, 0);
        check(8, 3, 3);
        check(8, 8, 8);
        check(8, 9, 8);
        check(1, 2, 1);
    }

    #[test]
    fn the_buffer_used_last_is_used_next() {
        let uring = IoUring::new(8).unwrap();
        let mut buffers = BufferRing::register(&uring.submitter(), 0, 8, 512).unwrap();
        for round in 0..100_000_u32 {
            buffers.offer(1);
            let buffer = buffers.hold(0);
            assert_eq!(buffers.held(), 1);
            buffers
                .bytes_mut(&buffer, 4)
                .copy_from_slice(&round.to_le_bytes());
            assert_eq!(buffers.bytes(&buffer, 4), round.to_le_bytes());
            buffers.recycle(buffer);
        }
        assert_eq!(buffers.held(), 0);
        buffers.unregister(&uring.submitter()).unwrap();
    }

    #[test]
    #[should_panic(expected = "513 bytes exceed a buffer of 512")]
    fn reading_past_a_buffer_is_a_bug() {
        let uring = IoUring::new(8).unwrap();
        let mut buffers = BufferRing::register(&uring.submitter(), 0, 8, 512).unwrap();
        buffers.offer(1);
        let buffer = buffers.hold(0);
        buffers.bytes(&buffer, 513);
    }
}
