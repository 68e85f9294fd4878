//! Lanes alone and between threads. Threads wait by spinning on the lanes or by sleeping in a
//! channel that stands for the ring; nothing waits for time.

use super::{Full, LaneLimits, LaneReceiver, LaneSender, Mesh, Tier};
use crate::rng::Rng;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc;

const LIMITS: LaneLimits = LaneLimits {
    control_messages_max: 4,
    reply_messages_max: 64,
    request_messages_max: 64,
    bulk_messages_max: 16,
};

/// One sender that only sends and one receiver.
fn pair<M: Send>(limits: LaneLimits) -> (LaneSender<M>, LaneReceiver<M>) {
    let mut mesh = Mesh::new(1, 1, limits);
    (mesh.senders.remove(1), mesh.receivers.remove(0))
}

/// Fills each tier with so many messages and checks how many of each one batch takes.
fn check(sent: [usize; 4], batch_max: usize, taken: [usize; 4]) {
    let limits = LaneLimits {
        control_messages_max: 1024,
        reply_messages_max: 1024,
        request_messages_max: 1024,
        bulk_messages_max: 1024,
    };
    let (mut sender, mut receiver) = pair(limits);
    for (tier, count) in super::ALL_TIERS.into_iter().zip(sent) {
        for message in 0..count {
            sender.send(0, tier, message).unwrap();
        }
    }
    sender.flush(|_| ());
    let mut counts = [0; 4];
    let handled = receiver.drain(batch_max, |_, tier, _| counts[tier as usize] += 1);
    assert_eq!(counts, taken);
    assert_eq!(handled, taken.iter().sum::<usize>());
}

#[test]
fn tiers_are_served_in_order_and_none_starves() {
    check([3, 3, 3, 3], 256, [3, 3, 3, 3]);
    check([1000, 1000, 1000, 1000], 256, [208, 16, 16, 16]);
    check([0, 1000, 0, 1000], 256, [0, 240, 0, 16]);
    check([0, 0, 1000, 1], 256, [0, 0, 255, 1]);
    check([1000, 0, 0, 1], 256, [255, 0, 0, 1]);
    check([9, 9, 9, 9], 4, [1, 1, 1, 1]);
    check([0, 0, 0, 9], 4, [0, 0, 0, 4]);
}

#[test]
fn a_full_lane_gives_the_message_back() {
    let (mut sender, mut receiver) = pair(LIMITS);
    for message in 0..4 {
        sender.send(0, Tier::Control, message).unwrap();
    }
    let refusal = sender.send(0, Tier::Control, 4).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the Control lane to 0 already holds its limit of 4 messages"
    );
    assert!(matches!(refusal, Full { message: 4, .. }));
    sender.send(0, Tier::Reply, 5).unwrap();
    sender.flush(|_| ());
    let mut seen = Vec::new();
    assert_eq!(receiver.drain(256, |_, _, message| seen.push(message)), 5);
    assert_eq!(seen, [0, 1, 2, 3, 5]);
    sender.send(0, Tier::Control, 6).unwrap();
}

#[test]
fn a_sleeper_is_woken_once_and_only_after_a_flush() {
    let mut mesh: Mesh<u32> = Mesh::new(2, 0, LIMITS);
    let mut receiver = mesh.receivers.remove(0);
    let mut wakes = Vec::new();
    mesh.senders[1].send(0, Tier::Request, 1).unwrap();
    mesh.senders[1].flush(|to| wakes.push(to));
    assert!(wakes.is_empty());
    // There is a message: the receiver must not sleep, and no sender must wake it.
    assert!(!receiver.prepare_to_sleep());
    assert_eq!(receiver.drain(256, |_, _, _| ()), 1);
    assert!(receiver.prepare_to_sleep());
    mesh.senders[1].send(0, Tier::Request, 2).unwrap();
    mesh.senders[1].send(0, Tier::Bulk, 3).unwrap();
    mesh.senders[1].flush(|to| wakes.push(to));
    mesh.senders[0].send(0, Tier::Request, 4).unwrap();
    mesh.senders[0].flush(|to| wakes.push(to));
    assert_eq!(wakes, [0]);
    receiver.awake();
    assert_eq!(receiver.drain(256, |_, _, _| ()), 3);
    assert_eq!(receiver.drain(256, |_, _, _| ()), 0);
}

