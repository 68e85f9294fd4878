//! The decisions of a cluster about sessions of this shard.

use super::Endpoint;
use crate::cluster::ClusterState;
use crate::mcp::clustered::LookedUp;
use crate::mcp::disposition::Forwarded;
use crate::mcp::services::{SessionLeft, UNSURE};

impl Endpoint {
    /// Looks the session of a request up in the cluster, if there is one and that is needed. A
    /// request that is neither given back nor refused waits.
    pub(crate) fn look_up(&mut self, request: Box<Forwarded>) -> Option<Box<Forwarded>> {
        if self.services.clustered.is_none() {
            return Some(request);
        }
        match self.services.look_up(request) {
            LookedUp::Serve(request) => Some(request),
            LookedUp::Waits => None,
            LookedUp::Refused(request, text) => {
                self.services.refuse_forwarded(&request, Some(text));
                None
            }
        }
    }

    /// A session that was looked up is served in this state. The requests that waited for it, which
    /// are to be served before [`Endpoint::end_arrival`].
    pub(crate) fn begin_arrival(
        &mut self,
        random: u128,
        state: Option<Box<ClusterState>>,
    ) -> Vec<Forwarded> {
        let Some(clustered) = self.services.clustered.as_deref_mut() else {
            return Vec::new();
        };
        clustered.arrived = Some((random, state));
        clustered.end_look_up(random)
    }

    /// The requests that waited were served.
    pub(crate) fn end_arrival(&mut self) {
        if let Some(clustered) = self.services.clustered.as_deref_mut() {
            clustered.arrived = None;
        }
    }

    /// A session that was looked up does not exist.
    pub(crate) fn handle_missing(&mut self, random: u128) {
        self.services.leave_session(random, SessionLeft::Ended);
        self.services.refuse_waiting(random, None);
    }

    /// A session cannot be served or ended now.
    pub(crate) fn handle_busy(&mut self, random: u128, text: &'static str) {
        self.services.refuse_waiting(random, Some(text));
        self.services.answer_deletes(random, Some(text));
    }

    /// The end of a session is known to the cluster.
    pub(crate) fn handle_ended(&mut self, random: u128) {
        self.services.leave_session(random, SessionLeft::Ended);
        self.services.answer_deletes(random, None);
    }

    /// Another node has a session, or it ends.
    pub(crate) fn handle_leave(&mut self, random: u128) {
        let clustered = self.services.clustered.as_deref();
        let end = match clustered.is_some_and(|it| it.is_deleting(random)) {
            true => SessionLeft::Ended,
            false => SessionLeft::Moved,
        };
        self.services.leave_session(random, end);
    }

    /// Others may have taken any session.
    pub(crate) fn handle_doubt(&mut self) {
        let sessions = &mut self.services.sessions;
        sessions.epoch = sessions.epoch.wrapping_add(2);
    }

    /// Leaves what waits for the cluster, and refuses what it did not answer in time.
    pub(super) fn tend_cluster(&mut self) {
        self.services.leave_changes();
        let now_ms = self.services.context.now_ms();
        while let Some(random) = self
            .services
            .clustered
            .as_deref_mut()
            .and_then(|it| it.next_late(now_ms))
        {
            self.services.refuse_waiting(random, Some(UNSURE));
        }
    }
}
