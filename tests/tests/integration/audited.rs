//! The events of the audit log besides calls, from the running server.

use std::collections::HashSet;
use std::fs;
use std::time::Instant;

use corelane_guard::api_key;
use corelane_tests::client::modern;
use corelane_tests::request::{CAPABILITIES_KEY, LEGACY};
use corelane_tests::{Authority, Client, Request, Server, Setup, wait_until};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::issuer::{ISSUER, Issuer, with};

const RULES: &str = r#"
[[role]]
name = "all"
scopes = ["mcp:read"]
[[role]]
name = "local"
methods = ["unix_peer", "api_key"]
[[grant]]
role = "all"
tools = ["echo", "slow_compute"]
[[grant]]
role = "all"
tools = ["test_simple_text"]
scopes = ["mcp:read", "mcp:write"]
[[grant]]
role = "local"
tools = ["echo"]
"#;

/// A server with an audit log.
struct Audited {
    server: Server,
    issuer: Issuer,
    directory: TempDir,
    key: String,
}

impl Audited {
    fn start() -> Audited {
        Audited::start_as(|setup| setup)
    }

    fn start_as(change: impl FnOnce(Setup) -> Setup) -> Audited {
        Audited::start_with("", change)
    }

    /// With further sections of the access file.
    fn start_with(sections: &str, change: impl FnOnce(Setup) -> Setup) -> Audited {
        let directory = TempDir::new().expect("a directory");
        let issuer = Issuer::new();
        issuer.write_keys(&directory.path().join("keys.json"));
        let (key, sha256) = api_key::create("ci", &[9; 32]).expect("an id");
        let digits: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        let log = directory.path().join("log");
        let text = format!(
            "[auth]\nresource = \"https://mcp.example.com/mcp\"\n\
             [[auth.issuer]]\nalias = \"test\"\nissuer = \"{ISSUER}\"\njwks_file = \"keys.json\"\n\
             [[auth.api_key]]\nid = \"ci\"\nsha256 = \"{digits}\"\n{RULES}\n\
             [audit]\ndirectory = {log:?}\nnode = \"n\"\n{sections}"
        );
        let path = directory.path().join("corelane.toml");
        fs::write(&path, text).expect("there is space");
        let path = path.to_str().expect("a path of text");
        let setup = change(Setup::shards(1).arguments(&["--config", path]));
        Audited {
            server: setup.start(),
            issuer,
            directory,
            key,
        }
    }

    /// The request with this token.
    fn sign(request: Request, token: &str) -> Request {
        request.field("Authorization", &format!("Bearer {token}"))
    }

    /// The text of the log so far.
    fn log(&self) -> String {
        let directory = self.directory.path().join("log");
        let mut paths: Vec<_> = fs::read_dir(directory)
            .expect("the server made it")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        paths.sort();
        let texts = paths
            .iter()
            .map(|path| fs::read_to_string(path).expect("text"));
        texts.collect()
    }

    /// The whole records of an event so far.
    fn records(&self, event: &str) -> Vec<Value> {
        let log = self.log();
        let whole = log.rfind('\n').map_or(0, |end| end + 1);
        let records = log[..whole].lines().map(|line| {
            let record: Value = serde_json::from_str(line).expect("JSON");
            record
        });
        records.filter(|record| record["event"] == event).collect()
    }

    /// The records of an event, once there are this many.
    fn wait_for(&self, event: &str, count: usize) -> Vec<Value> {
        wait_until(event, || {
            let records = self.records(event);
            (records.len() >= count).then_some(records)
        })
    }

    /// Ends the server, which leaves its last records.
    fn end(&self) {
        self.server.signal("TERM");
        assert!(self.server.wait_for_exit().success());
    }
}

fn call(tool: &str) -> Request {
    Request::modern_call(tool, json!({"message": "m"}))
}

/// These members of a record.
fn members<const N: usize>(record: &Value, names: [&str; N]) -> [Value; N] {
    names.map(|name| record[name].clone())
}

