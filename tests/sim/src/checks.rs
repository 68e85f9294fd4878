//! The invariants, as an observer that sees all nodes and the store.

use std::collections::{BTreeMap, BTreeSet};

use corelane_cluster::codec::{Kind, decode};
use corelane_cluster::id::{Process, SessionId, Tail};
use corelane_cluster::record::{Change, Record};
use corelane_cluster::vocabulary::Key;

/// Microseconds in which an acknowledged change is in the store: an interval, two ticks, two reads
/// and writes, and room for the time between events.
pub(crate) const REPLICATED_US: u64 = 250_000;

/// A request as its client sent it.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// The client.
    pub client: usize,
    /// The session.
    pub key: u128,
    /// The operation, which a client may attempt more than once.
    pub op: u64,
    /// Executions.
    pub runs: u32,
    /// Its client got 503.
    pub was_refused: bool,
    /// The node that has it.
    pub node: usize,
    /// The principal or the sealed part is wrong on purpose.
    pub is_forged: bool,
    /// It has a result, or its client gave up.
    pub is_over: bool,
}

/// A session as the observer knows it.
#[derive(Debug)]
pub(crate) struct Known {
    /// Its id.
    pub id: SessionId,
    /// The sealed part of it.
    pub tail: Tail,
    /// Its principal.
    pub principal: Box<str>,
    /// Its client sent a DELETE.
    pub is_delete_sent: bool,
    /// The node and its process that answered the DELETE.
    pub ended_at: Option<(usize, u32)>,
    /// The tombstone was seen in the store.
    pub is_buried: bool,
    /// When its client last used it.
    pub used_us: u64,
    /// When it was last served.
    pub served_us: u64,
    /// It may have expired.
    pub may_expire: bool,
    /// Changes that no later write may lose, because the store had them in quiet times.
    pub pinned: Vec<Change>,
    /// Changes that its client has sent, the last one of each subject.
    pub sent: Vec<Change>,
    /// Subjects of changes whose order is open.
    pub unsure: Vec<Change>,
    /// Changes that ran and that the store did not have in time, with the time and the node.
    pub unstored: Vec<(u64, usize, Change)>,
}

/// A violated invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its number, such as `I4`.
    pub invariant: &'static str,
    /// When, in microseconds.
    pub at_us: u64,
    /// The facts.
    pub text: String,
}

/// The observer.
#[derive(Default)]
pub(crate) struct Checks {
    /// Sessions by their random bits.
    pub sessions: BTreeMap<u128, Known>,
    /// Requests by number.
    pub attempts: BTreeMap<u64, Attempt>,
    /// Executions of each operation that must not run twice.
    runs: BTreeMap<u64, u32>,
    /// The last revision of a session that a process has seen.
    seen: BTreeMap<(Process, Key), u64>,
    /// Writers of revisions.
    writers: BTreeMap<Key, (u64, Process)>,
    /// The first violation ends the run.
    pub finding: Option<Finding>,
    /// Changes that were found in the store in time.
    pub pins: u64,
}

impl Checks {
    /// Reports a violation.
    pub(crate) fn fail(&mut self, invariant: &'static str, at_us: u64, text: String) {
        self.finding.get_or_insert(Finding {
            invariant,
            at_us,
            text,
        });
    }

    /// I4, I8 and I11: a node executes an attempt.
    pub(crate) fn on_run(
        &mut self,
        at_us: u64,
        attempt: u64,
        principal: &str,
        is_repeatable: bool,
    ) {
        let Some(known) = self.attempts.get_mut(&attempt) else {
            return;
        };
        known.runs += 1;
        let (op, was_refused, key, is_forged) =
            (known.op, known.was_refused, known.key, known.is_forged);
        if was_refused {
            self.fail("I11", at_us, format!("attempt {attempt} ran after its 503"));
        }
        let owner = self.sessions.get_mut(&key).map(|it| {
            it.served_us = at_us;
            it.principal.clone()
        });
        if owner.as_deref() != Some(principal) || is_forged {
            self.fail("I8", at_us, format!("{key:x} served {principal}"));
        }
        let runs = self.runs.entry(op).or_default();
        *runs += 1;
        if *runs > 1 && !is_repeatable {
            self.fail("I4", at_us, format!("operation {op} ran twice"));
        }
    }

    /// I11: the client of an attempt gets 503.
    pub(crate) fn on_refused(&mut self, at_us: u64, attempt: u64) {
        if let Some(known) = self.attempts.get_mut(&attempt) {
            known.was_refused = true;
            if known.runs > 0 {
                self.fail(
                    "I11",
                    at_us,
                    format!("503 for attempt {attempt}, which ran"),
                );
            }
        }
    }

    /// I5: the client of an attempt gets 404. The record may have expired while no write was
    /// possible.
    pub(crate) fn on_missing(&mut self, at_us: u64, attempt: u64, has_expired: bool) {
        let Some(known) = self.attempts.get(&attempt) else {
            return;
        };
        let session = self.sessions.get(&known.key);
        let may = session.is_some_and(|it| it.is_delete_sent || it.may_expire) || has_expired;
        if !may && !known.is_forged {
            let text = format!("404 for {:x}, attempt {attempt}", known.key);
            self.fail("I5", at_us, text);
        }
    }

