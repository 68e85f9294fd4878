//! A program that is a server built on the library: it is started by its own test.
//!
//! A subscriber belongs to a whole process, so neither test can share one with others. Started
//! with the name of a way to log, this program serves; started without, it tests each of them.

use corelane::{Call, CallError, Profile, Server};
use corelane_tests::{Request, Setup, stdio};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

/// The program leaves logging to the server.
const LIBRARY_LOGS: &str = "library-logs";
/// The program has a subscriber of its own.
const PROGRAM_LOGS: &str = "program-logs";
/// The program serves standard input and output, and its handlers print.
const PRINTS: &str = "prints";

fn main() -> corelane::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some(LIBRARY_LOGS) => serve(),
        Some(PROGRAM_LOGS) => {
            tracing_subscriber::fmt().with_ansi(false).init();
            serve()
        }
        Some(PRINTS) => serve_stdio(),
        _ => {
            what_handlers_print_reaches_standard_error_only();
            a_server_logs_as_its_profile_says();
            a_program_keeps_its_own_subscriber();
            Ok(())
        }
    }
}

#[derive(Deserialize, JsonSchema)]
struct NoArguments {}

fn serve() -> corelane::Result<()> {
    let fail = async |_: &Call, _: NoArguments| -> Result<String, CallError> {
        panic!("panics on purpose")
    };
    let mut profile = Profile::default();
    profile.server.listen = ([127, 0, 0, 1], 0).into();
    profile.server.shards = Some(1);
    let server = Server::new("embedded", "1.0.0").tool("fail", "Panics.", fail);
    server.run(profile)
}

fn serve_stdio() -> corelane::Result<()> {
    let print = async |_: &Call, _: NoArguments| {
        println!("a handler prints");
        print!("and prints no line");
        let child = std::process::Command::new("sh")
            .args(["-c", "echo a child prints; wc -c"])
            .status();
        Ok(child.is_ok_and(|status| status.success()))
    };
    let server = Server::new("embedded", "1.0.0").tool("print", "Prints.", print);
    server.run_stdio(Profile::default())
}

fn what_handlers_print_reaches_standard_error_only() {
    let program = std::env::current_exe().expect("a process knows its program");
    let mut server = Setup::program(program, &[PRINTS]).start_stdio();
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

/// The log of a program that logs in this way, after a handler panicked.
fn log_of(way: &str) -> String {
    let program = std::env::current_exe().expect("a process knows its program");
    let server = Setup::program(program, &[way]).start();
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