#[test]
fn senders_of_one_tier_take_turns() {
    const SENDERS: usize = 150;
    let mut mesh: Mesh<()> = Mesh::new(1, SENDERS - 1, LIMITS);
    let mut receiver = mesh.receivers.remove(0);
    for sender in &mut mesh.senders {
        for _ in 0..8 {
            sender.send(0, Tier::Request, ()).unwrap();
        }
        sender.flush(|_| ());
    }
    let mut served = [0; SENDERS];
    for turn in 1.. {
        let handled = receiver.drain(32, |from, _, ()| served[from] += 1);
        let most = served.iter().max().unwrap();
        let least = served.iter().min().unwrap();
        assert!(
            most - least <= 1 + turn / 5,
            "turn {turn}: {least} to {most}"
        );
        if handled == 0 {
            break;
        }
    }
    assert_eq!(served, [8; SENDERS]);
}

#[test]
fn a_queue_takes_memory_with_its_first_message() {
    let (mut sender, _receiver) = pair(LIMITS);
    let made = |sender: &LaneSender<u8>| sender.lanes.iter().flatten().flatten().count();
    assert_eq!(made(&sender), 0);
    sender.send(0, Tier::Bulk, 1).unwrap();
    assert_eq!(made(&sender), 1);
}

#[test]
fn flushed_messages_arrive_after_their_sender_is_gone() {
    let (mut sender, mut receiver) = pair(LIMITS);
    sender.send(0, Tier::Request, 1).unwrap();
    sender.flush(|_| ());
    drop(sender);
    let mut seen = Vec::new();
    assert_eq!(receiver.drain(256, |_, _, message| seen.push(message)), 1);
    assert_eq!(seen, [1]);
    assert!(receiver.prepare_to_sleep());
}

#[test]
fn a_lane_without_a_receiver_fills_and_is_then_refused() {
    let (mut sender, receiver) = pair(LIMITS);
    drop(receiver);
    let sent = (0..9).filter(|message| sender.send(0, Tier::Control, *message).is_ok());
    assert_eq!(sent.count(), LIMITS.control_messages_max);
    sender.flush(|_| panic!("nobody sleeps"));
}

/// Leaves messages in lanes in every state and drops both ends, the sender's first or last.
#[track_caller]
fn check_messages_left_behind(is_sender_first: bool) {
    let token = Arc::new(());
    let (mut sender, mut receiver) = pair(LIMITS);
    for tier in [Tier::Control, Tier::Bulk] {
        for _ in 0..3 {
            sender.send(0, tier, Arc::clone(&token)).unwrap();
        }
    }
    sender.flush(|_| ());
    // Two messages stay flushed in lanes whose end the receiver has taken. Two follow that are not
    // flushed, one of them in a lane whose end is still in its handover.
    assert_eq!(receiver.drain(4, |_, _, _| ()), 4);
    assert_eq!(Arc::strong_count(&token), 3);
    sender.send(0, Tier::Bulk, Arc::clone(&token)).unwrap();
    sender.send(0, Tier::Request, Arc::clone(&token)).unwrap();
    if is_sender_first {
        drop(sender);
        drop(receiver);
    } else {
        drop(receiver);
        drop(sender);
    }
    assert_eq!(Arc::strong_count(&token), 1);
}

#[test]
fn messages_left_behind_are_dropped() {
    check_messages_left_behind(true);
    check_messages_left_behind(false);
}

