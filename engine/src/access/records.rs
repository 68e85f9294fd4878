//! Records of credentials in the audit log.
//!
//! An accepted credential is recorded when this shard first sees it. A refused one is recorded at
//! once, but further ones of the same source in the same second are only counted: a record at the
//! end of the second has their number. So a flood of bad credentials costs the log at most two
//! records for each of [`SOURCES_MAX`] sources and second, and one for all other sources.

use std::collections::HashSet;

use super::identified::Note;
use crate::audit::{AuditPort, now_us};
use crate::guard::audit::{Event, Record};
use crate::guard::identity::{Identity, Method};
use crate::guard::network::{ClientAddress, Network};
use crate::guard::refusal::Refusal;

/// Sources whose refusals are recorded apart from each other in one second.
const SOURCES_MAX: usize = 64;
/// Principals that are remembered as seen: all are forgotten when there are more.
const SEEN_MAX: usize = 4096;

/// Leaves records of the credentials that one shard checks.
#[derive(Debug)]
pub(super) struct CredentialRecords {
    port: AuditPort,
    /// The principals that were seen and are in no cache of tokens.
    seen: HashSet<Box<str>, foldhash::fast::RandomState>,
    /// The refusals of this second, by their sources.
    sums: Vec<Sum>,
    /// Those of sources past the bound.
    others: Option<Sum>,
    now_s: u64,
}

/// The refusals of one source in a second, and the last one of them.
#[derive(Debug)]
struct Sum {
    source: Option<Network>,
    last: Refused,
    /// Refusals that have no record yet.
    count: u64,
    from_us: u64,
    to_us: u64,
}

/// One refusal.
#[derive(Clone, Copy, Debug)]
struct Refused {
    outcome: &'static str,
    rule: Option<&'static str>,
    peer: Option<ClientAddress>,
}

impl CredentialRecords {
    /// Records at the end of this port.
    pub(super) fn new(port: AuditPort) -> CredentialRecords {
        CredentialRecords {
            port,
            seen: HashSet::default(),
            sums: Vec::new(),
            others: None,
            now_s: 0,
        }
    }

    /// Whether there is an audit log.
    pub(super) fn is_on(&self) -> bool {
        self.port.is_on()
    }

    /// Begins a turn at this time, in seconds since 1970: the sums of a second that is over are
    /// recorded.
    pub(super) fn begin_turn(&mut self, now_s: u64) {
        if now_s != self.now_s {
            self.now_s = now_s;
            self.record_sums();
        }
    }

    /// Forgets the credentials that were seen, because there is another configuration.
    pub(super) fn forget_seen(&mut self) {
        self.seen.clear();
    }

    /// Records a credential, unless it was seen before. `note` is that of a signed token; the
    /// others are known by their principals.
    pub(super) fn accept(
        &mut self,
        identity: &Identity,
        note: Option<Note>,
        peer: Option<ClientAddress>,
    ) {
        let is_first = match identity.method {
            Method::Jwt => note == Some(Note::FirstSight),
            _ => self.is_first_of(identity.principal_key()),
        };
        if is_first {
            self.port.record(Record {
                principal: Some(identity.principal_key()),
                client: identity.client.as_deref(),
                issuer: Some(&*identity.issuer).filter(|alias| !alias.is_empty()),
                peer,
                outcome: Some("accepted"),
                ..Record::new(Event::AuthAccepted, 0)
            });
        }
    }

    fn is_first_of(&mut self, principal: &str) -> bool {
        if self.seen.contains(principal) {
            return false;
        }
        if self.seen.len() >= SEEN_MAX {
            self.seen.clear();
        }
        self.seen.insert(principal.into())
    }

    /// Records or counts a refused credential, with the rule that it broke if that is known.
    #[cold]
    pub(super) fn refuse(
        &mut self,
        outcome: &'static str,
        rule: Option<&'static str>,
        peer: Option<ClientAddress>,
    ) {
        if !self.is_on() {
            return;
        }
        let last = Refused {
            outcome,
            rule,
            peer,
        };
        let source = peer.map(Network::from);
        if let Some(sum) = self.sums.iter_mut().find(|sum| sum.source == source) {
            return sum.add(last);
        }
        if self.sums.len() < SOURCES_MAX {
            self.sums.push(Sum::new(source, last));
            self.port.record(last.record());
        } else {
            // The peer of one of many says nothing about the others.
            let last = Refused { peer: None, ..last };
            self.others
                .get_or_insert_with(|| Sum::new(None, last))
                .add(last);
        }
    }

    /// Records that an identity lacks scopes that all requests to an endpoint need.
    #[cold]
    pub(super) fn deny(
        &self,
        identity: Option<&Identity>,
        refusal: &Refusal,
        peer: Option<ClientAddress>,
    ) {
        self.port.record(Record {
            principal: identity.map(Identity::principal_key),
            client: identity.and_then(|identity| identity.client.as_deref()),
            issuer: identity.map(|it| &*it.issuer).filter(|it| !it.is_empty()),
            peer,
            decision: Some(refusal.word()),
            ..Record::new(Event::AuthzDenied, 0)
        });
    }

    fn record_sums(&mut self) {
        let sums = self.sums.drain(..).chain(self.others.take());
        for sum in sums.filter(|sum| sum.count > 0) {
            self.port.record(sum.record());
        }
    }
}

/// A shard that ends leaves the sums of its last second.
impl Drop for CredentialRecords {
    fn drop(&mut self) {
        self.record_sums();
    }
}

impl Sum {
    fn new(source: Option<Network>, last: Refused) -> Sum {
        Sum {
            source,
            last,
            count: 0,
            from_us: 0,
            to_us: 0,
        }
    }

    fn add(&mut self, refused: Refused) {
        self.last = refused;
        self.to_us = now_us();
        if self.count == 0 {
            self.from_us = self.to_us;
        }
        self.count += 1;
    }

    fn record(&self) -> Record<'static> {
        Record {
            from_us: Some(self.from_us),
            to_us: Some(self.to_us),
            count: Some(self.count),
            ..self.last.record()
        }
    }
}

impl Refused {
    fn record(self) -> Record<'static> {
        Record {
            peer: self.peer,
            rule: self.rule,
            outcome: Some(self.outcome),
            ..Record::new(Event::AuthRefused, 0)
        }
    }
}
