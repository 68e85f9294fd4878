//! Write-behind: changed sessions go to the store, each at most once in an interval.
//!
//! A session moves from dirty to the lane, and from there to the store. Nothing is lost on the way:
//! a full lane or a store that refuses leaves it dirty. A write is conditional on the revision of
//! the one before it. If its outcome is unknown, the leader is read before the next write.

use crate::cluster::{Cluster, Purpose};
use crate::codec::{Kind, Written, encode};
use crate::id::Now;
use crate::session::{Base, Session, Standing, Work};
use crate::sim::{mutated, sim_point};
use crate::timers::Timer;
use crate::vocabulary::{Expect, Key, Note, Output, PutResult, ReadFrom, SessionKey};

impl Cluster {
    /// A session has to be written, or its record has to be read.
    pub(super) fn mark(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        if session.work != Work::Idle {
            session.is_dirty = true;
            return;
        }
        session.work = Work::Dirty;
        if !session.is_queued {
            session.is_queued = true;
            self.dirty.push_back(key);
        }
    }

    /// Moves dirty sessions towards the store.
    pub(super) fn write_behind(&mut self, now: Now) {
        if !self.can_use_store() {
            return;
        }
        for _ in 0..self.dirty.len().min(self.settings.encode_max) {
            let is_full = self.lane.len() >= self.settings.lane_max || sim_point!("full_lane", 5);
            if is_full && !mutated!("drop_on_full_lane") {
                break;
            }
            let Some(key) = self.dirty.pop_front() else {
                break;
            };
            let Some(session) = self.sessions.get_mut(&key) else {
                continue;
            };
            session.is_queued = false;
            if session.work != Work::Dirty {
                continue;
            }
            if is_full {
                session.work = Work::Idle;
                session.pending.clear();
                continue;
            }
            let interval_us = self.settings.write_interval_us;
            if session.put_us.is_some_and(|at| now.us - at < interval_us) {
                session.is_queued = true;
                self.dirty.push_back(key);
                continue;
            }
            session.work = Work::Lane;
            self.lane.push_back(key);
        }
        while self.writes_in_flight < self.settings.writes_in_flight_max {
            let Some(key) = self.lane.pop_front() else {
                break;
            };
            let session = self.sessions.get(&key);
            if session.is_some_and(|it| it.work == Work::Lane) {
                self.start_write(now, key);
            }
        }
    }

    /// Writes a session, or reads its record first if its revision is not known.
    fn start_write(&mut self, now: Now, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        session.work = Work::Idle;
        let is_doubted = session.standing(self.epoch) == Standing::Doubted;
        if session.base == Base::Unknown || is_doubted {
            return self.read_session(now, key);
        }
        if self.is_isolated && session.is_provisional {
            // Its owner may live well: only a process that hears the others takes sessions.
            sim_point!("no_take_over_while_isolated");
            return self.pause(now, key);
        }
        self.put_session(now, key);
    }

    /// Reads the record of a session that is here, unless the store is at work on it.
    pub(super) fn read_session(&mut self, now: Now, key: SessionKey) {
        let can_read = self.can_use_store();
        let name = Key::Session(self.generation, key);
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        match session.work {
            Work::Reading(_) | Work::Putting(_) => return,
            work if !can_read => {
                self.unread.insert(key);
                if work == Work::Idle {
                    self.pause(now, key);
                }
                return;
            }
            _ => {}
        }
        let op = self.read(now, Purpose::Session(key), name, ReadFrom::Leader);
        if let Some(session) = self.sessions.get_mut(&key) {
            session.work = Work::Reading(op);
        }
    }

    /// Writes the record of a session that is here.
    pub(super) fn put_session(&mut self, now: Now, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        session.write = self.next_write;
        self.next_write += 1;
        session.put_us = Some(now.us);
        session.is_dirty = false;
        session.land_nothing();
        session.flying = std::mem::take(&mut session.pending);
        let owner = session.leaving.is_none().then_some(self.me);
        let written = Written {
            writer: self.me,
            number: session.write,
        };
        let record = session.record(owner);
        let expect = expect_of(session);
        let level = self.operators.level();
        let Ok(value) = encode(Kind::Session, level, written, &record) else {
            return self.note(Note::BadRecord(key));
        };
        let op = self.op(now, Purpose::Session(key), self.settings.put_us, true);
        self.writes_in_flight += 1;
        if let Some(session) = self.sessions.get_mut(&key) {
            session.work = Work::Putting(op);
        }
        let name = Key::Session(self.generation, key);
        let ttl_s = self.settings.idle_s + self.settings.record_margin_s;
        self.outputs
            .push_back(Output::Put(op, name, expect, ttl_s, value));
    }

