//! Benches of the engine's lanes, W-Q: messages of 64 bytes.
//!
//! Not in the numbers:
//! - `lanes/local_*`: a lane's cache lines moving between cores. One operation is a message sent,
//!   flushed with its batch, and handled. `lanes/ring_alone_256` is the bare ring under it: the
//!   difference is the cost of tiers, bits and refusal.
//! - `lanes/one_way_*`: how long one message is under way. The receiver orders a batch and both
//!   spin; the two cores work at once, so the slower of them sets the figure. `_deep` has lanes
//!   of 4,096 messages instead of 256, which its sender fills and then waits at.
//! - `lanes/round_trip_*`: single trips, since a sample is the mean of a batch of them. `_parked`
//!   lets both sides announce sleep and sleep in the scheduler, which stands for the ring a shard
//!   sleeps in: its figure is two wake-ups of a core, and says little about lanes.
//!
//! Where both sides spin, no receiver announces sleep, so no wake is ever requested. With one
//! core, or with partners that are not pinned, the figures of two cores mean nothing. Allocations
//! are of both threads.

use super::bench::Bench;
use super::bencher::Bencher;
use super::checksum::Checksum;
use core_affinity::CoreId;
use corelane_io::lanes::{LaneLimits, LaneReceiver, LaneSender, Mesh, Tier};
use crossbeam::utils::CachePadded;
use rtrb::RingBuffer;
use std::hint;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};

/// Messages that a receiver takes at once, and that its sender flushes together.
pub(super) const BATCH_MAX: usize = 256;

/// Lanes of a size that the caches of a core hold.
pub(super) const LIMITS: LaneLimits = LaneLimits {
    control_messages_max: 32,
    reply_messages_max: 256,
    request_messages_max: 256,
    bulk_messages_max: 128,
};

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
    perform: fn(&mut Bencher),
) -> Bench {
    Bench {
        name,
        operations,
        cores,
        reference: |operations| Checksum::of((0..operations).map(u64::from)),
        perform,
    }
}

/// The benches of this module.
pub(super) const BENCHES: &[Bench] = &[
    bench("lanes/ring_alone_256", 4_096, 1, ring_alone),
    bench("lanes/local_256", 4_096, 1, |bencher| {
        local(bencher, BATCH_MAX)
    }),
    bench("lanes/local_16", 4_096, 1, |bencher| local(bencher, 16)),
    bench("lanes/local_1", 1_024, 1, |bencher| local(bencher, 1)),
    bench("lanes/one_way_256", 8_192, 2, |bencher| {
        one_way(bencher, LIMITS);
    }),
    bench("lanes/one_way_256_deep", 8_192, 2, |bencher| {
        let reply_messages_max = DEEP_MESSAGES;
        one_way(
            bencher,
            LaneLimits {
                reply_messages_max,
                ..LIMITS
            },
        );
    }),
    bench("lanes/round_trip_spinning", 32, 2, |bencher| {
        round_trip(bencher, false);
    }),
    bench("lanes/round_trip_parked", 4, 2, |bencher| {
        round_trip(bencher, true);
    }),
];

fn ring_alone(bencher: &mut Bencher) {
    let (mut sending, mut receiving) = RingBuffer::new(BATCH_MAX);
    bencher.batches(|operations, checksum| {
        for first in (0..u64::from(operations)).step_by(BATCH_MAX) {
            for number in first..u64::from(operations).min(first + BATCH_MAX as u64) {
                let pushed = sending.push(Parcel::numbered(number));
                assert!(pushed.is_ok(), "a batch is what the ring holds");
            }
            while let Ok(parcel) = receiving.pop() {
                checksum.word(parcel.0[0]);
            }
        }
    });
}

fn local(bencher: &mut Bencher, batch: usize) {
    let mut mesh = Mesh::new(1, 0, LIMITS);
    let (mut sender, mut receiver) = (mesh.senders.remove(0), mesh.receivers.remove(0));
    bencher.batches(|operations, checksum| {
        for first in (0..u64::from(operations)).step_by(batch) {
            for number in first..u64::from(operations).min(first + batch as u64) {
                let sent = sender.send(0, TIER, Parcel::numbered(number));
                sent.expect("a batch is no more than a lane holds");
            }
            sender.flush(|_| {});
            receiver.drain(BATCH_MAX, |_, _, parcel| checksum.word(parcel.0[0]));
        }
    });
}

