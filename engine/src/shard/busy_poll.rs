//! Polling of network cards by the ring of a shard.

use crate::profile::ShardProfile;
use corelane_io::rings::Rings;

/// Lets the ring poll network cards, where the kernel has that; the sockets do so by themselves.
pub(super) fn begin(rings: &mut Rings, profile: &ShardProfile) {
    let time_us = profile.ring.busy_poll_us;
    if time_us > 0
        && let Err(error) = rings.set_busy_poll(time_us)
    {
        tracing::warn!(
            %error,
            "ring.busy_poll_us = {time_us} has less effect: the ring cannot poll network cards, \
             which it can from Linux 6.9 on"
        );
    }
}
