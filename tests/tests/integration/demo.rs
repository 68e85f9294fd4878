//! The catalog of `corelane serve` for a first try.

use corelane_tests::request::CAPABILITIES_KEY;
use corelane_tests::{Request, Setup};
use serde_json::{Value, json};

fn text(result: &Value) -> &str {
    let text = result["result"]["content"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("no text: {result}"))
}

#[test]
fn every_tool_of_the_first_catalog_works() {
    let server = Setup::shards(1).demo("basic").start();
    let mut connection = server.connect();
    let list = connection
        .exchange(&Request::modern(1, "tools/list", json!({})))
        .json();
    let tools = list["result"]["tools"].as_array().expect("a list");
    let names: Vec<&str> = tools.iter().filter_map(|it| it["name"].as_str()).collect();
    let expected = ["echo", "add", "sleep", "fibonacci", "countdown", "greet"];
    assert_eq!(names, expected);

    for (tool, arguments, answer) in [
        ("echo", json!({ "message": "hello" }), "hello"),
        ("add", json!({ "a": 1, "b": 2.5 }), "3.5"),
        ("sleep", json!({ "ms": 1 }), "slept 1 ms"),
        ("fibonacci", json!({ "n": 10 }), "55"),
        ("countdown", json!({ "from": 0 }), "counted down from 0"),
    ] {
        let result = connection
            .exchange(&Request::modern_call(tool, arguments))
            .json();
        assert_eq!(text(&result), answer, "{tool}");
    }
}

#[test]
fn the_first_catalog_greets_by_the_name_that_the_user_gives() {
    let server = Setup::shards(1).demo("basic").start();
    let mut connection = server.connect();
    let call = |more: Value| {
        let mut params = json!({ "name": "greet", "arguments": {} });
        for (key, value) in more.as_object().expect("members of params") {
            params[key] = value.clone();
        }
        let capabilities = json!({ "elicitation": {} });
        Request::modern(1, "tools/call", params).meta(CAPABILITIES_KEY, capabilities)
    };
    let question = connection.exchange(&call(json!({}))).json()["result"].clone();
    assert_eq!(question["resultType"], "input_required", "{question}");
    let answered = connection.exchange(&call(json!({
        "requestState": question["requestState"],
        "inputResponses": { "name": { "action": "accept", "content": { "name": "Ann" } } },
    })));
    assert_eq!(text(&answered.json()), "Hello, Ann!");
}

#[test]
fn the_first_catalog_has_a_prompt_and_a_resource() {
    let server = Setup::shards(1).demo("basic").start();
    let mut connection = server.connect();
    let params = json!({ "name": "explain", "arguments": { "subject": "io_uring" } });
    let prompt = connection
        .exchange(&Request::modern(1, "prompts/get", params))
        .json();
    let prompt = prompt["result"]["messages"][0]["content"]["text"].as_str();
    assert_eq!(
        prompt,
        Some("Explain io_uring to an engineer, in at most ten sentences.")
    );
    let read = Request::modern(1, "resources/read", json!({ "uri": "demo://about" }));
    let about = connection
        .exchange(&read.field("Mcp-Name", "demo://about"))
        .json();
    let about = about["result"]["contents"][0]["text"].as_str();
    assert!(
        about.is_some_and(|it| it.starts_with("Corelane is ")),
        "{about:?}"
    );
}
