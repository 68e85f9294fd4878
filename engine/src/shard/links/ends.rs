//! The ends of calls without an answer: their clients have left, or they fail.

use corelane_gateway::relay::{Executed, Failure};
use corelane_io::rings::Rings;

use super::signs::sign_of;
use super::{Links, TIMEOUT};
use crate::breaker::CallSign;
use crate::upstream::relay::RelayKey;

impl Links {
    /// Ends a call without an answer.
    pub(super) fn cancel(&mut self, rings: &mut Rings, key: RelayKey) {
        let Some(mut relay) = self.port.remove(key) else {
            return;
        };
        if relay.is_of_events() {
            return self.cancel_of_events(rings, key, relay);
        }
        let opens_session = relay.is_handshake();
        let sign = match relay.is_answered() {
            true => CallSign::Works,
            false => CallSign::Unknown,
        };
        self.count_end(relay.upstream, relay.admitted, sign);
        self.leave_session(&relay);
        if let Some(handshake) = relay.take_handshake() {
            self.handshake_failed(relay.upstream, &handshake.owner, &TIMEOUT);
        }
        let is_line = relay.link.is_some_and(|link| self.is_line(link));
        if relay.link.is_some() && !relay.is_answered() && !is_line {
            self.send_cancelled(&relay);
        }
        match relay.link {
            Some(link) if is_line => self.cancel_on_line(rings, (link, key), opens_session),
            // The upstream sees the end of the connection, which cancels the request there (MCP
            // 2026-07-28 basic/utilities/cancellation).
            Some(link) => self.drop_link(rings, link),
            None => {
                self.endpoint(relay.upstream).pool.withdraw(key);
            }
        }
        if let Some(request) = relay.request {
            self.port.give(request);
        }
    }

    /// Ends a call that has no link with a failure.
    pub(super) fn fail(&mut self, key: RelayKey, failure: &Failure) {
        if let Some(mut relay) = self.port.remove(key) {
            self.count_end(relay.upstream, relay.admitted, sign_of(failure));
            self.leave_session(&relay);
            if relay.is_of_events() {
                return self.events_failed(&relay, failure);
            }
            if let Some(handshake) = relay.take_handshake() {
                return self.handshake_failed(relay.upstream, &handshake.owner, failure);
            }
            let table = self.port.table();
            let name = &table.endpoints[usize::from(relay.upstream)].name;
            let executed = match relay.was_sent {
                true => Executed::Unknown,
                false => failure.executed,
            };
            let failure = Failure {
                executed,
                ..failure.clone()
            };
            relay.fail(&failure, name, self.port.event_queue());
            if let Some(request) = relay.request {
                self.port.give(request);
            }
        }
    }
}
