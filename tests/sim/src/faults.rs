//! The faults of a run: a list made from the seed before the run starts, so that a shorter list of
//! the same faults replays the rest of them.

use crate::rng::Rng;

/// One kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The process of a node is killed and starts again at the end; its sockets are closed.
    Crash(usize),
    /// The host of a node is lost: nothing closes its sockets for a while.
    HostLost(usize),
    /// The process of a node is stopped and goes on.
    Pause(usize),
    /// The process of a node is stopped, and another host starts the node meanwhile.
    Twin(usize),
    /// A node is stopped for half of the time.
    Slow(usize),
    /// The wall clock of a node differs by that many seconds.
    Clock(usize, i64),
    /// A node is cut from bus and store.
    Cut(usize),
    /// Messages of a node do not reach the bus and the store.
    CutOut(usize),
    /// Messages for a node are lost.
    CutIn(usize),
    /// A node loses half of the messages of its subscriptions.
    Overflow(usize),
    /// All messages are late.
    SlowBus,
    /// The bus and the store are down.
    BusDown,
    /// The store has no leader.
    Leaderless,
    /// The store loses acknowledgements, and applies some writes late.
    Flaky,
    /// The bus and the store are down, and the store loses all sessions.
    Wipe,
    /// An administrator deletes all sessions of the store.
    Purge,
    /// The balancer believes the opposite about a node.
    WrongBalancer(usize),
    /// An operator drains a node; it starts again after it has exited.
    Drain(usize),
}

/// A fault with its time.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// When it begins, in microseconds.
    pub at_us: u64,
    /// When it ends.
    pub until_us: u64,
    /// Its kind.
    pub kind: Kind,
}

/// Makes the faults of a run of `nodes` nodes that lie before `end_us`.
#[must_use]
pub(crate) fn plan(rng: &mut Rng, nodes: usize, end_us: u64) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut at_us = 3_000_000 + rng.below(4_000_000);
    // Quiet runs find faults in the ordinary path, busy ones in the overlaps.
    let pace_us = *[1_500_000, 4_000_000, 9_000_000]
        .get(rng.below(3) as usize)
        .unwrap_or(&1);
    while at_us < end_us {
        let kind = kind(rng, nodes);
        let longest_us = match kind {
            Kind::Crash(_) | Kind::HostLost(_) => 12_000_000,
            Kind::Leaderless => return_between(rng, 4_000_000, 9_000_000),
            Kind::Wipe | Kind::BusDown => 6_000_000,
            Kind::Purge => 1,
            Kind::Pause(_) if rng.chance(300) => 900_000,
            _ => 10_000_000,
        };
        let least_us = longest_us.min(200_000);
        let takes_us = match kind {
            Kind::Leaderless => longest_us,
            _ => least_us + rng.below(longest_us),
        };
        faults.push(Fault {
            at_us,
            until_us: (at_us + takes_us).min(end_us),
            kind,
        });
        at_us += 1 + rng.below(2 * pace_us);
    }
    faults
}

fn return_between(rng: &mut Rng, from: u64, to: u64) -> u64 {
    rng.between(from, to)
}

fn kind(rng: &mut Rng, nodes: usize) -> Kind {
    let node = rng.below(nodes as u64) as usize;
    match rng.below(100) {
        0..=13 => Kind::Crash(node),
        14..=18 => Kind::HostLost(node),
        19..=31 => Kind::Pause(node),
        32..=36 => Kind::Slow(node),
        37..=41 => {
            let jumps = [3_600, -3_600, -30, 5, 300];
            let jump = jumps.get(rng.below(5) as usize).copied().unwrap_or(0);
            Kind::Clock(node, jump)
        }
        42..=49 => Kind::Cut(node),
        50..=54 => Kind::CutOut(node),
        55..=59 => Kind::CutIn(node),
        60..=63 => Kind::Overflow(node),
        64..=67 => Kind::SlowBus,
        68..=72 => Kind::BusDown,
        73..=80 => Kind::Leaderless,
        81..=86 => Kind::Flaky,
        87..=88 => Kind::Wipe,
        89..=90 => Kind::Purge,
        91..=93 => Kind::WrongBalancer(node),
        94..=95 => Kind::Twin(node),
        _ => Kind::Drain(node),
    }
}
