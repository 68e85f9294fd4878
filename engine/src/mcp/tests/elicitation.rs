//! Handlers with requests to their client, in both eras.

mod ended;
mod malformed;
mod once;

use std::sync::Arc;

use corelane_protocol::jsonrpc::{Decoder, JsonLimits, Message};
use corelane_protocol::mcp::method::Method;
use corelane_protocol::request_state::{RequestStateError, Sealer, params_digest};
use serde::Deserialize;
use serde_json::{Value, json};

use super::test_endpoint::{
    MODERN, TestEndpoint, check_parts, claim, error, on_executor, part_of, request, result, text,
    with_trailer,
};
use crate::catalog::prompt::Prompt;
use crate::catalog::tool::Tool;
use crate::catalog::{Entries, Plan};
use crate::handler::{Call, CallError, Elicitation, Sampling};
use crate::mcp::handler_kind::HandlerKind;
use crate::mcp::questions::{UNREACHABLE, unix_ms};
use crate::mcp::{EndpointSettings, Part};
use corelane_io::executor::yield_now;

#[derive(Deserialize)]
struct NoArguments {}

#[derive(Deserialize, schemars::JsonSchema)]
struct Name {
    name: String,
}

async fn greets(call: &Call, _: NoArguments) -> Result<String, CallError> {
    let question = Elicitation::form::<Name>("Who are you?")?;
    let Name { name } = call.elicit("who", question).await?.into_form()?;
    let title = call
        .sample("title", Sampling::new(9).with_user_text("A title."))
        .await?;
    Ok(format!("hello {} {name}", title.text()))
}

#[derive(Deserialize, schemars::JsonSchema)]
struct NoPromptArguments {}

async fn greets_in_prompt(call: &Call, _: NoPromptArguments) -> Result<String, CallError> {
    greets(call, NoArguments {}).await
}

fn harness() -> TestEndpoint {
    harness_with(|_| ())
}

fn harness_with(change: impl FnOnce(&mut EndpointSettings)) -> TestEndpoint {
    TestEndpoint::with(|settings| {
        let any = r#"{"type":"object"}"#;
        let tools = vec![
            Tool::from_schema("greets", "d", any, greets),
            Tool::from_schema("waits", "d", any, async |call: &Call, _: NoArguments| {
                yield_now().await;
                greets(call, NoArguments {}).await
            }),
            Tool::from_schema("elicits", "d", any, async |call: &Call, _: NoArguments| {
                let question = Elicitation::form::<Name>("Who are you?")?;
                call.elicit("it", question).await.map(|_| ())
            }),
            Tool::from_schema("samples", "d", any, async |call: &Call, _: NoArguments| {
                call.sample("it", Sampling::new(9)).await.map(|_| ())
            }),
            Tool::from_schema("roots", "d", any, async |call: &Call, _: NoArguments| {
                call.roots("it").await.map(|_| ())
            }),
        ];
        // Named like a tool, with the same request.
        let prompt = Prompt::new("greets", "d", greets_in_prompt);
        let entries = Entries {
            prompts: vec![prompt],
            ..Entries::from(tools)
        };
        let plan = Plan::new(entries, 10).expect("the entries of the tests are usable");
        settings.parts.plan = Arc::new(plan);
        change(settings);
    })
}

/// A session with an open stream of a client that can elicit and sample; returns its header line.
fn able_session(harness: &mut TestEndpoint) -> String {
    let session = silent_session(harness);
    harness.send("GET", &session).check("stream", &Value::Null);
    session
}

/// The same without a stream.
fn silent_session(harness: &mut TestEndpoint) -> String {
    let params = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": {"elicitation": {}, "sampling": {}, "roots": {}},
        "clientInfo": {"name": "n", "version": "1"},
    });
    match harness
        .post("", &request(1, "initialize", params))
        .disposition
    {
        crate::mcp::Disposition::Answer {
            session: Some(session),
            ..
        } => super::test_endpoint::session_header(session.id),
        other => panic!("initialize is answered at once: {other:?}"),
    }
}

/// Calls a tool with more members of the params, of a modern client that can elicit and sample.
fn call(harness: &mut TestEndpoint, tool: &str, more: Value) -> super::test_endpoint::Answer {
    query(harness, Method::ToolsCall, tool, more)
}

