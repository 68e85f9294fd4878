//! Principals: sessions and sealed states of one do not exist for any other, on any shard.

use std::sync::Arc;

use corelane_protocol::mcp::tasks::TaskSupport;
use serde::Deserialize;
use serde_json::{Value, json};

use super::test_endpoint::{
    Answer, MODERN, TestEndpoint, check_parts, claim, error, initialize, kind_of, notification,
    on_executor, request, result, session_header, text, with_trailer,
};
use super::tools::Gate;
use crate::catalog::resource::Resource;
use crate::catalog::tool::Tool;
use crate::catalog::{Entries, Plan};
use crate::handler::caller_info::ExposedHeaders;
use crate::handler::{Call, CallError, Elicitation, ReadRequest};
use crate::mcp::{Disposition, EndpointSettings};
use crate::meter::Counter;
use corelane_io::executor::yield_now;

pub(super) const ANN: Option<&str> = Some("ann");
pub(super) const BOB: Option<&str> = Some("bob");
/// Principals other than Ann, one with a name that begins like hers.
pub(super) const OTHERS: [Option<&str>; 4] = [BOB, None, Some("an"), Some("anna")];

#[derive(Deserialize)]
struct NoArguments {}

#[derive(Deserialize, schemars::JsonSchema)]
struct Name {
    name: String,
}

/// The principal and headers that a handler sees.
fn seen_by(call: &Call) -> String {
    let principal = call.principal();
    let [tenant, trace] = ["X-TENANT", "x-trace"].map(|name| call.header(name));
    assert_eq!(call.header("authorization"), None, "nobody exposed it");
    format!("{principal:?} {tenant:?} {trace:?}")
}

async fn greets(call: &Call, _: NoArguments) -> Result<String, CallError> {
    let question = Elicitation::form::<Name>("Who are you?")?;
    let Name { name } = call.elicit("who", question).await?.into_form()?;
    Ok(format!("hello {name}"))
}

fn plan(gate: &Gate) -> Plan {
    const ANY: &str = r#"{"type":"object"}"#;
    let [later, task] = [(); 2].map(|()| gate.clone());
    let tools = vec![
        Tool::from_schema("who", "d", ANY, async |call: &Call, _: NoArguments| {
            Ok(seen_by(call))
        }),
        Tool::from_schema(
            "later",
            "d",
            ANY,
            async move |call: &Call, _: NoArguments| {
                later.pass().await;
                Ok(seen_by(call))
            },
        ),
        Tool::from_schema(
            "task",
            "d",
            ANY,
            async move |call: &Call, _: NoArguments| {
                task.pass().await;
                Ok(seen_by(call))
            },
        )
        .with_task_support(TaskSupport::Optional),
        Tool::from_schema("greets", "d", ANY, greets),
        Tool::from_schema("greets_later", "d", ANY, async |call: &Call, none| {
            yield_now().await;
            greets(call, none).await
        }),
    ];
    let read = async |call: &Call, _: ReadRequest| Ok(seen_by(call));
    let entries = Entries {
        resources: vec![Resource::new("who://me", "me", "text/plain", read)],
        ..Entries::from(tools)
    };
    Plan::new(entries, 50).expect("the tools of the tests are usable")
}

pub(super) fn harness() -> TestEndpoint {
    endpoint_with(|_| ())
}

/// A server that exposes two headers, with requests of Ann.
pub(super) fn endpoint_with(change: impl FnOnce(&mut EndpointSettings)) -> TestEndpoint {
    let gate = Gate::default();
    let mut harness = TestEndpoint::with(|settings| {
        let names = ["X-Tenant", "x-trace"].map(str::to_owned);
        let exposed = ExposedHeaders::new(&names).expect("these are names");
        settings.parts.exposed = Arc::new(exposed);
        settings.parts.plan = Arc::new(plan(&gate));
        change(settings);
    });
    harness.gate = gate;
    harness.principal = ANN;
    harness
}

/// The shard of the connection and the home shard of the request.
pub(super) fn pair() -> (TestEndpoint, TestEndpoint) {
    let shard = |number| {
        endpoint_with(|settings| {
            settings.shard = number;
            settings.shards = 2;
        })
    };
    (shard(0), shard(1))
}

/// The outcome of a request at `home`, to which it was forwarded.
#[track_caller]
pub(super) fn at_home(home: &mut TestEndpoint, answer: Answer) -> Answer {
    let Disposition::Forward { home: 1, request } = answer.disposition else {
        panic!("forwarded to its home: {:?}", answer.disposition);
    };
    let mut out = Vec::new();
    let disposition = home.endpoint.handle_forwarded(*request, &mut out);
    let body = match out.as_slice() {
        b"" => Value::Null,
        out => serde_json::from_slice(out).expect("messages are JSON"),
    };
    Answer {
        disposition,
        body,
        exchange: answer.exchange,
    }
}

