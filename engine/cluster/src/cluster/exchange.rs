//! Requests that are forwarded: the side that sends them, and the owner that serves them.

use crate::cluster::Cluster;
use crate::frame::{Frame, Request, Xid};
use crate::id::{Now, Process};
use crate::lookup::Pending;
use crate::membership::Health;
use crate::refusal::{Busy, Missing};
use crate::remote::{Exchange, PARTS_MAX};
use crate::sim::{mutated, sim_point};
use crate::timers::Timer;
use crate::vocabulary::{Call, Failure, Origin, Output, SessionKey};

impl Cluster {
    /// Sends a request to a process that probably owns its session.
    pub(super) fn forward(&mut self, now: Now, to: Process, pending: Pending, is_second: bool) {
        if self.exchanges.len() >= self.settings.exchanges_max {
            return self.refuse(&pending, Busy::Full);
        }
        sim_point!("forward");
        let key = pending.request.session.random;
        let max = self.settings.owners_max;
        if self.owners.of(key, now.us, u64::MAX) != Some(to) {
            self.owners.insert(key, to, now.us, max);
        }
        self.come_home(now, to, &pending);
        let xid = self.next();
        let rest_us = self.settings.exchange_us;
        let frame = Frame::Forward(xid, rest_us, pending.request.clone());
        let deadline_us = now.us + rest_us;
        let exchange = Exchange {
            to,
            pending,
            is_accepted: false,
            next_part: 0,
            deadline_us,
            is_second,
        };
        self.exchanges.insert(xid, exchange);
        // There and back take two ways each; on a slow bus no owner is blamed for that.
        let accept_us = self.settings.accept_us.max(4 * self.echo_took_us);
        let accept_us = accept_us.min(self.settings.suspect_us);
        self.arm(now.us + accept_us, Timer::Accept(xid));
        self.arm(deadline_us, Timer::Exchange(xid));
        self.send(to, frame);
    }

    /// Requests a session that is used here often from its owner.
    fn come_home(&mut self, now: Now, owner: Process, pending: &Pending) {
        let id = pending.request.session;
        let window_us = self.settings.home_window_us;
        let uses = self.owners.count_use(id.random, now.us, window_us);
        let second = now.us / 1_000_000;
        if self.homing.0 != second {
            self.homing = (second, 0);
        }
        if uses >= self.settings.home_uses && self.homing.1 < self.settings.home_per_s {
            self.homing.1 += 1;
            self.owners.forget_uses(id.random);
            self.send(owner, Frame::Release(id));
        }
    }

    /// Ends an exchange, if it is with this process.
    fn end_exchange(&mut self, from: Process, xid: Xid) -> Option<Exchange> {
        self.members.answered(from);
        self.exchanges.get(&xid).filter(|it| it.to == from)?;
        self.drop_exchange(xid)
    }

    fn drop_exchange(&mut self, xid: Xid) -> Option<Exchange> {
        let exchange = self.exchanges.remove(&xid)?;
        self.timers
            .cancel(exchange.deadline_us, Timer::Exchange(xid));
        Some(exchange)
    }

    pub(super) fn on_accepted(&mut self, from: Process, xid: Xid) {
        self.members.answered(from);
        if let Some(exchange) = self.exchanges.get_mut(&xid) {
            exchange.is_accepted |= exchange.to == from;
        }
    }

    /// The owner does not have the session: surely not executed.
    pub(super) fn on_not_here(
        &mut self,
        now: Now,
        from: Process,
        xid: Xid,
        moved: Option<Process>,
    ) {
        let Some(Exchange { mut pending, .. }) = self.end_exchange(from, xid) else {
            return;
        };
        sim_point!("not_here");
        let key = pending.request.session.random;
        pending.not_here.push(from);
        self.owners.remove(key);
        if let Some(to) = moved.filter(|to| *to != self.me) {
            sim_point!("moved");
            pending.not_here.retain(|other| *other != to);
            self.owners
                .insert(key, to, now.us, self.settings.owners_max);
        }
        self.route(now, pending);
    }