#[test]
fn agrees_with_plain_queues_under_random_use() {
    let mut rng = Rng::printed();
    let mut mesh: Mesh<u64> = Mesh::new(3, 2, LIMITS);
    let mut model: Vec<VecDeque<u64>> = vec![VecDeque::new(); 3 * 5 * 4];
    let place = |to: usize, from: usize, tier: Tier| (to * 5 + from) * 4 + tier as usize;
    for message in 0..50_000 {
        let (to, from) = (rng.below(3) as usize, rng.below(5) as usize);
        let tier = super::ALL_TIERS[rng.below(4) as usize];
        match rng.below(12) {
            0 => {
                let receiver = &mut mesh.receivers[to];
                receiver.drain(4 + rng.below(60) as usize, |from, tier, message| {
                    assert_eq!(model[place(to, from, tier)].pop_front(), Some(message));
                });
            }
            1 | 2 => mesh.senders[from].flush(|_| panic!("nobody sleeps")),
            _ => {
                let queue = &mut model[place(to, from, tier)];
                let has_room = queue.len() < LIMITS.of(tier);
                assert_eq!(mesh.senders[from].send(to, tier, message).is_ok(), has_room);
                if has_room {
                    queue.push_back(message);
                }
            }
        }
    }
    for sender in &mut mesh.senders {
        sender.flush(|_| ());
    }
    for (to, receiver) in mesh.receivers.iter_mut().enumerate() {
        while receiver.drain(256, |from, tier, message| {
            assert_eq!(model[place(to, from, tier)].pop_front(), Some(message));
        }) > 0
        {}
    }
    assert!(model.iter().all(VecDeque::is_empty));
}

/// Sends `messages` numbered messages to each receiver over the lanes of `sender`, in batches.
fn send_numbered(
    mut sender: LaneSender<u32>,
    receivers: usize,
    messages: u32,
    wakers: &[mpsc::Sender<()>],
) {
    let wake = |to: usize| wakers[to].send(()).unwrap();
    for number in 0..messages {
        for to in 0..receivers {
            let tier = super::ALL_TIERS[number as usize % 4];
            let mut message = number;
            while let Err(full) = sender.send(to, tier, message) {
                message = full.message;
                sender.flush(wake);
                std::thread::yield_now();
            }
        }
        if number % 7 == 0 {
            sender.flush(wake);
        }
    }
    sender.flush(wake);
}

/// Receives until all numbers of all senders have come, sleeping whenever there is nothing.
fn receive_numbered(
    mut receiver: LaneReceiver<u32>,
    senders: std::ops::Range<usize>,
    messages: u32,
    wakes: &mpsc::Receiver<()>,
) {
    let mut expected = vec![[0, 1, 2, 3]; senders.end];
    let mut left = senders.len() * messages as usize;
    while left > 0 {
        left -= receiver.drain(64, |from, tier, number| {
            let next = &mut expected[from][tier as usize];
            assert_eq!(number, *next, "from {from} in {tier:?}");
            *next += 4;
        });
        if left > 0 && receiver.prepare_to_sleep() {
            // A lost wake-up or a lost message would leave this thread here for ever.
            wakes.recv().unwrap();
            receiver.awake();
        }
    }
}

#[test]
fn nothing_is_lost_or_reordered_between_threads() {
    const RECEIVERS: usize = 2;
    const SENDERS: usize = 4;
    const MESSAGES: u32 = 20_000;
    let mesh: Mesh<u32> = Mesh::new(RECEIVERS, SENDERS, LIMITS);
    let (wakers, sleepers): (Vec<_>, Vec<_>) = (0..RECEIVERS).map(|_| mpsc::channel()).unzip();
    std::thread::scope(|scope| {
        for sender in mesh.senders.into_iter().skip(RECEIVERS) {
            let wakers = wakers.clone();
            scope.spawn(move || send_numbered(sender, RECEIVERS, MESSAGES, &wakers));
        }
        for (receiver, wakes) in mesh.receivers.into_iter().zip(sleepers) {
            scope.spawn(move || {
                // Senders are numbered after the receivers, which send nothing here.
                let senders = RECEIVERS..RECEIVERS + SENDERS;
                receive_numbered(receiver, senders, MESSAGES, &wakes);
            });
        }
    });
}
