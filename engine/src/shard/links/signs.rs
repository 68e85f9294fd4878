//! What failures and answers say about an upstream, and when that is refused calls.

use corelane_gateway::relay::{Executed, Failure, Reason};

use crate::breaker::{BreakerLimits, CallSign};
use crate::profile::Gateway;
use crate::upstream::relay::Relay;

/// Calls in ten seconds from which on a failing half of them opens a breaker.
const SHARE_CALLS_MIN: u32 = 20;
/// Trials in a row that close it.
const TRIALS_MIN: u32 = 2;

/// The limits of the breaker of an upstream.
pub(super) fn breaker_limits(settings: &Gateway) -> BreakerLimits {
    BreakerLimits {
        failures_max: settings.failures_max,
        share_calls_min: SHARE_CALLS_MIN,
        trials_min: TRIALS_MIN,
        open_ms: settings.open_ms,
        open_ms_max: settings.open_ms_max,
    }
}

/// What a failure says about its upstream.
pub(super) fn sign_of(failure: &Failure) -> CallSign {
    match failure.reason {
        Reason::Connect | Reason::Closed | Reason::Protocol | Reason::Timeout => CallSign::Fails,
        Reason::Busy | Reason::Credential | Reason::Unavailable | Reason::Lost => CallSign::Unknown,
    }
}

/// What an answer says about its upstream.
pub(super) fn sign_of_answer(relay: &Relay) -> CallSign {
    match relay.shows_health() {
        Some(true) => CallSign::Works,
        Some(false) => CallSign::Fails,
        None => CallSign::Unknown,
    }
}

/// The connection has ended before the answer.
pub(super) fn ended() -> Failure {
    Failure::new(Reason::Closed, Executed::Unknown)
}