#[test]
fn a_credential_is_recorded_once_when_it_is_first_seen() {
    let audited = Audited::start();
    let token = audited.issuer.token("mcp:read");
    let mut connection = audited.server.connect();
    for token in [&token, &token, &audited.key, &audited.key, &token] {
        let response = connection.exchange(&Audited::sign(call("echo"), token));
        assert_eq!(response.status(), 200, "{response:?}");
    }
    // A renewed token is another credential.
    let renewed = with(Issuer::claims("mcp:read"), "jti", json!("renewed"));
    let renewed = audited.issuer.sign(&Issuer::header(), &renewed);
    connection.exchange(&Audited::sign(call("echo"), &renewed));
    audited.end();
    let names = ["principal", "client", "issuer", "peer", "shard", "outcome"];
    let found: Vec<_> = audited
        .records("auth.accepted")
        .iter()
        .map(|record| members(record, names))
        .collect();
    let of_token = ["jwt:test:ann", "app", "test", "127.0.0.1"].map(Value::from);
    let [principal, client, issuer, peer] = of_token;
    let of_token = [
        principal,
        client,
        issuer,
        peer.clone(),
        json!(0),
        json!("accepted"),
    ];
    let none = Value::Null;
    let of_key = [
        json!("api_key::ci"),
        none.clone(),
        none,
        peer,
        json!(0),
        json!("accepted"),
    ];
    assert_eq!(found, [of_token.clone(), of_key, of_token]);
    for secret in [&token, &renewed, &audited.key] {
        assert!(
            !audited.log().contains(secret.as_str()),
            "a credential is in the log"
        );
    }
}

#[test]
fn the_user_of_a_process_is_recorded_when_it_is_first_seen() {
    let sockets = TempDir::new().expect("a directory");
    let socket = format!("unix://{}", sockets.path().join("socket").display());
    let audited = Audited::start_as(|setup| setup.listen(&socket));
    for _ in 0..2 {
        let mut client = Client::of_lines(&socket);
        for id in 0..2 {
            client.exchange(&modern(id, "tools/list", json!({})));
        }
    }
    audited.end();
    let accepted = audited.records("auth.accepted");
    assert_eq!(accepted.len(), 1, "{accepted:?}");
    let principal = accepted[0]["principal"].as_str().expect("a principal");
    assert!(principal.starts_with("unix_peer::unix:uid="), "{principal}");
}

#[test]
fn a_refused_credential_is_recorded_with_the_rule_that_it_breaks() {
    let audited = Audited::start();
    let expired = with(Issuer::claims("mcp:read"), "exp", json!(1));
    let other = with(
        Issuer::claims("mcp:read"),
        "aud",
        json!("https://other.example.com"),
    );
    let sign = |claims| audited.issuer.sign(&Issuer::header(), &claims);
    let (expired, other) = (sign(expired), sign(other));
    let rows = [
        (Some(expired), "expired", Some("V8")),
        (Some(other), "invalid_token", Some("V7")),
        (
            Some("clk_ci_x".to_owned()),
            "invalid_token",
            Some("api_key"),
        ),
        (Some(String::new()), "invalid_request", None),
        (None, "no_credential", None),
    ];
    for (place, (token, outcome, rule)) in rows.iter().enumerate() {
        // Each is of its own source, so that none counts for another.
        let source = [127, 0, 0, 10 + place as u8];
        let mut connection = audited.server.connect_from(source);
        let request = match token {
            Some(token) => Audited::sign(call("echo"), token),
            None => call("echo"),
        };
        assert!(connection.exchange(&request).status() >= 400);
        let refused = audited.wait_for("auth.refused", place + 1);
        let found = members(&refused[place], ["outcome", "rule", "peer", "principal"]);
        let peer = format!("127.0.0.{}", 10 + place);
        assert_eq!(
            found,
            [json!(outcome), json!(rule), json!(peer), Value::Null]
        );
    }
}

#[test]
fn a_flood_of_bad_credentials_costs_the_log_two_records_for_a_source_and_second() {
    const REQUESTS: u64 = 500;
    let audited = Audited::start();
    let begun = Instant::now();
    let mut connection = audited.server.connect();
    for number in 0..REQUESTS {
        let request = Audited::sign(call("echo"), &format!("a.b.c{number}"));
        assert!(connection.exchange(&request).status() >= 400);
    }
    audited.end();
    let seconds = begun.elapsed().as_secs() + 2;
    let records = audited.records("auth.refused");
    assert!(
        records.len() as u64 <= 2 * seconds,
        "{} in {seconds} s",
        records.len()
    );
    // Every refusal is in a record of its own or in the count of one.
    let counts = records
        .iter()
        .map(|record| record["count"].as_u64().unwrap_or(1));
    assert_eq!(counts.sum::<u64>(), REQUESTS);
    let sum = records.iter().find(|record| record["count"].is_u64());
    let sum = sum.expect("the requests took less than a second each");
    assert!(sum["from"].as_str() <= sum["to"].as_str(), "{sum}");
    assert_eq!(sum["peer"], "127.0.0.1");
}

