//! Calls of a shard: the objects that handlers see, those that wait, and their futures.
//!
//! A call that is answered at its first poll never enters the table: it takes a spare [`Call`] and
//! gives it back. Only a call that waits is kept, with its place for the answer and its deadline.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::rc::Rc;

use corelane_gateway::relay::{ParkedCall, RelayedPart};
use corelane_protocol::jsonrpc::Value;

use super::call_shares::CallShares;
use super::call_shedding::CallShedding;
use super::call_table::{CallLimits, CallTable, InFlight, NewCall};
use super::exchange::Exchange;
use super::inbound::Inbound;
use super::parked::Parked;
use super::relayed_task::RelayedTask;
use crate::guard::holder::HolderKey;
use crate::handler::Call;
use crate::handler::call::RequestOptions;
use crate::handler::event_queue::{CallEvent, CallKey, EventQueue};
use crate::handler::offload::OffloadPort;
use crate::handler::outcome::{Outcome, Waiting};
use crate::handler::state::States;
use crate::meter::operations::Failure;
use crate::meter::timing::Operation;
use crate::meter::{Counter, ShardMeter};
use crate::upstream::port::{ParkedTicket, RelayTicket, UpstreamPort};
use corelane_io::executor;

/// Calls kept for the next requests.
const SPARE_CALLS_MAX: usize = 64;

/// What is left of a call that is kept.
pub(super) enum Rest {
    /// Its handler, which waits.
    Waiting(Waiting),
    /// Its outcome, behind messages.
    Ended(Outcome),
    /// The answer of its upstream.
    Relayed(RelayTicket),
}

/// The parts of a shard that its handlers use.
pub(super) struct HandlerParts {
    pub(super) event_queue: Rc<EventQueue>,
    pub(super) offload: Rc<OffloadPort>,
    pub(super) states: Rc<States>,
}

/// The calls of a shard.
pub(super) struct Calls {
    /// The new calls that are refused because the shard is overloaded.
    pub(super) shedding: CallShedding,
    table: CallTable,
    /// Calls among them that upstreams execute.
    relayed: usize,
    /// The way to upstreams, if there are any.
    port: Option<Rc<UpstreamPort>>,
    /// Requests of upstreams to clients, with the ends of the times for their answers.
    expected: VecDeque<(u64, CallKey, usize)>,
    /// Calls that stay open at upstreams while their clients answer.
    pub(super) parked: Parked<ParkedTicket>,
    /// Those of them that wait for the results of tasks, by the names of the tasks.
    watched: HashMap<Box<str>, ParkedCall>,
    /// Calls that make their next request about a task at these times.
    polls: BTreeSet<(u64, u32, u32)>,
    spare: Vec<Call>,
    parts: HandlerParts,
    limits: CallLimits,
    /// Events of the last turn; kept for its memory.
    events: Vec<CallEvent>,
    meter: Rc<ShardMeter>,
}

impl Calls {
    /// No calls.
    pub(super) fn new(
        (shard, limits): (u16, CallLimits),
        parts: HandlerParts,
        meter: Rc<ShardMeter>,
    ) -> Calls {
        let life = getrandom::u64().expect("getrandom(2) fails only where it is absent");
        Calls {
            parked: Parked::new(shard, life),
            shedding: CallShedding::default(),
            table: CallTable::new(&limits),
            relayed: 0,
            port: None,
            expected: VecDeque::new(),
            watched: HashMap::new(),
            polls: BTreeSet::new(),
            spare: Vec::new(),
            parts,
            limits,
            events: Vec::new(),
            meter,
        }
    }

    /// Changes the limits for calls that begin from now on.
    pub(super) fn set_limits(&mut self, limits: CallLimits) {
        self.table.set_limits(&limits);
        if limits.events_max != self.limits.events_max {
            // Each was made with the number of before.
            self.spare.clear();
        }
        self.limits = limits;
    }

