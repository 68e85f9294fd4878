//! Programs that are upstreams: their processes, what becomes of them, and hostile ones.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use corelane_tests::{Connection, Request, Session, Setup, wait_until};
use serde_json::{Value, json};

use super::{Gateway, tools};

/// A profile that stops processes soon.
pub(super) const STOPS_SOON: &str = "[gateway]\nstop_ms = 50\n";

pub(super) fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/gateway/program.sh")
}

/// The section of the scripted program with these arguments and further lines.
pub(super) fn section(name: &str, arguments: &[&str], lines: &str) -> String {
    let script = script().display().to_string();
    let command = [&["sh", &script], arguments].concat();
    format!("[[upstream]]\nname = \"{name}\"\ncommand = {command:?}\n{lines}\n")
}

pub(super) fn start(arguments: &[&str], lines: &str) -> Gateway {
    let gateway = Gateway::start(&section("up", arguments, lines));
    gateway.wait_for("up_call");
    gateway
}

/// Calls the tool in this session, or as a modern client.
pub(super) fn call(connection: &mut Connection, session: Option<&Session>, act: &str) -> Value {
    let arguments = json!({ "do": act });
    let request = match session {
        Some(session) => session.call("up_call", arguments),
        None => Request::modern_call("up_call", arguments),
    };
    connection.exchange(&request).answer()
}

