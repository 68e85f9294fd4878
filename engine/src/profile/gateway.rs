//! Knobs of links to upstreams and of their lists.

use super::knobs::{DAY_MS, knobs, within};

knobs! {
    /// Upstreams: other MCP servers that execute calls. A shard has links of its own.
    #[derive(Copy, Eq)]
    Gateway as "gateway" {
        /// Links of a shard to one upstream: each carries one call, and a tool may run for minutes.
        /// Past it calls wait for a link.
        links_max: usize = 512, within(1..=65_536), restart;
        /// Of them the ones that are kept while they are idle.
        links_idle_max: usize = 64, within(0..=65_536), restart;
        /// Links of a shard to all upstreams. They are sockets of its first ring, at most half of
        /// that ring.
        links_per_shard_max: u32 = 8192, within(1..=65_536), restart;
        /// Links to one upstream that open at once: a burst of calls does not become a burst of
        /// connections.
        connects_max: usize = 16, within(1..=1024), restart;
        /// Calls of one upstream that wait for a link. Past it a call fails at once.
        waiting_max: usize = 1024, within(0..=1_000_000), restart;
        /// Milliseconds until a link that opens is given up: a host that does not answer fails its
        /// calls while their clients still wait.
        connect_ms: u64 = 2000, within(10..=DAY_MS), restart;
        /// Milliseconds for the answer to a request for a list. Calls have `calls.timeout_ms`: a
        /// server sends nothing until its tool ends.
        list_ms: u64 = 10_000, within(10..=DAY_MS), restart;
        /// Bytes of one message of an upstream: as of a client. Past it the call fails.
        message_bytes_max: usize = 16 << 20, within(1024..=1 << 30), restart;
        /// Milliseconds between two reads of the lists of an upstream, less up to a tenth.
        /// They are read before when it reports a change, and when a client uses an expired list.
        refresh_ms: u64 = 300_000, within(1000..=DAY_MS), restart;
        /// Milliseconds that the entries of an upstream that fails stay listed.
        stale_ms: u64 = 3_600_000, within(0..=DAY_MS), restart;
        /// Sessions of a shard with one upstream of the legacy era. Past it the one ends that was
        /// unused for the longest time; a call fails at once if all have calls.
        sessions_max: usize = 10_000, within(1..=1_000_000), restart;
        /// Milliseconds after which such a session ends if it is not used.
        session_idle_ms: u64 = 600_000, within(1000..=DAY_MS), restart;
        /// Failures of an upstream in a row after which its calls are refused; so are they when
        /// half of 20 or more calls in 10 s fail. A failure is a connection that does not open or
        /// breaks, an answer that is none of the protocol, or a status of 500 and more. 0 never
        /// refuses.
        failures_max: u32 = 5, within(0..=1_000_000), restart;
        /// Milliseconds until a call of such an upstream is let through to see whether it works
        /// again; if two in a row do, all are. The time doubles with each one that fails.
        open_ms: u64 = 1000, within(10..=DAY_MS), restart;
        /// The most of these milliseconds.
        open_ms_max: u64 = 60_000, within(10..=DAY_MS), restart;
        /// Processes of a shard of one upstream that is a program, or connections to one with
        /// lines: each session has its own. Past it a call fails at once.
        processes_max: usize = 64, within(1..=4096), restart;
        /// Milliseconds until a program that was started must open its first session: one that is
        /// installed first takes a minute.
        start_ms: u64 = 120_000, within(100..=DAY_MS), restart;
        /// Milliseconds that a program gets to end after its input has ended, and again after
        /// SIGTERM. Then it is killed, with its process group.
        stop_ms: u64 = 5000, within(10..=600_000), restart;
        /// Calls of a shard that stay open at upstreams of the legacy era while their modern
        /// clients answer a request, for `calls.answer_timeout_ms` at most. Past it a request is
        /// declined.
        parked_max: usize = 1024, within(0..=1_000_000), restart;
        /// Of them those of one principal, or of the anonymous clients of one network.
        parked_per_principal_max: usize = 64, within(0..=1_000_000), restart;
        /// Milliseconds that the calls of an upstream get to end which a reload removes or
        /// replaces.
        drain_ms: u64 = 25_000, within(0..=DAY_MS), restart;
        /// Milliseconds until an upstream that a reload changes takes the place of the one of
        /// before, though its lists are not read yet.
        takeover_ms: u64 = 10_000, within(0..=DAY_MS), restart;
        /// Characters of an exposed name: some clients take 64.
        name_chars_max: usize = 64, within(16..=128), restart;
    }
}
