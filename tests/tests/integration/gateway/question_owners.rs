//! A request of an upstream is for the principal whose call it belongs to, and for no other.

use std::sync::Arc;

use corelane_guard::api_key;
use corelane_tests::mock_upstream::MockUpstream;
use corelane_tests::request::CAPABILITIES_KEY;
use corelane_tests::{Connection, Request, wait_until};
use serde_json::{Value, json};

use super::{parked, questions};
use crate::access_file::AccessFile;

/// A call with the key of a principal.
fn call(key: &str, more: &Value) -> Request {
    let mut params = json!({ "name": "up_call", "arguments": {} });
    for (name, value) in more.as_object().into_iter().flatten() {
        params[name] = value.clone();
    }
    Request::modern(1, "tools/call", params)
        .meta(CAPABILITIES_KEY, json!({ "elicitation": {} }))
        .field("Authorization", &format!("Bearer {key}"))
}

fn exchange(connection: &mut Connection, request: &Request) -> Value {
    connection.exchange(request).answer()
}

/// Two principals call the tool of an upstream, and each answers with the state of the other.
fn check(mock: &MockUpstream) {
    let (other, sha256) = api_key::create("other", &[8; 32]).expect("an id");
    let digits: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    let file = AccessFile::new(&format!(
        "[[auth.api_key]]\nid = \"other\"\nsha256 = \"{digits}\"\nroles = [\"ci\"]\n{}\
         [[role]]\nname = \"ci\"\nclaim_roles = [\"ci\"]\n\
         [[grant]]\nrole = \"ci\"\ntools = [\"up_*\"]\n",
        mock.section("up")
    ));
    let server = file.setup(1).start();
    let mut connection = server.connect();
    let first = wait_until("the tool is listed", || {
        let answer = exchange(&mut connection, &call(&file.key, &json!({})));
        let is_input = answer["result"]["resultType"] == "input_required";
        is_input.then_some(answer)
    });
    let second = exchange(&mut connection, &call(&other, &json!({})));
    let called = mock.received_of("tools/call").len();
    let retry = |of: &Value| {
        let requests = of["result"]["inputRequests"].as_object();
        let (key, _) = requests.and_then(|it| it.iter().next()).expect("a request");
        json!({
            "requestState": of["result"]["requestState"],
            "inputResponses": { key: { "action": "accept", "content": {} } },
        })
    };
    for (key, of) in [(&file.key, &second), (&other, &first)] {
        let refused = exchange(&mut connection, &call(key, &retry(of)));
        assert_eq!(refused["error"]["code"], -32602, "{refused}");
    }
    assert_eq!(mock.received_of("tools/call").len(), called);
    for (key, of) in [(&file.key, &first), (&other, &second)] {
        let done = exchange(&mut connection, &call(key, &retry(of)));
        assert_eq!(done["result"]["resultType"], "complete", "{done}");
    }
}

#[test]
fn the_state_of_another_principal_is_refused_in_front_of_a_modern_upstream() {
    check(&questions::elicits(Some("\"s\"")));
}

#[test]
fn the_state_of_another_principal_is_refused_in_front_of_a_legacy_upstream() {
    let responses = Arc::default();
    let mock = parked::elicits(&responses);
    check(&mock);
    let sessions = mock.received_of("initialize").len();
    assert_eq!(sessions, 3, "of the lists, and of each principal");
}
