//! Lanes: messages between shards.
//!
//! From every sender to every receiver lead four bounded wait-free queues, one per [`Tier`]. A
//! queue has one thread at either end, so it is a ring of [`rtrb`] and not a queue for many
//! threads: there both sides claim a place with a locked instruction, which costs more than all
//! else in a lane.
//!
//! Simple version: the receiver looks through all queues each turn and every message wakes it.
//! Deviations:
//!
//! 1. A receiver has one bit per sender and tier. Senders set the bits of the queues they filled,
//!    once per turn; the receiver looks at the bits, and at a queue only if its bit is set.
//! 2. A wake is a system call, so [`LaneSender::flush`] checks whether the receiver sleeps, after
//!    the bits are set. The receiver looks at the bits a last time after it has announced its
//!    sleep. Between the two fences of [`Sleep`] no message is missed.
//! 3. A queue costs its whole capacity when it is made, and of N times N pairs few ever use all
//!    tiers: each queue is made by the first message that goes into it. Its sender leaves the
//!    receiving end in a `Handover`, before it sets the queue's bit for the first time, and the
//!    receiver takes it from there when it first sees that bit.
//!
//! Invariants: no accepted message is lost; messages of one sender and tier arrive in order; a full
//! lane is refused to its sender and never waited for. A lane neither knows how a receiver is woken
//! nor the meaning of a message.

use crate::wake::Sleep;
use crossbeam::atomic::AtomicCell;
use crossbeam::utils::CachePadded;
use rtrb::{Consumer, Producer, PushError, RingBuffer};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(test)]
mod tests;

/// The guaranteed part of a batch for each lower tier: one in this many.
const AGEING_SHARE: usize = 16;

/// Number of tiers.
pub const TIERS: usize = 4;
const SENDERS_PER_GROUP: usize = 64;

/// The kind of a message, in the order of service.
///
/// Ageing: a tier leaves a sixteenth of the batch, at least one message, to each tier after it that
/// has messages, so even `Bulk` moves in every turn. The unused part of a share goes to the other
/// tiers, the first tier first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Drain, reload, shutdown.
    Control,
    /// Answers: they end work that holds resources.
    Reply,
    /// Calls of sessions whose home is another shard.
    Request,
    /// Fan-out to streams, snapshots.
    Bulk,
}

const ALL_TIERS: [Tier; TIERS] = [Tier::Control, Tier::Reply, Tier::Request, Tier::Bulk];

/// Capacity of each queue of a pair in messages, each at least 1.
///
/// A queue takes its memory with its first message: at 64 bytes a message, the defaults come to
/// 42 KiB for a pair that uses all tiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneLimits {
    /// Messages of [`Tier::Control`].
    pub control_messages_max: usize,
    /// Messages of [`Tier::Reply`].
    pub reply_messages_max: usize,
    /// Messages of [`Tier::Request`].
    pub request_messages_max: usize,
    /// Messages of [`Tier::Bulk`].
    pub bulk_messages_max: usize,
}

impl LaneLimits {
    fn of(&self, tier: Tier) -> usize {
        match tier {
            Tier::Control => self.control_messages_max,
            Tier::Reply => self.reply_messages_max,
            Tier::Request => self.request_messages_max,
            Tier::Bulk => self.bulk_messages_max,
        }
    }
}

/// The lane is full. The message comes back, and its sender decides how to answer its client.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {tier:?} lane to {to} already holds its limit of {messages_max} messages")]
pub struct Full<M> {
    /// The message that was not sent.
    pub message: M,
    /// The receiver.
    pub to: usize,
    /// The tier.
    pub tier: Tier,
    /// Its capacity in messages.
    pub messages_max: usize,
}

/// Both ends of every lane, to be handed to their threads.
#[derive(Debug)]
pub struct Mesh<M> {
    /// One for each receiver and then one for each sender that receives nothing, by number.
    pub senders: Vec<LaneSender<M>>,
    /// One for each receiver, by number.
    pub receivers: Vec<LaneReceiver<M>>,
}

