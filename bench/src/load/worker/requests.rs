//! Requests of a worker: their sending, their outcome and their counts.

use super::{Timer, Worker};
use crate::load::answer::Ending;
use crate::load::client::{Exchange, Purpose, Stage};
use crate::load::script::Revision;
use crate::load::tally::Failure;
use crate::load::target::Wire;
use corelane_io::slots::SlotKey;
use std::cmp::Reverse;
use std::num::NonZeroU64;
use std::sync::atomic::Ordering;

const NS_PER_MS: u64 = 1_000_000;
const NS_PER_S: u64 = 1_000_000_000;

impl Worker {
    /// Sends due requests on the connections that may send.
    pub(super) fn send_due(&mut self, now: u64) {
        let Some(window) = self.window else {
            return;
        };
        let ends = self.state.ends.load(Ordering::Relaxed);
        if self.schedule.is_none() {
            while now >= window.start_ns
                && now < window.end_ns
                && !ends
                && let Some((key, _)) = self.next_ready()
            {
                self.request(key, now, now);
            }
        } else {
            while !ends
                && let Some(due) = self.next_due_ns().filter(|due| *due <= now)
                && let Some((key, since)) = self.next_ready()
            {
                self.scheduled += 1;
                if due >= window.measure_from_ns {
                    self.results
                        .tally
                        .slip
                        .record(now - due.max(since).min(now));
                }
                self.request(key, due, now);
            }
        }
        let nothing_is_due = match self.schedule {
            None => now >= window.end_ns,
            Some(_) => self.next_due_ns().is_none(),
        };
        // Due requests without a free connection are given up.
        let is_over = now > window.end_ns + self.timeout_ns();
        let is_quiet = (nothing_is_due || ends) && self.requests_in_flight == 0;
        if is_over && self.requests_in_flight > 0 {
            // Every request still in flight is overdue, however late it was sent.
            self.end_overdue(now, 0);
        }
        if (is_quiet || is_over) && !self.live().is_done.load(Ordering::Relaxed) {
            self.count_unsent(now.min(window.end_ns));
            self.publish(now);
            self.live().is_done.store(true, Ordering::Release);
        }
    }

    /// When the next request of an open loop is due; nothing if none is any more.
    pub(super) fn next_due_ns(&self) -> Option<u64> {
        let (schedule, window) = (self.schedule?, self.window?);
        let due = schedule
            .due_ns(self.scheduled)
            .saturating_add(window.start_ns);
        (due < window.end_ns).then_some(due)
    }

    /// The connection that has been able to send for longest.
    fn next_ready(&mut self) -> Option<(SlotKey, u64)> {
        loop {
            let (key, since) = self.ready.pop_front()?;
            if self.slots.get(key).is_some() {
                return Some((key, since));
            }
        }
    }

    fn request(&mut self, key: SlotKey, intended: u64, now: u64) {
        let kind = self.choose();
        let abort_percent = self.plan.mix.kinds[kind].abort_percent;
        let is_aborted = self.happens(abort_percent);
        self.send(key, Purpose::Request(kind), intended, now);
        self.requests_in_flight += 1;
        if self.is_measured(intended) {
            self.results.tally.counts.sent += 1;
        }
        if let Some(client) = self.slots.get_mut(key) {
            client.requests += 1;
            client.session_requests += 1;
            if is_aborted && let Some(exchange) = client.in_flight.back_mut() {
                exchange.is_aborted = true;
            }
        }
    }

    /// The kind of the next request.
    pub(super) fn choose(&mut self) -> usize {
        match self.plan.mix.kinds[..] {
            [_] => 0,
            _ => {
                let rng = self.roll();
                self.plan.mix.choose(rng)
            }
        }
    }

