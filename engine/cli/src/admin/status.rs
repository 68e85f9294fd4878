//! The state of a server as text.

use serde_json::Value;

use super::lists::table;

/// The state, a line for each condition, and a row for each shard.
pub(super) fn text(status: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let uptime = status["uptime_s"].as_u64().unwrap_or_default();
    let mut text = format!(
        "{} for {}, version {}, process {}\n",
        word(&status["state"]),
        humantime::format_duration(std::time::Duration::from_secs(uptime)),
        word(&status["version"]),
        status["pid"],
    );
    for address in list(&status["addresses"]) {
        text += &format!("listens on {}\n", word(address));
    }
    for condition in list(&status["conditions"]) {
        let name = word(condition);
        text += &format!("{name}: {}\n", remedy(&name));
    }
    let mut lines = vec![
        [
            "shard",
            "state",
            "connections",
            "requests",
            "calls",
            "failed",
            "in flight",
            "sessions",
            "streams",
            "delay us",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    for shard in list(&status["shards"]) {
        let keys = [
            "connections",
            "requests",
            "calls",
            "calls_failed",
            "calls_in_flight",
            "sessions",
            "streams",
            "delay_us",
        ];
        let mut line = vec![shard["shard"].to_string(), state_of(shard).to_owned()];
        line.extend(keys.map(|key| shard[key].to_string().replace("null", "-")));
        lines.push(line);
    }
    text + &table(&lines)
}

/// The state of a shard.
pub(super) fn state_of(shard: &Value) -> &'static str {
    match (shard["up"] == true, shard["stalled"] == true) {
        (false, _) => "down",
        (true, true) => "stalled",
        (true, false) => "up",
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// What to do about a condition.
pub(super) fn remedy(condition: &str) -> &'static str {
    match condition {
        "stalled_shard" => {
            "a handler blocks a shard, and the log names it: what computes or blocks belongs into \
             Call::offload"
        }
        "shard_down" => "a shard failed and is started again; the log says why",
        "near_capacity" => {
            "a shard holds nine tenths of the connections that it can: raise the limit of open \
             files, or run more shards"
        }
        "accept_paused" => "new connections wait: see the log",
        "draining" => "the server ends",
        _ => "see docs/operation.md",
    }
}
