//! WebSocket: the handshake over HTTP, messages of both eras, the ends of connections.

use corelane_tests::client::{call, cancelled, check_text, legacy, modern};
use corelane_tests::websocket::{CLOSE, PING, PONG, TEXT, frame, handshake};
use corelane_tests::{Request, Setup, Totals, WebSocket};
use serde_json::{Value, json};

fn echo(id: impl Into<Value>) -> Value {
    modern(id, "tools/call", call("echo", json!({"message": "m"})))
}

#[test]
fn both_eras_are_served_on_one_connection_and_the_session_ends_with_it() {
    let server = Setup::shards(2).start();
    let mut socket = WebSocket::open_session(server.address(), &json!({}));
    check_text(&socket.exchange(&echo(1)), "m");
    let request = legacy("a", "tools/call", call("add", json!({"a": 2, "b": 3})));
    check_text(&socket.exchange(&request), "5");
    let message = "x".repeat(3_000_000);
    let arguments = call("echo", json!({ "message": message }));
    check_text(
        &socket.exchange(&legacy(2, "tools/call", arguments)),
        &message,
    );
    socket.send_bytes(&frame(CLOSE, &1000u16.to_be_bytes()));
    socket.expect_close(1000);
    let totals = Totals::of_end(&server, || server.log());
    assert_eq!(totals.value("calls", "ok"), 3, "{totals}");
}

#[test]
fn progress_questions_and_cancellations_go_their_ways() {
    let server = Setup::shards(1).start();
    let mut socket = WebSocket::open_session(server.address(), &json!({"elicitation": {}}));
    let mut params = call("test_tool_with_progress", json!({}));
    params["_meta"] = json!({"progressToken": "p"});
    socket.send(&legacy(1, "tools/call", params));
    for progress in [0.0, 50.0, 100.0] {
        let message = socket.receive();
        assert_eq!(message["method"], "notifications/progress", "{message}");
        assert_eq!(message["params"]["progress"], progress, "{message}");
    }
    assert_eq!(socket.receive()["id"], 1);
    let question = call("test_elicitation", json!({"message": "Who are you?"}));
    socket.send(&legacy(2, "tools/call", question));
    let elicited = socket.receive();
    assert_eq!(elicited["method"], "elicitation/create", "{elicited}");
    let content = json!({"username": "ann", "email": "ann@example.com"});
    let result = json!({"action": "accept", "content": content});
    socket.send(&json!({"jsonrpc": "2.0", "id": elicited["id"], "result": result}));
    assert_eq!(socket.receive()["id"], 2);
    socket.send(&legacy(
        3,
        "tools/call",
        call("sleep", json!({"ms": 60_000})),
    ));
    socket.send(&cancelled(3));
    check_text(&socket.exchange(&echo(4)), "m");
}

#[test]
fn frames_behind_the_handshake_in_its_segment_are_read() {
    let server = Setup::shards(1).start();
    let behind = [
        frame(TEXT, echo(1).to_string().as_bytes()),
        frame(PING, b"still there?"),
    ];
    let address = server.address();
    let lines = format!("Sec-WebSocket-Protocol: mcp\r\nOrigin: http://{address}\r\n");
    let mut socket = WebSocket::open_with(address, &lines, &behind.concat());
    let answer = socket.read_frame().expect("an answer");
    let answer: Value = serde_json::from_slice(&answer.payload).expect("JSON");
    check_text(&answer, "m");
    let pong = socket.read_frame().expect("a pong");
    assert_eq!(
        (pong.first, &pong.payload[..]),
        (PONG, &b"still there?"[..])
    );
}

#[test]
fn handshakes_are_checked_like_any_request_and_their_connection_stays_one_of_http() {
    let profile = "[server]\nprincipal_header = \"X-User\"";
    let server = Setup::shards(1).profile(profile).start();
    let address = server.address();
    let valid = handshake(address, "X-User: ann\r\n");
    let host = format!("Host: {address}");
    for (request, status) in [
        (handshake(address, "Origin: http://evil.example\r\n"), 403),
        (valid.replace(&host, "Host: evil.example"), 403),
        (handshake(address, "X-User: \r\n"), 400),
        (handshake(address, "Sec-WebSocket-Protocol: soap\r\n"), 400),
        (valid.replace("/mcp", "/other"), 404),
        (valid.replace("Version: 13", "Version: 7"), 426),
        (valid.replace("HTTP/1.1", "HTTP/1.0"), 426),
        (valid.replace("Upgrade: websocket\r\n", ""), 400),
    ] {
        let mut connection = server.connect();
        connection.send_bytes(request.as_bytes());
        let response = connection.read_response();
        assert_eq!(response.status(), status, "{request}");
        let version = response.head.field("sec-websocket-version");
        assert_eq!(version, (status == 426).then_some("13"), "{request}");
        assert!(response.json()["error"]["message"].is_string());
        if !request.contains("HTTP/1.0") {
            let list = Request::modern(1, "tools/list", json!({}));
            assert_eq!(connection.exchange(&list).status(), 200);
        }
    }
}

#[test]
fn an_address_for_websocket_serves_nothing_else() {
    let server = Setup::shards(1).listen("ws://127.0.0.1:0").start();
    let address = server.addresses()[1]
        .strip_prefix("ws://")
        .expect("its scheme");
    let address = address.parse().expect("an address");
    let mut connection = corelane_tests::Connection::open(address).expect("it listens");
    let list = Request::modern(1, "tools/list", json!({}));
    assert_eq!(connection.exchange(&list).status(), 426);
    check_text(&WebSocket::open(address).exchange(&echo(1)), "m");
    // And any other address upgrades too.
    check_text(&WebSocket::open(server.address()).exchange(&echo(1)), "m");
}

#[test]
fn a_server_that_ends_answers_what_is_in_flight_and_says_that_it_goes() {
    let server = Setup::shards(2).start();
    let mut listening = WebSocket::open(server.address());
    let filter = json!({"notifications": {"toolsListChanged": true}});
    listening.send(&modern(1, "subscriptions/listen", filter));
    let acknowledged = listening.receive();
    let mut calling = WebSocket::open(server.address());
    let sleep = call("sleep", json!({"ms": 300}));
    calling.send(&modern(2, "tools/call", sleep));
    calling.send_bytes(&frame(PING, b""));
    assert_eq!(calling.read_frame().expect("a pong").first, PONG);
    let method = "notifications/subscriptions/acknowledged";
    assert_eq!(acknowledged["method"], method);
    server.signal("TERM");
    let cancelled = listening.receive();
    assert_eq!(
        cancelled["method"], "notifications/cancelled",
        "{cancelled}"
    );
    assert_eq!(listening.receive()["id"], 1);
    assert_eq!(listening.expect_close(1001), "the server shuts down");
    assert_eq!(calling.receive()["id"], 2);
    calling.expect_close(1001);
    drop((listening, calling));
    assert!(server.wait_for_exit().success());
}
