//! The owner of a session: reading the record, confirming, losing, and notices to former owners.

use crate::cluster::{Cluster, Notice};
use crate::codec::{Kind, decode};
use crate::frame::{Frame, Generation};
use crate::id::{Now, Process, SessionId};
use crate::lookup::Pending;
use crate::record::{Change, Record};
use crate::refusal::Missing;
use crate::session::{Base, Standing, Work};
use crate::sim::{mutated, sim_point};
use crate::timers::Timer;
use crate::vocabulary::{Note, Origin, Output, ReadResult, SessionKey};

impl Cluster {
    /// Takes the record of a session that is here.
    pub(super) fn on_session_read(
        &mut self,
        now: Now,
        key: SessionKey,
        (op, epoch): (u64, u64),
        result: ReadResult,
    ) {
        let session = self.sessions.get_mut(&key);
        let Some(session) = session.filter(|it| it.work == Work::Reading(op)) else {
            return;
        };
        session.work = Work::Idle;
        if epoch != self.epoch && !mutated!("old_proof") {
            sim_point!("old_read_is_no_proof");
            session.base = Base::Unknown;
            return self.read_session(now, key);
        }
        match result {
            ReadResult::Failed => self.pause(now, key),
            ReadResult::Found(revision, value) => self.on_record(now, key, revision, &value),
            ReadResult::Absent => self.on_no_record(now, key),
            ReadResult::Marker(_) if !session.has_history => {
                sim_point!("expired_elsewhere");
                self.drop_ended(key);
            }
            ReadResult::Marker(revision) => {
                session.base = Base::At(revision);
                self.keep_provisional(now, key);
            }
        }
    }

    /// The store has no record.
    fn on_no_record(&mut self, now: Now, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let home = session.id.home;
        let is_denied = session.not_here.contains(&home);
        session.base = Base::Absent;
        session.restore_stale();
        if home == self.me && !session.is_recorded {
            return self.confirm(now, key);
        }
        let is_usable =
            self.settings.forwards && self.members.keeps_sessions(home, now.us, &self.settings);
        if home != self.me && session.is_provisional && is_usable && !is_denied {
            sim_point!("home_lives_after_all");
            return self.depose(now, key, home);
        }
        self.keep_provisional(now, key);
    }

    fn on_record(&mut self, now: Now, key: SessionKey, revision: u64, value: &[u8]) {
        let me = self.me;
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        session.base = Base::At(revision);
        let Ok((written, record)) = decode::<Record>(Kind::Session, value) else {
            self.note(Note::BadRecord(key));
            return self.keep_provisional(now, key);
        };
        if record.has_ended {
            sim_point!("ended_elsewhere");
            return self.drop_ended(key);
        }
        // A session that was adopted without its record does not contain it, even if we wrote it.
        if written.writer == me && session.has_history {
            let is_last = written.number == session.write;
            if is_last {
                sim_point!("read_back_landed");
                session.flying.clear();
            }
            session.restore_stale();
            if !is_last || record.owner != Some(me) {
                // A write of unknown outcome may land yet: one more write makes it fail.
                sim_point!("read_back_older");
                return self.keep_provisional(now, key);
            }
            self.confirm(now, key);
            return self.continue_work(now, key);
        }
        if session.epoch != self.epoch {
            // A process that once said "not here" may have taken the session during the doubt.
            session.not_here.clear();
        }
        let is_denied = |owner: &Process| session.not_here.contains(owner);
        let owner = record
            .owner
            .filter(|owner| *owner != me && !is_denied(owner));
        let is_usable =
            |owner: &Process| self.members.keeps_sessions(*owner, now.us, &self.settings);
        if let Some(owner) = owner.filter(is_usable) {
            // Changes that are sent to an owner may be lost on the way, or with it. Where nothing
            // is forwarded, the client was here to make them: the session comes back.
            if self.settings.forwards || !session.has_unwritten() {
                session.restore_stale();
                return self.depose(now, key, owner);
            }
            sim_point!("taken_back");
            session.is_taking = true;
        }
        sim_point!("take_over_record");
        if session.epoch != self.epoch {
            session.make_stale();
        }
        let keeps_all = session.continue_from(record);
        session.trim_formers(me);
        if !keeps_all {
            sim_point!("stale_dropped");
            self.note(Note::ChangesDropped(key));
        }
        self.keep_provisional(now, key);
    }

