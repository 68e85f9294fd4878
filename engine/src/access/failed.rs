//! Failed credentials by source, as one shard counts them. All shards count all failures.
//!
//! A source is an address behind trusted proxies, the first half of an IPv6 one, or a peer with a
//! name of its own. A blocked source is refused, but for tokens that were verified before, and for
//! one of its other credentials now and then: one bad client behind an address blocks no other.

use crate::guard::limit::failures::{Attempt, FailureLimit, Failures};
use crate::guard::refusal::Refusal;
use crate::guard::token::fault::TokenFault;

/// Failures that wait to be reported to the other shards. Past it one is counted here alone: the
/// source is blocked here.
const UNREPORTED_MAX: usize = 4096;
const NS_PER_MS: u64 = 1_000_000;

/// Failed credentials of one shard.
#[derive(Debug)]
pub(super) struct FailedCredentials {
    failures: Failures,
    unreported: Vec<Attempt>,
    now_ms: u64,
}

impl FailedCredentials {
    /// None yet, and later those of at most `sources_max` sources.
    pub(super) fn new(limit: FailureLimit, sources_max: usize) -> FailedCredentials {
        FailedCredentials {
            failures: Failures::new(limit, sources_max),
            unreported: Vec::new(),
            now_ms: 0,
        }
    }

    /// Sets the limit of another configuration.
    pub(super) fn configure(&mut self, limit: FailureLimit) {
        self.failures.set_limit(limit);
    }

    /// Begins a turn, so many milliseconds after the start of the shard.
    pub(super) fn begin_turn(&mut self, now_ms: u64) {
        if now_ms / 1000 != self.now_ms / 1000 {
            self.failures.handle_time(now_ms * NS_PER_MS);
        }
        self.now_ms = now_ms;
    }

    /// The refusal of an attempt, unchecked, because its source is blocked.
    pub(super) fn refusal_of(&mut self, attempt: Attempt) -> Option<Refusal> {
        let blocked_ms = self.failures.refuses(attempt, self.now_ms * NS_PER_MS)?;
        let retry_after_s = u32::try_from(blocked_ms.div_ceil(1000)).unwrap_or(u32::MAX);
        Some(Refusal::TooManyFailures { retry_after_s })
    }

    /// Counts an attempt that failed, if the fault is that of a guess.
    pub(super) fn count(&mut self, attempt: Attempt, fault: TokenFault) {
        if fault.is_guess() && self.record(attempt) && self.unreported.len() < UNREPORTED_MAX {
            self.unreported.push(attempt);
        }
    }

    /// Records an attempt that failed here or on another shard. Returns whether it counts.
    pub(super) fn record(&mut self, attempt: Attempt) -> bool {
        self.failures.record(attempt, self.now_ms * NS_PER_MS)
    }

    /// The next failed attempt that the other shards have not seen.
    pub(super) fn poll(&mut self) -> Option<Attempt> {
        self.unreported.pop()
    }
}
