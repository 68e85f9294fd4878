//! The audit log of a server that is called over HTTP.

use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use corelane::guard::audit::AuditText;
use corelane::guard::pins::OnMismatch;
use corelane::{Call, CallError, Profile, RunningServer, Server, Tool, ToolAnnotations};
use serde_json::{Value, json};
use tempfile::TempDir;

/// In each part of a request that a peer chooses and that is never recorded.
const CANARY: &str = "canary-7f3a";

fn tool(name: &str) -> Tool {
    described(name, "Does something.")
}

fn described(name: &str, description: &str) -> Tool {
    let schema = r#"{"type":"object"}"#;
    Tool::from_schema(
        name,
        description,
        schema,
        async |_: &Call, arguments: Value| match arguments.get("fail") {
            None => Ok(format!("result {arguments}")),
            Some(_) => Err(CallError::new(CANARY)),
        },
    )
}

/// A server with an audit log, and the directory of the log.
fn started(directory: &Path, more: &str) -> RunningServer {
    let text = format!("directory = {directory:?}\nnode = \"host\"\n{more}");
    let text: AuditText = toml::from_str(&text).expect("the section");
    let annotations = ToolAnnotations {
        destructive: Some(true),
        ..ToolAnnotations::default()
    };
    let server = Server::new("audited", "1.0.0")
        .with_tool(tool("plain"))
        .with_tool(tool("marked").with_audit())
        .with_tool(tool("destructive").with_annotations(annotations))
        .with_audit(text.check().expect("no faults"));
    let profile = "[server]\nlisten = \"127.0.0.1:0\"\nshards = 1\n";
    let profile = Profile::from_toml(profile).expect("a profile");
    server.start(profile).expect("it starts")
}

/// Calls a tool and returns the status and the answer.
fn call(address: SocketAddr, tool: &str, arguments: &Value) -> (u16, String) {
    let body = json!({
        "jsonrpc": "2.0",
        "id": format!("{CANARY}-id"),
        "method": "tools/call",
        "params": {
            "name": tool,
            "arguments": arguments,
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
                "io.modelcontextprotocol/clientInfo": {"name": CANARY, "version": "1"},
                "traceparent": CANARY,
            },
        },
    });
    let body = body.to_string();
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(
        stream,
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n\
         Mcp-Method: tools/call\r\nMcp-Name: {tool}\r\nAuthorization: Bearer {CANARY}\r\n\
         Cookie: session={CANARY}\r\nUser-Agent: {CANARY}\r\nX-{CANARY}: {CANARY}\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|it| it.parse().ok());
    (status.expect("a status"), answer)
}

/// The records of an event.
fn records(directory: &Path, event: &str) -> Vec<Value> {
    let entries = fs::read_dir(directory).expect("a directory");
    let mut paths: Vec<PathBuf> = entries.map(|it| it.expect("an entry").path()).collect();
    paths.sort();
    let texts = paths
        .iter()
        .map(|it| fs::read_to_string(it).expect("UTF-8"));
    let text: String = texts.collect();
    assert!(!text.contains(CANARY), "{text}");
    let records = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let records = records.filter(|record: &Value| record["event"] == event);
    records.collect()
}

#[test]
fn calls_are_recorded_with_their_outcomes_and_nothing_secret() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("audit");
    let server = started(&path, "calls = \"all\"");
    let secret = json!({ "secret": CANARY });
    assert_eq!(call(server.address(), "plain", &secret).0, 200);
    assert_eq!(
        call(server.address(), "marked", &json!({ "fail": CANARY })).0,
        200
    );
    assert_eq!(call(server.address(), "absent", &secret).0, 200);
    server.drain().expect("it ends");
    let calls = records(&path, "call");
    assert_eq!(calls.len(), 2, "{calls:?}");
    for (record, (name, outcome)) in calls.iter().zip([("plain", "ok"), ("marked", "error")]) {
        assert_eq!(
            (&record["name"], &record["outcome"]),
            (&name.into(), &outcome.into())
        );
        assert_eq!(
            (&record["kind"], &record["shard"]),
            (&"tool".into(), &0.into())
        );
        assert!(record["bytes_out"].as_u64() > Some(0) && record["duration_us"].is_u64());
        assert_eq!(record["request"].as_str().map(str::len), Some(16));
    }
    assert_eq!(records(&path, "audit.stopped").len(), 1);
}

#[test]
fn marked_and_destructive_tools_are_recorded_alone_if_so_set() {
    for (calls, expected) in [("marked", &["marked", "destructive"][..]), ("denied", &[])] {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().join("audit");
        let server = started(&path, &format!("calls = {calls:?}"));
        for name in ["plain", "marked", "destructive"] {
            assert_eq!(call(server.address(), name, &json!({})).0, 200);
        }
        server.drain().expect("it ends");
        let names: Vec<Value> = records(&path, "call")
            .iter()
            .map(|record| record["name"].clone())
            .collect();
        assert_eq!(names, expected, "{calls}");
    }
}

