//! Other settings while the shard runs.

use std::sync::Arc;

use corelane_protocol::jsonrpc::Decoder;
use corelane_protocol::request_state::Sealer;

use super::Endpoint;
use crate::mcp::endings::SessionEnd;
use crate::mcp::services::Services;
use crate::mcp::settings::EndpointSettings;
use crate::profile::ShardProfile;

/// Entries of each kind that are evicted in one turn after a limit was lowered.
const EVICTIONS_PER_TURN: usize = 64;

impl Endpoint {
    /// Handles another profile, and the keys of request states. Calls that run keep their
    /// deadlines. Entries past a lower limit stay until [`Endpoint::shrink`].
    pub(crate) fn handle_settings(&mut self, profile: &ShardProfile, keys: &Arc<Sealer>) {
        let Services {
            context,
            catalog,
            questions,
            calls,
            sessions,
            streams,
            tasks,
            outbox,
            ..
        } = &mut self.services;
        let before = &context.settings;
        let settings = EndpointSettings::new(
            (before.shard, before.shards),
            before.parts.clone(),
            profile,
            before.connections_max,
        );
        if settings.json != before.json {
            self.decoder = Decoder::new(settings.json);
        }
        let (batch_max, inline_bytes_max) = (settings.batch_max, settings.inline_bytes_max);
        self.decoding
            .set_limits(settings.json, batch_max, inline_bytes_max);
        catalog.set_limits(settings.tools);
        questions.renew(keys, settings.answer_timeout_ms);
        calls.set_limits(settings.calls);
        sessions.set_limits(settings.session_limits());
        sessions.restorer.set_keys(keys);
        streams.set_limits(settings.events);
        tasks.table.set_limits(settings.tasks);
        outbox.batches.set_bytes_max(settings.batch_bytes_max);
        context.forwards.set_bytes_max(settings.calls.bytes_max);
        context.settings = settings;
    }

    /// Evicts idle sessions, finished tasks and kept events past limits that were lowered, up to
    /// [`EVICTIONS_PER_TURN`] of each. Returns whether there are more.
    pub(crate) fn shrink(&mut self) -> bool {
        let now_ms = self.now_ms();
        for _ in 0..EVICTIONS_PER_TURN {
            if let Some(session) = self.services.sessions.shrink(now_ms) {
                self.services
                    .endings()
                    .end_session(session, SessionEnd::Evicted);
            }
        }
        let Services {
            sessions,
            streams,
            tasks,
            ..
        } = &mut self.services;
        for _ in 0..EVICTIONS_PER_TURN {
            if tasks.table.is_shrinking() {
                tasks.table.shrink();
            }
        }
        tasks.measure();
        streams.shrink(EVICTIONS_PER_TURN);
        sessions.is_shrinking() || tasks.table.is_shrinking() || streams.is_shrinking()
    }

    /// The headers that handlers may see, which pages of other origins may send.
    pub(crate) fn exposed_headers(&self) -> impl Iterator<Item = &str> {
        self.services.context.settings.parts.exposed.names()
    }
}
