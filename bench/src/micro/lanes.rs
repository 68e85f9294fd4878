//! Benches of the engine's lanes, W-Q: messages of 64 bytes.
//!
//! What each number does not show:
//! - `lanes/local_*`: a lane's cache lines moving between cores. One operation is a message sent,
//!   flushed with its batch, and handled. `lanes/ring_alone_256` is the bare ring under it: the
//!   difference is what tiers, bits and refusal cost. `lanes/array_queue_alone_256` is what a
//!   queue for many threads at either end would cost instead.
//! - `lanes/one_way_*`: how long one message is under way. The receiver orders a batch and both
//!   spin; the two cores work at once, so the slower of them sets the figure. `_deep` has lanes
//!   of 4,096 messages instead of the default 256, which its sender fills and then waits at.
//! - `lanes/round_trip_*`: single trips, since a sample is the mean of a batch of them. `_parked`
//!   lets both sides announce sleep and sleep in the scheduler, which stands for the ring a shard
//!   sleeps in: its figure is two wake-ups of a core, and says little about lanes.
//!
//! Where both sides spin, no receiver announces sleep, so no wake is ever asked for. With one
//! core, or with partners that are not pinned, the figures of two cores mean nothing. Allocations
//! are of both threads.

use super::answer::Answer;
use super::bench::Bench;
use super::stage::Stage;
use core_affinity::CoreId;
use corelane_io::lanes::{BATCH_MAX, LaneLimits, LaneReceiver, LaneSender, Mesh, Tier};
use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;
use rtrb::RingBuffer;
use std::hint;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};

/// Messages of a deep lane.
const DEEP_MESSAGES: usize = 4_096;
/// Fruitless looks before a waiting thread lets another run, which matters only if they share a
/// core.
const SPINS_MAX: u32 = 10_000;

const TIER: Tier = Tier::Reply;

/// As large as the messages the lanes are sized for.
#[derive(Clone, Copy, Debug)]
struct Parcel([u64; 8]);

impl Parcel {
    fn numbered(number: u64) -> Parcel {
        Parcel([number; 8])
    }
}

const fn bench(
    name: &'static str,
    operations: u32,
    cores: usize,
    perform: fn(&mut Stage),
) -> Bench {
    Bench {
        name,
        operations,
        cores,
        reference: |operations| Answer::of((0..operations).map(u64::from)),
        perform,
    }
}

/// The benches of this module.
pub(super) const BENCHES: &[Bench] = &[
    bench("lanes/array_queue_alone_256", 2_048, 1, array_queue_alone),
    bench("lanes/ring_alone_256", 4_096, 1, ring_alone),
    bench("lanes/local_256", 4_096, 1, |stage| local(stage, BATCH_MAX)),
    bench("lanes/local_16", 4_096, 1, |stage| local(stage, 16)),
    bench("lanes/local_1", 1_024, 1, |stage| local(stage, 1)),
    bench("lanes/one_way_256", 8_192, 2, |stage| {
        one_way(stage, LaneLimits::default());
    }),
    bench("lanes/one_way_256_deep", 8_192, 2, |stage| {
        let reply_messages_max = DEEP_MESSAGES;
        one_way(
            stage,
            LaneLimits {
                reply_messages_max,
                ..LaneLimits::default()
            },
        );
    }),
    bench("lanes/round_trip_spinning", 32, 2, |stage| {
        round_trip(stage, false);
    }),
    bench("lanes/round_trip_parked", 4, 2, |stage| {
        round_trip(stage, true);
    }),
];

fn ring_alone(stage: &mut Stage) {
    let (mut sending, mut receiving) = RingBuffer::new(BATCH_MAX);
    stage.batches(|operations, answer| {
        for first in (0..u64::from(operations)).step_by(BATCH_MAX) {
            for number in first..u64::from(operations).min(first + BATCH_MAX as u64) {
                let pushed = sending.push(Parcel::numbered(number));
                assert!(pushed.is_ok(), "a batch is what the ring holds");
            }
            while let Ok(parcel) = receiving.pop() {
                answer.word(parcel.0[0]);
            }
        }
    });
}

