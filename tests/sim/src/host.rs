//! The server around a core: it runs handlers, and it is observed when it does.

use corelane_cluster::cluster::Cluster;
use corelane_cluster::codec::{Kind, decode};
use corelane_cluster::frame::{Request, Stage};
use corelane_cluster::id::{Birth, Now, Process};
use corelane_cluster::record::{Change, Record};
use corelane_cluster::session::Standing;
use corelane_cluster::vocabulary::{Key, Origin};

use crate::checks::{REPLICATED_US, has};
use crate::client::{STREAM_EVERY, Work, parse};
use crate::event::{Event, Response};
use crate::options::{IDLE_S, RECORD_MARGIN_S};
use crate::world::World;

/// The stream of a session.
const STREAM: u32 = 1;
/// Microseconds without faults before which nothing is expected to be in time.
const QUIET_US: u64 = 3_000_000;

impl World {
    /// The handler of a request ends: it runs now, once.
    pub(crate) fn execute(&mut self, node: usize, origin: Origin, request: &Request) {
        let Some((attempt, work)) = parse(&request.body) else {
            return self
                .checks
                .fail("I8", self.now_us, "a body was damaged".to_owned());
        };
        let key = request.session.random;
        self.mix([5, attempt, node as u64]);
        let is_repeatable = request.is_repeatable;
        self.checks
            .on_run(self.now_us, attempt, &request.principal, is_repeatable);
        let now = self.nodes[node].now(self.now_us);
        let life = self.nodes[node].life;
        let Some(core) = self.nodes[node].core.as_mut() else {
            return;
        };
        if !self.options.forwards && !matches!(work, Work::Call | Work::Show) {
            hold(core, now, request);
        }
        match work {
            Work::Call => {
                // Some answers are streams, and a few of them flood their reader.
                let parts = if attempt.is_multiple_of(STREAM_EVERY) {
                    attempt % 90
                } else {
                    0
                };
                for _ in 0..parts {
                    core.answer(now, origin, key, false, Box::default());
                }
                core.answer(now, origin, key, true, Box::default());
            }
            Work::Resume(after) => {
                core.resume(now, key, STREAM, after);
                let mut events = Vec::new();
                for _ in 0..1 + attempt % 3 {
                    let event = core.next_event(now, key, STREAM).unwrap_or_default();
                    events.extend(event.to_le_bytes());
                }
                core.answer(now, origin, key, true, events.into());
            }
            Work::Show => {
                core.answer(now, origin, key, true, Box::default());
                self.check_shown(node, key);
            }
            Work::Change(change) => {
                let is_done = core.change(now, key, change.clone());
                let standing = core.standing(key);
                if !is_done {
                    // The session has left meanwhile: the host answers with an error.
                    return self.answer_error(node, attempt, origin, key);
                }
                core.answer(now, origin, key, true, Box::default());
                let place = (self.now_us, node);
                self.checks.on_change_run(place, key, &change);
                if standing == Some(Standing::Confirmed) {
                    let pin = Event::Pin(node, life, key, Box::new(change), self.now_us);
                    self.after(REPLICATED_US, pin);
                }
            }
            Work::Delete => {
                if core.delete(now, origin, key) {
                    let buried = Event::Buried(node, life, key, self.now_us);
                    self.after(2 * REPLICATED_US, buried);
                } else {
                    self.answer_error(node, attempt, origin, key);
                }
            }
        }
    }

    /// I2: a node that had a reason to doubt reads the store before it serves.
    pub(crate) fn check_doubt(&mut self, node: usize, key: u128) {
        let own = &self.nodes[node];
        let doubt_us = own.doubt_us;
        let Some(core) = own.core.as_ref().filter(|_| doubt_us > 0) else {
            return;
        };
        let process = core.process();
        if core.standing(key) != Some(Standing::Confirmed) {
            return;
        }
        let Some((written_us, record)) = self.stored_since(key) else {
            return;
        };
        let other = record.owner.filter(|owner| *owner != process);
        if let (Some(other), true) = (other, written_us < doubt_us) {
            let text =
                format!("node {node} served {key:x}, which is of {other} since {written_us}");
            self.checks.fail("I2", self.now_us, text);
        }
    }

