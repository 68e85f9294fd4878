//! Knobs of overload: the actions of a server that has too much to do, each with its
//! threshold. Most other limits bound one resource and refuse what exceeds it.

use super::knobs::{knobs, within};

knobs! {
    /// Actions against overload, each from its threshold on. A shard counts for itself.
    #[derive(Copy, Eq)]
    Overload as "overload" {
        /// Connections of the process, of all shards together; 0 for as many as their tables
        /// hold. Past it a new connection is closed at once, so that its client or a load balancer
        /// tries another server; in a full table it would wait. Shards count without waiting for
        /// each other: each may accept one more at the same time.
        connections_max: u32 = 0, within(0..=1_000_000_000), live;
        /// Connections of a shard that are open past `connections_max`, or past `memory_bytes_max`,
        /// for one request each: a probe is answered, and any other request refused with 503. So a
        /// busy server does not look dead. They are few, as probes come every few seconds, and each
        /// is closed after `connection.head_timeout_ms`. 0 has none.
        probe_connections: usize = 16, within(0..=1024), live;
        /// Connections of one address on a shard. Past it a new one is closed at once. 0 has no
        /// limit, because all clients of a proxy, and those behind one NAT, have one address. An
        /// IPv6 address is its first 64 bits. It needs Linux 6.7; each accept then costs a look-up
        /// of its address.
        connections_per_address_max: u32 = 0, within(0..=1_000_000_000), restart;
        /// Milliseconds that a shard may take for everything that is ready for it at one time.
        /// While it takes longer, it serves half of the new calls, then a quarter and so on, and
        /// refuses the others with 503; while it takes less than half as long, twice as many again.
        /// Calls that run, answers of clients, cancellations, pings and lists are served, and the
        /// first new call of each turn. Half a second is longer than 50,000 small calls at once
        /// take, and shorter than users wait for a refusal. 0 refuses none.
        loop_delay_ms: u64 = 500, within(0..=600_000), live;
        /// Milliseconds after which that is adjusted: most of them must have been too long, in
        /// three turns or more, so that a process that was stopped once refuses nothing.
        loop_delay_window_ms: u64 = 1000, within(10..=600_000), live;
        /// Bytes of memory that a shard may hold for its clients: unfinished requests, unsent
        /// answers, calls, kept events, tasks, sessions, connections, and buffers for reuse. At
        /// four fifths of it such buffers are freed; at nine tenths sessions end that were idle for
        /// ten seconds; from all of it on, new connections are closed, and unfinished requests, new
        /// calls and new sessions refused with 503. 0 for three quarters of the limit on memory of
        /// the process, divided by its shards: the rest is for the program, its handlers and the
        /// kernel.
        memory_bytes_max: u64 = 0, within(0..=1 << 31), live;
    }
}
