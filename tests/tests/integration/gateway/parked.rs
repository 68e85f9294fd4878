//! Calls of modern clients that stay open at legacy upstreams while the clients answer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use corelane_tests::mock_upstream::{
    Act, MockUpstream, Next, Received, first_events, last_events, result_of,
};
use corelane_tests::request::CAPABILITIES_KEY;
use corelane_tests::{Connection, PATIENCE, Request, Setup, wait_until};
use serde_json::{Value, json};

use super::Gateway;

/// The responses to the requests of an upstream, by their ids.
#[derive(Default)]
pub(super) struct Responses {
    received: Mutex<HashMap<String, Value>>,
    changed: Condvar,
    /// Calls so far. Their own ids are those of one shard.
    calls: AtomicUsize,
}

impl Responses {
    fn wait(&self, ids: &[String]) -> Vec<Value> {
        let received = self.received.lock().expect("no panic");
        let waited = self
            .changed
            .wait_timeout_while(received, PATIENCE, |received| {
                ids.iter().any(|id| !received.contains_key(id))
            });
        let (received, _) = waited.expect("no panic");
        ids.iter().map(|id| received[id].clone()).collect()
    }

    /// The actions of users, in any order.
    fn actions(&self) -> Vec<String> {
        let received = self.received.lock().expect("no panic");
        let actions = received.values().map(|it| it["result"]["action"].clone());
        actions
            .filter_map(|it| Some(it.as_str()?.to_owned()))
            .collect()
    }
}

/// An upstream whose tool elicits as many names as its argument `count` says, all at once, and
/// gives the responses as its result. With `early` it does not wait for them.
pub(super) fn elicits(responses: &Arc<Responses>) -> MockUpstream {
    let responses = Arc::clone(responses);
    MockUpstream::start(move |received| serve(received, &responses))
}

fn serve(received: &Received, responses: &Arc<Responses>) -> Act {
    let empty = |status: &str| {
        Act::Send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into_bytes())
    };
    if received.body.is_empty() {
        return empty("405 Method Not Allowed");
    }
    let message = received.message();
    match message["method"].as_str() {
        Some("initialize") => Act::Send(result_of(
            received,
            &json!({
                "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
                "serverInfo": { "name": "old", "version": "1" },
            })
            .to_string(),
        )),
        Some("tools/list") => {
            let tool = json!({ "name": "call", "inputSchema": { "type": "object" } });
            Act::Send(result_of(received, &json!({ "tools": [tool] }).to_string()))
        }
        Some("tools/call") => call(&message, responses),
        Some(_) => empty("202 Accepted"),
        None => {
            let id = message["id"].as_str().expect("the id of a request");
            let mut all = responses.received.lock().expect("no panic");
            let before = all.insert(id.to_owned(), message.clone());
            assert!(before.is_none(), "it is answered once");
            responses.changed.notify_all();
            empty("202 Accepted")
        }
    }
}

fn call(message: &Value, responses: &Arc<Responses>) -> Act {
    let (id, arguments) = (message["id"].clone(), &message["params"]["arguments"]);
    let number = responses.calls.fetch_add(1, Ordering::Relaxed);
    let ids: Vec<String> = (0..arguments["count"].as_u64().unwrap_or(1))
        .map(|count| format!("{number}-{count}"))
        .collect();
    let questions = ids.iter().map(|id| {
        let schema = json!({ "type": "object", "properties": {} });
        let params = json!({ "message": id, "requestedSchema": schema });
        json!({ "jsonrpc": "2.0", "id": id, "method": "elicitation/create", "params": params })
            .to_string()
    });
    let questions: Vec<String> = questions.collect();
    let is_early = arguments["early"] == true;
    let responses = Arc::clone(responses);
    let next = Next::new(move || {
        let found = match is_early {
            true => Vec::new(),
            false => responses.wait(&ids),
        };
        let results: Vec<&Value> = found.iter().map(|it| &it["result"]).collect();
        let result = json!({ "content": [], "structuredContent": { "all": results } });
        let answer = json!({ "jsonrpc": "2.0", "id": id, "result": result });
        Act::SendAndClose(last_events(&[answer.to_string()]))
    });
    Act::SendThen(first_events(&questions), next)
}

