//! Access control of the running server: its file, and who is who on each transport.

use std::fs;
use std::io::Write;

use corelane_tests::client::{call, modern};
use corelane_tests::request::LEGACY;
use corelane_tests::{Client, Request, Response, Server, Setup, wait_until};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::access_file::AccessFile;

/// The clients of one host, and a key.
const RULES: &str = r#"
[[role]]
name = "ci"
claim_roles = ["ci"]
[[role]]
name = "local"
methods = ["unix_peer", "process"]
[[grant]]
role = "ci"
tools = ["echo"]
[[grant]]
role = "local"
tools = ["add"]
"#;

fn echo() -> Request {
    let params = json!({"name": "echo", "arguments": {"message": "hello"}});
    Request::modern(1, "tools/call", params)
}

fn add() -> Request {
    let params = json!({"name": "add", "arguments": {"a": 1, "b": 2}});
    Request::modern(1, "tools/call", params)
}

#[track_caller]
fn exchange(server: &Server, request: &Request) -> Response {
    server.connect().exchange(request)
}

/// Whether the answer to a call is a result.
fn is_result(answer: &Value) -> bool {
    answer["result"]["content"].is_array()
}

#[test]
fn a_client_of_http_is_its_credential_in_both_eras() {
    let file = AccessFile::new(RULES);
    let server = file.setup(2).start();
    let refused = exchange(&server, &echo());
    assert_eq!(refused.status(), 401);
    assert_eq!(refused.head.field("WWW-Authenticate"), Some("Bearer"));
    let served = exchange(&server, &file.sign(echo()));
    assert!(is_result(&served.json()), "{served:?}");
    let hidden = exchange(&server, &file.sign(add()));
    assert_eq!(hidden.json()["error"]["message"], "unknown tool \"add\"");
    // A session is of the key that made it, and every request has to bring it.
    let mut connection = server.connect();
    let started = connection.exchange(&file.sign(Request::initialize(LEGACY)));
    let session = started.head.field("MCP-Session-Id").expect("a session");
    let message = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"});
    let list = || Request::legacy(&message).field("MCP-Session-Id", session);
    assert_eq!(connection.exchange(&list()).status(), 401);
    let listed = connection.exchange(&file.sign(list())).json();
    let tools = listed["result"]["tools"].as_array().expect("a list");
    let names: Vec<&str> = tools
        .iter()
        .filter_map(|tool| tool["name"].as_str())
        .collect();
    assert_eq!(names, ["echo"]);
}

#[test]
fn a_client_of_lines_is_the_user_of_its_process_or_has_no_name() {
    let file = AccessFile::new(RULES);
    let socket = format!("unix://{}", file.directory.path().join("socket").display());
    let server = file
        .setup(1)
        .listen(&socket)
        .listen("tcp://127.0.0.1:0")
        .start();
    let mut local = Client::of_lines(&socket);
    let params = call("add", json!({"a": 1, "b": 2}));
    assert!(is_result(&local.exchange(&modern(1, "tools/call", params))));
    let hidden = local.exchange(&modern(
        2,
        "tools/call",
        call("echo", json!({"message": "m"})),
    ));
    assert_eq!(hidden["error"]["message"], "unknown tool \"echo\"");
    let tcp = server.addresses().last().expect("an address");
    let mut stranger = Client::of_lines(tcp);
    for id in 1..3 {
        let refused = stranger.exchange(&modern(id, "tools/list", json!({})));
        let expected = json!({"code": -32600, "message": "an access token is required"});
        assert_eq!(refused["error"], expected);
    }
}