impl<M: Send> Mesh<M> {
    /// Lanes among `receivers` threads that send as well, numbered from 0, and to them from
    /// `outside` threads that only send, numbered after them.
    ///
    /// # Panics
    /// If a limit is 0.
    pub fn new(receivers: usize, outside: usize, limits: LaneLimits) -> Mesh<M> {
        for tier in ALL_TIERS {
            assert!(limits.of(tier) > 0, "{tier:?} lanes that hold nothing");
        }
        let senders = receivers + outside;
        let shared = Arc::new(Shared {
            handovers: (0..receivers * senders)
                .map(|_| Handover::default())
                .collect(),
            inboxes: (0..receivers)
                .map(|_| Inbox::for_senders(senders))
                .collect(),
            senders,
            limits,
        });
        Mesh {
            senders: (0..senders)
                .map(|from| LaneSender {
                    shared: Arc::clone(&shared),
                    from,
                    lanes: (0..receivers).map(|_| [const { None }; TIERS]).collect(),
                    filled: vec![0; receivers],
                    unflushed: Vec::with_capacity(receivers),
                    counts: SentCounts::default(),
                })
                .collect(),
            receivers: (0..receivers)
                .map(|to| LaneReceiver {
                    lanes: (0..senders).map(|_| [const { None }; TIERS]).collect(),
                    pending: vec![[0; TIERS]; senders.div_ceil(SENDERS_PER_GROUP)],
                    first_sender: [0; TIERS],
                    shared: Arc::clone(&shared),
                    to,
                })
                .collect(),
        }
    }
}

#[derive(Debug)]
struct Shared<M> {
    /// By receiver, then by sender.
    handovers: Box<[Handover<M>]>,
    inboxes: Box<[Inbox]>,
    senders: usize,
    limits: LaneLimits,
}

impl<M> Shared<M> {
    fn handover(&self, to: usize, from: usize, tier: Tier) -> &AtomicCell<Option<Receiving<M>>> {
        &self.handovers[to * self.senders + from].tiers[tier as usize]
    }
}

/// Boxed, so that a cell of it is one word and needs no lock.
type Receiving<M> = Box<Consumer<M>>;

/// The place where the receiving ends of a pair's queues wait until the receiver takes them.
struct Handover<M> {
    tiers: [AtomicCell<Option<Receiving<M>>>; TIERS],
}

impl<M> Default for Handover<M> {
    fn default() -> Handover<M> {
        const {
            assert!(AtomicCell::<Option<Receiving<M>>>::is_lock_free());
        }
        Handover {
            tiers: [const { AtomicCell::new(None) }; TIERS],
        }
    }
}

/// A look at a cell would take its content.
impl<M> fmt::Debug for Handover<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Handover").finish_non_exhaustive()
    }
}

/// The memory that senders write and a receiver reads, beside the queues.
#[derive(Debug)]
struct Inbox {
    sleep: CachePadded<Sleep>,
    /// One bit per sender for each tier, in groups of 64 senders: a group is one cache line.
    filled: Box<[CachePadded<[AtomicU64; TIERS]>]>,
}

impl Inbox {
    fn for_senders(senders: usize) -> Inbox {
        let groups = senders.div_ceil(SENDERS_PER_GROUP);
        Inbox {
            sleep: CachePadded::default(),
            filled: (0..groups).map(|_| CachePadded::default()).collect(),
        }
    }
}

/// One thread's end for sending to all receivers.
#[derive(Debug)]
pub struct LaneSender<M> {
    shared: Arc<Shared<M>>,
    from: usize,
    /// By receiver: the queues that were needed so far.
    lanes: Vec<[Option<Producer<M>>; TIERS]>,
    /// By receiver: one bit for each tier that got a message since the last flush.
    filled: Vec<u8>,
    /// The receivers with such a bit.
    unflushed: Vec<usize>,
    counts: SentCounts,
}

/// What a sender has done since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SentCounts {
    /// Messages that were queued, by [`Tier`].
    pub sent: [u64; TIERS],
    /// Receivers that slept and were woken.
    pub wakes: u64,
}