fn request(arguments: &Value, more: Value) -> Request {
    let mut params = json!({ "name": "up_call", "arguments": arguments });
    for (member, value) in more.as_object().into_iter().flatten() {
        params[member] = value.clone();
    }
    Request::modern(1, "tools/call", params).meta(CAPABILITIES_KEY, json!({ "elicitation": {} }))
}

fn exchange(connection: &mut Connection, arguments: &Value, more: Value) -> Value {
    connection.exchange(&request(arguments, more)).answer()
}

/// The keys of the requests in a result, in order.
fn keys(answer: &Value) -> Vec<String> {
    let requests = answer["result"]["inputRequests"].as_object();
    let requests = requests.unwrap_or_else(|| panic!("{answer}"));
    requests.keys().cloned().collect()
}

/// A repeated request with answers to these keys.
fn answers(first: &Value, keys: &[String]) -> Value {
    let mut responses = json!({});
    for key in keys {
        responses[key] = json!({ "action": "accept", "content": { "key": key } });
    }
    json!({ "requestState": first["result"]["requestState"], "inputResponses": responses })
}

fn start(mock: &MockUpstream, setup: Setup) -> Gateway {
    let gateway = Gateway::start_with(&mock.section("up"), setup);
    gateway.wait_for("up_call");
    gateway
}

#[test]
fn the_answers_go_to_the_open_call_and_a_state_serves_once() {
    let responses = Arc::default();
    let mock = elicits(&responses);
    let gateway = start(&mock, Setup::shards(1));
    let mut connection = gateway.connect();
    let arguments = json!({ "count": 1 });
    let first = exchange(&mut connection, &arguments, json!({}));
    let retry = answers(&first, &keys(&first));
    let done = exchange(&mut connection, &arguments, retry.clone());
    let all = &done["result"]["structuredContent"]["all"];
    assert_eq!(all[0]["action"], "accept", "{done}");
    assert_eq!(done["result"]["resultType"], "complete");
    let again = exchange(&mut connection, &arguments, retry);
    assert_eq!(again["error"]["code"], -32602, "{again}");
    assert_eq!(mock.received_of("tools/call").len(), 1);
    let initialized = mock.received_of("initialize");
    let declared = &initialized[1].message()["params"]["capabilities"];
    assert_eq!(*declared, json!({ "elicitation": { "form": {} } }));
}

#[test]
fn a_request_without_its_answer_is_made_again() {
    let responses = Arc::default();
    let mock = elicits(&responses);
    let gateway = start(&mock, Setup::shards(1));
    let mut connection = gateway.connect();
    let arguments = json!({ "count": 3 });
    let mut answer = exchange(&mut connection, &arguments, json!({}));
    // They come in one read or in several.
    let mut rounds = 0;
    while answer["result"]["resultType"] == "input_required" {
        rounds += 1;
        let keys = keys(&answer);
        let retry = answers(&answer, &keys[..1]);
        answer = exchange(&mut connection, &arguments, retry);
    }
    assert_eq!(rounds, 3);
    let all = answer["result"]["structuredContent"]["all"].as_array();
    assert_eq!(all.map(Vec::len), Some(3), "{answer}");
    assert_eq!(mock.received_of("tools/call").len(), 1);
}

#[test]
fn a_result_that_comes_before_the_answer_waits_for_the_client() {
    let responses = Arc::default();
    let mock = elicits(&responses);
    let gateway = start(&mock, Setup::shards(1));
    let mut connection = gateway.connect();
    let arguments = json!({ "early": true });
    let mut answer = exchange(&mut connection, &arguments, json!({}));
    if answer["result"]["resultType"] == "input_required" {
        let retry = answers(&answer, &keys(&answer));
        answer = exchange(&mut connection, &arguments, retry);
    }
    let all = &answer["result"]["structuredContent"]["all"];
    assert_eq!(*all, json!([]), "{answer}");
    assert_eq!(mock.received_of("tools/call").len(), 1);
}