#[test]
fn chosen_arguments_are_copied_and_others_are_digested_under_a_key() {
    let arguments = json!({ "sum": 7, "to": "bob", "card": CANARY });
    let directory = TempDir::new().expect("a directory");
    let key = directory.path().join("key");
    fs::write(&key, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").expect("written");
    fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("set");
    let fields = "args = \"fields\"\n[fields]\nplain = [\"sum\", \"to\", \"none\"]";
    let digest = format!("args = \"digest\"\nargs_key_file = {key:?}");
    let mut recorded = Vec::new();
    for (name, more) in [
        ("fields", fields),
        ("digest", &*digest),
        ("again", &*digest),
    ] {
        let path = directory.path().join(name);
        let server = started(&path, &format!("calls = \"all\"\n{more}"));
        assert_eq!(call(server.address(), "plain", &arguments).0, 200);
        server.drain().expect("it ends");
        recorded.push(records(&path, "call")[0]["args"].clone());
    }
    assert_eq!(recorded[0], json!({ "sum": 7, "to": "bob" }));
    assert_eq!(recorded[1].as_str().map(str::len), Some(43));
    assert_eq!(recorded[1], recorded[2]);
}

#[test]
fn calls_are_refused_while_they_cannot_be_recorded() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("audit");
    let text = format!(
        "directory = {path:?}\nnode = \"host\"\ncalls = \"marked\"\non_failure = \"refuse\""
    );
    let text: AuditText = toml::from_str(&text).expect("the section");
    let server = Server::new("audited", "1.0.0")
        .with_tool(tool("plain"))
        .with_tool(tool("marked").with_audit())
        .with_audit(text.check().expect("no faults"));
    // A file for each write, which cannot be made once the directory has another name.
    let profile = "[server]\nlisten = \"127.0.0.1:0\"\nshards = 1\n[audit]\nsegment_bytes = 4096\n";
    let server = server
        .start(Profile::from_toml(profile).expect("a profile"))
        .expect("it starts");
    let mut served = 0;
    let gone = path.with_extension("gone");
    fs::rename(&path, &gone).expect("renamed");
    let refused = loop {
        let (status, answer) = call(server.address(), "marked", &json!({}));
        if status != 200 {
            break (status, answer);
        }
        served += 1;
    };
    assert_eq!(refused.0, 503, "{}", refused.1);
    for text in ["audit_unavailable", "-32603", "\r\nRetry-After: 5\r\n"] {
        let answer = refused.1.replace("retry-after", "Retry-After");
        assert!(answer.contains(text), "{text}: {answer}");
    }
    // Calls that are not recorded are served.
    assert_eq!(call(server.address(), "plain", &json!({})).0, 200);
    fs::rename(&gone, &path).expect("renamed");
    while call(server.address(), "marked", &json!({})).0 == 503 {}
    server.drain().expect("it ends");
    assert_eq!(records(&path, "call").len(), served + 1);
}

#[test]
fn entries_that_differ_from_their_pins_are_hidden_and_recorded() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("audit");
    let reviewed = Server::new("pinned", "1.0.0")
        .with_tool(tool("same"))
        .with_tool(tool("changed"));
    let pins = reviewed.pins().expect("pins");
    let text: AuditText = toml::from_str(&format!("directory = {path:?}")).expect("the section");
    let server = Server::new("pinned", "1.0.0")
        .with_tool(tool("same"))
        .with_tool(described("changed", "Does another thing."))
        .with_tool(tool("new"))
        .with_pins(pins, OnMismatch::Refuse)
        .with_audit(text.check().expect("no faults"));
    let handle = server.handle();
    let profile = "[server]\nlisten = \"127.0.0.1:0\"\nshards = 1\n";
    let profile = Profile::from_toml(profile).expect("a profile");
    let server = server.start(profile).expect("it starts");
    let is_served = |name: &str| {
        call(server.address(), name, &json!({}))
            .1
            .contains("result")
    };
    assert_eq!(
        ["same", "changed", "new"].map(is_served),
        [true, false, false]
    );
    let replaced = handle.add_tool(described("same", "Does another thing."));
    let error = replaced.expect_err("it differs").to_string();
    assert!(error.contains("differs from its pin"), "{error}");
    assert!(is_served("same"));
    handle
        .add_tool(tool("changed"))
        .expect("it is as it was pinned");
    assert!(is_served("changed"));
    server.drain().expect("it ends");
    let found: Vec<_> = records(&path, "pin.mismatch")
        .iter()
        .map(|record| format!("{} {}", record["name"], record["decision"]))
        .collect();
    let expected = [
        r#""changed" "changed""#,
        r#""new" "unpinned""#,
        r#""same" "changed""#,
    ];
    assert_eq!(found, expected);
}
