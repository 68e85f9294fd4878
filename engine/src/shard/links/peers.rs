//! The peers of upstreams with lines: the processes of a program, or connections.
//!
//! A peer serves one owner of a session, or on each shard all clients where there are no sessions.
//! It is opened for a call, and ended when its session has ended. One that does not open counts as
//! a failure of the upstream, so that its breaker bounds how often a program that keeps ending is
//! started.

use std::os::fd::AsFd as _;

use corelane_gateway::relay::{Failure, Reason};
use corelane_io::ring::Route;
use corelane_io::rings::Rings;
use corelane_io::slots::SlotKey;

use super::line_link::LineLink;
use super::peer::Peer;
use super::{Link, LinkState, Links};
use crate::upstream::board::{ControlEvent, ProcessRequest, StartedProcess};
use crate::upstream::endpoint::Carrier;
use crate::upstream::owner::SessionOwner;
use crate::upstream::relay::RelayKey;

impl Links {
    /// How an upstream is reached.
    pub(super) fn carrier(&self, upstream: u16) -> Carrier {
        self.port.borrow_table().endpoints[usize::from(upstream)].carrier
    }

    /// Sends a call to the peer of its owner, which is opened for it if there is none.
    pub(super) fn begin_on_line(&mut self, rings: &mut Rings, key: RelayKey) {
        let Some(relay) = self.port.find(key) else {
            return;
        };
        let (upstream, owner) = (relay.upstream, relay.owner());
        drop(relay);
        let owner = owner.unwrap_or_else(|| {
            let shared = self.port.shared_owner(upstream);
            self.least_used(upstream, shared)
        });
        let (waiting_max, peers_max) = (self.settings.waiting_max, self.settings.processes_max);
        let peers = &mut self.endpoint(upstream).peers;
        let count = peers.by_owner.len();
        match peers.by_owner.get_mut(&owner) {
            Some(Peer::Open(link)) => {
                let link = *link;
                self.start_on_line(rings, link, key);
            }
            Some(Peer::Opening { waiting, .. }) if waiting.len() < waiting_max => {
                waiting.push(key);
            }
            None if count < peers_max => self.open_peer(rings, (upstream, owner), key),
            full => {
                let knob = match full {
                    Some(_) => "gateway.waiting_max",
                    None => "gateway.processes_max",
                };
                let failure = Failure::unsent(Reason::Busy);
                self.fail(key, &failure.with_detail(format!("{knob} is reached")));
            }
        }
    }

    fn open_peer(
        &mut self,
        rings: &mut Rings,
        (upstream, owner): (u16, SessionOwner),
        key: RelayKey,
    ) {
        let number = self.board.next_process();
        let waiting = vec![key];
        let peer = Peer::Opening { number, waiting };
        let peers = &mut self.endpoint(upstream).peers;
        peers.by_owner.insert(owner.clone(), peer);
        match self.carrier(upstream) {
            Carrier::Program => {}
            Carrier::Events => return self.open_events(upstream, owner),
            Carrier::Http | Carrier::Lines => return self.dial_line(rings, upstream, owner),
        }
        let request = ProcessRequest {
            upstream,
            shard: self.shard,
            number,
        };
        if !self.board.send(ControlEvent::Start(request)) {
            // The server ends.
            self.peer_failed(upstream, &owner, &not_started());
        }
    }

    /// Opens a connection.
    fn dial_line(&mut self, rings: &mut Rings, upstream: u16, owner: SessionOwner) {
        let table = self.port.table();
        let Some(to) = &table.endpoints[usize::from(upstream)].address else {
            return self.peer_failed(upstream, &owner, &Failure::unsent(Reason::Unavailable));
        };
        let Some(index) = self.free.pop() else {
            return self.peer_failed(upstream, &owner, &Failure::unsent(Reason::Busy));
        };
        let key = self.insert_line(index, upstream, LineLink::new(owner));
        let due_ms = self.now_ms + self.settings.connect_ms;
        self.opening.push_back((due_ms, key));
        let route = Route {
            from: None,
            to: to.clone(),
            resets_on_close: false,
        };
        rings.of(key).connect(key, &route);
    }

    fn insert_line(&mut self, index: u32, upstream: u16, line: LineLink) -> SlotKey {
        let local = self.slots.insert_at(
            index - self.indexes.start,
            Link {
                upstream,
                state: LinkState::Opening,
                is_sending: false,
                is_armed: false,
                is_paused: false,
                is_lent: false,
                secured: None,
                line: Some(Box::new(line)),
            },
        );
        SlotKey {
            index,
            generation: local.generation,
        }
    }

    /// Takes a process that was started, or was not. One that nothing waits for any more is
    /// stopped.
    pub(super) fn take_process(
        &mut self,
        rings: &mut Rings,
        request: ProcessRequest,
        started: Option<StartedProcess>,
    ) {
        let upstream = request.upstream;
        let Some(owner) = self.endpoint(upstream).peers.owner_of(request.number) else {
            return;
        };
        let Some(started) = started else {
            return self.peer_failed(upstream, &owner, &not_started());
        };
        let Some(index) = self.free.pop() else {
            return self.peer_failed(upstream, &owner, &Failure::unsent(Reason::Busy));
        };
        let line = LineLink::new(owner.clone()).with_leash(started.leash);
        let key = self.insert_line(index, upstream, line);
        match rings.of(key).install(index, started.socket.as_fd()) {
            Ok(()) => self.peer_opened(rings, key),
            Err(error) => {
                tracing::warn!(%error, "the socket of a program cannot be used");
                let local = self.local(key);
                self.slots.remove(local);
                self.free.push(index);
                self.peer_failed(upstream, &owner, &not_started());
            }
        }
    }

    /// A connection was opened, or was not.
    pub(super) fn connected_line(
        &mut self,
        rings: &mut Rings,
        key: SlotKey,
        outcome: Result<(), i32>,
    ) {
        self.opening.retain(|(_, opening)| *opening != key);
        match outcome {
            Ok(()) => self.peer_opened(rings, key),
            Err(_) => self.end_line(rings, key, &Failure::unsent(Reason::Connect)),
        }
    }

    /// The link of a peer is open: the calls that waited are sent.
    pub(super) fn peer_opened(&mut self, rings: &mut Rings, key: SlotKey) {
        let local = self.local(key);
        let Some(link) = self.slots.get_mut(local) else {
            return;
        };
        let (upstream, Some(line)) = (link.upstream, &link.line) else {
            return;
        };
        let owner = line.owner.clone();
        if !line.is_of_events() {
            (link.state, link.is_armed) = (LinkState::Line, true);
            rings.of(key).recv_multishot(key);
        }
        let peers = &mut self.endpoint(upstream).peers;
        let before = peers.by_owner.insert(owner, Peer::Open(key));
        if let Some(Peer::Opening { waiting, .. }) = before {
            for call in waiting {
                self.start_on_line(rings, key, call);
            }
        }
    }

    /// A peer is gone, or did not open: the calls that wait for it fail, and those that wait for
    /// its session, which ends with it.
    pub(super) fn peer_failed(&mut self, upstream: u16, owner: &SessionOwner, failure: &Failure) {
        let before = self.endpoint(upstream).peers.by_owner.remove(owner);
        if let Some(Peer::Opening { waiting, .. }) = before {
            for call in waiting {
                self.fail(call, failure);
            }
        }
        self.session_failed(upstream, owner, failure);
    }
}

fn not_started() -> Failure {
    let failure = Failure::unsent(Reason::Connect);
    failure.with_detail("its program does not start, see the log of this server")
}
