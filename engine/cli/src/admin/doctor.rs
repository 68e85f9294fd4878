//! `corelane doctor`: compares the counters of a running server with those of earlier looks, and
//! says in sentences what went wrong since then.
//!
//! A rule has no memory: what happened before the first look is not its subject.

use std::time::Duration;

use serde_json::{Value, json};

use super::lists::table;
use super::status::remedy;

/// Counters that do not rise on a server that is well.
struct Rule {
    counters: &'static [&'static str],
    /// Behind the number.
    finding: &'static str,
    remedy: &'static str,
}

const RULES: [Rule; 13] = [
    Rule {
        counters: &["stalls"],
        finding: "times the shard was stuck",
        remedy: "the log names the handler: what computes or blocks belongs into Call::offload",
    },
    Rule {
        counters: &["restarts"],
        finding: "times the shard failed and was started again",
        remedy: "the log says why before each restart",
    },
    Rule {
        counters: &["lanes_full"],
        finding: "messages to other shards were refused by full lanes",
        remedy: "a shard is stuck or busy; if none is, raise the capacities in [lanes]",
    },
    Rule {
        counters: &["ring_buffers_exhausted"],
        finding: "receives found no buffer",
        remedy: "raise ring.buffer_count",
    },
    Rule {
        counters: &["ring_completions_overflowed"],
        finding: "times the completion queue overflowed",
        remedy: "raise ring.completion_entries",
    },
    Rule {
        counters: &["calls_refused.delay"],
        finding: "calls were refused because the shard had more than it could serve in time",
        remedy: "run more shards or servers; overload.loop_delay_ms is the threshold",
    },
    Rule {
        counters: &["calls_refused.memory"],
        finding: "calls were refused for want of memory",
        remedy: "overload.memory_bytes_max bounds a shard; corelane connections shows its clients",
    },
    Rule {
        counters: &["calls_refused.tool"],
        finding: "calls were refused because their tool had too many",
        remedy: "make the tool faster, or raise tools.in_flight_max",
    },
    Rule {
        counters: &["timeouts.write", "event_streams_dropped", "events_dropped"],
        finding: "answers or events were lost to clients that read too slowly",
        remedy: "corelane connections and streams show them",
    },
    Rule {
        counters: &["timeouts.call"],
        finding: "calls took longer than calls.timeout_ms",
        remedy: "corelane slow shows which tool",
    },
    Rule {
        counters: &["calls.panicked"],
        finding: "handlers panicked",
        remedy: "the log has the text of each panic",
    },
    Rule {
        counters: &["connections_table_full"],
        finding: "times a new connection waited, because the table of the shard was full",
        remedy: "raise LimitNOFILE, ring.descriptors or the number of shards",
    },
    Rule {
        counters: &["records_dropped"],
        finding: "requests lack their line of the access log, their row or their span",
        remedy: "raise log.access_one_in or admin.slow_request_us",
    },
];

/// Levels, their limits, and the part of it in percent from which on they are near.
const LIMITS: [(&str, &str, u64, &str, &str); 2] = [
    (
        "connections_open",
        "connections_capacity",
        90,
        "connections of as many as fit are open",
        "raise LimitNOFILE, ring.descriptors or the number of shards",
    ),
    (
        "lane_messages.request",
        "lane_capacity.request",
        80,
        "requests of other shards wait in lanes for as many",
        "the shard is stuck or busy; if it is not, raise lanes.request",
    ),
];

/// A shard is busy from this share of its core on, in percent.
const BUSY_PERCENT: u64 = 60;
/// All shards are busy from this share on.
const ALL_BUSY_PERCENT: u64 = 90;
/// What is ready waits too long from so many microseconds on.
const DELAY_US: u64 = 20_000;
/// A quota stops the process too often from this share of the time on, in percent.
const THROTTLED_PERCENT: f64 = 1.0;

/// Something that goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finding {
    /// In the last so many seconds; 0 for what holds now.
    window_s: f64,
    /// The shard, if it is of one.
    shard: Option<usize>,
    finding: String,
    remedy: &'static str,
}

/// The conditions that hold, from the state of a server.
pub(super) fn conditions(status: &Value) -> Vec<Finding> {
    let names = status["conditions"].as_array().into_iter().flatten();
    let names = names.filter_map(Value::as_str);
    let found = names.map(|name| Finding {
        window_s: 0.0,
        shard: None,
        finding: format!("the condition {name} holds"),
        remedy: remedy(name),
    });
    found.collect()
}

/// The findings since each of some earlier looks at the counters, the newest look first. One that
/// was found since a newer look is not repeated.
pub(super) fn findings(looks: &[Value], after: &Value) -> Vec<Finding> {
    let mut all: Vec<Finding> = Vec::new();
    for before in looks {
        // Two looks of one moment have no time between them.
        let window_s = before["age_s"].as_f64().unwrap_or_default().max(0.001);
        let known = all.len();
        for found in findings_since(before, after, window_s) {
            let is_known = |it: &Finding| (it.shard, it.remedy) == (found.shard, found.remedy);
            if !all[..known].iter().any(is_known) {
                all.push(found);
            }
        }
    }
    all
}