    /// The owner answers 404.
    pub(super) fn on_unknown(&mut self, from: Process, xid: Xid, missing: Missing) {
        if let Some(exchange) = self.end_exchange(from, xid) {
            self.not_found(&exchange.pending, missing);
        }
    }

    /// The owner answers 503.
    pub(super) fn on_busy(&mut self, from: Process, xid: Xid, busy: Busy) {
        if let Some(exchange) = self.end_exchange(from, xid) {
            self.refuse(&exchange.pending, busy);
        }
    }

    pub(super) fn on_part(
        &mut self,
        from: Process,
        xid: Xid,
        (number, is_last, body): (u32, bool, Box<[u8]>),
    ) {
        self.members.answered(from);
        let exchange = self.exchanges.get_mut(&xid);
        let Some(exchange) = exchange.filter(|it| it.to == from) else {
            return;
        };
        exchange.is_accepted = true;
        let call = exchange.pending.call;
        if number != exchange.next_part {
            sim_point!("part_gap");
            self.drop_exchange(xid);
            return self.fail(call, Failure::Gap);
        }
        exchange.next_part += 1;
        let next = exchange.next_part;
        self.outputs.push_back(Output::Part(call, is_last, body));
        if is_last {
            self.doubtful.remove(&call);
            self.drop_exchange(xid);
        } else if next.is_multiple_of(PARTS_MAX / 2) {
            self.send(from, Frame::Credit(xid, next + PARTS_MAX));
        }
    }

    fn fail(&mut self, call: Call, failure: Failure) {
        self.doubtful.remove(&call);
        self.outputs.push_back(Output::Fail(call, failure));
    }

    /// The owner did not accept in time: it may have executed the request.
    pub(super) fn on_accept_timeout(&mut self, now: Now, xid: Xid) {
        if self.exchanges.get(&xid).is_none_or(|it| it.is_accepted) {
            return;
        }
        let Some(exchange) = self.drop_exchange(xid) else {
            return;
        };
        let Exchange {
            to,
            mut pending,
            is_second,
            ..
        } = exchange;
        if now.us - self.echoed_us < 2 * self.settings.heartbeat_us {
            // The bus works from here: the silence is the other's.
            self.members.unanswered(to, now.us, &self.settings);
        }
        self.owners.remove(pending.request.session.random);
        if !pending.request.is_repeatable && !mutated!("run_on_unknown") {
            sim_point!("outcome_unknown");
            return self.fail(pending.call, Failure::OutcomeUnknown);
        }
        self.doubtful.insert(pending.call);
        if !self.members.is_usable(to, now.us, &self.settings) || mutated!("run_on_unknown") {
            sim_point!("repeat_elsewhere");
            pending.not_here.push(to);
            self.route(now, pending);
        } else if is_second {
            self.fail(pending.call, Failure::OutcomeUnknown);
        } else {
            sim_point!("repeat_once");
            self.forward(now, to, pending, true);
        }
    }

    pub(super) fn on_exchange_timeout(&mut self, xid: Xid) {
        if let Some(exchange) = self.exchanges.remove(&xid) {
            self.fail(exchange.pending.call, Failure::Deadline);
        }
    }

    /// A forward found no process: surely not delivered.
    pub fn handle_no_responders(&mut self, now: Now, to: Process, xid: Xid) {
        self.begin(now);
        let is_gone = self.members.no_responders(to, now.us, &self.settings);
        if self.exchanges.get(&xid).is_none_or(|it| it.to != to) {
            return;
        }
        let Some(Exchange { mut pending, .. }) = self.drop_exchange(xid) else {
            return;
        };
        if is_gone {
            sim_point!("no_responders_twice");
            pending.not_here.push(to);
            return self.route(now, pending);
        }
        if self.again.len() >= self.settings.exchanges_max {
            return self.refuse(&pending, Busy::Full);
        }
        sim_point!("no_responders_once");
        let at_us = now.us + self.settings.no_responders_us;
        self.arm(at_us, Timer::Again(pending.call));
        self.again.insert(pending.call, pending);
    }

