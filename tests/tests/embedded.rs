//! A program that is a server built on the library: it is started by its own test.
//!
//! A subscriber belongs to a whole process, so neither test can share one with others. Started
//! with the name of a way to log, this program serves; started without, it tests each of them.

use corelane::{Call, CallError, Profile, Server, Tool};
use corelane_tests::{Request, Setup};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

/// The program leaves logging to the server.
const LIBRARY_LOGS: &str = "library-logs";
/// The program has a subscriber of its own.
const PROGRAM_LOGS: &str = "program-logs";

fn main() -> corelane::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some(LIBRARY_LOGS) => serve(),
        Some(PROGRAM_LOGS) => {
            tracing_subscriber::fmt().with_ansi(false).init();
            serve()
        }
        _ => {
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
    let server = Server::new("embedded", "1.0.0").with_tool(Tool::new("fail", "Panics.", fail));
    server.run(profile)
}

/// What a program that logs in this way has written by its end, after a handler panicked.
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
    // The hook for panics is the program's, too: this is that of the standard library.
    assert!(log.contains("panicked at"), "{log}");
    assert!(!log.contains(r#""level""#), "{log}");
}