/// The findings from two looks at the counters, so many seconds apart.
fn findings_since(before: &Value, after: &Value, seconds: f64) -> Vec<Finding> {
    let shards = after["shards"].as_array().map_or(&[][..], Vec::as_slice);
    let rise = |shard: usize, name: &str| {
        let value = |of: &Value| of["shards"][shard][name].as_u64().unwrap_or_default();
        value(after).saturating_sub(value(before))
    };
    let mut found = Vec::new();
    for (shard, levels) in shards.iter().enumerate() {
        let mut add = |finding: String, remedy| {
            found.push(Finding {
                window_s: seconds,
                shard: Some(shard),
                finding,
                remedy,
            });
        };
        for rule in &RULES {
            let count: u64 = rule.counters.iter().map(|name| rise(shard, name)).sum();
            if count > 0 {
                add(format!("{count} {}", rule.finding), rule.remedy);
            }
        }
        for (level, limit, percent, finding, remedy) in LIMITS {
            let [level, limit] = [level, limit].map(|it| levels[it].as_u64().unwrap_or_default());
            if limit > 0 && level * 100 >= limit * percent {
                add(format!("{level} of {limit} {finding}"), remedy);
            }
        }
        let delay_us = rise(shard, "delays_us").checked_div(rise(shard, "delays"));
        if let Some(delay_us) = delay_us.filter(|delay_us| *delay_us >= DELAY_US) {
            let finding = format!("what is ready waits for {} ms on average", delay_us / 1000);
            add(
                finding,
                "corelane slow shows long calls, corelane top busy shards",
            );
        }
    }
    let of_core = |shard| (rise(shard, "cpu_ms") as f64 / seconds / 10.0).round() as u64;
    let busy: Vec<u64> = (0..shards.len()).map(of_core).collect();
    found.extend(busy_findings(&busy, seconds));
    found.extend(throttling(before, after, seconds));
    found
}

/// The findings from the shares of their cores that shards use, in percent.
fn busy_findings(busy: &[u64], seconds: f64) -> Vec<Finding> {
    let sum: u64 = busy.iter().sum();
    let count = busy.len() as u64;
    if count > 0 && sum >= ALL_BUSY_PERCENT * count {
        return vec![Finding {
            window_s: seconds,
            shard: None,
            finding: format!("the shards use {} % of their cores", sum / count),
            remedy: "run more shards or servers",
        }];
    }
    let is_hot = |own: &u64| *own >= BUSY_PERCENT && *own * count > 2 * sum;
    let hot = busy.iter().enumerate().filter(|(_, own)| is_hot(own));
    hot.map(|(shard, own)| Finding {
        window_s: seconds,
        shard: Some(shard),
        finding: format!("it uses {own} % of its core, and all together {sum} %"),
        remedy: "few clients share it: more connections for each client spread them",
    })
    .collect()
}

/// The finding that the quota of the control group stopped the process.
fn throttling(before: &Value, after: &Value, seconds: f64) -> Option<Finding> {
    let [before, after] = [before, after].map(|it| it["throttled_s"].as_f64());
    let percent = (after? - before?) / seconds * 100.0;
    (percent >= THROTTLED_PERCENT).then(|| Finding {
        window_s: seconds,
        shard: None,
        finding: format!("the CPU quota stopped the server for {percent:.0} % of the time"),
        remedy: "give the control group whole cores, or run fewer shards; see corelane check",
    })
}

/// The findings as text.
pub(super) fn text(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "nothing to report\n".to_owned();
    }
    let rows = findings.iter().map(|it| {
        let shard = it
            .shard
            .map_or_else(|| "server".to_owned(), |at| format!("shard {at}"));
        let window = Duration::from_secs(it.window_s.round() as u64);
        let window = match it.window_s {
            0.0 => "now".to_owned(),
            _ => format!("last {}", humantime::format_duration(window)),
        };
        vec![window, shard, it.finding.clone(), it.remedy.to_owned()]
    });
    table(&rows.collect::<Vec<_>>())
}

