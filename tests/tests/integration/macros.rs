//! Tools and prompts that attributes made of functions, as clients see them.

use std::net::SocketAddr;

use anyhow::Context;
use corelane::{
    Call, CallError, Profile, PromptMessage, RunningServer, Server, Structured, TaskSupport,
    prompt, tool,
};
use corelane_tests::{Connection, Request, Session};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

/// Adds two
/// numbers.
///
/// They may be broken.
#[tool]
async fn add(a: f64, b: f64) -> f64 {
    a + b
}

/// Repeats a text.
#[tool]
fn echo(
    /// The text to repeat.
    echo: String,
    /// How often.
    #[serde(default = "once")]
    #[schemars(range(min = 1, max = 3))]
    mut times: u8,
    call: Option<String>,
    r#type: Option<u8>,
) -> Result<String, CallError> {
    let mut said = call.unwrap_or_default();
    while times > 0 {
        said.push_str(&echo);
        times -= 1;
    }
    Ok(said + &r#type.map_or(String::new(), |kind| kind.to_string()))
}

fn once() -> u8 {
    1
}

/// Reads a number.
#[tool]
fn number(text: String) -> Result<i64, std::num::ParseIntError> {
    text.trim().parse()
}

/// Reads a number, or fails with the author's own text.
#[tool]
fn number_in_words(text: String) -> Result<i64, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

/// Reads a number on the pool.
#[tool]
async fn number_elsewhere(call: &Call, text: String) -> anyhow::Result<i64> {
    if text.is_empty() {
        let empty = CallError::new("there is no text").into_error();
        return Err(empty).context("while reading a number");
    }
    let read = call.offload(move || text.parse()).await;
    Ok(read.map_err(CallError::into_error)??)
}

/// Reads a number with errors in boxes.
#[tool]
fn number_in_a_box(text: String) -> Result<i64, Box<dyn std::error::Error + Send + Sync>> {
    if text.is_empty() {
        return Err(CallError::new("there is no text").into());
    }
    Ok(text.parse()?)
}

#[derive(Serialize, JsonSchema)]
struct Half {
    half: u64,
}

/// Halves an even number.
#[tool]
async fn halve(call: &Call, even: u64) -> Result<Structured<Half>, CallError> {
    if !even.is_multiple_of(2) {
        return Err(CallError::protocol(7, "odd"));
    }
    let half = call.offload(move || even / 2).await?;
    Ok(Structured(Half { half }))
}

/// Does nothing.
#[tool]
fn rest() {}

/// Climbs a step and the rest of them.
#[tool]
#[inline]
async fn climb(call: &Call, r#loop: u8) -> u64 {
    match r#loop {
        0 => 0,
        // Inside, the function has its original name.
        _ => 1 + Box::pin(climb(call, r#loop - 1)).await,
    }
}

/// Greets a person.
#[prompt]
fn greeting(
    /// The name of the person.
    name: String,
    tone: Option<String>,
) -> Result<Vec<PromptMessage>, CallError> {
    let tone = tone.ok_or_else(|| CallError::new("no tone"))?;
    Ok(vec![PromptMessage::user(format!("{tone} {name}"))])
}

/// Says hello.
#[prompt]
async fn hello(_call: &Call) -> &'static str {
    "hello"
}

fn start() -> RunningServer {
    let mut profile = Profile::default();
    profile.server.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()];
    profile.server.shards = Some(1);
    let server = Server::new("macros", "1")
        .with_tool(add().with_title("Add"))
        .with_tool(echo())
        .with_tool(number())
        .with_tool(number_in_words())
        .with_tool(number_elsewhere())
        .with_tool(number_in_a_box())
        .with_tool(halve())
        .with_tool(rest().with_task_support(TaskSupport::Optional))
        .with_tool(climb())
        .with_prompt(greeting())
        .with_prompt(hello());
    server.start(profile).expect("the server starts")
}

fn connect(server: &RunningServer) -> Connection {
    Connection::open(server.address()).expect("it takes connections")
}

fn query(connection: &mut Connection, method: &str, params: Value) -> Value {
    connection
        .exchange(&Request::modern(1, method, params))
        .answer()
}

/// The entry of the tool called `name` in the list.
fn listed(tools: &Value, name: &str) -> Value {
    let tools = tools["result"]["tools"].as_array().expect("a list");
    let found = tools.iter().find(|tool| tool["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is listed")).clone()
}

