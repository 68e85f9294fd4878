//! Checks requests again that wait for access control.

use std::sync::Arc;

use super::work::Shard;
use crate::access::Recheck;
use crate::connection::body::KeptRequest;
use crate::meter::Counter;

impl Shard {
    /// Handles requests that waited, as many as may have a token verified. Returns whether there
    /// was one.
    pub(super) fn handle_rechecks(&mut self) -> bool {
        while let Some(due_ms) = self.rechecks.due_ms()
            && due_ms <= self.now_ms
        {
            let overdue = self.rechecks.for_snapshot.pop_front();
            self.rechecks.next_turn.extend(overdue);
        }
        let mut did = false;
        // Those that come back are for the next turn.
        for _ in 0..self.rechecks.next_turn.len() {
            if !self.handling.access.has_checks_left() {
                break;
            }
            let Some(kept) = self.rechecks.next_turn.pop_front() else {
                break;
            };
            did = true;
            self.recheck(kept);
        }
        did
    }

    /// Handles another snapshot of access control.
    pub(super) fn on_access_changed(&mut self) {
        self.rechecks.on_snapshot();
        if let Some((policy, configuration)) = self.handling.access.policy() {
            let policy = Arc::clone(policy);
            self.handling.endpoint.handle_policy(policy, configuration);
        }
        if let Some(limits) = self.handling.access.limits() {
            self.handling.endpoint.handle_limits(Arc::clone(limits));
        }
    }

    fn recheck(&mut self, kept: KeptRequest) {
        let key = kept.key;
        let Some(connection) = self.slots.get_mut(key) else {
            return;
        };
        let mut context = self.handling.context(key);
        (context.peer, context.recheck_due_ms) = (kept.peer, Some(kept.due_ms));
        if connection.go_on(kept.request, &mut context) {
            self.close(key, Counter::ClosedPeer);
        } else {
            let out = context.out.take();
            self.finish_step(key, out);
        }
    }

    /// Keeps the requests that access control could not decide about in this step.
    pub(super) fn keep_rechecks(&mut self) {
        let for_snapshot_max = self.handling.access.key_waits_max();
        while let Some((recheck, mut kept)) = self.handling.effects.rechecks.pop() {
            let rechecks = &mut self.rechecks;
            if recheck == Recheck::NextTurn {
                rechecks.next_turn.push_back(kept);
            } else if rechecks.for_snapshot.len() < for_snapshot_max {
                rechecks.for_snapshot.push_back(kept);
            } else {
                // Its time is over: it is refused in the next turn.
                kept.due_ms = self.now_ms;
                rechecks.next_turn.push_back(kept);
                self.handling.meter.count(Counter::RefusedOverload);
            }
        }
    }
}
