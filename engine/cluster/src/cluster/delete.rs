//! The end of sessions: tombstones, written until the store acknowledges them.

use crate::cluster::{Cluster, Purpose};
use crate::codec::{Kind, Written, decode, encode};
use crate::frame::Stage;
use crate::id::Now;
use crate::record::{Record, State};
use crate::refusal::Missing;
use crate::session::{Base, Standing, Tombstone, Work};
use crate::sim::{mutated, sim_point};
use crate::timers::Timer;
use crate::vocabulary::{
    Expect, Key, Op, Origin, Output, PutResult, ReadFrom, ReadResult, SessionKey,
};

impl Cluster {
    /// Ends a session by its client, whose request `origin` is served; false if there are too many
    /// tombstones or the session is not here: the request must be refused.
    pub fn delete(&mut self, now: Now, origin: Origin, key: SessionKey) -> bool {
        self.begin(now);
        self.end(now, key, Some(origin))
    }

    /// Ends a session that was not used for its time. It leaves a mark if it has changes.
    pub fn expire(&mut self, now: Now, key: SessionKey) -> bool {
        self.begin(now);
        match self.sessions.get(&key) {
            Some(session) if !session.is_recorded => {
                self.page_out(now, key);
                true
            }
            Some(session) if session.standing(self.epoch) == Standing::Confirmed => {
                self.end(now, key, None)
            }
            _ => false,
        }
    }

    /// Removes an idle session for room. It is not lost: its record stays.
    pub fn page_out(&mut self, now: Now, key: SessionKey) -> bool {
        self.begin(now);
        let is_idle = self.sessions.get(&key).is_some_and(|it| {
            let is_written = it.pending.is_empty() && it.flying.is_empty();
            it.open == 0 && it.waiting.is_empty() && is_written && it.work == Work::Idle
        });
        if is_idle {
            self.sessions.remove(&key);
            self.outputs.push_back(Output::Leave(key));
        }
        is_idle
    }

    fn end(&mut self, now: Now, key: SessionKey, origin: Option<Origin>) -> bool {
        if self.tombstones.len() >= self.settings.tombstones_max || self.stage == Stage::Joining {
            return false;
        }
        let Some(session) = self.sessions.remove(&key) else {
            return false;
        };
        self.outputs.push_back(Output::Leave(key));
        for (waiting, _) in session.waiting {
            self.reject(waiting, Missing::Ended);
        }
        let is_known = session.epoch == self.epoch && !matches!(session.work, Work::Putting(_));
        let created_s = session.birth.created_unix_s;
        let end_s = created_s + self.settings.id_age_max_s + 2 * self.settings.leeway_s;
        let tombstone = Tombstone {
            id: session.id,
            principal: session.principal,
            birth: session.birth,
            origin,
            base: if is_known {
                session.base
            } else {
                Base::Unknown
            },
            op: None,
            owners: session.formers,
            write: 0,
            ttl_s: end_s.saturating_sub(now.unix_s).max(1),
        };
        self.tombstones.insert(key, tombstone);
        if self.graves.1.insert(key) {
            self.graves.0.push_back(key);
        }
        if self.graves.0.len() > self.settings.graves_max
            && let Some(oldest) = self.graves.0.pop_front()
        {
            self.graves.1.remove(&oldest);
        }
        if mutated!("no_tombstone") {
            self.end_wait(key);
            self.tombstones.remove(&key);
            return true;
        }
        let at_us = now.us + self.settings.tombstone_wait_us;
        self.arm(at_us, Timer::Tombstone(key));
        self.bury(now, key);
        true
    }

    /// Whether a session ended here.
    pub(super) fn is_ended(&self, key: SessionKey) -> bool {
        let is_ended = self.tombstones.contains_key(&key) || self.graves.1.contains(&key);
        is_ended && !mutated!("forget_tombstone")
    }

