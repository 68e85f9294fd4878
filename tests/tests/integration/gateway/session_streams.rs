//! Requests of legacy upstreams on the stream of a session.

use std::sync::{Arc, Condvar, Mutex};

use corelane_tests::mock_upstream::{
    Act, MockUpstream, Next, Received, first_events, last_events, more_events, result_of,
    session_opened,
};
use corelane_tests::request::CAPABILITIES_KEY;
use corelane_tests::{EventStream, PATIENCE, Request, Session, wait_until};
use serde_json::{Value, json};

use super::Gateway;

/// The calls that have come to an upstream, and the response to its request.
#[derive(Default)]
struct State {
    known: Mutex<(usize, Option<Value>)>,
    changed: Condvar,
}

impl State {
    fn change(&self, change: impl FnOnce(&mut (usize, Option<Value>))) {
        change(&mut self.known.lock().expect("no panic"));
        self.changed.notify_all();
    }

    fn wait(&self, holds: impl Fn(&(usize, Option<Value>)) -> bool) -> Value {
        let known = self.known.lock().expect("no panic");
        let waited = self
            .changed
            .wait_timeout_while(known, PATIENCE, |known| !holds(known));
        let response = waited.expect("no panic").0.1.clone();
        response.unwrap_or_default()
    }
}

/// An upstream that requests roots on the stream of a session once so many calls are open. Their
/// results are the response.
fn upstream(calls: usize) -> MockUpstream {
    let state = Arc::new(State::default());
    MockUpstream::start(move |received| serve(received, calls, &state))
}

fn serve(received: &Received, calls: usize, state: &Arc<State>) -> Act {
    let empty = |status: &str| {
        Act::Send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into_bytes())
    };
    let state = Arc::clone(state);
    let of_client = |session: &str| session.starts_with("roots-");
    if received.head.starts_with("GET") {
        if !received.field("Mcp-Session-Id").is_some_and(of_client) {
            return empty("405 Method Not Allowed");
        }
        let question = json!({ "jsonrpc": "2.0", "id": "q", "method": "roots/list" });
        let next = Next::new(move || {
            state.wait(|(open, _)| *open >= calls);
            Act::SendAndWait(more_events(&[question.to_string()]))
        });
        return Act::SendThen(first_events(&[]), next);
    }
    if received.body.is_empty() {
        return empty("200 OK");
    }
    let message = received.message();
    let id = message["id"].clone();
    match message["method"].as_str() {
        Some("initialize") => {
            let kind = match message["params"]["capabilities"]["roots"].is_null() {
                true => "plain",
                false => "roots",
            };
            Act::Send(session_opened(received, &format!("{kind}-{id}")))
        }
        Some("tools/list") => {
            let tool = json!({ "name": "call", "inputSchema": { "type": "object" } });
            Act::Send(result_of(received, &json!({ "tools": [tool] }).to_string()))
        }
        Some("tools/call") => {
            state.change(|(open, _)| *open += 1);
            let next = Next::new(move || {
                let response = state.wait(|(_, response)| response.is_some());
                let result = json!({ "content": [], "structuredContent": response });
                let answer = json!({ "jsonrpc": "2.0", "id": id, "result": result });
                Act::SendAndClose(last_events(&[answer.to_string()]))
            });
            Act::SendThen(first_events(&[]), next)
        }
        Some(_) => empty("202 Accepted"),
        None => {
            state.change(|(_, response)| *response = Some(message));
            empty("202 Accepted")
        }
    }
}

fn roots() -> Value {
    json!({ "roots": {} })
}

#[test]
fn a_legacy_client_gets_them_on_the_stream_of_its_only_call() {
    let mock = upstream(1);
    let gateway = Gateway::before(&mock);
    let mut connection = gateway.connect();
    let session = Session::open_as(&mut connection, &roots());
    connection.send(&session.call("up_call", json!({})));
    let mut stream = EventStream::begin(connection);
    let question = stream.next_message();
    assert_eq!(question["method"], "roots/list", "{question}");
    let result = json!({ "roots": [{ "uri": "file:///a" }] });
    let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": result });
    gateway.connect().exchange(&session.message(&answer));
    let done = stream.next_message();
    let response = &done["result"]["structuredContent"];
    assert_eq!(response["result"], result, "{done}");
    assert_eq!(response["id"], "q");
    gateway.connect().exchange(&session.delete());
    mock.wait_for_left(1);
}

#[test]
fn a_modern_client_gets_them_as_the_result() {
    let mock = upstream(1);
    let gateway = Gateway::before(&mock);
    let mut connection = gateway.connect();
    let call = |more: Value| {
        let mut params = json!({ "name": "up_call", "arguments": {} });
        for (name, value) in more.as_object().into_iter().flatten() {
            params[name] = value.clone();
        }
        Request::modern(1, "tools/call", params).meta(CAPABILITIES_KEY, roots())
    };
    let first = connection.exchange(&call(json!({}))).answer();
    let requests = first["result"]["inputRequests"].as_object();
    let (key, _) = requests.and_then(|it| it.iter().next()).expect("a request");
    let result = json!({ "roots": [] });
    let retry = json!({
        "requestState": first["result"]["requestState"], "inputResponses": { key: result },
    });
    let done = connection.exchange(&call(retry)).answer();
    let response = &done["result"]["structuredContent"];
    assert_eq!(response["result"], result, "{done}");
}

#[test]
fn a_request_that_could_be_for_several_calls_is_refused() {
    let mock = upstream(2);
    let gateway = Gateway::before(&mock);
    let mut connection = gateway.connect();
    let session = Session::open_as(&mut connection, &roots());
    let mut other = gateway.connect();
    other.send(&session.call("up_call", json!({})));
    wait_until("the first call arrives", || {
        (mock.received_of("tools/call").len() == 1).then_some(())
    });
    let call = session.request(
        2,
        "tools/call",
        json!({ "name": "up_call", "arguments": {} }),
    );
    let done = connection.exchange(&call).answer();
    let code = &done["result"]["structuredContent"]["error"]["code"];
    assert_eq!(*code, -32601, "{done}");
}

#[test]
fn a_session_without_capabilities_has_no_such_stream() {
    let mock = upstream(1);
    let gateway = Gateway::before(&mock);
    let mut connection = gateway.connect();
    let session = Session::open(&mut connection);
    connection.send(&session.call("up_call", json!({})));
    let call = wait_until("the call arrives", || {
        mock.received_of("tools/call").first().cloned()
    });
    let session = call.field("Mcp-Session-Id");
    let received = mock.received();
    let mut gets = received.iter().filter(|it| it.head.starts_with("GET"));
    assert!(gets.all(|it| it.field("Mcp-Session-Id") != session));
}