#[test]
fn sources_past_the_bound_share_one_record() {
    const SOURCES: u8 = 100;
    let audited = Audited::start();
    let begun = Instant::now();
    for number in 0..SOURCES {
        let mut connection = audited.server.connect_from([127, 0, 1, number]);
        assert_eq!(connection.exchange(&call("echo")).status(), 401);
    }
    audited.end();
    let seconds = begun.elapsed().as_secs() + 2;
    let records = audited.records("auth.refused");
    assert!(records.len() as u64 <= 65 * seconds, "{}", records.len());
    let counts = records
        .iter()
        .map(|record| record["count"].as_u64().unwrap_or(1));
    assert_eq!(counts.sum::<u64>(), u64::from(SOURCES));
}

#[test]
fn a_denial_names_the_entry_the_grant_and_the_policy() {
    let audited = Audited::start();
    let token = audited.issuer.token("mcp:read");
    let mut connection = audited.server.connect();
    for tool in ["test_simple_text", "no_such_tool", "test_image_content"] {
        connection.exchange(&Audited::sign(call(tool), &token));
    }
    let denied = audited.wait_for("authz.denied", 2);
    let loaded = audited.wait_for("policy.loaded", 1);
    let names = ["name", "decision", "principal", "issuer", "policy", "peer"];
    let expected = |name: &str, decision: &str| {
        let policy = loaded[0]["policy"].clone();
        [
            json!(name),
            json!(decision),
            json!("jwt:test:ann"),
            json!("test"),
            policy,
            json!("127.0.0.1"),
        ]
    };
    assert_eq!(
        members(&denied[0], names),
        expected("test_simple_text", "scope_missing")
    );
    assert_eq!(
        members(&denied[1], names),
        expected("test_image_content", "hidden")
    );
    let text = fs::read_to_string(audited.directory.path().join("corelane.toml"));
    let text = text.expect("it was written");
    let grant = text
        .lines()
        .position(|line| line.contains("test_simple_text"));
    // The line of the role is that of the grant.
    let line = format!("line {}", grant.expect("the line"));
    assert_eq!(denied[0]["rule"], line.as_str());
}

#[test]
fn a_session_is_recorded_from_its_beginning_to_its_end() {
    let audited = Audited::start();
    let token = audited.issuer.token("mcp:read");
    let mut connection = audited.server.connect();
    let mut open = || {
        let started = Audited::sign(Request::initialize(LEGACY), &token);
        let started = connection.exchange(&started);
        let session = started.head.field("MCP-Session-Id").expect("a session");
        session.to_owned()
    };
    let (deleted, kept) = (open(), open());
    let delete = Request::new("DELETE").field("MCP-Session-Id", &deleted);
    assert_eq!(
        connection.exchange(&Audited::sign(delete, &token)).status(),
        204
    );
    let closed = audited.wait_for("session.closed", 1);
    assert_eq!(closed[0]["outcome"], "deleted");
    audited.end();
    let opened = audited.records("session.opened");
    let closed = audited.records("session.closed");
    assert_eq!(members(&closed[1], ["outcome"]), [json!("shutdown")]);
    let names = ["principal", "client", "issuer", "peer"];
    for (opened, closed) in opened.iter().zip(&closed) {
        let of_opened = members(opened, names);
        assert_eq!(
            of_opened,
            ["jwt:test:ann", "app", "test", "127.0.0.1"].map(Value::from)
        );
        assert!(opened["session"].is_string() && opened["session"] == closed["session"]);
    }
    assert_ne!(opened[0]["session"], opened[1]["session"]);
    let log = audited.log();
    assert!(
        !log.contains(&deleted) && !log.contains(&kept),
        "an id is in the log"
    );
}

/// Calls a tool as a modern task; returns the id of the task.
fn begin_task(audited: &Audited, token: &str, seconds: f64) -> String {
    let arguments = json!({"seconds": seconds, "label": "it"});
    let capabilities = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
    let request = Request::modern_call("slow_compute", arguments);
    let request = request.meta(CAPABILITIES_KEY, capabilities);
    let created = audited
        .server
        .connect()
        .exchange(&Audited::sign(request, token));
    let result = created.json()["result"].clone();
    result["taskId"].as_str().expect("a task").to_owned()
}

