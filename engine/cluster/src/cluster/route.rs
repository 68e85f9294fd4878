//! The decision for each request: serve it here, forward it, look the session up, or refuse.

use crate::cluster::{Cluster, Purpose};
use crate::codec::{Kind, decode};
use crate::frame::{Frame, Request, Stage};
use crate::id::{Now, Process};
use crate::lookup::{Lookup, Pending};
use crate::membership::Health;
use crate::record::Record;
use crate::refusal::{Busy, Missing};
use crate::remote::Remote;
use crate::session::{Base, Session, Standing};
use crate::sim::{mutated, sim_point};
use crate::timers::Timer;
use crate::vocabulary::{Failure, Key, Note, Origin, Output, ReadFrom, ReadResult, SessionKey};

impl Cluster {
    /// Decides about a request of a local client, in the order of the decision table.
    pub(super) fn route(&mut self, now: Now, mut pending: Pending) {
        let key = pending.request.session.random;
        pending.hops += 1;
        if pending.hops > self.settings.hops_max {
            sim_point!("too_many_hops");
            return self.refuse(&pending, Busy::Moving);
        }
        if self.is_ended(key) {
            return self.not_found(&pending, Missing::Ended);
        }
        if self.sessions.contains_key(&key) {
            let origin = Origin::Local(pending.call);
            return self.serve_or_wait(now, key, origin, pending.request);
        }
        if self.stage == Stage::Draining {
            return self.refuse(&pending, Busy::Draining);
        }
        if self.is_isolated && !self.settings.adopt_when_isolated {
            return self.refuse(&pending, Busy::Isolated);
        }
        let target = self.target(now, &pending).filter(|_| !self.is_isolated);
        let Some(owner) = target else {
            return self.look_up(now, pending);
        };
        let health = self.members.health(owner, now.us, &self.settings);
        if health == Health::Suspect && !pending.request.is_repeatable {
            sim_point!("owner_suspect");
            return self.refuse(&pending, Busy::Suspect);
        }
        self.forward(now, owner, pending, false);
    }

    /// The process that has the session, as far as known, if requests may be sent there.
    fn target(&self, now: Now, pending: &Pending) -> Option<Process> {
        if !self.settings.forwards {
            return None;
        }
        let id = pending.request.session;
        let known = self.owners.of(id.random, now.us, self.settings.owner_us);
        let owner = known.unwrap_or(id.home);
        let may = owner != self.me
            && !pending.not_here.contains(&owner)
            && self.members.is_usable(owner, now.us, &self.settings);
        may.then_some(owner)
    }

    pub(super) fn refuse(&mut self, pending: &Pending, busy: Busy) {
        self.reject_busy(Origin::Local(pending.call), busy);
    }

    pub(super) fn not_found(&mut self, pending: &Pending, missing: Missing) {
        self.reject(Origin::Local(pending.call), missing);
    }

    /// Serves a request for a session that is here, unless it has to wait.
    pub(super) fn serve_or_wait(
        &mut self,
        now: Now,
        key: SessionKey,
        origin: Origin,
        request: Box<Request>,
    ) {
        let is_taking = self.is_taking(now, key);
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        if session.principal != request.principal && !mutated!("any_principal") {
            return self.reject(origin, Missing::NotOurs);
        }
        let is_doubted = session.standing(self.epoch) == Standing::Doubted;
        if !is_doubted && !is_taking && session.leaving.is_none() {
            return self.serve(now, key, origin, request);
        }
        if session.waiting.len() >= self.settings.waiting_max {
            return self.reject_busy(origin, Busy::Full);
        }
        let is_first = session.waiting.is_empty();
        session.waiting.push((origin, request));
        if is_first {
            let at_us = now.us + self.settings.leader_read_us;
            self.arm(at_us, Timer::Waiting(key));
        }
        if is_doubted {
            sim_point!("read_before_serving");
            self.read_session(now, key);
        }
    }

    /// Serves a request now.
    fn serve(&mut self, now: Now, key: SessionKey, origin: Origin, request: Box<Request>) {
        if let Origin::Remote(from, xid) = origin {
            if self.remotes.len() >= self.settings.exchanges_max {
                return self.reject_busy(origin, Busy::Full);
            }
            let deadline_us = now.us + self.settings.exchange_us;
            let remote = Remote {
                parts: 0,
                credit: crate::remote::PARTS_MAX,
                deadline_us,
            };
            self.remotes.insert((from, xid), remote);
            self.arm(deadline_us, Timer::Remote(from, xid));
            self.send(from, Frame::Accepted(xid));
        }
        if let Some(session) = self.sessions.get_mut(&key) {
            session.open += 1;
        }
        self.outputs.push_back(Output::Serve(origin, request));
    }

