//! Real calls over loopback: each build, in both modes and with both revisions, answers what
//! Corelane's demo answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;

use axum::Router;

use crate::{Mode, as_examples, at_best};

const BUILDS: [fn(Mode) -> Router; 2] = [as_examples::router, at_best::router];
const LEGACY: &[&str] = &["MCP-Protocol-Version: 2025-11-25"];
const INITIALIZE: &str = concat!(
    r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"#,
    r#""protocolVersion":"2025-11-25","capabilities":{},"#,
    r#""clientInfo":{"name":"calls","version":"1"}}}"#,
);
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// Starts a server on a thread of its own, which ends with the test process.
fn start(build: fn(Mode) -> Router, mode: Mode) -> SocketAddr {
    let (ready, address) = mpsc::channel();
    std::thread::spawn(move || {
        let listen = "127.0.0.1:0".parse().unwrap();
        hosting::serve(listen, build(mode), |address| ready.send(address).unwrap())
    });
    address.recv().unwrap()
}

/// One request on a connection of its own; returns head and body of the answer.
fn post(server: SocketAddr, headers: &[&str], body: &str) -> (String, String) {
    let mut stream = TcpStream::connect(server).unwrap();
    let mut request = format!(
        "POST /mcp HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
         Content-Length: {}\r\n",
        body.len()
    );
    for header in headers {
        request += header;
        request += "\r\n";
    }
    request += "\r\n";
    request += body;
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

fn call(tool: &str, arguments: &str, meta: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"{tool}",{}{meta}}}}}"#,
        format_args!(r#""arguments":{arguments}"#)
    )
}

fn expect_text((head, body): &(String, String), content_type: &str, text: &str) {
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}\n{body}");
    assert!(
        head.contains(&format!("\r\ncontent-type: {content_type}")),
        "{head}"
    );
    assert!(body.contains(r#""id":7"#), "{body}");
    let content = format!(r#""content":[{{"type":"text","text":"{text}"}}]"#);
    assert!(body.contains(&content), "{body}");
}

#[test]
fn calls_of_2026_07_28_are_answered_in_json_without_a_session() {
    let meta = concat!(
        r#","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
        r#""io.modelcontextprotocol/clientCapabilities":{}}"#,
    );
    for build in BUILDS {
        let server = start(build, Mode::Stateless);
        let check = |tool: &str, arguments: &str, text: &str| {
            let name = format!("Mcp-Name: {tool}");
            let headers = [
                "MCP-Protocol-Version: 2026-07-28",
                "Mcp-Method: tools/call",
                &name,
            ];
            let answer = post(server, &headers, &call(tool, arguments, meta));
            expect_text(&answer, "application/json", text);
            assert!(
                answer.1.contains(r#""resultType":"complete""#),
                "{}",
                answer.1
            );
        };
        check("echo", r#"{"message":"hello"}"#, "hello");
        check("add", r#"{"a":2,"b":3}"#, "5");
        check("add", r#"{"a":0.5,"b":1}"#, "1.5");
    }
}

#[test]
fn calls_of_2025_11_25_are_answered_in_json_where_there_are_no_sessions() {
    for build in BUILDS {
        let server = start(build, Mode::Stateless);
        let answer = post(server, LEGACY, &call("echo", r#"{"message":"hello"}"#, ""));
        expect_text(&answer, "application/json", "hello");
    }
}

#[test]
fn calls_of_2025_11_25_are_answered_in_a_session_as_events() {
    for build in BUILDS {
        let server = start(build, Mode::Stateful);
        let (head, body) = post(server, LEGACY, INITIALIZE);
        assert!(body.contains(r#""protocolVersion":"2025-11-25""#), "{body}");
        let session = head
            .lines()
            .find(|line| line.starts_with("mcp-session-id: "))
            .unwrap();
        let headers = [LEGACY[0], session];
        let (head, _) = post(server, &headers, INITIALIZED);
        assert!(head.starts_with("HTTP/1.1 202 "), "{head}");
        let echo = call("echo", r#"{"message":"hello"}"#, "");
        expect_text(&post(server, &headers, &echo), "text/event-stream", "hello");
        // A call without its session is refused.
        let (head, _) = post(server, LEGACY, &echo);
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    }
}
