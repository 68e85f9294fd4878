//! Conditions: facts about the server that an operator should know of, without a history.

use super::Counter;
use super::shard_reading::ShardReading;

/// A table counts as nearly full from so many hundredths on.
const NEAR_CAPACITY_PERCENT: u64 = 90;

/// The state of a server that no shard has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ServerState {
    /// New clients should go to another server.
    pub(crate) is_draining: bool,
    /// The program of an upstream keeps ending before it answers.
    pub(crate) has_crash_loop: bool,
}

/// Each condition with whether it holds, in the order of the exposition.
pub(crate) fn conditions(
    shards: &[ShardReading],
    of_server: ServerState,
) -> [(&'static str, bool); 6] {
    let any = |holds: &dyn Fn(&ShardReading) -> bool| shards.iter().any(holds);
    let is_near_capacity = |shard: &ShardReading| {
        let (open, most) = (
            shard.counter(Counter::ConnectionsOpen),
            shard.counter(Counter::ConnectionsCapacity),
        );
        most > 0 && open * 100 >= most * NEAR_CAPACITY_PERCENT
    };
    let is_paused = |shard: &ShardReading| shard.counter(Counter::ListenersPaused) > 0;
    [
        ("stalled_shard", any(&|shard| shard.is_stalled)),
        ("shard_down", any(&|shard| !shard.is_up)),
        ("near_capacity", any(&is_near_capacity)),
        ("accept_paused", any(&is_paused)),
        ("upstream_crash_loop", of_server.has_crash_loop),
        ("draining", of_server.is_draining),
    ]
}

#[cfg(test)]
mod tests {
    use super::{Counter, ServerState, ShardReading, conditions};
    use crate::meter::page::COUNTERS_AT;

    fn shard(open: u64, most: u64) -> ShardReading {
        let mut shard = ShardReading {
            is_up: true,
            words: vec![0; COUNTERS_AT + crate::meter::COUNTERS],
            ..ShardReading::default()
        };
        shard.words[COUNTERS_AT + Counter::ConnectionsOpen as usize] = open;
        shard.words[COUNTERS_AT + Counter::ConnectionsCapacity as usize] = most;
        shard
    }

    fn holding(shards: &[ShardReading], is_draining: bool) -> Vec<&'static str> {
        let of_server = ServerState {
            is_draining,
            has_crash_loop: is_draining,
        };
        let all = conditions(shards, of_server).into_iter();
        all.filter(|(_, holds)| *holds)
            .map(|(name, _)| name)
            .collect()
    }

    #[test]
    fn one_shard_is_enough_for_a_condition() {
        let quiet = || shard(89, 100);
        assert_eq!(holding(&[quiet(), quiet()], false), [""; 0]);
        assert_eq!(
            holding(&[quiet(), shard(90, 100)], false),
            ["near_capacity"]
        );
        let stalled = ShardReading {
            is_stalled: true,
            ..quiet()
        };
        assert_eq!(
            holding(&[quiet(), stalled], true),
            ["stalled_shard", "upstream_crash_loop", "draining"]
        );
        let down = ShardReading {
            is_up: false,
            ..quiet()
        };
        assert_eq!(holding(&[down], false), ["shard_down"]);
    }
}
