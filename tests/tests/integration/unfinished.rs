//! Requests that are not whole when a server drains: they do not keep it.

use std::io::Write;

use corelane_tests::client::{echo, modern};
use corelane_tests::websocket::{TEXT, frame};
use corelane_tests::{Client, Connection, PATIENCE, Request, Server, Setup, WebSocket};
use serde_json::json;

/// Longer than a test waits, as are the times for a head and a body.
const PATIENT: &str = "[server]\ndrain_timeout_ms = 600000\n[connection]\n\
    head_timeout_ms = 600000\nbody_timeout_ms = 600000\nidle_timeout_ms = 600000\n\
    linger_timeout_ms = 60000\n";

/// Ends the server while `connection` has sent a part of a request.
fn check_end(server: Server, connection: Connection) {
    server.signal("TERM");
    check_ending(server, connection);
}

/// The server ends, which drains already: a second signal would end it at once.
fn check_ending(server: Server, mut connection: Connection) {
    let answer = connection.read_to_close(PATIENCE).expect("an end");
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    drop(connection);
    let status = server.wait_for_exit();
    assert_eq!(status.code(), Some(0), "{status}\n{}", server.log());
}

/// A request and the start of another one, and the rest of that.
fn parts(server: &Server) -> (Vec<u8>, Vec<u8>) {
    let call = Request::modern_call("echo", json!({ "message": "m" }));
    let call = call.to_bytes(server.address());
    let head_end = call.windows(4).position(|end| end == b"\r\n\r\n");
    let (start, rest) = call.split_at(head_end.expect("a head ends"));
    ([&call[..], start].concat(), rest.to_vec())
}

#[test]
fn a_head_that_is_not_whole_does_not_keep_a_server() {
    for setup in [
        Setup::shards(1),
        Setup::shards(2),
        Setup::shards(1).secured(),
    ] {
        let server = setup.profile(PATIENT).start();
        let mut connection = server.connect();
        connection.send_bytes(&parts(&server).0);
        assert_eq!(connection.read_response().status(), 200);
        check_end(server, connection);
    }
}

#[test]
fn a_request_whose_rest_the_kernel_has_taken_is_answered() {
    let server = Setup::shards(1).profile(PATIENT).start();
    let mut connection = server.connect();
    let (start, rest) = parts(&server);
    connection.send_bytes(&start);
    assert_eq!(connection.read_response().status(), 200);
    server.signal("STOP");
    connection.send_bytes(&rest);
    server.signal("TERM");
    server.signal("CONT");
    assert_eq!(connection.read_response().status(), 200);
    check_ending(server, connection);
}

#[test]
fn a_connection_for_probes_without_a_request_does_not_keep_a_server() {
    let profile = format!("{PATIENT}[overload]\nconnections_max = 1\n");
    let server = Setup::shards(1).profile(&profile).start();
    let mut served = server.connect();
    let list = Request::modern(1, "tools/list", json!({}));
    assert_eq!(served.exchange(&list).status(), 200);
    let mut for_probes = server.connect();
    for_probes.send_bytes(b"GET /live HTTP/1.1\r\n");
    let silent = server.connect();
    server.signal("TERM");
    for mut connection in [served, for_probes, silent] {
        let answer = connection.read_to_close(PATIENCE).expect("an end");
        assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(server.wait_for_exit().code(), Some(0), "{}", server.log());
}

#[test]
fn a_header_of_a_proxy_that_is_not_whole_does_not_keep_a_server() {
    let profile = format!("{PATIENT}\n").replace(
        "[server]\n",
        "[server]\nproxy_protocol_from = [\"127.0.0.1\"]\n",
    );
    for setup in [Setup::shards(1), Setup::shards(1).secured()] {
        let server = setup.profile(&profile).start();
        let connection = Connection::open(server.address()).expect("it listens");
        let mut stream = connection.stream();
        stream.write_all(b"PROXY TCP4 192.0").expect("it is read");
        check_end(server, connection);
    }
}

#[test]
fn a_message_that_is_not_whole_does_not_keep_a_server() {
    const GOING_AWAY: u16 = 1001;
    let message = modern(1, "tools/call", echo("m")).to_string();
    let whole = frame(TEXT, message.as_bytes());
    // A part of a frame, and a whole frame with a part of a message.
    let first_part = frame(TEXT & 0x0f, &message.as_bytes()[..20]);
    for part in [&whole[..1], &whole[..whole.len() - 1], &first_part] {
        let server = Setup::shards(1).profile(PATIENT).start();
        let mut socket = WebSocket::open(server.address());
        socket.send_bytes(&[&whole[..], part].concat());
        let answer = socket.receive();
        assert_eq!(answer["id"], 1, "{answer}");
        server.signal("TERM");
        socket.expect_close(GOING_AWAY);
        drop(socket);
        assert_eq!(server.wait_for_exit().code(), Some(0), "{}", server.log());
    }
}

#[test]
fn a_line_that_is_not_whole_does_not_keep_a_server() {
    let setup = Setup::shards(1).profile(PATIENT);
    let server = setup.listen("tcp://127.0.0.1:0").start();
    let mut client = Client::of_lines(&server.addresses()[1]);
    let line = modern(1, "tools/call", echo("m")).to_string() + "\n";
    client.send_bytes([&line, &line[..20]].concat().as_bytes());
    assert_eq!(client.expect()["id"], 1);
    server.signal("TERM");
    assert_eq!(client.receive(), None);
    drop(client);
    assert_eq!(server.wait_for_exit().code(), Some(0), "{}", server.log());
}