    /// An exchange is over.
    pub(super) fn done(
        &mut self,
        key: SlotKey,
        exchange: Exchange,
        ending: Ending,
        session: Option<String>,
        now: u64,
    ) {
        match exchange.purpose {
            Purpose::Request(kind) => {
                // Late is late, also before the next check for overdue requests.
                let is_late = now.saturating_sub(exchange.sent_ns) > self.timeout_ns();
                let ending = if is_late { self.overdue() } else { ending };
                self.answered(key, kind, exchange, &ending, now);
            }
            Purpose::Delete => self.begin_session(key, now),
            _ => {
                if let Ending::Failed(failure, line) = ending {
                    let failure = match failure {
                        Failure::Timeout | Failure::Reset => failure,
                        _ => Failure::Connect,
                    };
                    self.broke(key, failure, &line, now);
                    return;
                }
                self.step(key, exchange.purpose, session, now);
            }
        }
    }

    /// A step of opening a connection went well.
    pub(super) fn step(
        &mut self,
        key: SlotKey,
        purpose: Purpose,
        session: Option<String>,
        now: u64,
    ) {
        let Some(client) = self.slots.get_mut(key) else {
            return;
        };
        match purpose {
            Purpose::Upgrade => self.begin(key, now),
            Purpose::Initialize => {
                client.session = session.map(String::into_boxed_str);
                client.session_requests = 0;
                if self.is_measured(now) {
                    self.results.tally.counts.sessions_opened += 1;
                }
                self.send(key, Purpose::Initialized, now, now);
            }
            Purpose::Initialized if client.stage == Stage::Open => self.rest(key, now),
            Purpose::Initialized => self.opened(key, now),
            // A stream that ends is a connection that did not stay.
            _ => self.broke(key, Failure::Connect, "the stream ended", now),
        }
    }

    fn answered(
        &mut self,
        key: SlotKey,
        kind: usize,
        exchange: Exchange,
        ending: &Ending,
        now: u64,
    ) {
        let Some(client) = self.slots.get(key) else {
            return;
        };
        if client.stage == Stage::Opening {
            self.first_answer(key, ending, now);
            return;
        }
        self.count(kind, &exchange, ending, now);
        let Some(client) = self.slots.get(key) else {
            return;
        };
        let mix = &self.plan.mix;
        let is_quiet = client.in_flight.is_empty();
        let is_past =
            |limit: Option<NonZeroU64>, made: u64| limit.is_some_and(|limit| made >= limit.get());
        if is_past(mix.connection.requests, client.requests) {
            if is_quiet {
                self.end_session(key, now, true);
            }
        } else if self.plan.revision == Revision::Legacy
            && is_past(mix.session.requests, client.session_requests)
        {
            if is_quiet {
                self.end_session(key, now, false);
            }
        } else {
            self.ready_again(key, now);
        }
    }

    /// The first answer of a connection that is to be held.
    fn first_answer(&mut self, key: SlotKey, ending: &Ending, now: u64) {
        match ending {
            Ending::Correct { .. } => self.stands(key, Stage::Open, now),
            Ending::Failed(failure, line) => {
                self.results.tally.sample(|| line.clone());
                self.broke(key, *failure, line, now);
            }
        }
    }

    /// The session of a connection has made its requests: it ends, and then the connection too or
    /// another session begins.
    fn end_session(&mut self, key: SlotKey, now: u64, ends_connection: bool) {
        let has_session = self
            .slots
            .get(key)
            .is_some_and(|client| client.session.is_some());
        // A session ends with its channel.
        let ends_connection = ends_connection || self.plan.wire != Wire::Http;
        let percent = self.plan.mix.session.delete_percent;
        let is_measured = self.is_measured(now);
        let is_deleted = !ends_connection && self.happens(percent);
        let counts = &mut self.results.tally.counts;
        if is_deleted {
            counts.sessions_deleted += u64::from(is_measured);
            self.send(key, Purpose::Delete, now, now);
            return;
        }
        counts.sessions_abandoned += u64::from(has_session && is_measured);
        if ends_connection {
            self.replace(key);
        } else {
            self.begin_session(key, now);
        }
    }

    fn begin_session(&mut self, key: SlotKey, now: u64) {
        if let Some(client) = self.slots.get_mut(key) {
            client.session = None;
            self.send(key, Purpose::Initialize, now, now);
        }
    }

