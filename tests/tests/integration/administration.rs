//! The control socket and the commands that use it, against a server that runs, is stuck, or is not
//! there.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use corelane_tests::{EventStream, Request, Session, Setup, binary, wait_until};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A server with a control socket.
struct Administered {
    server: corelane_tests::Server,
    socket: PathBuf,
    _folder: TempDir,
}

impl Administered {
    fn start(setup: Setup) -> Administered {
        let folder = tempfile::tempdir().expect("a directory");
        let socket = folder.path().join("control.sock");
        let path = socket.to_str().expect("a path of text").to_owned();
        Administered {
            server: setup.arguments(&["--control-socket", &path]).start(),
            socket,
            _folder: folder,
        }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        run(&self.socket, arguments)
    }

    /// The answer of a command in JSON, and its exit code.
    fn json(&self, arguments: &[&str]) -> (Value, Option<i32>) {
        let output = self.run(&[arguments, &["--json"]].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let value = serde_json::from_str(&text);
        let value = value.unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output:?}"));
        (value, output.status.code())
    }

    /// The answer of a command in JSON once `holds` accepts it with its exit code: a shard that has
    /// no core for a moment counts as stuck until it has one.
    fn wait_for(&self, arguments: &[&str], holds: impl Fn(&Value, Option<i32>) -> bool) -> Value {
        wait_until(&format!("the answer of {arguments:?}"), || {
            let (answer, code) = self.json(arguments);
            holds(&answer, code).then_some(answer)
        })
    }

    fn wait_until_ready(&self) -> Value {
        self.wait_for(&["status"], |status, code| {
            status["state"] == "ready" && code == Some(0)
        })
    }

    /// The answer to a request as it is.
    fn exchange(&self, request: &str) -> String {
        let mut stream = UnixStream::connect(&self.socket).expect("it listens");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }
}

fn run(socket: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments).arg("--socket").arg(socket);
    command.output().expect("the program")
}

#[test]
fn the_state_and_the_lists_of_a_server_are_shown() {
    let administered = Administered::start(Setup::shards(2));
    let mode = administered
        .socket
        .metadata()
        .expect("it is there")
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let mut connections = Vec::new();
    for _ in 0..5 {
        let mut connection = administered.server.connect();
        let session = Session::open(&mut connection);
        connections.push((connection, session));
    }
    let (mut connection, session) = connections.pop().expect("one of them");
    connection.send(&session.stream());
    let _stream = EventStream::begin(connection);
    wait_until("the counters of both shards", || {
        let status = administered.wait_until_ready();
        let shards = status["shards"].as_array().expect("a list");
        assert_eq!(shards.len(), 2);
        let sum = |key: &str| shards.iter().filter_map(|it| it[key].as_u64()).sum::<u64>();
        let found = (sum("connections"), sum("sessions"), sum("streams"));
        (found == (5, 5, 1)).then_some(())
    });
    let keys = |what: &str| {
        let list = administered.wait_for(&[what], |_, code| code == Some(0));
        let rows = list["rows"].as_array().expect("a list");
        let keys = rows.iter().map(|row| row["key"].to_string());
        keys.collect::<std::collections::BTreeSet<_>>().len()
    };
    assert_eq!(
        (keys("connections"), keys("streams"), keys("sessions")),
        (5, 1, 5)
    );
    let limited = ["connections", "--limit", "2"];
    let cut = administered.wait_for(&limited, |_, code| code == Some(0));
    assert_eq!(cut["rows"].as_array().map(Vec::len), Some(2));
    assert_eq!(cut["is_cut"], true);
    // Whoever sees a list cannot use the sessions in it.
    let sessions = administered.wait_for(&["sessions"], |_, code| code == Some(0));
    let id = session.request(1, "ping", Value::Null);
    let id = format!("{id:?}");
    let id = id.split("MCP-Session-Id").nth(1).expect("the id");
    let id: String = id
        .chars()
        .filter(char::is_ascii_hexdigit)
        .take(16)
        .collect();
    assert!(
        id.len() == 16 && !sessions.to_string().contains(&id),
        "{id}: {sessions}"
    );
    let (top, code) = administered.json(&["top", "--once"]);
    assert_eq!(
        (top["shards"].as_array().map(Vec::len), code),
        (Some(2), Some(0))
    );
    wait_until("the state as text", || {
        let text = administered.run(&["status"]).stdout;
        String::from_utf8_lossy(&text)
            .starts_with("ready for ")
            .then_some(())
    });
}

