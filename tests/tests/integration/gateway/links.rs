//! Links to upstreams: how they are used, bounded and closed.

use corelane_tests::mock_upstream::{Act, MockUpstream, event_answer, result_of};
use corelane_tests::{Connection, EventStream, Request, Setup, wait_until};
use serde_json::{Value, json};

use super::{EMPTY, Gateway, empty};

fn call(connection: &mut Connection) -> Value {
    let call = Request::modern_call("up_call", json!({}));
    connection.exchange(&call).answer()["result"].clone()
}

#[test]
fn calls_use_one_link_after_the_other() {
    let mock =
        MockUpstream::with_tools(&["call"], |received| Act::Send(result_of(received, EMPTY)));
    let gateway = Gateway::before(&mock);
    let mut connection = gateway.connect();
    for _ in 0..50 {
        assert_eq!(call(&mut connection), empty());
    }
    let calls = mock.received_of("tools/call");
    let ids: Vec<u64> = calls
        .iter()
        .map(|call| call.message()["id"].as_u64().expect("a number"))
        .collect();
    assert!(
        ids.is_sorted_by(|one, other| one < other),
        "no id is used twice"
    );
    let links = calls.iter().map(|call| call.connection);
    assert_eq!(links.clone().min(), links.max());
}

#[test]
fn a_link_that_its_server_ends_or_spoils_is_not_used_again() {
    for rest in ["", "x", "HTTP/1.1 200 OK\r\n\r\n"] {
        let mock = MockUpstream::with_tools(&["call"], move |received| {
            let answer = result_of(received, EMPTY);
            if rest.is_empty() {
                let text = String::from_utf8_lossy(&answer);
                let answer = text.replacen("\r\n", "\r\nConnection: close\r\n", 1);
                return Act::SendAndClose(answer.into_bytes());
            }
            Act::Send([&answer, rest.as_bytes()].concat())
        });
        let gateway = Gateway::before(&mock);
        let mut connection = gateway.connect();
        for _ in 0..5 {
            assert_eq!(call(&mut connection), empty(), "{rest:?}");
        }
        let calls = mock.received_of("tools/call");
        assert_eq!(calls.len(), 5, "{rest:?}");
        let mut links: Vec<usize> = calls.iter().map(|call| call.connection).collect();
        links.dedup();
        assert_eq!(links.len(), 5, "{rest:?}");
    }
}

#[test]
fn a_client_that_leaves_cancels_its_call() {
    let mock = MockUpstream::with_tools(&["call"], |_| Act::SendAndWait(Vec::new()));
    let gateway = Gateway::before(&mock);
    let mut connection = gateway.connect();
    connection.send(&Request::modern_call("up_call", json!({})));
    wait_until("the call arrives", || {
        (!mock.received_of("tools/call").is_empty()).then_some(())
    });
    drop(connection);
    mock.wait_for_left(1);
}

#[test]
fn a_client_that_leaves_within_a_stream_cancels_its_call() {
    let mock = MockUpstream::with_tools(&["call"], |received| {
        let token = &received.message()["params"]["_meta"]["progressToken"];
        let params = json!({ "progressToken": token, "progress": 1 });
        let progress =
            json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params});
        let mut answer = event_answer(&[progress.to_string()]);
        // The last chunk does not come.
        answer.truncate(answer.len() - "0\r\n\r\n".len());
        Act::SendAndWait(answer)
    });
    let gateway = Gateway::before(&mock);
    let mut connection = gateway.connect();
    let call = Request::modern_call("up_call", json!({})).meta("progressToken", 1);
    connection.send(&call);
    let mut stream = EventStream::begin(connection);
    assert_eq!(stream.next_message()["params"]["progress"], 1);
    drop(stream);
    mock.wait_for_left(1);
}