    /// No owner is known to live: serves the session, and writes it to be sure.
    fn keep_provisional(&mut self, now: Now, key: SessionKey) {
        if let Some(session) = self.sessions.get_mut(&key) {
            session.is_provisional = true;
            session.is_recorded = true;
            session.epoch = self.epoch;
            self.mark(key);
            self.serve_waiting(now, key);
        }
    }

    /// Nothing else owns the session.
    pub(super) fn confirm(&mut self, now: Now, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let was_provisional = std::mem::replace(&mut session.is_provisional, false);
        session.epoch = self.epoch;
        session.not_here.clear();
        if was_provisional {
            let (id, formers) = (session.id, session.formers.clone());
            for former in formers {
                sim_point!("taken_over");
                self.note(Note::TakenOver(key, former));
                self.notify_former(now, key, former, id);
            }
        }
        self.serve_waiting(now, key);
    }

    /// The session came without being given: where nothing is forwarded, its owner may live, and
    /// must not serve it beside this process.
    pub(super) fn begin_taking(&mut self, key: SessionKey) {
        if let Some(session) = self.sessions.get_mut(&key) {
            session.is_taking = !self.settings.forwards && session.base != Base::Unknown;
        }
    }

    /// Whether requests of a session wait until its former owners know that it was taken. They
    /// would serve later requests of the client otherwise, and changes of both had no order.
    pub(super) fn is_taking(&mut self, now: Now, key: SessionKey) -> bool {
        let Some(session) = self.sessions.get_mut(&key) else {
            return false;
        };
        let mut formers = session.formers.iter();
        let lives = |former: &Process| self.members.keeps_sessions(*former, now.us, &self.settings);
        session.is_taking &= !self.is_isolated && formers.any(lives);
        session.is_taking && !mutated!("serve_unheard")
    }

    /// Notifies a former owner until it acknowledges: it may live and not know.
    pub(super) fn notify_former(&mut self, now: Now, key: SessionKey, to: Process, id: SessionId) {
        let is_full = self.notices.len() >= self.settings.notices_max;
        if is_full || mutated!("no_notice") {
            return;
        }
        let since = self.taken_with(key).unwrap_or(0);
        let notice = Notice {
            id,
            since,
            tries: 0,
        };
        self.notices.insert((key, to), notice);
        self.on_notice(now, key, to);
    }

    /// The revision with which this process surely owns a session, or has ended it.
    fn taken_with(&self, key: SessionKey) -> Option<u64> {
        let Some(session) = self.sessions.get(&key) else {
            return Some(u64::MAX);
        };
        match session.base {
            Base::At(revision) if session.standing(self.epoch) == Standing::Confirmed => {
                Some(revision)
            }
            _ => None,
        }
    }

    pub(super) fn on_notice(&mut self, now: Now, key: SessionKey, to: Process) {
        let revision = self.taken_with(key);
        let Some(notice) = self.notices.get_mut(&(key, to)) else {
            return;
        };
        notice.tries += 1;
        let id = notice.id;
        let known = self.members.of_node(to.node);
        let is_dead = known.is_some_and(|member| member.process.incarnation > to.incarnation);
        if is_dead || notice.tries > self.settings.notices_each_max {
            return self.forget_former(now, key, to);
        }
        // Only a write that landed is a reason for the former owner to doubt.
        if let Some(revision) = revision.filter(|_| !sim_point!("notice_lost", 50)) {
            self.send(to, Frame::Took(id, self.generation, revision));
        }
        let wait_us = match self.is_taking(now, key) {
            true => self.settings.notice_waited_us,
            false => self.settings.notice_us,
        };
        self.arm(now.us + wait_us, Timer::Notice(key, to));
    }

