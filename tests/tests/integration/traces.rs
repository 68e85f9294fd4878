//! Traces: the spans that a collector with the messages of OpenTelemetry's own Python package
//! receives from a server.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use corelane::{Call, Tool};
use corelane_tests::conformance::{home, python_2};
use corelane_tests::scrape::page;
use corelane_tests::{PATIENCE, Request, Scrape, Server, Session, Setup, wait_until};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fixture::Fixture;
use crate::metrics_parsers::{OPEN_METRICS, exemplars_of};
use crate::shards::one_on_each_shard;

/// In the arguments, headers and sessions of clients; in no span.
const CANARY: &str = "canary-8c1f";

/// A collector of OTLP in a process of its own.
struct Collector {
    process: Child,
    port: u16,
    lines: Receiver<String>,
}

impl Collector {
    fn start() -> Collector {
        let mut process = Command::new(python_2("python"))
            .arg(home().join("otlp-collector.py"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("perf-scripts/test.sh installs it");
        let output = process.stdout.take().expect("it is piped");
        let (send, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let port = lines.recv_timeout(PATIENCE).expect("it starts");
        Collector {
            process,
            port: port.parse().expect("a port"),
            lines,
        }
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/v1/traces", self.port)
    }

    /// A server that exports one span in `one_in`, besides those of sampled parents.
    fn server(&self, shards: usize, one_in: u32) -> Setup {
        let endpoint = self.endpoint();
        Setup::shards(shards).profile(&format!(
            "[trace]\nendpoint = \"{endpoint}\"\none_in = {one_in}\nkept_per_s_max = 0"
        ))
    }

    /// The next span.
    fn span(&self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).expect("a span");
        assert!(!line.contains(CANARY), "{line}");
        serde_json::from_str(&line).expect("a line is a span")
    }

    /// The next spans, by their trace.
    fn spans(&self, count: usize) -> BTreeMap<String, Value> {
        let spans = (0..count).map(|_| self.span());
        let spans = spans.map(|span| (text(&span["trace_id"]).to_owned(), span));
        spans.collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The id of a trace that ends with this number.
fn trace_id(number: u32) -> String {
    format!("{number:032x}")
}

/// A span with the same number, which is sampled or not.
fn parent(number: u32, is_sampled: bool) -> String {
    let (trace_id, flags) = (trace_id(number), u8::from(is_sampled));
    format!("00-{trace_id}-{number:016x}-{flags:02x}")
}

/// A request with a parent in the message.
fn traced(request: Request, number: u32) -> Request {
    request.meta("traceparent", parent(number, true))
}

/// Requests with different outcomes, each with a parent of its own; and the names, the outcomes and
/// the attributes of their spans.
fn scenarios() -> Vec<(Request, &'static str, Value)> {
    let modern = |method: &str, params: Value| Request::modern(7, method, params);
    let tool = "tools/call";
    vec![
        (
            Request::modern_call("test_simple_text", json!({})),
            "tools/call test_simple_text",
            json!({
                "mcp.method.name": tool, "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": "test_simple_text",
            }),
        ),
        (
            Request::modern_call("test_tool_with_progress", json!({})),
            "tools/call test_tool_with_progress",
            json!({
                "mcp.method.name": tool, "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": "test_tool_with_progress",
            }),
        ),
        (
            Request::modern_call("test_error_handling", json!({})),
            "tools/call test_error_handling",
            json!({
                "mcp.method.name": tool, "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": "test_error_handling", "error.type": "tool_error",
            }),
        ),
        (
            Request::modern_call(CANARY, json!({ "text": CANARY })),
            "tools/call",
            json!({
                "mcp.method.name": tool, "gen_ai.operation.name": "execute_tool",
                "error.type": "-32602", "rpc.response.status_code": "-32602",
            }),
        ),
        (
            modern("prompts/get", json!({ "name": "test_simple_prompt" })),
            "prompts/get test_simple_prompt",
            json!({
                "mcp.method.name": "prompts/get", "gen_ai.prompt.name": "test_simple_prompt",
            }),
        ),
        (
            modern("tools/list", json!({})),
            "tools/list",
            json!({ "mcp.method.name": "tools/list" }),
        ),
    ]
}

#[test]
fn spans_have_names_parents_times_and_outcomes() {
    let collector = Collector::start();
    let server = collector.server(1, 0).start();
    let mut connection = server.connect();
    for (number, (request, ..)) in (1..).zip(scenarios()) {
        let request = traced(request, number).field("X-Secret", CANARY);
        connection.send(&request);
        let response = connection.read_response();
        assert!(response.status() < 500, "{response:?}");
    }
    let scenarios = scenarios();
    let spans = collector.spans(scenarios.len());
    for (number, (_, name, attributes)) in (1..).zip(scenarios) {
        let span = &spans[&trace_id(number)];
        assert_eq!(span["name"], name, "{span}");
        assert_eq!(span["kind"], "SPAN_KIND_SERVER");
        assert_eq!(span["parent_id"], format!("{number:016x}"), "{span}");
        assert_ne!(span["span_id"], span["parent_id"]);
        assert_eq!(span["links"], json!([]));
        assert_eq!(span["flags"].as_u64(), Some(1));
        let is_error = attributes["error.type"].is_string();
        let status = ["STATUS_CODE_UNSET", "STATUS_CODE_ERROR"][usize::from(is_error)];
        assert_eq!(span["status"], status, "{span}");
        let found = span["attributes"].as_object().expect("an object");
        let of_conventions = found
            .iter()
            .filter(|(key, _)| !key.starts_with("corelane."));
        let mut expected = attributes;
        expected["mcp.protocol.version"] = json!("2026-07-28");
        let of_conventions: Value = of_conventions
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        assert_eq!(of_conventions, expected);
        let times = ["started_ns", "ended_ns"].map(|key| span[key].as_u64().expect("a time"));
        let parts_us = ["corelane.queue_us", "corelane.handler_us"];
        let parts_us = parts_us.map(|key| found[key].as_u64().expect("a time"));
        assert!(
            parts_us.iter().sum::<u64>() * 1000 <= times[1] - times[0],
            "{span}"
        );
        assert_eq!(span["resource"]["service.name"], "corelane");
    }
}

#[test]
fn the_parent_is_that_of_the_message_and_else_that_of_http() {
    let collector = Collector::start();
    let server = collector.server(1, 0).start();
    let mut connection = server.connect();
    let list = || Request::modern(7, "tools/list", json!({}));
    let both = traced(list(), 1).field("traceparent", &parent(2, true));
    let of_http = list().field("TraceParent", &parent(3, true));
    // Several fields, a malformed member and a malformed field name no parent.
    let several = list()
        .field("traceparent", &parent(4, true))
        .repeated_field("traceparent", &parent(4, true));
    let malformed = list().meta("traceparent", 7).field(
        "traceparent",
        &parent(5, true).to_uppercase().replace('0', "x"),
    );
    let unsampled = list().meta("traceparent", parent(6, false));
    for request in [&several, &malformed, &unsampled, &both, &of_http] {
        assert_eq!(connection.exchange(request).status(), 200);
    }
    let spans = collector.spans(2);
    assert_eq!(spans.len(), 2, "{spans:?}");
    let both = &spans[&trace_id(1)];
    assert_eq!(both["parent_id"], format!("{:016x}", 1));
    assert_eq!(both["links"], json!([[trace_id(2), format!("{:016x}", 2)]]));
    let of_http = &spans[&trace_id(3)];
    assert_eq!(of_http["parent_id"], format!("{:016x}", 3));
    assert_eq!(of_http["links"], json!([]));
}

#[test]
fn a_session_on_another_shard_has_the_parent_of_its_request() {
    let collector = Collector::start();
    let server = collector.server(2, 0).start();
    let mut all = one_on_each_shard(|| server.connect(), 2);
    let sessions: Vec<Session> = all.iter().map(|(_, session)| session.clone()).collect();
    let mut expected = Vec::new();
    for (connection, _) in &mut all {
        for session in &sessions {
            let number = expected.len() as u32 + 1;
            let request = session.request(1, "tools/list", json!({}));
            let request = request.field("traceparent", &parent(number, true));
            assert_eq!(connection.exchange(&request).status(), 200);
            expected.push((trace_id(number), session.home()));
        }
    }
    let spans = collector.spans(expected.len());
    for (trace_id, home) in expected {
        let span = &spans[&trace_id];
        assert_eq!(span["name"], "tools/list");
        let attributes = &span["attributes"];
        assert_eq!(attributes["mcp.protocol.version"], "2025-11-25");
        assert_eq!(attributes["corelane.shard"].as_u64(), Some(home as u64));
    }
}

#[test]
fn traces_that_begin_here_are_sampled_and_metrics_count_them() {
    let collector = Collector::start();
    let setup = collector
        .server(1, 1)
        .arguments(&["--metrics", "127.0.0.1:0"]);
    let server: Server = setup.start();
    let mut connection = server.connect();
    let list = Request::modern(7, "tools/list", json!({}));
    assert_eq!(connection.exchange(&list).status(), 200);
    let broken = list.meta("traceparent", "00-1");
    assert_eq!(connection.exchange(&broken).status(), 200);
    let spans = collector.spans(2);
    assert_eq!(spans.len(), 2, "each begins a trace: {spans:?}");
    for span in spans.values() {
        assert_eq!(span["parent_id"], "", "{span}");
        assert_eq!(span["flags"].as_u64(), Some(3), "sampled, with a random id");
    }
    let address = server.metrics_address();
    Scrape::wait_for(address, "the metrics of spans", |scrape| {
        let sent = scrape.sum("corelane_spans_total", &["outcome=\"sent\""]);
        let malformed = scrape.sum("corelane_trace_parents_malformed_total", &[]);
        ((sent, malformed) == (2.0, 1.0)).then_some(())
    });
}

#[test]
fn a_bucket_names_the_trace_of_its_last_sampled_call_in_open_metrics_only() {
    let collector = Collector::start();
    let setup = collector.server(2, 0);
    let server = setup.arguments(&["--metrics", "127.0.0.1:0"]).start();
    let address = server.metrics_address();
    let mut connection = server.connect();
    let tool = "test_simple_text";
    let call = || Request::modern_call(tool, json!({}));
    // Another request has no trace, and none has the parent of one that is not sampled.
    connection.exchange(&call());
    connection.exchange(&call().meta("traceparent", parent(7, false)));
    connection.exchange(&traced(call(), 8));
    collector.span();
    let (operation, handler) = ("mcp_server_operation", "corelane_call_handler");
    let exemplars = wait_until("the exemplars", || {
        let found = exemplars_of(&page(address, "/metrics", OPEN_METRICS));
        let all = [operation, handler, "corelane_call_queue"];
        let has = |name: &&str| found.iter().any(|it| it.starts_with(*name));
        // A handler may be faster than a microsecond.
        let is_fast = found.iter().any(|it| it.starts_with(operation)) && found.len() == 1;
        (is_fast || all.iter().all(has)).then_some(found)
    });
    let expected = format!("{operation}_duration_seconds {tool} {}", trace_id(8));
    assert_eq!(exemplars.iter().filter(|it| **it == expected).count(), 1);
    let is_of_it = |it: &&String| it.ends_with(&trace_id(8));
    assert_eq!(exemplars.iter().filter(is_of_it).count(), exemplars.len());
    let plain = page(address, "/metrics", "text/plain; version=0.0.4");
    assert!(!plain.contains("trace_id"), "{plain}");
}

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

#[test]
fn a_handler_passes_its_span_on() {
    let collector = Collector::start();
    let tune = |profile: &mut corelane::Profile| {
        profile.trace.endpoint = Some(collector.endpoint());
        profile.trace.one_in = 1;
    };
    let tool = Tool::new("where", "Says it.", async |call: &Call, _: Nothing| {
        Ok(call.trace_parent().unwrap_or_default())
    });
    let fixture = Fixture::with(1, tune, |server| server.with_tool(tool));
    let mut connection = fixture.connect();
    let answer = connection.exchange(&Request::modern_call("where", json!({})));
    let said = answer.json()["result"]["content"][0]["text"].clone();
    let span = collector.span();
    let (trace_id, span_id) = (text(&span["trace_id"]), text(&span["span_id"]));
    assert_eq!(text(&said), format!("00-{trace_id}-{span_id}-03"));
}

#[test]
fn a_client_of_others_and_the_server_have_one_trace() {
    let collector = Collector::start();
    let server = collector.server(1, 0).start();
    let output = Command::new(python_2("python"))
        .arg(home().join("python-2-traces.py"))
        .arg(format!("http://{}/mcp", server.address()))
        .output()
        .expect("perf-scripts/test.sh installs it");
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8_lossy(&output.stdout);
    let spans = lines.lines().map(serde_json::from_str);
    let theirs: Vec<Value> = spans.map(|span| span.expect("a span")).collect();
    let host = theirs.iter().find(|span| span["name"] == "host");
    let trace_id = &host.expect("its own span")["trace_id"];
    let ours = loop {
        let span = collector.span();
        if span["trace_id"] == *trace_id && span["name"] == "tools/call test_simple_text" {
            break span;
        }
    };
    let parent = theirs
        .iter()
        .find(|span| span["span_id"] == ours["parent_id"]);
    let parent = parent.unwrap_or_else(|| panic!("{ours} has no parent in {theirs:?}"));
    assert_eq!(parent["kind"], "CLIENT", "{parent}");
    assert_eq!(parent["trace_id"], *trace_id);
}
