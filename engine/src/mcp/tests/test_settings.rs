//! The settings of endpoints under test.

use corelane_protocol::jsonrpc::JsonLimits;

use crate::catalog::guarded::ToolLimits;
use crate::mcp::call_table::CallLimits;
use crate::mcp::event_store::EventLimits;
use crate::mcp::parked::ParkedLimits;
use crate::mcp::task_table::TaskLimits;
use crate::mcp::{EndpointSettings, ServerParts};

/// Ample limits.
pub(super) fn settings(parts: ServerParts) -> EndpointSettings {
    EndpointSettings {
        shard: 0,
        shards: 1,
        parts,
        answer_timeout_ms: 1000,
        json: JsonLimits::default(),
        inline_bytes_max: 1 << 16,
        batch_max: 4,
        batch_bytes_max: 100_000,
        calls: CallLimits {
            calls_max: 100,
            per_session_max: 100,
            bytes_max: 1_000_000,
            timeout_ms: 1000,
            events_max: 16,
            parked: ParkedLimits {
                calls_max: 8,
                per_holder_max: 4,
            },
        },
        tools: ToolLimits::NONE,
        connections_max: 100,
        sessions_max: 100,
        sessions_per_principal_max: 100,
        session_idle_timeout_ms: 10_000,
        session_id_max_age_s: 0,
        sessions_ended_max: 100,
        views_max: 16,
        buckets_max: 100,
        quota_interval_ms: 1000,
        subscriptions_per_session_max: 2,
        streams_per_session_max: 2,
        tasks: TaskLimits {
            tasks_max: 4,
            per_owner_max: 3,
            ttl_default_ms: 5000,
            ttl_max_ms: 60_000,
            result_bytes_max: 10_000,
            bytes_max: 1_000_000,
            poll_interval_ms: 100,
        },
        tasks_per_listen_max: 3,
        events: EventLimits {
            bytes_max: 1_000_000,
            bytes_per_session_max: 100_000,
            events_per_stream_max: 100,
            streams_per_session_max: 10,
        },
    }
}
