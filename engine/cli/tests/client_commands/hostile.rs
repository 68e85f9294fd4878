//! Servers that attack the terminal, and credentials that must not be shown.

use serde_json::json;

use crate::process::{command, finish, run};
use crate::scripted::{greeting, http, lines, result};

const CANARY: &str = "canary-5e21";
const HOSTILE: &str = "\x1b]0;owned\x07\r\u{9b}2J\u{202e}txt";

#[test]
fn programs_get_the_bytes_of_the_server() {
    let (target, _) = lines(|message| {
        let content = json!([{"type": "text", "text": HOSTILE}]);
        let called = || result(message, json!({"content": content}));
        greeting(message, &json!([])).unwrap_or_else(called)
    });
    let call = ["call", &target, "x", "--no-schema"];
    assert_eq!(run(&call).done(), format!("{HOSTILE}\n"));
}

#[test]
fn credentials_are_stars_in_traces() {
    let url = http(|head, message| {
        assert!(
            head.contains(&format!("authorization: bearer {CANARY}-token")),
            "{head}"
        );
        assert!(head.contains(&format!("x-api-key: {CANARY}-key")), "{head}");
        let mut answer = greeting(message, &json!([])).unwrap_or_else(|| {
            // A server that repeats the credentials of its client.
            let text = format!("{CANARY}-token {CANARY}-key");
            result(
                message,
                json!({"content": [{"type": "text", "text": text}]}),
            )
        });
        (200, answer.remove(0))
    });
    let target = format!("{url}?key={CANARY}-query");
    let call = [
        "call",
        &target,
        "x",
        "--no-schema",
        "--trace",
        "--bearer",
        "env:TOKEN_OF_TEST",
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key");
    std::fs::write(&path, format!("{CANARY}-key\n")).expect("written");
    let header = format!("X-Api-Key: file:{}", path.display());
    let mut command = command(&[&call[..], &["--header", &header]].concat());
    let child = command
        .env("TOKEN_OF_TEST", format!("{CANARY}-token"))
        .spawn();
    let found = finish(child.expect("corelane starts"), "");
    assert_eq!(found.code, Some(0), "{found:?}");
    assert!(!found.errors.contains(CANARY), "{}", found.errors);
    for line in [
        "* POST http://",
        "authorization: ***",
        "x-api-key: ***",
        "> {\"jsonrpc\"",
        "< {\"",
        "*** ***",
    ] {
        assert!(found.errors.contains(line), "{line}: {}", found.errors);
    }
}

#[test]
fn credentials_are_not_in_errors() {
    let url = http(|_, _| (401, format!("{CANARY}-token")));
    let target = format!("{url}?key={CANARY}-query");
    for end in [&[][..], &["--json"]] {
        let list = ["list", &target, "--bearer", "env:TOKEN_OF_TEST"];
        let mut command = command(&[&list[..], end].concat());
        let child = command
            .env("TOKEN_OF_TEST", format!("{CANARY}-token"))
            .spawn();
        let found = finish(child.expect("corelane starts"), "");
        assert_eq!(found.code, Some(4), "{found:?}");
        assert!(!found.errors.contains(CANARY), "{}", found.errors);
    }
}