    /// The used and the allowed calls and bytes.
    pub(super) fn shares(&self) -> &CallShares {
        self.table.shares()
    }

    /// Gives the handler of a call the answer of its client to the request at `place`, if it waits
    /// for that. The answer counts among the bytes of the call; one that does not fit is dropped.
    pub(super) fn answer(
        &mut self,
        (key, place): (CallKey, usize),
        answer: Value<'_>,
        inbound: Inbound<'_>,
    ) {
        let Some(call) = self.table.find(key).map(|entry| entry.call.clone()) else {
            return;
        };
        call.answer(place, || match self.table.hold(key, answer.owned_bytes()) {
            Ok(()) => Ok(inbound.copy(answer)),
            Err(full) => Err(format!("the answer cannot be kept: {full}")),
        });
    }

    /// Gives the upstream that executes a call the response of its client to the request at
    /// `place`: the text of its member. The same limit holds.
    pub(super) fn answer_upstream(&mut self, (key, place): (CallKey, usize), member: String) {
        let Some(call) = self.table.find(key).map(|entry| entry.call.clone()) else {
            return;
        };
        call.answer(place, || match self.table.hold(key, member.len()) {
            Ok(()) => Ok(member.into()),
            Err(full) => Err(format!("the answer cannot be kept: {full}")),
        });
    }

    /// Expects the answer of a client to the request of an upstream at `place` until `due_ms`.
    pub(super) fn expect_answer(&mut self, key: CallKey, place: usize, due_ms: u64) {
        let table = &mut self.table;
        while let Some((_, oldest, _)) = self.expected.front()
            && table
                .find(*oldest)
                .is_none_or(|it| !it.call.awaits_answers())
        {
            self.expected.pop_front();
        }
        self.expected.push_back((due_ms, key, place));
    }

    /// The next request of an upstream whose time for an answer is over.
    pub(super) fn next_unanswered(&mut self, now_ms: u64) -> Option<(CallKey, usize)> {
        let first = self.expected.front();
        first.filter(|(due_ms, ..)| *due_ms <= now_ms)?;
        let (_, key, place) = self.expected.pop_front()?;
        Some((key, place))
    }

    /// Has a call make its next request about a task at another time than before.
    pub(super) fn poll_at(&mut self, key: CallKey, (before, due_ms): (Option<u64>, Option<u64>)) {
        let of = |due_ms: u64| (due_ms, key.index, key.generation);
        if let Some(before) = before {
            self.polls.remove(&of(before));
        }
        self.polls.extend(due_ms.map(of));
    }

    /// Leaves an event for each call whose next request about a task is due.
    pub(super) fn wake_polls(&mut self, now_ms: u64) {
        while let Some((due_ms, ..)) = self.polls.first()
            && *due_ms <= now_ms
            && let Some((_, index, generation)) = self.polls.pop_first()
        {
            let key = CallKey { index, generation };
            self.parts.event_queue.leave(CallEvent::Due(key));
        }
    }

    /// The request for the result of the task with this name, which waits for answers of a modern
    /// client.
    pub(super) fn watched(&self, task: &str) -> Option<&ParkedTicket> {
        self.parked.get(*self.watched.get(task)?)
    }

    /// Takes the answer to that request, if it has come. A request that is over is forgotten.
    pub(super) fn take_watched(&mut self, task: &str) -> Option<RelayedPart> {
        let watched = self.watched(task)?;
        if !watched.is_over() {
            return None;
        }
        let answer = watched.take_answer();
        if let Some(named) = self.watched.remove(task) {
            // It is there.
            let _ = self.parked.take(named);
        }
        answer
    }

    /// Whether a holder may have another call that stays open while its client answers.
    pub(super) fn has_parking(&self, holder: HolderKey) -> bool {
        self.parked.has_room(holder, self.limits.parked)
    }