#[test]
fn slow_requests_are_shown_with_their_parts_and_the_access_log_has_each() {
    let profile = "[admin]\nslow_request_us = 0\nslow_requests_max = 3\n\
                   [log]\naccess_one_in = 1";
    let administered = Administered::start(Setup::shards(1).profile(profile));
    let mut connection = administered.server.connect();
    for tool in ["test_simple_text", "test_error_handling", "no_such_tool"] {
        let call = Request::modern_call(tool, json!({}));
        assert_eq!(connection.exchange(&call).status(), 200);
    }
    let slow = administered.wait_for(&["slow"], |slow, _| {
        slow["rows"].as_array().is_some_and(|rows| rows.len() == 3)
    });
    // The newest first.
    let fields = ["gen_ai_tool_name", "error_type"];
    let rows = slow["rows"].as_array().expect("a list").iter();
    let rows: Vec<_> = rows.map(|row| fields.map(|it| row[it].as_str())).collect();
    assert_eq!(rows[2], [Some("test_simple_text"), None], "{slow}");
    assert_eq!(rows[1], [Some("test_error_handling"), Some("tool_error")]);
    assert_eq!(rows[0][0], None, "a client's word is no name: {slow}");
    let number = |row: usize, name: &str| slow["rows"][row][name].as_u64().expect("a number");
    let parts = number(2, "queue_us") + number(2, "handler_us");
    assert!(parts <= number(2, "duration_us"), "{slow}");
    for line in ["test_simple_text", "tool_error", "corelane::access"] {
        wait_until(line, || {
            administered.server.log().contains(line).then_some(())
        });
    }
    // The fourth takes the place of the first.
    let list = Request::modern(7, "tools/list", json!({}));
    assert_eq!(connection.exchange(&list).status(), 200);
    administered.wait_for(&["slow"], |slow, _| {
        slow["rows"][0]["mcp_method_name"] == "tools/list"
            && slow["rows"][2]["gen_ai_tool_name"] == "test_error_handling"
    });
    let text = administered.run(&["slow", "--limit", "1"]).stdout;
    assert!(String::from_utf8_lossy(&text).contains("tools/list"));
    let (forgotten, code) = administered.json(&["slow", "--reset"]);
    assert_eq!((forgotten["forgotten"].as_u64(), code), (Some(3), Some(0)));
    assert_eq!(administered.json(&["slow"]).0["rows"], json!([]));
}

#[test]
fn the_doctor_names_what_went_wrong_between_its_looks() {
    // Its calls are not refused after a hundred failures.
    let profile = "[tools]\nfailures_max = 0";
    let administered = Administered::start(Setup::shards(1).profile(profile));
    let panic_once = || {
        let mut connection = administered.server.connect();
        let call = Request::modern_call("test_panic", json!({}));
        assert_eq!(connection.exchange(&call).status(), 200);
    };
    let finding = wait_until("the finding", || {
        thread::scope(|scope| {
            let doctor = scope.spawn(|| administered.json(&["doctor", "--for", "1s"]));
            // Again and again: when it looks is not known.
            while !doctor.is_finished() {
                panic_once();
            }
            let (said, code) = doctor.join().expect("it says something");
            let is_it = |finding: &&Value| {
                let text = finding["finding"].as_str();
                text.is_some_and(|text| text.ends_with("handlers panicked"))
            };
            let finding = said["findings"].as_array()?.iter().find(is_it)?;
            assert_eq!(code, Some(1), "{said}");
            Some(finding.clone())
        })
    });
    assert_eq!(finding["shard"].as_u64(), Some(0));
    let remedy = finding["remedy"].as_str();
    assert!(remedy.is_some_and(|remedy| remedy.contains("the log")));
    // Afterwards it knows it, too, from the looks of the server.
    let (said, code) = administered.json(&["doctor"]);
    assert_eq!(code, Some(1), "{said}");
    let findings = said["findings"].as_array().expect("a list").iter();
    let known = findings.filter(|it| it["remedy"] == finding["remedy"]);
    let known: Vec<_> = known.collect();
    assert!(known.len() == 1 && known[0]["window_s"].is_f64(), "{said}");
    let text = administered.run(&["doctor"]).stdout;
    assert!(String::from_utf8_lossy(&text).contains("last "), "{text:?}");
}