pub(super) fn text(answer: &Value) -> String {
    let text = answer["result"]["content"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// The process that serves a client.
pub(super) fn process(connection: &mut Connection, session: Option<&Session>) -> String {
    text(&call(connection, session, "name"))
}

/// Waits until a process has ended. One without a parent may be reaped late.
pub(super) fn wait_until_dead(process: &str) {
    let path = Path::new("/proc").join(process).join("stat");
    wait_until("the process is dead", || {
        let stat = fs::read_to_string(&path).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    });
}

/// Waits until a process has ended and was waited for.
pub(super) fn wait_for_end(process: &str) {
    let path = Path::new("/proc").join(process);
    wait_until("the process ends", || (!path.exists()).then_some(()));
}

/// The numbers in the log after this text.
pub(super) fn numbers(gateway: &Gateway, text: &str) -> Vec<String> {
    let log = gateway.server.log();
    let numbers = log.split(text).skip(1).map(|rest| {
        let digits = rest.chars().take_while(char::is_ascii_digit);
        digits.collect::<String>()
    });
    numbers.filter(|number| !number.is_empty()).collect()
}

/// The processes that stubborn ones have started.
pub(super) fn sleepers(gateway: &Gateway) -> Vec<String> {
    numbers(gateway, "sleeper ")
}

pub(super) fn wait_for_log(gateway: &Gateway, text: &str) {
    wait_until(text, || gateway.server.log().contains(text).then_some(()));
}

#[test]
fn each_session_has_a_process_which_ends_with_it() {
    let gateway = start(&[], "");
    let mut connection = gateway.connect();
    let first = Session::open(&mut connection);
    let second = Session::open(&mut connection);
    let mut seen = vec![
        process(&mut connection, Some(&first)),
        process(&mut connection, Some(&second)),
        process(&mut connection, None),
    ];
    assert_eq!(process(&mut connection, Some(&first)), seen[0], "it stays");
    assert_eq!(process(&mut connection, None), seen[2]);
    connection.exchange(&first.delete());
    wait_for_end(&seen[0]);
    assert_eq!(process(&mut connection, Some(&second)), seen[1]);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[test]
fn one_process_serves_all_clients_and_the_lists_if_the_configuration_says_so() {
    let gateway = start(&[], "sessions = \"shared\"");
    let mut connection = gateway.connect();
    let session = Session::open(&mut connection);
    let one = process(&mut connection, Some(&session));
    assert_eq!(process(&mut connection, None), one);
    let log = gateway.server.log();
    assert!(log.matches("with none").count() <= 1, "{log}");
}

#[test]
fn a_call_goes_to_another_shared_process_while_the_first_one_has_one() {
    let gateway = start(&[], "sessions = \"shared\"\nprocesses = 2");
    let first = process(&mut gateway.connect(), None);
    let mut waiting = gateway.connect();
    // It waits for the next line.
    waiting.send(&Request::modern_call(
        "up_call",
        json!({ "do": "cancelled" }),
    ));
    wait_for_log(&gateway, "the call has come");
    let mut connection = gateway.connect();
    let session = Session::open(&mut connection);
    let second = process(&mut connection, Some(&session));
    assert_ne!(second, first);
    assert_eq!(process(&mut connection, None), second);
    drop(waiting);
    wait_for_log(&gateway, "notifications/cancelled");
    wait_until("both serve calls again", || {
        (process(&mut connection, None) == first).then_some(())
    });
    assert_eq!(gateway.server.children().len(), 2);
}

#[test]
fn a_process_that_nothing_uses_is_stopped_and_started_by_the_next_call() {
    for sessions in ["client", "shared"] {
        let gateway = start(
            &[],
            &format!("sessions = \"{sessions}\"\nidle_stop_ms = 100"),
        );
        let mut connection = gateway.connect();
        let before = process(&mut connection, None);
        wait_for_end(&before);
        wait_until("no process is left", || {
            gateway.server.children().is_empty().then_some(())
        });
        assert_ne!(process(&mut connection, None), before);
        let answer = call(&mut connection, None, "name");
        assert_eq!(answer["error"], Value::Null, "{answer}");
    }
}

#[test]
fn a_process_that_ends_fails_its_calls_and_the_next_call_gets_another_one() {
    let setup = Setup::shards(1).profile(STOPS_SOON);
    let gateway = Gateway::start_with(&section("up", &[], ""), setup);
    gateway.wait_for("up_call");
    let mut connection = gateway.connect();
    for act in ["exit", "close"] {
        let before = process(&mut connection, None);
        let answer = call(&mut connection, None, act);
        let expected = json!({ "upstream": "up", "reason": "closed", "executed": "unknown" });
        assert_eq!(answer["error"]["data"], expected, "{answer}");
        assert_ne!(process(&mut connection, None), before);
        wait_for_end(&before);
    }
    wait_for_log(&gateway, "exit status: 3");
}

#[test]
fn text_that_is_no_message_is_passed_over_and_requests_of_a_program_are_answered() {
    let gateway = start(&[], "");
    let mut connection = gateway.connect();
    assert_eq!(text(&call(&mut connection, None, "noise")), "quiet");
    wait_for_log(&gateway, "a banner");
}

#[test]
fn a_line_without_end_ends_its_process() {
    let profile = "[gateway]\nmessage_bytes_max = 65536\n";
    let setup = Setup::shards(1).profile(profile);
    let gateway = Gateway::start_with(&section("up", &[], ""), setup);
    gateway.wait_for("up_call");
    let mut connection = gateway.connect();
    let before = process(&mut connection, None);
    let answer = call(&mut connection, None, "endless");
    assert_eq!(answer["error"]["data"]["reason"], "protocol", "{answer}");
    wait_for_end(&before);
    assert_ne!(process(&mut connection, None), before);
}

#[test]
fn a_client_that_leaves_cancels_its_call_and_the_process_goes_on() {
    let gateway = start(&[], "sessions = \"shared\"");
    let before = process(&mut gateway.connect(), None);
    let mut leaving = gateway.connect();
    leaving.send(&Request::modern_call(
        "up_call",
        json!({ "do": "cancelled" }),
    ));
    wait_for_log(&gateway, "the call has come");
    drop(leaving);
    wait_for_log(&gateway, "notifications/cancelled");
    assert_eq!(process(&mut gateway.connect(), None), before);
}

#[test]
fn a_program_gets_the_variables_of_its_section_and_no_other_descriptors() {
    let lines = "env = { GREETING = \"hello\" }\ninherit_env = [\"PATH\"]";
    let gateway = start(&[], lines);
    let mut connection = gateway.connect();
    let variables = text(&call(&mut connection, None, "variables"));
    let expected = ["GREETING", "PATH", "PWD"];
    let others = variables.split_whitespace();
    let others: Vec<_> = others.filter(|name| !expected.contains(name)).collect();
    assert!(
        others
            .iter()
            .all(|name| name.len() == 1 || *name == "OLDPWD"),
        "{others:?}"
    );
    assert!(variables.contains("GREETING"));
    let files = text(&call(&mut connection, None, "files"));
    // Its input and output are one socket. Rings and events of the server are no business of it.
    assert_eq!(files.matches("socket:").count(), 2, "{files}");
    assert_eq!(files.matches("anon_inode").count(), 0, "{files}");
    wait_for_log(&gateway, "with hello");
}

#[test]
fn programs_that_do_not_start_or_end_at_once_touch_their_own_entries_only() {
    let sections = [
        "[[upstream]]\nname = \"none\"\ncommand = [\"/none/program\"]\n",
        "[[upstream]]\nname = \"ending\"\ncommand = [\"sh\", \"-c\", \"exit 3\"]\n",
        &section("up", &[], ""),
    ];
    let gateway = Gateway::start(&sections.concat());
    gateway.wait_for("up_call");
    let mut connection = gateway.connect();
    let tools = tools(&mut connection);
    let names = tools.iter().filter_map(|tool| tool["name"].as_str());
    let mut others = names.filter(|it| it.starts_with("none_") || it.starts_with("ending_"));
    assert_eq!(others.next(), None);
    process(&mut connection, None);
    wait_for_log(&gateway, "its program does not start");
    wait_for_log(&gateway, "exit status: 3");
}

#[test]
fn a_stubborn_process_and_its_group_are_killed_when_the_server_ends() {
    let setup = Setup::shards(1).profile(STOPS_SOON);
    let gateway = Gateway::start_with(&section("up", &["stubborn"], ""), setup);
    gateway.wait_for("up_call");
    let mut connection = gateway.connect();
    let serving = process(&mut connection, None);
    let mut processes = vec![serving];
    processes.extend(wait_until("both processes have started others", || {
        let sleepers = sleepers(&gateway);
        (sleepers.len() == 2).then_some(sleepers)
    }));
    assert_eq!(processes.len(), 3);
    drop(connection);
    gateway.server.signal("TERM");
    assert!(gateway.server.wait_for_exit().success());
    processes
        .iter()
        .for_each(|process| wait_until_dead(process));
}

#[test]
fn processes_end_with_a_server_that_is_killed() {
    let gateway = start(&[], "");
    let mut connection = gateway.connect();
    let serving = process(&mut connection, None);
    gateway.server.signal("KILL");
    assert!(!gateway.server.wait_for_exit().success());
    wait_until_dead(&serving);
}

#[test]
fn a_program_that_ignores_the_end_of_its_input_ends_with_a_server_that_is_killed() {
    let gateway = start(&["stubborn"], "");
    let mut connection = gateway.connect();
    let serving = process(&mut connection, None);
    gateway.server.signal("KILL");
    assert!(!gateway.server.wait_for_exit().success());
    wait_until_dead(&serving);
    // Another one of its group lives on: it has to end with its input, and this one does not.
    for sleeper in sleepers(&gateway) {
        let killed = Command::new("kill").args(["-KILL", &sleeper]).status();
        assert!(killed.expect("there is kill").success(), "{sleeper}");
    }
}

#[test]
fn past_the_bound_of_processes_a_call_is_refused() {
    let profile = "[gateway]\nprocesses_max = 2\n";
    let setup = Setup::shards(1).profile(profile);
    let gateway = Gateway::start_with(&section("up", &[], ""), setup);
    gateway.wait_for("up_call");
    let mut connection = gateway.connect();
    let first = Session::open(&mut connection);
    let second = Session::open(&mut connection);
    process(&mut connection, Some(&first));
    let answer = call(&mut connection, Some(&second), "name");
    assert_eq!(answer["error"]["data"]["reason"], "busy", "{answer}");
    assert_eq!(answer["error"]["data"]["executed"], "no", "{answer}");
}

#[test]
fn another_server_of_this_kind_is_a_program_of_the_modern_era() {
    let binary = corelane_tests::binary().display().to_string();
    let command = [&binary, "serve", "--stdio", "--demo", "basic"];
    let section = format!("[[upstream]]\nname = \"up\"\ncommand = {command:?}\nera = \"modern\"\n");
    let gateway = Gateway::start(&section);
    gateway.wait_for("up_add");
    let mut connection = gateway.connect();
    let session = Session::open(&mut connection);
    for a in 0..10 {
        let arguments = json!({ "a": a, "b": 0.5 });
        let call = Request::modern_call("up_add", arguments.clone());
        for request in [call, session.call("up_add", arguments)] {
            let answer = connection.exchange(&request).answer();
            assert_eq!(text(&answer), format!("{a}.5"), "{answer}");
        }
    }
}

#[test]
fn the_file_of_a_desktop_client_with_commands_is_read_as_it_is() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let path = directory.path().join("mcp.json");
    let servers = json!({ "mcpServers": { "Up": {
        "command": "sh", "args": [script()], "env": { "GREETING": "${env:DESK_GREETING}" },
    }}});
    fs::write(&path, servers.to_string()).expect("there is space");
    let setup = Setup::shards(1)
        .variable("DESK_GREETING", "welcome")
        .arguments(&["--mcp-servers", path.to_str().expect("a path of text")]);
    let server = setup.start();
    let mut connection = server.connect();
    wait_until("the tool is listed", || {
        let answer = call(&mut connection, None, "name");
        answer.get("result").is_some().then_some(())
    });
    wait_until("the variable is set", || {
        server.log().contains("with welcome").then_some(())
    });
}

#[test]
fn another_server_of_this_kind_is_an_upstream_with_lines() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let path = directory.path().join("up.sock").display().to_string();
    let upstream = Setup::shards(1)
        .demo("basic")
        .listen("tcp://127.0.0.1:0")
        .listen(&format!("unix://{path}"))
        .start();
    let addresses = upstream.addresses().iter();
    let lines: Vec<_> = addresses
        .filter(|it| it.starts_with("tcp://") || it.starts_with("unix:"))
        .collect();
    assert_eq!(lines.len(), 2, "{:?}", upstream.addresses());
    for (url, era) in lines.into_iter().zip(["modern", "legacy"]) {
        let section = format!("[[upstream]]\nname = \"up\"\nurl = \"{url}\"\nera = \"{era}\"\n");
        let gateway = Gateway::start(&section);
        gateway.wait_for("up_add");
        let mut connection = gateway.connect();
        let session = Session::open(&mut connection);
        let arguments = json!({ "a": 1, "b": 0.5 });
        let modern = Request::modern_call("up_add", arguments.clone());
        for request in [modern, session.call("up_add", arguments)] {
            let answer = connection.exchange(&request).answer();
            assert_eq!(text(&answer), "1.5", "{url} {era}: {answer}");
        }
    }
}
