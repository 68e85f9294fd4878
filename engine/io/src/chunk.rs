//! Pooled buffers for partial input and for output that is being sent.
//!
//! An idle connection holds no chunk, so a shard needs about as many as it has active connections.
//! Two sizes are kept for reuse; anything larger is an ordinary allocation that ends with its use,
//! and large enough for an allocator to return it to the system. Invariant: the memory kept free
//! never exceeds the pool's bound. The pool belongs to one shard and has no lock.

use std::ops::{Deref, DerefMut};

/// Bytes of the chunks that hold heads, single calls and their answers.
pub const SMALL_CHUNK_BYTES: usize = 4 * 1024;
/// Bytes of the chunks that hold lists and long answers.
pub const LARGE_CHUNK_BYTES: usize = 64 * 1024;
/// Bytes a pool keeps free unless the tuning profile says otherwise.
pub const FREE_BYTES_MAX: usize = 4 * 1024 * 1024;

const _: () = assert!(SMALL_CHUNK_BYTES < LARGE_CHUNK_BYTES);
const _: () = assert!(LARGE_CHUNK_BYTES <= FREE_BYTES_MAX);

/// A growable buffer; give it back to a [`ChunkPool`], or drop it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    bytes: Vec<u8>,
}

impl Deref for Chunk {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Chunk {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl From<Vec<u8>> for Chunk {
    fn from(bytes: Vec<u8>) -> Chunk {
        Chunk { bytes }
    }
}

/// One shard's store of free chunks.
#[derive(Debug)]
pub struct ChunkPool {
    small: Vec<Chunk>,
    large: Vec<Chunk>,
    free_bytes: usize,
    free_bytes_max: usize,
}

impl ChunkPool {
    /// An empty pool that will keep at most `free_bytes_max` bytes free.
    pub fn new(free_bytes_max: usize) -> ChunkPool {
        ChunkPool {
            small: Vec::new(),
            large: Vec::new(),
            free_bytes: 0,
            free_bytes_max,
        }
    }

    /// An empty chunk with capacity for `min_bytes` without growing.
    pub fn take(&mut self, min_bytes: usize) -> Chunk {
        let (list, class_bytes) = if min_bytes <= SMALL_CHUNK_BYTES {
            (&mut self.small, SMALL_CHUNK_BYTES)
        } else if min_bytes <= LARGE_CHUNK_BYTES {
            (&mut self.large, LARGE_CHUNK_BYTES)
        } else {
            return Chunk::from(Vec::with_capacity(min_bytes));
        };
        match list.pop() {
            Some(chunk) => {
                self.free_bytes -= class_bytes;
                chunk
            }
            None => Chunk::from(Vec::with_capacity(class_bytes)),
        }
    }

    /// Makes capacity for `more_bytes` behind the content of `chunk`. It grows from one size to the
    /// next and then to twice as many bytes; the smaller memory goes back to the pool.
    pub fn reserve(&mut self, chunk: &mut Chunk, more_bytes: usize) {
        let needed = chunk.len() + more_bytes;
        if needed <= chunk.capacity() {
            return;
        }
        let mut grown = match needed <= LARGE_CHUNK_BYTES {
            true => self.take(needed),
            false => self.take(needed.next_power_of_two()),
        };
        grown.extend_from_slice(chunk);
        self.give(std::mem::replace(chunk, grown));
    }

    /// Takes a chunk back and clears it.
    ///
    /// A chunk that outgrew its size, or that exceeds the bound of the pool, is freed.
    pub fn give(&mut self, mut chunk: Chunk) {
        let class_bytes = chunk.capacity();
        let list = match class_bytes {
            SMALL_CHUNK_BYTES => &mut self.small,
            LARGE_CHUNK_BYTES => &mut self.large,
            _ => return,
        };
        if self.free_bytes + class_bytes <= self.free_bytes_max {
            chunk.clear();
            list.push(chunk);
            self.free_bytes += class_bytes;
        }
    }

    /// Frees all free large chunks, to return the memory of a burst after it.
    pub fn trim(&mut self) {
        self.free_bytes -= self.large.len() * LARGE_CHUNK_BYTES;
        self.large = Vec::new();
    }

    /// Frees all free chunks.
    pub fn clear(&mut self) {
        self.trim();
        self.small = Vec::new();
        self.free_bytes = 0;
    }

