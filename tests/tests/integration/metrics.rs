//! Metrics: each thing that is caused is read back over HTTP, with bounded labels, while shards
//! stall, fail and start again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use corelane::{Call, Profile, Server, Tool};
use corelane_tests::{Connection, PATIENCE, Request, Scrape, Session, Setup};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fixture::Fixture;

/// Requests of HTTP that were answered.
pub(crate) const HTTP: &str = "http_server_request_duration_seconds_count";
const OPERATIONS: &str = "mcp_server_operation_duration_seconds_count";

/// A server of the conformance demo with metrics.
pub(crate) fn measured(shards: usize) -> Setup {
    Setup::shards(shards).arguments(&["--metrics", "127.0.0.1:0"])
}

pub(crate) fn call(tool: &str) -> Request {
    Request::modern_call(tool, json!({}))
}

/// Sends what causes the series of [`EXPECTED`], once each.
pub(crate) fn cause_series(server: &corelane_tests::Server) {
    let mut connection = server.connect();
    for _ in 0..3 {
        assert_eq!(connection.exchange(&call("test_simple_text")).status(), 200);
    }
    for (request, status) in [
        (call("test_error_handling"), 200),
        (call("test_panic"), 200),
        (call("no_such_tool"), 200),
        (Request::modern(1, "tools/list", json!({})), 200),
        (
            Request::modern(1, "prompts/get", json!({ "name": "test_simple_prompt" })),
            200,
        ),
        (Request::modern(1, "no/such_method", json!({})), 404),
        (
            Request::post("{").field("MCP-Protocol-Version", "2026-07-28"),
            400,
        ),
        (
            call("test_simple_text").field("Origin", "http://evil.example"),
            403,
        ),
    ] {
        let response = connection.exchange(&request);
        assert_eq!(response.status(), status, "{request:?}: {response:?}");
    }
    let kept = Session::open(&mut connection);
    assert_eq!(
        connection
            .exchange(&kept.request(1, "ping", Value::Null))
            .status(),
        200
    );
    let deleted = Session::open(&mut connection);
    assert!(connection.exchange(&deleted.delete()).status() < 300);
    let gone = deleted.request(1, "ping", Value::Null);
    assert_eq!(connection.exchange(&gone).status(), 404);
    let mut broken = server.connect();
    broken.send_bytes(b"nonsense\r\n\r\n");
    let _ = broken.read_to_close(PATIENCE);
}

/// Series after [`cause_series`] on one shard, with their values.
const EXPECTED: &[(&str, &[&str], f64)] = &[
    (
        OPERATIONS,
        &[
            "mcp_method_name=\"tools/call\"",
            "mcp_protocol_version=\"2026-07-28\"",
            "gen_ai_operation_name=\"execute_tool\"",
            "gen_ai_tool_name=\"test_simple_text\"",
        ],
        3.0,
    ),
    (
        OPERATIONS,
        &[
            "gen_ai_tool_name=\"test_error_handling\"",
            "error_type=\"tool_error\"",
        ],
        1.0,
    ),
    (
        OPERATIONS,
        &[
            "\"test_panic\"",
            "error_type=\"panic\"",
            "rpc_response_status_code=\"-32603\"",
        ],
        1.0,
    ),
    (
        OPERATIONS,
        &["mcp_method_name=\"tools/call\"", "error_type=\"-32602\""],
        1.0,
    ),
    (OPERATIONS, &["mcp_method_name=\"tools/list\""], 1.0),
    (
        OPERATIONS,
        &["gen_ai_prompt_name=\"test_simple_prompt\""],
        1.0,
    ),
    (
        OPERATIONS,
        &["mcp_method_name=\"_OTHER\"", "error_type=\"-32601\""],
        1.0,
    ),
    (OPERATIONS, &["mcp_method_name=\"initialize\""], 2.0),
    (
        OPERATIONS,
        &[
            "mcp_method_name=\"ping\"",
            "mcp_protocol_version=\"2025-11-25\"",
        ],
        1.0,
    ),
    ("corelane_call_queue_seconds_count", &[], 6.0),
    ("corelane_call_handler_seconds_count", &[], 6.0),
    ("corelane_calls_total", &["outcome=\"ok\""], 4.0),
    ("corelane_calls_total", &["outcome=\"failed\""], 1.0),
    ("corelane_calls_total", &["outcome=\"panicked\""], 1.0),
    (
        "corelane_requests_refused_total",
        &["reason=\"origin\""],
        1.0,
    ),
    (
        "corelane_requests_refused_total",
        &["reason=\"session\""],
        1.0,
    ),
    (
        "corelane_requests_refused_total",
        &["reason=\"framing\""],
        1.0,
    ),
    ("corelane_sessions_created_total", &[], 2.0),
    (
        "corelane_sessions_ended_total",
        &["reason=\"deleted\""],
        1.0,
    ),
    ("corelane_sessions", &["shard=\"0\""], 1.0),
    (
        "mcp_server_session_duration_seconds_count",
        &["mcp_protocol_version=\"2025-11-25\""],
        1.0,
    ),
    (HTTP, &["\"POST\"", "code=\"404\""], 2.0),
    (
        HTTP,
        &["\"POST\"", "code=\"403\"", "url_scheme=\"http\""],
        1.0,
    ),
    (HTTP, &["\"DELETE\""], 1.0),
    (HTTP, &["\"_OTHER\"", "code=\"400\""], 1.0),
    ("corelane_condition", &["condition=\"draining\""], 0.0),
    ("corelane_condition", &[], 0.0),
    ("corelane_accept_paused", &[], 0.0),
    ("corelane_connections_accepted_total", &[], 2.0),
    ("corelane_shard_up", &["shard=\"0\""], 1.0),
    ("corelane_shard_stalled", &[], 0.0),
];