    /// Serves the requests that waited for a session, unless its former owner has to know first.
    pub(super) fn serve_waiting(&mut self, now: Now, key: SessionKey) {
        if self.is_taking(now, key) {
            return;
        }
        let waiting = self.sessions.get_mut(&key).map(|it| &mut it.waiting);
        for (origin, request) in waiting.map(std::mem::take).unwrap_or_default() {
            self.serve(now, key, origin, request);
        }
    }

    /// Answers 404.
    pub(super) fn reject(&mut self, origin: Origin, missing: Missing) {
        match origin {
            Origin::Local(call) => {
                self.doubtful.remove(&call);
                self.outputs.push_back(Output::NotFound(call, missing));
            }
            Origin::Remote(to, xid) => self.send(to, Frame::Unknown(xid, missing)),
        }
    }

    /// Answers 503, which promises that nothing was executed, where that is certain.
    pub(super) fn reject_busy(&mut self, origin: Origin, busy: Busy) {
        match origin {
            Origin::Local(call) if self.doubtful.remove(&call) && !mutated!("refuse_unknown") => {
                sim_point!("refused_in_doubt");
                self.outputs
                    .push_back(Output::Fail(call, Failure::OutcomeUnknown));
            }
            Origin::Local(call) => self.outputs.push_back(Output::Refuse(call, busy)),
            Origin::Remote(to, xid) => self.send(to, Frame::Busy(xid, busy)),
        }
    }

    /// Opens the id, then reads the record of a session that no known process has.
    fn look_up(&mut self, now: Now, pending: Pending) {
        let request = &pending.request;
        let id = request.session;
        let principal = &request.principal;
        let Some(birth) = self.tails.open_tail(&id, &request.tail, principal) else {
            return self.not_found(&pending, Missing::NotOurs);
        };
        let oldest_s = now.unix_s.saturating_sub(self.settings.id_age_max_s);
        if birth.created_unix_s + self.settings.leeway_s < oldest_s {
            return self.not_found(&pending, Missing::TooOld);
        }
        if mutated!("missing_when_gone") && id.home != self.me {
            return self.not_found(&pending, Missing::Ended);
        }
        let key = id.random;
        if let Some(lookup) = self.lookups.get_mut(&key) {
            if lookup.waiting.len() < self.settings.waiting_max {
                return lookup.waiting.push(pending);
            }
            return self.refuse(&pending, Busy::Full);
        }
        let has_room = self.sessions.len() < self.settings.sessions_max;
        if self.lookups.len() >= self.settings.lookups_max || !has_room {
            return self.refuse(&pending, Busy::Full);
        }
        let mut lookup = Lookup {
            op: 0,
            from: ReadFrom::Leader,
            birth,
            waiting: vec![pending],
        };
        if !self.is_connected {
            sim_point!("adopt_without_store");
            return self.adopt(now, key, lookup, None, Base::Unknown);
        }
        if self.can_use_store() {
            let name = Key::Session(self.generation, key);
            lookup.op = self.read(now, Purpose::Lookup(key), name, ReadFrom::Leader);
        } else {
            let at_us = now.us + self.settings.leader_read_us;
            self.arm(at_us, Timer::Waiting(key));
        }
        self.lookups.insert(key, lookup);
    }

    /// The life of the store is known: the reads that waited for it begin.
    pub(super) fn read_what_waited(&mut self, now: Now) {
        for key in std::mem::take(&mut self.unread) {
            self.read_session(now, key);
        }
        let all = self.lookups.iter();
        let waiting: Vec<SessionKey> = all
            .filter(|(_, lookup)| lookup.op == 0)
            .map(|(key, _)| *key)
            .collect();
        for key in waiting {
            sim_point!("lookup_waited");
            let name = Key::Session(self.generation, key);
            let op = self.read(now, Purpose::Lookup(key), name, ReadFrom::Leader);
            if let Some(lookup) = self.lookups.get_mut(&key) {
                lookup.op = op;
            }
        }
    }

    /// The store was not reached in time: the session is made without its record.
    pub(super) fn on_lookup_waited(&mut self, now: Now, key: SessionKey) {
        if self.lookups.get(&key).is_some_and(|lookup| lookup.op == 0)
            && let Some(lookup) = self.lookups.remove(&key)
        {
            self.adopt(now, key, lookup, None, Base::Unknown);
        }
    }

