//! Changes while the server runs: of the catalog, of the policy, and of the limits of clients.

use std::sync::Arc;

use corelane_protocol::mcp::subscription::ListKind;

use super::Endpoint;
use crate::catalog::pending_updates::Changes;
use crate::guard::limit::file::Limits;
use crate::guard::limit::shard::LimitMessage;
use crate::guard::policy::Policy;

impl Endpoint {
    /// Handles changes of the catalog and of resources: takes them over, and broadcasts them in the
    /// next turns.
    ///
    /// # Panics
    /// With resources while [`Endpoint::takes_updates`] is false.
    pub(crate) fn handle_changes(&mut self, changes: Changes) {
        if let Some(plan) = changes.plan {
            let context = &self.services.context;
            let (limits, meter) = (context.settings.tools, &context.meter);
            self.services.catalog.renew(plan, limits, meter);
            self.services.permissions.on_catalog_changed();
        }
        // Lists are broadcast when every shard has dropped this.
        drop(changes.new_plan);
        let broadcasts = &mut self.services.subscriptions.broadcasts;
        for kind in ListKind::ALL {
            if changes.lists.contains(kind) {
                broadcasts.push_list(kind);
            }
        }
        if !changes.resources.is_empty() {
            broadcasts.push_updates(changes.resources);
        }
    }

    /// Handles a snapshot of access control: its policy, and the number of its configuration.
    pub(crate) fn handle_policy(&mut self, policy: Arc<Policy>, configuration: u64) {
        self.services.permissions.set_policy(policy);
        // The low half of the number is enough: no client stays for that many reloads.
        self.services.subscriptions.configuration = configuration as u32;
    }

    /// Handles other limits of clients.
    pub(crate) fn handle_limits(&mut self, limits: Arc<Limits>) {
        self.services.limits.configure(limits);
    }

    /// Handles a message of another shard about the limits of a client.
    pub(crate) fn handle_limit_message(&mut self, from: u16, message: LimitMessage) {
        self.services.limits.handle_message(from, message);
    }

    /// The endpoint takes the place of one of this shard that died: other shards may still spend
    /// what that one has granted.
    pub(crate) fn follow_death(&mut self) {
        self.services.limits.follow_death();
    }

    /// Sets the clock of limits, in microseconds since the shard started. Its messages are output.
    /// Records what was refused in an earlier second.
    #[inline]
    pub(crate) fn update_limits(&mut self, now_us: u64) {
        let services = &mut self.services;
        if !services.limits.are_none() {
            let unix_s = services.context.unix_now_ms() / 1000;
            services.limits.update_clock(now_us, unix_s);
            for hit in services.limits.hits.take_before(unix_s) {
                services.context.audit.limit_hit(&hit);
            }
        }
        let context = &services.context;
        context
            .audit
            .record_denials(|| context.unix_now_ms() / 1000);
    }

    /// Records the requests that limits and the policy have refused in the last second of the
    /// shard.
    pub(super) fn record_last_hits(&mut self) {
        let services = &mut self.services;
        services.context.audit.record_last_denials();
        for hit in services.limits.hits.take() {
            services.context.audit.limit_hit(&hit);
        }
    }
}
