//! Sessions that leave by agreement: to a process that uses them, and before this one exits.

use crate::cluster::Cluster;
use crate::frame::{Frame, Generation, Stage};
use crate::id::{Now, Process, SessionId};
use crate::lookup::Pending;
use crate::record::Record;
use crate::refusal::Busy;
use crate::session::{Base, Leaving, Session, Standing, Work};
use crate::sim::sim_point;
use crate::vocabulary::{Origin, Output, SessionKey};

impl Cluster {
    /// Another process uses the session more than this one does.
    pub(super) fn on_release(&mut self, now: Now, from: Process, id: SessionId) {
        if self.can_leave(id.random) {
            sim_point!("release");
            self.begin_leave(now, id.random, Leaving::To(from));
        }
    }

    /// Whether nothing uses the session and its ownership is sure.
    fn can_leave(&self, key: SessionKey) -> bool {
        let is_writable = self.can_use_store();
        is_writable
            && self.sessions.get(&key).is_some_and(|session| {
                session.open == 0
                    && session.waiting.is_empty()
                    && session.leaving.is_none()
                    && session.base != Base::Unknown
                    && session.standing(self.epoch) == Standing::Confirmed
                    && !matches!(session.work, Work::Reading(_) | Work::Putting(_))
            })
    }

    fn begin_leave(&mut self, now: Now, key: SessionKey, leaving: Leaving) {
        if let Some(session) = self.sessions.get_mut(&key) {
            session.leaving = Some(leaving);
            session.work = Work::Idle;
            self.put_session(now, key);
        }
    }

    /// The record without an owner is written.
    pub(super) fn complete_leave(&mut self, now: Now, key: SessionKey, revision: u64) {
        let Some(session) = self.sessions.remove(&key) else {
            return;
        };
        sim_point!("left");
        self.outputs.push_back(Output::Leave(key));
        let to = match session.leaving {
            Some(Leaving::To(to)) => {
                let max = self.settings.owners_max;
                self.owners.insert(key, to, now.us, max);
                let record = Box::new(session.record(None));
                if !sim_point!("release_lost", 50) {
                    self.send(to, Frame::Released(self.generation, revision, record));
                }
                Some(to)
            }
            _ => None,
        };
        for (origin, request) in session.waiting {
            match (origin, to) {
                (Origin::Local(call), _) => self.route(now, Pending::new(call, request)),
                (Origin::Remote(from, xid), Some(to)) if from != to => {
                    self.send(from, Frame::Moved(xid, to));
                }
                (Origin::Remote(from, xid), _) => self.send(from, Frame::NotHere(xid)),
            }
        }
    }

    /// A session that this process requested is free.
    pub(super) fn on_released(
        &mut self,
        from: Process,
        (generation, revision): (Generation, u64),
        record: Record,
    ) {
        let key = record.id.random;
        let is_here = self.sessions.contains_key(&key) || self.is_ended(key);
        let has_room = self.sessions.len() < self.settings.sessions_max;
        let may = has_room && self.stage == Stage::Alive && generation == self.generation;
        if is_here || !may {
            return;
        }
        sim_point!("came_home");
        let mut session = Session::new(
            record.id,
            record.principal.clone(),
            record.birth,
            self.epoch,
        );
        session.not_here.push(from);
        self.arrive(session, Some(record), Base::At(revision));
    }

    /// Gives all sessions away, then reports [`Output::Drained`].
    pub fn handle_drain(&mut self, now: Now) {
        self.begin(now);
        if self.stage == Stage::Alive {
            self.stage = Stage::Draining;
            self.drain_until_us = Some(now.us + self.settings.drain_us);
            self.heartbeat(now);
        }
    }

    pub(super) fn drain(&mut self, now: Now) {
        let Some(until_us) = self.drain_until_us else {
            return;
        };
        let is_late = now.us >= until_us;
        let keys: Vec<SessionKey> = self.sessions.keys().copied().collect();
        for key in keys.into_iter().take(self.settings.encode_max) {
            let Some(session) = self.sessions.get(&key) else {
                continue;
            };
            let is_free = session.open == 0 && session.waiting.is_empty();
            if is_late || (is_free && !session.is_recorded) {
                self.sessions
                    .remove(&key)
                    .map(|session| session.waiting)
                    .into_iter()
                    .flatten()
                    .for_each(|(origin, _)| self.reject_busy(origin, Busy::Draining));
                self.outputs.push_back(Output::Leave(key));
            } else if self.can_leave(key) {
                sim_point!("drain_leave");
                self.begin_leave(now, key, Leaving::Drain);
            } else if is_free && session.standing(self.epoch) == Standing::Doubted {
                self.read_session(now, key);
            }
        }
        let is_done = self.sessions.is_empty() && self.tombstones.is_empty();
        if is_done || is_late {
            self.drain_until_us = None;
            self.outputs.push_back(Output::Drained);
        }
    }
}
