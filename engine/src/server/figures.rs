//! The counters of a running server, which `corelane doctor` compares with those of a moment later.

use serde_json::{Map, Value, json};

use super::host_facts;
use crate::meter::ROWS;
use crate::meter::catalogue::ProcessFact;
use crate::meter::shard_reading::ShardReading;

/// All counters of each shard that are not 0, by the name and the label; and facts of the process.
pub(super) fn figures(shards: &[ShardReading]) -> Value {
    json!({
        "pid": std::process::id(),
        "throttled_s": host_facts::read(ProcessFact::CgroupThrottledTime),
        "shards": shards.iter().map(of_shard).collect::<Vec<Value>>(),
    })
}

fn of_shard(shard: &ShardReading) -> Value {
    let rows = ROWS.iter().map(|row| {
        let name = match row.label {
            "" => row.name.to_owned(),
            label => format!("{}.{label}", row.name),
        };
        (name, shard.counter(row.counter))
    });
    let (delays, delays_us) = shard.delays();
    let facts = [
        ("stalls", shard.stalls),
        ("restarts", shard.restarts),
        ("stalled", u64::from(shard.is_stalled)),
        ("cpu_ms", shard.cpu_ns.unwrap_or_default() / 1_000_000),
        ("delays", delays),
        ("delays_us", delays_us),
    ];
    let facts = facts.map(|(name, value)| (name.to_owned(), value));
    let all = rows.chain(facts).filter(|(_, value)| *value > 0);
    let all: Map<String, Value> = all.map(|(name, value)| (name, value.into())).collect();
    Value::Object(all)
}
