//! Waiting calls: their holders, the places of their answers, and their deadlines.

use std::collections::VecDeque;

use corelane_protocol::jsonrpc::{Id, OwnedId};
use corelane_protocol::mcp::era::Era;
use slab::Slab;

use super::age_list::{Links, LinksOf};
use super::audit::KeptFacts;
use super::call_shares::{CallShares, CallsFull};
use super::event_store::StreamId;
use super::exchange::Exchange;
use super::handler_kind::HandlerKind;
use super::holder_lists::HolderLists;
use super::home_id::RandomBits;
use super::parked::ParkedLimits;
use super::relayed_task::RelayedTask;
use super::session_id::SessionId;
use super::task_id::TaskId;
use super::task_table::TaskOwner;
use crate::guard::holder::HolderKey;
use crate::handler::Call;
use crate::handler::event_queue::CallKey;
use crate::meter::timing::Operation;
use crate::upstream::port::RelayTicket;
use crate::upstream::repeatable::RepeatableRequest;
use corelane_io::executor::Task;

/// A call that was started and not answered.
#[derive(Debug)]
pub(crate) struct InFlight {
    generation: u32,
    /// The call that the handler also holds.
    pub(crate) call: Call,
    /// The handler's future; dropping it stops the handler.
    pub(crate) task: Option<Task>,
    /// Its way at an upstream that executes it; dropping it cancels it there.
    pub(crate) relayed: Option<RelayTicket>,
    /// Its request, if that may have to be made again with answers of a legacy client.
    pub(crate) repeatable: Option<Box<RepeatableRequest>>,
    /// The task of an upstream that it is about, or may become.
    pub(crate) relayed_task: Option<RelayedTask>,
    /// The task that the call has become, if its client was answered already.
    pub(crate) made_task: Option<TaskId>,
    /// Whether its session has not got the last status of the task yet.
    pub(crate) has_unsent_status: bool,
    /// Id of the request.
    pub(crate) id: OwnedId,
    /// Era of the request.
    pub(crate) era: Era,
    /// The kind of the request.
    pub(crate) kind: HandlerKind,
    /// Of the params, if the client may get requests and repeat its own.
    pub(crate) params_digest: Option<Box<[u8; 32]>>,
    /// The place of the answer; none once the client of a legacy call hung up.
    pub(crate) exchange: Option<Exchange>,
    /// The session of a legacy call.
    pub(crate) session: Option<SessionId>,
    /// The stream that keeps the events of a legacy call, once it has any.
    pub(crate) stream: Option<StreamId>,
    /// Its facts, if it is recorded in the audit log.
    pub(crate) facts: Option<Box<KeptFacts>>,
    /// Whether its client can resume the stream, for any loss of it.
    pub(crate) is_primed: bool,
    /// Its times and labels for metrics.
    pub(crate) operation: Operation,
    /// The holder of its place in the table.
    holder: HolderKey,
    /// Bytes of its arguments, and of later answers of its client.
    bytes: usize,
    /// Whether its client left, as far as known: it is in a list of such calls.
    is_abandoned: bool,
    links: Links,
}

const ABANDONED: LinksOf<InFlight> = |call| &mut call.links;

impl InFlight {
    /// The owner of the task that the call is or could become.
    pub(super) fn task_owner(&self) -> TaskOwner {
        TaskOwner::of(self.session, self.call.principal_key().as_deref())
    }
}

/// The parts of a new entry.
pub(crate) struct NewCall<'a> {
    pub(crate) call: Call,
    pub(crate) id: Id<'a>,
    pub(crate) era: Era,
    pub(crate) kind: HandlerKind,
    pub(crate) params_digest: Option<Box<[u8; 32]>>,
    pub(crate) exchange: Exchange,
    pub(crate) session: Option<SessionId>,
    /// The holder of its place in the table.
    pub(crate) holder: HolderKey,
    /// Bytes of its arguments.
    pub(crate) bytes: usize,
}

