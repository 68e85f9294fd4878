//! Requests of upstreams to clients.
//!
//! Those of a modern upstream to a modern client end a round of the call, and the client repeats
//! its request with the answers. A legacy client gets them on the stream of its call.

use corelane_tests::mock_upstream::{Act, MockUpstream, Received, result_of};
use corelane_tests::request::CAPABILITIES_KEY;
use corelane_tests::{Connection, EventStream, Request, Session, Setup};
use serde_json::{Value, json};

use super::Gateway;

/// A state that a reader of JSON would change.
const STATE: &str = r#""s\u0031\/ \ud83d\ude00""#;
const FORM: &str = r#"{"mode":"form","message":"Name?","requestedSchema":{"type":"object",
"properties":{"n":{"type":"number","maximum":1.50e3}}}}"#;

/// A result that elicits a name, with this state.
fn input(state: Option<&str>) -> String {
    let state = state.map_or(String::new(), |state| format!(r#","requestState":{state}"#));
    format!(
        r#"{{"resultType":"input_required","inputRequests":{{"name":
        {{"method":"elicitation/create","params":{FORM}}}}}{state}}}"#
    )
}

/// A tool that elicits a name first; its result is the answer.
pub(super) fn elicits(state: Option<&'static str>) -> MockUpstream {
    MockUpstream::with_tools(&["call", "other"], move |received| {
        let answer = received.message()["params"]["inputResponses"]["name"].clone();
        Act::Send(match answer.is_null() {
            true => result_of(received, &input(state)),
            false => result_of(
                received,
                &json!({ "content": [], "structuredContent": answer, "resultType": "complete" })
                    .to_string(),
            ),
        })
    })
}

/// A call of a client with these capabilities and more members of the params.
fn call(tool: &str, capabilities: Value, more: &Value) -> Request {
    let mut params = json!({ "name": tool, "arguments": { "n": 1 } });
    for (name, value) in more.as_object().into_iter().flatten() {
        params[name] = value.clone();
    }
    Request::modern(1, "tools/call", params).meta(CAPABILITIES_KEY, capabilities)
}

fn form() -> Value {
    json!({ "elicitation": { "form": {} } })
}

fn exchange(connection: &mut Connection, request: &Request) -> Value {
    connection.exchange(request).answer()
}

/// The state of a first round.
fn first(connection: &mut Connection) -> Value {
    let answer = exchange(connection, &call("up_call", form(), &json!({})));
    assert_eq!(answer["result"]["resultType"], "input_required", "{answer}");
    answer["result"]["requestState"].clone()
}

/// The params of the last call as the upstream got them.
fn last(mock: &MockUpstream) -> Received {
    let calls = mock.received_of("tools/call");
    calls.last().cloned().expect("a call arrived")
}

