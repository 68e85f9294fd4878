//! Bodies: ids come back unchanged, and JSON that is not a message is refused.

use corelane_tests::{Connection, LivenessProbe, Request, Session, Setup};
use serde_json::{Value, json};

/// Ids as they stand in the request.
const IDS: [&str; 16] = [
    "0",
    "1",
    "-1",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    r#""""#,
    r#""1""#,
    r#""null""#,
    r#""with \"quotes\" and \\ and \/""#,
    r#""tab\tline\nnul\u0000""#,
    r#""\u00e4\u20ac\ud83d\ude00""#,
    "\"\u{e4}\u{20ac}\u{1f600}\u{2028}\"",
    r#""</script>""#,
    r#""data: x\r\n\r\ndata: y""#,
];

#[test]
fn an_id_comes_back_as_it_was() {
    for shards in [1, 4] {
        let server = Setup::shards(shards).start();
        let mut connection = server.connect();
        let session = Session::open(&mut connection);
        let longest = format!("\"{}\"", "i".repeat(256));
        for id in IDS.into_iter().chain([longest.as_str()]) {
            let sent: Value = serde_json::from_str(id).expect("an id is JSON");
            let messages = [
                ("ping", "{}"),
                ("tools/list", "{}"),
                ("no/such", "{}"),
                (
                    "tools/call",
                    r#"{"name":"echo","arguments":{"message":"x"}}"#,
                ),
                ("tools/call", r#"{"name":"sleep","arguments":{"ms":1}}"#),
                ("tools/call", r#"{"name":"no such"}"#),
            ];
            for (method, params) in messages {
                let body = format!(
                    r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#
                );
                let request = session.message(&Value::Null).body(body);
                for accept in ["application/json", "text/event-stream"] {
                    let response = connection.exchange(&request.clone().field("Accept", accept));
                    assert_eq!(response.answer()["id"], sent, "{method} {id}: {response:?}");
                }
            }
        }
    }
}

/// A POST of `body` gets this status and code, and an `id` exactly if it had one.
fn check_refused(connection: &mut Connection, body: &[u8], expected: (u16, i64), id: Option<i64>) {
    let shown = String::from_utf8_lossy(&body[..body.len().min(120)]).into_owned();
    let response = connection.exchange(&Request::post(body));
    assert_eq!(response.status(), expected.0, "{shown}: {response:?}");
    let answer = response.json();
    assert_eq!(answer["error"]["code"], expected.1, "{shown}: {answer}");
    assert_eq!(
        answer.get("id").cloned(),
        id.map(Value::from),
        "{shown}: {answer}"
    );
    assert!(
        !response.head.says_close(),
        "a bad message does not end its connection: {response:?}"
    );
}

#[test]
fn invalid_json_is_refused() {
    let good = r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":[1,2,{"b":"c\u0041"}]}}"#;
    for shards in [1, 4] {
        let server = Setup::shards(shards).start();
        let mut probe = LivenessProbe::of(&server);
        let mut connection = server.connect();
        for end in 0..good.len() {
            check_refused(
                &mut connection,
                &good.as_bytes()[..end],
                (400, -32700),
                None,
            );
        }
        probe.check("truncated JSON");
        let cases: [&[u8]; 14] = [
            b"\xff\xfe{}",
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"p\xffng\"}",
            b"{\"jsonrpc\":\"2.0\",\"id\":\"\xc3\x28\",\"method\":\"ping\"}",
            b"{\"jsonrpc\":\"2.0\",\"id\":\"\xed\xa0\x80\",\"method\":\"ping\"}",
            b"\xef\xbb\xbf{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}",
            br#"{"jsonrpc":"2.0","id":1,"method":"ping"}x"#,
            br#"{"jsonrpc":"2.0","id":1,"method":"ping"}{"jsonrpc":"2.0"}"#,
            br#"{"jsonrpc":"2.0","id":1,"method":"ping",}"#,
            br#"{'jsonrpc':'2.0','id':1,'method':'ping'}"#,
            br#"{"jsonrpc":"2.0","id":01,"method":"ping"}"#,
            br#"{"jsonrpc":"2.0","id":"\ud800","method":"ping"}"#,
            b"{\"jsonrpc\":\"2.0\",\"id\":\"a\nb\",\"method\":\"ping\"}",
            b"nul",
            b"\0",
        ];
        for body in cases {
            check_refused(&mut connection, body, (400, -32700), None);
            probe.check(&String::from_utf8_lossy(body));
        }
    }
}

#[test]
fn json_that_is_no_message_is_refused() {
    let server = Setup::shards(1).start();
    let mut probe = LivenessProbe::of(&server);
    let mut connection = server.connect();
    for (body, id) in [
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, None),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, None),
        (r#"{"jsonrpc":"2.0","id":1e0,"method":"ping"}"#, None),
        (r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#, None),
        (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, None),
        (r#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#, None),
        (
            r#"{"jsonrpc":"2.0","id":18446744073709551616,"method":"ping"}"#,
            None,
        ),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, Some(1)),
        (r#"{"jsonrpc":2,"id":1,"method":"ping"}"#, Some(1)),
        (r#"{"id":1,"method":"ping"}"#, Some(1)),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, Some(1)),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":7}"#,
            Some(1),
        ),
        (r#"{"jsonrpc":"2.0","id":1}"#, Some(1)),
        (r#"[]"#, None),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, None),
        (r#"{}"#, None),
        ("7", None),
        ("null", None),
        (r#""ping""#, None),
    ] {
        check_refused(&mut connection, body.as_bytes(), (400, -32600), id);
        probe.check(body);
    }
    let id = "i".repeat(257);
    let long_id = format!(r#"{{"jsonrpc":"2.0","id":"{id}","method":"ping"}}"#);
    check_refused(&mut connection, long_id.as_bytes(), (400, -32600), None);
    let method = "m".repeat(129);
    let long_method = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#);
    check_refused(
        &mut connection,
        long_method.as_bytes(),
        (400, -32600),
        Some(1),
    );
}

#[test]
fn bombs_are_refused() {
    let profile = "[json]\ndepth_max = 32\nnodes_max = 10000";
    for shards in [1, 4] {
        let server = Setup::shards(shards).profile(profile).start();
        let mut probe = LivenessProbe::of(&server);
        let mut connection = server.connect();
        let session = Session::open(&mut connection);
        let nested = |levels: usize| {
            let (open, close) = ("[".repeat(levels), "]".repeat(levels));
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"a":{open}{close}}}}}"#)
        };
        let wide = |values: usize| {
            let list = vec!["0"; values].join(",");
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"a":[{list}]}}}}"#)
        };
        for body in [nested(30), wide(9_900)] {
            let response = connection.exchange(&session.message(&Value::Null).body(body));
            assert_eq!(response.status(), 200, "{response:?}");
        }
        let unclosed = "[".repeat(1 << 20);
        let objects = r#"{"a":"#.repeat(1 << 18);
        for (name, body) in [
            ("one level too many", nested(31)),
            ("deep", nested(500_000)),
            ("deep and open", unclosed),
            ("deep objects", objects),
            ("wide", wide(10_001)),
            ("very wide", wide(2_000_000)),
        ] {
            let response = connection.exchange(&session.message(&Value::Null).body(body));
            assert_eq!(response.status(), 400, "{name}: {response:?}");
            assert!(
                response.json()["error"]["code"].is_i64(),
                "{name}: {response:?}"
            );
            probe.check(name);
        }
    }
}

