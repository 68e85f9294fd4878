//! Sends, each held until another connection sends or the turn ends.
//!
//! A client that pipelines has requests in several receive buffers, which are handled one after the
//! other: so their answers leave in one send.

use super::work::Shard;
use corelane_io::chunk::Chunk;
use corelane_io::slots::SlotKey;

/// Output that is added to a held send at most: more is sent behind it, rather than copied.
const ADDED_BYTES_MAX: usize = 64 * 1024;

impl Shard {
    /// Holds the send that a connection has begun, and submits the one that was held.
    pub(super) fn hold_send(&mut self, key: SlotKey, chunk: Chunk) {
        self.release_send();
        self.held_send = Some((key, chunk));
    }

    /// Submits the held send, with the output of its connection since then.
    pub(super) fn release_send(&mut self) {
        let Some((key, mut chunk)) = self.held_send.take() else {
            return;
        };
        let connection = self.slots.get_mut(key);
        if let Some(connection) = connection
            && let Some(output) = connection.take_queued(ADDED_BYTES_MAX)
        {
            let held_before = connection.held_output_bytes() + output.capacity();
            let chunks = &mut self.handling.pool.chunks;
            chunks.reserve(&mut chunk, output.len());
            chunk.extend_from_slice(&output);
            chunks.give(output);
            connection.begin_send(&chunk);
            self.handling.pool.output_bytes += connection.held_output_bytes();
            self.handling.pool.output_bytes -= held_before;
        }
        self.rings.of(key).send(key, chunk, 0);
    }
}
