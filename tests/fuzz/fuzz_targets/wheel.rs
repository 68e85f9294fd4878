//! The timing wheel against a map: no deadline fires early, gets lost, or fires twice.
#![no_main]

#[allow(
    dead_code,
    reason = "the wheel is looked at alone, apart from the engine"
)]
#[path = "../../../engine/io/src/wheel.rs"]
mod wheel;

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use wheel::Wheel;

const CAPACITY: u32 = 300;

/// A simple model of the wheel.
struct Model {
    wheel: Wheel,
    tick_ms: u64,
    now_ms: u64,
    /// For each index the deadline, and the tick by which a wheel that caught up has fired it.
    deadlines: BTreeMap<u32, (u64, u64)>,
}

fuzz_target!(|data: &[u8]| {
    let [ticks, tick_ms, operations @ ..] = data else {
        return;
    };
    let (ticks, tick_ms) = (u32::from(ticks % 64) + 1, u32::from(tick_ms % 16) + 1);
    let mut model = Model {
        wheel: Wheel::new(CAPACITY, ticks, tick_ms),
        tick_ms: tick_ms.into(),
        now_ms: 0,
        deadlines: BTreeMap::new(),
    };
    for operation in operations.chunks_exact(4) {
        let [kind, index, low, high] = *operation else {
            unreachable!("pieces are of four bytes");
        };
        let index = (u32::from(index) * 7) % CAPACITY;
        let amount = u64::from(u16::from_le_bytes([low, high]));
        match kind % 4 {
            0 | 1 => model.schedule(index, (model.now_ms + amount).saturating_sub(1000)),
            2 => model.cancel(index),
            _ => model.advance(amount % 4096, usize::from(kind / 4) + 1),
        }
        model.assert_consistent();
    }
});

impl Model {
    fn schedule(&mut self, index: u32, deadline_ms: u64) {
        self.wheel.schedule(index, deadline_ms);
        let due = deadline_ms
            .div_ceil(self.tick_ms)
            .max(self.now_ms / self.tick_ms + 1);
        self.deadlines.insert(index, (deadline_ms, due));
    }

    fn cancel(&mut self, index: u32) {
        self.wheel.cancel(index);
        self.deadlines.remove(&index);
    }

    fn advance(&mut self, by_ms: u64, budget: usize) {
        self.now_ms += by_ms;
        let (now_ms, deadlines) = (self.now_ms, &mut self.deadlines);
        let caught_up = self.wheel.advance(now_ms, budget, |index| {
            let (deadline_ms, _) = deadlines.remove(&index).expect("only deadlines expire");
            assert!(deadline_ms <= now_ms, "index {index} fired early");
        });
        let tick = now_ms / self.tick_ms;
        let late = deadlines.values().find(|(_, due)| *due <= tick);
        assert!(
            !caught_up || late.is_none(),
            "a deadline was forgotten: {late:?}"
        );
    }

    fn assert_consistent(&self) {
        assert_eq!(self.wheel.len(), self.deadlines.len());
        let hint = self.wheel.next_due_hint();
        assert_eq!(hint.is_none(), self.deadlines.is_empty());
        // A wheel that stopped before the present reports work at once.
        let due = self.deadlines.values().map(|(_, due)| due * self.tick_ms);
        let earliest = due.min().map(|due| due.max(self.now_ms));
        assert!(hint <= earliest, "the hint is too late");
    }
}
