//! The part of a shard of the old process in a hand-over, which lets go of its connections; the new
//! one's is in [`taking_over`](super::taking_over).
//!
//! Everything here is a job of another thread (see [`inspection`](super::inspection)), so that a
//! shard without a hand-over has no step for it.
//!
//! The old shard first stops accepting and receiving ahead. Then, in one step, it takes every
//! connection out of its table that is between two requests or is a silent stream: completions for
//! it find nothing and are ignored. What else happens to these connections is left in their
//! sockets. A poll that is armed takes nothing from them, so that each can be put back at any time.
//! A connection with a request stays, and the next pass looks at it again.

use std::io;
use std::mem;
use std::os::fd::OwnedFd;

use super::accepting::{Accepting, Accepts};
use super::handed::Batch;
use super::jobs::{Answer, Frozen, Offered};
use super::kept::Kept;
use super::work::Shard;
use crate::connection::handover::Leaving;
use crate::connection::http::{Connection, RecvMode};
use crate::handover::rows::{ConnectionRow, OpenStreamRow};
use crate::mcp::Exchange;
use crate::meter::Counter;
use crate::profile::Binding;
use crate::transport::listener::Listener;
use corelane_io::ring::Ring;
use corelane_io::slots::SlotKey;

impl Shard {
    /// Further descriptors of its listeners, with the numbers of their addresses.
    pub(super) fn share_listeners(&self) -> io::Result<Vec<(u8, OwnedFd)>> {
        let listeners = self.listeners.iter().filter_map(|it| it.listener.as_ref());
        let share = |it: &Kept<_>| {
            let listener: &Listener = it;
            Ok((listener.number(), listener.share()?))
        };
        listeners.map(share).collect()
    }

    /// Accepts no more, and receives no connection ahead. `answer` gets something when no
    /// accept is under way.
    pub(super) fn calm_down(&mut self, answer: Answer<()>) {
        self.hand_over.is_held = true;
        let quiet_after_ms = mem::take(&mut self.profile.connection.quiet_after_ms);
        self.hand_over.quiet_after_ms.get_or_insert(quiet_after_ms);
        self.pause_accepting();
        let keys: Vec<SlotKey> = self.slots.keys().collect();
        for key in keys {
            let connection = self.slots.get(key);
            if connection.is_some_and(|it| it.reading == RecvMode::Multishot) {
                self.cancel_multishot(key);
            }
        }
        self.hand_over.pausing = Some(answer);
        self.note_paused();
    }

    /// Pauses every listener.
    pub(super) fn pause_accepting(&mut self) {
        let ring = self.rings.accepting();
        self.listeners.iter_mut().for_each(|it| it.pause(ring));
    }

    /// An accept has ended.
    pub(super) fn note_paused(&mut self) {
        let is_pausing = |it: &Accepts| it.mode == Accepting::Pausing;
        if !self.listeners.iter().any(is_pausing)
            && let Some(answer) = self.hand_over.pausing.take()
        {
            // Its receiver may have given up.
            let _ = answer.try_send(());
        }
    }

    /// Takes every connection out of the table that can leave now, of addresses that the new
    /// process takes.
    pub(super) fn freeze(&mut self, takes: &[bool]) -> Frozen {
        if self.handling.has_broadcasts() {
            return Frozen::Later;
        }
        self.handling.endpoint.set_leaving(true);
        let mut frozen = Frozen::All;
        let keys: Vec<SlotKey> = self.slots.keys().collect();
        for key in keys {
            match self.leaving(key, takes) {
                None => {}
                Some(false) => frozen = Frozen::Some,
                Some(true) => {
                    self.wheel.cancel(key.index);
                    if let Some(connection) = self.slots.remove(key) {
                        self.hand_over.frozen.push_back((key, connection));
                    }
                }
            }
        }
        frozen
    }

    /// Whether a connection can leave at once; none if it stays for longer.
    fn leaving(&mut self, key: SlotKey, takes: &[bool]) -> Option<bool> {
        let connection = self.slots.get(key)?;
        let source = connection.source;
        let is_plain = source.binding() == Binding::Http && !source.is_tls();
        let listener = usize::from(source.listener());
        let is_taken = takes.get(listener).copied().unwrap_or_default();
        let is_known =
            !self.clients.is_awaited(key.index) && !self.handling.for_probes.contains(&key);
        if !is_plain || !is_taken || !is_known || connection.waits_for_answer() {
            return None;
        }
        let is_still = self.rings.of(key).is_at_rest(key)
            && !self.arrivals.has(key)
            && !self.lookups.contains_key(&key)
            && self.held_send.as_ref().is_none_or(|(of, _)| *of != key);
        Some(is_still && connection.leaving() != Leaving::Stays)
    }

    /// Offers up to `count` of the connections that wait: `answer` gets their rows and plain
    /// descriptors when the ring has made these, and nothing if none waits.
    pub(super) fn offer(&mut self, count: usize, answer: Answer<Option<Offered>>) {
        if self.hand_over.frozen.is_empty() {
            let _ = answer.try_send(None);
            return;
        }
        let mut rows = Vec::new();
        while rows.len() < count
            && let Some((key, connection)) = self.hand_over.frozen.pop_front()
        {
            let Some(row) = self.row_of(key, &connection) else {
                self.put_back(key, connection);
                continue;
            };
            self.rings.of(key).share(key);
            rows.push((key, row, None));
            self.hand_over.offered.push((key, connection));
        }
        let left = rows.len();
        self.hand_over.batch = Some(Batch { rows, left, answer });
        self.end_batch();
    }

