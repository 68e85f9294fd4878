//! Connections of a worker: opened, broken, replaced; received and sent bytes.

use super::{CLOSING_MAX, Timer, Worker};
use crate::load::answer::Ending;
use crate::load::client::{Client, Event, Exchange, Purpose, Stage};
use crate::load::pace::Schedule;
use crate::load::plan::{Fault, Role};
use crate::load::script::Revision;
use crate::load::tally::Failure;
use crate::load::target::Wire;
use crate::load::tls::TlsSettings;
use corelane_io::chunk::Chunk;
use corelane_io::ring::{Hangup, Received, Route, Wait};
use corelane_io::slots::SlotKey;
use corelane_protocol::framing::websocket::{Opcode, write_frame};
use std::cmp::Reverse;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Pause before a broken connection is replaced.
const REDIAL_NS: u64 = 100_000_000;
/// How long a turn of closing waits for a completion at most.
const CLOSING_WAIT: Duration = Duration::from_millis(10);
/// Duration of a ramp's schedule; only its rate matters.
const RAMP: Duration = Duration::from_secs(1);

impl Worker {
    /// Opens the missing connections as fast as the ramp and the bounds allow.
    pub(super) fn dial_wanted(&mut self, now: u64) {
        while self.connecting < self.connecting_max
            && !self.free.is_empty()
            && (self.to_redial > 0 || self.next_dial_ns().is_some_and(|due| due <= now))
        {
            match self.to_redial.checked_sub(1) {
                Some(left) => self.to_redial = left,
                None => self.begun += 1,
            }
            self.dial(now);
        }
    }

    /// When the next connection is due; nothing if all are begun.
    pub(super) fn next_dial_ns(&self) -> Option<u64> {
        let wanted = self.state.wanted.load(Ordering::Relaxed);
        let is_bound = self.connecting >= self.connecting_max || self.free.is_empty();
        if self.begun >= self.plan.share(wanted, self.number) || is_bound {
            return None;
        }
        Some(match self.plan.ramp {
            None => 0,
            Some(rate) => {
                let schedule = Schedule::new(rate, RAMP, self.number, self.plan.workers);
                schedule.due_ns(u64::from(self.begun))
            }
        })
    }

    fn dial(&mut self, now: u64) {
        let index = self.free.pop().expect("dial_wanted saw a free index");
        let key = self
            .slots
            .insert_at(index, Client::connecting(self.plan.wire, now));
        let number = self.dials * u64::from(self.plan.workers) + u64::from(self.number);
        self.dials += 1;
        self.connecting += 1;
        let route = Route {
            from: self.plan.source(number),
            to: self.plan.address.clone(),
            resets_on_close: self.plan.holds(),
        };
        self.ring.connect(key, &route);
    }

    pub(super) fn connected(&mut self, key: SlotKey, outcome: Result<(), i32>, now: u64) {
        if self.slots.get(key).is_none() {
            return;
        }
        if let Err(errno) = outcome {
            let reason = io::Error::from_raw_os_error(errno).to_string();
            self.broke(key, Failure::Connect, &reason, now);
            return;
        }
        match self.plan.holds() {
            true => self.ring.watch(key),
            false => self.ring.recv_multishot(key),
        }
        let plan = Arc::clone(&self.plan);
        match &plan.tls {
            Some(settings) => self.begin_handshake(key, settings, now),
            None => self.carries_bytes(key, now),
        }
    }

    fn begin_handshake(&mut self, key: SlotKey, settings: &TlsSettings, now: u64) {
        let mut hello = Vec::new();
        match (settings.connection(&mut hello), self.slots.get_mut(key)) {
            (Ok(tls), Some(client)) => {
                client.tls = Some(Box::new(tls));
                self.send_bytes(key, &hello);
            }
            (Err(error), _) => self.broke(key, Failure::Connect, &error.to_string(), now),
            (Ok(_), None) => {}
        }
    }

    /// The connection can carry the bytes of its protocol.
    fn carries_bytes(&mut self, key: SlotKey, now: u64) {
        self.connecting -= 1;
        if self.is_measured(now) {
            self.results.tally.counts.connected += 1;
        }
        self.set_stage(key, Stage::Opening);
        match self.plan.wire {
            Wire::Http | Wire::Lines => self.begin(key, now),
            Wire::WebSocket => self.send(key, Purpose::Upgrade, now, now),
        }
    }

