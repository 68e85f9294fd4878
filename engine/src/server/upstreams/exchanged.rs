//! The tokens for which those of clients were exchanged, of all upstreams.
//!
//! One exchange of a token for an upstream is under way at a time, for all shards. A failure of the
//! authorization server deletes no token: shards use it to its end. The clock and all effects are
//! the caller's.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::guard::subject::SubjectKey;
use crate::upstream::board::{GrantFault, Granted};
use crate::upstream::exchanged_token::ExchangedToken;

/// Most tokens of clients whose exchanges are remembered.
const TOKENS_MAX: usize = 10_000;
/// Most exchanges that are under way or wait.
const REQUESTS_MAX: usize = 1024;
/// How long an exchange may take. It has 10 s to be answered, and may wait for others.
const REQUEST_TIME: Duration = Duration::from_secs(60);
/// The least time between two exchanges of one token, be it refused or not.
const INTERVAL: Duration = Duration::from_secs(1);
/// The life of a token whose authorization server does not say how long it is valid.
const LIFE: Duration = Duration::from_secs(300);

const REFUSED: &str = "the authorization server does not exchange the token of the client";
const UNAVAILABLE: &str = "the authorization server that exchanges tokens does not answer";
const BUSY: &str = "too many tokens of clients are exchanged at once: repeat the call later";
const NOT_TAKEN: &str = "it refuses the token that was exchanged for that of the client";

/// The result of an exchange for a shard.
pub(super) type Outcome = Result<Arc<ExchangedToken>, &'static str>;
/// An instance of an upstream, and the token of a client.
pub(super) type ExchangeKey = (u64, SubjectKey);

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    entries: HashMap<ExchangeKey, Entry, foldhash::fast::RandomState>,
    last_number: u64,
    last_use: u64,
}

#[derive(Debug, Default)]
struct Entry {
    token: Option<Arc<ExchangedToken>>,
    /// Why there is none, if the last exchange failed.
    fault: Option<&'static str>,
    /// When the last exchange ended.
    ended: Option<Instant>,
    /// When the exchange that is under way is given up.
    due: Option<Instant>,
    /// When the token of the client ends.
    subject_ends: Option<Instant>,
    /// The shards that wait.
    waiting: BTreeSet<u16>,
    last_use: u64,
}

/// The effect of a request of a shard.
#[derive(Debug)]
pub(super) enum ExchangeStep {
    /// The shard gets this at once.
    Answer(Outcome),
    /// It waits for an exchange that is under way.
    Wait,
    /// It waits for one that is to begin.
    Begin,
}

impl Exchanges {
    /// A shard needs a token, or another one than that with the number `before`. The token of the
    /// client is valid for `life`, if that is known.
    pub(super) fn handle_request(
        &mut self,
        key: ExchangeKey,
        (shard, before): (u16, Option<u64>),
        life: Option<Duration>,
        now: Instant,
    ) -> ExchangeStep {
        self.last_use += 1;
        let last_use = self.last_use;
        let under_way = |it: &Entry| it.due.is_some_and(|due| due > now);
        if !self.entries.contains_key(&key) {
            if self.entries.values().filter(|it| under_way(it)).count() >= REQUESTS_MAX {
                return ExchangeStep::Answer(Err(BUSY));
            }
            if self.entries.len() >= TOKENS_MAX {
                self.forget_oldest(now);
            }
        }
        let entry = self.entries.entry(key).or_default();
        entry.last_use = last_use;
        // A token may claim to last for ever.
        entry.subject_ends = life.and_then(|life| now.checked_add(life));
        let token = entry.token.as_ref().filter(|token| token.ends > now);
        let is_recent = entry.ended.is_some_and(|ended| ended + INTERVAL > now);
        match (token, entry.fault) {
            (Some(token), _) if before != Some(token.number) => {
                return ExchangeStep::Answer(Ok(Arc::clone(token)));
            }
            (_, Some(fault)) if is_recent => return ExchangeStep::Answer(Err(fault)),
            (Some(_), None) if is_recent => return ExchangeStep::Answer(Err(NOT_TAKEN)),
            _ => {}
        }
        entry.waiting.insert(shard);
        if under_way(entry) {
            return ExchangeStep::Wait;
        }
        entry.due = Some(now + REQUEST_TIME);
        ExchangeStep::Begin
    }

    /// An exchange has ended. Gives the shards that wait, and the line for them.
    pub(super) fn handle_exchanged(
        &mut self,
        key: ExchangeKey,
        granted: Result<Granted, GrantFault>,
        now: Instant,
    ) -> (BTreeSet<u16>, Outcome) {
        self.last_number += 1;
        let number = self.last_number;
        // It was forgotten for others: no shard waits.
        let Some(entry) = self.entries.get_mut(&key) else {
            return (BTreeSet::new(), Err(UNAVAILABLE));
        };
        (entry.due, entry.ended) = (None, Some(now));
        let outcome = match granted {
            Ok(Granted { value, life }) => {
                let ends = now + life.unwrap_or(LIFE);
                let ends = entry
                    .subject_ends
                    .map_or(ends, |of_subject| of_subject.min(ends));
                let renew = now + (ends - now).mul_f64(0.8);
                let token = ExchangedToken::new(&value, number, (renew, ends));
                token.map(Arc::new).ok_or(REFUSED)
            }
            Err(fault) if fault.is_refused => Err(REFUSED),
            Err(_) => Err(UNAVAILABLE),
        };
        entry.fault = outcome.as_ref().err().copied();
        match &outcome {
            Ok(token) => entry.token = Some(Arc::clone(token)),
            // The authorization server knows better than the token of before.
            Err(fault) if *fault == REFUSED => entry.token = None,
            Err(_) => {}
        }
        (std::mem::take(&mut entry.waiting), outcome)
    }

    /// Forgets the tokens of all instances but those for which `is_served` holds.
    pub(super) fn retain(&mut self, is_served: impl Fn(u64) -> bool) {
        self.entries.retain(|(instance, _), _| is_served(*instance));
    }

    /// Forgets the token that was not requested for the longest time, and no shard waits for.
    fn forget_oldest(&mut self, now: Instant) {
        let entries = self.entries.iter();
        let idle = entries.filter(|(_, it)| it.due.is_none_or(|due| due <= now));
        let oldest = idle.min_by_key(|(_, it)| it.last_use);
        if let Some(key) = oldest.map(|(key, _)| *key) {
            self.entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests;