    fn row_of(&mut self, key: SlotKey, connection: &Connection) -> Option<ConnectionRow> {
        let stream = match connection.leaving() {
            Leaving::Stays => return None,
            Leaving::Idle => None,
            Leaving::Stream(owner) => {
                let (reply, is_post, expires_s) = connection.stream_head()?;
                let (version_minor, keep_alive) = (reply.version_minor, reply.keep_alive);
                let exchange = self.stream_exchange(key, connection.sequence);
                Some(OpenStreamRow {
                    version_minor,
                    keep_alive,
                    is_post,
                    expires_s,
                    of: self.handling.endpoint.leaving_stream(owner, exchange)?,
                })
            }
        };
        Some(ConnectionRow {
            listener: usize::from(connection.source.listener()),
            shard: self.handling.shard,
            sequence: connection.sequence,
            client: self.clients.of(key.index),
            stream,
        })
    }

    pub(super) fn stream_exchange(&self, slot: SlotKey, sequence: u32) -> Exchange {
        Exchange {
            shard: self.handling.shard,
            slot,
            sequence,
            takes_events: true,
            is_on_channel: false,
        }
    }

    /// A descriptor was shared, or cannot be.
    pub(super) fn shared(&mut self, key: SlotKey, outcome: Result<OwnedFd, i32>) {
        let Some(batch) = &mut self.hand_over.batch else {
            return;
        };
        batch.left -= 1;
        if let Some(row) = batch.rows.iter_mut().find(|(of, ..)| *of == key) {
            row.2 = outcome.ok();
        }
        self.end_batch();
    }

    fn end_batch(&mut self) {
        let Some(batch) = self.hand_over.batch.take_if(|batch| batch.left == 0) else {
            return;
        };
        let mut rows = Vec::new();
        for (key, row, descriptor) in batch.rows {
            match descriptor {
                Some(descriptor) => rows.push((row, descriptor)),
                None => self.put_back_if(|of| of == key),
            }
        }
        // Its receiver may have given up: then all are put back.
        let _ = batch.answer.try_send(Some(rows));
    }

    /// The other process does not serve these of the last `of` connections that it was offered.
    pub(super) fn take_back(&mut self, refused: &[usize], of: usize) {
        let first = self.hand_over.offered.len().saturating_sub(of);
        let keys = refused.iter().filter_map(|at| {
            let offered = self.hand_over.offered.get(first + at)?;
            Some(offered.0)
        });
        let keys: Vec<SlotKey> = keys.collect();
        self.put_back_if(|key| keys.contains(&key));
    }

    fn put_back_if(&mut self, is_meant: impl Fn(SlotKey) -> bool) {
        let offered = mem::take(&mut self.hand_over.offered);
        let (meant, others) = offered.into_iter().partition(|(key, _)| is_meant(*key));
        self.hand_over.offered = others;
        let meant: Vec<(SlotKey, Connection)> = meant;
        for (key, connection) in meant {
            self.put_back(key, connection);
        }
    }

    /// Serves a connection again that was frozen.
    fn put_back(&mut self, key: SlotKey, mut connection: Connection) {
        connection.reading = RecvMode::Poll;
        self.slots.put_back(key, connection);
        let ring = self.rings.of(key);
        if !ring.is_watched(key) {
            ring.watch(key);
        }
        // What has arrived meanwhile was announced to nobody.
        ring.receive(key);
        self.set_timer(key);
    }

    /// The other process is gone: everything goes on here as before.
    pub(super) fn go_on(&mut self) {
        self.hand_over.batch = None;
        let frozen = mem::take(&mut self.hand_over.frozen).into_iter();
        let all: Vec<_> = frozen
            .chain(mem::take(&mut self.hand_over.offered))
            .collect();
        for (key, connection) in all {
            self.put_back(key, connection);
        }
        self.handling.endpoint.set_leaving(false);
        self.serve_again();
    }

    /// The other process serves the connections that it took, and accepts. The rest is to drain
    /// here: it returns how many those are.
    pub(super) fn let_go(&mut self) -> usize {
        for accepts in &mut self.listeners {
            accepts.mode = Accepting::Off;
            // Only this reference is closed.
            drop(accepts.listener.take().map(Kept::into_inner));
        }
        for (key, connection) in mem::take(&mut self.hand_over.offered) {
            self.slots.put_back(key, connection);
            self.end(key, Counter::ClosedDrain, Ring::release);
        }
        let frozen = mem::take(&mut self.hand_over.frozen);
        for (key, connection) in frozen {
            self.put_back(key, connection);
        }
        self.serve_again();
        self.slots.len()
    }

    pub(super) fn serve_again(&mut self) {
        self.hand_over.is_held = false;
        self.hand_over.pausing = None;
        if let Some(quiet_after_ms) = self.hand_over.quiet_after_ms.take() {
            self.profile.connection.quiet_after_ms = quiet_after_ms;
        }
        for accepts in &mut self.listeners {
            accepts.resume(self.now_ms);
        }
    }
}
