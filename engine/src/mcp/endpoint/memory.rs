//! The memory that an endpoint holds for clients, and the ways to hold less.

use super::Endpoint;
use crate::audit::AuditPort;
use crate::mcp::endings::SessionEnd;
use crate::mcp::forward_budget::{ForwardedBody, PostedBody};
use crate::mcp::sessions::Session;
use crate::meter::Counter;
use crate::profile::memory::SESSION_BYTES;

impl Endpoint {
    /// Bytes of memory that calls, requests on their way to other shards, kept events, tasks and
    /// sessions hold.
    pub(crate) fn held_bytes(&self) -> u64 {
        let services = &self.services;
        let counted = [
            services.calls.shares().bytes(),
            services.context.forwards.bytes(),
            services.tasks.table.bytes(),
        ];
        let counted: u64 = counted.iter().map(|bytes| *bytes as u64).sum();
        let events = services.context.meter.value(Counter::EventsBytes);
        counted + events + services.sessions.len() as u64 * SESSION_BYTES
    }

    /// A copy of a body for a stream of another connection, which counts until it was handled like
    /// one on its way to another shard; none if too many bytes are on their way.
    pub(crate) fn body_for_channel(&self, body: &[u8]) -> Option<ForwardedBody> {
        let forwards = &self.services.context.forwards;
        forwards.admit(PostedBody::Text(body)).ok()
    }

    /// Sessions stand at places below this.
    pub(crate) fn session_places(&self) -> usize {
        self.services.sessions.places()
    }

    /// The session at a place, if there is one; looking does not count as use.
    pub(crate) fn session_at(&self, place: usize) -> Option<&Session> {
        self.services.sessions.at_place(place)
    }

    /// Ends up to `count` sessions that have been idle for `idle_ms`, the least recently used
    /// first.
    pub(crate) fn evict_idle_sessions(&mut self, count: usize, idle_ms: u64) {
        let now_ms = self.now_ms();
        for _ in 0..count {
            let Some(session) = self.services.sessions.expire_after(idle_ms, now_ms) else {
                return;
            };
            self.services
                .endings()
                .end_session(session, SessionEnd::Evicted);
        }
    }

    /// Whether new calls are refused for the memory that the shard holds.
    pub(crate) fn is_out_of_memory(&self) -> bool {
        self.services.calls.shedding.is_out_of_memory()
    }

    /// Whether some new calls are refused because the shard takes too long for its work.
    pub(crate) fn sheds_calls(&self) -> bool {
        self.services.calls.shedding.sheds()
    }

    /// The end of the audit log at this shard, for other parts of it that record events.
    pub(crate) fn audit_port(&self) -> AuditPort {
        self.services.context.audit.port()
    }

    /// Whether records of the audit log cannot be written.
    pub(crate) fn is_audit_failing(&self) -> bool {
        self.services.context.audit.is_failing()
    }

    /// Refuses new calls while the shard holds too much memory.
    pub(crate) fn set_out_of_memory(&mut self, is_out: bool) {
        self.services.calls.shedding.set_out_of_memory(is_out);
    }
}
