//! Answers that come later: from calls of this shard, and from and to other shards.

use std::sync::atomic::Ordering;

use corelane_protocol::binding::refusal::Reason;
use corelane_protocol::jsonrpc::OwnedId;

use super::ShardMessage;
use super::work::Shard;
use crate::connection::http::Connection;
use crate::mcp::{
    Delivery, Disposition, Exchange, Forwarded, ForwardedKind, Output, Part, StreamOwner,
};
use crate::meter::Counter;
use crate::profile::{Connection as ConnectionProfile, ShardProfile};
use corelane_io::lanes::Tier;
use corelane_io::slots::Slots;

/// Calls with overflow messages that are looked at in one turn.
const STALLED_PER_TURN: usize = 64;
/// Statuses of tasks, waiting for room on the streams of their listeners, that are looked at in one
/// turn.
const STATUSES_PER_TURN: usize = 512;

/// Where there is room for messages of calls.
struct Backpressure<'a> {
    slots: &'a Slots<Connection>,
    profile: &'a ConnectionProfile,
    shard: u16,
    /// Messages for other shards wait.
    has_overflow: bool,
}

impl<'a> Backpressure<'a> {
    fn of(
        slots: &'a Slots<Connection>,
        profile: &'a ShardProfile,
        (shard, has_overflow): (u16, bool),
    ) -> Backpressure<'a> {
        Backpressure {
            slots,
            profile: &profile.connection,
            shard,
            has_overflow,
        }
    }

    fn has_capacity(&self, exchange: Exchange) -> bool {
        if exchange.shard != self.shard {
            return !self.has_overflow;
        }
        let connection = self.slots.get(exchange.slot);
        connection.is_none_or(|it| !it.has_much_output(self.profile))
    }
}

impl Shard {
    /// Turns what happened to calls into answers. Returns whether anything did.
    pub(super) fn handle_call_events(&mut self) -> bool {
        let had_news = self.handling.has_call_events();
        if had_news {
            let has_overflow = !self.overflow.is_empty();
            let room = Backpressure::of(
                &self.slots,
                &self.profile,
                (self.handling.shard, has_overflow),
            );
            let has_capacity = |exchange| room.has_capacity(exchange);
            let endpoint = &mut self.handling.endpoint;
            endpoint.handle_call_events(has_capacity, &mut self.stalled);
        }
        self.look_at_stalled();
        self.deliver_all();
        had_news
    }

    fn look_at_stalled(&mut self) {
        for _ in 0..self.stalled.len().min(STALLED_PER_TURN) {
            let Some(key) = self.stalled.pop_front() else {
                break;
            };
            let has_overflow = !self.overflow.is_empty();
            let room = Backpressure::of(
                &self.slots,
                &self.profile,
                (self.handling.shard, has_overflow),
            );
            let endpoint = &mut self.handling.endpoint;
            if !endpoint.pump(key, |exchange| room.has_capacity(exchange)) {
                self.stalled.push_back(key);
            }
        }
    }

