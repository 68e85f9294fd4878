//! Large messages, after they were decoded on the pool.

use super::work::Shard;
use crate::meter::Counter;

/// Messages handled in one turn: each of them may have an answer that takes a millisecond to write.
const DECODED_PER_TURN: usize = 2;

impl Shard {
    /// Handles a few requests with decoded bodies. Returns whether there were any.
    pub(super) fn handle_decoded(&mut self) -> bool {
        let mut count = 0;
        while count < DECODED_PER_TURN
            && let Some(decoded) = self.handling.endpoint.poll_decoded()
        {
            count += 1;
            self.handling.pool.input_bytes -= decoded.held_bytes;
            let exchange = decoded.exchange;
            let key = exchange.slot;
            let connection = self.slots.get_mut(key);
            let Some(connection) = connection.filter(|it| it.awaits_decoded(exchange.sequence))
            else {
                self.handling.endpoint.discard_decoded(decoded);
                continue;
            };
            let mut context = self.handling.context(key);
            if connection.on_decoded(decoded, &mut context) {
                self.close(key, Counter::ClosedPeer);
            } else {
                let out = context.out.take();
                self.finish_step(key, out);
                self.release_posts(key);
            }
        }
        count > 0
    }
}