/// Calls a tool or gets a prompt in the same way.
fn query(
    harness: &mut TestEndpoint,
    method: Method,
    name: &str,
    more: Value,
) -> super::test_endpoint::Answer {
    let mut params = json!({"name": name, "arguments": {}, "_meta": claim()});
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
        json!({"elicitation": {}, "sampling": {}, "roots": {}});
    for (name, value) in more.as_object().expect("members of the params") {
        params[name] = value.clone();
    }
    let method = method.name();
    let headers = format!("{MODERN}Mcp-Method: {method}\r\nMcp-Name: {name}\r\n");
    harness.post(&headers, &request(1, method, params))
}

fn named(name: &str) -> Value {
    json!({"action": "accept", "content": {"name": name}})
}

fn sampled(text: &str) -> Value {
    json!({"role": "assistant", "model": "m", "content": {"type": "text", "text": text}})
}

/// The state and the keys of a result that requests input.
#[track_caller]
fn requested(body: &Value) -> (String, Vec<&String>) {
    let result = &body["result"];
    assert_eq!(result["resultType"], "input_required", "{body}");
    let state = result["requestState"].as_str().expect("a state");
    let keys = result["inputRequests"].as_object().expect("questions");
    (state.to_owned(), keys.keys().collect())
}

#[test]
fn a_modern_client_answers_in_rounds_and_the_state_carries_the_answers() {
    let mut harness = harness();
    let first = call(&mut harness, "greets", json!({})).body;
    let (state, keys) = requested(&first);
    assert_eq!(keys, ["who"]);
    let question = &first["result"]["inputRequests"]["who"];
    assert_eq!(question["method"], "elicitation/create");
    assert_eq!(question["params"]["requestedSchema"]["type"], "object");

    let more = json!({"inputResponses": {"who": named("you")}, "requestState": state});
    let second = call(&mut harness, "greets", more).body;
    let (next, keys) = requested(&second);
    assert_eq!(keys, ["title"]);
    assert_ne!(next, state);

    let more = json!({"inputResponses": {"title": sampled("dear")}, "requestState": next});
    call(&mut harness, "greets", more).check("200", &with_trailer(1, text("hello dear you")));
}

#[test]
fn responses_without_a_state_are_taken_and_unknown_ones_ignored() {
    let mut harness = harness();
    let both = json!({"who": named("you"), "title": sampled("dear"), "junk": {}});
    let more = json!({"inputResponses": both});
    call(&mut harness, "greets", more).check("200", &with_trailer(1, text("hello dear you")));
    let wrong = json!({"inputResponses": {"wrong": named("you")}});
    assert_eq!(
        requested(&call(&mut harness, "greets", wrong).body).1,
        ["who"]
    );
    let none = json!({"inputResponses": null, "requestState": null});
    assert_eq!(
        requested(&call(&mut harness, "greets", none).body).1,
        ["who"]
    );
    for responses in [json!(7), json!({"who": 1}), json!({"who": null})] {
        let more = json!({"inputResponses": responses});
        call(&mut harness, "greets", more).check("200", &error(1, -32602));
    }
}

#[test]
fn a_state_belongs_to_its_call() {
    let mut harness = harness();
    let (state, _) = requested(&call(&mut harness, "greets", json!({})).body);
    let mut check = |tool: &str, arguments: Value, state: &str| {
        let more = json!({
            "arguments": arguments,
            "inputResponses": {"who": named("you")},
            "requestState": state,
        });
        call(&mut harness, tool, more).check("200", &error(1, -32602));
    };
    check("greets", json!({}), &format!("{state}-TAMPERED"));
    check("greets", json!({}), "");
    check("greets", json!({"other": 1}), &state);
    check("waits", json!({}), &state);
}

#[test]
fn a_state_is_of_no_other_method_even_with_the_same_params() {
    let mut harness = harness();
    for (from, to) in [
        (Method::ToolsCall, Method::PromptsGet),
        (Method::PromptsGet, Method::ToolsCall),
    ] {
        let (state, _) = requested(&query(&mut harness, from, "greets", json!({})).body);
        let more = json!({"inputResponses": {"who": named("you")}, "requestState": state});
        let answer = query(&mut harness, to, "greets", more.clone());
        answer.check("200", &error(1, -32602));
        let next = query(&mut harness, from, "greets", more).body;
        assert_eq!(
            requested(&next).1,
            ["title"],
            "{from:?} takes its own state"
        );
    }
}

