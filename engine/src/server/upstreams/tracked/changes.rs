//! What the control side learns about the lists of an upstream between two reads of them.

use std::time::Instant;

use super::{Expiry, Phase, READ_INTERVAL_MIN, Tracked, Turn};
use crate::upstream::board::SubscriptionEvent;

impl Tracked {
    /// A client uses lists of upstreams that have expired.
    pub(in crate::server::upstreams) fn handle_expired_use(&mut self, now: Instant) {
        if self.expiry == Expiry::Over {
            self.read_soon(now);
        }
    }

    /// Something has happened to a subscription. Returns whether resources may have been updated
    /// without a report.
    pub(in crate::server::upstreams) fn handle_subscription(
        &mut self,
        number: u32,
        event: SubscriptionEvent,
        turn: Turn<'_>,
    ) -> bool {
        match event {
            SubscriptionEvent::Acknowledged => {
                let has_missed = self.listener.handle_acknowledged(number, turn.now);
                if has_missed {
                    // A list may have changed before.
                    self.read_soon(turn.now);
                }
                return has_missed;
            }
            SubscriptionEvent::ListChanged => self.read_soon(turn.now),
            SubscriptionEvent::Refused => self.listener.handle_refused(number),
            SubscriptionEvent::Ended(fault) => {
                if let Some(fault) = fault {
                    let name = &*self.upstream.name;
                    tracing::info!(
                        upstream = name,
                        fault,
                        "its changes are subscribed to again"
                    );
                }
                self.listener.handle_ended(number, turn.now, turn.random);
            }
        }
        false
    }

    /// Its lists are read soon: at most one read begins in a second.
    pub(super) fn read_soon(&mut self, now: Instant) {
        self.is_outdated = true;
        if matches!(self.phase, Phase::Idle) && !self.has_failed {
            let earliest = self.begun_at + READ_INTERVAL_MIN;
            self.due = self.due.min(now.max(earliest));
        }
    }
}