    /// Brings every part that is ready to where it belongs.
    pub(super) fn deliver_all(&mut self) {
        while let Some((to, tier, message)) = self.overflow.pop_front() {
            if let Err(full) = self.sender.send(to, tier, message) {
                // What waits keeps its order: the first that finds no room holds back all.
                self.overflow.push_front((to, tier, full.message));
                break;
            }
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
            }
        }
    }

    /// Passes on how tasks stand to listeners whose connections have room.
    pub(super) fn pass_on_statuses(&mut self) {
        let held = self.handling.endpoint.statuses_held();
        for _ in 0..held.min(STATUSES_PER_TURN) {
            let has_overflow = !self.overflow.is_empty();
            let room = Backpressure::of(
                &self.slots,
                &self.profile,
                (self.handling.shard, has_overflow),
            );
            let endpoint = &mut self.handling.endpoint;
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

    /// Sends a message that must arrive; it waits here while its lane is full. What waits is
    /// bounded by what it is about: calls in flight, open streams, and the questions of listeners,
    /// who are refused while something waits.
    fn send_or_queue(&mut self, to: usize, tier: Tier, message: ShardMessage) {
        if !self.overflow.is_empty() {
            self.overflow.push_back((to, tier, message));
        } else if let Err(full) = self.sender.send(to, tier, message) {
            self.handling.meter.count(Counter::LanesFull);
            self.overflow.push_back((to, tier, full.message));
        }
    }

    fn deliver_here(&mut self, delivery: Delivery) {
        let Delivery { exchange, part } = delivery;
        let key = exchange.slot;
        let connection = self
            .slots
            .get_mut(key)
            .filter(|it| it.awaits(exchange.sequence));
        let Some(connection) = connection else {
            // The client left before its stream was open: its session must not keep it.
            if let Part::StreamOpen(owner) = part {
                self.stream_gone(owner, exchange);
            }
            return;
        };
        if matches!(part, Part::Event { .. })
            && connection.has_twice_the_output(&self.profile.connection)
        {
            // Its call runs on another shard and cannot be held back from here.
            return self.close(key);
        }
        let mut context = self.handling.context(key);
        connection.deliver(part, &mut context);
        if context.is_draining {
            connection.end_after_answer(&mut context);
        }
        let out = context.out.take();
        self.finish_step(key, out);
    }

    /// Handles messages of other shards, at most a batch. Returns whether there were any.
    pub(super) fn handle_messages(&mut self) -> bool {
        let mut inbox = std::mem::take(&mut self.inbox);
        let batch = self.profile.budget.lane_batch as usize;
        let count = self
            .receiver
            .drain(batch, |_, _, message| inbox.push(message));
        for message in inbox.drain(..) {
            match message {
                ShardMessage::Deliver(delivery) => self.deliver_here(delivery),
                ShardMessage::Forward(request) => self.serve_forwarded(*request),
                ShardMessage::Watch(note) => self.handling.endpoint.handle_task_watch(*note),
            }
        }
        self.inbox = inbox;
        count > 0
    }

    fn serve_forwarded(&mut self, request: Forwarded) {
        let exchange = request.exchange;
        let wants_answer = !matches!(request.kind, ForwardedKind::StreamGone);
        let mut body = Vec::new();
        let disposition = self.handling.endpoint.handle_forwarded(request, &mut body);
        let part = match disposition {
            Disposition::Answer { status, .. } => Part::Final { status, body },
            Disposition::Accepted => Part::Accepted,
            Disposition::Done => Part::Done,
            Disposition::Stream(owner) => Part::StreamOpen(owner),
            Disposition::Pending(_) => return,
            Disposition::Forward { .. } => unreachable!("the home shard forwards nothing"),
        };
        if wants_answer {
            self.deliver(Delivery { exchange, part });
        }
    }

    /// Tells the owner of a stream that it is gone: a listener of this shard, or a session on its
    /// home shard.
    pub(super) fn stream_gone(&mut self, owner: StreamOwner, exchange: Exchange) {
        let session = match owner {
            StreamOwner::Session(of) => of.session,
            StreamOwner::Listen(key) => {
                return self.handling.endpoint.handle_subscription_gone(key);
            }
        };
        if session.home == self.handling.shard {
            self.handling.endpoint.handle_stream_gone(session, exchange);
            return;
        }
        let kind = ForwardedKind::StreamGone;
        let request = Forwarded {
            exchange,
            session,
            revision: None,
            id: None,
            caller_info: None,
            kind,
        };
        let message = ShardMessage::Forward(Box::new(request));
        self.send_or_queue(usize::from(session.home), Tier::Request, message);
    }

    /// Sends requests on to their home shards; a client whose request finds no room is told.
    pub(super) fn send_forwards(&mut self) {
        while let Some((home, request)) = self.handling.forwards.pop() {
            let exchange = request.exchange;
            let message = ShardMessage::Forward(request);
            let Err(full) = self.sender.send(usize::from(home), Tier::Request, message) else {
                continue;
            };
            self.handling.meter.count(Counter::LanesFull);
            let ShardMessage::Forward(request) = full.message else {
                unreachable!("the lane gives back what was sent");
            };
            let reason = Reason::Overloaded("the lane to the session's shard is full");
            // Delivered with the others at the end of the turn, not from here: the next request
            // of the connection may find the lane full as well, and so on.
            let id = request.id.as_ref().map(OwnedId::as_id);
            let endpoint = &mut self.handling.endpoint;
            endpoint.refuse_later(exchange, id, reason);
        }
    }

    /// Makes messages visible to their receivers and wakes those that sleep.
    pub(super) fn flush_lanes(&mut self) {
        let (ring, ring_fds) = (&mut self.ring, &self.ring_fds);
        self.sender.flush(|to| {
            let fd = ring_fds[to].load(Ordering::Acquire);
            if fd >= 0 {
                ring.wake_shard(fd);
            }
        });
    }
}