impl<M: Send> LaneSender<M> {
    /// Queues a message for receiver `to`, which sees it after the next [`LaneSender::flush`].
    ///
    /// # Errors
    /// [`Full`] if the lane holds its limit; the message comes back.
    ///
    /// # Panics
    /// If there is no receiver `to`.
    // Inlined, the message is built in its place in the queue. A call has it built on the stack and
    // copied at once, and the copy waits for the stores it reads: that alone costs more than the
    // queue, and the optimiser does not see it.
    #[inline(always)]
    pub fn send(&mut self, to: usize, tier: Tier, message: M) -> Result<(), Full<M>> {
        let lane = self.lanes[to][tier as usize]
            .get_or_insert_with(|| make_lane(&self.shared, to, self.from, tier));
        if let Err(PushError::Full(message)) = lane.push(message) {
            return Err(self.refuse(to, tier, message));
        }
        self.counts.sent[tier as usize] += 1;
        if self.filled[to] == 0 {
            self.unflushed.push(to);
        }
        self.filled[to] |= 1 << tier as usize;
        Ok(())
    }

    /// What this sender has done.
    pub fn counts(&self) -> SentCounts {
        self.counts
    }

    #[cold]
    fn refuse(&self, to: usize, tier: Tier, message: M) -> Full<M> {
        Full {
            message,
            to,
            tier,
            messages_max: self.shared.limits.of(tier),
        }
    }

    /// Makes sent messages visible and calls `wake` for each receiver that sleeps: once per batch,
    /// and by one sender. To be called at the end of each turn that sent anything.
    pub fn flush(&mut self, mut wake: impl FnMut(usize)) {
        let group = self.from / SENDERS_PER_GROUP;
        let bit = 1 << (self.from % SENDERS_PER_GROUP);
        for to in self.unflushed.drain(..) {
            let inbox = &self.shared.inboxes[to];
            let filled = std::mem::take(&mut self.filled[to]);
            for tier in ALL_TIERS {
                if filled & (1 << tier as usize) != 0 {
                    inbox.filled[group][tier as usize].fetch_or(bit, Ordering::Release);
                }
            }
            if inbox.sleep.should_wake() {
                self.counts.wakes += 1;
                wake(to);
            }
        }
    }
}

/// Makes a queue and leaves its receiving end where the receiver looks for it.
#[cold]
fn make_lane<M>(shared: &Shared<M>, to: usize, from: usize, tier: Tier) -> Producer<M> {
    let (sending, receiving) = RingBuffer::new(shared.limits.of(tier));
    let handover = shared.handover(to, from, tier);
    handover.store(Some(Box::new(receiving)));
    sending
}

/// One thread's end for receiving from all senders.
#[derive(Debug)]
pub struct LaneReceiver<M> {
    shared: Arc<Shared<M>>,
    to: usize,
    /// By sender: the queues that had a message so far.
    lanes: Vec<[Option<Receiving<M>>; TIERS]>,
    /// By group of senders: the queues that may hold messages.
    pending: Vec<[u64; TIERS]>,
    /// The sender each tier begins with, so that all get their turn.
    first_sender: [usize; TIERS],
}

impl<M: Send> LaneReceiver<M> {
    /// Hands up to `batch_max` messages to `handle`, tier by tier with ageing (see [`Tier`]), and
    /// returns their number. Fewer than `batch_max` means that no flushed message is left.
    ///
    /// Senders of a tier share it and take turns in being first.
    ///
    /// # Panics
    /// If `batch_max` is less than 4, one message a tier.
    pub fn drain(&mut self, batch_max: usize, mut handle: impl FnMut(usize, Tier, M)) -> usize {
        assert!(batch_max >= TIERS, "a batch of {batch_max} starves a tier");
        self.collect();
        if self.is_idle() {
            return 0;
        }
        let share = (batch_max / AGEING_SHARE).max(1);
        let mut left = batch_max;
        for tier in ALL_TIERS {
            let waiting_below = ALL_TIERS[tier as usize + 1..]
                .iter()
                .filter(|lower| self.busy_senders(**lower) > 0)
                .count();
            left -= self.drain_tier(tier, left - share * waiting_below, &mut handle);
        }
        // The unused part of a share goes to the other tiers, again in order. Each round takes a
        // message or finds a queue empty, so the rounds end.
        while left > 0 && !self.is_idle() {
            for tier in ALL_TIERS {
                left -= self.drain_tier(tier, left, &mut handle);
            }
        }
        batch_max - left
    }

    /// Messages that wait in all lanes to this receiver, by [`Tier`]: a look at each lane that was
    /// in use so far.
    pub fn waiting(&self) -> [usize; TIERS] {
        let mut waiting = [0; TIERS];
        for lanes in &self.lanes {
            for (sum, lane) in waiting.iter_mut().zip(lanes) {
                *sum += lane.as_ref().map_or(0, |lane| lane.slots());
            }
        }
        waiting
    }

