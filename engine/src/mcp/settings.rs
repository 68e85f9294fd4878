//! The settings of an endpoint, taken from the profile of its shard.

use corelane_protocol::jsonrpc::JsonLimits;

use super::call_table::CallLimits;
use super::event_store::EventLimits;
use super::parked::ParkedLimits;
use super::server_parts::ServerParts;
use super::sessions::SessionLimits;
use super::task_table::TaskLimits;
use crate::breaker::BreakerLimits;
use crate::catalog::guarded::ToolLimits;
use crate::profile::ShardProfile;

/// The settings of an endpoint.
pub(crate) struct EndpointSettings {
    /// The shard this endpoint serves on.
    pub(crate) shard: u16,
    /// How many shards there are.
    pub(crate) shards: u16,
    /// The parts that it shares with the other shards.
    pub(crate) parts: ServerParts,
    /// How long a modern client may take to answer, in milliseconds.
    pub(crate) answer_timeout_ms: u64,
    /// Limits on JSON.
    pub(crate) json: JsonLimits,
    /// Bytes of a body past which it is decoded away from the shard.
    pub(crate) inline_bytes_max: usize,
    /// Messages in a batch.
    pub(crate) batch_max: usize,
    /// Bytes of answers past which a batch gets errors only.
    pub(crate) batch_bytes_max: usize,
    /// Limits on calls that wait.
    pub(crate) calls: CallLimits,
    /// Limits on the calls of one tool.
    pub(crate) tools: ToolLimits,
    /// Connections there may be, and so streams.
    pub(crate) connections_max: usize,
    /// Sessions that may live at once.
    pub(crate) sessions_max: usize,
    /// Sessions of one principal among them.
    pub(crate) sessions_per_principal_max: usize,
    /// After this many milliseconds without use a session ends.
    pub(crate) session_idle_timeout_ms: u64,
    /// Seconds after its handshake for which a session is made again from its id; 0 for never.
    pub(crate) session_id_max_age_s: u64,
    /// Ended sessions that are remembered.
    pub(crate) sessions_ended_max: usize,
    /// Resources one session may subscribe to.
    pub(crate) subscriptions_per_session_max: usize,
    /// Streams one session may hold open.
    pub(crate) streams_per_session_max: usize,
    /// Views of the catalog that are kept for classes of identities.
    pub(crate) views_max: usize,
    /// Rates and quotas of clients that are counted.
    pub(crate) buckets_max: usize,
    /// How often the sums of quotas are published, in milliseconds.
    pub(crate) quota_interval_ms: u64,
    /// Limits on tasks.
    pub(crate) tasks: TaskLimits,
    /// Tasks that one listen stream may name.
    pub(crate) tasks_per_listen_max: usize,
    /// Limits on the kept events of streams.
    pub(crate) events: EventLimits,
}

impl EndpointSettings {
    /// The settings of shard `.0` of `.1`, which takes `connections_max` connections, as `profile`
    /// has them.
    pub(crate) fn new(
        (shard, shards): (u16, u16),
        parts: ServerParts,
        profile: &ShardProfile,
        connections_max: usize,
    ) -> EndpointSettings {
        EndpointSettings {
            shard,
            shards,
            parts,
            answer_timeout_ms: profile.calls.answer_timeout_ms,
            json: JsonLimits {
                depth_max: profile.json.depth_max,
                nodes_max: profile.json.nodes_max,
                id_bytes_max: profile.json.id_bytes_max,
                method_bytes_max: profile.json.method_bytes_max,
            },
            inline_bytes_max: profile.json.inline_bytes_max,
            batch_max: profile.json.batch_max,
            batch_bytes_max: 2 * profile.connection.output_bytes_max,
            calls: CallLimits {
                calls_max: profile.calls.in_flight_max,
                per_session_max: profile.calls.per_session_max,
                bytes_max: profile.calls.bytes_max,
                timeout_ms: profile.calls.timeout_ms,
                events_max: profile.calls.events_queued_max,
                parked: ParkedLimits {
                    calls_max: profile.gateway.parked_max,
                    per_holder_max: profile.gateway.parked_per_principal_max,
                },
            },
            tools: ToolLimits {
                in_flight_max: profile.tools.in_flight_max(&profile.calls),
                breaker: BreakerLimits::in_a_row(profile.tools.failures_max, profile.tools.open_ms),
            },
            connections_max,
            sessions_max: profile.sessions.per_shard_max,
            sessions_per_principal_max: profile.sessions.per_principal_max,
            session_idle_timeout_ms: profile.sessions.idle_timeout_ms,
            session_id_max_age_s: profile.sessions.id_max_age_s,
            sessions_ended_max: profile.sessions.ended_max,
            subscriptions_per_session_max: profile.sessions.subscriptions_max,
            streams_per_session_max: profile.streams.per_session_max,
            views_max: profile.auth.views_max,
            buckets_max: profile.limits.buckets_max,
            quota_interval_ms: profile.limits.quota_write_interval_ms,
            tasks: TaskLimits {
                tasks_max: profile.tasks.per_shard_max,
                per_owner_max: profile.tasks.per_owner_max,
                ttl_default_ms: profile.tasks.ttl_default_ms,
                ttl_max_ms: profile.tasks.ttl_max_ms,
                result_bytes_max: profile.tasks.result_bytes_max,
                bytes_max: profile.tasks.bytes_max,
                poll_interval_ms: profile.tasks.poll_interval_ms,
            },
            tasks_per_listen_max: profile.tasks.per_listen_max,
            events: EventLimits {
                bytes_max: profile.streams.kept_bytes_max,
                // A replay is queued at once: a connection must take it without being closed.
                bytes_per_session_max: profile
                    .streams
                    .kept_bytes_per_session_max
                    .min(profile.connection.output_bytes_max),
                events_per_stream_max: profile.streams.kept_events_per_stream_max,
                streams_per_session_max: profile.streams.kept_per_session_max,
            },
        }
    }

    /// The limits on sessions.
    pub(super) fn session_limits(&self) -> SessionLimits {
        SessionLimits {
            sessions_max: self.sessions_max,
            per_principal_max: self.sessions_per_principal_max,
            streams_max: self.connections_max,
            idle_timeout_ms: self.session_idle_timeout_ms,
            id_max_age_s: self.session_id_max_age_s,
            ended_max: self.sessions_ended_max,
        }
    }
}