    /// Bytes kept free at present, at most the pool's bound.
    pub fn free_bytes(&self) -> usize {
        self.free_bytes
    }
}

impl Default for ChunkPool {
    fn default() -> ChunkPool {
        ChunkPool::new(FREE_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::{Chunk, ChunkPool, LARGE_CHUNK_BYTES, SMALL_CHUNK_BYTES};

    /// Takes a chunk for `min_bytes` from a fresh pool, gives it back, and checks both figures.
    fn check(min_bytes: usize, capacity_bytes: usize, free_bytes: usize) {
        let mut pool = ChunkPool::default();
        let mut chunk = pool.take(min_bytes);
        assert_eq!(chunk.capacity(), capacity_bytes, "{min_bytes}");
        chunk.extend_from_slice(b"content of an earlier answer");
        pool.give(chunk);
        assert_eq!(pool.free_bytes(), free_bytes, "{min_bytes}");
        assert!(pool.take(min_bytes).is_empty());
    }

    #[test]
    fn serves_the_smallest_size_that_fits() {
        check(0, SMALL_CHUNK_BYTES, SMALL_CHUNK_BYTES);
        check(SMALL_CHUNK_BYTES, SMALL_CHUNK_BYTES, SMALL_CHUNK_BYTES);
        check(SMALL_CHUNK_BYTES + 1, LARGE_CHUNK_BYTES, LARGE_CHUNK_BYTES);
        check(LARGE_CHUNK_BYTES, LARGE_CHUNK_BYTES, LARGE_CHUNK_BYTES);
        check(LARGE_CHUNK_BYTES + 1, LARGE_CHUNK_BYTES + 1, 0);
    }

    #[test]
    fn the_same_memory_is_used_again() {
        let mut pool = ChunkPool::default();
        let chunk = pool.take(100);
        let memory = chunk.as_ptr();
        pool.give(chunk);
        assert_eq!(pool.take(200).as_ptr(), memory);
    }

    #[test]
    fn a_growing_chunk_gives_its_smaller_memory_to_others() {
        const MEGABYTE: usize = 1024 * 1024;
        let mut pool = ChunkPool::default();
        let mut chunk = pool.take(1);
        let mut content = Vec::new();
        for (bytes, capacity_bytes, free_bytes) in [
            (SMALL_CHUNK_BYTES, SMALL_CHUNK_BYTES, 0),
            (1, LARGE_CHUNK_BYTES, SMALL_CHUNK_BYTES),
            (
                LARGE_CHUNK_BYTES,
                2 * LARGE_CHUNK_BYTES,
                SMALL_CHUNK_BYTES + LARGE_CHUNK_BYTES,
            ),
            (
                MEGABYTE,
                2 * MEGABYTE,
                SMALL_CHUNK_BYTES + LARGE_CHUNK_BYTES,
            ),
        ] {
            pool.reserve(&mut chunk, bytes);
            let more = vec![bytes as u8; bytes];
            chunk.extend_from_slice(&more);
            content.extend(more);
            assert_eq!(chunk.capacity(), capacity_bytes, "{bytes}");
            assert_eq!(pool.free_bytes(), free_bytes, "{bytes}");
        }
        assert!(*chunk == content);
    }

    #[test]
    fn free_memory_stays_within_its_bound() {
        let bound = LARGE_CHUNK_BYTES + SMALL_CHUNK_BYTES;
        let mut pool = ChunkPool::new(bound);
        let chunks: Vec<Chunk> = (0..10)
            .map(|turn| pool.take(if turn % 2 == 0 { 1 } else { LARGE_CHUNK_BYTES }))
            .collect();
        for chunk in chunks {
            pool.give(chunk);
            assert!(pool.free_bytes() <= bound);
        }
        assert_eq!(pool.free_bytes(), bound);
    }

    #[test]
    fn large_chunks_that_nothing_uses_are_freed_by_a_trim() {
        let mut pool = ChunkPool::default();
        let chunks = [1, LARGE_CHUNK_BYTES, LARGE_CHUNK_BYTES].map(|bytes| pool.take(bytes));
        let used = pool.take(LARGE_CHUNK_BYTES);
        chunks.into_iter().for_each(|chunk| pool.give(chunk));
        pool.trim();
        assert_eq!(pool.free_bytes(), SMALL_CHUNK_BYTES);
        pool.give(used);
        assert_eq!(pool.free_bytes(), SMALL_CHUNK_BYTES + LARGE_CHUNK_BYTES);
        pool.clear();
        assert_eq!(pool.free_bytes(), 0);
        assert!(pool.small.is_empty() && pool.large.is_empty());
    }

    #[test]
    fn a_chunk_that_outgrew_its_size_is_freed() {
        let mut pool = ChunkPool::default();
        let mut chunk = pool.take(1);
        chunk.resize(SMALL_CHUNK_BYTES + 1, 0);
        pool.give(chunk);
        assert_eq!(pool.free_bytes(), 0);
    }
}
