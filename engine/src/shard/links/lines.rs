//! Calls on lines: many on one link to a peer, which may be a process or a connection.
//!
//! A peer that breaks the protocol is ended, and its calls fail.

use corelane_gateway::relay::{Executed, Failure, LineMessage, PONG, REFUSAL, Reason};
use corelane_gateway::relay::{read_line, write_response};
use corelane_io::chunk::Chunk;
use corelane_io::rings::Rings;
use corelane_io::slots::SlotKey;
use corelane_protocol::framing::line::Step;

use super::line_link::LineLink;
use super::sessions::cancelled;
use super::signs::ended;
use super::{LinkState, Links, TIMEOUT};
use crate::upstream::endpoint::Carrier;
use crate::upstream::relay::RelayKey;

/// Bytes of a line that is no message in the log.
const LOGGED_BYTES: usize = 200;

impl Links {
    /// Sends the request of a call to a peer.
    pub(super) fn start_on_line(&mut self, rings: &mut Rings, link: SlotKey, key: RelayKey) {
        let local = self.local(link);
        let line = self.slots.get_mut(local).and_then(|it| it.line.as_mut());
        let (Some(line), Some(mut relay)) = (line, self.port.find(key)) else {
            return;
        };
        let bytes = relay.request.as_ref().map_or(0, |request| request.len());
        if !line.has_room(bytes) {
            drop(relay);
            return self.fail(key, &Failure::unsent(Reason::Busy));
        }
        (relay.link, relay.tries) = (Some(link), relay.tries + 1);
        line.used_ms = self.now_ms;
        let request = relay.request.take();
        if relay.is_subscription() {
            line.subscriptions.push(key);
        }
        if relay.is_session_stream() {
            return relay.open_stream();
        }
        let (is_answerable, is_of_events) = (relay.is_answerable(), line.is_of_events());
        if is_answerable || is_of_events {
            line.calls.insert(key.id, key);
        } else {
            relay.accept();
        }
        drop(relay);
        match request {
            Some(request) if is_of_events => self.deliver(link, Some(key), request),
            Some(request) => line.push(request),
            None => {}
        }
        if !is_answerable && !is_of_events {
            self.end(key);
        }
        self.flush_line(rings, link);
    }

    /// Sends the next line, unless one is on its way.
    pub(super) fn flush_line(&mut self, rings: &mut Rings, key: SlotKey) {
        let local = self.local(key);
        if self.deliver_output(key) {
            return;
        }
        let Some(link) = self.slots.get_mut(local).filter(|it| !it.is_sending) else {
            return;
        };
        if let Some(chunk) = link.line.as_mut().and_then(|line| line.pop()) {
            link.is_sending = true;
            rings.of(key).send(key, chunk, 0);
        }
    }

    /// A line was sent, or was not.
    pub(super) fn sent_line(
        &mut self,
        rings: &mut Rings,
        key: SlotKey,
        (chunk, from): (Chunk, usize),
        outcome: Result<usize, i32>,
    ) {
        match outcome {
            Ok(bytes) if from + bytes < chunk.len() => {
                rings.of(key).send(key, chunk, from + bytes);
            }
            Ok(_) => {
                self.port.give(chunk);
                let local = self.local(key);
                if let Some(link) = self.slots.get_mut(local) {
                    link.is_sending = false;
                }
                self.flush_line(rings, key);
            }
            Err(_) => {
                self.port.give(chunk);
                self.end_line(rings, key, &ended());
            }
        }
    }

    /// Handles the lines that have come.
    pub(super) fn read_lines(&mut self, rings: &mut Rings, key: SlotKey) {
        let local = self.local(key);
        let line_bytes_max = self.settings.message_bytes_max;
        let Some(line) = self.slots.get_mut(local).and_then(|it| it.line.as_mut()) else {
            return;
        };
        let input = std::mem::take(&mut line.input);
        let mut framer = std::mem::take(&mut line.framer);
        let mut from = 0;
        loop {
            match framer.step(&input[from..], line_bytes_max) {
                Step::NeedMore { consumed } => {
                    from += consumed;
                    break;
                }
                Step::Line { line, consumed } => {
                    self.take_line(rings, key, line);
                    from += consumed;
                }
                Step::TooLong { .. } => {
                    let failure = Failure::new(Reason::Protocol, Executed::Unknown);
                    let detail = format!(
                        "a line of more than {line_bytes_max} bytes: gateway.message_bytes_max"
                    );
                    return self.end_line(rings, key, &failure.with_detail(detail));
                }
            }
        }
        if let Some(line) = self.slots.get_mut(local).and_then(|it| it.line.as_mut()) {
            line.keep_input(input, from, framer);
        }
        self.flush_line(rings, key);
    }

