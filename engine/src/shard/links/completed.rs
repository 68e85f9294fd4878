//! The effects of completions on links and their calls.

use corelane_gateway::link::LinkFault;
use corelane_gateway::relay::{Executed, Failure, Reason};
use corelane_io::chunk::Chunk;
use corelane_io::ring::Received;
use corelane_io::rings::Rings;
use corelane_io::slots::SlotKey;

use super::signs::{ended, sign_of_answer};
use super::{LinkState, Links};
use crate::breaker::CallSign;
use crate::upstream::relay::{Heard, RelayKey};

/// How long the rest of an answer may take whose message has come, in milliseconds.
const REST_MS: u64 = 1000;
/// The longest request that is kept until its answer comes, though it may not be repeated when its
/// fate is unknown, in bytes.
const KEPT_BYTES_MAX: usize = 64 << 10;

impl Links {
    pub(super) fn connected(&mut self, rings: &mut Rings, key: SlotKey, outcome: Result<(), i32>) {
        let Some(link) = self.slots.get_mut(self.local(key)) else {
            return;
        };
        let upstream = link.upstream;
        if link.line.is_some() {
            return self.connected_line(rings, key, outcome);
        }
        if outcome.is_err() {
            self.opening.retain(|(_, opening)| *opening != key);
            self.close(rings, key);
            return self.open_failed(upstream, &Failure::unsent(Reason::Connect));
        }
        rings.of(key).recv_multishot(key);
        link.is_armed = true;
        if !self.secure(rings, key) {
            self.opened(rings, key);
        }
    }

    pub(super) fn sent(
        &mut self,
        rings: &mut Rings,
        key: SlotKey,
        (chunk, from): (Chunk, usize),
        outcome: Result<usize, i32>,
    ) {
        let Some(link) = self.slots.get_mut(self.local(key)) else {
            return self.port.give(chunk);
        };
        if link.secured.is_some() {
            return self.sent_secured(rings, key, (chunk, from), outcome);
        }
        if link.line.is_some() {
            return self.sent_line(rings, key, (chunk, from), outcome);
        }
        let LinkState::Carrying(call) = link.state else {
            return self.port.give(chunk);
        };
        match outcome {
            Ok(bytes) if from + bytes < chunk.len() => {
                rings.of(key).send(key, chunk, from + bytes);
            }
            Ok(_) => {
                link.is_sending = false;
                self.keep(call, chunk);
            }
            Err(_) if from == 0 => {
                // Nothing was taken, so nothing was executed.
                if let Some(mut relay) = self.port.find(call) {
                    relay.request = Some(chunk);
                }
                let failure = Failure::unsent(Reason::Closed);
                self.begin_again(rings, key, (call, true), &failure);
            }
            Err(_) => {
                self.port.give(chunk);
                self.break_off(rings, key, call);
            }
        }
    }

    /// Keeps the request of a call, which may be made again.
    pub(super) fn keep(&mut self, call: RelayKey, chunk: Chunk) {
        if let Some(mut relay) = self.port.find(call)
            && (relay.is_repeatable || chunk.len() <= KEPT_BYTES_MAX)
            && !relay.is_answered()
        {
            relay.request = Some(chunk);
            return;
        }
        self.port.give(chunk);
    }

    pub(super) fn received(&mut self, rings: &mut Rings, key: SlotKey, outcome: Received) {
        match outcome {
            Received::Data { buffer, bytes, .. } => {
                let bytes = rings.of(key).buffers().bytes(&buffer, bytes);
                let local = self.local(key);
                let line = self.slots.get_mut(local).and_then(|it| it.line.as_mut());
                if let Some(line) = line.filter(|line| !line.is_of_events()) {
                    line.input.extend_from_slice(bytes);
                    rings.of(key).buffers().recycle(buffer);
                    return self.read_lines(rings, key);
                }
                let opened = self.open_records(bytes, key);
                let heard = match opened {
                    None => self.read(bytes, key),
                    Some(_) => None,
                };
                rings.of(key).buffers().recycle(buffer);
                match opened {
                    None => self.heard(rings, key, heard),
                    Some(opened) => self.take_plaintext(rings, key, opened),
                }
            }
            Received::EndOfStream | Received::Failed { .. } => {
                let is_cancelled = matches!(
                    outcome,
                    Received::Failed {
                        errno: libc::ECANCELED
                    }
                );
                if !is_cancelled {
                    self.end_of_stream(rings, key);
                }
            }
            Received::WouldBlock | Received::NoBuffers => {}
        }
    }

    /// Reads bytes of a link; nothing is heard of one that is closed.
    pub(super) fn read(&mut self, bytes: &[u8], key: SlotKey) -> Option<Heard> {
        let link = self.slots.get(self.local(key))?;
        let LinkState::Carrying(call) = link.state else {
            // They belong to no request.
            return Some(Heard::Broken(LinkFault::Trailing));
        };
        let heads = &mut self.endpoints[usize::from(link.upstream)].heads;
        let table = self.port.borrow_table();
        let to = self.port.surroundings(&table, link.upstream);
        let mut relay = self.port.find(call)?;
        let heard = relay.read(heads, bytes, to);
        let is_session_stream = relay.is_session_questions();
        if relay.has_responses() {
            self.port.respond(call);
        }
        drop(relay);
        drop(table);
        if is_session_stream {
            self.read_session_stream(call);
        }
        Some(heard)
    }

