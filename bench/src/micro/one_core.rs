//! Benches of `corelane_io`: memory, slots and deadlines of one core.
//!
//! Tables hold 20,000 connections, a full descriptor table of a shard, in an order no prefetcher
//! guesses. Not in the numbers:
//! - `chunk/*`: the first use of a chunk, which allocates it, and bytes being written to it. A
//!   chunk taken again at once is warm in the cache; `_64_taken` keeps 64 out at a time.
//! - `wheel/postpone`: the later visit that moves a postponed node to its right list.
//! - `wheel/schedule_and_expire`: lists that hold others' nodes. One operation is a deadline set
//!   and fired, and a share of the visits of lists between.
//! - `slots/*`: a table that fell out of the cache, and a real connection's value: it is 64 bytes.
//!   `slots/replace` is a removal and an insertion.

use super::bench::Bench;
use super::bencher::Bencher;
use super::checksum::Checksum;
use super::corpus::shuffled;
use corelane_io::chunk::{Chunk, ChunkPool, LARGE_CHUNK_BYTES, SMALL_CHUNK_BYTES};
use corelane_io::slots::{SlotKey, Slots};
use corelane_io::wheel::Wheel;
use std::hint::black_box;

/// Connections in the tables.
const CONNECTIONS: u32 = 20_000;
/// Lists of the wheel; with [`TICK_MS`] a rotation of 65 seconds.
const TICKS: u32 = 1024;
const TICK_MS: u32 = 64;
/// How far ahead an idle deadline lies, within one rotation.
const IDLE_MS: u64 = 60_000;
/// Ticks over which the deadlines that expire are spread.
const EXPIRY_TICKS: u64 = 64;
/// Chunks out of the pool at once, in the bench that takes many.
const TAKEN_CHUNKS: u32 = 64;

type Connection = [u64; 8];

/// The benches of this module.
pub(super) const BENCHES: &[Bench] = &[
    Bench {
        name: "chunk/small",
        operations: 4_096,
        cores: 1,
        reference: |operations| Checksum::repeated(SMALL_CHUNK_BYTES as u64, operations),
        perform: |bencher| chunk_each(bencher, 300),
    },
    Bench {
        name: "chunk/large",
        operations: 4_096,
        cores: 1,
        reference: |operations| Checksum::repeated(LARGE_CHUNK_BYTES as u64, operations),
        perform: |bencher| chunk_each(bencher, SMALL_CHUNK_BYTES + 1),
    },
    Bench {
        name: "chunk/small_64_taken",
        operations: 4_096,
        cores: 1,
        reference: |operations| Checksum::repeated(SMALL_CHUNK_BYTES as u64, operations),
        perform: chunk_many,
    },
    Bench {
        name: "wheel/postpone",
        operations: CONNECTIONS,
        cores: 1,
        reference: |operations| Checksum::repeated(u64::from(CONNECTIONS), operations),
        perform: wheel_postpone,
    },
    Bench {
        name: "wheel/schedule_and_cancel",
        operations: 4_096,
        cores: 1,
        reference: |operations| Checksum::repeated(1, operations),
        perform: wheel_cancel,
    },
    Bench {
        name: "wheel/schedule_and_expire",
        operations: 4_096,
        cores: 1,
        reference: expiry_reference,
        perform: wheel_expire,
    },
    Bench {
        name: "slots/get",
        operations: CONNECTIONS,
        cores: 1,
        reference: slots_reference,
        perform: slots_find,
    },
    Bench {
        name: "slots/replace",
        operations: 4_096,
        cores: 1,
        reference: slots_reference,
        perform: slots_replace,
    },
];

fn chunk_each(bencher: &mut Bencher, min_bytes: usize) {
    let mut pool = ChunkPool::default();
    bencher.each(|| {
        let chunk = black_box(pool.take(black_box(min_bytes)));
        let capacity_bytes = chunk.capacity() as u64;
        pool.give(chunk);
        capacity_bytes
    });
}