#[test]
fn functions_are_listed_as_they_were_written() {
    let server = start();
    let tools = query(&mut connect(&server), "tools/list", json!({}));
    let add = listed(&tools, "add");
    assert_eq!(add["title"], "Add");
    let description = "Adds two numbers.\n\nThey may be broken.";
    assert_eq!(add["description"], description);
    assert_eq!(add["inputSchema"]["required"], json!(["a", "b"]));
    assert_eq!(
        listed(&tools, "echo")["inputSchema"],
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "echo",
            "type": "object",
            "properties": {
                "echo": { "description": "The text to repeat.", "type": "string" },
                "times": {
                    "description": "How often.", "type": "integer",
                    "default": 1, "minimum": 1, "maximum": 3,
                },
                "call": { "type": "string" },
                "type": { "type": "integer", "minimum": 0, "maximum": 255 },
            },
            "required": ["echo"],
        })
    );
    let halve = listed(&tools, "halve");
    assert_eq!(halve["inputSchema"]["required"], json!(["even"]));
    assert_eq!(halve["outputSchema"]["required"], json!(["half"]));
    assert_eq!(
        listed(&tools, "rest")["inputSchema"],
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "rest",
            "type": "object",
            "properties": {},
        })
    );
    server.drain().expect("the server drains");
}

#[test]
fn functions_answer_in_both_eras() {
    let server = start();
    let mut connection = connect(&server);
    let session = Session::open(&mut connection);
    let text = |text: &str| json!([{ "type": "text", "text": text }]);
    let halved = json!({ "half": 4 });
    for (tool, arguments, content, more) in [
        ("add", json!({ "a": 1.5, "b": 1 }), text("2.5"), Value::Null),
        ("echo", json!({ "echo": "a" }), text("a"), Value::Null),
        (
            "echo",
            json!({ "echo": "a", "times": 3, "call": "b", "type": 7 }),
            text("baaa7"),
            Value::Null,
        ),
        ("number", json!({ "text": " 12 " }), text("12"), Value::Null),
        ("halve", json!({ "even": 8 }), text(r#"{"half":4}"#), halved),
        ("rest", json!({}), json!([]), Value::Null),
        ("climb", json!({ "loop": 3 }), text("3"), Value::Null),
    ] {
        for request in [
            session.call(tool, arguments.clone()),
            Request::modern_call(tool, arguments),
        ] {
            let answer = connection.exchange(&request).answer();
            let result = &answer["result"];
            assert_eq!(result["content"], content, "{tool}: {answer}");
            assert_eq!(result["structuredContent"], more, "{tool}: {answer}");
            assert!(result["isError"] != true, "{tool}: {answer}");
        }
    }
    server.drain().expect("the server drains");
}

#[test]
fn functions_fail_as_handlers_do() {
    let server = start();
    let mut connection = connect(&server);
    for (tool, arguments, fault) in [
        ("number", json!({ "text": "x" }), "internal error "),
        ("number_in_words", json!({ "text": "x" }), "x is no number"),
        (
            "number_elsewhere",
            json!({ "text": "" }),
            "there is no text",
        ),
        (
            "number_elsewhere",
            json!({ "text": "x" }),
            "internal error ",
        ),
        ("number_in_a_box", json!({ "text": "" }), "there is no text"),
        ("number_in_a_box", json!({ "text": "x" }), "internal error "),
        ("number", json!({}), "\"text\" is a required property"),
        ("echo", json!({ "echo": "a", "times": 4 }), "/times"),
        ("add", json!({ "a": "1", "b": 2 }), "/a"),
    ] {
        let answer = connection
            .exchange(&Request::modern_call(tool, arguments))
            .answer();
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        let text = answer["result"]["content"][0]["text"].as_str();
        assert!(text.is_some_and(|text| text.contains(fault)), "{answer}");
        let text = text.unwrap_or_default();
        assert!(!text.contains("invalid digit"), "of the operator: {answer}");
    }
    let odd = Request::modern_call("halve", json!({ "even": 3 }));
    assert_eq!(connection.exchange(&odd).answer()["error"]["code"], 7);
    server.drain().expect("the server drains");
}

#[test]
fn functions_are_prompts() {
    let server = start();
    let mut connection = connect(&server);
    let prompts = query(&mut connection, "prompts/list", json!({}));
    assert_eq!(
        prompts["result"]["prompts"],
        json!([
            {
                "name": "greeting",
                "description": "Greets a person.",
                "arguments": [
                    { "name": "name", "description": "The name of the person.", "required": true },
                    { "name": "tone", "required": false },
                ],
            },
            { "name": "hello", "description": "Says hello." },
        ])
    );
    let arguments = json!({ "name": "Ada", "tone": "dear" });
    for (params, text) in [
        (
            json!({ "name": "greeting", "arguments": arguments }),
            "dear Ada",
        ),
        (json!({ "name": "hello" }), "hello"),
    ] {
        let answer = query(&mut connection, "prompts/get", params);
        let messages = &answer["result"]["messages"];
        let expected = json!([{ "role": "user", "content": { "type": "text", "text": text } }]);
        assert_eq!(*messages, expected, "{answer}");
    }
    let toneless = json!({ "name": "greeting", "arguments": { "name": "Ada" } });
    let answer = query(&mut connection, "prompts/get", toneless);
    assert!(answer["error"]["code"].is_i64(), "{answer}");
    server.drain().expect("the server drains");
}
