//! Keys of the requests to the client: each of a handler has its own, in both eras.

use corelane::schemars::{self, JsonSchema};
use corelane::{Call, CallError, Elicitation, Sampling, Server, TestClientError, tool};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize, JsonSchema)]
struct Number {
    number: u8,
}

/// Elicits two numbers with these keys.
#[tool]
async fn add(call: &Call, first: String, second: String) -> Result<u8, CallError> {
    let question = || Elicitation::form::<Number>("A number?");
    let one: Number = call.elicit(&first, question()?).await?.into_form()?;
    let other: Number = call.elicit(&second, question()?).await?.into_form()?;
    Ok(one.number + other.number)
}

/// Requests of two kinds with one key.
#[tool]
async fn mix(call: &Call) -> Result<(), CallError> {
    call.sample("a", Sampling::new(5)).await?;
    call.roots("a").await?;
    Ok(())
}

#[test]
fn a_key_that_was_used_is_refused_in_both_eras() {
    for revision in [None, Some("2025-11-25")] {
        let server = Server::new("keys", "1").with_tool(add()).with_tool(mix());
        let client = server.test_client().expect("it starts");
        client.respond_with(|method, _| match method {
            "elicitation/create" => Some(json!({"action": "accept", "content": {"number": 2}})),
            _ => Some(json!({"model": "m", "role": "user", "content": [], "roots": []})),
        });
        if let Some(revision) = revision {
            client.initialize(revision).wait().expect("a session");
        }
        let sum = client
            .call_tool("add", json!({"first": "a", "second": "b"}))
            .wait();
        assert_eq!(sum.expect("a sum").text(), "4", "{revision:?}");
        let same = json!({"first": "a", "second": "a"});
        for (tool, arguments) in [("add", same), ("mix", json!({}))] {
            let refused = client.call_tool(tool, arguments).wait();
            let Err(TestClientError::Refused { message, .. }) = refused else {
                panic!("{revision:?}: {tool}: {refused:?}");
            };
            assert!(
                message.contains("key \"a\": keys must be unique"),
                "{message}"
            );
        }
    }
}
