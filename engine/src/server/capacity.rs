//! How many connections the limit on open files allows, and how much memory they may take.

use corelane_io::rings::RINGS_MAX;

use super::error::Result;
use crate::profile::ShardProfile;
use crate::profile::descriptors::DescriptorLimit;
use crate::profile::memory::MemoryBudget;

/// Sockets that the limit on open files leaves one ring.
pub(super) fn allowed_descriptors() -> Result<u32> {
    // A hard limit is the operator's decision; a soft one is only a default for programs that still
    // use select(2) (setrlimit(2)). Where it cannot be raised, it is respected.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    Ok(DescriptorLimit::of_process()?.table_entries()?)
}

/// The connections that each shard can hold, and the memory that clients can make all of them hold.
pub(super) fn capacity_of(shards: &[ShardProfile], allowed: u32) -> (u32, MemoryBudget) {
    let connections = connections_per_shard(shards, allowed);
    (connections, MemoryBudget::of_shards(shards, allowed))
}

/// Connections that each shard can hold, where the limit on open files allows one ring `allowed`;
/// warns if the profile has more.
fn connections_per_shard(shards: &[ShardProfile], allowed: u32) -> u32 {
    let wished = shards.iter().filter_map(|shard| shard.ring.descriptors);
    let most = allowed.saturating_mul(RINGS_MAX);
    if let Some(descriptors) = wished.max().filter(|it| *it > most) {
        tracing::warn!(
            "ring.descriptors = {descriptors} has no effect: the limit on open files allows \
             {allowed} for each of {RINGS_MAX} rings of a shard; raise it with ulimit -n, or with \
             LimitNOFILE= of a systemd unit"
        );
    }
    let held = shards
        .iter()
        .map(|shard| shard.rings(allowed).ring.descriptors);
    held.min().unwrap_or(allowed)
}