#[test]
fn a_changed_file_is_in_use_without_a_restart_and_a_wrong_one_is_not() {
    let file = AccessFile::new(RULES);
    let server = file.setup(2).start();
    let right = file.text();
    assert!(!is_result(&exchange(&server, &file.sign(add())).json()));
    file.write(&right.replace("tools = [\"echo\"]", "tools = [\"*\"]"));
    server.signal("HUP");
    wait_until("the other policy", || {
        let answer = exchange(&server, &file.sign(add())).json();
        is_result(&answer).then_some(())
    });
    // Faults change nothing, and the log names their lines.
    file.write(&format!(
        "{right}\n[[grant]]\nrole = \"absent\"\ntools = [\"*\"]\n"
    ));
    server.signal("HUP");
    wait_until("the faults in the log", || {
        server.log().contains("absent").then_some(())
    });
    assert!(is_result(&exchange(&server, &file.sign(add())).json()));
    // Without the key, its client is a stranger.
    file.write(&right.replace("id = \"ci\"", "id = \"other\""));
    server.signal("HUP");
    wait_until("the end of the key", || {
        let answer = exchange(&server, &file.sign(echo()));
        (answer.status() == 401).then_some(())
    });
}

#[test]
fn a_file_with_faults_is_refused_at_the_start_with_its_lines() {
    for (rules, expected) in [
        ("[[grant]]\nrole = \"x\"\ntools = [\"*\"]\n", "\"x\""),
        ("[polcy]\n", "polcy"),
        (
            "[[role]]\nname = \"ci\"\nclaim_roles = [\"ci\"]\n\
             [[grant]]\nrole = \"ci\"\ntools = [\"ech\"]\n",
            "\"ech\"",
        ),
    ] {
        let file = AccessFile::new(rules);
        let ended = file.run_to_end();
        assert_eq!(ended.code, Some(1), "{rules}: {}", ended.error);
        let path = file.path().display().to_string();
        let named = ended
            .error
            .lines()
            .any(|line| line.contains(&path) && line.contains(expected) && line.contains("line "));
        assert!(named, "{rules}: {}", ended.error);
    }
    let absent = ["--config", "/nonexistent/corelane.toml"];
    let absent = Setup::shards(1).listen("127.0.0.1:0").arguments(&absent);
    let ended = absent.run_to_end();
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.error.contains("/nonexistent/corelane.toml"),
        "{}",
        ended.error
    );
}

#[test]
fn more_issuers_and_keys_than_the_profile_allows_are_refused() {
    let issuer = |alias: &str| {
        let url = format!("https://{alias}.example.com");
        format!("[[auth.issuer]]\nalias = \"{alias}\"\nissuer = \"{url}\"\n")
    };
    let file = AccessFile::new(&format!("{}{}{RULES}", issuer("a"), issuer("b")));
    let text = file.text();
    let key = text.find("[[auth.api_key]]").expect("a key");
    let key = &text[key..text.find("[[auth.issuer]]").expect("issuers")];
    file.write(&text.replace(RULES, &format!("{}{RULES}", key.replace("ci", "other"))));
    for (profile, expected) in [
        ("[auth]\nissuers_max = 1", "issuers"),
        ("[auth]\napi_keys_max = 1", "API keys"),
    ] {
        let setup = file.setup(1).listen("127.0.0.1:0").profile(profile);
        let ended = setup.run_to_end();
        assert_eq!(ended.code, Some(1), "{profile}: {}", ended.error);
        assert!(ended.error.contains(expected), "{profile}: {}", ended.error);
    }
}

