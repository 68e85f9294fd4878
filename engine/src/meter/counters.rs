//! All counters, and their names.

/// The counters. [`Row::kind`] separates levels, which rise and fall, from totals, which only rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub enum Counter {
    /// Connections accepted.
    ConnectionsAccepted,
    /// Connections open.
    ConnectionsOpen,
    /// Connections that the shard can hold.
    ConnectionsCapacity,
    /// Listeners whose connections wait, because accepting failed or no place is free.
    ListenersPaused,
    /// Connections that their peer closed or reset.
    ClosedPeer,
    /// Connections closed after their last answer.
    ClosedAnswered,
    /// Connections closed at a deadline.
    ClosedTimeout,
    /// Connections closed for the memory of their output or input, or for other clients.
    ClosedShed,
    /// Connections closed as soon as they or their peer were known.
    ClosedRefused,
    /// Connections closed by a fault of TLS.
    ClosedError,
    /// Connections closed because the server drains.
    ClosedDrain,
    /// Connections closed because the file table was full (ENFILE).
    ConnectionsRefusedDescriptors,
    /// Connections closed because the process had as many as it may.
    ConnectionsRefusedLimit,
    /// Connections closed because the shard held as much memory as it may.
    ConnectionsRefusedMemory,
    /// Connections closed because their address had as many as it may.
    ConnectionsRefusedAddress,
    /// Connections closed because they speak another protocol than their listener.
    ConnectionsRefusedProtocol,
    /// Connections closed because the shard had too much unsent output or too many bytes of
    /// unfinished requests, and theirs had stalled.
    ConnectionsShed,
    /// Bytes of memory that the shard holds for its clients.
    MemoryBytes,
    /// Bytes of memory that unsent output holds.
    OutputBytes,
    /// Times the last free slot of the table of connections was taken; further clients wait in the
    /// backlog then.
    ConnectionsTableFull,
    /// Bytes received.
    BytesIn,
    /// Bytes sent.
    BytesOut,
    /// Requests and notifications of the legacy era.
    RequestsLegacy,
    /// Requests and notifications of the modern era.
    RequestsModern,
    /// Requests refused for their `Host` or `Origin`.
    RefusedOrigin,
    /// Requests refused because the header that names the principal is malformed.
    RefusedPrincipal,
    /// Requests refused because they have no credential, or a bad one.
    RefusedCredential,
    /// Requests refused because their client may not use what they are for.
    RefusedAccess,
    /// Requests refused because too many credentials from their source failed.
    RefusedBlocked,
    /// Requests refused by the rate of their client or of the server, or by its quota.
    RefusedRate,
    /// Requests refused because they break their framing or exceed its limits.
    RefusedFraming,
    /// Requests refused because they are not JSON-RPC or exceed its limits.
    RefusedMessage,
    /// Requests refused for an unknown or foreign session.
    RefusedSession,
    /// Requests refused because the shard or another is overloaded.
    RefusedOverload,
    /// Calls whose handler has not returned yet.
    CallsInFlight,
    /// Calls answered with a result.
    CallsOk,
    /// Calls answered with an error.
    CallsFailed,
    /// Calls cancelled by their client or at their deadline.
    CallsCancelled,
    /// Calls ended by a panic of their handler.
    CallsPanicked,
    /// Calls refused because their tool had too many in flight.
    CallsRefusedTool,
    /// Calls refused because their tool kept failing.
    CallsRefusedBreaker,
    /// Calls refused because their upstream kept failing.
    CallsRefusedUpstream,
    /// Calls refused because the shard took too long for its work.
    CallsRefusedDelay,
    /// Calls refused because the shard held as much memory as it may.
    CallsRefusedMemory,
    /// Times that a shard began to refuse work because it held as much memory as it may.
    MemoryBegun,
    /// Times that a shard began to refuse calls because it took too long for its work.
    DelaysBegun,
    /// Times that a tool began to be refused because it kept failing.
    BreakersOpened,
    /// Times that an upstream began to be refused because it kept failing.
    UpstreamBreakersOpened,
    /// Requests to upstreams that were sent again.
    UpstreamRepeats,
    /// Requests of upstreams that were declined because too many calls wait for their clients.
    UpstreamQuestionsDeclined,
    /// Sessions created.
    SessionsCreated,
    /// Sessions made again from their ids.
    SessionsRestored,
    /// Sessions alive.
    SessionsOpen,
    /// Sessions ended by idleness.
    SessionsExpired,
    /// Sessions evicted for others.
    SessionsEvicted,
    /// Sessions ended by their client.
    SessionsDeleted,
    /// Sessions that ended with their connection.
    SessionsWithConnection,
    /// Sessions ended because the server drains.
    SessionsDrained,
    /// Sessions that another node of the cluster took.
    SessionsMoved,
    /// Tasks made.
    TasksCreated,
    /// Tasks kept, running or over.
    TasksKept,
    /// Tasks that listen streams subscribe to, counted once for each stream.
    TasksWatched,
    /// Tasks ended by their client.
    TasksCancelled,
    /// Tasks forgotten because their time was over.
    TasksExpired,
    /// Tasks that were over and evicted for others.
    TasksEvicted,
    /// Streams of events open.
    StreamsOpen,
    /// Streams of events opened.
    StreamsOpened,
    /// WebSocket connections open.
    WebSocketsOpen,
    /// Streams that clients came back for.
    StreamsResumed,
    /// Bytes of events kept for clients that lose a stream.
    EventsBytes,
    /// Events evicted for others before their session ended.
    EventsDropped,
    /// Streams evicted for others before their session ended.
    EventStreamsDropped,
    /// Connections closed while a head was incomplete.
    TimeoutsHead,
    /// Connections closed while a body was incomplete.
    TimeoutsBody,
    /// Connections closed between requests.
    TimeoutsIdle,
    /// Connections closed because the peer did not take its output.
    TimeoutsWrite,
    /// WebSocket connections closed because nothing came after a ping.
    TimeoutsPong,
    /// Connections closed because their TLS handshake took too long.
    TimeoutsHandshake,
    /// Calls that reached their deadline.
    TimeoutsCall,
    /// TLS handshakes with new keys.
    TlsHandshakesFull,
    /// TLS handshakes that resumed an earlier session.
    TlsHandshakesResumed,
    /// TLS handshakes that failed.
    TlsHandshakesFailed,
    /// TLS handshakes ended for others, because there were too many.
    TlsHandshakesEvicted,
    /// TLS connections ended for a fault of their peer after the handshake.
    TlsFaults,
    /// TLS connections that ended without close_notify: the last message may have been cut.
    TlsTruncated,
    /// Messages sent to other shards to drain or update them.
    LaneControlSent,
    /// Answers sent to other shards.
    LaneReplySent,
    /// Requests sent to other shards.
    LaneRequestSent,
    /// Broadcasts and other bulk sent to other shards.
    LaneBulkSent,
    /// Messages of each tier that wait for this shard, of all senders.
    LaneControlWaiting,
    /// Answers that wait.
    LaneReplyWaiting,
    /// Requests that wait.
    LaneRequestWaiting,
    /// Bulk that waits.
    LaneBulkWaiting,
    /// Messages of a tier for this shard that its lanes hold at most, of all senders.
    LaneControlCapacity,
    /// The same for answers.
    LaneReplyCapacity,
    /// The same for requests.
    LaneRequestCapacity,
    /// The same for bulk.
    LaneBulkCapacity,
    /// Times that this shard woke another one that slept.
    LaneWakes,
    /// Messages refused to their sender by a full lane.
    LanesFull,
    /// Records of requests that were dropped because too many waited.
    RecordsDropped,
    /// Values of `traceparent` that are malformed, and ignored.
    TraceParentsMalformed,
    /// Receives that found no provided buffer (ENOBUFS).
    RingBuffersExhausted,
    /// Times the completion queue overflowed.
    RingCompletionsOverflowed,
    /// Calls of io_uring_enter(2).
    RingEnters,
    /// Turns of the loop.
    Turns,
    /// Times that the shard slept in the executor.
    Parks,
    /// Shards that were started again after they had failed.
    ShardsRestarted,
    /// Times a shard was stuck for longer than the limit.
    ShardStalls,
}

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