#[test]
fn a_state_is_refused_when_the_time_to_answer_is_over() {
    let mut harness = harness_with(|settings| settings.answer_timeout_ms = 0);
    let (state, _) = requested(&call(&mut harness, "greets", json!({})).body);
    let more = json!({"inputResponses": {"who": named("you")}, "requestState": state});
    let answer = call(&mut harness, "greets", more);
    answer.check("200", &error(1, -32602));
    let expired = RequestStateError::Expired.to_string();
    assert_eq!(answer.body["error"]["message"], expired);
}

#[test]
fn a_state_lasts_as_long_as_a_client_may_take_to_answer() {
    const ANSWER_TIMEOUT_MS: u64 = 1000;
    let sealer = Arc::new(Sealer::random());
    let mut harness = harness_with(|settings| {
        settings.answer_timeout_ms = ANSWER_TIMEOUT_MS;
        settings.parts.sealer = Arc::clone(&sealer);
    });
    let before_ms = unix_ms();
    let (state, _) = requested(&call(&mut harness, "greets", json!({})).body);
    let after_ms = unix_ms();
    let text = request(1, "m", json!({"name": "greets", "arguments": {}}));
    let mut decoder = Decoder::new(JsonLimits::default());
    let decoded = decoder.decode(text.as_bytes()).expect("a request is JSON");
    let Ok(Message::Request {
        params: Some(params),
        ..
    }) = decoded.message()
    else {
        panic!("a request with params");
    };
    let binding = HandlerKind::Tool.binding(None, params_digest(params));
    let open = |at_ms| sealer.open(&state, &binding, at_ms);
    assert!(open(before_ms + ANSWER_TIMEOUT_MS - 1).is_ok());
    let late = open(after_ms + ANSWER_TIMEOUT_MS);
    assert_eq!(late, Err(RequestStateError::Expired));
}

#[test]
fn a_handler_may_wait_before_it_elicits() {
    on_executor(async {
        let mut harness = harness();
        let answer = call(&mut harness, "waits", json!({}));
        answer.pending();
        let delivered = harness.settle().await;
        let Part::Final { body, .. } = &delivered[0].1 else {
            panic!("no final part: {delivered:?}");
        };
        let body: Value = serde_json::from_slice(body).unwrap();
        let (state, keys) = requested(&body);
        assert_eq!(keys, ["who"]);
        let both = json!({"who": named("you"), "title": sampled("dear")});
        let more = json!({"inputResponses": both, "requestState": state});
        let answer = call(&mut harness, "waits", more);
        let expected = with_trailer(1, text("hello dear you"));
        check_parts(
            &harness.settle().await,
            answer.exchange,
            &[("200", expected)],
        );
    });
}

/// The request among the deliveries.
#[track_caller]
fn question(delivered: &[(crate::mcp::Exchange, Part)]) -> Value {
    let [(_, Part::Event { message: event, .. })] = delivered else {
        panic!("not one event: {delivered:?}");
    };
    serde_json::from_slice(event).unwrap()
}

fn response(id: &Value, member: &str, value: Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, member: value}).to_string()
}

#[test]
fn a_legacy_client_is_sent_requests_and_heard_on_its_own() {
    on_executor(async {
        let mut harness = harness();
        let session = able_session(&mut harness);
        let other = able_session(&mut harness);
        let answer = harness.call_legacy(&session, "greets", json!({}));
        answer.pending();
        let first = question(&harness.settle().await);
        assert_eq!(first["method"], "elicitation/create");
        let name = response(&first["id"], "result", named("you"));
        // A session is heard only on its own questions.
        harness.post(&other, &name).check("accepted", &Value::Null);
        assert!(harness.settle().await.is_empty());
        harness
            .post(&session, &name)
            .check("accepted", &Value::Null);
        let second = question(&harness.settle().await);
        assert_eq!(second["method"], "sampling/createMessage");
        assert_ne!(second["id"], first["id"]);
        // Twice is once.
        harness
            .post(&session, &name)
            .check("accepted", &Value::Null);
        let title = response(&second["id"], "result", sampled("dear"));
        harness
            .post(&session, &title)
            .check("accepted", &Value::Null);
        let expected = result(1, text("hello dear you"));
        check_parts(
            &harness.settle().await,
            answer.exchange,
            &[("200", expected)],
        );
    });
}

