//! Work of links once in a turn: news of the control side, slow clients, times that are over.

use std::sync::Arc;

use corelane_gateway::relay::{Failure, Input, Reason, TaskMode};
use corelane_io::rings::Rings;
use corelane_io::slots::SlotKey;
use corelane_protocol::mcp::capability::ClientCapabilities;
use corelane_protocol::mcp::era::Era;

use super::signs::sign_of;
use super::{LinkState, Links, TIMEOUT};
use crate::upstream::board::{ControlRequest, Purpose, Subscription};
use crate::upstream::owner::SessionOwner;
use crate::upstream::port::{Bearer, NewRelay};
use crate::upstream::relay::{Recipient, RelayKey};

impl Links {
    /// Takes a newer table, and requests for lists.
    pub(super) fn take_news(&mut self, rings: &mut Rings) -> bool {
        let mut did = self.take_table(rings);
        while let Some((request, started)) = self.board.take_process(self.shard) {
            did = true;
            self.take_process(rings, request, started);
        }
        while let Some(answer) = self.board.take_exchanged(self.shard) {
            did = true;
            self.take_exchanged(&answer);
        }
        while let Some(request) = self.board.take_request(self.shard) {
            did = true;
            // It was left after the table with the address of its upstream, which may have come
            // after the look above.
            self.take_table(rings);
            match request.purpose {
                Purpose::Close(number) => self.close_subscription(rings, request.upstream, number),
                _ => self.take_request(request),
            }
        }
        did
    }

    /// Takes a request of the control side.
    fn take_request(&mut self, request: ControlRequest) {
        let upstream = request.upstream;
        let is_legacy = request.era == Era::Legacy;
        let due_ms = self.now_ms + self.settings.list_ms;
        if is_legacy && request.method == "initialize" {
            return self.open_control(upstream);
        }
        let recipient = match request.purpose {
            Purpose::Listen(number) => Recipient::Subscription(Subscription {
                upstream,
                name: Arc::clone(&self.port.borrow_table().endpoints[usize::from(upstream)].name),
                number,
                board: Arc::clone(&self.board),
                fault: None,
                is_refused: false,
            }),
            Purpose::Answer => Recipient::Control(upstream, request.reply),
            Purpose::Effect | Purpose::Close(_) => Recipient::Nobody,
        };
        if let Purpose::Listen(number) = request.purpose
            && is_legacy
        {
            let key = self.open_stream(upstream, recipient, due_ms);
            return self.keep_subscription(upstream, number, key);
        }
        let new = NewRelay {
            upstream,
            method: request.method,
            owner: is_legacy.then_some(SessionOwner::Control),
            replaced: None,
            params: request.params.as_bytes(),
            fixed: None,
            header_params: &[],
            input: Input::default(),
            capabilities: ClientCapabilities::default(),
            forwarded: &[],
            log_level: None,
            has_progress: false,
            is_repeatable: true,
            task: TaskMode::None,
            about: None,
            bearer: Bearer::Server,
        };
        // A request that cannot be written drops its sender.
        if let Ok(key) = self.port.add(&new, recipient, Some(due_ms)) {
            self.timed.push(key);
            if let Purpose::Listen(number) = request.purpose {
                self.keep_subscription(upstream, number, key);
            }
        }
    }

    /// Keeps the way to a subscription, and forgets those that have ended.
    fn keep_subscription(&mut self, upstream: u16, number: u32, key: RelayKey) {
        let port = &self.port;
        let is_open = |(.., key): &(u16, u32, RelayKey)| port.find(*key).is_some();
        self.subscriptions.retain(is_open);
        self.subscriptions.push((upstream, number, key));
    }

    /// Ends a subscription, whose connection ends with it.
    fn close_subscription(&mut self, rings: &mut Rings, upstream: u16, number: u32) {
        let mut kept = self.subscriptions.iter();
        let place = kept.position(|(of, it, _)| (*of, *it) == (upstream, number));
        if let Some(place) = place {
            let (.., key) = self.subscriptions.swap_remove(place);
            self.cancel(rings, key);
        }
    }

    /// Receives again on links whose clients have taken messages.
    pub(super) fn resume_paused(&mut self, rings: &mut Rings) {
        let paused = std::mem::take(&mut self.paused);
        for key in paused {
            let local = self.local(key);
            let Some(link) = self.slots.get_mut(local) else {
                continue;
            };
            let LinkState::Carrying(call) = link.state else {
                continue;
            };
            let has_room = self.port.find(call).is_none_or(|relay| relay.has_room());
            match has_room && !link.is_armed {
                true => {
                    link.is_paused = false;
                    link.is_armed = true;
                    rings.of(key).recv_multishot(key);
                }
                false => self.paused.push(key),
            }
        }
    }

    /// The receive of a link has ended: it begins again, unless the client of its call is slow.
    pub(super) fn arm_again(&mut self, rings: &mut Rings, key: SlotKey) {
        let local = self.local(key);
        let Some(link) = self.slots.get_mut(local) else {
            return;
        };
        link.is_armed = !link.is_paused;
        if link.is_armed {
            rings.of(key).recv_multishot(key);
        }
    }

    /// Looks at everything whose time may be over.
    pub(super) fn sweep(&mut self, rings: &mut Rings) {
        while let Some((due_ms, key)) = self.opening.front().copied() {
            if due_ms > self.now_ms {
                break;
            }
            self.opening.pop_front();
            let failure = Failure::unsent(Reason::Connect);
            match self.slots.get(self.local(key)) {
                Some(link) if link.line.is_some() => self.end_line(rings, key, &failure),
                Some(link) => {
                    let upstream = link.upstream;
                    self.close(rings, key);
                    self.open_failed(upstream, &failure);
                }
                None => {}
            }
        }
        self.begin_delayed();
        self.resume_challenged();
        self.end_exchanging();
        let timed = std::mem::take(&mut self.timed);
        for key in timed {
            let due_ms = self.port.find(key).map(|relay| relay.due_ms);
            match due_ms {
                None => {}
                Some(_) if self.is_without_session(key) => self.cancel(rings, key),
                Some(due_ms) if due_ms.is_some_and(|due_ms| due_ms > self.now_ms) => {
                    self.timed.push(key);
                }
                Some(_) => {
                    self.give_failure(key, &TIMEOUT);
                    self.cancel(rings, key);
                }
            }
        }
        self.end_unused_lines(rings);
        if self.has_leaving {
            self.drain_leaving(rings);
        }
        for upstream in 0..self.endpoints.len() {
            self.let_held_go(upstream as u16);
            while let Some(ended) = self.endpoints[upstream].sessions.next_expired(self.now_ms) {
                self.send_delete(upstream as u16, &ended);
            }
            while let Some(key) = self.endpoints[upstream].pool.next_expired(self.now_ms) {
                self.close(rings, key);
            }
            while let Some(key) = self.endpoints[upstream].pool.next_unchecked() {
                rings.of(key).receive(key);
            }
        }
    }

    /// Gives the recipient of a call, if it has no answer, this failure.
    pub(super) fn give_failure(&mut self, key: RelayKey, failure: &Failure) {
        let table = self.port.table();
        let Some(mut relay) = self.port.find(key).filter(|it| !it.is_answered()) else {
            return;
        };
        let (upstream, admitted) = (relay.upstream, relay.admitted.take());
        let name = &table.endpoints[usize::from(upstream)].name;
        relay.fail(failure, name, self.port.event_queue());
        drop(relay);
        self.count_end(upstream, admitted, sign_of(failure));
    }
}