#[test]
fn other_content_types_are_refused() {
    let server = Setup::shards(1).start();
    let mut probe = LivenessProbe::of(&server);
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    let ping = session.request(1, "ping", Value::Null);
    for content_type in [
        "text/plain",
        "application/jsonl",
        "application/x-www-form-urlencoded",
        "",
        "json",
    ] {
        let response = connection.exchange(&ping.clone().field("Content-Type", content_type));
        assert_eq!(response.status(), 415, "{content_type:?}: {response:?}");
        assert_eq!(
            response.json()["error"]["code"],
            -32600,
            "{content_type:?}: {response:?}"
        );
        probe.check(content_type);
    }
    let none = connection.exchange(&ping.clone().without("Content-Type"));
    assert_eq!(none.status(), 415, "{none:?}");
    for content_type in ["application/json; charset=utf-8", "Application/JSON"] {
        let response = connection.exchange(&ping.clone().field("Content-Type", content_type));
        assert_eq!(response.status(), 200, "{content_type:?}: {response:?}");
    }
}

#[test]
fn methods_tools_and_arguments_that_do_not_fit_are_answered_in_band() {
    let server = Setup::shards(1).start();
    let mut probe = LivenessProbe::of(&server);
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    let text = "x".repeat(100);
    for (name, params, code) in [
        ("unknown tool", json!({ "name": "no_such" }), Some(-32602)),
        ("empty name", json!({ "name": "" }), Some(-32602)),
        (
            "wrong case",
            json!({ "name": "ECHO", "arguments": { "message": "x" } }),
            Some(-32602),
        ),
        ("name is no string", json!({ "name": 7 }), Some(-32602)),
        ("no name", json!({}), Some(-32602)),
        (
            "arguments are a list",
            json!({ "name": "echo", "arguments": ["x"] }),
            Some(-32602),
        ),
        ("no arguments", json!({ "name": "echo" }), None),
        (
            "missing argument",
            json!({ "name": "echo", "arguments": {} }),
            None,
        ),
        (
            "wrong type",
            json!({ "name": "echo", "arguments": { "message": 1 } }),
            None,
        ),
        (
            "null",
            json!({ "name": "add", "arguments": { "a": 1, "b": null } }),
            None,
        ),
        (
            "text for a number",
            json!({ "name": "add", "arguments": { "a": text, "b": 1 } }),
            None,
        ),
        (
            "negative",
            json!({ "name": "sleep", "arguments": { "ms": -1 } }),
            None,
        ),
        (
            "fraction",
            json!({ "name": "sleep", "arguments": { "ms": 1.5 } }),
            None,
        ),
    ] {
        let tool = params["name"].as_str().unwrap_or("x").to_owned();
        for request in [
            session.request(3, "tools/call", params.clone()),
            Request::modern(3, "tools/call", params.clone()).field("Mcp-Name", &tool),
        ] {
            let response = connection.exchange(&request);
            assert_eq!(response.status(), 200, "{name}: {response:?}");
            let answer = response.json();
            assert_eq!(answer["id"], 3, "{name}: {answer}");
            match code {
                Some(code) => assert_eq!(answer["error"]["code"], code, "{name}: {answer}"),
                None => assert_eq!(answer["result"]["isError"], true, "{name}: {answer}"),
            }
            probe.check(name);
        }
    }
}