/// What lanes were made of if many threads were at either end.
fn array_queue_alone(stage: &mut Stage) {
    let queue = ArrayQueue::new(BATCH_MAX);
    stage.batches(|operations, answer| {
        for first in (0..u64::from(operations)).step_by(BATCH_MAX) {
            for number in first..u64::from(operations).min(first + BATCH_MAX as u64) {
                let pushed = queue.push(Parcel::numbered(number));
                assert!(pushed.is_ok(), "a batch is what the queue holds");
            }
            while let Some(parcel) = queue.pop() {
                answer.word(parcel.0[0]);
            }
        }
    });
}

fn local(stage: &mut Stage, batch: usize) {
    let mut mesh = Mesh::new(1, 0, LaneLimits::default());
    let (mut sender, mut receiver) = (mesh.senders.remove(0), mesh.receivers.remove(0));
    stage.batches(|operations, answer| {
        for first in (0..u64::from(operations)).step_by(batch) {
            for number in first..u64::from(operations).min(first + batch as u64) {
                let sent = sender.send(0, TIER, Parcel::numbered(number));
                sent.expect("a batch is no more than a lane holds");
            }
            sender.flush(|_| {});
            receiver.drain(BATCH_MAX, |_, _, parcel| answer.word(parcel.0[0]));
        }
    });
}

fn one_way(stage: &mut Stage, limits: LaneLimits) {
    let mut mesh = Mesh::new(1, 1, limits);
    let (mut sender, mut receiver) = (mesh.senders.remove(1), mesh.receivers.remove(0));
    let partner_core = stage.partner_core();
    let orders = Orders::default();
    thread::scope(|scope| {
        let _end = EndOnDrop::new(&orders.ended);
        scope.spawn(|| {
            let _end = EndOnDrop::new(&orders.ended);
            pin(partner_core);
            fill(&orders, &mut sender);
        });
        stage.batches(|operations, answer| {
            let mut missing = operations as usize;
            orders
                .messages
                .fetch_add(u64::from(operations), Ordering::Release);
            let mut patience = Patience::new(&orders.ended);
            while missing > 0 {
                let handled = receiver.drain(BATCH_MAX, |_, _, parcel| answer.word(parcel.0[0]));
                missing -= handled;
                if handled == 0 && !patience.wait() {
                    return;
                }
            }
        });
    });
}

/// What the receiver wants of the sender.
#[derive(Debug, Default)]
struct Orders {
    /// Messages ordered since the start.
    messages: CachePadded<AtomicU64>,
    /// Whether one of the threads has left.
    ended: CachePadded<AtomicBool>,
}

/// Sends what is ordered, numbered from 0 in each order, in batches of [`BATCH_MAX`].
fn fill(orders: &Orders, sender: &mut LaneSender<Parcel>) {
    let mut sent = 0;
    let mut patience = Patience::new(&orders.ended);
    loop {
        let ordered = orders.messages.load(Ordering::Acquire) - sent;
        for number in 0..ordered {
            let mut parcel = Parcel::numbered(number);
            while let Err(full) = sender.send(0, TIER, parcel) {
                parcel = full.message;
                if !patience.wait() {
                    return;
                }
            }
            let is_last = number + 1 == ordered;
            if is_last || (number + 1) % BATCH_MAX as u64 == 0 {
                sender.flush(|_| {});
            }
        }
        sent += ordered;
        if ordered == 0 && !patience.wait() {
            return;
        }
    }
}