fn chunk_many(bencher: &mut Bencher) {
    let mut pool = ChunkPool::default();
    let mut taken: Vec<Chunk> = Vec::with_capacity(TAKEN_CHUNKS as usize);
    bencher.batches(|operations, checksum| {
        let mut left = operations;
        while left > 0 {
            let round = left.min(TAKEN_CHUNKS);
            taken.extend((0..round).map(|_| pool.take(black_box(300))));
            for chunk in taken.drain(..) {
                checksum.word(chunk.capacity() as u64);
                pool.give(chunk);
            }
            left -= round;
        }
    });
}

fn wheel_postpone(bencher: &mut Bencher) {
    let mut wheel = Wheel::new(CONNECTIONS, TICKS, TICK_MS);
    let order = shuffled(CONNECTIONS);
    let mut now_ms = 0;
    for index in &order {
        wheel.schedule(*index, now_ms + IDLE_MS);
    }
    bencher.batches(|operations, checksum| {
        now_ms += 1;
        for index in order.iter().take(operations as usize) {
            wheel.schedule(*index, now_ms + IDLE_MS);
            checksum.word(wheel.len() as u64);
        }
    });
}

fn wheel_cancel(bencher: &mut Bencher) {
    let mut wheel = Wheel::new(CONNECTIONS, TICKS, TICK_MS);
    let order = shuffled(CONNECTIONS);
    bencher.batches(|operations, checksum| {
        for index in order.iter().take(operations as usize) {
            wheel.schedule(*index, IDLE_MS + u64::from(*index));
            checksum.word(wheel.len() as u64);
            wheel.cancel(*index);
        }
    });
}

fn wheel_expire(bencher: &mut Bencher) {
    let mut wheel = Wheel::new(CONNECTIONS, TICKS, TICK_MS);
    let order = shuffled(CONNECTIONS);
    let tick_ms = u64::from(TICK_MS);
    let mut now_ms = 0;
    bencher.batches(|operations, checksum| {
        for (number, index) in (0..u64::from(operations)).zip(&order) {
            wheel.schedule(*index, now_ms + tick_ms * (1 + number % EXPIRY_TICKS));
        }
        now_ms += tick_ms * EXPIRY_TICKS;
        // Every list and every node is visited once, so this is budget enough for one call.
        let budget = 2 * (operations as usize + EXPIRY_TICKS as usize);
        let caught_up = wheel.advance(now_ms, budget, |index| checksum.word(u64::from(index)));
        checksum.word(u64::from(caught_up));
    });
}

/// Deadlines fire by tick, and in the order in which they were set within a tick.
fn expiry_reference(operations: u32) -> Checksum {
    let order = shuffled(CONNECTIONS);
    let mut expected: Vec<(u64, u32)> = (0..u64::from(operations))
        .map(|number| number % EXPIRY_TICKS)
        .zip(order)
        .collect();
    expected.sort_by_key(|(tick, _)| *tick);
    let mut checksum = Checksum::of(expected.iter().map(|(_, index)| u64::from(*index)));
    checksum.word(1);
    checksum
}

fn filled() -> (Slots<Connection>, Vec<SlotKey>) {
    let mut slots = Slots::new(CONNECTIONS);
    for index in 0..CONNECTIONS {
        slots.insert_at(index, [u64::from(index); 8]);
    }
    let key_of = |index| slots.key_of(index).expect("every slot was just filled");
    let keys = shuffled(CONNECTIONS).into_iter().map(key_of).collect();
    (slots, keys)
}

fn slots_find(bencher: &mut Bencher) {
    let (slots, keys) = filled();
    bencher.batches(|operations, checksum| {
        for key in keys.iter().take(operations as usize) {
            checksum.word(slots.get(*key).map_or(u64::MAX, |value| value[0]));
        }
    });
}

fn slots_replace(bencher: &mut Bencher) {
    let (mut slots, mut keys) = filled();
    bencher.batches(|operations, checksum| {
        for key in keys.iter_mut().take(operations as usize) {
            let value = slots.remove(*key).unwrap_or_default();
            checksum.word(value[0]);
            *key = slots.insert_at(key.index, value);
        }
    });
}

fn slots_reference(operations: u32) -> Checksum {
    let order = shuffled(CONNECTIONS).into_iter();
    Checksum::of(order.take(operations as usize).map(u64::from))
}