/// A session of a client that can elicit; returns its header line.
pub(super) fn session(harness: &mut TestEndpoint, version: &str) -> String {
    let params = json!({
        "protocolVersion": version,
        "capabilities": {"elicitation": {}},
        "clientInfo": {"name": "n", "version": "1"},
    });
    match harness
        .post("", &request(1, "initialize", params))
        .disposition
    {
        Disposition::Answer { session, .. } => session_header(session.expect("a session").id),
        other => panic!("initialize is answered at once: {other:?}"),
    }
}

/// A modern request of a client that knows tasks and can elicit, with more header lines.
pub(super) fn modern(
    harness: &mut TestEndpoint,
    method: &str,
    name: &str,
    (mut params, lines): (Value, &str),
) -> Answer {
    params["_meta"] = claim();
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({
        "elicitation": {},
        "extensions": {"io.modelcontextprotocol/tasks": {}},
    });
    let headers = format!("{MODERN}Mcp-Method: {method}\r\nMcp-Name: {name}\r\n{lines}");
    harness.post(&headers, &request(1, method, params))
}

pub(super) fn modern_call(harness: &mut TestEndpoint, tool: &str, lines: &str) -> Answer {
    let params = json!({"name": tool, "arguments": {}});
    modern(harness, "tools/call", tool, (params, lines))
}

/// Every kind of request of a session, and whether it has an id.
fn ways(harness: &mut TestEndpoint, session: &str) -> Vec<(Answer, bool)> {
    let ping = request(2, "ping", json!({}));
    let initialized = notification("notifications/initialized", json!({}));
    let response = json!({"jsonrpc": "2.0", "id": "0-0-0", "result": {}}).to_string();
    let resumed = format!("{session}Last-Event-ID: 0-0-0\r\n");
    vec![
        (harness.post(session, &ping), true),
        (harness.post(session, &initialized), false),
        (harness.post(session, &response), false),
        (harness.post(session, &format!("[{ping}]")), false),
        (harness.send("GET", session), false),
        (harness.send("GET", &resumed), false),
        (harness.send("DELETE", session), false),
    ]
}

#[track_caller]
pub(super) fn check_unknown(answer: &Answer, has_id: bool) {
    let expected = match has_id {
        true => error(2, -32001),
        false => error((), -32001),
    };
    answer.check("404", &expected);
}

#[test]
fn a_session_is_unknown_to_every_other_principal() {
    for owner in [ANN, None] {
        let mut harness = harness();
        harness.principal = owner;
        let session = session(&mut harness, "2025-03-26");
        let strangers = OTHERS.into_iter().chain([ANN]);
        for stranger in strangers.filter(|stranger| *stranger != owner) {
            harness.principal = stranger;
            for (answer, has_id) in ways(&mut harness, &session) {
                check_unknown(&answer, has_id);
            }
        }
        harness.principal = owner;
        harness
            .post(&session, &request(2, "ping", json!({})))
            .check("200", &result(2, json!({})));
        harness.send("DELETE", &session).check("done", &Value::Null);
    }
}

#[test]
fn a_session_of_another_shard_is_unknown_to_every_other_principal() {
    let (mut front, mut home) = pair();
    let session = session(&mut home, "2025-03-26");
    for stranger in OTHERS {
        front.principal = stranger;
        for (answer, has_id) in ways(&mut front, &session) {
            check_unknown(&at_home(&mut home, answer), has_id);
        }
    }
    front.principal = ANN;
    let ping = front.post(&session, &request(2, "ping", json!({})));
    at_home(&mut home, ping).check("200", &result(2, json!({})));
    let stream = front.send("GET", &session);
    assert_eq!(kind_of(&at_home(&mut home, stream).disposition), "stream");
    let delete = front.send("DELETE", &session);
    at_home(&mut home, delete).check("done", &Value::Null);
}

