//! Servers that share a key: an elicitation of one is answered at another.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use corelane_tests::{Request, Response, Server, Setup, binary, write_secret};
use serde_json::{Value, json};

const TOOL: &str = "test_input_required_result_elicitation";

/// A call of a client with elicitation.
fn call(more: Value) -> Request {
    let mut params = json!({ "name": TOOL, "arguments": {} });
    if let (Some(params), Value::Object(more)) = (params.as_object_mut(), more) {
        params.extend(more);
    }
    Request::modern("c", "tools/call", params).meta(
        "io.modelcontextprotocol/clientCapabilities",
        json!({ "elicitation": {} }),
    )
}

/// A server whose states are sealed with the first of `keys`.
fn server(keys: &[&Path]) -> Server {
    let keys: Vec<String> = keys.iter().map(|key| format!("{key:?}")).collect();
    let knob = format!("[server]\nstate_key_files = [{}]", keys.join(", "));
    Setup::shards(2).profile(&knob).start()
}

/// An elicitation of `requester`, answered by the client to `other`.
fn answer_at(requester: &Server, other: &Server) -> Response {
    let requested = requester.connect().exchange(&call(json!({})));
    let result = &requested.json()["result"];
    assert_eq!(result["resultType"], "input_required", "{result}");
    let requested = result["inputRequests"].as_object();
    let key = requested.and_then(|requested| requested.keys().next());
    let key = key.expect("there is a question");
    let answer = json!({ "action": "accept", "content": { "name": "Ada" } });
    other.connect().exchange(&call(json!({
        "inputResponses": { key: answer },
        "requestState": result["requestState"],
    })))
}

#[test]
fn a_question_is_answered_wherever_its_key_is() {
    let directory = tempfile::tempdir().unwrap();
    let [old, fresh] = ["old", "fresh"].map(|name| directory.path().join(name));
    // 32 bytes of 1 and of 2, as `openssl rand -base64 32` writes them.
    write_secret(&old, &("AQEB".repeat(10) + "AQE=\n"));
    write_secret(&fresh, &("AgIC".repeat(10) + "AgI=\n"));

    let (first, second) = (server(&[&old]), server(&[&old]));
    let rotated = server(&[&fresh, &old]);
    for (requester, other) in [(&first, &second), (&first, &rotated), (&rotated, &rotated)] {
        let answer = answer_at(requester, other);
        let text = &answer.json()["result"]["content"][0]["text"];
        assert!(
            text.as_str().is_some_and(|text| text.contains("Ada")),
            "{answer:?}"
        );
    }
    // One without the new key yet, and one with a key of its own.
    for (requester, other) in [(&rotated, &first), (&first, &Setup::shards(1).start())] {
        let answer = answer_at(requester, other);
        assert_eq!(answer.json()["error"]["code"], -32602, "{answer:?}");
    }
}

#[test]
fn a_key_that_is_none_keeps_the_server_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    write_secret(&path, "secret");
    let ended = Setup::shards(1)
        .profile(&format!("[server]\nstate_key_files = [{path:?}]"))
        .arguments(&["--listen", "127.0.0.1:0"])
        .run_to_end();
    assert_eq!(ended.code, Some(1), "{}", ended.error);
    let says = |text: &str| ended.error.contains(text);
    assert!(
        says("openssl rand") && says("key") && !says("secret"),
        "{}",
        ended.error
    );
}

#[test]
fn a_key_that_others_can_read_is_refused_at_start_and_by_check() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    write_secret(&path, &("AQEB".repeat(10) + "AQE=\n"));
    let profile = directory.path().join("profile.toml");
    let knob = format!("[server]\nstate_key_files = [{path:?}]\n");
    std::fs::write(&profile, &knob).unwrap();
    let check = || {
        let mut command = Command::new(binary());
        let output = command.args(["check", "--profile"]).arg(&profile).output();
        let output = output.expect("the program");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let said = check();
    assert!(!said.contains("state_keys: "), "{said}");
    std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let said = check();
    let fault = "has mode 0644, so that others can use it";
    assert!(
        said.contains("state_keys: ") && said.contains(fault),
        "{said}"
    );
    let ended = Setup::shards(1)
        .profile(&knob)
        .arguments(&["--listen", "127.0.0.1:0"])
        .run_to_end();
    assert_eq!(ended.code, Some(1), "{}", ended.error);
    assert!(ended.error.contains(fault), "{}", ended.error);
}
