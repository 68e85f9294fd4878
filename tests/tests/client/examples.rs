//! The six jobs of a client, as the examples of its crate do them: each is short, and runs.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use corelane_tests::mock_upstream::{Act, MockUpstream, Received};
use corelane_tests::{Setup, binary};
use serde_json::{Value, json};

/// The examples, and the most lines that each of them may have.
const LINES_MAX: [(&str, usize); 6] = [
    ("list_and_call", 8),
    ("child_process", 8),
    ("progress", 9),
    ("answer_elicitation", 10),
    ("listen", 9),
    ("client_credentials", 9),
];

/// The token that the authorization server grants.
const TOKEN: &str = "granted-51d0";

/// A program that is built with the tests: `cargo test --workspace` builds all examples.
fn example(name: &str) -> Command {
    let programs = binary();
    let folder = programs.parent().expect("a folder");
    let path: PathBuf = folder.join("examples").join(name);
    assert!(
        path.is_file(),
        "{} does not exist: run `cargo build -p corelane-client --examples` first",
        path.display()
    );
    let mut command = Command::new(path);
    let paths = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{paths}", folder.display()));
    command
}

/// The output of an example that succeeds.
fn output(mut command: Command) -> String {
    let output = command.output().expect("the example starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Lines of code: without comments, empty lines, and lines that only print.
fn count(source: &str) -> usize {
    let is_code = |line: &&str| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with("//") && !line.starts_with("println!")
    };
    source.lines().filter(is_code).count()
}

#[test]
fn each_job_takes_few_lines() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/client/examples");
    for (name, lines_max) in LINES_MAX {
        let path = folder.join(format!("{name}.rs"));
        let source = std::fs::read_to_string(&path).expect("an example");
        let prints_work = |line: &str| line.contains("println!") && line.contains(".await");
        assert!(!source.lines().any(prints_work), "{name} hides work");
        let lines = count(&source);
        assert!(lines <= lines_max, "{name}: {lines} lines of {lines_max}");
    }
}

#[test]
fn tools_are_listed_and_called_over_http_and_in_a_child_process() {
    let server = Setup::shards(1).demo("basic").start();
    let mut over_http = example("list_and_call");
    over_http.arg(format!("http://{}/mcp", server.address()));
    for command in [over_http, example("child_process")] {
        let printed = output(command);
        assert!(printed.ends_with(" tools\n1 + 2 = 3\n"), "{printed}");
    }
}

#[test]
fn progress_is_printed_and_an_elicitation_answered() {
    let server = Setup::shards(1).start();
    let url = format!("http://{}/mcp", server.address());
    let mut progress = example("progress");
    progress.arg(&url);
    let printed = output(progress);
    let expected = "0 of Some(100.0)\n50 of Some(100.0)\n100 of Some(100.0)\n";
    assert!(printed.starts_with(expected), "{printed}");
    let mut answering = example("answer_elicitation");
    answering.arg(&url);
    let printed = output(answering);
    assert!(printed.contains("Ada"), "{printed}");
}

/// The first lines that a program prints; it is killed then.
fn first_lines(mut command: Command, count: usize) -> Vec<String> {
    let child = command.stdout(Stdio::piped()).spawn();
    let mut child = child.expect("the example starts");
    let output = child.stdout.take().expect("a pipe");
    let lines = BufReader::new(output).lines().map_while(Result::ok);
    let lines = lines.take(count).collect();
    let _ = child.kill();
    let _ = child.wait();
    lines
}

/// A stream with one change, which is cut.
fn stream_with_a_change(received: &Received) -> Act {
    let message = received.message();
    let filter = &message["params"]["notifications"];
    let meta = json!({"io.modelcontextprotocol/subscriptionId": message["id"]});
    let events = [
        (
            "notifications/subscriptions/acknowledged",
            json!({"notifications": filter, "_meta": meta}),
        ),
        ("notifications/tools/list_changed", json!({"_meta": meta})),
    ];
    let event = |(method, params): (&str, Value)| {
        let message = json!({"jsonrpc": "2.0", "method": method, "params": params});
        format!("data: {message}\n\n")
    };
    let body: String = events.into_iter().map(event).collect();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    Act::SendAndClose(format!("{head}{body}").into_bytes())
}

#[test]
fn changes_are_printed_also_after_the_connection_broke() {
    let server = MockUpstream::with_tools(&[], stream_with_a_change);
    let mut listening = example("listen");
    listening.arg(format!("http://{}/mcp", server.address()));
    let lines = first_lines(listening, 5);
    assert_eq!(lines, ["Tools", "Gap", "Tools", "Gap", "Tools"]);
}

/// An answer with this status and JSON.
fn answer(status: u16, body: &Value) -> Act {
    let body = body.to_string();
    let bytes = body.len();
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {bytes}\r\n");
    Act::Send(format!("{head}Content-Type: application/json\r\n\r\n{body}").into_bytes())
}

/// A server whose tools need a token, and its authorization server.
fn protected(received: &Received) -> Act {
    let path = received.head.split(' ').nth(1).unwrap_or_default();
    let origin = format!("http://{}", received.field("Host").unwrap_or_default());
    match path {
        "/mcp" if received.field("Authorization") != Some(&format!("Bearer {TOKEN}")) => {
            answer(401, &json!({}))
        }
        "/mcp" => {
            let message = received.message();
            let result = match message["method"].as_str() {
                Some("server/discover") => {
                    json!({"supportedVersions": ["2026-07-28"], "capabilities": {}})
                }
                _ => json!({"content": [{"type": "text", "text": "reported"}]}),
            };
            answer(
                200,
                &json!({"jsonrpc": "2.0", "id": message["id"], "result": result}),
            )
        }
        "/.well-known/oauth-protected-resource/mcp" => answer(
            200,
            &json!({"resource": format!("{origin}/mcp"), "authorization_servers": [origin]}),
        ),
        "/.well-known/oauth-authorization-server" => {
            let token_endpoint = format!("{origin}/token");
            answer(
                200,
                &json!({"issuer": origin, "token_endpoint": token_endpoint}),
            )
        }
        "/token" => answer(200, &json!({"access_token": TOKEN, "token_type": "Bearer"})),
        _ => answer(404, &json!({})),
    }
}

#[test]
fn a_program_gets_its_own_token() {
    let server = MockUpstream::start(protected);
    let mut calling = example("client_credentials");
    calling.arg(format!("http://{}/mcp", server.address()));
    calling.env("JOB_SECRET", "s3cret");
    assert_eq!(output(calling), "reported\n");
    let received = server.received();
    let granted = received
        .iter()
        .find(|it| it.head.starts_with("POST /token "));
    let granted = granted.expect("a grant");
    assert!(
        granted.body.contains("grant_type=client_credentials"),
        "{granted:?}"
    );
}