/// Every counter, in the order of [`Counter`].
pub static ROWS: [Row; 108] = [
    total(Counter::ConnectionsAccepted, "connections_accepted", ""),
    level(Counter::ConnectionsOpen, "connections_open"),
    level(Counter::ConnectionsCapacity, "connections_capacity"),
    level(Counter::ListenersPaused, "listeners_paused"),
    total(Counter::ClosedPeer, "connections_closed", "peer"),
    total(Counter::ClosedAnswered, "connections_closed", "answered"),
    total(Counter::ClosedTimeout, "connections_closed", "timeout"),
    total(Counter::ClosedShed, "connections_closed", "shed"),
    total(Counter::ClosedRefused, "connections_closed", "refused"),
    total(Counter::ClosedError, "connections_closed", "error"),
    total(Counter::ClosedDrain, "connections_closed", "drain"),
    total(
        Counter::ConnectionsRefusedDescriptors,
        "connections_refused",
        "descriptors",
    ),
    total(
        Counter::ConnectionsRefusedLimit,
        "connections_refused",
        "limit",
    ),
    total(
        Counter::ConnectionsRefusedMemory,
        "connections_refused",
        "memory",
    ),
    total(
        Counter::ConnectionsRefusedAddress,
        "connections_refused",
        "address",
    ),
    total(
        Counter::ConnectionsRefusedProtocol,
        "connections_refused",
        "protocol",
    ),
    total(Counter::ConnectionsShed, "connections_shed", ""),
    level(Counter::MemoryBytes, "memory_bytes"),
    level(Counter::OutputBytes, "output_bytes"),
    total(Counter::ConnectionsTableFull, "connections_table_full", ""),
    total(Counter::BytesIn, "bytes", "in"),
    total(Counter::BytesOut, "bytes", "out"),
    total(Counter::RequestsLegacy, "requests", "legacy"),
    total(Counter::RequestsModern, "requests", "modern"),
    total(Counter::RefusedOrigin, "requests_refused", "origin"),
    total(Counter::RefusedPrincipal, "requests_refused", "principal"),
    total(Counter::RefusedCredential, "requests_refused", "credential"),
    total(Counter::RefusedAccess, "requests_refused", "access"),
    total(Counter::RefusedBlocked, "requests_refused", "blocked"),
    total(Counter::RefusedRate, "requests_refused", "rate"),
    total(Counter::RefusedFraming, "requests_refused", "framing"),
    total(Counter::RefusedMessage, "requests_refused", "message"),
    total(Counter::RefusedSession, "requests_refused", "session"),
    total(Counter::RefusedOverload, "requests_refused", "overload"),
    level(Counter::CallsInFlight, "calls_in_flight"),
    total(Counter::CallsOk, "calls", "ok"),
    total(Counter::CallsFailed, "calls", "failed"),
    total(Counter::CallsCancelled, "calls", "cancelled"),
    total(Counter::CallsPanicked, "calls", "panicked"),
    total(Counter::CallsRefusedTool, "calls_refused", "tool"),
    total(Counter::CallsRefusedBreaker, "calls_refused", "breaker"),
    total(Counter::CallsRefusedUpstream, "calls_refused", "upstream"),
    total(Counter::CallsRefusedDelay, "calls_refused", "delay"),
    total(Counter::CallsRefusedMemory, "calls_refused", "memory"),
    total(Counter::MemoryBegun, "overloads_begun", "memory"),
    total(Counter::DelaysBegun, "overloads_begun", "delay"),
    total(Counter::BreakersOpened, "breakers_opened", ""),
    total(
        Counter::UpstreamBreakersOpened,
        "upstream_breakers_opened",
        "",
    ),
    total(Counter::UpstreamRepeats, "upstream_repeats", ""),
    total(
        Counter::UpstreamQuestionsDeclined,
        "upstream_questions_declined",
        "",
    ),
    total(Counter::SessionsCreated, "sessions_created", ""),
    total(Counter::SessionsRestored, "sessions_restored", ""),
    level(Counter::SessionsOpen, "sessions_open"),
    total(Counter::SessionsExpired, "sessions_ended", "expired"),
    total(Counter::SessionsEvicted, "sessions_ended", "evicted"),
    total(Counter::SessionsDeleted, "sessions_ended", "deleted"),
    total(
        Counter::SessionsWithConnection,
        "sessions_ended",
        "connection",
    ),
    total(Counter::SessionsDrained, "sessions_ended", "drained"),
    total(Counter::SessionsMoved, "sessions_ended", "moved"),
    total(Counter::TasksCreated, "tasks_created", ""),
    level(Counter::TasksKept, "tasks_kept"),
    level(Counter::TasksWatched, "tasks_watched"),
    total(Counter::TasksCancelled, "tasks_ended", "cancelled"),
    total(Counter::TasksExpired, "tasks_ended", "expired"),
    total(Counter::TasksEvicted, "tasks_ended", "evicted"),
    level(Counter::StreamsOpen, "streams_open"),
    total(Counter::StreamsOpened, "streams_opened", ""),
    level(Counter::WebSocketsOpen, "websockets_open"),
    total(Counter::StreamsResumed, "streams_resumed", ""),
    level(Counter::EventsBytes, "events_bytes"),
    total(Counter::EventsDropped, "events_dropped", ""),
    total(Counter::EventStreamsDropped, "event_streams_dropped", ""),
    total(Counter::TimeoutsHead, "timeouts", "head"),
    total(Counter::TimeoutsBody, "timeouts", "body"),
    total(Counter::TimeoutsIdle, "timeouts", "idle"),
    total(Counter::TimeoutsWrite, "timeouts", "write"),
    total(Counter::TimeoutsPong, "timeouts", "pong"),
    total(Counter::TimeoutsHandshake, "timeouts", "handshake"),
    total(Counter::TimeoutsCall, "timeouts", "call"),
    total(Counter::TlsHandshakesFull, "tls_handshakes", "full"),
    total(Counter::TlsHandshakesResumed, "tls_handshakes", "resumed"),
    total(Counter::TlsHandshakesFailed, "tls_handshakes", "failed"),
    total(Counter::TlsHandshakesEvicted, "tls_handshakes", "evicted"),
    total(Counter::TlsFaults, "tls_faults", ""),
    total(Counter::TlsTruncated, "tls_truncated", ""),
    total(Counter::LaneControlSent, "lane_sent", "control"),
    total(Counter::LaneReplySent, "lane_sent", "reply"),
    total(Counter::LaneRequestSent, "lane_sent", "request"),
    total(Counter::LaneBulkSent, "lane_sent", "bulk"),
    level_of(Counter::LaneControlWaiting, "lane_messages", "control"),
    level_of(Counter::LaneReplyWaiting, "lane_messages", "reply"),
    level_of(Counter::LaneRequestWaiting, "lane_messages", "request"),
    level_of(Counter::LaneBulkWaiting, "lane_messages", "bulk"),
    level_of(Counter::LaneControlCapacity, "lane_capacity", "control"),
    level_of(Counter::LaneReplyCapacity, "lane_capacity", "reply"),
    level_of(Counter::LaneRequestCapacity, "lane_capacity", "request"),
    level_of(Counter::LaneBulkCapacity, "lane_capacity", "bulk"),
    total(Counter::LaneWakes, "lane_wakes", ""),
    total(Counter::LanesFull, "lanes_full", ""),
    total(Counter::RecordsDropped, "records_dropped", ""),
    total(
        Counter::TraceParentsMalformed,
        "trace_parents_malformed",
        "",
    ),
    total(Counter::RingBuffersExhausted, "ring_buffers_exhausted", ""),
    total(
        Counter::RingCompletionsOverflowed,
        "ring_completions_overflowed",
        "",
    ),
    total(Counter::RingEnters, "ring_enters", ""),
    total(Counter::Turns, "turns", ""),
    total(Counter::Parks, "parks", ""),
    total(Counter::ShardsRestarted, "shards_restarted", ""),
    total(Counter::ShardStalls, "shard_stalls", ""),
];

// A counter is an index of its row.
const _: () = {
    let mut index = 0;
    while index < ROWS.len() {
        assert!(
            ROWS[index].counter as usize == index,
            "rows differ in order from Counter"
        );
        index += 1;
    }
};

const fn total(counter: Counter, name: &'static str, label: &'static str) -> Row {
    let kind = Kind::Total;
    Row {
        counter,
        kind,
        name,
        label,
    }
}

const fn level(counter: Counter, name: &'static str) -> Row {
    level_of(counter, name, "")
}

const fn level_of(counter: Counter, name: &'static str, label: &'static str) -> Row {
    Row {
        counter,
        kind: Kind::Level,
        name,
        label,
    }
}