    /// The connection can carry messages.
    pub(super) fn begin(&mut self, key: SlotKey, now: u64) {
        match self.plan.revision {
            Revision::Legacy => self.send(key, Purpose::Initialize, now, now),
            Revision::Modern => self.opened(key, now),
        }
    }

    /// The connection has its session, if it needs one.
    pub(super) fn opened(&mut self, key: SlotKey, now: u64) {
        match self.plan.role {
            Role::Caller => self.stands(key, Stage::Open, now),
            Role::Idle => {
                let kind = self.choose();
                self.send(key, Purpose::Request(kind), now, now);
            }
            // The messages of a session come on its channel.
            Role::Stream
                if self.plan.wire != Wire::Http && self.plan.revision == Revision::Legacy =>
            {
                self.stands(key, Stage::Streaming, now);
            }
            Role::Stream => self.send(key, Purpose::Stream, now, now),
        }
    }

    /// The connection is open and may be used.
    pub(super) fn stands(&mut self, key: SlotKey, stage: Stage, now: u64) {
        let Some(client) = self.slots.get_mut(key) else {
            return;
        };
        let is_new = client.stage == Stage::Opening;
        client.stage = stage;
        if is_new {
            let since = client.since_ns;
            self.results.tally.connect.record(now - since);
            self.live().held.fetch_add(1, Ordering::Relaxed);
        }
        if stage == Stage::Open {
            for _ in 0..self.plan.in_flight_max {
                self.ready.push_back((key, now));
            }
        }
    }

    /// A held connection has bytes, or its end came.
    pub(super) fn readable(&mut self, key: SlotKey, hangup: Hangup, armed: bool) {
        if self.slots.get(key).is_none() {
            return;
        }
        if !armed {
            self.ring.watch(key);
        }
        self.ring.receive(key);
        // No poll reports the end behind the last bytes.
        if hangup != Hangup::None {
            self.ring.receive(key);
        }
    }

    /// A receive of a held connection ended.
    pub(super) fn received(&mut self, key: SlotKey, outcome: Received, now: u64) {
        let is_more = matches!(
            outcome,
            Received::NoBuffers
                | Received::Data {
                    more_waiting: true,
                    ..
                }
        );
        self.on_recv(key, outcome, now);
        if is_more && self.slots.get(key).is_some() {
            self.ring.receive(key);
        }
    }

    /// The multishot receive of a connection brought bytes or ended.
    pub(super) fn streamed(&mut self, key: SlotKey, outcome: Received, armed: bool, now: u64) {
        self.on_recv(key, outcome, now);
        if !armed && self.slots.get(key).is_some() {
            self.ring.recv_multishot(key);
        }
    }

    fn on_recv(&mut self, key: SlotKey, outcome: Received, now: u64) {
        match outcome {
            Received::Data { buffer, bytes, .. } => {
                let mut events = std::mem::take(&mut self.events);
                let outcome = match self.slots.get_mut(key) {
                    Some(client) => {
                        let bytes = self.ring.buffers().bytes_mut(&buffer, bytes);
                        client.take(bytes, &mut self.heads, &mut self.checkers, &mut events)
                    }
                    None => Ok(()),
                };
                self.ring.buffers().recycle(buffer);
                for event in events.drain(..) {
                    self.act(key, event, now);
                }
                self.events = events;
                if let Err(fault) = outcome {
                    self.broke(key, Failure::Http, &fault.to_string(), now);
                }
            }
            Received::NoBuffers | Received::WouldBlock => {}
            Received::EndOfStream => self.ended(key, now),
            Received::Failed { errno } => {
                let reason = io::Error::from_raw_os_error(errno).to_string();
                self.broke(key, Failure::Reset, &reason, now);
            }
        }
    }

    /// The server sends no more.
    fn ended(&mut self, key: SlotKey, now: u64) {
        let mut events = Vec::new();
        let outcome = match self.slots.get_mut(key) {
            Some(client) => client.finish(&mut self.checkers, &mut events),
            None => return,
        };
        for event in events {
            self.act(key, event, now);
        }
        let reason = match outcome {
            Ok(()) => "the server closed the connection".to_owned(),
            Err(fault) => fault.to_string(),
        };
        self.broke(key, Failure::Reset, &reason, now);
    }

