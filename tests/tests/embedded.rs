//! A program that is a server built on the library: it is started by its own test.
//!
//! A subscriber belongs to a whole process, so no test can share one with others. With the
//! variable `EMBEDDED_LOGS` this program is a server, which logs in the way that it names; without,
//! it tests itself.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use corelane::{Call, CallError, Server, Tool};
use corelane_tests::{Connection, PATIENCE, Request, Setup, stdio, wait_until};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// The variable that makes a server of this program.
const LOGS: &str = "EMBEDDED_LOGS";
/// The program leaves logging to the server.
const LIBRARY_LOGS: &str = "library";
/// The program has a subscriber of its own.
const PROGRAM_LOGS: &str = "program";

fn main() -> ExitCode {
    match std::env::var(LOGS).as_deref() {
        Ok(LIBRARY_LOGS) => serve(),
        Ok(_) => {
            // Standard output is for the addresses.
            let logs = tracing_subscriber::fmt().with_ansi(false);
            logs.with_writer(std::io::stderr).init();
            serve()
        }
        Err(_) => {
            what_handlers_print_reaches_standard_error_only();
            a_server_logs_as_its_profile_says();
            a_program_keeps_its_own_subscriber();
            a_command_line_is_that_of_the_program();
            a_server_that_cannot_start_says_why();
            a_server_whose_shards_keep_failing_exits_with_an_error();
            a_stall_is_logged_with_its_handler();
            a_service_manager_is_notified_unless_a_shard_stalls();
            ExitCode::SUCCESS
        }
    }
}

#[derive(Deserialize, JsonSchema)]
struct NoArguments {}

fn serve() -> ExitCode {
    let fail = async |_: &Call, _: NoArguments| -> Result<String, CallError> {
        panic!("panics on purpose")
    };
    Server::new("embedded", "1.2.3")
        .with_tool(Tool::new("fail", "Panics.", fail))
        .with_tool(Tool::new("print", "Prints.", print))
        .with_tool(Tool::new("fail_shard", "Ends its shard.", fail_shard))
        .with_tool(Tool::new("block", "Blocks its shard.", block))
        .with_tool(Tool::new("block_until", "Blocks its shard.", block_until))
        .run_from_args()
}

async fn fail_shard(call: &Call, _: NoArguments) -> Result<(), CallError> {
    call.fail_shard();
    Ok(())
}

async fn block(_: &Call, _: NoArguments) -> Result<(), CallError> {
    std::thread::sleep(Duration::from_secs(2));
    Ok(())
}

#[derive(Deserialize, JsonSchema)]
struct Until {
    /// The path of a file that ends it.
    exists: PathBuf,
}