    /// Keeps the request for the result of a task until `due_ms`. That it may was checked before.
    pub(super) fn watch(
        &mut self,
        (task, holder): (&str, HolderKey),
        ticket: ParkedTicket,
        due_ms: u64,
    ) {
        let parked = &self.parked;
        self.watched.retain(|_, named| parked.get(*named).is_some());
        let named = self.parked.insert(holder, ticket, due_ms);
        self.watched.insert(task.into(), named);
    }

    /// Whether offloaded work waits for a thread.
    #[inline]
    pub(super) fn offloads_wait(&self) -> bool {
        self.parts.offload.has_waiting()
    }

    /// Sends calls of entries that upstreams have through `port`.
    pub(super) fn set_port(&mut self, port: Rc<UpstreamPort>) {
        self.port = Some(port);
    }

    /// The way to upstreams.
    pub(super) fn port(&self) -> Option<&Rc<UpstreamPort>> {
        self.port.as_ref()
    }

    /// Whether a handler of this process waits.
    pub(super) fn has_handlers(&self) -> bool {
        self.table.len() > self.relayed
    }

    /// Whether no call waits.
    pub(super) fn is_empty(&self) -> bool {
        self.table.len() == 0
    }

    /// A call for a request, ready for its handler.
    pub(super) fn begin(&mut self, options: RequestOptions) -> Call {
        let call = self.spare.pop().unwrap_or_else(|| {
            Call::new(
                self.parts.event_queue.clone(),
                self.parts.offload.clone(),
                self.parts.states.clone(),
                self.limits.events_max,
            )
        });
        call.begin(self.table.next_key(), options);
        call
    }

    /// Takes back a call that was answered, unless its handler still holds it.
    pub(super) fn recycle(&mut self, call: Call) {
        if call.is_unshared() && self.spare.len() < SPARE_CALLS_MAX {
            call.forget();
            self.spare.push(call);
        }
    }

    /// Keeps a call whose handler waits, or has messages to be sent before its outcome.
    pub(super) fn keep(&mut self, new: NewCall<'_>, rest: Rest, now_ms: u64) -> CallKey {
        self.meter.count(Counter::CallsInFlight);
        let key = self.table.insert(new, now_ms);
        if let Some(entry) = self.table.find(key) {
            entry.operation = self.meter.swap_operation(Operation::NONE);
        }
        let event_queue = self.parts.event_queue.clone();
        match rest {
            Rest::Ended(outcome) => event_queue.leave(CallEvent::Done(key, outcome)),
            Rest::Relayed(ticket) => {
                self.relayed += 1;
                if let Some(entry) = self.table.find(key) {
                    entry.relayed = Some(ticket);
                }
            }
            Rest::Waiting(waiting) => {
                event_queue.note_task_woken();
                let handler = event_queue.wakers().attach(waiting);
                let task = executor::spawn(async move {
                    let outcome = handler.await;
                    event_queue.leave(CallEvent::Done(key, outcome));
                });
                if let Some(entry) = self.table.find(key) {
                    entry.task = Some(task);
                }
            }
        }
        key
    }

    /// All calls that wait.
    pub(super) fn keys(&self) -> Vec<CallKey> {
        self.table.keys().collect()
    }

    /// A call that waits.
    pub(super) fn find(&mut self, key: CallKey) -> Option<&mut InFlight> {
        self.table.find(key)
    }

    /// Records that the client of a call sends no more, and may be gone: the call may be ended for
    /// other calls of the same client.
    pub(super) fn abandon(&mut self, key: CallKey) {
        self.table.abandon(key);
    }

    /// Records that the connection of `exchange` is gone. Returns whether that was the place of the
    /// call's answer, which has no place from now on. The call counts as abandoned then.
    pub(super) fn client_left(&mut self, key: CallKey, exchange: Exchange) -> bool {
        self.table.client_left(key, exchange)
    }

    /// Makes `exchange`, where its client resumed, the place of a call's answer. Returns the place
    /// before.
    pub(super) fn client_back(&mut self, key: CallKey, exchange: Exchange) -> Option<Exchange> {
        self.table.client_back(key, exchange)
    }