    fn act(&mut self, key: SlotKey, event: Event, now: u64) {
        match event {
            Event::Done {
                exchange,
                ending,
                session,
                closes,
            } => {
                self.done(key, exchange, ending, session, now);
                if closes && self.slots.get(key).is_some() {
                    self.broke(key, Failure::Reset, "the server ends each connection", now);
                }
            }
            Event::Ping(payload) => {
                let mut pong = Vec::new();
                // A client masks with any key that is new; nothing here is chosen by others.
                let mask = (now as u32).to_be_bytes();
                write_frame(&mut pong, Opcode::Pong, &payload, Some(mask));
                if let Some(tls) = self.slots.get_mut(key).and_then(|it| it.tls.as_mut()) {
                    tls.seal(&std::mem::take(&mut pong), &mut pong);
                }
                self.send_bytes(key, &pong);
            }
            Event::Records(records) => self.send_bytes(key, &records),
            Event::Secured => self.carries_bytes(key, now),
            Event::StreamOpen => self.stands(key, Stage::Streaming, now),
            Event::Notification(_) => self.notified(key, now),
        }
    }

    /// A stream brought a change.
    fn notified(&mut self, key: SlotKey, now: u64) {
        let round = self.state.round.load(Ordering::Acquire);
        let Some(client) = self.slots.get_mut(key) else {
            return;
        };
        if round == 0 || client.stage != Stage::Streaming {
            return;
        }
        let is_again = client.last_round == round;
        client.last_round = round;
        let at = round as usize - 1;
        let found = &mut self.results;
        found
            .arrivals
            .resize(found.arrivals.len().max(at + 1), Vec::new());
        found
            .duplicates
            .resize(found.duplicates.len().max(at + 1), 0);
        if is_again {
            found.duplicates[at] += 1;
        } else {
            found.arrivals[at].push(now);
            self.live().delivered.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends the request of `purpose`, due at `intended`.
    pub(super) fn send(&mut self, key: SlotKey, purpose: Purpose, intended: u64, now: u64) {
        let script = &self.plan.script;
        let is_listen = self.plan.revision == Revision::Modern;
        let template = match purpose {
            Purpose::Upgrade => &script.upgrade,
            Purpose::Initialize => &script.initialize,
            Purpose::Initialized => &script.initialized,
            Purpose::Request(kind) => &script.kinds[kind],
            Purpose::Delete => &script.delete,
            Purpose::Stream if is_listen => &script.listen,
            Purpose::Stream => &script.stream,
        };
        let Some(client) = self.slots.get_mut(key) else {
            return;
        };
        // The id 0 marks the stream of a GET, whose request has no id.
        let has_id = purpose != Purpose::Stream || is_listen;
        let id = if has_id { self.next_id } else { 0 };
        self.next_id += 1;
        let session = client.session.as_deref();
        let bytes = template.bytes(session.map_or(0, str::len));
        let mut chunk = (!client.is_sending).then(|| self.chunks.take(bytes));
        let out = match &mut chunk {
            Some(chunk) => &mut **chunk,
            None => &mut client.unsent,
        };
        match &mut client.tls {
            None => template.write(out, id, session),
            Some(tls) => {
                self.plaintext.clear();
                template.write(&mut self.plaintext, id, session);
                tls.seal(&self.plaintext, out);
            }
        }
        // On a channel nothing answers a notification.
        let is_answered = purpose != Purpose::Initialized || self.plan.wire == Wire::Http;
        if is_answered {
            client.in_flight.push_back(Exchange {
                purpose,
                id,
                intended_ns: intended,
                sent_ns: now,
                is_aborted: false,
            });
        }
        if let Some(chunk) = chunk {
            client.is_sending = true;
            self.ring.send(key, chunk, 0);
        }
        if !is_answered {
            self.step(key, purpose, None, now);
        }
    }

    /// Sends bytes behind those on their way. With TLS they are records.
    fn send_bytes(&mut self, key: SlotKey, bytes: &[u8]) {
        let Some(client) = self.slots.get_mut(key) else {
            return;
        };
        if client.is_sending {
            client.unsent.extend_from_slice(bytes);
            return;
        }
        let mut chunk = self.chunks.take(bytes.len());
        chunk.extend_from_slice(bytes);
        client.is_sending = true;
        self.ring.send(key, chunk, 0);
    }

    pub(super) fn sent(
        &mut self,
        key: SlotKey,
        chunk: Chunk,
        from: usize,
        outcome: Result<usize, i32>,
    ) {
        let Some(client) = self.slots.get_mut(key) else {
            self.chunks.give(chunk);
            return;
        };
        match outcome {
            Ok(bytes) if from + bytes < chunk.len() => {
                self.ring.send(key, chunk, from + bytes);
            }
            Ok(_) => {
                self.chunks.give(chunk);
                client.is_sending = false;
                if !client.unsent.is_empty() {
                    client.is_sending = true;
                    let unsent = std::mem::take(&mut client.unsent);
                    self.ring.send(key, Chunk::from(unsent), 0);
                } else if client.in_flight.iter().any(|exchange| exchange.is_aborted) {
                    self.abort(key);
                }
            }
            // The receive reports the reason; an answer may still be waiting there.
            Err(_) => self.chunks.give(chunk),
        }
    }

    /// The connection failed, and every request in flight on it.
    pub(super) fn broke(&mut self, key: SlotKey, failure: Failure, reason: &str, now: u64) {
        let Some(client) = self.slots.get(key) else {
            return;
        };
        let (stage, since) = (client.stage, client.since_ns);
        let in_flight = client.in_flight.clone();
        for exchange in &in_flight {
            if let Purpose::Request(kind) = exchange.purpose
                && stage == Stage::Open
            {
                let ending = Ending::Failed(failure, reason.to_owned());
                self.count(kind, exchange, &ending, now);
            }
        }
        match stage {
            Stage::Connecting | Stage::Opening => {
                let is_connecting = stage == Stage::Connecting;
                let fault = if is_connecting {
                    self.connecting -= 1;
                    Fault::Connect(reason.to_owned())
                } else {
                    Fault::Protocol(reason.to_owned())
                };
                self.state.report_fault(fault);
                self.live().failed_connects.fetch_add(1, Ordering::Relaxed);
                if self.window.is_none() || self.is_measured(since.max(now)) {
                    self.results.tally.count_error(Failure::Connect);
                    self.results.tally.sample(|| reason.to_owned());
                }
            }
            Stage::Open | Stage::Streaming => {
                self.live().held.fetch_sub(1, Ordering::Relaxed);
                self.live().lost.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.close(key);
        if self.plan.reconnects && self.window.is_some() {
            // A server that closes connections after an answer gets the next one at once.
            let pause = if in_flight.is_empty() && stage == Stage::Open {
                0
            } else {
                REDIAL_NS
            };
            self.timers.push(Reverse((now + pause, Timer::Dial)));
        }
    }

    /// Ends a connection on purpose and makes another in its place.
    pub(super) fn replace(&mut self, key: SlotKey) {
        if self.slots.get(key).is_some() {
            self.live().held.fetch_sub(1, Ordering::Relaxed);
            self.close(key);
            self.to_redial += 1;
        }
    }

    /// Closes all connections, [`CLOSING_MAX`] at a time: when many are closed at once, the kernel
    /// looks for the operations of each among those of all.
    pub(super) fn close_all(&mut self) -> Result<(), String> {
        let mut keys: VecDeque<SlotKey> = self.slots.keys().collect();
        while !keys.is_empty() || self.ring.closing() > 0 {
            while self.ring.closing() < CLOSING_MAX as usize
                && let Some(key) = keys.pop_front()
            {
                self.close(key);
            }
            self.enter(Wait::For(CLOSING_WAIT))?;
        }
        Ok(())
    }

    fn close(&mut self, key: SlotKey) {
        if self.slots.remove(key).is_some() {
            self.ring.close(key);
        }
    }

    fn set_stage(&mut self, key: SlotKey, stage: Stage) {
        if let Some(client) = self.slots.get_mut(key) {
            client.stage = stage;
        }
    }
}