#[test]
fn the_audit_log_of_the_file_is_written_and_a_section_without_effect_is_refused() {
    let logs = TempDir::new().expect("a directory");
    let directory = logs.path().join("audit");
    let audit = format!(
        "{RULES}\n[audit]\ndirectory = \"{}\"\ncalls = \"all\"\n",
        directory.display()
    );
    let file = AccessFile::new(&audit);
    let server = file.setup(1).start();
    assert!(is_result(&exchange(&server, &file.sign(echo())).json()));
    server.signal("TERM");
    assert!(server.wait_for_exit().success());
    let written: String = fs::read_dir(&directory)
        .expect("the server made it")
        .map(|entry| fs::read_to_string(entry.expect("an entry").path()).unwrap_or_default())
        .collect();
    let calls = written
        .lines()
        .filter(|line| line.contains("\"event\":\"call\""));
    let calls: Vec<&str> = calls.collect();
    assert_eq!(calls.len(), 1, "{written}");
    assert!(
        calls[0].contains("\"principal\":\"api_key::ci\""),
        "{calls:?}"
    );
    assert!(!written.contains(&file.key), "the key is in the log");
    for (section, expected) in [
        ("[limits]\nglobal = { rate = \"5/w\" }\n", "5/w"),
        ("[audit]\ndirectory = \"x\"\ncals = \"all\"\n", "cals"),
        ("[pins]\nfile = \"absent.pins\"\n", "absent.pins"),
    ] {
        let file = AccessFile::new(&format!("{RULES}{section}"));
        let ended = file.run_to_end();
        assert_eq!(ended.code, Some(1), "{section}: {}", ended.error);
        assert!(ended.error.contains(expected), "{section}: {}", ended.error);
    }
}

#[test]
fn a_policy_may_name_a_tool_that_pins_refuse() {
    let pins = "[pins]\nfile = \"pins.toml\"\non_mismatch = \"refuse\"\n";
    let file = AccessFile::new(&format!("{RULES}{pins}"));
    // No tool has a pin.
    let path = file.directory.path().join("pins.toml");
    fs::write(path, "version = 1\n").expect("the directory is there");
    let server = file.setup(1).start();
    let answer = exchange(&server, &file.sign(echo())).json();
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
}

#[test]
fn the_addresses_of_a_key_are_those_of_the_client_behind_a_proxy() {
    let file = AccessFile::new(RULES);
    let addresses = "roles = [\"ci\"]\naddresses = [\"192.0.2.0/24\"]\n";
    file.write(&file.text().replacen("roles = [\"ci\"]\n", addresses, 1));
    let forwarded = file
        .setup(1)
        .profile("[server]\nforwarded_from = [\"127.0.0.1\"]");
    let server = forwarded.start();
    for (client, status) in [("192.0.2.7", 200), ("198.51.100.7", 401)] {
        let request = file.sign(echo()).field("X-Forwarded-For", client);
        assert_eq!(exchange(&server, &request).status(), status, "{client}");
    }
    let direct = exchange(&server, &file.sign(echo()));
    assert_eq!(direct.status(), 401, "the proxy itself: {direct:?}");

    let named = file
        .setup(1)
        .profile("[server]\nproxy_protocol_from = [\"127.0.0.1\"]");
    let server = named.start();
    for (client, status) in [("192.0.2.7", 200), ("198.51.100.7", 401)] {
        let mut connection = server.connect();
        let header = format!("PROXY TCP4 {client} 198.51.100.1 1 2\r\n");
        let mut socket = connection.stream();
        socket.write_all(header.as_bytes()).expect("it is sent");
        let answer = connection.exchange(&file.sign(echo()));
        assert_eq!(answer.status(), status, "{client}: {answer:?}");
    }

    // Whoever may not name clients is the client, whatever it writes.
    let server = file.setup(1).start();
    let request = file.sign(echo()).field("X-Forwarded-For", "192.0.2.7");
    assert_eq!(exchange(&server, &request).status(), 401);
}

#[test]
fn a_section_that_changes_only_at_a_start_is_named_when_the_file_is_read_again() {
    let file = AccessFile::new(RULES);
    let server = file.setup(1).start();
    let logs = file.directory.path().join("audit");
    let audit = format!("\n[audit]\ndirectory = \"{}\"\n", logs.display());
    file.write(&(file.text() + &audit));
    server.signal("HUP");
    let line = wait_until("the line", || {
        let log = server.log();
        let mut lines = log.lines();
        let line = lines.find(|line| line.contains("is not in use: restart the server"));
        line.map(str::to_owned)
    });
    assert!(line.contains("audit"), "{line}");
    assert!(!logs.exists(), "nothing was done by halves");
    assert!(is_result(&exchange(&server, &file.sign(echo())).json()));
}