/// Limits on waiting calls: their number, their bytes, and their time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallLimits {
    /// Calls that may wait at once.
    pub(crate) calls_max: usize,
    /// Calls of one session among them.
    pub(crate) per_session_max: usize,
    /// Bytes of the arguments of all of them.
    pub(crate) bytes_max: usize,
    /// How long a call may take, in milliseconds.
    pub(crate) timeout_ms: u64,
    /// Notifications of one call that may wait for the shard.
    pub(crate) events_max: usize,
    /// Calls that stay open while their clients answer.
    pub(crate) parked: ParkedLimits,
}

/// The waiting calls of a shard.
#[derive(Debug)]
pub(crate) struct CallTable {
    calls: Slab<InFlight>,
    shares: CallShares,
    /// Calls of clients that left.
    abandoned: HolderLists,
    timeout_ms: u64,
    generation: u32,
    /// Deadlines in the order they pass in.
    deadlines: VecDeque<(u64, CallKey)>,
}

impl CallTable {
    /// An empty table. Keys begin at random, so that a late answer to a request of an earlier life
    /// of the shard answers none of this one.
    pub(crate) fn new(limits: &CallLimits) -> CallTable {
        CallTable {
            calls: Slab::new(),
            shares: CallShares::new(limits.calls_max, limits.bytes_max),
            abandoned: HolderLists::default(),
            timeout_ms: limits.timeout_ms,
            generation: RandomBits::default().draw() as u32,
            deadlines: VecDeque::new(),
        }
    }

    /// Changes the limits for calls that begin from now on.
    pub(crate) fn set_limits(&mut self, limits: &CallLimits) {
        self.shares.set_limits(limits.calls_max, limits.bytes_max);
        self.timeout_ms = limits.timeout_ms;
    }

    /// How many calls wait.
    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    /// The key that the next inserted call gets.
    pub(crate) fn next_key(&self) -> CallKey {
        CallKey {
            index: self.calls.vacant_key() as u32,
            generation: self.generation,
        }
    }

    /// Places and bytes by holder.
    pub(super) fn shares(&self) -> &CallShares {
        &self.shares
    }

    /// Counts bytes among those that the call called `key` holds.
    ///
    /// # Errors
    /// The limit that they would exceed.
    pub(super) fn hold(&mut self, key: CallKey, bytes: usize) -> Result<(), CallsFull> {
        let call = self.calls.get_mut(key.index as usize);
        let Some(call) = call.filter(|call| call.generation == key.generation) else {
            return Ok(());
        };
        if !self.shares.is_ample() {
            self.shares.check_bytes(call.holder, bytes)?;
        }
        self.shares.take_bytes(call.holder, bytes);
        call.bytes += bytes;
        Ok(())
    }

    /// Inserts a call under [`CallTable::next_key`]. That it may wait was checked before its
    /// handler ran.
    pub(crate) fn insert(&mut self, new: NewCall<'_>, now_ms: u64) -> CallKey {
        let key = self.next_key();
        self.generation = self.generation.wrapping_add(1);
        self.calls.insert(InFlight {
            generation: key.generation,
            call: new.call,
            task: None,
            relayed: None,
            repeatable: None,
            relayed_task: None,
            made_task: None,
            has_unsent_status: false,
            id: OwnedId::from(new.id),
            era: new.era,
            kind: new.kind,
            params_digest: new.params_digest,
            exchange: Some(new.exchange),
            session: new.session,
            stream: None,
            facts: None,
            is_primed: false,
            operation: Operation::NONE,
            holder: new.holder,
            bytes: new.bytes,
            is_abandoned: false,
            links: Links::LOOSE,
        });
        self.shares.take(new.holder, new.bytes);
        self.forget_answered_deadlines();
        let deadline_ms = now_ms + self.timeout_ms;
        // Calls end in the order they were started, unless their time was longer before.
        match self.deadlines.back() {
            Some((last_ms, _)) if *last_ms > deadline_ms => {
                let at = self
                    .deadlines
                    .partition_point(|(other_ms, _)| *other_ms <= deadline_ms);
                self.deadlines.insert(at, (deadline_ms, key));
            }
            _ => self.deadlines.push_back((deadline_ms, key)),
        }
        key
    }

