//! Resources, prompts and completion, as tables of requests and answers in both eras.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::test_endpoint::{MODERN, TestEndpoint, claim, error, request, result, with_trailer};
use crate::catalog::prompt::Prompt;
use crate::catalog::resource::{Resource, ResourceTemplate};
use crate::catalog::{Entries, Plan};
use crate::handler::{Call, CallError, CompleteRequest, ReadRequest};

#[derive(Deserialize, schemars::JsonSchema)]
struct Greeting {
    name: String,
    title: Option<String>,
}

fn entries() -> Entries {
    let by_id = async |_: &Call, request: ReadRequest| match request.variable("id") {
        Some("0") => Err(CallError::no_such_resource()),
        Some("x") => Err(CallError::new("the disk is gone")),
        id => Ok(format!("number {}", id.unwrap_or_default())),
    };
    let greet = async |_: &Call, Greeting { name, title }| {
        Ok(format!("hello {}{name}", title.unwrap_or_default()))
    };
    Entries {
        resources: vec![
            Resource::fixed("a:text", "text", "text/plain", "content"),
            Resource::fixed("a:bytes", "bytes", "x/y", vec![0_u8, 1, 2]),
        ],
        templates: vec![
            ResourceTemplate::new("a:{id}/data", "data", "text/plain", by_id)
                .with_completer("id", async |_: &Call, request: CompleteRequest| {
                    Ok(request.starting(&["10", "11", "2"]))
                }),
        ],
        prompts: vec![Prompt::new("greet", "Greets.", greet).with_completer(
            "title",
            async |_: &Call, request: CompleteRequest| {
                Ok(vec![format!(
                    "for {}",
                    request.other("name").unwrap_or("nobody")
                )])
            },
        )],
        ..Entries::default()
    }
}

fn harness() -> TestEndpoint {
    TestEndpoint::with(|settings| {
        let plan = Plan::new(entries(), 10).expect("the entries of the tests are usable");
        settings.parts.plan = Arc::new(plan);
    })
}

/// Makes a request of a session.
fn legacy(method: &str, params: Value) -> super::test_endpoint::Answer {
    let mut harness = harness();
    let session = harness.session();
    harness.post(&session, &request(1, method, params))
}

/// Makes the same request in the modern era.
fn modern(method: &str, mut params: Value) -> super::test_endpoint::Answer {
    let mut headers = format!("{MODERN}Mcp-Method: {method}\r\n");
    let name = params.get("name").or(params.get("uri"));
    if let Some(name) = name.and_then(|name| name.as_str()) {
        headers.push_str(&format!("Mcp-Name: {name}\r\n"));
    }
    params["_meta"] = claim();
    harness().post(&headers, &request(1, method, params))
}

/// Requests with nulls, and the same without the members that have them.
fn nulls() -> Vec<(&'static str, Value, Value)> {
    let argument = json!({"name": "title", "value": ""});
    let complete = |mut more: Value| {
        more["ref"] = json!({"type": "ref/prompt", "name": "greet"});
        more["argument"] = argument.clone();
        more
    };
    let greet = |arguments: Value| json!({"name": "greet", "arguments": arguments});
    vec![
        ("prompts/list", json!({"cursor": null}), json!({})),
        ("resources/list", json!({"cursor": null}), json!({})),
        ("prompts/get", greet(json!(null)), json!({"name": "greet"})),
        (
            "prompts/get",
            greet(json!({"name": "Ada", "title": null})),
            greet(json!({"name": "Ada"})),
        ),
        (
            "prompts/get",
            greet(json!({"name": null})),
            greet(json!({})),
        ),
        (
            "completion/complete",
            complete(json!({"context": null})),
            complete(json!({})),
        ),
        (
            "completion/complete",
            complete(json!({"context": {"arguments": null}})),
            complete(json!({})),
        ),
        (
            "completion/complete",
            complete(json!({"context": {"arguments": {"name": null}}})),
            complete(json!({"context": {"arguments": {}}})),
        ),
    ]
}

#[test]
fn null_in_a_member_that_may_be_left_out_is_absence() {
    for (method, nulls, plain) in nulls() {
        for query in [legacy, modern] {
            let expected = query(method, plain.clone());
            let kind = super::test_endpoint::kind_of(&expected.disposition);
            query(method, nulls.clone()).check(&kind, &expected.body);
        }
    }
    let mut harness = harness();
    let session = harness.session();
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"prompts/list","params":null}"#;
    let answer = harness.post(&session, list);
    assert_eq!(
        answer.body["result"]["prompts"][0]["name"], "greet",
        "{}",
        answer.body
    );
}

#[test]
fn a_cursor_of_another_type_is_named() {
    for query in [legacy, modern] {
        let said = query("prompts/list", json!({"cursor": 7})).body;
        assert_eq!(code_of(&said), -32602);
        assert_eq!(said["error"]["message"], "params.cursor must be a string");
    }
}

fn code_of(answer: &Value) -> i64 {
    answer["error"]["code"].as_i64().unwrap_or_default()
}

#[test]
fn resources_are_read_by_their_uri_or_by_the_template_they_fit() {
    let check = |uri: &str, part: Value| {
        let contents = json!({"contents": [part]});
        legacy("resources/read", json!({"uri": uri})).check("200", &result(1, contents.clone()));
        let mut cacheable = contents;
        cacheable["ttlMs"] = json!(0);
        cacheable["cacheScope"] = json!("private");
        modern("resources/read", json!({"uri": uri})).check("200", &with_trailer(1, cacheable));
    };
    check(
        "a:text",
        json!({"uri": "a:text", "mimeType": "text/plain", "text": "content"}),
    );
    check(
        "a:bytes",
        json!({"uri": "a:bytes", "mimeType": "x/y", "blob": "AAEC"}),
    );
    check(
        "a:7%2F8/data",
        json!({"uri": "a:7%2F8/data", "mimeType": "text/plain", "text": "number 7/8"}),
    );
}