    /// Takes the record of a session that is looked up.
    pub(super) fn on_lookup_read(
        &mut self,
        now: Now,
        key: SessionKey,
        op: u64,
        result: ReadResult,
    ) {
        if self.lookups.get(&key).is_none_or(|lookup| lookup.op != op) {
            return;
        }
        let Some(mut lookup) = self.lookups.remove(&key) else {
            return;
        };
        let is_current = lookup.from == ReadFrom::Leader;
        match result {
            ReadResult::Failed if is_current => {
                sim_point!("read_any");
                lookup.from = ReadFrom::Any;
                let name = Key::Session(self.generation, key);
                lookup.op = self.read(now, Purpose::Lookup(key), name, ReadFrom::Any);
                self.lookups.insert(key, lookup);
            }
            ReadResult::Found(revision, value) => {
                self.on_lookup_found(now, key, lookup, (revision, value));
            }
            ReadResult::Marker(_) if is_current => {
                sim_point!("lookup_expired");
                self.end_lookup(lookup, Missing::Ended);
            }
            ReadResult::Absent if is_current && self.serves_plain(&lookup) => {
                sim_point!("plain");
                for pending in lookup.waiting {
                    let origin = Origin::Local(pending.call);
                    self.serve(now, key, origin, pending.request);
                }
            }
            ReadResult::Absent if is_current => self.adopt(now, key, lookup, None, Base::Absent),
            _ => self.adopt(now, key, lookup, None, Base::Unknown),
        }
    }

    /// Whether the session is of this node and was never changed: then it needs no record and no
    /// place here. An owner elsewhere would have written one.
    fn serves_plain(&self, lookup: &Lookup) -> bool {
        let first = lookup.waiting.first();
        let is_own = first.is_some_and(|it| it.request.session.home.node == self.me.node);
        is_own && !self.settings.forwards
    }

    fn on_lookup_found(
        &mut self,
        now: Now,
        key: SessionKey,
        lookup: Lookup,
        (revision, value): (u64, Vec<u8>),
    ) {
        let Ok((_, record)) = decode::<Record>(Kind::Session, &value) else {
            self.note(Note::BadRecord(key));
            return self.adopt(now, key, lookup, None, Base::At(revision));
        };
        if record.has_ended && !mutated!("revive_ended") {
            sim_point!("lookup_ended");
            return self.end_lookup(lookup, Missing::Ended);
        }
        let has = |pending: &Pending, owner| pending.not_here.contains(&owner);
        let owner = record.owner.filter(|owner| {
            let is_denied = lookup.waiting.iter().any(|pending| has(pending, *owner));
            *owner != self.me
                && self.settings.forwards
                && !self.is_isolated
                && !is_denied
                && self.members.is_usable(*owner, now.us, &self.settings)
        });
        if let Some(owner) = owner {
            sim_point!("lookup_names_owner");
            let max = self.settings.owners_max;
            self.owners.insert(key, owner, now.us, max);
            for pending in lookup.waiting {
                self.route(now, pending);
            }
            return;
        }
        let found = Some(record);
        self.adopt(now, key, lookup, found, Base::At(revision));
    }

    fn end_lookup(&mut self, lookup: Lookup, missing: Missing) {
        for pending in lookup.waiting {
            self.not_found(&pending, missing);
        }
    }

    /// Makes the session here from its id and its record, and serves the requests that waited.
    fn adopt(
        &mut self,
        now: Now,
        key: SessionKey,
        lookup: Lookup,
        record: Option<Record>,
        base: Base,
    ) {
        let Some(first) = lookup.waiting.first() else {
            return;
        };
        let id = first.request.session;
        let principal = first.request.principal.clone();
        let mut session = Session::new(id, principal, lookup.birth, self.epoch);
        session.not_here = lookup
            .waiting
            .iter()
            .flat_map(|it| it.not_here.iter())
            .copied()
            .collect();
        if record.is_none() {
            self.note(Note::WithoutHistory(key));
        }
        self.arrive(session, record, base);
        self.begin_taking(key);
        for pending in lookup.waiting {
            let origin = Origin::Local(pending.call);
            self.serve_or_wait(now, key, origin, pending.request);
        }
    }

    /// Adds a session that another process made. It is provisional until the store confirms it.
    pub(super) fn arrive(&mut self, mut session: Session, record: Option<Record>, base: Base) {
        sim_point!("adopt");
        let key = session.id.random;
        session.take_overs = 1;
        match record {
            Some(record) => {
                session.continue_from(record);
            }
            None => session.formers.push(session.id.home),
        }
        session.trim_formers(self.me);
        session.base = base;
        session.is_recorded = true;
        session.is_provisional = true;
        self.owners.remove(key);
        self.sessions.insert(key, session);
        self.outputs.push_back(Output::Arrive(key));
        self.mark(key);
    }
}