#[test]
fn the_client_answers_and_the_upstream_gets_its_own_state_back() {
    let mock = elicits(Some(STATE));
    let gateway = Gateway::before(&mock);
    let mut connection = gateway.connect();
    let answer = exchange(&mut connection, &call("up_call", form(), &json!({})));
    let result = &answer["result"];
    let question = &result["inputRequests"]["name"];
    assert_eq!(question["params"]["message"], "[up] Name?", "{answer}");
    let state = result["requestState"].as_str().expect("a state");
    assert!(!STATE.contains(state), "it is sealed: {state}");
    let declared = last(&mock).message()["params"]["_meta"][CAPABILITIES_KEY].clone();
    assert_eq!(declared, form());

    let retry = json!({
        "requestState": state,
        "inputResponses": { "name": { "action": "accept", "content": { "n": 1.50 } } },
    });
    let answer = exchange(&mut connection, &call("up_call", form(), &retry));
    let content = &answer["result"]["structuredContent"];
    assert_eq!(content["content"]["n"], 1.5, "{answer}");
    let retried = last(&mock);
    let expected = format!(r#""requestState":{STATE}"#);
    assert!(retried.body.contains(&expected), "{}", retried.body);
    let arguments = &retried.message()["params"]["arguments"];
    assert_eq!(*arguments, json!({ "n": 1 }));
    assert_eq!(mock.received_of("tools/call").len(), 2);
}

#[test]
fn an_upstream_without_state_gets_none() {
    let mock = elicits(None);
    let gateway = Gateway::before(&mock);
    let mut connection = gateway.connect();
    assert_eq!(first(&mut connection), Value::Null);
    let retry = json!({ "inputResponses": { "name": { "action": "decline" } } });
    let answer = exchange(&mut connection, &call("up_call", form(), &retry));
    let content = &answer["result"]["structuredContent"];
    assert_eq!(content["action"], "decline", "{answer}");
    assert!(!last(&mock).body.contains("requestState"));
}

#[test]
fn a_state_serves_its_own_call_alone() {
    let mock = elicits(Some(STATE));
    let gateway = Gateway::before(&mock);
    let mut connection = gateway.connect();
    let state = first(&mut connection);
    let text = state.as_str().expect("a state");
    let responses = json!({ "name": { "action": "accept" } });
    for (tool, state, arguments) in [
        ("up_other", text.to_owned(), json!({ "n": 1 })),
        ("up_call", text.to_owned(), json!({ "n": 2 })),
        ("up_call", format!("{text}A"), json!({ "n": 1 })),
        ("up_call", "s1".to_owned(), json!({ "n": 1 })),
    ] {
        let more = json!({
            "requestState": state, "inputResponses": responses, "arguments": arguments,
        });
        let answer = exchange(&mut connection, &call(tool, form(), &more));
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
    }
    assert_eq!(mock.received_of("tools/call").len(), 1, "none went through");
    let null = json!({ "requestState": null, "inputResponses": responses });
    exchange(&mut connection, &call("up_call", form(), &null));
    let body = last(&mock).body;
    assert!(!body.contains("requestState"), "null is absent: {body}");
}

#[test]
fn a_request_that_the_client_has_not_declared_fails_the_call() {
    for (capabilities, sent) in [
        (json!({ "sampling": {} }), json!({ "sampling": {} })),
        (
            json!({ "elicitation": { "url": {} }, "roots": { "listChanged": true } }),
            json!({ "elicitation": { "url": {} }, "roots": {} }),
        ),
        (json!({}), json!({})),
    ] {
        let mock = elicits(Some(STATE));
        let gateway = Gateway::before(&mock);
        let mut connection = gateway.connect();
        let call = call("up_call", capabilities, &json!({}));
        let answer = exchange(&mut connection, &call);
        assert_eq!(answer["error"]["data"]["reason"], "protocol", "{answer}");
        let declared = &last(&mock).message()["params"]["_meta"][CAPABILITIES_KEY];
        assert_eq!(*declared, sent);
    }
}

#[test]
fn a_state_that_is_too_long_fails_the_call_and_one_of_48_kilobytes_does_not() {
    let mock = MockUpstream::with_tools(&["call"], |received| {
        let bytes = received.message()["params"]["arguments"]["bytes"].as_u64();
        let state = format!(r#""{}""#, "s".repeat(bytes.unwrap_or(0) as usize));
        Act::Send(result_of(received, &input(Some(&state))))
    });
    let gateway = Gateway::before(&mock);
    let mut connection = gateway.connect();
    for (bytes, fits) in [(48_000, true), (50_000, false)] {
        let more = json!({ "arguments": { "bytes": bytes } });
        let answer = exchange(&mut connection, &call("up_call", form(), &more));
        assert_eq!(answer["result"].is_object(), fits, "{answer}");
        if !fits {
            assert_eq!(answer["error"]["code"], -32603);
        }
    }
}

#[test]
fn the_message_names_the_upstream_unless_the_configuration_forbids_it() {
    let mock = elicits(None);
    let section = mock.section("up") + "questions = { name_upstream = false }\n";
    let gateway = Gateway::start(&section);
    gateway.wait_for("up_call");
    let mut connection = gateway.connect();
    let answer = exchange(&mut connection, &call("up_call", form(), &json!({})));
    let question = &answer["result"]["inputRequests"]["name"];
    assert_eq!(question["params"]["message"], "Name?", "{answer}");
}

#[test]
fn prompts_and_resources_have_requests_too_and_completion_has_none() {
    let lists = [
        ("prompts/list", "prompts", json!([{ "name": "p" }])),
        (
            "resources/list",
            "resources",
            json!([{ "name": "r", "uri": "a://r" }]),
        ),
        ("resources/templates/list", "resourceTemplates", json!([])),
    ];
    let mock = MockUpstream::with_lists(&lists, |received| {
        Act::Send(result_of(received, &input(Some(STATE))))
    });
    let gateway = Gateway::start_with(&mock.section("up"), Setup::shards(1));
    let mut connection = gateway.connect();
    for (method, params, is_relayed) in [
        ("prompts/get", json!({ "name": "up_p" }), true),
        ("resources/read", json!({ "uri": "a://r" }), true),
        (
            "completion/complete",
            json!({
                "ref": { "type": "ref/prompt", "name": "up_p" },
                "argument": { "name": "a", "value": "" },
            }),
            false,
        ),
    ] {
        let request = Request::modern(1, method, params).meta(CAPABILITIES_KEY, form());
        let request = match method {
            "resources/read" => request.field("Mcp-Name", "a://r"),
            _ => request,
        };
        let answer = corelane_tests::wait_until("the entry is listed", || {
            let answer = exchange(&mut connection, &request);
            (answer["error"]["code"] != -32602).then_some(answer)
        });
        let kind = &answer["result"]["resultType"];
        assert_eq!(kind == "input_required", is_relayed, "{method}: {answer}");
    }
}

/// A call of a legacy client with these capabilities, and its session.
fn legacy_call(gateway: &Gateway, capabilities: &Value) -> (Session, EventStream) {
    let mut connection = gateway.connect();
    let session = Session::open_as(&mut connection, capabilities);
    connection.send(&session.call("up_call", json!({ "n": 1 })));
    (session, EventStream::begin(connection))
}

/// Answers a request to a legacy client.
fn answer(gateway: &Gateway, session: &Session, question: &Value, result: &str) {
    let id = &question["id"];
    let body = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\n\"result\":{result}}}");
    let request = session.message(&json!({})).body(body);
    assert_eq!(gateway.connect().exchange(&request).status(), 202);
}

#[test]
fn a_legacy_client_answers_on_the_stream_of_its_call() {
    let mock = elicits(Some(STATE));
    let gateway = Gateway::before(&mock);
    let (session, mut stream) = legacy_call(&gateway, &form());
    let question = stream.next_message();
    assert_eq!(question["method"], "elicitation/create", "{question}");
    let params = &question["params"];
    assert_eq!(params["message"], "[up] Name?");
    assert_eq!(params["mode"], Value::Null, "older clients know none");
    let result = r#"{"action":"accept","content":{"n":1.50}}"#;
    answer(&gateway, &session, &question, result);
    let done = stream.next_message();
    let content = &done["result"]["structuredContent"];
    assert_eq!(content["content"]["n"], 1.5, "{done}");
    assert_eq!(done["result"]["resultType"], Value::Null, "{done}");
    let retried = last(&mock);
    for expected in [
        format!(r#""inputResponses":{{"name":{result}}}"#),
        format!(r#""requestState":{STATE}"#),
    ] {
        assert!(retried.body.contains(&expected), "{}", retried.body);
    }
    let calls = mock.received_of("tools/call");
    assert_eq!(calls.len(), 2);
    assert_ne!(calls[0].message()["id"], retried.message()["id"]);
}

#[test]
fn an_upstream_that_only_has_a_state_is_called_again_with_it() {
    let mock = MockUpstream::with_tools(&["call"], |received| {
        let is_first = received.message()["params"]["requestState"].is_null();
        Act::Send(match is_first {
            true => {
                let input = json!({ "resultType": "input_required", "requestState": "later" });
                result_of(received, &input.to_string())
            }
            false => result_of(received, super::EMPTY),
        })
    });
    let gateway = Gateway::before(&mock);
    let (_, mut stream) = legacy_call(&gateway, &form());
    assert!(stream.next_message()["result"].is_object());
    assert_eq!(last(&mock).message()["params"]["requestState"], "later");
}

#[test]
fn a_call_has_ten_rounds_at_most() {
    let mock = MockUpstream::with_tools(&["call"], |received| {
        Act::Send(result_of(received, &input(Some(STATE))))
    });
    let gateway = Gateway::before(&mock);
    let (session, mut stream) = legacy_call(&gateway, &form());
    for _ in 0..10 {
        let question = stream.next_message();
        answer(&gateway, &session, &question, r#"{"action":"decline"}"#);
    }
    let ended = stream.next_message();
    assert_eq!(ended["error"]["data"]["reason"], "protocol", "{ended}");
    assert_eq!(ended["error"]["data"]["executed"], "unknown");
    assert_eq!(mock.received_of("tools/call").len(), 11);
}

#[test]
fn all_requests_of_a_round_are_sent_at_once() {
    let mock = MockUpstream::with_tools(&["call"], |received| {
        let responses = received.message()["params"]["inputResponses"].clone();
        let all = json!({ "a": { "method": "roots/list" }, "b": { "method": "roots/list" } });
        let result = match responses.is_null() {
            true => json!({ "resultType": "input_required", "inputRequests": all }),
            false => json!({ "content": [], "structuredContent": responses }),
        };
        Act::Send(result_of(received, &result.to_string()))
    });
    let gateway = Gateway::before(&mock);
    let (session, mut stream) = legacy_call(&gateway, &json!({ "roots": {} }));
    let questions = [stream.next_message(), stream.next_message()];
    for question in questions.iter().rev() {
        answer(&gateway, &session, question, r#"{"roots":[]}"#);
        // A second answer to the same request is ignored.
        answer(
            &gateway,
            &session,
            question,
            r#"{"roots":[{"uri":"file:///x"}]}"#,
        );
    }
    let done = stream.next_message();
    let expected = json!({ "a": { "roots": [] }, "b": { "roots": [] } });
    assert_eq!(done["result"]["structuredContent"], expected, "{done}");
    assert_eq!(mock.received_of("tools/call").len(), 2);
}

/// Each answer is an event of its own, and the call is made again for the last one only.
#[test]
fn answers_that_arrive_together_are_one_round() {
    let mock = MockUpstream::with_tools(&["call"], |received| {
        let responses = received.message()["params"]["inputResponses"].clone();
        let form = format!(r#"{{"method":"elicitation/create","params":{FORM}}}"#);
        let input = format!(
            r#"{{"resultType":"input_required","inputRequests":{{"a":{form},"b":{form}}}}}"#
        );
        let done = json!({ "content": [], "structuredContent": responses });
        Act::Send(match responses.is_null() {
            true => result_of(received, &input),
            false => result_of(received, &done.to_string()),
        })
    });
    let gateway = Gateway::before(&mock);
    let (session, mut stream) = legacy_call(&gateway, &form());
    let questions = [stream.next_message(), stream.next_message()];
    let mut connection = gateway.connect();
    let posts = questions.iter().flat_map(|question| {
        let answer = json!({
            "jsonrpc": "2.0", "id": question["id"], "result": { "action": "decline" },
        });
        session.message(&answer).to_bytes(connection.address())
    });
    let posts: Vec<u8> = posts.collect();
    connection.send_bytes(&posts);
    for _ in &questions {
        assert_eq!(connection.read_response().status(), 202);
    }
    let done = stream.next_message();
    let declined = json!({ "action": "decline" });
    let expected = json!({ "a": declined, "b": declined });
    assert_eq!(done["result"]["structuredContent"], expected, "{done}");
    assert_eq!(mock.received_of("tools/call").len(), 2, "made again once");
}
