//! The sessions of a shard whose server is a node of a cluster.
//!
//! A session that is here is served without the cluster. One that is not here, or that another node
//! may have taken, is looked up: its requests wait, bounded in number and time, and are served,
//! answered with 404, or refused, as the thread of the cluster decides. Changes are left for that
//! thread as the state that they lead to, so that a session waits once however often it changes.
//!
//! It deliberately lacks sessions of channels: they end with their connection, and have no id.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

use super::disposition::Forwarded;
use super::exchange::Exchange;
use super::session_id::SessionId;
use crate::cluster::{ClusterBoard, ClusterEvent, ClusterSession, ClusterState};

/// Sessions of a shard that are looked up at once.
const LOOKUPS_MAX: usize = 4_096;
/// Requests for one of them.
const WAITING_MAX: usize = 64;
/// Ends of sessions of a shard that clients wait for.
const DELETES_MAX: usize = 4_096;
/// Milliseconds after which a look-up that has no answer is refused: the thread of the cluster
/// needs less than half of it without any server.
const ANSWER_MAX_MS: u64 = 2_000;
/// Resources that the record of a session has room for.
pub(crate) const URIS_MAX: usize = 64;

/// Why nothing more is looked up.
const TOO_MANY: &str = "too many sessions are being looked up in the cluster";

/// A session that is looked up.
#[derive(Debug)]
struct LookUp {
    waiting: Vec<Forwarded>,
    deadline_ms: u64,
}

/// The part of a shard in a cluster.
#[derive(Debug)]
pub(super) struct Clustered {
    board: Arc<ClusterBoard>,
    shard: u16,
    lookups: HashMap<u128, LookUp>,
    /// In the order of their deadlines.
    deadlines: VecDeque<(u64, u128)>,
    /// The clients that wait for the end of a session.
    deletes: HashMap<u128, Vec<Exchange>>,
    /// Sessions whose state is to be left, with their principals. Each stands here once.
    unsent: VecDeque<(SessionId, Option<Box<str>>)>,
    /// The session whose requests are being served after a look-up, and its state.
    pub(super) arrived: Option<(u128, Option<Box<ClusterState>>)>,
}

/// What became of a request.
pub(crate) enum LookedUp {
    /// It is to be served at once.
    Serve(Box<Forwarded>),
    /// It waits.
    Waits,
    /// It is refused, for this reason.
    Refused(Box<Forwarded>, &'static str),
}

impl Clustered {
    pub(super) fn new(board: Arc<ClusterBoard>, shard: u16) -> Clustered {
        Clustered {
            board,
            shard,
            lookups: HashMap::new(),
            deadlines: VecDeque::new(),
            deletes: HashMap::new(),
            unsent: VecDeque::new(),
            arrived: None,
        }
    }

    /// The number of this node.
    pub(super) fn node(&self) -> u16 {
        self.board.node
    }

    /// Looks a session up for a request.
    pub(super) fn look_up(
        &mut self,
        session: ClusterSession,
        request: Box<Forwarded>,
        now_ms: u64,
    ) -> LookedUp {
        let random = session.random;
        if let Some(known) = self.lookups.get_mut(&random) {
            if known.waiting.len() >= WAITING_MAX {
                return LookedUp::Refused(request, TOO_MANY);
            }
            known.waiting.push(*request);
            return LookedUp::Waits;
        }
        let event = ClusterEvent::LookUp(self.shard, Box::new(session));
        if self.lookups.len() >= LOOKUPS_MAX || self.board.leave(event).is_err() {
            return LookedUp::Refused(request, TOO_MANY);
        }
        let deadline_ms = now_ms + ANSWER_MAX_MS;
        let waiting = vec![*request];
        self.deadlines.push_back((deadline_ms, random));
        self.lookups.insert(
            random,
            LookUp {
                waiting,
                deadline_ms,
            },
        );
        LookedUp::Waits
    }

    /// Ends the look-up of a session; the requests that waited.
    pub(super) fn end_look_up(&mut self, random: u128) -> Vec<Forwarded> {
        let ended = self.lookups.remove(&random);
        ended.map(|it| it.waiting).unwrap_or_default()
    }

    /// A session whose look-up has no answer in time.
    pub(super) fn next_late(&mut self, now_ms: u64) -> Option<u128> {
        while let Some((due_ms, random)) = self.deadlines.front().copied() {
            let known = self.lookups.get(&random);
            let is_open = known.is_some_and(|it| it.deadline_ms == due_ms);
            if is_open && due_ms > now_ms {
                return None;
            }
            self.deadlines.pop_front();
            if is_open {
                return Some(random);
            }
        }
        None
    }

    /// When that is next to be looked at.
    pub(super) fn next_deadline_ms(&self) -> Option<u64> {
        self.deadlines.front().map(|(due_ms, _)| *due_ms)
    }

    /// A client ends a session, and waits. Returns whether that was taken.
    pub(super) fn delete(&mut self, session: ClusterSession, exchange: Exchange) -> bool {
        let random = session.random;
        if let Some(known) = self.deletes.get_mut(&random) {
            let has_room = known.len() < WAITING_MAX;
            if has_room {
                known.push(exchange);
            }
            return has_room;
        }
        let event = ClusterEvent::Delete(self.shard, Box::new(session));
        if self.deletes.len() >= DELETES_MAX || self.board.leave(event).is_err() {
            return false;
        }
        self.deletes.insert(random, vec![exchange]);
        true
    }

    /// Whether a client waits for the end of a session.
    pub(super) fn is_deleting(&self, random: u128) -> bool {
        self.deletes.contains_key(&random)
    }

    /// The clients that wait for the end of a session.
    pub(super) fn end_delete(&mut self, random: u128) -> Vec<Exchange> {
        self.deletes.remove(&random).unwrap_or_default()
    }

    /// The state of a session is to be left.
    pub(super) fn mark(&mut self, session: SessionId, principal: Option<&str>) {
        self.unsent.push_back((session, principal.map(Into::into)));
    }

    /// The next session whose state is to be left.
    pub(super) fn next_unsent(&mut self) -> Option<(SessionId, Option<Box<str>>)> {
        self.unsent.pop_front()
    }

    /// Leaves an event; returns whether it was taken.
    pub(super) fn leave(&self, event: ClusterEvent) -> bool {
        self.board.leave(event).is_ok()
    }
}