    /// I2: a node that has just begun to listen again takes nothing from an owner that lives well.
    /// A former owner that has given the session up loses nothing.
    pub(crate) fn check_taken(&mut self, node: usize, key: u128, former: Process) {
        let doubt_us = self.nodes[node].doubt_us;
        // Where nothing is forwarded, sessions are taken from owners that live.
        let is_early = self.options.forwards && doubt_us > 0 && self.now_us < doubt_us + 1_400_000;
        let slot = self
            .nodes
            .iter()
            .position(|own| own.process() == Some(former));
        let Some(slot) = slot.filter(|_| is_early) else {
            return;
        };
        let core = self.nodes[slot].core.as_ref();
        let owns = |core: &Cluster| core.stage() == Stage::Alive && core.standing(key).is_some();
        if core.is_some_and(owns) && self.was_quiet(slot, self.now_us.saturating_sub(QUIET_US)) {
            let text = format!("node {node} took {key:x} from {former}, which lives");
            self.checks.fail("I2", self.now_us, text);
        }
    }

    /// Sessions that were not used for their time expire at their nodes.
    pub(crate) fn expire_idle(&mut self) {
        let now_us = self.now_us;
        for node in 0..self.nodes.len() {
            let own = &mut self.nodes[node];
            let now = own.now(now_us);
            let is_running = !own.is_stopped();
            let Some(core) = own.core.as_mut().filter(|_| is_running) else {
                continue;
            };
            let idle = core.sessions().filter(|key| {
                let known = self.checks.sessions.get(key);
                known.is_some_and(|it| now_us - it.used_us > (IDLE_S + 9) * 1_000_000)
            });
            for key in idle.collect::<Vec<_>>() {
                core.expire(now, key);
            }
            self.drain_outputs(node);
        }
    }

    /// I3: the events of a stream reach its client in order, each once.
    pub(crate) fn check_events(&mut self, attempt: u64, body: &[u8]) {
        let Some(known) = self.checks.attempts.get(&attempt) else {
            return;
        };
        let client = known.client;
        let is_waiting = self.clients[client].attempt == Some(attempt);
        let is_stream = matches!(self.clients[client].work, Some(Work::Resume(_)));
        if !is_waiting || !is_stream {
            return;
        }
        let (events, _) = body.as_chunks::<8>();
        for event in events.iter().map(|bytes| u64::from_le_bytes(*bytes)) {
            let last = self.clients[client].event;
            if event != 0 && event <= last {
                let text = format!("client {client} got event {event:x} after {last:x}");
                self.checks.fail("I3", self.now_us, text);
            }
            self.clients[client].event = last.max(event);
        }
    }

    fn answer_error(&mut self, node: usize, attempt: u64, origin: Origin, key: u128) {
        let now = self.nodes[node].now(self.now_us);
        if let Origin::Local(_) = origin {
            self.answer_client(attempt, Response::Failed);
        } else if let Some(core) = self.nodes[node].core.as_mut() {
            core.answer(now, origin, key, true, Box::default());
        }
    }

    /// The tombstone of a session is written, or its client waited long enough.
    pub(crate) fn on_ended(&mut self, node: usize, origin: Origin, key: u128) {
        let now = self.nodes[node].now(self.now_us);
        let life = self.nodes[node].life;
        if let Some(core) = self.nodes[node].core.as_mut() {
            core.answer(now, origin, key, true, Box::default());
            if let Some(known) = self.checks.sessions.get_mut(&key) {
                known.ended_at = Some((node, life));
            }
        }
    }

    /// Whether nothing disturbed a node from `since_us` until now.
    pub(crate) fn was_quiet(&self, node: usize, since_us: u64) -> bool {
        let own = &self.nodes[node];
        own.trouble == 0 && own.touched_us < since_us
    }

    pub(crate) fn stored(&mut self, key: u128) -> Option<Record> {
        self.stored_since(key).map(|found| found.1)
    }

    /// The record of a session, and when it was written.
    fn stored_since(&mut self, key: u128) -> Option<(u64, Record)> {
        let generation = self.generation()?;
        let name = Key::Session(generation, key);
        let version = self.store.last(&name, self.now_us)?;
        let value = version.value.as_deref()?;
        let record = decode::<Record>(Kind::Session, value).ok()?.1;
        Some((version.at_us, record))
    }