    /// Gives a line to the call that it is for.
    pub(super) fn take_line(&mut self, rings: &mut Rings, key: SlotKey, text: &[u8]) {
        let local = self.local(key);
        let Some(link) = self.slots.get_mut(local) else {
            return;
        };
        let (upstream, Some(line)) = (link.upstream, &mut link.line) else {
            return;
        };
        match read_line(text) {
            LineMessage::Answer(id) => {
                if let Some(call) = line.calls.remove(&id) {
                    line.note_answer();
                    line.forget(call);
                    line.used_ms = self.now_ms;
                    self.give_line(call, text);
                    self.end(call);
                }
            }
            LineMessage::Progress(id) => {
                if let Some(call) = line.calls.get(&id).copied()
                    && self.port.find(call).is_some_and(|relay| relay.has_room())
                {
                    self.give_line(call, text);
                }
            }
            LineMessage::Notification(of) => {
                let all = line.subscriptions.iter().copied();
                let named = all.filter(|it| of.is_none_or(|id| id == it.id));
                let mut calls: Vec<RelayKey> = named.collect();
                // In a session of one client, a log message is that of its only call.
                if line.calls.len() == 1 && of.is_none() && line.owner.is_of_client() {
                    let only = line.calls.values().copied();
                    calls.extend(
                        only.filter(|it| self.port.find(*it).is_some_and(|relay| relay.has_room())),
                    );
                }
                for call in calls {
                    self.give_line(call, text);
                }
            }
            LineMessage::Request { id, is_ping } => {
                // A line does not say for which of several calls it is.
                let calls = line.calls.values().copied();
                let is_exclusive = !line.owner.capabilities().accepts_no_requests();
                if let ([call], true, false) = (&*calls.collect::<Vec<_>>(), is_exclusive, is_ping)
                {
                    return self.give_line(*call, text);
                }
                let mut answer = self.port.chunk();
                let member = if is_ping { PONG } else { REFUSAL };
                write_response(&mut answer, &text[id], member);
                answer.push(b'\n');
                // A peer that reads no answers gets no more of them.
                if line.has_room(answer.len()) {
                    line.push(answer);
                }
            }
            LineMessage::Noise => {
                self.log_noise(upstream, text);
                // A program prints banners and reports; another server has no reason to.
                if self.carrier(upstream) != Carrier::Program {
                    let failure = Failure::new(Reason::Protocol, Executed::Unknown);
                    self.end_line(rings, key, &failure.with_detail("a line is no message"));
                }
            }
        }
    }

    fn give_line(&mut self, call: RelayKey, text: &[u8]) {
        let table = self.port.borrow_table();
        if let Some(mut relay) = self.port.find(call) {
            let to = self.port.surroundings(&table, relay.upstream);
            relay.take_line(text, to);
            if relay.has_responses() {
                self.port.respond(call);
            }
        }
    }

    /// A peer sent something else.
    fn log_noise(&self, upstream: u16, text: &[u8]) {
        let endpoint = &self.endpoints[usize::from(upstream)];
        if let Some(suppressed) = endpoint.warnings.admit(self.now_ms) {
            let table = self.port.borrow_table();
            let upstream = &*table.endpoints[usize::from(upstream)].name;
            let line = String::from_utf8_lossy(&text[..text.len().min(LOGGED_BYTES)]);
            let line = line.escape_debug().to_string();
            tracing::warn!(upstream, line, suppressed, "a line of it is no message");
        }
    }

    /// Whether a link has lines.
    pub(super) fn is_line(&self, key: SlotKey) -> bool {
        let link = self.slots.get(self.local(key));
        link.is_some_and(|link| link.line.is_some())
    }

    /// Ends a call on its way to a peer, which is notified. One that does not open its session in
    /// time is ended.
    pub(super) fn cancel_on_line(
        &mut self,
        rings: &mut Rings,
        (link, key): (SlotKey, RelayKey),
        opens_session: bool,
    ) {
        let local = self.local(link);
        let Some(line) = self.slots.get_mut(local).and_then(|it| it.line.as_mut()) else {
            return;
        };
        let was_sent = line.calls.contains_key(&key.id);
        line.forget(key);
        if opens_session {
            return self.end_line(rings, link, &TIMEOUT);
        }
        let body = cancelled(key.id);
        if was_sent && line.has_room(body.len()) {
            let mut chunk = Chunk::from(body);
            chunk.push(b'\n');
            line.push(chunk);
            self.flush_line(rings, link);
        }
    }

    /// A peer has ended, or is ended now: its calls fail.
    pub(super) fn end_line(&mut self, rings: &mut Rings, key: SlotKey, failure: &Failure) {
        let local = self.local(key);
        let Some(link) = self.slots.get_mut(local) else {
            return;
        };
        let (upstream, state, line) = (link.upstream, link.state, link.line.take());
        match state {
            LinkState::Carrying(stream) => {
                if let Some(request) = self.port.remove(stream).and_then(|it| it.request) {
                    self.port.give(request);
                }
                self.drop_link(rings, key);
            }
            LinkState::Opening | LinkState::Idle | LinkState::Line => self.close(rings, key),
        }
        if let Some(line) = line {
            self.line_ended(upstream, *line, failure);
        }
    }

    /// The link to a peer is gone: its calls fail.
    pub(super) fn line_ended(&mut self, upstream: u16, mut line: LineLink, failure: &Failure) {
        for call in line.take_calls() {
            self.fail(call, failure);
        }
        self.peer_failed(upstream, &line.owner, failure);
    }
}