    /// The first of `keys` whose client left.
    pub(super) fn first_abandoned(&mut self, keys: &[CallKey]) -> Option<CallKey> {
        let mut keys = keys.iter().copied();
        keys.find(|key| self.table.is_abandoned(*key))
    }

    /// The call of `holder` that its client left first.
    pub(super) fn oldest_abandoned(&self, holder: HolderKey) -> Option<CallKey> {
        self.table.oldest_abandoned(holder)
    }

    /// Removes a call because it ends; [`Calls::stop`] comes after that.
    pub(super) fn remove(&mut self, key: CallKey) -> Option<InFlight> {
        let entry = self.table.remove(key)?;
        if let Some(RelayedTask::About(target)) = entry.relayed_task.as_ref() {
            self.poll_at(key, (target.poll_due_ms, None));
        }
        self.relayed -= usize::from(entry.relayed.is_some());
        self.meter.uncount(Counter::CallsInFlight);
        Some(entry)
    }

    /// Parks a call of this shard until `due_ms`, because its upstream has requests to its client.
    /// None if there are too many, or the call is at no upstream.
    pub(super) fn park(&mut self, key: CallKey, due_ms: u64) -> Option<ParkedCall> {
        let entry = self.table.find(key)?;
        let holder = entry.call.holder();
        if !self.parked.has_room(holder, self.limits.parked) {
            return None;
        }
        let ticket = entry.relayed.take()?.park();
        self.relayed -= 1;
        Some(self.parked.insert(holder, ticket, due_ms))
    }

    /// Stops the handler of a call that was taken out, if it still runs, and takes back its parts.
    pub(super) fn stop(&mut self, mut entry: InFlight) {
        // Dropping the task stops the handler; the executor drops its future.
        drop(entry.relayed.take());
        if entry.task.take().is_some() {
            self.parts.event_queue.note_task_woken();
        }
        self.recycle(entry.call);
    }

    /// The next call whose time is over, with its handler cancelled.
    pub(super) fn next_expired(&mut self, now_ms: u64) -> Option<CallKey> {
        let key = self.table.next_expired(now_ms)?;
        self.meter.add(Counter::TimeoutsCall, 1);
        if let Some(entry) = self.table.find(key) {
            entry.call.time_out();
            entry.operation.fail(Failure::Timeout);
        }
        Some(key)
    }

    /// No call and no answer runs out of time before this, in milliseconds since the shard started.
    pub(super) fn next_deadline_ms(&self) -> Option<u64> {
        let answer_ms = self.expected.front().map(|(due_ms, ..)| *due_ms);
        let parked_ms = self.parked.next_deadline_ms();
        let poll_ms = self.polls.first().map(|(due_ms, ..)| *due_ms);
        let deadlines_ms = [self.table.next_deadline_ms(), answer_ms, parked_ms, poll_ms];
        deadlines_ms.into_iter().flatten().min()
    }

    /// Whether handlers have events since the last turn.
    pub(super) fn has_events(&self) -> bool {
        let queue = &self.parts.event_queue;
        !queue.is_empty() || queue.wakers().has_remote() || self.parts.offload.has_finished()
    }

    /// Takes all events of handlers since the last turn. The caller gives the empty vector back
    /// with [`Calls::give_back_events`].
    pub(super) fn take_events(&mut self) -> Vec<CallEvent> {
        self.parts.offload.collect_finished();
        self.parts.event_queue.wakers().wake_remote();
        let mut events = std::mem::take(&mut self.events);
        self.parts.event_queue.collect(&mut events);
        events
    }

    /// Keeps the memory of [`Calls::take_events`] for the next turn.
    pub(super) fn give_back_events(&mut self, events: Vec<CallEvent>) {
        self.events = events;
    }
}

#[cfg(test)]
impl Calls {
    /// How many calls can serve another request.
    pub(super) fn spare_count(&self) -> usize {
        self.spare.len()
    }
}
