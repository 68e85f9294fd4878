//! Messages of both eras on one channel, over each transport.

use corelane_tests::client::{ERAS, call, cancelled, check_text, echo, legacy, modern, sleep};
use corelane_tests::request::CAPABILITIES_KEY;
use corelane_tests::{Channel, Client};
use serde_json::{Value, json};

use super::over_each;

/// A client that knows both eras probes first, and is served in both while a long call of each is
/// in flight. It cancels these calls at the end; the caller checks that they have no answer.
pub(crate) fn check_both_eras(client: &mut Client<impl Channel>) {
    let discovered = client.exchange(&modern("d", "server/discover", json!({})));
    let versions = &discovered["result"]["supportedVersions"];
    assert_eq!(*versions, json!(["2026-07-28"]));
    client.initialize(&json!({}));
    for (era, make) in ERAS.iter().enumerate() {
        client.send(&make(json!(era), "tools/call", sleep(60_000)));
    }
    // Ids of both types; the same one in both eras, one after the other.
    for make in ERAS {
        let listed = client.exchange(&make(json!("l"), "tools/list", json!({})));
        assert!(listed["result"]["tools"].is_array(), "{listed}");
        let answer = client.exchange(&make(json!(-7), "tools/call", echo("hello")));
        check_text(&answer, "hello");
    }
    for era in 0..ERAS.len() {
        client.send(&cancelled(era));
    }
}

#[test]
fn a_client_that_probes_is_served_in_both_eras_and_answers_come_as_they_are_ready() {
    over_each(|client| {
        check_both_eras(client);
        // Nothing follows for the cancelled calls.
        let answer = client.exchange(&modern("e", "tools/call", echo("last")));
        check_text(&answer, "last");
    });
}

#[test]
fn progress_and_log_messages_come_before_the_answer() {
    over_each(|client| {
        client.initialize(&json!({}));
        let mut params = call("test_tool_with_progress", json!({}));
        params["_meta"] = json!({ "progressToken": "p" });
        for make in ERAS {
            client.send(&make(json!(1), "tools/call", params.clone()));
            for progress in [0.0, 50.0, 100.0] {
                let message = client.expect();
                assert_eq!(message["method"], "notifications/progress", "{message}");
                assert_eq!(message["params"]["progress"].as_f64(), Some(progress));
            }
            assert_eq!(client.expect()["id"], 1);
        }
        let logs = call("test_tool_with_logging", json!({}));
        client.send(&legacy(2, "tools/call", logs));
        for _ in 0..3 {
            assert_eq!(client.expect()["method"], "notifications/message");
        }
        assert_eq!(client.expect()["id"], 2);
    });
}

/// The text of an answer has the name.
#[track_caller]
fn check_greets_ann(answer: &Value) {
    let text = answer["result"]["content"][0]["text"].as_str();
    assert!(text.is_some_and(|text| text.contains("ann")), "{answer}");
}

#[test]
fn a_legacy_client_answers_elicitations_and_a_modern_one_calls_again() {
    over_each(|client| {
        client.initialize(&json!({ "elicitation": {}, "sampling": {} }));
        let mut params = call("test_elicitation", json!({ "message": "Who?" }));
        client.send(&legacy(1, "tools/call", params.clone()));
        let question = client.expect();
        assert_eq!(question["method"], "elicitation/create", "{question}");
        let content = json!({ "username": "ann", "email": "ann@example.com" });
        let accepted = json!({ "action": "accept", "content": content });
        // Another call meanwhile, and an answer to no question.
        let answer = client.exchange(&legacy(2, "tools/call", echo("meanwhile")));
        check_text(&answer, "meanwhile");
        client.send(&json!({"jsonrpc": "2.0", "id": "none", "result": accepted}));
        client.send(&json!({"jsonrpc": "2.0", "id": question["id"], "result": accepted}));
        let answer = client.expect();
        assert_eq!(answer["id"], 1);
        check_greets_ann(&answer);

        params["_meta"] = json!({ CAPABILITIES_KEY: { "elicitation": {} } });
        let answer = client.exchange(&modern(3, "tools/call", params.clone()));
        assert_eq!(answer["result"]["resultType"], "input_required", "{answer}");
        let requests = answer["result"]["inputRequests"].as_object();
        let key = requests.and_then(|requests| requests.keys().next());
        params["inputResponses"] = json!({ key.expect("a question"): accepted });
        params["requestState"] = answer["result"]["requestState"].clone();
        check_greets_ann(&client.exchange(&modern(4, "tools/call", params)));
    });
}

/// Listens for changes of the tools; the subscription was acknowledged.
pub(super) fn listen(client: &mut Client<impl Channel>, id: &str) {
    let filter = json!({ "notifications": { "toolsListChanged": true } });
    client.send(&modern(id, "subscriptions/listen", filter));
    let honoured = client.expect();
    let method = &honoured["method"];
    assert_eq!(method, "notifications/subscriptions/acknowledged");
}

/// A change of the tools reaches the session and a listen stream with the id "l", which stays open.
pub(crate) fn check_tools_change(client: &mut Client<impl Channel>) {
    client.initialize(&json!({}));
    listen(client, "l");
    let change = call("test_trigger_tool_change", json!({}));
    client.send(&legacy(1, "tools/call", change));
    let mut received: Vec<String> = Vec::new();
    for _ in 0..3 {
        let message = client.expect();
        let id = &message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
        received.push(format!("{} {} {id}", message["method"], message["id"]));
    }
    received.sort();
    let changed = "\"notifications/tools/list_changed\" null";
    let expected = [
        format!("{changed} \"l\""),
        format!("{changed} null"),
        "null 1 null".to_owned(),
    ];
    assert_eq!(received, expected);
}

#[test]
fn a_change_of_the_tools_reaches_the_session_and_each_listen_stream() {
    over_each(check_tools_change);
}