#[test]
fn what_is_caused_is_read_back_over_http() {
    let server = measured(1).start();
    cause_series(&server);
    let address = server.metrics_address();
    // The shard publishes when it sleeps; the last thing that happens is the framing error.
    let scrape = Scrape::wait_for(address, "the last request", |scrape| {
        let refused = scrape.sum("corelane_requests_refused_total", &["framing"]);
        let closed = scrape.sum("corelane_connections_closed_total", &[]);
        (refused == 1.0 && closed >= 1.0).then(|| scrape.clone())
    });
    for (name, labels, expected) in EXPECTED {
        let text = &scrape.text;
        assert_eq!(
            scrape.sum(name, labels),
            *expected,
            "{name} {labels:?}\n{text}"
        );
    }
    for name in [
        "corelane_received_bytes_total",
        "corelane_sent_bytes_total",
        "corelane_turns_total",
        "corelane_turn_duration_seconds_count",
        "corelane_loop_delay_seconds_sum",
        "corelane_ring_enters_total",
        "corelane_shard_cpu_seconds_total",
        "corelane_requests_total",
        "corelane_connections_capacity",
        "corelane_lane_capacity",
        "http_server_request_duration_seconds_sum",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
        "corelane_build_info",
    ] {
        assert!(scrape.sum(name, &[]) > 0.0, "{name}: {}", scrape.text);
    }
    let age = scrape.sum("corelane_shard_page_age_seconds", &[]);
    assert!(age >= 0.0);
    assert!(!scrape.text.contains("evil.example") && !scrape.text.contains("no_such"));
}

#[test]
fn shards_are_merged_if_the_profile_says_so() {
    let setup = measured(2).profile("[metrics]\nper_shard = false");
    let server = setup.start();
    let mut connection = server.connect();
    assert_eq!(connection.exchange(&call("test_simple_text")).status(), 200);
    let scrape = Scrape::wait_for(server.metrics_address(), "the call", |scrape| {
        let calls = scrape.sum("corelane_calls_total", &[]);
        (calls == 1.0).then(|| scrape.clone())
    });
    let names: Vec<&str> = scrape.samples().map(|(name, _)| name).collect();
    assert!(names.contains(&"corelane_connections"), "{names:?}");
    // The series that find one shard in trouble keep its label.
    let of_shards = names.iter().filter(|name| name.contains("shard=\""));
    for name in of_shards {
        assert!(name.starts_with("corelane_shard_"), "{name}");
    }
    assert!(
        names.contains(&"corelane_shard_up{shard=\"1\"}"),
        "{names:?}"
    );
}

/// Names, methods and versions that clients choose are no labels, however many there are.
#[test]
fn clients_cannot_add_series() {
    const REQUESTS: usize = 2000;
    let server = measured(1).start();
    let mut connection = server.connect();
    let mut send = |at: usize| {
        let request = match at % 3 {
            0 => call(&format!("tool{at}")),
            1 => Request::modern(1, &format!("method/{at}"), json!({})),
            _ => call("test_simple_text").field("MCP-Protocol-Version", &format!("2027-{at}")),
        };
        let request = request.field("User-Agent", &format!("agent{at}"));
        connection.exchange(&request);
    };
    (0..6).for_each(&mut send);
    let address = server.metrics_address();
    let refused = |scrape: &Scrape| scrape.sum(OPERATIONS, &["error_type"]);
    let series = |at_least: f64| {
        Scrape::wait_for(address, "all requests", |scrape| {
            (refused(scrape) >= at_least).then(|| scrape.samples().count())
        })
    };
    let before = series(6.0);
    (0..REQUESTS).for_each(&mut send);
    assert_eq!(series(6.0 + REQUESTS as f64), before);
}