    /// Takes the result of a write of a session.
    pub(super) fn on_session_put(
        &mut self,
        now: Now,
        key: SessionKey,
        (op, epoch): (u64, u64),
        result: PutResult,
    ) {
        self.writes_in_flight -= 1;
        let session = self.sessions.get_mut(&key);
        let Some(session) = session.filter(|it| it.work == Work::Putting(op)) else {
            return;
        };
        session.work = Work::Idle;
        match result {
            PutResult::Written(revision) => self.on_written(now, key, epoch, revision),
            PutResult::Conflict => {
                sim_point!("put_conflict");
                session.land_nothing();
                session.base = Base::Unknown;
                session.epoch = 0;
                session.leaving = None;
                if mutated!("write_after_conflict") {
                    session.epoch = self.epoch;
                    return self.mark(key);
                }
                self.check_generation(now);
                self.read_session(now, key);
            }
            PutResult::Refused => {
                sim_point!("put_refused");
                session.land_nothing();
                session.leaving = None;
                self.pause(now, key);
                if self
                    .sessions
                    .get(&key)
                    .is_some_and(|it| it.epoch == self.epoch)
                {
                    self.serve_waiting(now, key);
                }
            }
            PutResult::Unknown => {
                sim_point!("put_unknown");
                session.land_nothing();
                session.base = Base::Unknown;
                if session.leaving.take().is_some() {
                    // The release may have landed, and its receiver may own the session.
                    session.epoch = 0;
                }
                self.pause(now, key);
            }
        }
    }

    /// A write landed.
    fn on_written(&mut self, now: Now, key: SessionKey, epoch: u64, revision: u64) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        session.base = Base::At(revision);
        session.has_history = true;
        session.flying.clear();
        if session.leaving.is_some() {
            return self.complete_leave(now, key, revision);
        }
        if epoch == self.epoch && session.epoch == epoch || mutated!("old_proof") {
            session.restore_stale();
            self.confirm(now, key);
        } else {
            sim_point!("old_write_is_no_proof");
        }
        self.continue_work(now, key);
    }

    /// Marks the session again if it changed meanwhile, and arms its renewal.
    pub(super) fn continue_work(&mut self, now: Now, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let must_write = session.is_dirty || !session.pending.is_empty();
        let arms = !session.is_refresh_armed;
        session.is_refresh_armed = true;
        if arms {
            let ttl_s = self.settings.idle_s + self.settings.record_margin_s;
            self.arm(now.us + ttl_s * 500_000, Timer::Refresh(key));
        }
        if must_write {
            self.mark(key);
        }
    }

    /// The record gets old: it is written again if the session is used.
    pub(super) fn on_refresh(&mut self, key: SessionKey) {
        if let Some(session) = self.sessions.get_mut(&key) {
            sim_point!("refresh");
            session.is_refresh_armed = false;
            self.mark(key);
        }
    }

    /// Tries the store again later.
    pub(super) fn pause(&mut self, now: Now, key: SessionKey) {
        if let Some(session) = self.sessions.get_mut(&key) {
            session.work = Work::Pausing;
            self.arm(now.us + self.settings.store_retry_us, Timer::Retry(key));
        }
    }

    pub(super) fn on_retry(&mut self, key: SessionKey) {
        if let Some(session) = self.sessions.get_mut(&key)
            && session.work == Work::Pausing
        {
            session.work = Work::Idle;
            self.mark(key);
        }
    }
}

fn expect_of(session: &Session) -> Expect {
    match session.base {
        _ if mutated!("skip_revision") => Expect::Anything,
        Base::At(revision) => Expect::Revision(revision),
        Base::Absent | Base::Unknown => Expect::Absent,
    }
}