#[test]
fn a_resource_that_is_not_there_is_named() {
    for uri in ["a:none", "a:0/data", "b:text", "a:text/"] {
        for (answer, code) in [
            (legacy("resources/read", json!({"uri": uri})), -32002),
            (modern("resources/read", json!({"uri": uri})), -32602),
        ] {
            let said = &answer.body["error"];
            assert_eq!(said["code"], code, "{uri}: {said}");
            assert_eq!(said["data"]["uri"], uri, "{said}");
        }
    }
    legacy("resources/read", json!({"uri": 1})).check("200", &error(1, -32602));
    legacy("resources/read", json!({})).check("200", &error(1, -32602));
    let said = legacy("resources/read", json!({"uri": "a:x/data"})).body;
    assert_eq!(code_of(&said), -32603);
    assert_eq!(said["error"]["message"], "the disk is gone");
}

#[test]
fn prompts_are_filled_in() {
    let check = |arguments: Value, text: &str| {
        let params = json!({"name": "greet", "arguments": arguments});
        let filled_in = json!({
            "messages": [{"role": "user", "content": {"type": "text", "text": text}}],
        });
        legacy("prompts/get", params.clone()).check("200", &result(1, filled_in.clone()));
        modern("prompts/get", params).check("200", &with_trailer(1, filled_in));
    };
    check(json!({"name": "you"}), "hello you");
    check(json!({"name": "you", "title": "dear "}), "hello dear you");
    for params in [
        json!({"name": "greet"}),
        json!({"name": "greet", "arguments": {"title": "x"}}),
        json!({"name": "greet", "arguments": {"name": 1}}),
        json!({"name": "greet", "arguments": []}),
        json!({"name": "other"}),
        json!({}),
    ] {
        legacy("prompts/get", params).check("200", &error(1, -32602));
    }
}

#[test]
fn arguments_and_variables_are_completed() {
    let check = |reference: Value, argument: Value, context: Value, values: Value| {
        let params = json!({
            "ref": reference,
            "argument": argument,
            "context": {"arguments": context},
        });
        for answer in [
            legacy("completion/complete", params.clone()),
            modern("completion/complete", params.clone()),
        ] {
            let said = &answer.body["result"]["completion"];
            assert_eq!(said["values"], values, "{said}");
            assert_eq!(said["hasMore"], false);
        }
    };
    let prompt = json!({"type": "ref/prompt", "name": "greet"});
    let template = json!({"type": "ref/resource", "uri": "a:{id}/data"});
    let typed = |name: &str, value: &str| json!({"name": name, "value": value});
    check(
        template.clone(),
        typed("id", "1"),
        json!({}),
        json!(["10", "11"]),
    );
    check(template, typed("other", "1"), json!({}), json!([]));
    let named = json!({"name": "you"});
    check(
        prompt.clone(),
        typed("title", ""),
        named,
        json!(["for you"]),
    );
    check(prompt.clone(), typed("name", ""), json!({}), json!([]));
    for params in [
        json!({"ref": {"type": "ref/prompt", "name": "no"}, "argument": typed("a", "")}),
        json!({"ref": {"type": "ref/other"}, "argument": typed("a", "")}),
        json!({"ref": prompt, "argument": {"name": "a"}}),
        json!({"ref": prompt, "argument": typed("a", ""), "context": {"arguments": {"a": 1}}}),
        json!({}),
    ] {
        legacy("completion/complete", params).check("200", &error(1, -32602));
    }
}

#[test]
fn a_session_subscribes_to_resources_that_exist_up_to_a_limit() {
    let mut harness = harness();
    let session = harness.session();
    let mut query = |method: &str, uri: &str| {
        let body = request(1, method, json!({"uri": uri}));
        harness.post(&session, &body).body
    };
    let done = result(1, json!({}));
    assert_eq!(query("resources/subscribe", "a:text"), done);
    assert_eq!(
        query("resources/subscribe", "a:text"),
        done,
        "twice is once"
    );
    assert_eq!(query("resources/subscribe", "a:5/data"), done);
    assert_eq!(code_of(&query("resources/subscribe", "a:bytes")), -32602);
    assert_eq!(query("resources/unsubscribe", "a:text"), done);
    assert_eq!(query("resources/unsubscribe", "a:none"), done);
    assert_eq!(query("resources/subscribe", "a:bytes"), done);
    assert_eq!(code_of(&query("resources/subscribe", "b:none")), -32002);
}

#[test]
fn methods_of_absent_features_do_not_exist() {
    for method in [
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "prompts/list",
        "prompts/get",
        "completion/complete",
    ] {
        let mut harness = TestEndpoint::new();
        let session = harness.session();
        let body = request(1, method, json!({"uri": "a:b", "name": "n"}));
        harness
            .post(&session, &body)
            .check("200", &error(1, -32601));
        let headers = format!("{MODERN}Mcp-Method: {method}\r\nMcp-Name: a:b\r\n");
        let params = json!({"uri": "a:b", "name": "a:b", "_meta": claim()});
        harness
            .post(&headers, &request(1, method, params))
            .check("404", &error(1, -32601));
    }
    let capabilities = modern("server/discover", json!({})).body["result"]["capabilities"].clone();
    let all = json!({
        "completions": {},
        "logging": {},
        "prompts": {"listChanged": true},
        "resources": {"subscribe": true, "listChanged": true},
        "tools": {"listChanged": true},
    });
    assert_eq!(capabilities, all);
}