#[test]
fn operations_past_the_sets_of_labels_are_counted_together() {
    const TOOLS: usize = 30;
    let extend = |mut server: Server| {
        for at in 0..TOOLS {
            server = server.with_tool(crate::fixture::tool(&format!("tool{at}")));
        }
        server
    };
    let tune = |profile: &mut Profile| {
        profile.metrics.listen = Some(([127, 0, 0, 1], 0).into());
        profile.metrics.label_sets_max = 16;
    };
    let fixture = Fixture::with(1, tune, extend);
    let mut connection = fixture.connect();
    for at in 0..TOOLS {
        connection.exchange(&call(&format!("tool{at}")));
    }
    let address = fixture.metrics_address();
    let scrape = Scrape::wait_for(address, "all calls", |scrape| {
        (scrape.sum(OPERATIONS, &[]) == TOOLS as f64).then(|| scrape.clone())
    });
    let together = scrape.sum(OPERATIONS, &["otel_metric_overflow=\"true\""]);
    assert_eq!(together, 15.0, "one of 16 sets stands for all others");
    let overflow = scrape.sum("corelane_metrics_overflow_total", &["label_sets"]);
    assert_eq!(overflow, together);
}

#[derive(Deserialize, JsonSchema)]
struct NoArguments {}

pub(crate) fn tuned(profile: &mut Profile) {
    profile.metrics.listen = Some(([127, 0, 0, 1], 0).into());
    profile.supervision.stall_after_ms = 100;
    profile.calls.timeout_ms = 1000;
}

/// The connection to a shard, of one on each.
fn connect_to(fixture: &Fixture, shard: usize) -> (Connection, Session) {
    let all = fixture.on_each_shard();
    all.into_iter().nth(shard).expect("one of each")
}

#[test]
fn calls_that_wait_are_in_flight_and_end_as_cancelled_or_timed_out() {
    let fixture = Fixture::with(1, tuned, |server| server);
    let address = fixture.metrics_address();
    let (mut connection, session) = connect_to(&fixture, 0);
    let mut other = fixture.connect();
    let hold = session.call("hold", json!({ "label": "cancelled" }));
    other.send(&hold.field("Accept", "application/json"));
    fixture.wait_for_inside(&["cancelled"]);
    Scrape::wait_for(address, "a call in flight", |scrape| {
        (scrape.sum("corelane_calls_in_flight", &[]) == 1.0).then_some(())
    });
    assert_eq!(connection.exchange(&session.cancelled(1)).status(), 202);
    fixture.wait_for_inside(&[]);
    let hold = Request::modern_call("hold", json!({ "label": "late" }));
    let response = fixture.connect().exchange(&hold);
    assert_eq!(response.status(), 200);
    let scrape = Scrape::wait_for(address, "both ends", |scrape| {
        let ended = scrape.sum(OPERATIONS, &["gen_ai_tool_name=\"hold\""]);
        (ended == 2.0).then(|| scrape.clone())
    });
    let of = |error: &str| scrape.sum(OPERATIONS, &["\"hold\"", error]);
    assert_eq!(of("error_type=\"cancelled\""), 1.0, "{}", scrape.text);
    assert_eq!(of("error_type=\"timeout\""), 1.0, "{}", scrape.text);
    assert_eq!(scrape.sum("corelane_calls_in_flight", &[]), 0.0);
    assert_eq!(
        scrape.sum("corelane_timeouts_total", &["kind=\"call\""]),
        1.0
    );
    assert_eq!(scrape.sum("corelane_calls_total", &["cancelled"]), 1.0);
    assert_eq!(scrape.sum("corelane_call_handler_seconds_count", &[]), 2.0);
    assert!(
        scrape.sum("corelane_call_handler_seconds_sum", &[]) >= 1.0,
        "one timed out"
    );
}