#[test]
fn nothing_is_changed_by_get_without_the_header_or_for_a_page() {
    let administered = Administered::start(Setup::shards(1));
    let json = "Content-Type: application/json\r\n";
    for (request, status) in [
        ("GET /api/v1/drain".to_owned(), "405"),
        ("GET /api/v1/stop".to_owned(), "405"),
        ("GET /api/v1/slow/reset".to_owned(), "405"),
        (format!("POST /api/v1/drain\r\n{json}"), "403"),
        (
            "POST /api/v1/drain\r\nCorelane-Admin: 1\r\n".to_owned(),
            "403",
        ),
        (
            format!("POST /api/v1/stop\r\n{json}Corelane-Admin: 1\r\nOrigin: null\r\n"),
            "403",
        ),
        ("DELETE /api/v1/stop".to_owned(), "405"),
        ("GET /api/v1/nothing".to_owned(), "404"),
        ("GET /metrics".to_owned(), "404"),
    ] {
        let (line, fields) = request.split_once("\r\n").unwrap_or((&request, ""));
        let text = format!(
            "{line} HTTP/1.1\r\nHost: c\r\nConnection: close\r\nContent-Length: 0\r\n\
             {fields}\r\n"
        );
        let answer = administered.exchange(&text);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {answer}"
        );
    }
    administered.wait_until_ready();
}

#[test]
fn a_level_is_set_for_a_time_and_a_wrong_one_changes_nothing() {
    let administered = Administered::start(Setup::shards(1));
    let wrong = administered.run(&["log", "loud"]);
    let error = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert_eq!(wrong.status.code(), Some(1), "{error}");
    assert!(error.contains("loud") && error.contains("debug"), "{error}");
    assert_eq!(
        administered
            .json(&["log", "info,corelane=debug", "--for", "1s"])
            .1,
        Some(0)
    );
    wait_until("the level of the start", || {
        let log = administered.server.log();
        log.contains("the level of the log is that of the start again")
            .then_some(())
    });
    let none = administered.run(&["reload"]);
    assert_eq!(none.status.code(), Some(1), "there is no file to reload");
    assert!(
        administered
            .server
            .log()
            .contains("a change by the control socket")
    );
}

#[test]
fn a_server_stops_and_then_no_server_is_there() {
    let administered = Administered::start(Setup::shards(2));
    let (stopped, code) = administered.json(&["stop"]);
    assert_eq!(code, Some(0), "{stopped}");
    assert!(administered.server.wait_for_exit().success());
    assert!(!administered.socket.exists());
    for arguments in [
        &["status"][..],
        &["sessions"],
        &["drain"],
        &["top"],
        &["log", "debug"],
    ] {
        let output = run(&administered.socket, arguments);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {output:?}");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains("--socket"), "{error}");
    }
}

#[test]
fn a_socket_on_which_a_server_listens_is_not_taken_over() {
    let administered = Administered::start(Setup::shards(1));
    let path = administered.socket.to_str().expect("a path of text");
    let second = Setup::bare(&["--control-socket", path]).listen("127.0.0.1:0");
    let ended = second.run_to_end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.error.contains("admin.socket"), "{ended:?}");
    administered.wait_until_ready();
}
