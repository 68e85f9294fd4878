//! Taking the settings of a reload over.

use std::sync::Arc;

use super::ShardPlan;
use super::work::Shard;
use crate::connection::cors::Cors;
use crate::connection::http_settings::HttpSettings;
use crate::live::{Live, NewLive};

impl Shard {
    /// Uses other settings from now on, between two requests. Calls that run keep those that they
    /// began with, as far as they have them.
    #[cold]
    pub(super) fn take_live(&mut self, new: NewLive) {
        // The snapshot of access control was left before the settings: the shard that uses these
        // uses that one, too.
        self.take_access();
        let live = &*new.live;
        let profile = live.shards[usize::from(self.handling.shard)];
        self.profile = profile;
        let handling = &mut self.handling;
        handling.endpoint.handle_settings(&profile, &live.sealer);
        handling.access.set_header(live.principal.clone());
        let http_settings = HttpSettings::of(&live.server);
        let names = handling.endpoint.exposed_headers();
        let cors = Cors::new(&live.origins, &http_settings, names);
        let rules = &mut handling.rules;
        rules.cors = cors.following(&mut rules.cors);
        rules.origins.clone_from(&live.origins);
        rules.http_settings = http_settings;
        rules.http = profile.http.limits();
        rules.lines = profile.lines;
        rules.websocket = profile.websocket;
        rules.connection = profile.connection;
        self.memory.bytes_max = live.memory_bytes_max;
        if !self.memory.is_out {
            handling.pool.input_bytes_max = profile.connection.input_bytes_max;
        }
        let before = self.loop_delay.served_one_of;
        if self.loop_delay.set_limits(&profile.overload) {
            self.serve_one_of(1, before);
        }
        // They were not counted if there was no limit.
        self.note_connections();
        self.shrinks = true;
        new.adopted();
    }

    /// Evicts a few of the entries past limits that were lowered.
    pub(super) fn shrink(&mut self) {
        self.shrinks = self.handling.endpoint.shrink();
        self.deliver_all();
    }
}

impl ShardPlan {
    /// The settings of a reload, for the next life of the shard.
    pub(crate) fn take_live(&mut self, live: Arc<Live>) {
        self.profile = live.shards[usize::from(self.shard)];
        self.parts.sealer = Arc::clone(&live.sealer);
        self.live = live;
    }
}
