//! The steps of connections with TLS in a library without the feature `tls`: there are none.

use super::unsecured::Effect;
use super::work::Shard;
use corelane_io::chunk::Chunk;
use corelane_io::slots::SlotKey;

impl Shard {
    pub(super) fn handle_handshakes(&mut self) -> bool {
        false
    }

    pub(super) fn seal(&mut self, _: SlotKey, out: Option<Chunk>) -> Result<Option<Chunk>, Effect> {
        Ok(out)
    }

    pub(super) fn apply(&mut self, _: SlotKey, _: Effect, _: Option<Chunk>) {}

    pub(super) fn is_end_announced(&mut self, _: SlotKey) -> bool {
        true
    }

    pub(super) fn ends_with_a_record(&mut self, _: SlotKey) -> bool {
        false
    }

    pub(super) fn forget_secured(&mut self, _: SlotKey, _: bool) {}
}