    /// Messages that all lanes to this receiver hold at most, by [`Tier`].
    pub fn capacity(&self) -> [usize; TIERS] {
        ALL_TIERS.map(|tier| self.shared.limits.of(tier) * self.shared.senders)
    }

    /// Announces sleep and returns whether the receiver may sleep: no message is left or arrived.
    ///
    /// If true, a later flush wakes it; call [`LaneReceiver::awake`] after sleeping. If false, it
    /// counts as awake.
    pub fn prepare_to_sleep(&mut self) -> bool {
        self.inbox().sleep.prepare_to_sleep();
        self.collect();
        let may_sleep = self.is_idle();
        if !may_sleep {
            self.awake();
        }
        may_sleep
    }

    /// Records that the receiver runs, so that no sender wakes it.
    pub fn awake(&self) {
        self.inbox().sleep.awake();
    }

    fn inbox(&self) -> &Inbox {
        &self.shared.inboxes[self.to]
    }

    /// Takes the bits over that senders set.
    fn collect(&mut self) {
        let inbox = &self.shared.inboxes[self.to];
        for (pending, filled) in self.pending.iter_mut().zip(&inbox.filled) {
            for (pending, filled) in pending.iter_mut().zip(filled.iter()) {
                // Reading is cheap while no sender writes; taking is not.
                if filled.load(Ordering::Relaxed) != 0 {
                    *pending |= filled.swap(0, Ordering::Acquire);
                }
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.pending.iter().all(|group| *group == [0; TIERS])
    }

    /// How many queues of one tier may hold messages.
    fn busy_senders(&self, tier: Tier) -> usize {
        let bits = self.pending.iter().map(|group| group[tier as usize]);
        bits.map(|bits| bits.count_ones() as usize).sum()
    }

    /// Handles up to `allowance` messages of one tier, beginning with another sender each time.
    fn drain_tier(
        &mut self,
        tier: Tier,
        allowance: usize,
        handle: &mut impl FnMut(usize, Tier, M),
    ) -> usize {
        let busy = self.busy_senders(tier);
        if busy == 0 || allowance == 0 {
            return 0;
        }
        let share = (allowance / busy).max(1);
        let mut left = allowance;
        let mut next = self.first_sender[tier as usize];
        for _ in 0..busy {
            if left == 0 {
                break;
            }
            let Some(from) = self.pending_from(tier, next) else {
                break;
            };
            left -= self.drain_lane(from, tier, share.min(left), handle);
            next = (from + 1) % self.shared.senders;
        }
        self.first_sender[tier as usize] = next;
        allowance - left
    }

    /// The first sender at or after `start`, going round, with a message in `tier`.
    fn pending_from(&self, tier: Tier, start: usize) -> Option<usize> {
        let groups = self.pending.len();
        let first_group = start / SENDERS_PER_GROUP;
        // The first group is looked at twice: from `start` on, and at the end up to it.
        (0..=groups).find_map(|step| {
            let group = (first_group + step) % groups;
            let mut bits = self.pending[group][tier as usize];
            if step == 0 {
                bits &= u64::MAX << (start % SENDERS_PER_GROUP);
            }
            let bit = bits.trailing_zeros() as usize;
            (bits != 0).then_some(group * SENDERS_PER_GROUP + bit)
        })
    }

    /// Handles up to `allowance` messages of one queue and clears its bit if it ran empty.
    fn drain_lane(
        &mut self,
        from: usize,
        tier: Tier,
        allowance: usize,
        handle: &mut impl FnMut(usize, Tier, M),
    ) -> usize {
        let lane = self.lanes[from][tier as usize].get_or_insert_with(|| {
            let made = self.shared.handover(self.to, from, tier).take();
            made.expect("a set bit comes after the making of its queue")
        });
        for handled in 0..allowance {
            let Ok(message) = lane.pop() else {
                // A message pushed from here on comes with a bit set after this.
                let bit = 1 << (from % SENDERS_PER_GROUP);
                self.pending[from / SENDERS_PER_GROUP][tier as usize] &= !bit;
                return handled;
            };
            handle(from, tier, message);
        }
        allowance
    }
}