    /// All places of a connection that began another session are free.
    fn rest(&mut self, key: SlotKey, now: u64) {
        for _ in 0..self.plan.in_flight_max {
            self.ready_again(key, now);
        }
    }

    /// One place of a connection is free again, after its rest.
    fn ready_again(&mut self, key: SlotKey, now: u64) {
        let think_ns = self.plan.mix.think_ms * NS_PER_MS;
        if think_ns == 0 || self.schedule.is_some() {
            self.ready.push_back((key, now));
            return;
        }
        let rested = Timer::Rested {
            index: key.index,
            generation: key.generation,
        };
        self.timers.push(Reverse((now + think_ns, rested)));
    }

    /// Counts how a request of the mix ended.
    pub(super) fn count(&mut self, kind: usize, exchange: &Exchange, ending: &Ending, now: u64) {
        self.requests_in_flight -= 1;
        if !self.is_measured(exchange.intended_ns) {
            return;
        }
        let Some(window) = self.window else {
            return;
        };
        let tally = &mut self.results.tally;
        let last = (window.end_ns - window.measure_from_ns - 1) / NS_PER_S;
        let second = (now - window.measure_from_ns) / NS_PER_S;
        let second = second.min(last) as usize;
        match ending {
            Ending::Correct { is_tool_error } => {
                let latency_ns = now - exchange.intended_ns;
                tally.answered(kind, second, latency_ns, now - exchange.sent_ns);
                tally.counts.tool_errors += u64::from(*is_tool_error);
                tally.answered_meanwhile += u64::from(now < window.end_ns);
            }
            Ending::Failed(failure, line) => {
                tally.failed(kind, second, *failure);
                tally.sample(|| line.clone());
            }
        }
    }

    /// Gives up the request in flight by closing its connection, as the mix says.
    pub(super) fn abort(&mut self, key: SlotKey) {
        let Some(client) = self.slots.get(key) else {
            return;
        };
        let in_flight: Vec<Exchange> = client.in_flight.iter().copied().collect();
        for exchange in in_flight {
            self.requests_in_flight -= 1;
            if self.is_measured(exchange.intended_ns) {
                self.results.tally.counts.aborted += 1;
            }
        }
        self.replace(key);
    }

    pub(super) fn timeout_ns(&self) -> u64 {
        self.plan.timeout.as_nanos() as u64
    }

    fn overdue(&self) -> Ending {
        let ms = self.plan.timeout.as_millis();
        Ending::Failed(Failure::Timeout, format!("no answer within {ms} ms"))
    }

    /// Ends connections with an oldest request, or a connection attempt, of at least this age.
    pub(super) fn end_overdue(&mut self, now: u64, limit_ns: u64) {
        let overdue: Vec<SlotKey> = self
            .slots
            .iter()
            .filter(|(_, client)| {
                let oldest = client.in_flight.front();
                let since = match (client.stage, oldest) {
                    (Stage::Connecting, _) => client.since_ns,
                    (Stage::Streaming, _) | (_, None) => return false,
                    (_, Some(exchange)) => exchange.sent_ns,
                };
                now.saturating_sub(since) >= limit_ns
            })
            .map(|(key, _)| key)
            .collect();
        for key in overdue {
            if let Ending::Failed(failure, reason) = self.overdue() {
                self.broke(key, failure, &reason, now);
            }
        }
    }

    /// Requests of the schedule that no connection was free for count as errors.
    fn count_unsent(&mut self, until: u64) {
        while let Some(due) = self.next_due_ns().filter(|due| *due < until) {
            self.scheduled += 1;
            if self.is_measured(due) {
                self.results.tally.counts.errors.unsent += 1;
            }
        }
    }

    /// Whether `time_ns` lies in the time that is measured.
    pub(super) fn is_measured(&self, time_ns: u64) -> bool {
        self.window
            .is_some_and(|window| (window.measure_from_ns..window.end_ns).contains(&time_ns))
    }
}
