//! Later answers: from calls of this shard, and from and to other shards.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::jsonrpc::OwnedId;

use super::ShardMessage;
use super::overflow::Overflow;
use super::work::Shard;
use crate::cluster::ClusterMessage;
use crate::connection::http::Connection;
use crate::handler::event_queue::CallKey;
use crate::mcp::{
    Delivery, Disposition, Endpoint, Exchange, Forwarded, ForwardedKind, Output, Part, StreamOwner,
};
use crate::meter::Counter;
use crate::profile::Connection as ConnectionProfile;
use corelane_io::lanes::Tier;
use corelane_io::slots::Slots;

/// Calls with unsent messages that are looked at in one turn.
const STALLED_PER_TURN: usize = 128;
/// The number of them that are looked at without a cause.
const STALLED_PER_TURN_MIN: usize = 64;
/// Statuses of tasks, waiting for capacity on the streams of their subscriptions, that are looked
/// at in one turn.
const STATUSES_PER_TURN: usize = 512;

/// The places with capacity for messages of calls.
struct Backpressure<'a> {
    slots: &'a Slots<Connection>,
    profile: &'a ConnectionProfile,
    shard: u16,
    overflow: &'a Overflow<ShardMessage>,
}

impl Backpressure<'_> {
    fn has_capacity(&self, exchange: Exchange) -> bool {
        if exchange.shard != self.shard {
            let to = usize::from(exchange.shard);
            return !self.overflow.waits_for(to, Tier::Reply);
        }
        let connection = self.slots.get(exchange.slot);
        connection.is_none_or(|it| !it.has_much_output(self.profile))
    }
}

impl Shard {
    /// Turns the events of calls into answers. Returns whether there were any.
    pub(super) fn handle_call_events(&mut self) -> bool {
        let had_news = self.handling.has_call_events();
        if had_news {
            let (room, endpoint, stalled) = self.backpressure();
            endpoint.handle_call_events(|exchange| room.has_capacity(exchange), stalled);
        }
        self.look_at_stalled();
        self.deliver_all();
        had_news
    }

    /// The places with capacity, and the parts that depend on it.
    fn backpressure(&mut self) -> (Backpressure<'_>, &mut Endpoint, &mut VecDeque<CallKey>) {
        let room = Backpressure {
            slots: &self.slots,
            profile: &self.profile.connection,
            shard: self.handling.shard,
            overflow: &self.overflow,
        };
        (room, &mut self.handling.endpoint, &mut self.stalled)
    }

    /// Records new capacity: each call that has stalled is looked at once in the next turns, and
    /// each status of a task that waits. No other event would lead to a look.
    pub(super) fn note_capacity(&mut self) {
        self.stalled_looks = self.stalled.len();
        self.status_looks = self.handling.endpoint.statuses_held();
    }

    fn look_at_stalled(&mut self) {
        let looks = self.stalled_looks.max(STALLED_PER_TURN_MIN);
        let looks = looks.min(STALLED_PER_TURN).min(self.stalled.len());
        self.stalled_looks = match looks < self.stalled.len() {
            true => self.stalled_looks.saturating_sub(looks),
            false => 0,
        };
        for _ in 0..looks {
            let (room, endpoint, stalled) = self.backpressure();
            let Some(key) = stalled.pop_front() else {
                break;
            };
            if !endpoint.pump(key, |exchange| room.has_capacity(exchange)) {
                stalled.push_back(key);
            }
        }
    }

    /// Delivers every part that is ready.
    pub(super) fn deliver_all(&mut self) {
        if !self.overflow.is_empty() && self.overflow.flush(&mut self.sender) {
            self.note_capacity();
        }
        while let Some(output) = self.handling.endpoint.poll_output() {
            match output {
                Output::Delivery(delivery) => self.deliver(delivery),
                Output::TaskWatch(to, message) => {
                    // Messages of one end keep their order: each end has a tier.
                    let tier = match message.is_for_home() {
                        true => Tier::Request,
                        false => Tier::Bulk,
                    };
                    let message = ShardMessage::Watch(Box::new(message));
                    self.send_or_queue(usize::from(to), tier, message);
                }
                Output::Limit(to, message) => {
                    let message = ShardMessage::Limit(Box::new(message));
                    self.send_or_queue(usize::from(to), Tier::Control, message);
                }
            }
        }
    }

    /// Notifies all other shards of the credentials and the upstreams that have failed here, and
    /// of upstreams that work again.
    pub(super) fn report_failures(&mut self) {
        while let Some(attempt) = self.handling.access.poll_failure() {
            self.send_to_others(|| ShardMessage::FailedCredential(attempt));
        }
        while let Some(change) = self.poll_breaker_change() {
            self.send_to_others(|| ShardMessage::BreakerChange(change));
        }
    }