    /// A process has read a revision, or has written it.
    pub(crate) fn on_seen(&mut self, process: Process, key: Key, revision: u64) {
        let seen = self.seen.entry((process, key)).or_default();
        *seen = (*seen).max(revision);
    }

    /// I1, I2 and I9: a write of a session is applied.
    pub(crate) fn on_write(
        &mut self,
        at_us: u64,
        key: Key,
        before: Option<(u64, Option<&[u8]>)>,
        (revision, value): (u64, &[u8]),
    ) {
        let Key::Session(_, random) = key else {
            return;
        };
        let Ok((written, record)) = decode::<Record>(Kind::Session, value) else {
            return self.fail("I2", at_us, format!("{random:x}: a bad record was written"));
        };
        let last_writer = self.writers.insert(key, (revision, written.writer));
        if let Some((old, old_value)) = before {
            let seen = self.seen.get(&(written.writer, key)).copied();
            let is_own = last_writer == Some((old, written.writer));
            if seen.unwrap_or(0) < old && !is_own {
                let text = format!("{random:x}: {} replaced unseen {old}", written.writer);
                self.fail("I2", at_us, text);
            }
            let old = old_value.and_then(|old| decode::<Record>(Kind::Session, old).ok());
            if old.is_some_and(|(_, old)| old.has_ended) && !record.has_ended {
                self.fail("I9", at_us, format!("{random:x} was revived by a write"));
            }
        }
        if let Some(known) = self.sessions.get_mut(&random) {
            // One that was late stays: other nodes may not have heard of it.
            let is_late = |since_us: u64| at_us - since_us > REPLICATED_US;
            known
                .unstored
                .retain(|(since_us, _, change)| is_late(*since_us) || !has(&record, change));
        }
        if !record.has_ended {
            self.check_pins(at_us, random, &record, "a write");
        }
    }

    /// I1: a state has all pinned changes.
    pub(crate) fn check_pins(&mut self, at_us: u64, random: u128, record: &Record, place: &str) {
        let Some(known) = self.sessions.get(&random) else {
            return;
        };
        let lost = known.pinned.iter().find(|change| !has(record, change));
        if let Some(lost) = lost {
            let text = format!("{random:x}: {place} has lost {lost:?}: {:?}", record.state);
            self.fail("I1", at_us, text);
        }
    }

    /// A client sends a change: what it replaces need not be kept any more.
    pub(crate) fn on_change_sent(&mut self, random: u128, change: &Change) {
        if let Some(known) = self.sessions.get_mut(&random) {
            known.pinned.retain(|other| !other.has_subject_of(change));
            known.sent.retain(|other| !other.has_subject_of(change));
            known.sent.push(change.clone());
        }
    }

    /// A change that was acknowledged in quiet times is in the store from now on.
    pub(crate) fn pin(&mut self, random: u128, change: Change) {
        let is_sure = self.is_sure(random, &change);
        if let Some(known) = self.sessions.get_mut(&random).filter(|_| is_sure) {
            self.pins += 1;
            known.pinned.retain(|other| !other.has_subject_of(&change));
            known.pinned.push(change);
        }
    }

    /// A change runs. Nothing is known about its subject if a later one was sent already, or if
    /// another node has an earlier one that the store did not have in time: that node was
    /// in trouble then, and writes it when it can.
    pub(crate) fn on_change_run(
        &mut self,
        (at_us, node): (u64, usize),
        key: u128,
        change: &Change,
    ) {
        let Some(known) = self.sessions.get_mut(&key) else {
            return;
        };
        let is_late = !known.sent.contains(change);
        let has_other = known.unstored.iter().any(|(since_us, other, earlier)| {
            let is_due = at_us - since_us > REPLICATED_US;
            *other != node && is_due && earlier.has_subject_of(change)
        });
        if is_late || has_other {
            known.pinned.retain(|other| !other.has_subject_of(change));
            known.unsure.push(change.clone());
        }
        known.unstored.push((at_us, node, change.clone()));
    }

    /// Whether the order of the changes of a subject is known.
    pub(crate) fn is_sure(&self, random: u128, change: &Change) -> bool {
        let known = self.sessions.get(&random);
        known.is_some_and(|it| {
            let unsure = it.unsure.iter().any(|other| other.has_subject_of(change));
            it.sent.contains(change) && !unsure && !it.is_delete_sent
        })
    }

    /// The store lost everything.
    pub(crate) fn on_wiped(&mut self) {
        for known in self.sessions.values_mut() {
            known.pinned.clear();
            known.is_buried = false;
            known.ended_at = None;
        }
    }

    /// Operations that are counted, for the report.
    #[must_use]
    pub(crate) fn operations(&self) -> usize {
        self.runs.len()
    }

    /// The sessions that were served since.
    #[must_use]
    pub(crate) fn served_since(&self, us: u64) -> BTreeSet<u128> {
        let used = self
            .sessions
            .iter()
            .filter(|(_, it)| it.served_us >= us && !it.is_delete_sent);
        used.map(|(key, _)| *key).collect()
    }
}

/// Whether a record has a change.
#[must_use]
pub(crate) fn has(record: &Record, change: &Change) -> bool {
    match change {
        Change::Level(level) => record.state.level == Some(*level),
        Change::Subscribe(uri) => record.state.uris.contains(uri),
        Change::Unsubscribe(uri) => !record.state.uris.contains(uri),
        Change::Stream(..) => true,
    }
}
