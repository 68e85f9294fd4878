//! Upstreams that fail: the error that a client gets, and what the others notice.

use std::sync::atomic::{AtomicUsize, Ordering};

use corelane_tests::mock_upstream::{Act, MockUpstream, Received, json_answer, result_of};
use corelane_tests::{Connection, Request, Setup};
use serde_json::{Value, json};

use super::{EMPTY, Gateway, empty};

fn call(connection: &mut Connection) -> Value {
    let call = Request::modern_call("up_call", json!({}));
    connection.exchange(&call).answer()
}

/// Answers with the text that the call's argument names.
fn answers(name: &str, received: &Received) -> Act {
    let id = received.message()["id"].to_string();
    let head = |status: &str, fields: &str, body: &str| {
        let bytes = body.len();
        format!("HTTP/1.1 {status}\r\nContent-Length: {bytes}\r\n{fields}\r\n{body}").into_bytes()
    };
    let error = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32602,"message":"m"}}}}"#);
    let whole = result_of(received, EMPTY);
    match name {
        "no json" => Act::Send(json_answer("{\"jsonrpc\"")),
        "another id" => Act::Send(json_answer(r#"{"jsonrpc":"2.0","id":0,"result":{}}"#)),
        "text id" => Act::Send(json_answer(&format!(
            r#"{{"jsonrpc":"2.0","id":"{id}","result":{{}}}}"#
        ))),
        "twice" => Act::Send(json_answer(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{}},"result":{{}}}}"#
        ))),
        "input" => Act::Send(result_of(received, r#"{"resultType":"input_required"}"#)),
        "half" => Act::SendAndClose(whole[..whole.len() - 3].to_vec()),
        "nothing" => Act::SendAndClose(Vec::new()),
        "reset" => Act::Reset,
        "no http" => Act::Send(b"SSH-2.0-mock\r\n\r\n".to_vec()),
        "two lengths" => Act::Send(head("200 OK", "Transfer-Encoding: chunked\r\n", "{}")),
        "coding" => Act::Send(head("200 OK", "Content-Encoding: gzip\r\n", "{}")),
        "html" => Act::Send(head("200 OK", "Content-Type: text/html\r\n", "<p>")),
        "500" => Act::Send(head("500 Internal Server Error", "", "")),
        "503" => Act::Send(head("503 Service Unavailable", "", "")),
        "404" => Act::Send(head("404 Not Found", "Content-Type: text/html\r\n", "<p>")),
        "401" => Act::Send(head("401 Unauthorized", "", "")),
        "redirect" => Act::Send(head(
            "307 Temporary Redirect",
            "Location: http://a/\r\n",
            "",
        )),
        "400 error" => {
            let fields = "Content-Type: application/json\r\n";
            Act::Send(head("400 Bad Request", fields, &error))
        }
        "400 result" => {
            let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#);
            let fields = "Content-Type: application/json\r\n";
            Act::Send(head("400 Bad Request", fields, &body))
        }
        name => panic!("{name}"),
    }
}

#[test]
fn each_fault_of_an_upstream_has_its_error_and_no_call_is_made_twice() {
    let mock = MockUpstream::with_tools(&["call"], |received| {
        let message = received.message();
        match message["params"]["arguments"]["fault"].as_str() {
            Some(name) => answers(name, received),
            None => Act::Send(result_of(received, EMPTY)),
        }
    });
    let profile = "[gateway]\nfailures_max = 0\n";
    let gateway = Gateway::start_with(&mock.section("up"), Setup::shards(1).profile(profile));
    gateway.wait_for("up_call");
    let mut connection = gateway.connect();
    for (name, reason, executed) in [
        ("no json", "protocol", "unknown"),
        ("another id", "protocol", "unknown"),
        ("text id", "protocol", "unknown"),
        ("twice", "protocol", "unknown"),
        ("input", "protocol", "unknown"),
        ("half", "closed", "unknown"),
        ("nothing", "closed", "unknown"),
        ("reset", "closed", "unknown"),
        ("no http", "protocol", "unknown"),
        ("two lengths", "protocol", "unknown"),
        ("coding", "protocol", "unknown"),
        ("html", "protocol", "unknown"),
        ("500", "unavailable", "unknown"),
        ("503", "unavailable", "no"),
        ("404", "protocol", "no"),
        ("401", "credential", "no"),
        ("redirect", "protocol", "no"),
        ("400 result", "protocol", "no"),
    ] {
        let before = mock.received_of("tools/call").len();
        let request = Request::modern_call("up_call", json!({ "fault": name }));
        let answer = connection.exchange(&request).answer();
        let error = &answer["error"];
        assert_eq!(error["code"], -32603, "{name}: {answer}");
        let expected = json!({ "upstream": "up", "reason": reason, "executed": executed });
        assert_eq!(error["data"], expected, "{name}: {answer}");
        assert_eq!(mock.received_of("tools/call").len(), before + 1, "{name}");
        // The next call is not affected.
        assert_eq!(call(&mut connection)["result"], empty());
    }
    let request = Request::modern_call("up_call", json!({ "fault": "400 error" }));
    let answer = connection.exchange(&request).answer();
    assert_eq!(answer["error"], json!({ "code": -32602, "message": "m" }));
}

