//! A program that is a server built on the library: it is started by its own test.
//!
//! A subscriber belongs to a whole process, so no test can share one with others. With the
//! variable `EMBEDDED_LOGS` this program is a server, which logs in the way that it names; without,
//! it tests itself.

use std::process::ExitCode;
use std::time::Duration;

use corelane::{Call, CallError, Server, Tool};
use corelane_tests::{Connection, PATIENCE, Request, Setup, stdio, wait_until};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

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
