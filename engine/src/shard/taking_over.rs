//! The part of a shard of the new process in a hand-over, which holds what it takes over until it
//! may serve; and the steps of both processes as jobs.
//!
//! Invariant: until it is opened, the shard accepts nothing and has no operation under way on a
//! connection that it took over.

use std::collections::HashMap;
use std::io;
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;

use super::jobs::{Answer, Frozen, HandsOver, Moving, Offered, Taken, TakenStream};
use super::work::Shard;
use crate::connection::http::Connection;
use crate::handover::rows::{ConnectionRow, EndedRow, OpenStreamRow, SessionRow, StreamOfRow};
use crate::mcp::{StreamOf, StreamOwner, session_of};
use crate::meter::Counter;
use corelane_io::ring::Ring;
use corelane_io::slots::SlotKey;

impl HandsOver for Shard {
    fn share_listeners(&self) -> io::Result<Vec<(u8, OwnedFd)>> {
        Shard::share_listeners(self)
    }

    fn calm_down(&mut self, answer: Answer<()>) {
        Shard::calm_down(self, answer);
    }

    fn freeze(&mut self, takes: &[bool]) -> Frozen {
        Shard::freeze(self, takes)
    }

    fn leaving_sessions(&self, from: usize, rows_max: usize) -> (Vec<SessionRow>, Option<usize>) {
        self.handling.endpoint.leaving_sessions(from, rows_max)
    }

    fn ended_sessions(&self) -> Vec<EndedRow> {
        self.handling.endpoint.ended_sessions()
    }

    fn offer(&mut self, count: usize, answer: Answer<Option<Offered>>) {
        Shard::offer(self, count, answer);
    }

    fn take_back(&mut self, refused: &[usize], of: usize) {
        Shard::take_back(self, refused, of);
    }

    fn go_on(&mut self) {
        Shard::go_on(self);
    }

    fn let_go(&mut self) -> usize {
        Shard::let_go(self)
    }

    fn take_ended(&mut self, row: &EndedRow) {
        self.handling.endpoint.take_ended(row);
    }

    fn take_session(&mut self, row: &SessionRow) -> bool {
        let is_checked = self.handling.access.is_configured();
        let taken = self.handling.endpoint.take_session(row, is_checked);
        for stream in row.streams.iter().filter(|_| taken) {
            if let Some(at) = &stream.at {
                self.hand_over.named.insert(at.clone(), stream.stream);
            }
        }
        taken
    }

    fn take_over(&mut self, rows: Vec<Moving>) -> Vec<Taken> {
        let taken = rows.into_iter();
        let taken = taken.map(|(address, row, socket)| {
            let taken = self.take_one((address, &row), &socket);
            taken.unwrap_or(Taken::Refused)
        });
        let taken = taken.collect();
        self.note_connections();
        taken
    }

    fn attach(&mut self, taken: &TakenStream) -> bool {
        let stream = self.hand_over.named.remove(&taken.at);
        let (session, exchange) = (taken.session, taken.exchange);
        self.handling
            .endpoint
            .take_stream(session, stream, exchange)
    }

    fn give_back(&mut self, slot: SlotKey) {
        self.hand_over.taken.retain(|key| *key != slot);
        self.end(slot, Counter::ClosedRefused, Ring::release);
    }

    fn open(&mut self) {
        self.control.is_held.store(false, Ordering::Relaxed);
        self.hand_over.named = HashMap::new();
        for key in mem::take(&mut self.hand_over.taken) {
            let source = self.slots.get(key).map(|it| it.source);
            match source {
                Some(source) if self.clients.of(key.index).is_none() => self.begin(key, source),
                Some(_) => self.begin_reading(key),
                None => {}
            }
        }
        self.serve_again();
    }
}

impl Shard {
    fn take_one(
        &mut self,
        (address, row): (u8, &ConnectionRow),
        socket: &OwnedFd,
    ) -> Option<Taken> {
        let mut listeners = self.listeners.iter();
        let source = listeners.find(|it| it.source.listener() == address)?.source;
        let index = self.free_index()?;
        let unused = SlotKey {
            index,
            generation: 0,
        };
        let installed = self.rings.of(unused).install(index, socket.as_fd());
        installed.ok()?;
        let key = self.insert(index, Connection::taken(source, row.sequence));
        self.hand_over.taken.push(key);
        if let Some(client) = row.client {
            self.clients.set(index, client);
        }
        let Some(stream) = &row.stream else {
            return Some(Taken::Whole);
        };
        let taken = self.take_stream(key, stream, row.sequence);
        if taken.is_none() {
            self.hand_over.taken.pop();
            self.end(key, Counter::ClosedRefused, Ring::release);
        }
        taken
    }

    fn take_stream(&mut self, key: SlotKey, row: &OpenStreamRow, sequence: u32) -> Option<Taken> {
        let exchange = self.stream_exchange(key, sequence);
        let is_checked = self.handling.access.is_configured();
        let (owner, taken) = match &row.of {
            StreamOfRow::Session { id, at } => {
                let session = session_of(id)?.among(self.ring_fds.len() as u16);
                let of = StreamOf {
                    session,
                    ends_with_answer: false,
                };
                let at = at.clone();
                let taken = Taken::Stream(TakenStream {
                    session,
                    at,
                    exchange,
                });
                (StreamOwner::Session(of), taken)
            }
            listen @ StreamOfRow::Listen { .. } => {
                let endpoint = &mut self.handling.endpoint;
                let owner = endpoint.take_subscription(listen, exchange, is_checked)?;
                (owner, Taken::Whole)
            }
        };
        let place = (self.handling.shard, self.now_us);
        self.handling.meter.open_stream();
        self.slots.get_mut(key)?.take_stream(row, owner, place);
        Some(taken)
    }

    /// An index without a connection: nothing is accepted yet.
    fn free_index(&mut self) -> Option<u32> {
        let dialled = self.rings.dialled();
        let capacity = self.slots.capacity() as u32;
        let mut indexes = self.hand_over.next_index..capacity;
        let slots = &self.slots;
        let index = indexes.find(|it| !dialled.contains(it) && slots.key_of(*it).is_none())?;
        self.hand_over.next_index = index + 1;
        Some(index)
    }
}