    fn send_to_others(&mut self, message: impl Fn() -> ShardMessage) {
        let (shards, own) = (self.ring_fds.len(), usize::from(self.handling.shard));
        for to in (0..shards).filter(|to| *to != own) {
            self.send_or_queue(to, Tier::Control, message());
        }
    }

    /// Sends statuses of tasks to subscriptions whose connections have capacity.
    pub(super) fn pass_on_statuses(&mut self) {
        let held = self.handling.endpoint.statuses_held();
        let looks = held.min(STATUSES_PER_TURN);
        self.status_looks = self.status_looks.min(held).saturating_sub(looks);
        for _ in 0..looks {
            let (room, endpoint, _) = self.backpressure();
            endpoint.send_held_status(|exchange| room.has_capacity(exchange));
            // At once: the next one may be for the same connection.
            self.deliver_all();
        }
    }

    fn deliver(&mut self, delivery: Delivery) {
        if delivery.exchange.shard == self.handling.shard {
            self.deliver_here(delivery);
        } else {
            let to = usize::from(delivery.exchange.shard);
            self.send_or_queue(to, Tier::Reply, ShardMessage::Deliver(delivery));
        }
    }

    /// Sends a message that must arrive; it waits while its lane is full.
    fn send_or_queue(&mut self, to: usize, tier: Tier, message: ShardMessage) {
        let was_sent = self
            .overflow
            .send_or_queue(&mut self.sender, (to, tier), message);
        if !was_sent {
            self.handling.meter.count(Counter::LanesFull);
        }
    }

    pub(super) fn deliver_here(&mut self, delivery: Delivery) {
        let Delivery { exchange, part } = delivery;
        let key = exchange.slot;
        let connection = self
            .slots
            .get_mut(key)
            .filter(|it| it.awaits(exchange.sequence));
        let Some(connection) = connection else {
            return self.undelivered(exchange, part);
        };
        if matches!(part, Part::Event { .. } | Part::Change { .. })
            && connection.has_twice_the_output(&self.profile.connection)
        {
            // Its call runs on another shard and cannot be held back from here.
            self.close(key, Counter::ClosedShed);
            return self.undelivered(exchange, part);
        }
        let mut context = self.handling.context(key);
        connection.deliver_to(exchange.sequence, part, &mut context);
        if context.is_draining {
            connection.end_after_answer(&mut context);
        }
        let out = context.out.take();
        self.finish_step(key, out);
        self.shed_largest_outputs();
    }

    /// Lets the home of a session know of a part that came after its client had left.
    fn undelivered(&mut self, exchange: Exchange, part: Part) {
        match part {
            // The client left before its stream was open: its session must not keep it.
            Part::StreamOpen(owner) => self.stream_gone(owner, exchange),
            // The home heard before this that the stream is lost.
            Part::Event {
                id: Some(id),
                message,
            }
            | Part::Change {
                id: Some(id),
                message,
            } => {
                if id.home == self.handling.shard {
                    return self.handling.endpoint.handle_undelivered(id, message);
                }
                let message = ShardMessage::Undelivered(Box::new((id, message)));
                self.send_or_queue(usize::from(id.home), Tier::Request, message);
            }
            _ => {}
        }
    }

    /// Handles messages of other shards, at most a batch. Returns whether there were any.
    pub(super) fn handle_messages(&mut self) -> bool {
        let mut inbox = std::mem::take(&mut self.inbox);
        let batch = self.profile.budget.lane_batch as usize;
        let count = self
            .receiver
            .drain(batch, |from, _, message| inbox.push((from as u16, message)));
        for (from, message) in inbox.drain(..) {
            match message {
                ShardMessage::Deliver(delivery) => self.deliver_here(delivery),
                ShardMessage::Forward(request) => {
                    if let Some(request) = self.handling.endpoint.look_up(request) {
                        self.serve_forwarded(*request);
                    }
                }
                ShardMessage::Post(post) => self.post_here(*post),
                ShardMessage::Limit(message) => {
                    self.handling.endpoint.handle_limit_message(from, *message);
                }
                ShardMessage::FailedCredential(attempt) => {
                    self.handling.access.record_failure(attempt);
                }
                ShardMessage::BreakerChange(change) => self.take_breaker_change(&change),
                ShardMessage::Watch(note) => self.handling.endpoint.handle_task_watch(*note),
                ShardMessage::Cluster(message) => self.handle_cluster(message),
                ShardMessage::Undelivered(undelivered) => {
                    let (event, message) = *undelivered;
                    self.handling.endpoint.handle_undelivered(event, message);
                }
            }
        }
        self.inbox = inbox;
        count > 0
    }