    /// Writes a tombstone, or reads the revision that it replaces.
    pub(super) fn bury(&mut self, now: Now, key: SessionKey) {
        let can_write = self.can_use_store();
        let Some(stone) = self.tombstones.get_mut(&key) else {
            return;
        };
        if stone.op.is_some() {
            return;
        }
        if !can_write {
            return self.bury_later(now, key);
        }
        let name = Key::Session(self.generation, key);
        let expect = match stone.base {
            Base::Unknown => {
                let op = self.read(now, Purpose::Tombstone(key), name, ReadFrom::Leader);
                if let Some(stone) = self.tombstones.get_mut(&key) {
                    stone.op = Some(op);
                }
                return;
            }
            Base::Absent => Expect::Absent,
            Base::At(revision) => Expect::Revision(revision),
        };
        stone.write = self.next_write;
        self.next_write += 1;
        let written = Written {
            writer: self.me,
            number: stone.write,
        };
        let record = Record {
            id: stone.id,
            principal: stone.principal.clone(),
            birth: stone.birth,
            owner: None,
            formers: Vec::new(),
            recent: Vec::new(),
            has_ended: true,
            take_overs: 0,
            state: State::default(),
        };
        let ttl_s = stone.ttl_s;
        let level = self.operators.level();
        let Ok(value) = encode(Kind::Session, level, written, &record) else {
            return;
        };
        let op = self.op(now, Purpose::Tombstone(key), self.settings.put_us, true);
        if let Some(stone) = self.tombstones.get_mut(&key) {
            stone.op = Some(op);
        }
        self.outputs
            .push_back(Output::Put(op, name, expect, ttl_s, value));
    }

    fn bury_later(&mut self, now: Now, key: SessionKey) {
        let at_us = now.us + self.settings.store_retry_us;
        self.arm(at_us, Timer::TombstoneRetry(key));
    }

    /// Writes all tombstones into a store that lost everything.
    pub(super) fn bury_again(&mut self, now: Now) {
        let keys: Vec<SessionKey> = self.tombstones.keys().copied().collect();
        for key in keys {
            if let Some(stone) = self.tombstones.get_mut(&key) {
                stone.base = Base::Unknown;
                stone.op = None;
                self.bury(now, key);
            }
        }
    }

    pub(super) fn on_tombstone_put(
        &mut self,
        now: Now,
        key: SessionKey,
        op: Op,
        result: PutResult,
    ) {
        let stone = self.tombstones.get_mut(&key);
        let Some(stone) = stone.filter(|it| it.op == Some(op)) else {
            return;
        };
        stone.op = None;
        match result {
            PutResult::Written(_) => self.buried(now, key),
            PutResult::Conflict => {
                sim_point!("tombstone_conflict");
                stone.base = Base::Unknown;
                self.check_generation(now);
                self.bury(now, key);
            }
            PutResult::Unknown => {
                stone.base = Base::Unknown;
                self.bury(now, key);
            }
            PutResult::Refused => {
                sim_point!("tombstone_refused");
                self.bury_later(now, key);
            }
        }
    }

    pub(super) fn on_tombstone_read(
        &mut self,
        now: Now,
        key: SessionKey,
        op: Op,
        result: ReadResult,
    ) {
        let stone = self.tombstones.get_mut(&key);
        let Some(stone) = stone.filter(|it| it.op == Some(op)) else {
            return;
        };
        stone.op = None;
        match result {
            ReadResult::Failed => return self.bury_later(now, key),
            ReadResult::Marker(_) => return self.buried(now, key),
            ReadResult::Absent => stone.base = Base::Absent,
            ReadResult::Found(revision, value) => {
                stone.base = Base::At(revision);
                if let Ok((_, record)) = decode::<Record>(Kind::Session, &value) {
                    if record.has_ended {
                        return self.buried(now, key);
                    }
                    if let Some(owner) = record.owner.filter(|owner| *owner != self.me) {
                        sim_point!("deleted_elsewhere");
                        stone.owners.retain(|other| *other != owner);
                        stone.owners.push(owner);
                    }
                }
            }
        }
        self.bury(now, key);
    }

    /// The store has the tombstone.
    fn buried(&mut self, now: Now, key: SessionKey) {
        self.end_wait(key);
        if let Some(stone) = self.tombstones.remove(&key) {
            for owner in stone.owners {
                self.notify_former(now, key, owner, stone.id);
            }
        }
    }

    /// The client need not wait any longer.
    pub(super) fn end_wait(&mut self, key: SessionKey) {
        let stone = self.tombstones.get_mut(&key);
        if let Some(origin) = stone.and_then(|it| it.origin.take()) {
            self.outputs.push_back(Output::Ended(origin, key));
        }
    }
}
