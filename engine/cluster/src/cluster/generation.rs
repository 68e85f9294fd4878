//! The life of the store. A store that lost everything has another one, and is written anew.

use crate::cluster::{Cluster, Purpose};
use crate::codec::{Kind, Written, decode, encode};
use crate::id::Now;
use crate::session::{Base, Work};
use crate::sim::{mutated, sim_point};
use crate::timers::Timer;
use crate::vocabulary::{Expect, Key, Note, Output, PutResult, ReadFrom, ReadResult};

impl Cluster {
    /// Reads the life of the store.
    pub(super) fn check_generation(&mut self, now: Now) {
        if self.is_connected && !self.is_reading_generation {
            self.is_reading_generation = true;
            self.generation_due_us = now.us + self.settings.generation_us;
            self.read(now, Purpose::Generation, Key::Generation, ReadFrom::Leader);
        }
    }

    pub(super) fn on_generation_read(&mut self, now: Now, result: ReadResult) {
        self.is_reading_generation = false;
        let expect = match result {
            ReadResult::Found(revision, value) => match decode::<u64>(Kind::Generation, &value) {
                Ok((_, generation)) => return self.set_generation(now, generation),
                Err(_) => Expect::Revision(revision),
            },
            ReadResult::Absent => Expect::Absent,
            ReadResult::Marker(revision) => Expect::Revision(revision),
            ReadResult::Failed => return self.retry_generation(now),
        };
        sim_point!("generation_made");
        self.proposed = (self.random)().max(1);
        let written = Written {
            writer: self.me,
            number: self.proposed,
        };
        let level = self.operators.level();
        let Ok(value) = encode(Kind::Generation, level, written, &self.proposed) else {
            return;
        };
        self.is_reading_generation = true;
        let op = self.op(now, Purpose::Generation, self.settings.put_us, true);
        let put = Output::Put(op, Key::Generation, expect, 0, value);
        self.outputs.push_back(put);
    }

    pub(super) fn on_generation_put(&mut self, now: Now, result: PutResult) {
        self.is_reading_generation = false;
        match result {
            PutResult::Written(_) => self.set_generation(now, self.proposed),
            _ => self.retry_generation(now),
        }
    }

    fn retry_generation(&mut self, now: Now) {
        let at_us = now.us + self.settings.store_retry_us;
        self.arm(at_us, Timer::Generation);
    }

    fn set_generation(&mut self, now: Now, generation: u64) {
        let was_sure = std::mem::replace(&mut self.is_generation_sure, true);
        self.change_generation(now, generation);
        if !was_sure {
            self.read_what_waited(now);
        }
    }

    fn change_generation(&mut self, now: Now, generation: u64) {
        if self.generation == generation || (self.generation != 0 && mutated!("ignore_generation"))
        {
            return;
        }
        let was_wiped = self.generation != 0;
        self.generation = generation;
        self.set_heartbeat(|heartbeat| heartbeat.generation = generation);
        if !was_wiped {
            return;
        }
        sim_point!("store_wiped");
        self.note(Note::StoreWiped);
        for session in self.sessions.values_mut() {
            session.restore_stale();
            session.base = Base::Absent;
            session.leaving = None;
            if matches!(session.work, Work::Reading(_) | Work::Putting(_)) {
                session.work = Work::Idle;
            }
            if session.epoch == 0 {
                session.base = Base::Unknown;
            }
        }
        for notice in self.notices.values_mut() {
            notice.since = 0;
        }
        self.reseeding = self
            .sessions
            .iter()
            .filter(|(_, session)| session.is_recorded)
            .map(|(key, _)| *key)
            .collect();
        for key in self.session_keys() {
            if self
                .sessions
                .get(&key)
                .is_some_and(|it| it.epoch == self.epoch)
            {
                self.serve_waiting(now, key);
            } else if self
                .sessions
                .get(&key)
                .is_some_and(|it| !it.waiting.is_empty())
            {
                self.read_session(now, key);
            }
        }
        self.bury_again(now);
    }

    /// Marks some of the sessions that a wiped store lacks.
    pub(super) fn reseed(&mut self, tick_us: u64) {
        let share = self.settings.reseed_per_s * tick_us / 1_000_000;
        for _ in 0..share.max(1) {
            let Some(key) = self.reseeding.pop_front() else {
                break;
            };
            sim_point!("reseed");
            self.mark(key);
        }
    }
}
