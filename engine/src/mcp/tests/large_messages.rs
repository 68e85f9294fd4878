//! Messages that are decoded elsewhere. All other tests show that they have the same meaning: every
//! second body of theirs takes this way.

use std::sync::Arc;
use std::thread;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::test_endpoint::{MODERN, TestEndpoint, claim, request, result, text, with_trailer};
use crate::catalog::Plan;
use crate::catalog::pending_updates::Changes;
use crate::catalog::tool::Tool;
use crate::handler::Call;

/// The name of the thread that read the arguments.
struct ReadOn(String);

impl<'de> Deserialize<'de> for ReadOn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ReadOn, D::Error> {
        Value::deserialize(deserializer)?;
        let thread = thread::current();
        Ok(ReadOn(thread.name().unwrap_or("unnamed").to_owned()))
    }
}

const ANY: &str = r#"{"type":"object"}"#;

fn where_read(schema: &str) -> Tool {
    Tool::from_schema(
        "where_read",
        "d",
        schema,
        async |_: &Call, ReadOn(thread)| Ok(thread),
    )
}

fn plan(tool: Tool) -> Plan {
    Plan::new(vec![tool].into(), 10).expect("a usable tool")
}

fn call() -> (String, String) {
    let params = json!({"name": "where_read", "arguments": {"n": 1}, "_meta": claim()});
    let headers = format!("{MODERN}Mcp-Method: tools/call\r\nMcp-Name: where_read\r\n");
    (headers, request(1, "tools/call", params))
}

/// Calls `where_read` with a body that a thread of another name decodes, after `meanwhile`.
fn call_decoded_elsewhere(meanwhile: impl FnOnce(&mut TestEndpoint)) -> Value {
    let mut harness = TestEndpoint::with(|settings| {
        settings.parts.plan = Arc::new(plan(where_read(ANY)));
    });
    let (headers, body) = call();
    let decode = harness.endpoint.decoder_of_large_messages();
    let elsewhere = thread::Builder::new().name("elsewhere".to_owned());
    let decoded = elsewhere.spawn(move || decode(body.as_bytes()));
    let message = decoded.expect("a thread starts").join();
    let message = message.expect("it does not panic").expect("it is JSON");
    meanwhile(&mut harness);
    harness.post_large(&headers, message).body
}

#[test]
fn arguments_are_checked_and_read_where_the_message_is_decoded() {
    let answer = call_decoded_elsewhere(|_| ());
    assert_eq!(answer, with_trailer(1, text("elsewhere")));
}

#[test]
fn a_tool_that_was_replaced_meanwhile_checks_and_reads_arguments_itself() {
    let here = thread::current()
        .name()
        .expect("tests have names")
        .to_owned();
    let replace = |schema: &'static str| {
        move |harness: &mut TestEndpoint| {
            harness.endpoint.handle_changes(Changes {
                plan: Some(Arc::new(plan(where_read(schema)))),
                ..Changes::default()
            });
        }
    };
    let answer = call_decoded_elsewhere(replace(ANY));
    assert_eq!(answer, with_trailer(1, text(&here)));
    let strict = r#"{"type":"object","properties":{"n":{"type":"string"}}}"#;
    let answer = call_decoded_elsewhere(replace(strict));
    assert_eq!(answer["result"]["isError"], true, "{answer}");
}

#[test]
fn arguments_whose_reading_panics_end_their_call_only() {
    struct Explosive;
    impl<'de> Deserialize<'de> for Explosive {
        fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Explosive, D::Error> {
            panic!("panics on purpose")
        }
    }
    let explodes = Tool::from_schema("explodes", "d", ANY, async |_: &Call, _: Explosive| Ok(()));
    let mut harness = TestEndpoint::with(|settings| {
        settings.parts.plan = Arc::new(plan(explodes));
    });
    harness.are_large = Some(true);
    let session = harness.session();
    for _ in 0..2 {
        let params = json!({"name": "explodes", "arguments": {}});
        let answer = harness
            .post(&session, &request(1, "tools/call", params))
            .body;
        assert_eq!(answer["error"]["code"], -32603, "{answer}");
    }
    let ping = harness.post(&session, &request(2, "ping", json!({})));
    ping.check("200", &result(2, json!({})));
}