    /// Another process took a session from this one: the store says whether that holds.
    pub(super) fn on_took(
        &mut self,
        now: Now,
        from: Process,
        id: SessionId,
        (generation, revision): (Generation, u64),
    ) {
        let key = id.random;
        let is_here = generation == self.generation && self.sessions.contains_key(&key);
        if !self.settings.forwards && is_here && self.taken_with(key) > Some(revision) {
            // It was taken back since. The sender serves when it has the answer, so it gets none:
            // a notice of that is on its way.
            sim_point!("took_is_old");
            return;
        }
        // Changes that the sender lacks come to the store before it serves.
        let session = self.sessions.get(&key);
        if self.settings.forwards || session.is_none_or(|it| !it.has_unwritten()) {
            self.send(from, Frame::TookHeard(id, revision));
        } else {
            sim_point!("took_with_changes");
        }
        if generation != self.generation {
            self.check_generation(now);
        }
        let Some(session) = self.sessions.get_mut(&key) else {
            if !self.settings.forwards {
                // The host may have it: a session without changes has no place here.
                sim_point!("took_plain");
                self.outputs.push_back(Output::Leave(key));
            }
            return;
        };
        sim_point!("took_heard");
        // A result of an operation that began before is no proof any more.
        session.land_nothing();
        session.work = Work::Idle;
        session.base = Base::Unknown;
        session.epoch = 0;
        self.read_session(now, key);
    }

    pub(super) fn on_took_heard(&mut self, now: Now, from: Process, id: SessionId, revision: u64) {
        self.members.answered(from);
        let is_sure = self.taken_with(id.random).is_some();
        let notice = self.notices.get(&(id.random, from));
        if is_sure && notice.is_some_and(|notice| revision >= notice.since) {
            self.forget_former(now, id.random, from);
        }
    }

    /// A former owner knows, or does not live any more.
    fn forget_former(&mut self, now: Now, key: SessionKey, former: Process) {
        self.notices.remove(&(key, former));
        if let Some(session) = self.sessions.get_mut(&key) {
            session.formers.retain(|other| *other != former);
            if std::mem::take(&mut session.is_taking) {
                session.is_taking = !session.formers.is_empty();
                self.serve_waiting(now, key);
            }
        }
    }

    /// The session is another's: hands over the unwritten changes and the requests that wait.
    fn depose(&mut self, now: Now, key: SessionKey, winner: Process) {
        let Some(session) = self.sessions.remove(&key) else {
            return;
        };
        sim_point!("deposed");
        self.note(Note::Lost(key, winner));
        let changes = session.unwritten();
        if !changes.is_empty() {
            self.send(winner, Frame::Merge(session.id, changes));
        }
        let max = self.settings.owners_max;
        self.owners.insert(key, winner, now.us, max);
        self.outputs.push_back(Output::Leave(key));
        for (origin, request) in session.waiting {
            match origin {
                Origin::Local(call) => self.route(now, Pending::new(call, request)),
                Origin::Remote(to, xid) if to == winner => self.send(to, Frame::NotHere(xid)),
                Origin::Remote(to, xid) => self.send(to, Frame::Moved(xid, winner)),
            }
        }
    }

    /// Takes the changes of an owner that lost.
    pub(super) fn on_merge(&mut self, now: Now, id: SessionId, changes: Vec<Change>) {
        let Some(session) = self.sessions.get_mut(&id.random) else {
            return;
        };
        session.note_change(now);
        if session.standing(self.epoch) == Standing::Doubted || !session.merge(changes) {
            return self.note(Note::ChangesDropped(id.random));
        }
        sim_point!("merged");
        self.mark(id.random);
    }

    /// The session has ended elsewhere.
    fn drop_ended(&mut self, key: SessionKey) {
        if let Some(session) = self.sessions.remove(&key) {
            self.outputs.push_back(Output::Leave(key));
            for (origin, _) in session.waiting {
                self.reject(origin, Missing::Ended);
            }
        }
    }

    /// Requests waited long enough for the store: they are served without it.
    pub(super) fn on_waiting(&mut self, now: Now, key: SessionKey) {
        self.on_lookup_waited(now, key);
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let was_taking = std::mem::take(&mut session.is_taking);
        if session.waiting.is_empty() {
            return;
        }
        if was_taking && session.epoch == self.epoch {
            sim_point!("former_is_slow");
            return self.serve_waiting(now, key);
        }
        if session.leaving.take().is_some() {
            sim_point!("leave_is_slow");
            // The record without an owner may land yet: the next write finds out.
            session.base = Base::Unknown;
            session.land_nothing();
            session.work = Work::Idle;
        } else {
            sim_point!("serve_in_doubt");
        }
        if session.epoch != self.epoch {
            session.base = Base::Unknown;
            session.make_stale();
        }
        self.keep_provisional(now, key);
    }
}
