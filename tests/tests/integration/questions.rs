//! Pages for the user and tools for the client's model: requested only from clients with the
//! capability, in the form of their era.
//!
//! MCP 2025-11-25 and 2026-07-28 client/elicitation ("URL Mode Elicitation Requests") and
//! client/sampling ("Sampling with Tools").

use corelane::{Call, CallError, Elicitation, Elicited, Sampling, Server, Tool};
use corelane_tests::request::CAPABILITIES_KEY;
use corelane_tests::{EventStream, Request, Session};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fixture::Fixture;

const URL: &str = "https://pay.example/basket/7?lang=en";

/// Rounds of the model with tools before the handler gives up.
const ROUNDS_MAX: usize = 3;

#[derive(Deserialize, JsonSchema)]
struct NoArguments {}

fn start() -> Fixture {
    let extend = |server: Server| {
        server
            .with_tool(Tool::new("page", "Sends the user to a page.", page))
            .with_tool(Tool::new("agent", "Lets the model use a tool.", agent))
            .with_tool(Tool::new(
                "choosy",
                "Tells the model how to use tools, and gives it none.",
                async |call: &Call, _: NoArguments| {
                    let question = Sampling::new(10).with_user_text("Well?");
                    let question = question.with_param("toolChoice", json!({ "mode": "none" }));
                    Ok(call.sample("answer", question).await?.text().to_owned())
                },
            ))
    };
    Fixture::with(2, |_| {}, extend)
}

async fn page(call: &Call, _: NoArguments) -> Result<&'static str, CallError> {
    let question = Elicitation::url("Pay, please.", URL, "basket-7");
    Ok(match call.elicit("payment", question).await? {
        Elicited::Accepted(_) => "accepted",
        Elicited::Declined => "declined",
        Elicited::Cancelled => "cancelled",
    })
}

/// Answers each use of the tool with its arguments, until the model returns a text.
async fn agent(call: &Call, _: NoArguments) -> Result<String, CallError> {
    let mut question = Sampling::new(100)
        .with_user_text("What is the weather?")
        .with_param(
            "tools",
            json!([{ "name": "weather", "inputSchema": { "type": "object" } }]),
        )
        .with_param("toolChoice", json!({ "mode": "auto" }));
    for round in 0..ROUNDS_MAX {
        let answer = call
            .sample(&format!("round-{round}"), question.clone())
            .await?;
        if answer.stop_reason.as_deref() != Some("toolUse") {
            return Ok(answer.text().to_owned());
        }
        let uses = answer.content.as_array().cloned().unwrap_or_default();
        let results: Vec<Value> = uses
            .iter()
            .map(|used| {
                let said = json!([{ "type": "text", "text": used["input"].to_string() }]);
                json!({ "type": "tool_result", "toolUseId": used["id"], "content": said })
            })
            .collect();
        question = question
            .with_message("assistant", answer.content)
            .with_message("user", Value::Array(results));
    }
    Err(CallError::new("the model has used too many tools"))
}

/// A legacy call of a client with `capabilities`, and its session.
fn legacy(server: &Fixture, tool: &str, capabilities: &Value) -> (Session, EventStream) {
    let session = Session::open_as(&mut server.connect(), capabilities);
    let call = session.call(tool, json!({}));
    let stream = server.stream(&call.field("Accept", "text/event-stream"));
    (session, stream)
}

/// Answers a request of the server.
fn answer(server: &Fixture, session: &Session, question: &Value, result: Value) {
    let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": result });
    let response = server.connect().exchange(&session.message(&answer));
    assert_eq!(response.status(), 202, "{response:?}");
}

/// A modern call of a client with `capabilities`, with the responses of earlier rounds.
fn modern(server: &Fixture, tool: &str, capabilities: &Value, more: Value) -> (u16, Value) {
    let mut params = json!({ "name": tool, "arguments": {} });
    for (name, value) in more.as_object().expect("members") {
        params[name] = value.clone();
    }
    let request = Request::modern(1, "tools/call", params);
    let request = request.meta(CAPABILITIES_KEY, capabilities.clone());
    let response = server.connect().exchange(&request);
    (response.status(), response.answer())
}

fn text_of(answer: &Value) -> &str {
    let text = answer["result"]["content"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("no text: {answer}"))
}

const PAGES: &str = r#"{"elicitation":{"url":{}}}"#;

/// The actions of users on a page, in the client's words and as the handler gets them.
const ACTIONS: [(&str, &str); 3] = [
    ("accept", "accepted"),
    ("decline", "declined"),
    ("cancel", "cancelled"),
];