#[test]
fn a_shard_that_is_stuck_is_named_while_it_is_stuck() {
    let is_over = Arc::new(AtomicBool::new(false));
    let of_tool = Arc::clone(&is_over);
    let block = async move |_: &Call, _: NoArguments| {
        while !of_tool.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(1));
        }
        Ok("blocked")
    };
    let extend = |server: Server| server.with_tool(Tool::new("block", "Blocks.", block));
    let fixture = Fixture::with(2, tuned, extend);
    let address = fixture.metrics_address();
    let (mut blocked, session) = connect_to(&fixture, 1);
    blocked.send(&session.call("block", json!({})));
    let stalled = |scrape: &Scrape, shard: &str| {
        let shard = format!("shard=\"{shard}\"");
        scrape.sum("corelane_shard_stalled", &[&shard])
    };
    // The scrape itself is answered while the shard is stuck: the tool ends only below.
    let (stuck, other) = Scrape::wait_for(address, "a stalled shard", |scrape| {
        let age = |shard: &str| scrape.sum("corelane_shard_page_age_seconds", &[shard]);
        let ages = (age("shard=\"1\""), age("shard=\"0\""));
        // A shard that sleeps publishes each second.
        (stalled(scrape, "1") == 1.0 && ages.0 > 3.0).then_some(ages)
    });
    assert!(stuck > other, "{stuck} {other}");
    let scrape = Scrape::of(address);
    assert_eq!(stalled(&scrape, "0"), 0.0);
    assert_eq!(scrape.sum("corelane_shard_up", &["shard=\"1\""]), 1.0);
    assert_eq!(
        scrape.sum("corelane_shard_stalls_total", &["shard=\"1\""]),
        1.0
    );
    is_over.store(true, Ordering::Relaxed);
    assert_eq!(blocked.read_response().status(), 200);
    Scrape::wait_for(address, "the end of the stall", |scrape| {
        (stalled(scrape, "1") == 0.0).then_some(())
    });
}

/// The counters of a scrape, by their names.
fn counters(scrape: &Scrape) -> BTreeMap<String, f64> {
    let is_counter = |name: &str| {
        let name = name.split('{').next().unwrap_or_default();
        ["_total", "_count", "_sum", "_bucket"]
            .iter()
            .any(|end| name.ends_with(end))
    };
    let all = scrape.samples().filter(|(name, _)| is_counter(name));
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}

#[test]
fn counters_never_fall_while_shards_fail_and_start_again() {
    const FAILURES: f64 = 3.0;
    let fail = async |call: &Call, _: NoArguments| {
        call.fail_shard();
        Ok("the last words")
    };
    let extend = |server: Server| server.with_tool(Tool::new("fail", "Ends its shard.", fail));
    let fixture = Fixture::with(2, tuned, extend);
    let address = fixture.metrics_address();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let scraper = scope.spawn(|| {
            let (mut last, mut scrapes) = (BTreeMap::new(), 0);
            while !is_over.load(Ordering::Relaxed) {
                let now = counters(&Scrape::of(address));
                for (name, before) in &last {
                    let after = now.get(name).copied().unwrap_or_default();
                    assert!(after >= *before, "{name} fell from {before} to {after}");
                }
                last = now;
                scrapes += 1;
            }
            scrapes
        });
        let mut restarts = 0.0;
        while restarts < FAILURES {
            let mut connection = fixture.connect();
            let echo = Request::modern_call("echo", json!({ "steps": 3 }));
            assert_eq!(connection.exchange(&echo).status(), 200);
            connection.send(&call("fail"));
            // The answer may come before the end.
            let _ = connection.read_to_close(PATIENCE);
            restarts += 1.0;
            Scrape::wait_for(address, "the next life", |scrape| {
                let up = scrape.sum("corelane_shard_up", &[]);
                let all = scrape.sum("corelane_shard_restarts_total", &[]);
                (up == 2.0 && all >= restarts).then_some(())
            });
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(scraper.join().expect("no counter falls") > 3);
    });
    let calls = Scrape::of(address).sum(OPERATIONS, &["gen_ai_tool_name=\"fail\""]);
    assert!(
        calls >= FAILURES,
        "calls of lives that ended are counted: {calls}"
    );
}

#[test]
fn metrics_are_not_shown_to_other_hosts_by_accident() {
    let ended = Setup::bare(&["--metrics", "0.0.0.0:0"])
        .listen("127.0.0.1:0")
        .run_to_end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.error.contains("public_without_auth"), "{ended:?}");
    let server = Setup::shards(1)
        .profile("[metrics]\nlisten = \"0.0.0.0:0\"\npublic_without_auth = true")
        .start();
    let mut address = server.metrics_address();
    address.set_ip([127, 0, 0, 1].into());
    assert!(Scrape::of(address).sum("corelane_shard_up", &[]) > 0.0);
}