#[test]
fn a_request_goes_out_on_the_stream_of_its_call_or_else_on_one_of_the_session() {
    on_executor(async {
        for takes_events in [true, false] {
            let mut harness = harness();
            let session = silent_session(&mut harness);
            let opened = harness.send("GET", &session);
            harness.takes_events = takes_events;
            let called = harness.call_legacy(&session, "greets", json!({}));
            let delivered = harness.settle().await;
            let (exchange, part) = delivered.last().expect("a question");
            assert_eq!(part_of(part).1["method"], "elicitation/create");
            let expected = if takes_events { called } else { opened };
            assert_eq!(*exchange, expected.exchange);
        }
    });
}

#[test]
fn a_request_that_would_reach_nobody_fails_at_once() {
    on_executor(async {
        let mut harness = harness();
        let session = silent_session(&mut harness);
        let called = harness.call_legacy(&session, "greets", json!({}));
        let expected = super::test_endpoint::failure(UNREACHABLE);
        check_parts(
            &harness.settle().await,
            called.exchange,
            &[("200", result(1, expected))],
        );
    });
}

#[test]
fn an_answer_counts_among_the_bytes_of_its_call() {
    on_executor(async {
        let mut harness = harness();
        let bytes = |harness: &mut TestEndpoint| harness.endpoint.services().calls.shares().bytes();
        let session = able_session(&mut harness);
        harness.call_legacy(&session, "greets", json!({})).pending();
        let before = bytes(&mut harness);
        let requested = question(&harness.settle().await);
        let name = "n".repeat(1000);
        let answer = response(&requested["id"], "result", named(&name));
        harness.post(&session, &answer);
        let after = bytes(&mut harness);
        assert!(after > before + 1000);
        harness.post(&session, &answer);
        assert_eq!(bytes(&mut harness), after, "one answer is kept");
        let requested = question(&harness.settle().await);
        harness.post(
            &session,
            &response(&requested["id"], "result", sampled("t")),
        );
        assert_eq!(harness.settle().await.len(), 1);
        assert_eq!(bytes(&mut harness), 0);
    });
}

#[test]
fn an_answer_without_room_fails_the_question_and_names_the_limit() {
    on_executor(async {
        let mut harness = harness_with(|settings| settings.calls.bytes_max = 20_000);
        let session = able_session(&mut harness);
        let answer = harness.call_legacy(&session, "greets", json!({}));
        let filler = json!({"filler": "x".repeat(11_000)});
        harness.call_legacy(&session, "greets", filler).pending();
        let requested = question(&harness.settle().await[..1]);
        let name = response(&requested["id"], "result", named(&"n".repeat(9000)));
        harness.post(&session, &name);
        let delivered = harness.settle().await;
        let said = super::test_endpoint::part_of(&delivered[0].1).1;
        assert_eq!(delivered[0].0, answer.exchange);
        let text = said["result"]["content"][0]["text"].as_str().unwrap();
        assert!(text.contains("the answer cannot be kept"), "{text}");
        assert!(text.contains("calls.bytes_max"), "{text}");
    });
}

#[test]
fn a_refusal_of_a_legacy_client_reaches_the_model() {
    on_executor(async {
        let mut harness = harness();
        let session = able_session(&mut harness);
        let answer = harness.call_legacy(&session, "greets", json!({}));
        let requested = question(&harness.settle().await);
        let error = json!({"code": -1, "message": "not now"});
        harness.post(&session, &response(&requested["id"], "error", error));
        let expected = result(
            1,
            super::test_endpoint::failure("the client refused: not now"),
        );
        check_parts(
            &harness.settle().await,
            answer.exchange,
            &[("200", expected)],
        );
    });
}

#[test]
fn a_client_gets_no_request_without_the_capability() {
    let mut harness = harness();
    let session = harness.session();
    harness
        .call_legacy(&session, "greets", json!({}))
        .check("200", &error(1, -32600));
    let said = harness.call_modern("greets", json!({}), json!({})).body["error"].clone();
    assert_eq!(said["code"], -32021);
    let required = json!({"elicitation": {"form": {}}});
    assert_eq!(said["data"]["requiredCapabilities"], required);
}