fn one_way(bencher: &mut Bencher, limits: LaneLimits) {
    let mut mesh = Mesh::new(1, 1, limits);
    let (mut sender, mut receiver) = (mesh.senders.remove(1), mesh.receivers.remove(0));
    let partner_core = bencher.partner_core();
    let orders = Orders::default();
    thread::scope(|scope| {
        let _end = EndOnDrop::new(&orders.ended);
        scope.spawn(|| {
            let _end = EndOnDrop::new(&orders.ended);
            pin(partner_core);
            fill(&orders, &mut sender);
        });
        bencher.batches(|operations, checksum| {
            let mut missing = operations as usize;
            orders
                .messages
                .fetch_add(u64::from(operations), Ordering::Release);
            let mut spin_wait = SpinWait::new(&orders.ended);
            while missing > 0 {
                let handled = receiver.drain(BATCH_MAX, |_, _, parcel| checksum.word(parcel.0[0]));
                missing -= handled;
                if handled == 0 && !spin_wait.wait() {
                    return;
                }
            }
        });
    });
}

/// The receiver's orders to the sender.
#[derive(Debug, Default)]
struct Orders {
    /// Messages ordered since the start.
    messages: CachePadded<AtomicU64>,
    /// Whether one of the threads has left.
    ended: CachePadded<AtomicBool>,
}

/// Sends the ordered messages, numbered from 0 in each order, in batches of [`BATCH_MAX`].
fn fill(orders: &Orders, sender: &mut LaneSender<Parcel>) {
    let mut sent = 0;
    let mut spin_wait = SpinWait::new(&orders.ended);
    loop {
        let ordered = orders.messages.load(Ordering::Acquire) - sent;
        for number in 0..ordered {
            let mut parcel = Parcel::numbered(number);
            while let Err(full) = sender.send(0, TIER, parcel) {
                parcel = full.message;
                if !spin_wait.wait() {
                    return;
                }
            }
            let is_last = number + 1 == ordered;
            if is_last || (number + 1) % BATCH_MAX as u64 == 0 {
                sender.flush(|_| {});
            }
        }
        sent += ordered;
        if ordered == 0 && !spin_wait.wait() {
            return;
        }
    }
}

fn round_trip(bencher: &mut Bencher, is_parked: bool) {
    let mut mesh: Mesh<Parcel> = Mesh::new(2, 0, LIMITS);
    let (mut far_sender, mut far_receiver) = (mesh.senders.remove(1), mesh.receivers.remove(1));
    let (mut sender, mut receiver) = (mesh.senders.remove(0), mesh.receivers.remove(0));
    let (partner_core, here) = (bencher.partner_core(), thread::current());
    let ended = CachePadded::new(AtomicBool::new(false));
    thread::scope(|scope| {
        let partner = scope.spawn(|| {
            let _end = EndOnDrop::waking(&ended, &here);
            pin(partner_core);
            let mut waiting = Waiting::new(is_parked, &ended);
            send_back(&mut waiting, &here, &mut far_sender, &mut far_receiver);
        });
        let _end = EndOnDrop::waking(&ended, partner.thread());
        bencher.batches(|operations, checksum| {
            let mut waiting = Waiting::new(is_parked, &ended);
            for number in 0..operations {
                let parcel = Parcel::numbered(u64::from(number));
                let sent = sender.send(1, Tier::Request, parcel);
                sent.expect("one message is under way at a time");
                sender.flush(|_| partner.thread().unpark());
                while receiver.drain(BATCH_MAX, |_, _, parcel| checksum.word(parcel.0[0])) == 0 {
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
    Spinning(SpinWait<'a>),
    Parked { ended: &'a AtomicBool },
}

impl Waiting<'_> {
    fn new(is_parked: bool, ended: &AtomicBool) -> Waiting<'_> {
        if is_parked {
            Waiting::Parked { ended }
        } else {
            Waiting::Spinning(SpinWait::new(ended))
        }
    }

    /// Waits a little or until it is woken; false if the other side has left.
    fn wait(&mut self, receiver: &mut LaneReceiver<Parcel>) -> bool {
        match self {
            Waiting::Spinning(spin_wait) => spin_wait.wait(),
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

/// Spins, and yields the core from time to time.
pub(super) struct SpinWait<'a> {
    ended: &'a AtomicBool,
    spins: u32,
}

impl SpinWait<'_> {
    pub(super) fn new(ended: &AtomicBool) -> SpinWait<'_> {
        SpinWait { ended, spins: 0 }
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

/// Marks this side as ended when it is dropped, also by a panic, so that the other side stops.
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
