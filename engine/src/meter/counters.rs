//! All counters, and their names.

/// Whether a counter only rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Total,
    /// Rises and falls.
    Level,
}

/// How a counter is presented.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The counter.
    pub counter: Counter,
    /// Whether it only rises.
    pub kind: Kind,
    /// Its name, shared by the counters that differ in `label` only.
    pub name: &'static str,
    /// The label that distinguishes it from others of its name; empty if there are none.
    pub label: &'static str,
}

/// Declares each counter with its kind, its name, and its label if others share the name.
macro_rules! counters {
    ($($(#[$doc:meta])* $counter:ident: $kind:ident = $name:literal $(, $label:literal)?;)*) => {
        /// The counters. [`Row::kind`] separates levels, which rise and fall, from totals, which
        /// only rise.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(test, derive(serde::Deserialize))]
        pub enum Counter {
            $($(#[$doc])* $counter,)*
        }

        /// Every counter, in the order of [`Counter`].
        pub static ROWS: [Row; [$(Counter::$counter),*].len()] = [$(Row {
            counter: Counter::$counter,
            kind: Kind::$kind,
            name: $name,
            label: concat!($($label)?),
        }),*];
    };
}

counters! {
    /// Connections accepted.
    ConnectionsAccepted: Total = "connections_accepted";
    /// Connections open.
    ConnectionsOpen: Level = "connections_open";
    /// Connections that the shard can hold.
    ConnectionsCapacity: Level = "connections_capacity";
    /// Listeners whose connections wait, because accepting failed or no place is free.
    ListenersPaused: Level = "listeners_paused";
    /// Connections that their peer closed or reset.
    ClosedPeer: Total = "connections_closed", "peer";
    /// Connections closed after their last answer.
    ClosedAnswered: Total = "connections_closed", "answered";
    /// Connections closed at a deadline.
    ClosedTimeout: Total = "connections_closed", "timeout";
    /// Connections closed for the memory of their output or input, or for other clients.
    ClosedShed: Total = "connections_closed", "shed";
    /// Connections closed as soon as they or their peer were known.
    ClosedRefused: Total = "connections_closed", "refused";
    /// Connections closed by a fault of TLS.
    ClosedError: Total = "connections_closed", "error";
    /// Connections closed because the server drains.
    ClosedDrain: Total = "connections_closed", "drain";
    /// Connections closed because the file table was full (ENFILE).
    ConnectionsRefusedDescriptors: Total = "connections_refused", "descriptors";
    /// Connections closed because the process had as many as it may.
    ConnectionsRefusedLimit: Total = "connections_refused", "limit";
    /// Connections closed because the shard held as much memory as it may.
    ConnectionsRefusedMemory: Total = "connections_refused", "memory";
    /// Connections closed because their address had as many as it may.
    ConnectionsRefusedAddress: Total = "connections_refused", "address";
    /// Connections closed because they speak another protocol than their listener.
    ConnectionsRefusedProtocol: Total = "connections_refused", "protocol";
    /// Connections closed because the shard had too much unsent output or too many bytes of
    /// unfinished requests, and theirs had stalled.
    ConnectionsShed: Total = "connections_shed";
    /// Bytes of memory that the shard holds for its clients.
    MemoryBytes: Level = "memory_bytes";
    /// Bytes of memory that unsent output holds.
    OutputBytes: Level = "output_bytes";
    /// Times the last free slot of the table of connections was taken; further clients wait in the
    /// backlog then.
    ConnectionsTableFull: Total = "connections_table_full";
    /// Bytes received.
    BytesIn: Total = "bytes", "in";
    /// Bytes sent.
    BytesOut: Total = "bytes", "out";
    /// Requests and notifications of the legacy era.
    RequestsLegacy: Total = "requests", "legacy";
    /// Requests and notifications of the modern era.
    RequestsModern: Total = "requests", "modern";
    /// Requests refused for their `Host` or `Origin`.
    RefusedOrigin: Total = "requests_refused", "origin";
    /// Requests refused because the header that names the principal is malformed.
    RefusedPrincipal: Total = "requests_refused", "principal";
    /// Requests refused because they have no credential, or a bad one.
    RefusedCredential: Total = "requests_refused", "credential";
    /// Requests refused because their client may not use what they are for.
    RefusedAccess: Total = "requests_refused", "access";
    /// Requests refused because too many credentials from their source failed.
    RefusedBlocked: Total = "requests_refused", "blocked";
    /// Requests refused by the rate of their client or of the server, or by its quota.
    RefusedRate: Total = "requests_refused", "rate";
    /// Requests refused because they break their framing or exceed its limits.
    RefusedFraming: Total = "requests_refused", "framing";
    /// Requests refused because they are not JSON-RPC or exceed its limits.
    RefusedMessage: Total = "requests_refused", "message";
    /// Requests refused for an unknown or foreign session.
    RefusedSession: Total = "requests_refused", "session";
    /// Requests refused because the shard or another is overloaded.
    RefusedOverload: Total = "requests_refused", "overload";
    /// Calls whose handler has not returned yet.
    CallsInFlight: Level = "calls_in_flight";
    /// Calls answered with a result.
    CallsOk: Total = "calls", "ok";
    /// Calls answered with an error.
    CallsFailed: Total = "calls", "failed";
    /// Calls cancelled by their client or at their deadline.
    CallsCancelled: Total = "calls", "cancelled";
    /// Calls ended by a panic of their handler.
    CallsPanicked: Total = "calls", "panicked";
    /// Calls refused because their tool had too many in flight.
    CallsRefusedTool: Total = "calls_refused", "tool";
    /// Calls refused because their tool kept failing.
    CallsRefusedBreaker: Total = "calls_refused", "breaker";
    /// Calls refused because their upstream kept failing.
    CallsRefusedUpstream: Total = "calls_refused", "upstream";
    /// Calls refused because the shard took too long for its work.
    CallsRefusedDelay: Total = "calls_refused", "delay";
    /// Calls refused because the shard held as much memory as it may.
    CallsRefusedMemory: Total = "calls_refused", "memory";
    /// Times that a shard began to refuse work because it held as much memory as it may.
    MemoryBegun: Total = "overloads_begun", "memory";
    /// Times that a shard began to refuse calls because it took too long for its work.
    DelaysBegun: Total = "overloads_begun", "delay";
    /// Times that a tool began to be refused because it kept failing.
    BreakersOpened: Total = "breakers_opened";
    /// Times that an upstream began to be refused because it kept failing.
    UpstreamBreakersOpened: Total = "upstream_breakers_opened";
    /// Requests to upstreams that were sent again.
    UpstreamRepeats: Total = "upstream_repeats";
    /// Requests of upstreams that were declined because too many calls wait for their clients.
    UpstreamQuestionsDeclined: Total = "upstream_questions_declined";
    /// Sessions created.
    SessionsCreated: Total = "sessions_created";
    /// Sessions made again from their ids.
    SessionsRestored: Total = "sessions_restored";
    /// Sessions alive.
    SessionsOpen: Level = "sessions_open";
    /// Sessions ended by idleness.
    SessionsExpired: Total = "sessions_ended", "expired";
    /// Sessions evicted for others.
    SessionsEvicted: Total = "sessions_ended", "evicted";
    /// Sessions ended by their client.
    SessionsDeleted: Total = "sessions_ended", "deleted";
    /// Sessions that ended with their connection.
    SessionsWithConnection: Total = "sessions_ended", "connection";
    /// Sessions ended because the server drains.
    SessionsDrained: Total = "sessions_ended", "drained";
    /// Sessions that another node of the cluster took.
    SessionsMoved: Total = "sessions_ended", "moved";
    /// Tasks made.
    TasksCreated: Total = "tasks_created";
    /// Tasks kept, running or over.
    TasksKept: Level = "tasks_kept";
    /// Tasks that listen streams subscribe to, counted once for each stream.
    TasksWatched: Level = "tasks_watched";
    /// Tasks ended by their client.
    TasksCancelled: Total = "tasks_ended", "cancelled";
    /// Tasks forgotten because their time was over.
    TasksExpired: Total = "tasks_ended", "expired";
    /// Tasks that were over and evicted for others.
    TasksEvicted: Total = "tasks_ended", "evicted";
    /// Streams of events open.
    StreamsOpen: Level = "streams_open";
    /// Streams of events opened.
    StreamsOpened: Total = "streams_opened";
    /// WebSocket connections open.
    WebSocketsOpen: Level = "websockets_open";
    /// Streams that clients came back for.
    StreamsResumed: Total = "streams_resumed";
    /// Bytes of events kept for clients that lose a stream.
    EventsBytes: Level = "events_bytes";
    /// Events evicted for others before their session ended.
    EventsDropped: Total = "events_dropped";
    /// Streams evicted for others before their session ended.
    EventStreamsDropped: Total = "event_streams_dropped";
    /// Connections closed while a head was incomplete.
    TimeoutsHead: Total = "timeouts", "head";
    /// Connections closed while a body was incomplete.
    TimeoutsBody: Total = "timeouts", "body";
    /// Connections closed between requests.
    TimeoutsIdle: Total = "timeouts", "idle";
    /// Connections closed because the peer did not take its output.
    TimeoutsWrite: Total = "timeouts", "write";
    /// WebSocket connections closed because nothing came after a ping.
    TimeoutsPong: Total = "timeouts", "pong";
    /// Connections closed because their TLS handshake took too long.
    TimeoutsHandshake: Total = "timeouts", "handshake";
    /// Calls that reached their deadline.
    TimeoutsCall: Total = "timeouts", "call";
    /// TLS handshakes with new keys.
    TlsHandshakesFull: Total = "tls_handshakes", "full";
    /// TLS handshakes that resumed an earlier session.
    TlsHandshakesResumed: Total = "tls_handshakes", "resumed";
    /// TLS handshakes that failed.
    TlsHandshakesFailed: Total = "tls_handshakes", "failed";
    /// TLS handshakes ended for others, because there were too many.
    TlsHandshakesEvicted: Total = "tls_handshakes", "evicted";
    /// TLS connections ended for a fault of their peer after the handshake.
    TlsFaults: Total = "tls_faults";
    /// TLS connections that ended without close_notify: the last message may have been cut.
    TlsTruncated: Total = "tls_truncated";
    /// Messages sent to other shards to drain or update them.
    LaneControlSent: Total = "lane_sent", "control";
    /// Answers sent to other shards.
    LaneReplySent: Total = "lane_sent", "reply";
    /// Requests sent to other shards.
    LaneRequestSent: Total = "lane_sent", "request";
    /// Broadcasts and other bulk sent to other shards.
    LaneBulkSent: Total = "lane_sent", "bulk";
    /// Messages of each tier that wait for this shard, of all senders.
    LaneControlWaiting: Level = "lane_messages", "control";
    /// Answers that wait.
    LaneReplyWaiting: Level = "lane_messages", "reply";
    /// Requests that wait.
    LaneRequestWaiting: Level = "lane_messages", "request";
    /// Bulk that waits.
    LaneBulkWaiting: Level = "lane_messages", "bulk";
    /// Messages of a tier for this shard that its lanes hold at most, of all senders.
    LaneControlCapacity: Level = "lane_capacity", "control";
    /// The same for answers.
    LaneReplyCapacity: Level = "lane_capacity", "reply";
    /// The same for requests.
    LaneRequestCapacity: Level = "lane_capacity", "request";
    /// The same for bulk.
    LaneBulkCapacity: Level = "lane_capacity", "bulk";
    /// Times that this shard woke another one that slept.
    LaneWakes: Total = "lane_wakes";
    /// Messages refused to their sender by a full lane.
    LanesFull: Total = "lanes_full";
    /// Records of requests that were dropped because too many waited.
    RecordsDropped: Total = "records_dropped";
    /// Values of `traceparent` that are malformed, and ignored.
    TraceParentsMalformed: Total = "trace_parents_malformed";
    /// Receives that found no provided buffer (ENOBUFS).
    RingBuffersExhausted: Total = "ring_buffers_exhausted";
    /// Times the completion queue overflowed.
    RingCompletionsOverflowed: Total = "ring_completions_overflowed";
    /// Calls of io_uring_enter(2).
    RingEnters: Total = "ring_enters";
    /// Turns of the loop.
    Turns: Total = "turns";
    /// Times that the shard slept in the executor.
    Parks: Total = "parks";
    /// Shards that were started again after they had failed.
    ShardsRestarted: Total = "shards_restarted";
    /// Times a shard was stuck for longer than the limit.
    ShardStalls: Total = "shard_stalls";
}