async fn block_until(_: &Call, until: Until) -> Result<(), CallError> {
    while !until.exists.exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

async fn print(_: &Call, _: NoArguments) -> Result<bool, CallError> {
    println!("a handler prints");
    print!("and prints no line");
    let child = std::process::Command::new("sh")
        .args(["-c", "echo a child prints; wc -c"])
        .status();
    Ok(child.is_ok_and(|status| status.success()))
}

fn what_handlers_print_reaches_standard_error_only() {
    let mut server = program(LIBRARY_LOGS, &[]).start_stdio();
    for id in 0..2 {
        let params = stdio::call("print", json!({}));
        let answer = server.exchange(&stdio::modern(id, "tools/call", params));
        assert_eq!(answer["result"]["content"][0]["text"], "true", "{answer}");
    }
    server.close_input();
    assert!(server.wait_for_exit().success());
    let log = server.process().log();
    // The child has read none of the parent's bytes.
    for part in [
        "a handler prints",
        "and prints no line",
        "a child prints\n0\n",
    ] {
        assert!(log.contains(part), "{part:?} is not in:\n{log}");
    }
}

/// This program as a server that logs in the way `logs`.
fn program(logs: &str, arguments: &[&str]) -> Setup {
    let program = std::env::current_exe().expect("a process knows its program");
    Setup::program(program, arguments).variable(LOGS, logs)
}

/// The log of a program that logs in the way `logs`, after a handler panicked.
fn log_of(logs: &str) -> String {
    let server = program(logs, &["--shards", "1"]).start();
    let mut connection = server.connect();
    let response = connection.exchange(&Request::modern_call("fail", json!({})));
    assert_eq!(response.json()["error"]["code"], -32603, "{response:?}");
    server.signal("TERM");
    assert!(server.wait_for_exit().success());
    server.log()
}

fn a_server_logs_as_its_profile_says() {
    let log = log_of(LIBRARY_LOGS);
    for part in [
        r#""level":"ERROR""#,
        r#""handler":"tool fail""#,
        r#""draining""#,
    ] {
        assert!(log.contains(part), "{part}: {log}");
    }
}

fn a_program_keeps_its_own_subscriber() {
    let log = log_of(PROGRAM_LOGS);
    assert!(log.contains("handler=\"tool fail\""), "{log}");
    // The panic hook also belongs to the program: this is the one of the standard library.
    assert!(log.contains("panicked at"), "{log}");
    assert!(!log.contains(r#""level""#), "{log}");
}

fn a_command_line_is_that_of_the_program() {
    let version = program(LIBRARY_LOGS, &["--version"]).run_to_end();
    assert_eq!(
        (version.code, &*version.output),
        (Some(0), "embedded 1.2.3\n")
    );
    let help = program(LIBRARY_LOGS, &["--help"]).run_to_end();
    assert_eq!(help.code, Some(0));
    assert!(help.output.contains("Usage: embedded"), "{help:?}");
    let wrong = program(LIBRARY_LOGS, &["--no-such-thing"]).run_to_end();
    assert_eq!((wrong.code, &*wrong.output), (Some(2), ""));
    assert!(wrong.error.contains("--no-such-thing"), "{wrong:?}");
}

fn a_server_that_cannot_start_says_why() {
    let server = program(LIBRARY_LOGS, &["--shards", "1"]).start();
    let address = server.address().to_string();
    let ended = program(LIBRARY_LOGS, &["--listen", &address]).run_to_end();
    assert_eq!((ended.code, &*ended.output), (Some(1), ""));
    let error = &ended.error;
    assert!(error.starts_with("embedded: "), "{error}");
    assert!(error.contains(&address), "{error}");
    assert!(
        !error.contains(['{', '}']),
        "a sentence, not a structure: {error}"
    );
}

/// Knobs of the servers that fail.
const SUPERVISION: &str = "[supervision]\nrestarts_max = 1\nstall_after_ms = 200";

fn a_server_whose_shards_keep_failing_exits_with_an_error() {
    for (failures, code) in [(1, 0), (2, 1)] {
        let server = program(LIBRARY_LOGS, &["--shards", "1"]);
        let server = server.profile(SUPERVISION).start();
        for _ in 0..failures {
            // A connection that the dying shard accepted is lost.
            let request = Request::modern_call("fail_shard", json!({}));
            wait_until("a shard that answers and fails", || {
                let mut connection = Connection::open(server.address()).ok()?;
                let sent = connection.try_send_bytes(&request.to_bytes(server.address()));
                sent.ok()?;
                let read = connection.read_to_close(PATIENCE).unwrap_or_default();
                (!read.is_empty()).then_some(())
            });
        }
        if code == 0 {
            let _ = server
                .connect()
                .exchange(&Request::modern_call("print", json!({})));
            server.signal("TERM");
        }
        let status = server.wait_for_exit();
        let log = server.log();
        assert_eq!(status.code(), Some(code), "{log}");
        let restarted = r#""name":"shards_restarted","label":"","value":1"#;
        assert_eq!(log.contains(restarted), code == 0, "{log}");
        assert_eq!(log.contains("the server is unhealthy"), code == 1, "{log}");
    }
}

fn a_stall_is_logged_with_its_handler() {
    let server = program(LIBRARY_LOGS, &["--shards", "1"]);
    let server = server.profile(SUPERVISION).start();
    let mut connection = server.connect();
    let response = connection.exchange(&Request::modern_call("block", json!({})));
    assert_eq!(response.status(), 200, "{response:?}");
    server.signal("TERM");
    assert!(server.wait_for_exit().success());
    let log = server.log();
    for part in [
        "the shard stalls",
        r#""handler":"tool block""#,
        "the shard no longer stalls",
    ] {
        assert!(log.contains(part), "{part}: {log}");
    }
}

/// In place of systemd, with `WatchdogSec=` of 200 ms.
fn a_service_manager_is_notified_unless_a_shard_stalls() {
    let folder = tempfile::tempdir().expect("a directory");
    let (socket, release) = (folder.path().join("notify"), folder.path().join("release"));
    let manager = UnixDatagram::bind(&socket).expect("a socket");
    let receive = |patience: Duration| -> Result<String, ErrorKind> {
        let mut received = [0; 64];
        manager.set_read_timeout(Some(patience)).expect("a time");
        let length = manager.recv(&mut received).map_err(|error| error.kind())?;
        let text = String::from_utf8_lossy(&received[..length]);
        Ok(text.trim().to_owned())
    };
    let next = || receive(PATIENCE).expect("a notification");
    let control = folder.path().join("control.sock");
    let control = control.to_str().expect("a path of text");
    let server = program(
        LIBRARY_LOGS,
        &["--shards", "2", "--control-socket", control],
    )
    .profile("[supervision]\nstall_after_ms = 100")
    .variable("NOTIFY_SOCKET", socket.to_str().expect("a path of text"))
    .variable("WATCHDOG_USEC", "200000")
    .start();
    assert_eq!(next(), "READY=1");
    assert_eq!(next(), "WATCHDOG=1");
    assert_eq!(next(), "WATCHDOG=1");
    let mut blocked = server.connect();
    blocked.send(&Request::modern_call(
        "block_until",
        json!({ "exists": release }),
    ));
    // A shard that has no core for a moment stalls, too, and without a handler.
    wait_until("the stall to be logged with its handler", || {
        let log = server.log();
        let mut stalls = log.lines().filter(|line| line.contains("the shard stalls"));
        stalls
            .any(|line| line.contains("block_until"))
            .then_some(())
    });
    // Notifications from before the stall may wait; then none comes for ten times the interval.
    let mut received = (0..100).map(|_| receive(Duration::from_secs(1)));
    assert!(received.any(|it| it == Err(ErrorKind::WouldBlock)));
    an_administrator_sees_the_stall(control);
    std::fs::write(&release, "").expect("a file");
    assert_eq!(next(), "WATCHDOG=1");
    assert_eq!(blocked.read_response().status(), 200);
    server.signal("TERM");
    while next() != "STOPPING=1" {}
    assert!(server.wait_for_exit().success(), "{}", server.log());
}

/// One of two shards is stuck: it is named, and the other one answers.
fn an_administrator_sees_the_stall(control: &str) {
    let run = |command: &str| {
        let mut program = std::process::Command::new(corelane_tests::binary());
        let output = program
            .args([command, "--json", "--socket", control])
            .output();
        let output = output.expect("the program");
        let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (value, output.status.code())
    };
    // The other one may have no core for a moment.
    let stalled = wait_until("one shard to be stalled", || {
        let (status, code) = run("status");
        assert_eq!(code, Some(1), "{status}");
        assert_eq!(status["conditions"], json!(["stalled_shard"]));
        let shards = status["shards"].as_array().expect("a list");
        let mut stalled = shards.iter().filter(|it| it["stalled"] == true);
        let first = stalled.next().expect("the condition holds")["shard"].clone();
        stalled.next().is_none().then_some(first)
    });
    wait_until("the other shard to answer", || {
        let (list, code) = run("connections");
        assert_eq!(code, Some(1), "{list}");
        (list["silent_shards"] == json!([stalled])).then_some(())
    });
}
