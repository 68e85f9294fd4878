//! The memory that a shard holds for its clients, and the actions when that is much.
//!
//! Each kind of memory has a limit of its own, which is meant for one cause at a time. Here all are
//! added up, so that a shard acts before the kernel ends the process: it frees buffers that wait
//! for reuse, then it ends idle sessions, then it refuses all that would take more. It lacks the
//! memory of handlers and of the kernel, which are not counted.

use super::work::Shard;
use crate::connection::buffers::ConnectionBuffers;
use crate::meter::Counter;
use crate::profile::Overload;
use crate::profile::memory::{CONNECTION_BYTES, MemoryLimit};

/// Between two sums, in which a network of 10 Gbit/s brings 12 MB.
const LOOK_INTERVAL_MS: u64 = 10;
/// Sessions that one look ends at most.
const SESSIONS_PER_LOOK: usize = 256;
/// Sessions that were idle for so long are ended when memory is scarce.
const SESSION_IDLE_MS: u64 = 10_000;

impl Shard {
    /// Adds the held memory up, and acts on it. Called once per turn.
    #[inline]
    pub(super) fn shed_memory(&mut self) {
        if self.now_ms >= self.memory.next_look_ms {
            self.memory.next_look_ms = self.now_ms + LOOK_INTERVAL_MS;
            self.look_at_memory();
        }
    }

    fn look_at_memory(&mut self) {
        let bytes_max = self.memory.bytes_max;
        let mut held_bytes = self.held_bytes();
        if held_bytes >= bytes_max / 5 * 4 {
            self.free_idle_buffers();
            held_bytes = self.held_bytes();
        }
        if held_bytes >= bytes_max / 10 * 9 {
            let endpoint = &mut self.handling.endpoint;
            endpoint.evict_idle_sessions(SESSIONS_PER_LOOK, SESSION_IDLE_MS);
            self.deliver_all();
            held_bytes = self.held_bytes();
        }
        let meter = &self.handling.meter;
        meter.set(Counter::MemoryBytes, held_bytes);
        // Some of it is free before work is taken on again, so that a shard at the edge does not go
        // to and fro.
        let is_out = match self.memory.is_out {
            false => held_bytes >= bytes_max,
            true => held_bytes >= bytes_max / 8 * 7,
        };
        if is_out != self.memory.is_out {
            self.set_out_of_memory(is_out, held_bytes);
        }
    }

    #[cold]
    fn set_out_of_memory(&mut self, is_out: bool, held_bytes: u64) {
        self.memory.is_out = is_out;
        self.handling.endpoint.set_out_of_memory(is_out);
        self.handling.pool.input_bytes_max = match is_out {
            true => 0,
            false => self.profile.connection.input_bytes_max,
        };
        let shard = self.handling.shard;
        if !is_out {
            return self.warnings.memory.pause(self.now_ms);
        }
        self.handling.meter.count(Counter::MemoryBegun);
        if self.warnings.memory.begin() {
            let bytes_max = self.memory.bytes_max;
            tracing::warn!(
                shard,
                held_bytes,
                "the shard holds more than {bytes_max} bytes for its clients: new connections are \
                 closed, new calls, sessions and unfinished requests refused; see \
                 overload.memory_bytes_max"
            );
        }
    }

    /// Bytes of memory that the shard holds for its clients.
    fn held_bytes(&self) -> u64 {
        let handling = &self.handling;
        let buffers = handling.pool.spare.len() * size_of::<ConnectionBuffers>();
        let counted = [
            handling.pool.input_bytes,
            handling.pool.output_bytes,
            handling.pool.chunks.free_bytes(),
            handling.pool.scratch.capacity(),
            buffers,
            self.secured.held_bytes(),
        ];
        let counted: u64 = counted.iter().map(|bytes| *bytes as u64).sum();
        let connections = self.slots.len() as u64 * CONNECTION_BYTES;
        counted + connections + handling.endpoint.held_bytes()
    }

    /// Frees the buffers that wait for reuse.
    fn free_idle_buffers(&mut self) {
        let handling = &mut self.handling;
        handling.pool.chunks.clear();
        handling.pool.spare = Vec::new();
        handling.pool.scratch = Vec::new();
        handling.endpoint.trim();
    }
}

/// Bytes of memory that a shard of `shards` may hold for its clients.
pub(crate) fn memory_bytes_max(overload: &Overload, shards: u16) -> u64 {
    match overload.memory_bytes_max {
        0 => MemoryLimit::of_process().map_or(u64::MAX, |limit| limit.of_shard(shards)),
        bytes => bytes,
    }
}