    /// Whether the record of a session expired, and some node or the store had trouble before that.
    pub(crate) fn has_expired_in_trouble(&mut self, attempt: u64) -> bool {
        let Some(key) = self.checks.attempts.get(&attempt).map(|it| it.key) else {
            return false;
        };
        // The store was just emptied: the marker that the node read before is not there any more.
        let Some(generation) = self.generation() else {
            return true;
        };
        let name = Key::Session(generation, key);
        let Some(expired_us) = self.store.expired_us(&name, self.now_us) else {
            return false;
        };
        let since_us = expired_us.saturating_sub((IDLE_S + RECORD_MARGIN_S) * 1_000_000);
        (0..self.options.nodes).any(|node| !self.was_quiet(node, since_us))
    }

    fn generation(&mut self) -> Option<u64> {
        let version = self.store.last(&Key::Generation, self.now_us)?;
        let value = version.value.as_deref()?;
        decode::<u64>(Kind::Generation, value)
            .ok()
            .map(|found| found.1)
    }

    /// I9: a deleted session is not served, unless its node could not know.
    pub(crate) fn check_served(&mut self, node: usize, key: u128) {
        let is_buried = self
            .checks
            .sessions
            .get(&key)
            .is_some_and(|it| it.is_buried);
        let since_us = self.now_us.saturating_sub(QUIET_US);
        let life = self.nodes[node].life;
        let ended = self.checks.sessions.get(&key).and_then(|it| it.ended_at);
        if ended == Some((node, life)) {
            let text = format!("node {node} served {key:x} after it answered its DELETE");
            self.checks.fail("I9", self.now_us, text);
        }
        if is_buried && self.was_quiet(node, since_us) {
            let text = format!("node {node} served {key:x}, which was deleted");
            self.checks.fail("I9", self.now_us, text);
        }
    }

    /// I1: a confirmed owner has all changes that the store had.
    fn check_shown(&mut self, node: usize, key: u128) {
        let Some(core) = self.nodes[node].core.as_ref() else {
            return;
        };
        let process = core.process();
        let is_confirmed = core.standing(key) == Some(Standing::Confirmed);
        let state = core.state(key).cloned();
        let stored = self.stored(key);
        let is_owner = stored.as_ref().is_some_and(|it| it.owner == Some(process));
        if let (true, true, Some(state), Some(mut record)) = (is_confirmed, is_owner, state, stored)
        {
            record.state = state;
            self.checks
                .check_pins(self.now_us, key, &record, "an answer");
        }
    }

    /// I1: a change that was acknowledged in quiet times is in the store in time.
    pub(crate) fn on_pin(
        &mut self,
        (node, life): (usize, u32),
        key: u128,
        change: Change,
        at_us: u64,
    ) {
        let is_same = self.nodes[node].life == life && self.nodes[node].core.is_some();
        let was_quiet = self.was_quiet(node, at_us.saturating_sub(QUIET_US));
        let is_current = self.checks.is_sure(key, &change);
        let core = self.nodes[node].core.as_ref();
        let is_owner = core.and_then(|it| it.standing(key)) == Some(Standing::Confirmed);
        let is_purged = self.generation().is_none();
        if !is_same || !was_quiet || !is_current || !is_owner || is_purged {
            return;
        }
        let stored = self.stored(key);
        if stored.as_ref().is_some_and(|record| has(record, &change)) {
            self.checks.pin(key, change);
        } else {
            let text = format!("{key:x}: {change:?} of node {node} is not stored: {stored:?}");
            self.checks.fail("I1", self.now_us, text);
        }
    }

    /// I9: a DELETE that was acknowledged in quiet times is in the store in time.
    pub(crate) fn on_buried(&mut self, (node, life): (usize, u32), key: u128, at_us: u64) {
        let is_same = self.nodes[node].life == life && self.nodes[node].core.is_some();
        let was_quiet = self.was_quiet(node, at_us.saturating_sub(QUIET_US));
        let is_ended = self.stored(key).is_some_and(|record| record.has_ended);
        if is_ended {
            if let Some(known) = self.checks.sessions.get_mut(&key) {
                known.is_buried = true;
            }
        } else if is_same && was_quiet && self.generation().is_some() {
            let text = format!("{key:x}: the DELETE at node {node} is not stored");
            self.checks.fail("I9", self.now_us, text);
        }
    }
}

/// The host has a session without changes, which the core does not know: it is about to get one.
fn hold(core: &mut Cluster, now: Now, request: &Request) {
    let birth = Birth {
        revision: 1,
        capabilities: 0,
        created_unix_s: now.unix_s,
    };
    core.hold(now, request.session, &request.principal, birth);
}