fn round_trip(stage: &mut Stage, is_parked: bool) {
    let mut mesh: Mesh<Parcel> = Mesh::new(2, 0, LaneLimits::default());
    let (mut far_sender, mut far_receiver) = (mesh.senders.remove(1), mesh.receivers.remove(1));
    let (mut sender, mut receiver) = (mesh.senders.remove(0), mesh.receivers.remove(0));
    let (partner_core, here) = (stage.partner_core(), thread::current());
    let ended = CachePadded::new(AtomicBool::new(false));
    thread::scope(|scope| {
        let partner = scope.spawn(|| {
            let _end = EndOnDrop::waking(&ended, &here);
            pin(partner_core);
            let mut waiting = Waiting::new(is_parked, &ended);
            send_back(&mut waiting, &here, &mut far_sender, &mut far_receiver);
        });
        let _end = EndOnDrop::waking(&ended, partner.thread());
        stage.batches(|operations, answer| {
            let mut waiting = Waiting::new(is_parked, &ended);
            for number in 0..operations {
                let parcel = Parcel::numbered(u64::from(number));
                let sent = sender.send(1, Tier::Request, parcel);
                sent.expect("one message is under way at a time");
                sender.flush(|_| partner.thread().unpark());
                while receiver.drain(BATCH_MAX, |_, _, parcel| answer.word(parcel.0[0])) == 0 {
                    if !waiting.wait(&mut receiver) {
                        return;
                    }
                }
            }
        });
    });
}

fn send_back(
    waiting: &mut Waiting<'_>,
    other: &Thread,
    sender: &mut LaneSender<Parcel>,
    receiver: &mut LaneReceiver<Parcel>,
) {
    loop {
        let handled = receiver.drain(BATCH_MAX, |from, _, parcel| {
            let sent = sender.send(from, TIER, parcel);
            sent.expect("one message is under way at a time");
        });
        if handled > 0 {
            sender.flush(|_| other.unpark());
        } else if !waiting.wait(receiver) {
            return;
        }
    }
}

/// How a thread waits for the other side.
enum Waiting<'a> {
    Spinning(Patience<'a>),
    Parked { ended: &'a AtomicBool },
}

impl Waiting<'_> {
    fn new(is_parked: bool, ended: &AtomicBool) -> Waiting<'_> {
        if is_parked {
            Waiting::Parked { ended }
        } else {
            Waiting::Spinning(Patience::new(ended))
        }
    }

    /// Waits a little or until it is woken; false if the other side has left.
    fn wait(&mut self, receiver: &mut LaneReceiver<Parcel>) -> bool {
        match self {
            Waiting::Spinning(patience) => patience.wait(),
            Waiting::Parked { ended } => {
                if receiver.prepare_to_sleep() {
                    thread::park();
                    receiver.awake();
                }
                !ended.load(Ordering::Relaxed)
            }
        }
    }
}

pub(super) fn pin(core: Option<CoreId>) {
    if let Some(core) = core {
        core_affinity::set_for_current(core);
    }
}

/// Spins, and gives the core away now and then.
pub(super) struct Patience<'a> {
    ended: &'a AtomicBool,
    spins: u32,
}

impl Patience<'_> {
    pub(super) fn new(ended: &AtomicBool) -> Patience<'_> {
        Patience { ended, spins: 0 }
    }

    /// Waits a little; false if the other side has left and nothing will come.
    pub(super) fn wait(&mut self) -> bool {
        self.spins += 1;
        if self.spins == SPINS_MAX {
            self.spins = 0;
            thread::yield_now();
        } else {
            hint::spin_loop();
        }
        !self.ended.load(Ordering::Relaxed)
    }
}

/// Tells the other side that this one has left, also by a panic: otherwise it would wait for ever.
pub(super) struct EndOnDrop<'a> {
    ended: &'a AtomicBool,
    sleeper: Option<&'a Thread>,
}

impl<'a> EndOnDrop<'a> {
    pub(super) fn new(ended: &'a AtomicBool) -> EndOnDrop<'a> {
        let sleeper = None;
        EndOnDrop { ended, sleeper }
    }

    fn waking(ended: &'a AtomicBool, sleeper: &'a Thread) -> EndOnDrop<'a> {
        let sleeper = Some(sleeper);
        EndOnDrop { ended, sleeper }
    }
}

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(sleeper) = self.sleeper {
            sleeper.unpark();
        }
    }
}
