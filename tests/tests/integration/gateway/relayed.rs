//! Relayed messages: their text, their ids and tokens, their fields.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use corelane_tests::mock_upstream::{Act, MockUpstream, event_answer, result_of};
use corelane_tests::{Connection, EventStream, Item, Request, Session, wait_until};
use serde_json::{Value, json};

use super::{EMPTY, Gateway, empty, tools};
use crate::access_file::AccessFile;

const DIGITS: &str = "1234567890123456789012345678901234567890";

/// A call of the mock's only tool with params of this text.
fn raw_call(params: &str) -> Request {
    let request = Request::modern("m", "tools/call", json!({ "name": "up_call" }));
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":"m","method":"tools/call","params":{{{params},
        "_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28",
        "io.modelcontextprotocol/clientCapabilities":{{}},
        "io.modelcontextprotocol/clientInfo":{{"name":"canary-client","version":"1"}},
        "own.example/x":1.50}}}}}}"#
    );
    request.body(body)
}

/// Exchanges bytes that no parser of the tests reads: they have numbers past its range.
fn exchange_raw(gateway: &Gateway, request: &Request) -> String {
    let address = gateway.connect().address();
    let mut stream = TcpStream::connect(address).expect("the server listens");
    let request = request.clone().field("Connection", "close");
    let sent = stream.write_all(&request.to_bytes(address));
    sent.expect("the server reads");
    let mut text = String::new();
    let read = stream.read_to_string(&mut text);
    read.expect("the server answers and closes");
    text
}