    /// The keys of all calls, in no order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = CallKey> {
        self.calls.iter().map(|(index, call)| CallKey {
            index: index as u32,
            generation: call.generation,
        })
    }

    /// The call called `key`, unless it was answered.
    pub(crate) fn find(&mut self, key: CallKey) -> Option<&mut InFlight> {
        let call = self.calls.get_mut(key.index as usize)?;
        (call.generation == key.generation).then_some(call)
    }

    /// Removes the call called `key`, unless it was answered.
    pub(crate) fn remove(&mut self, key: CallKey) -> Option<InFlight> {
        self.find(key)?;
        self.reclaim(key);
        let call = self.calls.remove(key.index as usize);
        self.shares.give_back(call.holder, call.bytes);
        Some(call)
    }

    /// Records that the client of a call may be gone. A task needs no client.
    pub(super) fn abandon(&mut self, key: CallKey) {
        let Some(call) = self.find(key) else { return };
        if call.made_task.is_none() && !call.is_abandoned {
            call.is_abandoned = true;
            let (holder, place) = (call.holder, (&mut self.calls, key.index));
            self.abandoned.push(holder, place, ABANDONED);
        }
    }

    /// Records that the client of a call is gone from `exchange`. Returns whether that was the
    /// place of the answer, which has no place from now on.
    pub(super) fn client_left(&mut self, key: CallKey, exchange: Exchange) -> bool {
        let take = |call: &mut InFlight| call.exchange.take_if(|its| *its == exchange);
        let is_own = self.find(key).and_then(take).is_some();
        if is_own {
            self.abandon(key);
        }
        is_own
    }

    /// Makes `exchange`, where its client resumed, the place of a call's answer. Returns the place
    /// before.
    pub(super) fn client_back(&mut self, key: CallKey, exchange: Exchange) -> Option<Exchange> {
        self.reclaim(key);
        self.find(key)?.exchange.replace(exchange)
    }

    /// Whether the client of a call left.
    pub(super) fn is_abandoned(&mut self, key: CallKey) -> bool {
        self.find(key).is_some_and(|call| call.is_abandoned)
    }

    /// The call of `holder` that its client left first.
    pub(super) fn oldest_abandoned(&self, holder: HolderKey) -> Option<CallKey> {
        let index = self.abandoned.oldest(holder)?;
        let generation = self.calls[index as usize].generation;
        Some(CallKey { index, generation })
    }

    /// Removes a call from the list of abandoned calls, if it is there.
    fn reclaim(&mut self, key: CallKey) {
        if let Some(call) = self.find(key)
            && std::mem::take(&mut call.is_abandoned)
        {
            let (holder, place) = (call.holder, (&mut self.calls, key.index));
            self.abandoned.remove(holder, place, ABANDONED);
        }
    }

    /// No call runs out of time before this; the time may be too early.
    pub(crate) fn next_deadline_ms(&self) -> Option<u64> {
        self.deadlines.front().map(|(deadline_ms, _)| *deadline_ms)
    }

    /// The next call whose time is over. A task has a time of its own.
    pub(crate) fn next_expired(&mut self, now_ms: u64) -> Option<CallKey> {
        while let Some((deadline_ms, key)) = self.deadlines.front().copied() {
            if self.find(key).is_none_or(|call| call.made_task.is_some()) {
                self.deadlines.pop_front();
                continue;
            }
            if deadline_ms > now_ms {
                return None;
            }
            self.deadlines.pop_front();
            return Some(key);
        }
        None
    }

    /// Keeps the deadlines within twice the waiting calls, for any number of early answers.
    fn forget_answered_deadlines(&mut self) {
        const KEPT_MIN: usize = 64;
        if self.deadlines.len() > KEPT_MIN.max(2 * self.calls.len()) {
            let calls = &self.calls;
            self.deadlines.retain(|(_, key)| {
                calls
                    .get(key.index as usize)
                    .is_some_and(|call| call.generation == key.generation)
            });
        }
    }
}
