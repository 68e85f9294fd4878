//! Calls of two principals through the pool, the sessions, the sealed states and the names of tasks
//! of one upstream, in a random order of events, on a virtual clock.
//!
//! The parts are the real ones. The order in which the shard uses them is that of
//! `isolation/simulation.rs`: its sockets and its table of calls are not here. `CORELANE_SEED=N`
//! runs one seed, `CORELANE_SIMULATIONS=N` so many seeds; a seed that fails is printed.

#[path = "isolation/sealed.rs"]
mod sealed;
#[path = "isolation/simulation.rs"]
mod simulation;

use simulation::{EVENTS, Mutation, run};

/// Seeds of the short form.
const SIMULATIONS: u64 = 300;

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

#[test]
fn principals_share_an_upstream_and_nothing_else() {
    let seeds = match variable("CORELANE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("CORELANE_SIMULATIONS").unwrap_or(SIMULATIONS),
    };
    println!("seeds {seeds:?}, {EVENTS} events each");
    for seed in seeds {
        if let Err(fault) = run(seed, Mutation::None) {
            panic!("CORELANE_SEED={seed}: {fault}");
        }
    }
}

#[test]
fn planted_faults_are_found() {
    for mutation in [
        Mutation::KeepsPlace,
        Mutation::SwapsSessions,
        Mutation::StaysInLine,
        Mutation::SealsForNobody,
        Mutation::RepeatsNumbers,
    ] {
        let is_found = |seed| run(seed, mutation).is_err() && run(seed, Mutation::None).is_ok();
        assert!((0..SIMULATIONS).any(is_found), "{mutation:?} is not found");
    }
}
