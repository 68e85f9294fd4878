//! The counters of a running server, which `corelane doctor` compares with those of another moment.

use serde_json::{Map, Value, json};

use super::host_facts;
use crate::meter::catalogue::ProcessFact;
use crate::meter::shard_reading::ShardReading;
use crate::meter::{COUNTERS, ROWS};

/// The names of the stalls, the restarts and the time of a shard.
const FACTS: [&str; 6] = [
    "stalls",
    "restarts",
    "stalled",
    "cpu_ms",
    "delays",
    "delays_us",
];

/// All counters of a server at one time. They take some 1,200 bytes for each shard.
#[derive(Debug)]
pub(super) struct Figures {
    throttled_s: Option<f64>,
    /// The counters of each shard, and its facts.
    shards: Vec<[u64; COUNTERS + FACTS.len()]>,
}

impl Figures {
    /// Those of these shards, and of the process at this moment.
    pub(super) fn of(shards: &[ShardReading]) -> Figures {
        Figures {
            throttled_s: host_facts::read(ProcessFact::CgroupThrottledTime),
            shards: shards.iter().map(of_shard).collect(),
        }
    }

    /// The counters that are not 0, by their names and labels.
    pub(super) fn json(&self, age_s: f64) -> Value {
        json!({
            "pid": std::process::id(),
            "age_s": age_s,
            "throttled_s": self.throttled_s,
            "shards": self.shards.iter().map(|it| shard_json(it)).collect::<Vec<Value>>(),
        })
    }
}

fn of_shard(shard: &ShardReading) -> [u64; COUNTERS + FACTS.len()] {
    let (delays, delays_us) = shard.delays();
    let facts = [
        shard.stalls,
        shard.restarts,
        u64::from(shard.is_stalled),
        shard.cpu_ns.unwrap_or_default() / 1_000_000,
        delays,
        delays_us,
    ];
    std::array::from_fn(|at| match ROWS.get(at) {
        Some(row) => shard.counter(row.counter),
        None => facts[at - COUNTERS],
    })
}

fn shard_json(values: &[u64]) -> Value {
    let names = ROWS.iter().map(|row| match row.label {
        "" => row.name.to_owned(),
        label => format!("{}.{label}", row.name),
    });
    let names = names.chain(FACTS.map(str::to_owned));
    let all = names.zip(values).filter(|(_, value)| **value > 0);
    let all: Map<String, Value> = all.map(|(name, value)| (name, (*value).into())).collect();
    Value::Object(all)
}
