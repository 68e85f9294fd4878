//! The tunable values of a cluster. Each becomes a knob of the profile.

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $default:expr;)*) => {
        /// The tunable values of the cluster core.
        #[derive(Clone, Debug)]
        pub struct Settings { $($(#[$doc])* pub $name: $type,)* }

        impl Default for Settings {
            fn default() -> Settings { Settings { $($name: $default,)* } }
        }
    };
}

settings! {
    /// Microseconds between heartbeats. Three fit into the time to be suspect.
    heartbeat_us: u64 = 250_000;
    /// Microseconds of silence that make a node suspect: three heartbeats.
    suspect_us: u64 = 750_000;
    /// Microseconds of silence that make a node gone: six heartbeats survive a short stall.
    gone_us: u64 = 1_500_000;
    /// Microseconds between two answers "no responders" that prove a node gone: time to reconnect.
    no_responders_us: u64 = 100_000;
    /// Microseconds without the own heartbeat, or between two calls of the core, after which others
    /// may own our sessions. Less than `gone_us`, so that we doubt before others take over.
    doubt_us: u64 = 1_000_000;
    /// Send requests to the owner of their session. Without it the session comes to the node that
    /// its client has reached, from a live owner too, and nothing is sent on.
    forwards: bool = true;
    /// Serve sessions of others while isolated. For balancers that know node numbers.
    adopt_when_isolated: bool = true;
    /// Microseconds to wait for a read by the leader of the store before a request goes on without.
    leader_read_us: u64 = 250_000;
    /// Microseconds to wait for a read by any replica.
    any_read_us: u64 = 100_000;
    /// Microseconds to wait for the store to acknowledge a write. After that its outcome is
    /// unknown.
    put_us: u64 = 1_000_000;
    /// Microseconds between attempts while the store refuses.
    store_retry_us: u64 = 250_000;
    /// Microseconds between two reads of the life of the store: a store that an administrator
    /// emptied shows in nothing else until a write conflicts.
    generation_us: u64 = 5_000_000;
    /// Microseconds in which an owner accepts a forwarded request.
    accept_us: u64 = 250_000;
    /// Forwards in a row without an answer that make a node unreachable from here.
    unanswered_max: u8 = 3;
    /// Microseconds for which a node is unreachable after that.
    unreachable_us: u64 = 5_000_000;
    /// Microseconds of a request from first to last byte of its answer, between nodes.
    exchange_us: u64 = 60_000_000;
    /// Nodes that a request may be sent to before it is refused. A loop is a fault.
    hops_max: u8 = 4;
    /// Microseconds between two writes of one session: the loss that a crash may cause.
    write_interval_us: u64 = 100_000;
    /// Sessions that one tick gives to the writer, so that a turn stays short.
    encode_max: usize = 512;
    /// Encoded sessions that wait for the writer. The rest stays dirty.
    lane_max: usize = 1_024;
    /// Writes in flight to the store.
    writes_in_flight_max: usize = 256;
    /// Sessions written anew each second after the store was wiped.
    reseed_per_s: u64 = 5_000;
    /// Sessions of this process, with and without changes.
    sessions_max: usize = 1_000_000;
    /// Requests that wait for one session to be looked up or confirmed.
    waiting_max: usize = 64;
    /// Sessions that are being looked up.
    lookups_max: usize = 4_096;
    /// Exchanges with other nodes, as sender and as owner: each.
    exchanges_max: usize = 65_536;
    /// Sessions with a known owner elsewhere.
    owners_max: usize = 65_536;
    /// Microseconds for which a known owner is used without proof.
    owner_us: u64 = 30_000_000;
    /// Tombstones that the store has not acknowledged.
    tombstones_max: usize = 4_096;
    /// Ended sessions that their last node remembers beside the store.
    graves_max: usize = 65_536;
    /// Microseconds that a client waits for its tombstone.
    tombstone_wait_us: u64 = 250_000;
    /// Former owners that have not yet acknowledged a take-over.
    notices_max: usize = 4_096;
    /// Microseconds between two notices to a former owner.
    notice_us: u64 = 500_000;
    /// The same while requests wait for the former owner to know.
    notice_waited_us: u64 = 50_000;
    /// Notices to one former owner: a process that was silent longer doubts its sessions itself.
    notices_each_max: u8 = 60;
    /// Uses of a foreign session within `home_window_us` after which it is requested from its
    /// owner.
    home_uses: u8 = 4;
    /// Microseconds in which those uses are counted.
    home_window_us: u64 = 10_000_000;
    /// Sessions requested from their owners each second.
    home_per_s: u64 = 500;
    /// Nodes of a cluster.
    members_max: usize = 4_095;
    /// Seconds after which an id is never adopted.
    id_age_max_s: u64 = 86_400;
    /// Seconds by which clocks may differ before an id counts as too old.
    leeway_s: u64 = 60;
    /// Seconds without use after which a session ends.
    idle_s: u64 = 1_800;
    /// Seconds for which a record outlives the idle time of its session, for clocks that differ.
    record_margin_s: u64 = 60;
    /// Seconds of difference between clocks that are worth a warning.
    skew_warn_s: u64 = 1;
    /// Updates of resources that an origin can repeat.
    updates_kept: usize = 4_096;
    /// Bytes of their URIs.
    updates_kept_bytes: usize = 4 << 20;
    /// Streams of updates that are followed: one for each origin and partition in use.
    followed_max: usize = 65_536;
    /// Microseconds between requests for the updates of one gap.
    gap_us: u64 = 500_000;
    /// Microseconds that a drain waits for calls.
    drain_us: u64 = 30_000_000;
}

/// Operations kept of a session that may lose to another owner. Later ones replace the oldest.
pub const CHANGES_MAX: usize = 64;
/// Former owners that a record names. A process that is none of them finds out when it next writes.
pub const FORMERS_MAX: usize = 4;
/// URIs that a session may subscribe to.
pub const URIS_MAX: usize = 64;
/// Bytes of a principal in a record.
pub const PRINCIPAL_BYTES_MAX: usize = 256;
/// Sequences of one sender that are remembered to refuse repeated frames.
pub const WINDOW_FRAMES: u64 = 1_024;
/// Partitions of updates, by hash of the URI.
pub const PARTITIONS: u16 = 1_024;