    pub(super) fn end_of_stream(&mut self, rings: &mut Rings, key: SlotKey) {
        let Some(link) = self.slots.get(self.local(key)) else {
            return;
        };
        let call = match link.state {
            LinkState::Carrying(call) => call,
            LinkState::Opening => return self.fail_opening(rings, key),
            LinkState::Idle => return self.drop_link(rings, key),
            LinkState::Line => return self.end_line(rings, key, &ended()),
        };
        // The end of an answer may have been cut off (RFC 8446 6.1).
        let is_cut = link.secured.as_ref().is_some_and(|it| !it.is_closed());
        let table = self.port.table();
        let to = self.port.surroundings(&table, link.upstream);
        let heard = self.port.find(call).map(|mut relay| {
            // Bytes of an answer are no answer, and bytes of none are none.
            match relay.has_begun() && !is_cut {
                true => relay.end_of_stream(to),
                false => Heard::Broken(LinkFault::Trailing),
            }
        });
        match heard {
            Some(Heard::Broken(_)) | None => self.break_off(rings, key, call),
            heard => self.heard(rings, key, heard),
        }
    }

    pub(super) fn heard(&mut self, rings: &mut Rings, key: SlotKey, heard: Option<Heard>) {
        let Some(link) = self.slots.get_mut(self.local(key)) else {
            return;
        };
        let state = link.state;
        let is_free = !link.is_sending && !link.is_paused && link.line.is_none();
        let call = match state {
            LinkState::Carrying(call) => Some(call),
            LinkState::Idle | LinkState::Opening | LinkState::Line => None,
        };
        match (heard, call) {
            (Some(Heard::More { is_full }), Some(call)) => {
                if is_full && !std::mem::replace(&mut link.is_paused, true) {
                    rings.of(key).cancel_multishot(key);
                    self.paused.push(key);
                }
                self.time_rest(call);
                self.lend(rings, key, call);
                self.take_events(rings, key, call);
            }
            (Some(Heard::Ended(end)), Some(call)) => {
                self.take_events(rings, key, call);
                self.end(call);
                match end.is_reusable && is_free {
                    true => self.release(rings, key, end.keep_alive_s),
                    false => self.drop_link(rings, key),
                }
            }
            (Some(Heard::Broken(fault)), Some(call)) => {
                let failure = Failure::new(Reason::Protocol, Executed::Unknown);
                self.fail(call, &failure.with_detail(fault.to_string()));
                self.drop_link(rings, key);
            }
            _ => self.drop_link(rings, key),
        }
    }

    /// The upstream waits for the client of a call, or may: its link leaves room for another one.
    fn lend(&mut self, rings: &mut Rings, key: SlotKey, call: RelayKey) {
        let relay = self.port.find(call);
        let waits = relay.is_some_and(|it| it.awaits_client() || it.is_session_questions());
        let local = self.local(key);
        let link = self.slots.get_mut(local).filter(|it| waits && !it.is_lent);
        if let Some(link) = link {
            let upstream = link.upstream;
            link.is_lent = true;
            self.endpoint(upstream).pool.lend();
            // A trial that waits for a user would keep the upstream closed.
            let admitted = self.port.find(call).and_then(|mut it| it.admitted.take());
            self.count_end(upstream, admitted, CallSign::Works);
            self.open_more(rings, upstream);
        }
    }

    /// The call of a link is over, or the link: it counts again.
    pub(super) fn take_back(&mut self, key: SlotKey) {
        let local = self.local(key);
        let link = self.slots.get_mut(local).filter(|it| it.is_lent);
        if let Some(link) = link {
            link.is_lent = false;
            let upstream = link.upstream;
            self.endpoint(upstream).pool.take_back();
        }
    }

    /// Ends a call whose answer is over.
    pub(super) fn end(&mut self, call: RelayKey) {
        let relay = self.port.find(call);
        if relay.is_some_and(|relay| relay.lost_session().is_some()) {
            return self.reopen(call);
        }
        if self.repeats_later(call) || self.awaits_credential(call) {
            return;
        }
        let Some(mut relay) = self.port.remove(call) else {
            return;
        };
        let sign = sign_of_answer(&relay);
        self.count_end(relay.upstream, relay.admitted, sign);
        self.leave_session(&relay);
        if let Some(request) = relay.request.take() {
            self.port.give(request);
        }
        if relay.is_of_events() {
            return self.end_of_events(&relay);
        }
        if let Some(handshake) = relay.take_handshake() {
            let failure = relay.failure_of_answer();
            self.end_handshake(relay.upstream, *handshake, &failure);
        } else if !relay.is_answered() {
            let failure = relay.failure_of_answer();
            let table = self.port.table();
            let name = &table.endpoints[usize::from(relay.upstream)].name;
            relay.fail(&failure, name, self.port.event_queue());
        }
    }

    /// The message of an answer has come, and its end has not: it gets a little time.
    fn time_rest(&mut self, call: RelayKey) {
        let due_ms = self.now_ms + REST_MS;
        if let Some(mut relay) = self.port.find(call)
            && relay.is_answered()
            && relay.due_ms.is_none()
        {
            relay.due_ms = Some(due_ms);
            drop(relay);
            self.timed.push(call);
        }
    }

    /// The connection ended before the answer.
    pub(super) fn break_off(&mut self, rings: &mut Rings, key: SlotKey, call: RelayKey) {
        let may_repeat = self
            .port
            .find(call)
            .is_some_and(|relay| relay.is_repeatable && !relay.has_begun() && !relay.is_answered());
        self.begin_again(rings, key, (call, may_repeat), &ended());
    }

    /// Closes the link of a call, and begins the call on another one if it may be made again.
    pub(super) fn begin_again(
        &mut self,
        rings: &mut Rings,
        key: SlotKey,
        (call, may_repeat): (RelayKey, bool),
        failure: &Failure,
    ) {
        let begins = may_repeat && self.may_begin_again(call, failure);
        self.drop_link(rings, key);
        match begins {
            true => self.repeat(call),
            false => self.fail(call, failure),
        }
    }
}
