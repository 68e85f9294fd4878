//! The families of shards.

use super::family::FamilyType::{Counter as Total, Gauge};
use super::family::{
    Family, ShardFact, ShardHistogram, Source, counter, counters, level, levels, seconds, shard,
};
use crate::meter::counters::Counter as C;

const REASON: &[&str] = &["reason"];
const TIER: &[&str] = &["tier"];

/// In the order of the exposition.
pub(super) static FAMILIES: &[Family] = &[
    seconds(
        "mcp_server_operation_duration_seconds",
        "Time from the turn that a request came in until its answer was written.",
        Source::Operations,
    )
    .by(&[
        "mcp_method_name",
        "mcp_protocol_version",
        "gen_ai_operation_name",
        "gen_ai_tool_name",
        "gen_ai_prompt_name",
        "error_type",
        "rpc_response_status_code",
        "otel_metric_overflow",
    ]),
    seconds(
        "mcp_server_session_duration_seconds",
        "Time from the handshake of a session until its end.",
        Source::Sessions,
    )
    .by(&["mcp_protocol_version"]),
    seconds(
        "http_server_request_duration_seconds",
        "Time from the turn that a request came in until its answer was written, without streams.",
        Source::Http,
    )
    .by(&[
        "http_request_method",
        "url_scheme",
        "network_protocol_version",
        "http_response_status_code",
        "error_type",
        "otel_metric_overflow",
    ]),
    seconds(
        "corelane_stream_duration_seconds",
        "Time from the request of a stream of events over HTTP until its end.",
        Source::Merged(ShardHistogram::Stream),
    ),
    seconds(
        "corelane_call_queue_seconds",
        "Time from the turn that a call came in until its handler began.",
        Source::Merged(ShardHistogram::Queue),
    ),
    seconds(
        "corelane_call_handler_seconds",
        "Time of handlers, with the decoding of their calls and the time that they waited.",
        Source::Merged(ShardHistogram::Handler),
    ),
    shard(
        "corelane_shard_up",
        Gauge,
        "Whether the shard runs.",
        ShardFact::Up,
    ),
    shard(
        "corelane_shard_stalled",
        Gauge,
        "Whether the shard has been stuck for longer than supervision.stall_after_ms.",
        ShardFact::Stalled,
    ),
    shard(
        "corelane_shard_stalls",
        Total,
        "Times that the shard was found stuck.",
        ShardFact::Stalls,
    ),
    shard(
        "corelane_shard_restarts",
        Total,
        "Times that the shard was started again after it had failed.",
        ShardFact::Restarts,
    ),
    shard(
        "corelane_shard_page_age_seconds",
        Gauge,
        "Age of the counters of the shard; a shard that sleeps renews them each second.",
        ShardFact::PageAge,
    )
    .of("seconds"),
    shard(
        "corelane_shard_cpu_seconds",
        Total,
        "CPU time of the shard, in all of its lives.",
        ShardFact::CpuTime,
    )
    .of("seconds"),
    counter(
        "corelane_shard_parks",
        "Times that the shard slept in its executor.",
        &[(C::Parks, "")],
    ),
    counter("corelane_turns", "Turns of the loop.", &[(C::Turns, "")]),
    seconds(
        "corelane_turn_duration_seconds",
        "Work of a turn that did something, without waiting.",
        Source::OfShard(ShardHistogram::Turn),
    ),
    seconds(
        "corelane_loop_delay_seconds",
        "Time from the moment when completions are ready until the last of them is handled.",
        Source::OfShard(ShardHistogram::Delay),
    ),
    level(
        "corelane_connections",
        "Connections open.",
        &[(C::ConnectionsOpen, "")],
    ),
    counter(
        "corelane_connections_accepted",
        "Connections accepted.",
        &[(C::ConnectionsAccepted, "")],
    ),
    level(
        "corelane_connections_capacity",
        "Connections that the shard can hold.",
        &[(C::ConnectionsCapacity, "")],
    ),
    level(
        "corelane_accept_paused",
        "Listeners whose connections wait, because accepting failed or no place is free.",
        &[(C::ListenersPaused, "")],
    ),
    counters(
        "corelane_connections_closed",
        "Connections closed: by their peer, after their last answer, at a deadline (see timeouts), \
         for the memory of others, as soon as they were known, by a fault of TLS, or in a drain.",
        REASON,
        &[
            (C::ClosedPeer, "peer"),
            (C::ClosedAnswered, "answered"),
            (C::ClosedTimeout, "timeout"),
            (C::ClosedShed, "shed"),
            (C::ClosedRefused, "refused"),
            (C::ClosedError, "error"),
            (C::ClosedDrain, "drain"),
        ],
    ),
    counters(
        "corelane_connections_refused",
        "Connections closed as soon as they were accepted.",
        REASON,
        &[
            (C::ConnectionsRefusedDescriptors, "descriptors"),
            (C::ConnectionsRefusedLimit, "limit"),
            (C::ConnectionsRefusedMemory, "memory"),
            (C::ConnectionsRefusedAddress, "address_limit"),
            (C::ConnectionsRefusedProtocol, "protocol"),
        ],
    ),
    counter(
        "corelane_connections_shed",
        "Connections closed for the memory of their output or of unfinished requests.",
        &[(C::ConnectionsShed, "")],
    ),
    counter(
        "corelane_connections_table_full",
        "Times that the last free place of the table of connections was taken.",
        &[(C::ConnectionsTableFull, "")],
    ),
    counter(
        "corelane_received_bytes",
        "Bytes received.",
        &[(C::BytesIn, "")],
    )
    .of("bytes"),
    counter("corelane_sent_bytes", "Bytes sent.", &[(C::BytesOut, "")]).of("bytes"),
    level(
        "corelane_memory_bytes",
        "Memory that the shard holds for its clients.",
        &[(C::MemoryBytes, "")],
    )
    .of("bytes"),
    level(
        "corelane_output_bytes",
        "Memory of unsent output.",
        &[(C::OutputBytes, "")],
    )
    .of("bytes"),
    counters(
        "corelane_requests",
        "Requests and notifications.",
        &["era"],
        &[(C::RequestsLegacy, "legacy"), (C::RequestsModern, "modern")],
    ),
    counters(
        "corelane_requests_refused",
        "Requests refused.",
        REASON,
        &[
            (C::RefusedOrigin, "origin"),
            (C::RefusedPrincipal, "principal"),
            (C::RefusedCredential, "credential"),
            (C::RefusedAccess, "access"),
            (C::RefusedBlocked, "blocked"),
            (C::RefusedRate, "rate"),
            (C::RefusedFraming, "framing"),
            (C::RefusedMessage, "message"),
            (C::RefusedSession, "session"),
            (C::RefusedOverload, "overload"),
        ],
    ),
    level(
        "corelane_calls_in_flight",
        "Calls whose handler has not returned yet.",
        &[(C::CallsInFlight, "")],
    ),
    counters(
        "corelane_calls",
        "Calls that ended.",
        &["outcome"],
        &[
            (C::CallsOk, "ok"),
            (C::CallsFailed, "failed"),
            (C::CallsCancelled, "cancelled"),
            (C::CallsPanicked, "panicked"),
        ],
    ),
    counters(
        "corelane_calls_refused",
        "Calls refused for overload before their handler ran.",
        REASON,
        &[
            (C::CallsRefusedTool, "tool"),
            (C::CallsRefusedBreaker, "breaker"),
            (C::CallsRefusedUpstream, "upstream"),
            (C::CallsRefusedDelay, "delay"),
            (C::CallsRefusedMemory, "memory"),
        ],
    ),
    counters(
        "corelane_overloads",
        "Times that the shard began to refuse work.",
        REASON,
        &[(C::MemoryBegun, "memory"), (C::DelaysBegun, "delay")],
    ),
    counter(
        "corelane_breakers_opened",
        "Times that a tool began to be refused because it kept failing.",
        &[(C::BreakersOpened, "")],
    ),
    counter(
        "corelane_upstream_breakers_opened",
        "Times that an upstream began to be refused because it kept failing.",
        &[(C::UpstreamBreakersOpened, "")],
    ),
    counter(
        "corelane_upstream_repeats",
        "Requests to upstreams that were sent again.",
        &[(C::UpstreamRepeats, "")],
    ),
    counter(
        "corelane_upstream_questions_declined",
        "Requests of upstreams that were declined: too many calls wait for their clients.",
        &[(C::UpstreamQuestionsDeclined, "")],
    ),
    level(
        "corelane_sessions",
        "Sessions alive.",
        &[(C::SessionsOpen, "")],
    ),
    counter(
        "corelane_sessions_created",
        "Sessions made.",
        &[(C::SessionsCreated, "")],
    ),
    counter(
        "corelane_sessions_restored",
        "Sessions made again from their ids.",
        &[(C::SessionsRestored, "")],
    ),
    counters(
        "corelane_sessions_ended",
        "Sessions that ended.",
        REASON,
        &[
            (C::SessionsExpired, "expired"),
            (C::SessionsEvicted, "evicted"),
            (C::SessionsDeleted, "deleted"),
            (C::SessionsWithConnection, "connection"),
            (C::SessionsDrained, "drain"),
            (C::SessionsMoved, "moved"),
        ],
    ),
    level(
        "corelane_streams",
        "Streams of events open.",
        &[(C::StreamsOpen, "")],
    ),
    counter(
        "corelane_streams_opened",
        "Streams of events opened.",
        &[(C::StreamsOpened, "")],
    ),
    counter(
        "corelane_streams_resumed",
        "Streams that clients came back for.",
        &[(C::StreamsResumed, "")],
    ),
    level(
        "corelane_websockets",
        "WebSocket connections open.",
        &[(C::WebSocketsOpen, "")],
    ),
    level(
        "corelane_event_store_bytes",
        "Events kept for clients that lose a stream.",
        &[(C::EventsBytes, "")],
    )
    .of("bytes"),
    counter(
        "corelane_events_dropped",
        "Events evicted for others before their session ended.",
        &[(C::EventsDropped, "")],
    ),
    counter(
        "corelane_event_streams_dropped",
        "Streams whose events were evicted for others before their session ended.",
        &[(C::EventStreamsDropped, "")],
    ),
    level(
        "corelane_tasks",
        "Tasks kept, running or over.",
        &[(C::TasksKept, "")],
    ),
    level(
        "corelane_tasks_watched",
        "Tasks that listen streams subscribe to, once for each stream.",
        &[(C::TasksWatched, "")],
    ),
    counter(
        "corelane_tasks_created",
        "Tasks made.",
        &[(C::TasksCreated, "")],
    ),
    counters(
        "corelane_tasks_ended",
        "Tasks that ended otherwise than with their result.",
        REASON,
        &[
            (C::TasksCancelled, "cancelled"),
            (C::TasksExpired, "expired"),
            (C::TasksEvicted, "evicted"),
        ],
    ),
    counters(
        "corelane_timeouts",
        "Deadlines that passed.",
        &["kind"],
        &[
            (C::TimeoutsHead, "head"),
            (C::TimeoutsBody, "body"),
            (C::TimeoutsIdle, "idle"),
            (C::TimeoutsWrite, "write"),
            (C::TimeoutsPong, "pong"),
            (C::TimeoutsHandshake, "handshake"),
            (C::TimeoutsCall, "call"),
        ],
    ),
    counters(
        "corelane_tls_handshakes",
        "TLS handshakes that ended.",
        &["outcome"],
        &[
            (C::TlsHandshakesFull, "full"),
            (C::TlsHandshakesResumed, "resumed"),
            (C::TlsHandshakesFailed, "failed"),
            (C::TlsHandshakesEvicted, "evicted"),
        ],
    ),
    counter(
        "corelane_tls_faults",
        "TLS connections ended for a fault of their peer after the handshake.",
        &[(C::TlsFaults, "")],
    ),
    counter(
        "corelane_tls_truncated",
        "TLS connections that ended without close_notify.",
        &[(C::TlsTruncated, "")],
    ),
    levels(
        "corelane_lane_messages",
        "Messages of other shards that wait for this one.",
        TIER,
        &[
            (C::LaneControlWaiting, "control"),
            (C::LaneReplyWaiting, "reply"),
            (C::LaneRequestWaiting, "request"),
            (C::LaneBulkWaiting, "bulk"),
        ],
    ),
    levels(
        "corelane_lane_capacity",
        "Messages for this shard that all lanes to it hold at most.",
        TIER,
        &[
            (C::LaneControlCapacity, "control"),
            (C::LaneReplyCapacity, "reply"),
            (C::LaneRequestCapacity, "request"),
            (C::LaneBulkCapacity, "bulk"),
        ],
    ),
    counters(
        "corelane_lane_sent",
        "Messages that this shard sent to others.",
        TIER,
        &[
            (C::LaneControlSent, "control"),
            (C::LaneReplySent, "reply"),
            (C::LaneRequestSent, "request"),
            (C::LaneBulkSent, "bulk"),
        ],
    ),
    counter(
        "corelane_lane_wakes",
        "Times that this shard woke another one that slept.",
        &[(C::LaneWakes, "")],
    ),
    counter(
        "corelane_lane_refused",
        "Messages to other shards that were refused by a full lane.",
        &[(C::LanesFull, "")],
    ),
    counter(
        "corelane_records_dropped",
        "Requests without their line of the access log, row or span: too many waited.",
        &[(C::RecordsDropped, "")],
    ),
    counter(
        "corelane_trace_parents_malformed",
        "Values of traceparent that are malformed, and ignored.",
        &[(C::TraceParentsMalformed, "")],
    ),
    counter(
        "corelane_ring_enters",
        "Calls of io_uring_enter.",
        &[(C::RingEnters, "")],
    ),
    counter(
        "corelane_ring_completions_overflowed",
        "Times that a queue of completions was found overflown.",
        &[(C::RingCompletionsOverflowed, "")],
    ),
    counter(
        "corelane_buffers_exhausted",
        "Receives that found no provided buffer.",
        &[(C::RingBuffersExhausted, "")],
    ),
];