#[test]
fn only_its_own_principal_answers_and_cancels_the_calls_of_a_session() {
    on_executor(async {
        let mut harness = harness();
        let session = session(&mut harness, "2025-11-25");
        harness.send("GET", &session);
        let answer = harness.call_legacy(&session, "greets", json!({}));
        let requested = harness.settle().await;
        let [(_, crate::mcp::Part::Event { message, .. })] = &requested[..] else {
            panic!("one question: {requested:?}");
        };
        let question: Value = serde_json::from_slice(message).unwrap();
        let named = |name: &str| {
            let content = json!({"action": "accept", "content": {"name": name}});
            json!({"jsonrpc": "2.0", "id": question["id"], "result": content}).to_string()
        };
        for stranger in OTHERS {
            harness.principal = stranger;
            check_unknown(&harness.post(&session, &named("mallory")), false);
            let cancelled = notification("notifications/cancelled", json!({"requestId": 1}));
            check_unknown(&harness.post(&session, &cancelled), false);
        }
        assert!(harness.settle().await.is_empty());
        harness.principal = ANN;
        harness
            .post(&session, &named("ann"))
            .check("accepted", &Value::Null);
        let expected = [("200", result(1, text("hello ann")))];
        check_parts(&harness.settle().await, answer.exchange, &expected);
    });
}

#[test]
fn a_principal_at_its_cap_makes_room_among_its_own_sessions() {
    on_executor(async {
        let mut harness = endpoint_with(|settings| settings.sessions_per_principal_max = 2);
        harness.principal = BOB;
        let bobs = harness.session();
        harness.principal = None;
        let anonymous: Vec<String> = (0..4).map(|_| harness.session()).collect();
        assert_eq!(harness.count(Counter::SessionsEvicted), 0);
        harness.principal = ANN;
        let ping = request(2, "ping", json!({}));
        let (busy, idle) = (harness.session(), harness.session());
        harness.call_legacy(&busy, "later", json!({})).pending();
        let third = harness.session();
        assert_eq!(harness.count(Counter::SessionsEvicted), 1);
        check_unknown(&harness.post(&idle, &ping), true);
        let answer = harness.call_legacy(&third, "later", json!({}));
        answer.pending();
        let refused = harness.post("", &initialize("2025-11-25"));
        refused.check("503", &error(1, -32603));
        let text = refused.body["error"]["message"].as_str().unwrap();
        assert!(text.contains("principal"), "{text}");
        harness.gate.open();
        harness.settle().await;
        harness.session();
        assert_eq!(harness.count(Counter::SessionsEvicted), 2);
        assert_eq!(harness.count(Counter::SessionsOpen), 7);
        check_unknown(&harness.post(&busy, &ping), true);
        harness.principal = BOB;
        harness
            .post(&bobs, &ping)
            .check("200", &result(2, json!({})));
        harness.principal = None;
        for session in anonymous {
            harness
                .post(&session, &ping)
                .check("200", &result(2, json!({})));
        }
    });
}

/// Lets `tool` elicit from Ann and sends her state back as `who`; returns the outcome.
async fn bring_back(harness: &mut TestEndpoint, tool: &str, owner: Who, who: Who) -> Value {
    harness.principal = owner;
    let first = modern_call(harness, tool, "");
    let body = outcome(harness, first).await;
    let state = body["result"]["requestState"].as_str().expect("a state");
    let named = json!({"action": "accept", "content": {"name": "you"}});
    let params = json!({
        "name": tool, "arguments": {},
        "inputResponses": {"who": named}, "requestState": state,
    });
    harness.principal = who;
    let second = modern(harness, "tools/call", tool, (params, ""));
    outcome(harness, second).await
}

type Who = Option<&'static str>;

/// The message that answers a request, now or later.
pub(super) async fn outcome(harness: &mut TestEndpoint, answer: Answer) -> Value {
    if !matches!(answer.disposition, Disposition::Pending(_)) {
        return answer.body;
    }
    let delivered = harness.settle().await;
    match &delivered[..] {
        [(_, crate::mcp::Part::Final { body, .. })] => serde_json::from_slice(body).unwrap(),
        other => panic!("one final part: {other:?}"),
    }
}

#[test]
fn a_state_is_taken_back_from_whom_it_was_given_to() {
    on_executor(async {
        let mut harness = harness();
        for tool in ["greets", "greets_later"] {
            for owner in [ANN, None] {
                let body = bring_back(&mut harness, tool, owner, owner).await;
                assert_eq!(body, stamped_text("hello you"), "{tool} {owner:?}");
                for other in OTHERS.into_iter().chain([ANN]) {
                    if other != owner {
                        let body = bring_back(&mut harness, tool, owner, other).await;
                        assert_eq!(body["error"]["code"], -32602, "{tool} {other:?}");
                    }
                }
            }
        }
    });
}

pub(super) fn stamped_text(said: &str) -> Value {
    with_trailer(1, text(said))
}