#[test]
fn a_task_is_recorded_from_its_beginning_to_its_end() {
    let audited = Audited::start();
    let token = audited.issuer.token("mcp:read");
    let done = begin_task(&audited, &token, 0.01);
    let ended = audited.wait_for("task.ended", 1);
    let cancelled = begin_task(&audited, &token, 600.0);
    let capabilities = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
    let cancel = Request::modern(2, "tasks/cancel", json!({"taskId": cancelled}))
        .field("Mcp-Name", &cancelled)
        .meta(CAPABILITIES_KEY, capabilities);
    let answer = audited
        .server
        .connect()
        .exchange(&Audited::sign(cancel, &token));
    assert_eq!(answer.status(), 200, "{answer:?}");
    let of_cancel = audited.wait_for("task.cancelled", 1);
    let stopped = begin_task(&audited, &token, 600.0);
    audited.end();
    let created = audited.records("task.created");
    let names = ["principal", "client", "issuer", "peer", "kind", "name"];
    let expected = [
        "jwt:test:ann",
        "app",
        "test",
        "127.0.0.1",
        "tool",
        "slow_compute",
    ];
    for created in &created {
        assert_eq!(members(created, names), expected.map(Value::from));
    }
    let tasks: HashSet<String> = created
        .iter()
        .map(|created| created["request"].to_string())
        .collect();
    assert_eq!(tasks.len(), 3, "each task has its own id: {created:?}");
    assert_eq!(ended[0]["outcome"], "ok");
    assert_eq!(ended[0]["request"], created[0]["request"]);
    assert_eq!(ended[0]["principal"], "jwt:test:ann");
    assert_eq!(of_cancel[0]["request"], created[1]["request"]);
    assert_eq!(of_cancel[0]["principal"], "jwt:test:ann");
    // The end of a task that was cancelled is not recorded twice.
    let ended = audited.records("task.ended");
    assert_eq!(ended.len(), 2, "{ended:?}");
    assert_eq!(ended[1]["request"], created[2]["request"]);
    let log = audited.log();
    for id in [done, cancelled, stopped] {
        assert!(!log.contains(&id), "the id of a task is in the log");
    }
}

#[test]
fn policies_and_keys_are_recorded_when_they_change() {
    let audited = Audited::start();
    let path = audited.directory.path().join("corelane.toml");
    let text = fs::read_to_string(&path).expect("it was written");
    let first = audited.wait_for("policy.loaded", 1)[0]["policy"].clone();
    let keys = audited.wait_for("keys.changed", 1);
    assert_eq!(
        members(&keys[0], ["issuer", "outcome"]),
        ["test", "loaded"].map(Value::from)
    );
    let write = |text: &str| {
        let next = path.with_extension("next");
        fs::write(&next, text).expect("there is space");
        fs::rename(next, &path).expect("the directory is there");
        audited.server.signal("HUP");
    };
    write(&format!("{text}\n[[deny]]\nrole = \"absent\"\n"));
    let refused = audited.wait_for("policy.refused", 1);
    assert_eq!(refused[0]["policy"], first);
    write(&format!("{text}\n# Another text.\n"));
    let loaded = audited.wait_for("policy.loaded", 2);
    assert_ne!(loaded[1]["policy"], first);
    assert!(loaded[1]["policy"].is_string());
    // Other keys in the file of the issuer are other keys; the same ones again are not.
    Issuer::new().write_keys(&audited.directory.path().join("keys.json"));
    audited.server.signal("HUP");
    let keys = audited.wait_for("keys.changed", 2);
    assert_eq!(keys.len(), 2, "{keys:?}");
}

#[test]
fn reloaded_certificates_are_recorded() {
    let authority = Authority::new();
    let client = authority.client();
    let audited = Audited::start_as(|setup| setup.secured_for(&authority, client, ""));
    assert!(audited.records("tls.reloaded").is_empty());
    authority.write_server_files(&authority.certificate_file(), &authority.key_file());
    let reloaded = audited.wait_for("tls.reloaded", 1);
    assert_eq!(reloaded[0]["outcome"], "loaded");
}

#[test]
fn requests_past_a_limit_are_recorded_as_sums() {
    const REQUESTS: u64 = 200;
    let limits = "[limits]\nprincipal = { rate = \"1/h\", burst = 2 }\n";
    let audited = Audited::start_with(limits, |setup| setup);
    let mut connection = audited.server.connect();
    for _ in 0..REQUESTS {
        connection.exchange(&Audited::sign(call("echo"), &audited.key));
    }
    audited.end();
    let hits = audited.records("limit.hit");
    let counts = hits.iter().filter_map(|record| record["count"].as_u64());
    assert_eq!(counts.sum::<u64>(), REQUESTS - 2);
    for record in &hits {
        let found = members(record, ["principal", "decision", "rule"]);
        let expected = ["api_key::ci", "limited", "principal"].map(Value::from);
        assert_eq!(found, expected);
    }
    // One for each second; a machine that takes half a minute for 200 requests is broken.
    assert!(hits.len() < 30, "{} records", hits.len());
}
