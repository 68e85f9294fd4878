//! The families of shards.

use super::family::{ShardFact, ShardHistogram, Source, families};

// In the order of the exposition.
families! {
    Histogram "mcp_server_operation_duration_seconds" in "seconds" by [
        "mcp_method_name", "mcp_protocol_version", "gen_ai_operation_name", "gen_ai_tool_name",
        "gen_ai_prompt_name", "error_type", "rpc_response_status_code", "otel_metric_overflow",
    ] = (Source::Operations),
        "Time from the turn that a request came in until its answer was written.";
    Histogram "mcp_server_session_duration_seconds" in "seconds" by [
        "mcp_protocol_version",
    ] = (Source::Sessions),
        "Time from the handshake of a session until its end.";
    Histogram "http_server_request_duration_seconds" in "seconds" by [
        "http_request_method", "url_scheme", "network_protocol_version",
        "http_response_status_code", "error_type", "otel_metric_overflow",
    ] = (Source::Http),
        "Time from the turn that a request came in until its answer was written, without streams.";
    Histogram "corelane_stream_duration_seconds" in "seconds" =
        (Source::Merged(ShardHistogram::Stream)),
        "Time from the request of a stream of events over HTTP until its end.";
    Histogram "corelane_call_queue_seconds" in "seconds" = (Source::Merged(ShardHistogram::Queue)),
        "Time from the turn that a call came in until its handler began.";
    Histogram "corelane_call_handler_seconds" in "seconds" =
        (Source::Merged(ShardHistogram::Handler)),
        "Time of handlers, with the decoding of their calls and the time that they waited.";
    Gauge "corelane_shard_up" = (Source::Shard(ShardFact::Up)), "Whether the shard runs.";
    Gauge "corelane_shard_stalled" = (Source::Shard(ShardFact::Stalled)),
        "Whether the shard has been stuck for longer than supervision.stall_after_ms.";
    Counter "corelane_shard_stalls" = (Source::Shard(ShardFact::Stalls)),
        "Times that the shard was found stuck.";
    Counter "corelane_shard_restarts" = (Source::Shard(ShardFact::Restarts)),
        "Times that the shard was started again after it had failed.";
    Gauge "corelane_shard_page_age_seconds" in "seconds" = (Source::Shard(ShardFact::PageAge)),
        "Age of the counters of the shard; a shard that sleeps renews them each second.";
    Counter "corelane_shard_cpu_seconds" in "seconds" = (Source::Shard(ShardFact::CpuTime)),
        "CPU time of the shard, in all of its lives.";
    Counter "corelane_shard_parks" = [Parks], "Times that the shard slept in its executor.";
    Counter "corelane_turns" = [Turns], "Turns of the loop.";
    Histogram "corelane_turn_duration_seconds" in "seconds" =
        (Source::OfShard(ShardHistogram::Turn)),
        "Work of a turn that did something, without waiting.";
    Histogram "corelane_loop_delay_seconds" in "seconds" = (Source::OfShard(ShardHistogram::Delay)),
        "Time from the moment when completions are ready until the last of them is handled.";
    Gauge "corelane_connections" = [ConnectionsOpen], "Connections open.";
    Counter "corelane_connections_accepted" = [ConnectionsAccepted], "Connections accepted.";
    Gauge "corelane_connections_capacity" = [ConnectionsCapacity],
        "Connections that the shard can hold.";
    Gauge "corelane_accept_paused" = [ListenersPaused],
        "Listeners whose connections wait, because accepting failed or no place is free.";
    Counter "corelane_connections_closed" by ["reason"] = [
        ClosedPeer "peer", ClosedAnswered "answered", ClosedTimeout "timeout", ClosedShed "shed",
        ClosedRefused "refused", ClosedError "error", ClosedDrain "drain",
    ],
        "Connections closed: by their peer, after their last answer, at a deadline (see \
         timeouts), for the memory of others, as soon as they were known, by a fault of TLS, or \
         in a drain.";
    Counter "corelane_connections_refused" by ["reason"] = [
        ConnectionsRefusedDescriptors "descriptors", ConnectionsRefusedLimit "limit",
        ConnectionsRefusedMemory "memory", ConnectionsRefusedAddress "address_limit",
        ConnectionsRefusedProtocol "protocol",
    ], "Connections closed as soon as they were accepted.";
    Counter "corelane_connections_shed" = [ConnectionsShed],
        "Connections closed for the memory of their output or of unfinished requests.";
    Counter "corelane_connections_table_full" = [ConnectionsTableFull],
        "Times that the last free place of the table of connections was taken.";
    Counter "corelane_received_bytes" in "bytes" = [BytesIn], "Bytes received.";
    Counter "corelane_sent_bytes" in "bytes" = [BytesOut], "Bytes sent.";
    Gauge "corelane_memory_bytes" in "bytes" = [MemoryBytes],
        "Memory that the shard holds for its clients.";
    Gauge "corelane_output_bytes" in "bytes" = [OutputBytes], "Memory of unsent output.";
    Counter "corelane_requests" by ["era"] = [RequestsLegacy "legacy", RequestsModern "modern"],
        "Requests and notifications.";
    Counter "corelane_requests_refused" by ["reason"] = [
        RefusedOrigin "origin", RefusedPrincipal "principal", RefusedCredential "credential",
        RefusedAccess "access", RefusedBlocked "blocked", RefusedRate "rate",
        RefusedFraming "framing", RefusedMessage "message", RefusedSession "session",
        RefusedOverload "overload",
    ], "Requests refused.";
    Gauge "corelane_calls_in_flight" = [CallsInFlight], "Calls whose handler has not returned yet.";
    Counter "corelane_calls" by ["outcome"] = [
        CallsOk "ok", CallsFailed "failed", CallsCancelled "cancelled", CallsPanicked "panicked",
    ], "Calls that ended.";
    Counter "corelane_calls_refused" by ["reason"] = [
        CallsRefusedTool "tool", CallsRefusedBreaker "breaker", CallsRefusedUpstream "upstream",
        CallsRefusedDelay "delay", CallsRefusedMemory "memory",
    ], "Calls refused for overload before their handler ran.";
    Counter "corelane_overloads" by ["reason"] = [MemoryBegun "memory", DelaysBegun "delay"],
        "Times that the shard began to refuse work.";
    Counter "corelane_breakers_opened" = [BreakersOpened],
        "Times that a tool began to be refused because it kept failing.";
    Counter "corelane_upstream_breakers_opened" = [UpstreamBreakersOpened],
        "Times that an upstream began to be refused because it kept failing.";
    Counter "corelane_upstream_repeats" = [UpstreamRepeats],
        "Requests to upstreams that were sent again.";
    Counter "corelane_upstream_questions_declined" = [UpstreamQuestionsDeclined],
        "Requests of upstreams that were declined: too many calls wait for their clients.";
    Gauge "corelane_sessions" = [SessionsOpen], "Sessions alive.";
    Counter "corelane_sessions_created" = [SessionsCreated], "Sessions made.";
    Counter "corelane_sessions_restored" = [SessionsRestored],
        "Sessions made again from their ids.";
    Counter "corelane_sessions_ended" by ["reason"] = [
        SessionsExpired "expired", SessionsEvicted "evicted", SessionsDeleted "deleted",
        SessionsWithConnection "connection", SessionsDrained "drain", SessionsMoved "moved",
    ], "Sessions that ended.";
    Gauge "corelane_streams" = [StreamsOpen], "Streams of events open.";
    Counter "corelane_streams_opened" = [StreamsOpened], "Streams of events opened.";
    Counter "corelane_streams_resumed" = [StreamsResumed], "Streams that clients came back for.";
    Gauge "corelane_websockets" = [WebSocketsOpen], "WebSocket connections open.";
    Gauge "corelane_event_store_bytes" in "bytes" = [EventsBytes],
        "Events kept for clients that lose a stream.";
    Counter "corelane_events_dropped" = [EventsDropped],
        "Events evicted for others before their session ended.";
    Counter "corelane_event_streams_dropped" = [EventStreamsDropped],
        "Streams whose events were evicted for others before their session ended.";
    Gauge "corelane_tasks" = [TasksKept], "Tasks kept, running or over.";
    Gauge "corelane_tasks_watched" = [TasksWatched],
        "Tasks that listen streams subscribe to, once for each stream.";
    Counter "corelane_tasks_created" = [TasksCreated], "Tasks made.";
    Counter "corelane_tasks_ended" by ["reason"] = [
        TasksCancelled "cancelled", TasksExpired "expired", TasksEvicted "evicted",
    ], "Tasks that ended otherwise than with their result.";
    Counter "corelane_timeouts" by ["kind"] = [
        TimeoutsHead "head", TimeoutsBody "body", TimeoutsIdle "idle", TimeoutsWrite "write",
        TimeoutsPong "pong", TimeoutsHandshake "handshake", TimeoutsCall "call",
    ], "Deadlines that passed.";
    Counter "corelane_tls_handshakes" by ["outcome"] = [
        TlsHandshakesFull "full", TlsHandshakesResumed "resumed", TlsHandshakesFailed "failed",
        TlsHandshakesEvicted "evicted",
    ], "TLS handshakes that ended.";
    Counter "corelane_tls_faults" = [TlsFaults],
        "TLS connections ended for a fault of their peer after the handshake.";
    Counter "corelane_tls_truncated" = [TlsTruncated],
        "TLS connections that ended without close_notify.";
    Gauge "corelane_lane_messages" by ["tier"] = [
        LaneControlWaiting "control", LaneReplyWaiting "reply", LaneRequestWaiting "request",
        LaneBulkWaiting "bulk",
    ], "Messages of other shards that wait for this one.";
    Gauge "corelane_lane_capacity" by ["tier"] = [
        LaneControlCapacity "control", LaneReplyCapacity "reply", LaneRequestCapacity "request",
        LaneBulkCapacity "bulk",
    ], "Messages for this shard that all lanes to it hold at most.";
    Counter "corelane_lane_sent" by ["tier"] = [
        LaneControlSent "control", LaneReplySent "reply", LaneRequestSent "request",
        LaneBulkSent "bulk",
    ], "Messages that this shard sent to others.";
    Counter "corelane_lane_wakes" = [LaneWakes],
        "Times that this shard woke another one that slept.";
    Counter "corelane_lane_refused" = [LanesFull],
        "Messages to other shards that were refused by a full lane.";
    Counter "corelane_records_dropped" = [RecordsDropped],
        "Requests without their line of the access log, row or span: too many waited.";
    Counter "corelane_trace_parents_malformed" = [TraceParentsMalformed],
        "Values of traceparent that are malformed, and ignored.";
    Counter "corelane_ring_enters" = [RingEnters], "Calls of io_uring_enter.";
    Counter "corelane_ring_completions_overflowed" = [RingCompletionsOverflowed],
        "Times that a queue of completions was found overflown.";
    Counter "corelane_buffers_exhausted" = [RingBuffersExhausted],
        "Receives that found no provided buffer.";
}