/// The findings in JSON.
pub(super) fn json(findings: &[Finding]) -> Value {
    let rows = findings.iter().map(|it| {
        json!({
            "window_s": it.window_s,
            "shard": it.shard,
            "finding": it.finding,
            "remedy": it.remedy,
        })
    });
    json!({ "findings": rows.collect::<Vec<Value>>() })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{LIMITS, RULES, conditions, findings, findings_since, text};

    fn look(throttled_s: Value, shards: &[Value]) -> Value {
        json!({ "pid": 1, "throttled_s": throttled_s, "shards": shards })
    }

    /// The findings about the second of two shards which has these figures after a second.
    fn found(figures: Value) -> Vec<String> {
        let quiet = json!({ "requests.modern": 7 });
        let before = look(Value::Null, &[quiet.clone(), quiet.clone()]);
        let after = look(Value::Null, &[quiet, figures]);
        let found = findings_since(&before, &after, 1.0);
        found
            .into_iter()
            .map(|it| format!("{:?} {}", it.shard, it.finding))
            .collect()
    }

    #[test]
    fn a_server_that_is_well_has_no_findings() {
        assert_eq!(found(json!({ "requests.modern": 9000 })), [""; 0]);
        let all = json!({ "lanes_full": 3, "stalls": 2, "cpu_ms": 70_000 });
        let look = look(json!(7.5), &[all.clone(), all]);
        assert!(
            findings_since(&look, &look, 1.0).is_empty(),
            "they did not rise"
        );
        assert_eq!(text(&[]), "nothing to report\n");
    }

    #[test]
    fn each_rule_finds_its_counters() {
        for rule in &RULES {
            for name in rule.counters {
                let found = found(json!({ *name: 3 }));
                assert_eq!(found, [format!("Some(1) 3 {}", rule.finding)]);
            }
        }
        for (level, limit, percent, finding, _) in LIMITS {
            let found_at = |value: u64| found(json!({ level: value, limit: 1000 }));
            let value = percent * 10;
            assert_eq!(
                found_at(value),
                [format!("Some(1) {value} of 1000 {finding}")]
            );
            assert_eq!(found_at(value - 1), [""; 0]);
        }
        assert_eq!(
            found(json!({ "delays": 10, "delays_us": 199_999 })),
            [""; 0]
        );
        let found = found(json!({ "delays": 10, "delays_us": 200_000 }));
        assert_eq!(found, ["Some(1) what is ready waits for 20 ms on average"]);
    }

    #[test]
    fn one_busy_shard_is_a_finding_and_so_is_a_busy_server() {
        let busy = |cpu_ms: [u64; 4]| {
            let shards = cpu_ms.map(|cpu_ms| json!({ "cpu_ms": cpu_ms }));
            let before = look(Value::Null, &[json!({}), json!({}), json!({}), json!({})]);
            let found = findings_since(&before, &look(Value::Null, &shards), 1.0);
            text(&found)
        };
        assert!(busy([700, 100, 100, 100]).starts_with("last 1s  shard 0  it uses 70 %"));
        assert_eq!(busy([700, 500, 500, 100]), "nothing to report\n");
        assert_eq!(busy([500, 0, 0, 0]), "nothing to report\n");
        let found = busy([900, 900, 900, 900]);
        assert!(
            found.starts_with("last 1s  server  the shards use 90 %"),
            "{found}"
        );
    }

    #[test]
    fn conditions_that_hold_are_found_with_what_to_do() {
        let found = |names: Value| text(&conditions(&json!({ "conditions": names })));
        assert_eq!(found(json!([])), "nothing to report\n");
        let now = found(json!(["stalled_shard", "accept_paused"]));
        let lines: Vec<&str> = now.lines().collect();
        assert!(
            lines[0].starts_with("now  server  the condition stalled_shard holds"),
            "{now}"
        );
        assert!(lines[0].ends_with("Call::offload"), "{now}");
        assert!(
            lines[1].contains("accept_paused") && lines.len() == 2,
            "{now}"
        );
    }

    #[test]
    fn a_quota_that_stops_the_server_is_found() {
        let shards = [json!({})];
        let looks = |after: f64| {
            let [before, after] = [json!(5.0), json!(after)].map(|it| look(it, &shards));
            text(&findings_since(&before, &after, 10.0))
        };
        assert_eq!(looks(5.05), "nothing to report\n");
        assert!(
            looks(7.5).contains("for 25 % of the time"),
            "{}",
            looks(7.5)
        );
    }

    #[test]
    fn a_fault_of_the_last_hour_is_found_once_and_with_its_time() {
        let looks = |stalls: [u64; 2], panics: [u64; 2]| {
            let ages = [("age_s", 75.0), ("age_s", 3620.0)];
            let looks = [0, 1].map(|at| {
                let figures = json!({ "stalls": stalls[at], "calls.panicked": panics[at] });
                let mut look = look(Value::Null, &[figures]);
                look[ages[at].0] = json!(ages[at].1);
                look
            });
            let after = look(Value::Null, &[json!({ "stalls": 9, "calls.panicked": 5 })]);
            let found = findings(&looks, &after).into_iter();
            let found = found.map(|it| format!("{} {}", it.window_s, it.finding));
            found.collect::<Vec<_>>()
        };
        assert_eq!(looks([9, 9], [5, 5]), [""; 0]);
        let found = looks([9, 7], [4, 0]);
        let expected = ["75 1 handlers panicked", "3620 2 times the shard was stuck"];
        assert_eq!(found, expected, "not the panics of the hour again");
    }
}