#[test]
fn past_the_bound_requests_are_declined_and_no_call_loses_its_place() {
    let responses = Arc::default();
    let mock = elicits(&responses);
    let profile = "[gateway]\nparked_per_principal_max = 2\n";
    let gateway = start(&mock, Setup::shards(1).profile(profile));
    let mut connection = gateway.connect();
    let arguments = json!({ "count": 1 });
    let first = exchange(&mut connection, &arguments, json!({}));
    let second = exchange(&mut connection, &arguments, json!({}));
    let third = exchange(&mut connection, &arguments, json!({}));
    let all = &third["result"]["structuredContent"]["all"];
    assert_eq!(all[0]["action"], "decline", "{third}");
    for parked in [first, second] {
        let retry = answers(&parked, &keys(&parked));
        let done = exchange(&mut connection, &arguments, retry);
        let all = &done["result"]["structuredContent"]["all"];
        assert_eq!(all[0]["action"], "accept", "{done}");
    }
    let fourth = exchange(&mut connection, &arguments, json!({}));
    assert_eq!(keys(&fourth).len(), 1, "there is room again");
}

#[test]
fn a_call_that_waits_for_its_client_leaves_its_link_to_others() {
    let responses = Arc::default();
    let mock = elicits(&responses);
    let profile = "[gateway]\nlinks_max = 1\n";
    let gateway = start(&mock, Setup::shards(1).profile(profile));
    let mut connection = gateway.connect();
    let arguments = json!({ "count": 1 });
    let parked: Vec<Value> = (0..3)
        .map(|_| exchange(&mut connection, &arguments, json!({})))
        .collect();
    for first in parked {
        let retry = answers(&first, &keys(&first));
        let done = exchange(&mut connection, &arguments, retry);
        let all = &done["result"]["structuredContent"]["all"];
        assert_eq!(all[0]["action"], "accept", "{done}");
    }
}

#[test]
fn the_answer_finds_the_shard_of_its_call() {
    let responses = Arc::default();
    let mock = elicits(&responses);
    let gateway = start(&mock, Setup::shards(2));
    let arguments = json!({ "count": 1 });
    // The connections are spread over the shards.
    for _ in 0..8 {
        let mut connection = gateway.connect();
        let first = exchange(&mut connection, &arguments, json!({}));
        let mut other = gateway.connect();
        let retry = answers(&first, &keys(&first));
        let done = exchange(&mut other, &arguments, retry);
        let all = &done["result"]["structuredContent"]["all"];
        assert_eq!(all[0]["action"], "accept", "{done}");
    }
    assert_eq!(mock.received_of("tools/call").len(), 8);
}

#[test]
fn a_call_whose_client_does_not_come_back_is_cancelled() {
    let responses = Arc::default();
    let mock = elicits(&responses);
    let profile = "[calls]\nanswer_timeout_ms = 1000\n";
    let gateway = start(&mock, Setup::shards(1).profile(profile));
    let mut connection = gateway.connect();
    let arguments = json!({ "count": 2 });
    exchange(&mut connection, &arguments, json!({}));
    wait_until("the call is cancelled", || {
        let cancelled = mock.received_of("notifications/cancelled");
        (!cancelled.is_empty() && responses.actions() == ["cancel", "cancel"]).then_some(())
    });
}

#[test]
fn a_call_is_not_parked_where_the_configuration_forbids_it() {
    let responses = Arc::default();
    let mock = elicits(&responses);
    let section = mock.section("up") + "questions = { park = false }\n";
    let gateway = Gateway::start(&section);
    gateway.wait_for("up_call");
    let mut connection = gateway.connect();
    let done = exchange(&mut connection, &json!({ "count": 1 }), json!({}));
    let all = &done["result"]["structuredContent"]["all"];
    assert_eq!(*all, json!([null]), "it is refused: {done}");
    for initialize in mock.received_of("initialize") {
        let declared = &initialize.message()["params"]["capabilities"];
        assert_eq!(*declared, json!({}));
    }
}
