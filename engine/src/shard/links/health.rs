//! The health of upstreams: their breakers, and the calls that are repeated.
//!
//! Calls of clients are refused while the breaker of their upstream is open. The control side is
//! never refused: it requests lists rarely, and learns first that an upstream is back. Handshakes
//! of sessions count with the calls that wait for them.

use corelane_gateway::relay::{Executed, Failure, Reason};

use super::Links;
use crate::breaker::{Admitted, CallSign, Change};
use crate::meter::Counter;
use crate::upstream::relay::RelayKey;

/// The longest wait before the first repeat of a call, in milliseconds. It doubles.
const REPEAT_WAIT_MS: u64 = 50;
/// The longest `Retry-After` that a call waits for, in seconds.
const RETRY_AFTER_S_MAX: u16 = 2;
/// Times that a call is begun on a link at most.
const TRIES_MAX: u8 = 3;

impl Links {
    /// Lets a call go on, if its upstream works, or the call is to try it, or is sent all the same
    /// as `is_needed` says.
    pub(super) fn check_health(&mut self, key: RelayKey, is_needed: bool) -> bool {
        let now_ms = self.now_ms;
        let Some(mut relay) = self.port.find(key) else {
            return false;
        };
        if relay.admitted.is_some() || !relay.counts_for_health() {
            return true;
        }
        let endpoint = &mut self.endpoints[usize::from(relay.upstream)];
        let admitted = match is_needed || relay.is_of_control() {
            true => Ok(endpoint.breaker.admit_probe(now_ms)),
            false => endpoint.breaker.admit(now_ms),
        };
        match admitted {
            Ok(admitted) => {
                relay.admitted = Some(admitted);
                endpoint.repeats.count_request(now_ms);
                true
            }
            Err(left_ms) => {
                drop(relay);
                self.meter.count(Counter::CallsRefusedUpstream);
                let failure = Failure {
                    retry_after_ms: Some(left_ms),
                    ..Failure::unsent(Reason::Unavailable)
                };
                let detail = "it keeps failing, so calls are refused for a while";
                self.fail(key, &failure.with_detail(detail));
                false
            }
        }
    }

    /// Counts the end of a call to an upstream that ran as `admitted`, if it counts.
    pub(super) fn count_end(&mut self, upstream: u16, admitted: Option<Admitted>, sign: CallSign) {
        let Some(admitted) = admitted else {
            return;
        };
        let now_ms = self.now_ms;
        let breaker = &mut self.endpoint(upstream).breaker;
        let Some(change) = breaker.ended(admitted, sign, now_ms) else {
            return;
        };
        let left_ms = breaker.left_ms(now_ms);
        self.keep_breaker_change(upstream, left_ms);
        let table = self.port.table();
        let upstream = &*table.endpoints[usize::from(upstream)].name;
        match change {
            Change::Opened => {
                self.meter.count(Counter::UpstreamBreakersOpened);
                tracing::warn!(
                    upstream,
                    left_ms,
                    "an upstream keeps failing: its calls are refused for a while"
                );
            }
            Change::Reopened => tracing::warn!(
                upstream,
                left_ms,
                "an upstream still fails: its calls are refused for a while again"
            ),
            Change::Closed => tracing::info!(upstream, "an upstream works again: its calls run"),
        }
    }

    /// Whether a call that ended with `failure` may be begun again; one whose fate is unknown only
    /// once.
    pub(super) fn may_begin_again(&mut self, key: RelayKey, failure: &Failure) -> bool {
        let now_ms = self.now_ms;
        let Some(mut relay) = self.port.find(key) else {
            return false;
        };
        relay.link = None;
        let is_unknown = failure.executed == Executed::Unknown;
        let was_sent = is_unknown && std::mem::replace(&mut relay.was_sent, true);
        let repeats = &mut self.endpoints[usize::from(relay.upstream)].repeats;
        let may = !was_sent && relay.tries < TRIES_MAX && relay.request.is_some();
        drop(relay);
        let may = may && repeats.take(now_ms);
        if may {
            self.leave_replica(key, failure);
        }
        may
    }

    /// Begins a call again, after a wait if it may have reached the upstream.
    pub(super) fn repeat(&mut self, key: RelayKey) {
        self.meter.count(Counter::UpstreamRepeats);
        let Some(mut relay) = self.port.find(key) else {
            return;
        };
        relay.forget_answer();
        if !relay.was_sent && relay.tries <= 1 {
            return self.port.begin_again(key);
        }
        let longest_ms = REPEAT_WAIT_MS << relay.tries.min(TRIES_MAX);
        let wait_ms = spread(relay.id, longest_ms);
        self.delayed.push((self.now_ms + wait_ms, key));
    }

    /// Begins a call again that the upstream refused with a short `Retry-After`, once. Returns
    /// whether it does.
    pub(super) fn repeats_later(&mut self, key: RelayKey) -> bool {
        let now_ms = self.now_ms;
        let Some(mut relay) = self.port.find(key) else {
            return false;
        };
        let wait_s = relay.retry_after_s().filter(|it| *it <= RETRY_AFTER_S_MAX);
        let (Some(wait_s), 1, true) = (wait_s, relay.tries, relay.request.is_some()) else {
            return false;
        };
        let repeats = &mut self.endpoints[usize::from(relay.upstream)].repeats;
        if !repeats.take(now_ms) {
            return false;
        }
        self.meter.count(Counter::UpstreamRepeats);
        relay.link = None;
        relay.forget_answer();
        let wait_ms = u64::from(wait_s) * 1000 + spread(relay.id, REPEAT_WAIT_MS);
        self.delayed.push((now_ms + wait_ms, key));
        true
    }

    /// Begins the calls whose waits are over.
    pub(super) fn begin_delayed(&mut self) {
        let (now_ms, port) = (self.now_ms, &self.port);
        self.delayed.retain(|(due_ms, key)| {
            let is_due = *due_ms <= now_ms;
            if is_due {
                port.begin_again(*key);
            }
            !is_due
        });
    }
}

/// From 0 to `longest`, different for calls that follow each other.
fn spread(id: u64, longest: u64) -> u64 {
    (id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % (longest + 1)
}