#[test]
fn a_dead_upstream_touches_its_own_entries_only() {
    let mock =
        MockUpstream::with_tools(&["call"], |received| Act::Send(result_of(received, EMPTY)));
    // A port that was free a moment ago, and an upstream that never answers.
    let dead = MockUpstream::start(|_| Act::Reset);
    let hanging = MockUpstream::start(|_| Act::SendAndWait(Vec::new()));
    let sections = dead.section("dead") + &hanging.section("hanging") + &mock.section("up");
    drop(dead);
    let gateway = Gateway::start(&sections);
    gateway.wait_for("up_call");
    assert_eq!(call(&mut gateway.connect())["result"], empty());
}

#[test]
fn calls_of_an_upstream_that_went_away_fail_and_others_go_on() {
    let steady =
        MockUpstream::with_tools(&["call"], |received| Act::Send(result_of(received, EMPTY)));
    let leaving = MockUpstream::with_tools(&["gone"], |received| {
        Act::SendAndClose(result_of(received, EMPTY))
    });
    let sections = steady.section("up") + &leaving.section("leaving");
    let gateway = Gateway::start(&sections);
    gateway.wait_for("leaving_gone");
    gateway.wait_for("up_call");
    let mut connection = gateway.connect();
    let request = Request::modern_call("leaving_gone", json!({}));
    let answer = connection.exchange(&request).answer();
    assert_eq!(answer["result"], empty());
    drop(leaving);
    let mut answer = connection.exchange(&request).answer();
    // The link of before may end only now that a call is on it.
    if answer["error"]["data"]["reason"] == "closed" {
        answer = connection.exchange(&request).answer();
    }
    let expected = json!({ "upstream": "leaving", "reason": "connect", "executed": "no" });
    assert_eq!(answer["error"]["data"], expected, "{answer}");
    assert_eq!(call(&mut connection)["result"], empty());
}

#[test]
fn parts_of_a_configuration_without_effect_are_refused_at_the_start() {
    for (lines, expected) in [
        (
            "url = \"sse+https://h/sse\"\nera = \"modern\"",
            "HTTP+SSE in the modern era is not supported yet",
        ),
        (
            "command = [\"server\"]\ncwd = \"/none\"",
            "cwd /none: there is no such directory",
        ),
        (
            "url = \"https://h/mcp\"\nca_files = [\"/none\"]",
            "TLS file /none: No such file",
        ),
        (
            "url = \"http://127.0.0.1/\"\nca_files = [\"/none\"]",
            "line 6: ca_files is about certificates",
        ),
        (
            "url = \"https://h/mcp\"\nclient_cert = \"/none\"",
            "line 6: client_cert and client_key belong together",
        ),
        ("url = \"http://10.0.0.1/mcp\"", "in the clear"),
        (
            "url = \"http://127.0.0.1/\"\nunknown = 1",
            "line 6: unknown field `unknown`",
        ),
    ] {
        let directory = tempfile::TempDir::new().expect("a directory");
        let path = directory.path().join("corelane.toml");
        let text = format!("[auth]\nmode = \"none\"\n[[upstream]]\nname = \"up\"\n{lines}\n");
        std::fs::write(&path, text).expect("there is space");
        let setup = Setup::shards(1).listen("127.0.0.1:0");
        let ended = setup
            .arguments(&["--config", path.to_str().expect("a path of text")])
            .run_to_end();
        assert_ne!(ended.code, Some(0), "{lines}");
        assert!(ended.error.contains(expected), "{lines}: {}", ended.error);
    }
}

#[test]
fn a_bystander_is_served_while_another_upstream_fails_in_any_way() {
    let head = |status: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    let huge = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        1_u64 << 40
    );
    let limited = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
    for (name, act) in [
        ("hanging", Act::SendAndWait(Vec::new())),
        ("slow", Act::SendAndWait(b"HTTP/1.1 200 OK\r\n".to_vec())),
        ("dead", Act::Reset),
        ("garbage", Act::Send(b"SSH-2.0-mock\r\n\r\n".to_vec())),
        (
            "unauthorized",
            Act::Send(head("401 Unauthorized").into_bytes()),
        ),
        ("limited", Act::Send(limited.as_bytes().to_vec())),
        ("huge", Act::SendAndWait(huge.into_bytes())),
    ] {
        let flapping = AtomicUsize::new(0);
        // It lists its tools, and fails all but each tenth call.
        let failing = MockUpstream::with_tools(&["call"], move |received| {
            match flapping.fetch_add(1, Ordering::Relaxed) % 10 {
                9 => Act::Send(result_of(received, EMPTY)),
                _ => act.clone(),
            }
        });
        let steady =
            MockUpstream::with_tools(&["call"], |received| Act::Send(result_of(received, EMPTY)));
        let gateway = Gateway::start(&(failing.section("failing") + &steady.section("up")));
        gateway.wait_for("failing_call");
        gateway.wait_for("up_call");
        let mut connection = gateway.connect();
        let mut others = Vec::new();
        for _ in 0..20 {
            let mut other = gateway.connect();
            other.send(&Request::modern_call("failing_call", json!({})));
            others.push(other);
            assert_eq!(call(&mut connection)["result"], empty(), "{name}");
        }
        let made = steady.received_of("tools/call").len();
        assert_eq!(made, 20, "{name}: each call of it is made once");
    }
}