/// A client that takes no stream as the answer is sent requests on the stream of its session, and
/// without one the call fails at once.
#[test]
fn a_client_that_takes_json_only_is_sent_requests_on_the_stream_of_its_session() {
    let server = start();
    let capabilities: Value = serde_json::from_str(PAGES).expect("JSON");
    for has_stream in [true, false] {
        let session = Session::open_as(&mut server.connect(), &capabilities);
        let stream = has_stream.then(|| server.stream(&session.stream()));
        let mut connection = server.connect();
        let call = session.call("page", json!({}));
        connection.send(&call.field("Accept", "application/json"));
        if let Some(mut stream) = stream {
            let question = stream.next_message();
            assert_eq!(question["method"], "elicitation/create", "{question}");
            answer(&server, &session, &question, json!({ "action": "accept" }));
            assert_eq!(text_of(&connection.read_response().answer()), "accepted");
        } else {
            let said = connection.read_response().answer();
            assert_eq!(said["result"]["isError"], true, "{said}");
            assert!(text_of(&said).contains("cannot be sent requests"), "{said}");
        }
    }
}

/// A request for a page has its mode, its message, its address and, in the legacy era only, its id;
/// the user's action comes back without content.
#[test]
fn a_page_is_requested_in_the_form_of_each_era() {
    let server = start();
    let capabilities: Value = serde_json::from_str(PAGES).expect("JSON");
    for (action, expected) in ACTIONS {
        let (session, mut stream) = legacy(&server, "page", &capabilities);
        let question = stream.next_message();
        let params = json!({
            "mode": "url", "message": "Pay, please.", "url": URL, "elicitationId": "basket-7",
        });
        assert_eq!(question["method"], "elicitation/create", "{question}");
        assert_eq!(question["params"], params);
        answer(&server, &session, &question, json!({ "action": action }));
        let answer = stream.next_message();
        assert_eq!(text_of(&answer), expected, "{answer}");

        let (status, requested) = modern(&server, "page", &capabilities, json!({}));
        assert_eq!(status, 200, "{requested}");
        let result = &requested["result"];
        assert_eq!(result["resultType"], "input_required", "{requested}");
        let params = json!({ "mode": "url", "message": "Pay, please.", "url": URL });
        let request = json!({ "method": "elicitation/create", "params": params });
        assert_eq!(result["inputRequests"], json!({ "payment": request }));
        let more = json!({
            "inputResponses": { "payment": { "action": action } },
            "requestState": result["requestState"],
        });
        let (status, answer) = modern(&server, "page", &capabilities, more);
        assert_eq!(status, 200, "{answer}");
        assert_eq!(text_of(&answer), expected, "{answer}");
    }
}

/// "Servers MUST NOT send elicitation requests with modes that are not supported by the client": no
/// capability, a bare one and one for forms do not allow pages, and one for pages does not allow
/// forms. The error -32042 is for pages only, and undefined in the modern era.
#[test]
fn a_client_without_pages_gets_no_page() {
    let server = start();
    for capabilities in [
        json!({}),
        json!({ "elicitation": {} }),
        json!({ "elicitation": { "form": {} } }),
        json!({ "sampling": { "tools": {} } }),
    ] {
        let (_, mut stream) = legacy(&server, "page", &capabilities);
        let answer = stream.next_message();
        assert_eq!(answer["id"], 1, "{capabilities}: {answer}");
        assert!(answer["error"]["code"].is_i64(), "{capabilities}: {answer}");
        let (status, answer) = modern(&server, "page", &capabilities, json!({}));
        assert_eq!(status, 400, "{capabilities}: {answer}");
        assert_eq!(answer["error"]["code"], -32021, "{capabilities}: {answer}");
        let required = json!({ "elicitation": { "url": {} } });
        assert_eq!(answer["error"]["data"]["requiredCapabilities"], required);
    }
}

/// Conversely, a client with pages only gets no form.
#[test]
fn a_client_with_pages_only_gets_no_form() {
    let server = corelane_tests::Setup::shards(1).start();
    let capabilities: Value = serde_json::from_str(PAGES).expect("JSON");
    let mut connection = server.connect();
    let session = Session::open_as(&mut connection, &capabilities);
    let tool = "test_streaming_elicitation";
    let response = connection.exchange(&session.call(tool, json!({})));
    let messages = response.messages();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(messages[0]["error"]["code"].is_i64(), "{messages:?}");
    let call = Request::modern_call(tool, json!({})).meta(CAPABILITIES_KEY, capabilities);
    let response = connection.exchange(&call);
    assert_eq!(response.status(), 400, "{response:?}");
    assert_eq!(response.json()["error"]["code"], -32021, "{response:?}");
}

