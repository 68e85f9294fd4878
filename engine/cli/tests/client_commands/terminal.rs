//! The commands on a terminal: text of servers is escaped, and questions become prompts.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::json;

use crate::process::CORELANE;
use crate::scripted::{greeting, lines, result};

/// A new terminal: the end of the test and the end of the program.
fn terminal() -> (File, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let own = openpt(flags).expect("a terminal");
    grantpt(&own).expect("a terminal");
    unlockpt(&own).expect("a terminal");
    let name = ptsname(&own, Vec::new()).expect("a name");
    let name = name.to_str().expect("UTF-8");
    let other = File::options().read(true).write(true).open(name);
    (own.into(), other.expect("a terminal").into())
}

/// Runs a command on a terminal with these lines as input. Returns the exit code and the screen.
fn run(arguments: &[&str], input: &str) -> (Option<i32>, String) {
    run_with(arguments, input, &[])
}

/// The same, with these variables in its environment.
pub(crate) fn run_with(
    arguments: &[&str],
    input: &str,
    variables: &[(&str, &str)],
) -> (Option<i32>, String) {
    let (mut own, other) = terminal();
    let stdio = |fd: &OwnedFd| Stdio::from(fd.try_clone().expect("a copy"));
    let mut child = Command::new(CORELANE)
        .args(arguments)
        .env_remove("NO_COLOR")
        .envs(variables.iter().copied())
        .stdin(stdio(&other))
        .stdout(stdio(&other))
        .stderr(stdio(&other))
        .spawn()
        .expect("corelane starts");
    drop(other);
    own.write_all(input.as_bytes()).expect("written");
    let mut screen = Vec::new();
    let mut buffer = [0; 4096];
    // The read fails when the last program has closed the terminal.
    while let Ok(bytes @ 1..) = own.read(&mut buffer) {
        screen.extend_from_slice(&buffer[..bytes]);
    }
    let status = child.wait().expect("it ends");
    let screen = String::from_utf8(screen).expect("UTF-8");
    (status.code(), screen.replace("\r\n", "\n"))
}

#[test]
fn hostile_text_cannot_control_the_terminal() {
    const HOSTILE: &str = "\x1b]0;owned\x07\u{9b}2J\u{202e}txt";
    let tools = json!([{"name": HOSTILE, "description": HOSTILE, "inputSchema":
        {"type": "object", "properties": {HOSTILE: {}}}}]);
    let (target, _) = lines(move |message| {
        greeting(message, &tools).unwrap_or_else(|| match message["method"].as_str() {
            Some("tools/call") => {
                let content = json!([{"type": "text", "text": HOSTILE}]);
                let structured = json!({"x": HOSTILE});
                result(
                    message,
                    json!({"content": content, "structuredContent": structured}),
                )
            }
            Some("prompts/get") => {
                let content = json!({"type": "text", "text": HOSTILE});
                result(
                    message,
                    json!({"messages": [{"role": HOSTILE, "content": content}]}),
                )
            }
            Some("completion/complete") => {
                result(message, json!({"completion": {"values": [HOSTILE]}}))
            }
            Some("resources/read") => {
                let part = json!({"uri": HOSTILE, "text": HOSTILE});
                result(message, json!({"contents": [part]}))
            }
            _ => {
                let error = json!({"code": -32601, "message": HOSTILE});
                vec![json!({"jsonrpc": "2.0", "id": message["id"], "error": error}).to_string()]
            }
        })
    });
    for arguments in [
        &["list", &*target][..],
        &["list", &target, "--json"],
        &["call", &target, "x", "--no-schema"],
        &["call", &target, "x", "--no-schema", "--trace"],
        &["call", &target, "x"],
        &["prompt", &target, "x"],
        &["complete", &target, "x:y", "z"],
        &["read", &target, "x:y"],
        &["inspect", &target],
        &["inspect", &target, "x"],
        &["listen", &target],
        &["call", &target, "--method", "no/such"],
    ] {
        let (_, screen) = run(arguments, "");
        let is_plain = |it: char| it == '\n' || it == '\t' || !it.is_control() && it != '\u{202e}';
        assert!(screen.chars().all(is_plain), "{arguments:?}: {screen:?}");
        assert!(
            screen.contains("u{1b}") || screen.contains("u001b"),
            "{arguments:?}: {screen:?}"
        );
    }
}

#[test]
fn a_form_is_filled_in_at_the_terminal() {
    let target = format!("stdio:{CORELANE} serve --stdio");
    for (input, code, end) in [
        ("Ada\ny\n", 0, "Hello, Ada!\n"),
        ("Ada\nn\n", 1, ""),
        ("\u{4}", 1, ""),
    ] {
        let (found, screen) = run(&["call", &target, "greet"], input);
        assert_eq!(found, Some(code), "{input:?}: {screen}");
        assert!(screen.contains("What is your name?"), "{screen}");
        assert!(screen.contains(&format!("{target} elicits")), "{screen}");
        assert!(screen.contains(end), "{screen}");
    }
}
