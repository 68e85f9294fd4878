//! What a shard has found out about an upstream, for the other shards.

/// A change of the breaker of one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BreakerChange {
    /// The number of the replica.
    pub(crate) upstream: u16,
    /// That of `Endpoint::instance`: another upstream may have the number meanwhile.
    pub(crate) instance: u64,
    /// Milliseconds for which its calls are refused; 0 if it works again.
    pub(crate) refuses_ms: u64,
}