#[test]
fn calls_wait_for_a_link_and_past_the_bound_they_are_refused() {
    let mock = MockUpstream::with_tools(&["call"], |_| Act::SendAndWait(Vec::new()));
    let profile = "[gateway]\nlinks_max = 1\nwaiting_max = 1\n";
    let gateway = Gateway::start_with(&mock.section("up"), Setup::shards(1).profile(profile));
    gateway.wait_for("up_call");
    let request = Request::modern_call("up_call", json!({}));
    let mut carried = gateway.connect();
    carried.send(&request);
    wait_until("the call arrives", || {
        (!mock.received_of("tools/call").is_empty()).then_some(())
    });
    let mut waiting = gateway.connect();
    waiting.send(&request);
    // The one that waits was begun once this one is refused.
    let error = wait_until("a call is refused", || {
        let mut connection = gateway.connect();
        connection.send(&request);
        let answer = connection.try_read_response(std::time::Duration::from_millis(300));
        answer.ok().map(|answer| answer.answer()["error"].clone())
    });
    let expected = json!({ "upstream": "up", "reason": "busy", "executed": "no" });
    assert_eq!(error["data"], expected, "{error}");
    assert_eq!(mock.received_of("tools/call").len(), 1);
    // The link of the first call is closed with it, and the one that waits gets another.
    drop(carried);
    wait_until("the waiting call arrives", || {
        (mock.received_of("tools/call").len() == 2).then_some(())
    });
}

#[test]
fn a_message_past_the_bound_fails_its_call() {
    let mock = MockUpstream::with_tools(&["call"], |received| {
        let text = "x".repeat(5000);
        Act::Send(result_of(
            received,
            &format!(r#"{{"content":[],"t":"{text}"}}"#),
        ))
    });
    let profile = "[gateway]\nmessage_bytes_max = 4096\n";
    let gateway = Gateway::start_with(&mock.section("up"), Setup::shards(1).profile(profile));
    gateway.wait_for("up_call");
    let call = Request::modern_call("up_call", json!({}));
    let answer = gateway.connect().exchange(&call).answer();
    assert_eq!(answer["error"]["data"]["reason"], "protocol");
    let message = answer["error"]["message"].as_str().expect("a text");
    assert!(message.contains("4096 bytes"), "{message}");
}

#[test]
fn calls_of_several_shards_reach_the_upstream() {
    let mock =
        MockUpstream::with_tools(&["call"], |received| Act::Send(result_of(received, EMPTY)));
    let gateway = Gateway::start_with(&mock.section("up"), Setup::shards(2));
    gateway.wait_for("up_call");
    for _ in 0..20 {
        let mut connection = gateway.connect();
        wait_until("both shards list the tool", || {
            (call(&mut connection) == empty()).then_some(())
        });
    }
}

#[test]
fn a_file_of_a_desktop_client_is_read_as_it_is() {
    let mock =
        MockUpstream::with_tools(&["call"], |received| Act::Send(result_of(received, EMPTY)));
    let directory = tempfile::TempDir::new().expect("a directory");
    let path = directory.path().join("mcp.json");
    let servers = json!({ "mcpServers": { "My Server": {
        "type": "http", "url": format!("http://{}/mcp", mock.address()),
        "headers": { "Authorization": "Bearer ${env:DESK_TOKEN}" },
    }}});
    std::fs::write(&path, servers.to_string()).expect("there is space");
    let setup = Setup::shards(1)
        .variable("DESK_TOKEN", "desk")
        .arguments(&["--mcp-servers", path.to_str().expect("a path of text")]);
    let server = setup.start();
    let mut connection = server.connect();
    let answer = wait_until("the tool is listed", || {
        let call = Request::modern_call("my-server_call", json!({}));
        let answer = connection.exchange(&call).answer();
        answer.get("result").cloned()
    });
    assert_eq!(answer, empty());
    let received = mock.received();
    assert!(
        received
            .iter()
            .all(|it| it.field("Authorization") == Some("Bearer desk"))
    );
}
