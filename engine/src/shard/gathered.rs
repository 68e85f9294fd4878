//! Output of channels that is sent when the turn ends.
//!
//! Simple version: send the output of each step. Deviation: the calls that a client has in flight on
//! a channel arrive in pieces of a receive buffer, and the answers to the first one would be a
//! packet of their own. So they wait for the end of the turn, and those that were queued behind
//! them meanwhile leave in the same send. A client of HTTP mostly waits for its answer, and has no
//! second one.
//!
//! Invariant: what is gathered is submitted with the next entry to the ring, as if it had been sent
//! at once.

use super::work::Shard;
use corelane_io::slots::SlotKey;

impl Shard {
    /// Sends what the connections have to send, each in one piece.
    pub(super) fn send_gathered(&mut self) {
        let mut gathered = std::mem::take(&mut self.gathered);
        for (key, mut chunk) in gathered.drain(..) {
            if let Some(connection) = self.slots.get_mut(key) {
                let held_before = connection.held_output_bytes();
                if let Some(more) = connection.take_queued() {
                    let chunks = &mut self.handling.chunks;
                    chunks.reserve(&mut chunk, more.len());
                    chunk.extend_from_slice(&more);
                    chunks.give(more);
                    connection.begin_send(&chunk);
                }
                self.handling.output_bytes -= held_before;
                self.handling.output_bytes += connection.held_output_bytes();
            }
            self.rings.of(key).send(key, chunk, 0);
        }
        self.gathered = gathered;
    }

    /// Sends what a connection that is closed had gathered.
    pub(super) fn send_gathered_of(&mut self, key: SlotKey) {
        if let Some(at) = self.gathered.iter().position(|(of, _)| *of == key) {
            let (_, chunk) = self.gathered.swap_remove(at);
            self.rings.of(key).send(key, chunk, 0);
        }
    }
}
