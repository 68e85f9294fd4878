//! Benches of the engine's lanes, W-Q: messages of 64 bytes.
//!
//! What each number does not show:
//! - `lanes/local_*`: a lane's cache lines moving between cores. One operation is a message sent,
//!   flushed with its batch, and handled. `lanes/queue_alone_256` is the bare queue under it:
//!   the difference is what tiers, bits and refusal cost; `_of_words` has messages of 8 bytes.
//! - `lanes/one_way_*`: how long one message is under way. The receiver orders a batch and both
//!   spin; the two cores work at once, so the slower of them sets the figure. `_deep` has lanes
//!   of 4,096 messages instead of the default 256, which its sender fills and then waits at.
//! - `lanes/round_trip`: a partner that sleeps, which costs a system call and tens of
//!   microseconds more; and single trips: a sample is the mean of a batch of them.
//!
//! No receiver announces sleep, so no wake is ever asked for. With one core, or with partners that
//! are not pinned, the figures of two cores mean nothing. Allocations are of both threads.

use super::answer::Answer;
use super::{Bench, Stage};
use core_affinity::CoreId;
use corelane::lanes::{BATCH_MAX, LaneLimits, LaneReceiver, LaneSender, Mesh, Tier};
use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;
use std::hint;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

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
    bench("lanes/queue_alone_256", 2_048, 1, |stage| {
        queue_alone(stage, Parcel::numbered, |parcel| parcel.0[0]);
    }),
    bench("lanes/queue_alone_256_of_words", 2_048, 1, |stage| {
        queue_alone(stage, |number| number, |number| number);
    }),
    bench("lanes/local_256", 2_048, 1, |stage| local(stage, BATCH_MAX)),
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
    bench("lanes/round_trip", 32, 2, round_trip),
];

fn queue_alone<M>(stage: &mut Stage, message: fn(u64) -> M, number_of: fn(M) -> u64) {
    let queue = ArrayQueue::new(BATCH_MAX);
    stage.batches(|operations, answer| {
        for first in (0..u64::from(operations)).step_by(BATCH_MAX) {
            for number in first..u64::from(operations).min(first + BATCH_MAX as u64) {
                let pushed = queue.push(message(number));
                assert!(pushed.is_ok(), "a batch is what the queue holds");
            }
            while let Some(message) = queue.pop() {
                answer.word(number_of(message));
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
        let _end = EndOnDrop(&orders.ended);
        scope.spawn(|| {
            let _end = EndOnDrop(&orders.ended);
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

fn round_trip(stage: &mut Stage) {
    let mut mesh: Mesh<Parcel> = Mesh::new(2, 0, LaneLimits::default());
    let (mut far_sender, mut far_receiver) = (mesh.senders.remove(1), mesh.receivers.remove(1));
    let (mut sender, mut receiver) = (mesh.senders.remove(0), mesh.receivers.remove(0));
    let partner_core = stage.partner_core();
    let ended = CachePadded::new(AtomicBool::new(false));
    thread::scope(|scope| {
        let _end = EndOnDrop(&ended);
        scope.spawn(|| {
            let _end = EndOnDrop(&ended);
            pin(partner_core);
            send_back(&ended, &mut far_sender, &mut far_receiver);
        });
        stage.batches(|operations, answer| {
            let mut patience = Patience::new(&ended);
            for number in 0..operations {
                let parcel = Parcel::numbered(u64::from(number));
                let sent = sender.send(1, Tier::Request, parcel);
                sent.expect("one message is under way at a time");
                sender.flush(|_| {});
                while receiver.drain(BATCH_MAX, |_, _, parcel| answer.word(parcel.0[0])) == 0 {
                    if !patience.wait() {
                        return;
                    }
                }
            }
        });
    });
}

fn send_back(
    ended: &AtomicBool,
    sender: &mut LaneSender<Parcel>,
    receiver: &mut LaneReceiver<Parcel>,
) {
    let mut patience = Patience::new(ended);
    loop {
        let handled = receiver.drain(BATCH_MAX, |from, _, parcel| {
            let sent = sender.send(from, TIER, parcel);
            sent.expect("one message is under way at a time");
        });
        if handled > 0 {
            sender.flush(|_| {});
        } else if !patience.wait() {
            return;
        }
    }
}

fn pin(core: Option<CoreId>) {
    if let Some(core) = core {
        core_affinity::set_for_current(core);
    }
}

/// Spins, and gives the core away now and then.
struct Patience<'a> {
    ended: &'a AtomicBool,
    spins: u32,
}

impl Patience<'_> {
    fn new(ended: &AtomicBool) -> Patience<'_> {
        Patience { ended, spins: 0 }
    }

    /// Waits a little; false if the other side has left and nothing will come.
    fn wait(&mut self) -> bool {
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

/// Tells the other side that this one has left, also by a panic: otherwise it would spin for ever.
struct EndOnDrop<'a>(&'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