    pub(super) fn on_again(&mut self, now: Now, call: Call) {
        if let Some(pending) = self.again.remove(&call) {
            self.route(now, pending);
        }
    }

    /// Fails the accepted exchanges with processes that are gone.
    pub(super) fn fail_exchanges_of_gone(&mut self, now: Now) {
        let is_lost = |exchange: &Exchange| {
            let health = self.members.health(exchange.to, now.us, &self.settings);
            exchange.is_accepted && health == Health::Gone
        };
        let all = self.exchanges.iter();
        let lost: Vec<Xid> = all
            .filter(|(_, it)| is_lost(it))
            .map(|(xid, _)| *xid)
            .collect();
        for xid in lost {
            if let Some(exchange) = self.drop_exchange(xid) {
                sim_point!("node_lost");
                self.fail(exchange.pending.call, Failure::NodeLost);
            }
        }
    }

    /// Takes a request of another process. It is never sent on: the sender decides again.
    pub(super) fn on_forward(
        &mut self,
        now: Now,
        (from, xid): (Process, Xid),
        request: Box<Request>,
    ) {
        let key = request.session.random;
        let origin = Origin::Remote(from, xid);
        if self.is_ended(key) {
            return self.reject(origin, Missing::Ended);
        }
        if !self.settings.forwards {
            return self.send(from, Frame::NotHere(xid));
        }
        if self.sessions.contains_key(&key) {
            return self.serve_or_wait(now, key, origin, request);
        }
        let known = self.owners.of(key, now.us, self.settings.owner_us);
        match known.filter(|owner| *owner != self.me && *owner != from) {
            Some(owner) => self.send(from, Frame::Moved(xid, owner)),
            None => self.send(from, Frame::NotHere(xid)),
        }
    }

    pub(super) fn on_credit(&mut self, name: (Process, Xid), until: u32) {
        if let Some(remote) = self.remotes.get_mut(&name) {
            remote.credit = remote.credit.max(until);
        }
    }

    /// A part of the answer to a request that is served here; the last one ends it.
    pub fn answer(
        &mut self,
        now: Now,
        origin: Origin,
        key: SessionKey,
        is_last: bool,
        body: Box<[u8]>,
    ) {
        self.begin(now);
        match origin {
            Origin::Local(call) => {
                self.doubtful.remove(&call);
                self.outputs.push_back(Output::Part(call, is_last, body));
            }
            Origin::Remote(to, xid) => self.answer_remote((to, xid), is_last, body),
        }
        if is_last && let Some(session) = self.sessions.get_mut(&key) {
            session.open = session.open.saturating_sub(1);
        }
    }

    fn answer_remote(&mut self, (to, xid): (Process, Xid), is_last: bool, body: Box<[u8]>) {
        let Some(remote) = self.remotes.get_mut(&(to, xid)) else {
            return;
        };
        let number = remote.parts;
        remote.parts += 1;
        if number >= remote.credit {
            sim_point!("no_credit");
            // A number that the sender does not expect ends the exchange there.
            self.send(to, Frame::Part(xid, u32::MAX, true, Box::default()));
            return self.end_remote(to, xid);
        }
        if !sim_point!("part_lost", 1) {
            self.send(to, Frame::Part(xid, number, is_last, body));
        }
        if is_last {
            self.end_remote(to, xid);
        }
    }

    pub(super) fn end_remote(&mut self, from: Process, xid: Xid) {
        if let Some(remote) = self.remotes.remove(&(from, xid)) {
            self.timers
                .cancel(remote.deadline_us, Timer::Remote(from, xid));
        }
    }
}
