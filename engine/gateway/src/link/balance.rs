//! Which of the replicas of an upstream gets a request.
//!
//! A request without a session goes to the one with fewer requests on their way of two that are
//! drawn. A request with a session, or of the control side, goes to the one with the highest hash
//! of its key and the replica (rendezvous hashing): with another set of replicas few keys move.
//! Invariant: at most half of the replicas are left out because they keep failing. It deliberately
//! lacks weights, and knows nothing of other shards.

use std::hash::{BuildHasher as _, Hash};

use foldhash::fast::FixedState;

/// The seed of all hashes: each shard and each process sends a key to the same replica.
const SEED: u64 = 0;

/// One replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Which one it is, the same with other replicas and after a restart.
    pub hash: u64,
    /// Requests on their way.
    pub requests: usize,
    /// Milliseconds until it gets a request again, as it keeps failing; 0 if it does.
    pub refuses_ms: u64,
    /// Whether the request was there before.
    pub was_tried: bool,
}

/// How a replica is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// With this random number.
    Drawn(u64),
    /// With the hash of a key.
    Keyed(u64),
}

impl Choice {
    /// For the request with this id.
    pub fn drawn(id: u64) -> Choice {
        Choice::Drawn(FixedState::with_seed(SEED).hash_one(id))
    }

    /// For all requests with a key.
    pub fn of_key(key: &impl Hash) -> Choice {
        Choice::Keyed(FixedState::with_seed(SEED).hash_one(key))
    }
}

/// Chooses a replica; none if the request was at all that may get one.
///
/// ```
/// use corelane_gateway::link::{Choice, Replica, choose_replica};
/// let idle = Replica { hash: 1, requests: 0, refuses_ms: 0, was_tried: false };
/// let busy = Replica { hash: 2, requests: 9, ..idle };
/// assert_eq!(choose_replica(&[busy, idle], Choice::Drawn(7)), Some(1));
/// ```
pub fn choose_replica(replicas: &[Replica], choice: Choice) -> Option<usize> {
    let mut refusing: Vec<usize> = (0..replicas.len())
        .filter(|place| replicas[*place].refuses_ms > 0)
        .collect();
    // Those that refuse for the shortest time are needed, if too many do.
    refusing.sort_by_key(|place| std::cmp::Reverse(replicas[*place].refuses_ms));
    refusing.truncate(replicas.len() / 2);
    let usable: Vec<usize> = (0..replicas.len())
        .filter(|place| !replicas[*place].was_tried && !refusing.contains(place))
        .collect();
    match choice {
        Choice::Drawn(random) => {
            let count = usable.len();
            let draw = |bits: u64, of: usize| (bits % of.max(1) as u64) as usize;
            let first = draw(random & 0xffff_ffff, count);
            // Another one, if there is.
            let second = (first + 1 + draw(random >> 32, count.saturating_sub(1))) % count.max(1);
            let (first, second) = (*usable.get(first)?, *usable.get(second)?);
            match replicas[second].requests < replicas[first].requests {
                true => Some(second),
                false => Some(first),
            }
        }
        Choice::Keyed(key) => usable
            .into_iter()
            .max_by_key(|place| FixedState::with_seed(SEED).hash_one((key, replicas[*place].hash))),
    }
}

#[cfg(test)]
mod tests {
    use super::{Choice, Replica, choose_replica};
    use corelane_io::rng::Rng;

    fn replicas(count: u64) -> Vec<Replica> {
        let replica = |hash| Replica {
            hash,
            requests: 0,
            refuses_ms: 0,
            was_tried: false,
        };
        (0..count).map(replica).collect()
    }

    #[test]
    fn requests_spread_evenly_and_away_from_the_busy_one() {
        let mut rng = Rng::printed();
        let mut all = replicas(4);
        for _ in 0..10_000 {
            let chosen = choose_replica(&all, Choice::Drawn(rng.below(u64::MAX)));
            all[chosen.expect("one is usable")].requests += 1;
        }
        for replica in &all {
            assert!((2_450..2_550).contains(&replica.requests), "{all:?}");
        }
        let mut all = replicas(2);
        all[0].requests = 1;
        let mut seen = [0; 2];
        for _ in 0..1000 {
            seen[choose_replica(&all, Choice::Drawn(rng.below(u64::MAX))).expect("one")] += 1;
        }
        assert_eq!(seen, [0, 1000]);
    }

    #[test]
    fn at_most_half_are_left_out_and_the_next_to_return_is_needed_first() {
        let mut all = replicas(4);
        for (place, refuses_ms) in [(0, 50), (1, 10), (2, 40)] {
            all[place].refuses_ms = refuses_ms;
        }
        let mut rng = Rng::printed();
        let mut seen = [0; 4];
        for key in 0..1000 {
            for choice in [Choice::Drawn(rng.below(u64::MAX)), Choice::of_key(&key)] {
                seen[choose_replica(&all, choice).expect("one")] += 1;
            }
        }
        assert_eq!((seen[0], seen[2]), (0, 0));
        assert!(seen[1] > 500 && seen[3] > 500, "{seen:?}");
        let mut one = replicas(1);
        one[0].refuses_ms = 9;
        assert_eq!(choose_replica(&one, Choice::Drawn(3)), Some(0));
    }

    #[test]
    fn a_request_goes_to_each_replica_once() {
        for choice in [Choice::Drawn(77), Choice::of_key(&"ann")] {
            let mut all = replicas(3);
            for _ in 0..3 {
                let chosen = choose_replica(&all, choice).expect("another one");
                assert!(!std::mem::replace(&mut all[chosen].was_tried, true));
            }
            assert_eq!(choose_replica(&all, choice), None);
        }
    }

    #[test]
    fn a_key_stays_and_few_move_with_another_set() {
        let (all, more) = (replicas(4), replicas(5));
        let choose = |of: &[Replica], key| choose_replica(of, Choice::of_key(&key));
        let moved = (0..10_000).filter(|key| choose(&all, *key) != choose(&more, *key));
        let moved = moved.count();
        assert!((1_800..2_200).contains(&moved), "a fifth: {moved}");
        let mut without = all.clone();
        without[1].refuses_ms = 5;
        for key in 0..1000 {
            let before = choose(&all, key);
            let after = choose(&without, key);
            assert!(before == Some(1) || before == after, "{key}");
        }
    }
}