    /// Takes a decision of the cluster about a session of this shard.
    fn handle_cluster(&mut self, message: ClusterMessage) {
        let endpoint = &mut self.handling.endpoint;
        match message {
            ClusterMessage::Serve(random, state) => {
                for request in endpoint.begin_arrival(random, state) {
                    self.serve_forwarded(request);
                }
                self.handling.endpoint.end_arrival();
            }
            ClusterMessage::Missing(random) => endpoint.handle_missing(random),
            ClusterMessage::Busy(random, text) => endpoint.handle_busy(random, text),
            ClusterMessage::Ended(random) => endpoint.handle_ended(random),
            ClusterMessage::Leave(random) => endpoint.handle_leave(random),
            ClusterMessage::Doubt => endpoint.handle_doubt(),
        }
    }

    fn serve_forwarded(&mut self, request: Forwarded) {
        let exchange = request.exchange;
        let wants_answer = request.wants_answer();
        let mut body = Vec::new();
        let disposition = self.handling.endpoint.handle_forwarded(request, &mut body);
        let part = match disposition {
            Disposition::Answer { refused, .. } => Part::Final { refused, body },
            Disposition::Accepted => Part::Accepted,
            Disposition::Done => Part::Done,
            Disposition::Stream(owner) => Part::StreamOpen(owner),
            Disposition::Pending(_) | Disposition::PendingCalls(_) => return,
            Disposition::PeerNeeded => unreachable!("what is forwarded takes no place of its own"),
            Disposition::Forward { .. } => unreachable!("the home shard forwards nothing"),
            Disposition::Cancel(_) => unreachable!("a channel cancels where its connection is"),
        };
        if wants_answer {
            self.deliver(Delivery { exchange, part });
        }
    }

    /// Notifies the owner of a stream that its connection is gone: a subscription of this shard, or
    /// a session on its home shard. The calls of a session that a connection waited for are
    /// notified too.
    pub(super) fn stream_gone(&mut self, owner: StreamOwner, exchange: Exchange) {
        let session = match owner {
            StreamOwner::Session(of) => of.session,
            StreamOwner::Calls(session) => session,
            StreamOwner::Listen(key) => {
                return self.handling.endpoint.handle_subscription_gone(key);
            }
        };
        if session.home == self.handling.shard {
            self.handling.endpoint.handle_stream_gone(session, exchange);
            return;
        }
        let notice = Forwarded::notice(exchange, session, ForwardedKind::StreamGone);
        let message = ShardMessage::Forward(Box::new(notice));
        self.send_or_queue(usize::from(session.home), Tier::Request, message);
    }

    /// Sends requests to their home shards; a request that does not fit is refused.
    pub(super) fn send_forwards(&mut self) {
        while let Some((home, request)) = self.handling.effects.forwards.pop() {
            if home == self.handling.shard {
                // Of a session that is looked up in the cluster.
                if let Some(request) = self.handling.endpoint.look_up(request) {
                    self.serve_forwarded(*request);
                }
                continue;
            }
            let exchange = request.exchange;
            let message = ShardMessage::Forward(request);
            let lane = (usize::from(home), Tier::Request);
            let (sent, reason) = match self.deaths.is_down(home) {
                true => (Err(message), "the session's shard is being restarted"),
                false => {
                    let sent = self.overflow.try_send(&mut self.sender, lane, message);
                    let is_full = u64::from(sent.is_err());
                    self.handling.meter.add(Counter::LanesFull, is_full);
                    (sent, "the lane to the session's shard is full")
                }
            };
            let Err(ShardMessage::Forward(request)) = sent else {
                continue;
            };
            // A lost notice costs its client some capacity, and no answer waits for it.
            if !request.wants_answer() {
                continue;
            }
            // Delivered with the others at the end of the turn, not from here: the next request
            // of the connection may find the lane full as well, and so on.
            let id = request.id.as_ref().map(OwnedId::as_id);
            let endpoint = &mut self.handling.endpoint;
            endpoint.refuse_later(exchange, id, Reason::Overloaded(reason));
        }
    }

    /// Makes messages visible to their receivers and wakes those that sleep.
    pub(super) fn flush_lanes(&mut self) {
        let (ring, ring_fds) = (self.rings.first(), &self.ring_fds);
        self.sender.flush(|to| {
            let fd = ring_fds[to].load(Ordering::Acquire);
            if fd >= 0 {
                ring.wake_shard(fd);
            }
        });
    }
}