/// The model's outputs in the rounds of `agent`: two tools at once, then one, then a text.
fn said(round: usize) -> Value {
    let used = |id: &str| {
        let input = json!({ "city": id });
        json!({ "type": "tool_use", "id": id, "name": "weather", "input": input })
    };
    let (content, stop_reason) = match round {
        0 => (json!([used("oslo"), used("rome")]), "toolUse"),
        1 => (json!([used("bonn")]), "toolUse"),
        _ => (json!({ "type": "text", "text": "sunny" }), "endTurn"),
    };
    json!({ "role": "assistant", "model": "m", "content": content, "stopReason": stop_reason })
}

/// Checks the messages for the model in a round: the whole conversation so far, each use of a tool
/// followed by a message of results only, in the same order.
fn check_talk(params: &Value, round: usize) {
    assert_eq!(params["tools"][0]["name"], "weather", "{params}");
    assert_eq!(params["toolChoice"], json!({ "mode": "auto" }), "{params}");
    assert_eq!(params["maxTokens"], 100, "{params}");
    let messages = params["messages"].as_array().expect("messages");
    assert_eq!(messages.len(), 1 + 2 * round, "{params}");
    for (earlier, pair) in messages[1..].chunks(2).enumerate() {
        let uses = said(earlier)["content"].clone();
        assert_eq!(pair[0]["role"], "assistant", "{params}");
        assert_eq!(pair[0]["content"], uses, "{params}");
        assert_eq!(pair[1]["role"], "user", "{params}");
        let results = pair[1]["content"].as_array().expect("results");
        let ids: Vec<&Value> = results.iter().map(|it| &it["toolUseId"]).collect();
        let used = uses.as_array().expect("uses").iter().map(|it| &it["id"]);
        assert_eq!(ids, used.collect::<Vec<_>>(), "{params}");
        assert!(
            results.iter().all(|it| it["type"] == "tool_result"),
            "{params}"
        );
    }
}

/// A model that uses tools gets another request with their results: by requests in the legacy era
/// and in rounds in the modern one.
#[test]
fn a_model_uses_tools_until_it_answers() {
    let server = start();
    let capabilities = json!({ "sampling": { "tools": {} } });
    let (session, mut stream) = legacy(&server, "agent", &capabilities);
    for round in 0..ROUNDS_MAX {
        let question = stream.next_message();
        assert_eq!(question["method"], "sampling/createMessage", "{question}");
        check_talk(&question["params"], round);
        answer(&server, &session, &question, said(round));
    }
    assert_eq!(text_of(&stream.next_message()), "sunny");

    let mut more = json!({});
    for round in 0..ROUNDS_MAX {
        let (status, requested) = modern(&server, "agent", &capabilities, more);
        assert_eq!(status, 200, "{requested}");
        let requests = requested["result"]["inputRequests"]
            .as_object()
            .expect("requests");
        let key = format!("round-{round}");
        assert_eq!(requests.keys().collect::<Vec<_>>(), [&key], "{requested}");
        assert_eq!(requests[&key]["method"], "sampling/createMessage");
        check_talk(&requests[&key]["params"], round);
        more = json!({
            "inputResponses": { key: said(round) },
            "requestState": requested["result"]["requestState"],
        });
    }
    let (_, answer) = modern(&server, "agent", &capabilities, more);
    assert_eq!(text_of(&answer), "sunny");
}

/// "Servers MUST NOT send tool-enabled sampling requests to Clients that have not declared support
/// for tool use"; a choice of tools is part of that (schema: the client must refuse both).
#[test]
fn tools_are_given_to_no_model_whose_client_did_not_say_so() {
    let server = start();
    for capabilities in [
        json!({}),
        json!({ "sampling": {} }),
        json!({ "sampling": { "context": {} } }),
    ] {
        for tool in ["agent", "choosy"] {
            let (_, mut stream) = legacy(&server, tool, &capabilities);
            let answer = stream.next_message();
            assert_eq!(answer["id"], 1, "{tool} {capabilities}: {answer}");
            assert!(
                answer["error"]["code"].is_i64(),
                "{tool} {capabilities}: {answer}"
            );
            let (status, answer) = modern(&server, tool, &capabilities, json!({}));
            assert_eq!(status, 400, "{tool} {capabilities}: {answer}");
            assert_eq!(answer["error"]["code"], -32021, "{tool}: {answer}");
            let required = &answer["error"]["data"]["requiredCapabilities"];
            assert_eq!(*required, json!({ "sampling": { "tools": {} } }), "{tool}");
        }
    }
}