#[test]
fn arguments_and_results_go_through_to_the_digit() {
    let result = format!(
        "{{\"content\":[],\r\n \"structuredContent\": {{\"n\":{DIGITS}, \"e\":1e400, \
         \"s\":\"\\u00e4\\n\"}}, \"resultType\":\"complete\"}}"
    );
    let sent = result.clone();
    let mock = MockUpstream::with_tools(&["call"], move |received| {
        Act::Send(result_of(received, &sent))
    });
    let gateway = Gateway::before(&mock);
    let arguments = format!(r#"{{ "n":{DIGITS} , "e":1e300,"s":"\u00e4\/"}}"#);
    let params = format!(r#""name":"up_call","arguments":{arguments}"#);
    let body = exchange_raw(&gateway, &raw_call(&params));
    let expected = result.replace("\r\n", "  ");
    let expected = format!(r#"{{"jsonrpc":"2.0","id":"m","result":{expected}}}"#);
    assert!(body.ends_with(&expected), "{body}");
    let calls = mock.received_of("tools/call");
    assert_eq!(calls.len(), 1);
    assert!(calls[0].body.contains(&arguments), "{}", calls[0].body);
    assert!(calls[0].body.contains(r#""own.example/x":1.50"#));
}

#[test]
fn an_upstream_sees_this_server_and_nothing_of_the_client() {
    let mock =
        MockUpstream::with_tools(&["call"], |received| Act::Send(result_of(received, EMPTY)));
    let section = mock.section("up") + "headers = { \"X-Key\" = \"env:GATE_KEY\" }\n";
    let file = AccessFile::new(&format!(
        "{section}[[role]]\nname = \"ci\"\nclaim_roles = [\"ci\"]\n\
         [[grant]]\nrole = \"ci\"\ntools = [\"up_*\"]\n"
    ));
    let server = file.setup(1).variable("GATE_KEY", "own-key").start();
    let mut connection = server.connect();
    let call = raw_call(r#""name":"up_call","arguments":{}"#)
        .field("Authorization", &format!("Bearer {}", file.key))
        .field("Cookie", "canary=cookie")
        .field("X-Other", "canary-field");
    let result = wait_until("the tool is listed", || {
        connection.exchange(&call).json().get("result").cloned()
    });
    assert_eq!(result, empty());
    let others = raw_call(r#""name":"up_call","arguments":{}"#);
    assert_eq!(
        connection.exchange(&others).status(),
        401,
        "it has no credential"
    );
    for received in mock.received() {
        let whole = format!("{}{}", received.head, received.body);
        assert!(
            !whole.contains("canary") && !whole.contains(&file.key),
            "{whole}"
        );
        assert_eq!(received.field("X-Key"), Some("own-key"));
        assert_eq!(received.field("Accept-Encoding"), Some("identity"));
        assert_eq!(received.field("MCP-Protocol-Version"), Some("2026-07-28"));
    }
    let call = &mock.received_of("tools/call")[0];
    assert_eq!(call.field("Mcp-Method"), Some("tools/call"));
    assert_eq!(
        call.field("Mcp-Name"),
        Some("call"),
        "the name of the upstream"
    );
    let message = call.message();
    assert_eq!(message["params"]["name"], "call");
    assert!(message["id"].is_u64(), "{message}");
    let meta = &message["params"]["_meta"];
    let capabilities = "io.modelcontextprotocol/clientCapabilities";
    assert_eq!(meta[capabilities], json!({}), "nothing is bridged");
}

#[test]
fn tools_are_listed_as_the_upstream_wrote_them_page_by_page() {
    let mock = MockUpstream::start(|received| {
        let message = received.message();
        let result = match (message["method"].as_str(), &message["params"]["cursor"]) {
            (Some("server/discover"), _) => json!({
                "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} },
            })
            .to_string(),
            (_, Value::Null) => {
                let tool = format!(
                    "{{\"x-own\":{DIGITS},\n\"name\":\"call\",\
                     \"inputSchema\":{{\"type\":\"object\" }} }}"
                );
                format!(r#"{{"tools":[{tool}],"nextCursor":"second"}}"#)
            }
            (_, cursor) if cursor == "second" => {
                r#"{"tools":[{"name":"a b","inputSchema":{"type":"object"}},{"name":"no schema"}]}"#
                    .to_owned()
            }
            other => panic!("{other:?}"),
        };
        Act::Send(result_of(received, &result))
    });
    let gateway = Gateway::before(&mock);
    let text = exchange_raw(&gateway, &Request::modern(1, "tools/list", json!({})));
    let expected =
        format!(r#"{{"x-own":{DIGITS},"name":"up_call","inputSchema":{{"type":"object" }}}}"#);
    assert!(text.contains(&expected), "{text}");
    let mut connection = gateway.connect();
    let names: Vec<Value> = tools(&mut connection)
        .iter()
        .map(|tool| tool["name"].clone())
        .filter(|name| name.as_str().is_some_and(|name| name.starts_with("up_")))
        .collect();
    assert_eq!(names, ["up_call", "up_a_b"]);
}

/// An answer with two reports of progress, a log message and a foreign token.
fn talkative(received: &corelane_tests::mock_upstream::Received) -> Act {
    let message = received.message();
    let id = &message["id"];
    let token = &message["params"]["_meta"]["progressToken"];
    let progress = |token: &Value, value: u32| {
        let params = json!({ "progressToken": token, "progress": value });
        json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}).to_string()
    };
    let log = json!({
        "jsonrpc": "2.0", "method": "notifications/message",
        "params": {"level": "error", "data": "from the upstream"},
    });
    let question = json!({
        "jsonrpc": "2.0", "id": 1, "method": "elicitation/create", "params": {},
    });
    let answer = json!({"jsonrpc": "2.0", "id": id, "result": empty()});
    Act::Send(event_answer(&[
        progress(token, 1),
        progress(&json!(4_000_000), 2),
        log.to_string(),
        question.to_string(),
        progress(token, 1),
        progress(token, 3),
        answer.to_string(),
    ]))
}

/// The messages of a stream up to its end.
fn all(connection: Connection) -> Vec<Value> {
    let mut stream = EventStream::begin(connection);
    let mut messages = Vec::new();
    loop {
        match stream.next_item() {
            Item::Message(message) => messages.push(message),
            Item::Comment(_) => {}
            Item::End => return messages,
        }
    }
}

#[test]
fn progress_and_log_messages_come_with_the_tokens_of_the_client() {
    let mock = MockUpstream::with_tools(&["call"], talkative);
    let gateway = Gateway::before(&mock);
    let call = Request::modern_call("up_call", json!({}))
        .meta("progressToken", "mine")
        .meta("io.modelcontextprotocol/logLevel", "warning");
    let mut connection = gateway.connect();
    connection.send(&call);
    let messages = all(connection);
    let found: Vec<Value> = messages
        .iter()
        .map(|message| match message["method"].as_str() {
            Some("notifications/progress") => json!([
                message["params"]["progressToken"],
                message["params"]["progress"]
            ]),
            Some(_) => message["params"]["data"].clone(),
            None => message["result"]["content"].clone(),
        })
        .collect();
    let expected = [
        json!(["mine", 1]),
        json!("from the upstream"),
        json!(["mine", 3]),
        json!([]),
    ];
    assert_eq!(found, expected, "{messages:?}");
    let level = "io.modelcontextprotocol/logLevel";
    let received = mock.received_of("tools/call")[0].message();
    assert_eq!(received["params"]["_meta"][level], "warning");
}

#[test]
fn a_client_that_wants_no_messages_gets_the_answer_alone() {
    let mock = MockUpstream::with_tools(&["call"], talkative);
    let gateway = Gateway::before(&mock);
    let call = Request::modern_call("up_call", json!({}));
    let response = gateway.connect().exchange(&call);
    assert_eq!(response.messages().len(), 1);
    assert_eq!(response.answer()["result"], empty());
    let received = mock.received_of("tools/call")[0].message();
    let meta = &received["params"]["_meta"];
    assert_eq!(meta["progressToken"], Value::Null);
}

#[test]
fn a_legacy_client_gets_no_members_of_the_modern_era() {
    let mock = MockUpstream::with_tools(&["call"], |received| {
        let result =
            r#"{"resultType":"complete","content":[{"type":"text","text":"t"}],"ttlMs":1}"#;
        Act::Send(result_of(received, result))
    });
    let gateway = Gateway::before(&mock);
    let mut connection = gateway.connect();
    let session = Session::open(&mut connection);
    let response = connection.exchange(&session.call("up_call", json!({ "a": 1 })));
    let expected = json!({ "content": [{ "type": "text", "text": "t" }] });
    assert_eq!(response.answer()["result"], expected);
    let message = mock.received_of("tools/call")[0].message();
    let version = "io.modelcontextprotocol/protocolVersion";
    assert_eq!(message["params"]["_meta"][version], "2026-07-28");
    assert_eq!(message["params"]["arguments"], json!({ "a": 1 }));
}

#[test]
fn a_routed_member_that_is_there_twice_is_refused_and_not_sent() {
    let mock =
        MockUpstream::with_tools(&["call"], |received| Act::Send(result_of(received, EMPTY)));
    let gateway = Gateway::before(&mock);
    let mut connection = gateway.connect();
    for params in [
        r#""name":"up_call","arguments":{},"arguments":{"a":1}"#,
        r#""name":"up_call","uri":"a","uri":"b""#,
    ] {
        let response = connection.exchange(&raw_call(params));
        assert_eq!(response.json()["error"]["code"], -32600, "{params}");
    }
    assert_eq!(mock.received_of("tools/call").len(), 0);
}

#[test]
fn the_configuration_renames_hides_and_fixes() {
    let mock = MockUpstream::with_tools(&["call", "delete_all"], |received| {
        Act::Send(result_of(received, EMPTY))
    });
    let section = mock.section("up")
        + "prefix = \"x_\"\ntools = { exclude = [\"delete_*\"] }\n[[upstream.tool]]\n\
           match = \"call\"\nname = \"better\"\nfixed = { repo = \"mine\" }\n";
    let gateway = Gateway::start(&section);
    gateway.wait_for("better");
    let mut connection = gateway.connect();
    let names: Vec<Value> = tools(&mut connection)
        .iter()
        .map(|tool| tool["name"].clone())
        .collect();
    assert!(!names.contains(&json!("x_delete_all")), "{names:?}");
    let answer = |connection: &mut Connection, arguments: Value| {
        let call = Request::modern_call("better", arguments);
        connection.exchange(&call).answer()
    };
    let taken = answer(&mut connection, json!({ "n": 1 }));
    assert_eq!(taken["result"], empty());
    let chosen = answer(&mut connection, json!({ "repo": "yours" }));
    assert_eq!(chosen["error"]["code"], -32602, "{chosen}");
    let received = mock.received_of("tools/call");
    assert_eq!(received.len(), 1);
    let arguments = &received[0].message()["params"]["arguments"];
    assert_eq!(*arguments, json!({ "repo": "mine", "n": 1 }));
}

#[test]
fn a_client_of_an_old_revision_gets_content_that_it_knows() {
    let link = json!({ "type": "resource_link", "uri": "a:b", "name": "n" });
    let result = json!({ "content": [link], "structuredContent": {}, "resultType": "complete" });
    let mock = MockUpstream::with_tools(&["call"], move |received| {
        Act::Send(result_of(received, &result.to_string()))
    });
    let gateway = Gateway::before(&mock);
    let mut connection = gateway.connect();
    let described = json!({ "content": [{ "type": "text", "text": "[resource n: a:b]" }] });
    let known = json!({ "content": [link], "structuredContent": {} });
    for (revision, expected) in [("2025-03-26", described), ("2025-06-18", known)] {
        let handshake = connection.exchange(&Request::initialize(revision));
        let id = handshake.head.field("MCP-Session-Id");
        let id = id.expect("a session id").to_owned();
        let call = Session { id }.call("up_call", json!({}));
        let call = call.without("MCP-Protocol-Version");
        let answer = connection.exchange(&call.field("MCP-Protocol-Version", revision));
        assert_eq!(answer.answer()["result"], expected, "{revision}");
    }
}
