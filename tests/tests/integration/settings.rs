//! Reloads of a running server: `corelane reload`, SIGHUP, and the settings that they change.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use corelane_tests::{
    Connection, EventStream, LivenessProbe, Request, Server, Session, Setup, binary, wait_until,
    write_secret,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long shards get for a reload: a busy host must not decide the test.
const WITHIN: &str = "20s";

/// A server with a profile that tests change, and a control socket.
struct Reloaded {
    server: Server,
    folder: TempDir,
}

impl Reloaded {
    fn start(setup: Setup, profile: &str) -> Reloaded {
        let folder = tempfile::tempdir().expect("a directory");
        fs::write(folder.path().join("profile.toml"), profile).expect("there is space");
        let [profile, socket] = ["profile.toml", "control.sock"].map(|name| {
            let path = folder.path().join(name);
            path.to_str().expect("a path of text").to_owned()
        });
        let arguments = ["--profile", &profile, "--control-socket", &socket];
        Reloaded {
            server: setup.arguments(&arguments).start(),
            folder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces the profile as a whole.
    fn write(&self, profile: &str) {
        let next = self.path("next");
        let mut file = fs::File::create(&next).expect("the directory is there");
        file.write_all(profile.as_bytes()).expect("there is space");
        fs::rename(next, self.path("profile.toml")).expect("the directory is there");
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.arg("reload").args(["--within", WITHIN, "--wait"]);
        command.args(arguments).arg("--socket");
        let output = command.arg(self.path("control.sock")).output();
        output.expect("the program")
    }

    /// The result of a reload in JSON, and its exit code.
    fn reload(&self, arguments: &[&str]) -> (Value, Option<i32>) {
        let output = self.run(&[arguments, &["--json"]].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let value = serde_json::from_str(&text);
        let value = value.unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (value, output.status.code())
    }

    /// A reload that every shard uses.
    #[track_caller]
    fn reloads(&self, arguments: &[&str]) -> Value {
        let (result, code) = self.reload(arguments);
        assert_eq!(
            (code, &result["applied"]),
            (Some(0), &json!(true)),
            "{result}"
        );
        result
    }

    /// The status of a request that names the server in this way.
    fn status_for(&self, host: &str) -> u16 {
        status_on(&mut self.server.connect(), host)
    }
}

fn status_on(connection: &mut Connection, host: &str) -> u16 {
    let request = Request::modern(1, "tools/list", json!({})).field("Host", host);
    connection.exchange(&request).status()
}

/// A profile in which the server has this name besides those of loopback.
fn named(host: &str) -> String {
    format!("[server]\nallowed_hosts = [\"{host}\"]\n")
}

#[test]
fn another_profile_is_in_use_on_every_shard_when_the_command_returns() {
    let reloaded = Reloaded::start(Setup::shards(2), &named("first.example"));
    let mut open: Vec<Connection> = (0..8).map(|_| reloaded.server.connect()).collect();
    for connection in &mut open {
        assert_eq!(status_on(connection, "first.example"), 200);
        assert_eq!(status_on(connection, "127.0.0.1"), 200);
    }
    let more = "[sessions]\nper_shard_max = 500\n[log]\nlevel = \"debug\"\n";
    reloaded.write(&(named("second.example") + more));
    let result = reloaded.reloads(&[]);
    assert_eq!(result["generation"], 1);
    assert_eq!(result["adopted_us"].as_array().map(Vec::len), Some(2));
    let rows = [
        (
            "server.allowed_hosts",
            "[\"first.example\"]",
            "[\"second.example\"]",
        ),
        ("sessions.per_shard_max", "100_000", "500"),
        ("log.level", "\"info\"", "\"debug\""),
    ];
    let rows = rows.map(|(key, old, new)| json!({ "key": key, "old": old, "new": new }));
    assert_eq!(result["changed"], json!(rows));
    for connection in &mut open {
        assert_eq!(status_on(connection, "second.example"), 200);
    }
    // A refused request closes its connection, so each has one of its own.
    assert_eq!(reloaded.status_for("first.example"), 403);
    // The same again changes nothing, and has a number of its own.
    let result = reloaded.reloads(&[]);
    assert_eq!(
        (&result["generation"], &result["changed"]),
        (&json!(2), &json!([]))
    );
    let text = String::from_utf8_lossy(&reloaded.run(&[]).stdout).into_owned();
    assert!(text.starts_with("reload 3: every shard uses it"), "{text}");
}

#[test]
fn an_invalid_profile_is_refused_with_its_line_and_changes_nothing() {
    let reloaded = Reloaded::start(Setup::shards(2), &named("first.example"));
    let mut probe = LivenessProbe::of(&reloaded.server);
    for (fault, expected) in [
        (
            "[sessions]\nper_shard_max = 0\n",
            "line 4: sessions.per_shard_max = 0 is outside",
        ),
        ("[sessions]\nper_shard = 7\n", "line 4, column 1"),
        ("[sessions\n", "line 3, column"),
        (
            "[calls]\nin_flight_max = 4\n[tools]\nin_flight_max = 5\n",
            "lines 6 and 4:",
        ),
        (
            "state_key_files = [\"/nowhere/key\"]\n",
            "state key file /nowhere/key: ",
        ),
    ] {
        reloaded.write(&(named("second.example") + fault));
        for arguments in [&[][..], &["--check"]] {
            let (result, code) = reloaded.reload(arguments);
            let error = result["error"].as_str().unwrap_or_default();
            assert!(error.contains(expected), "{fault}: {error}");
            assert_eq!(code, Some(1));
        }
        probe.check(fault);
        assert_eq!(reloaded.status_for("second.example"), 403);
        assert_eq!(reloaded.status_for("first.example"), 200);
    }
    // Nothing of them was counted, and the server takes the next one.
    reloaded.write(&named("second.example"));
    assert_eq!(reloaded.reloads(&[])["generation"], 1);
    assert_eq!(reloaded.status_for("second.example"), 200);
}

#[test]
fn a_knob_that_only_a_start_applies_refuses_all_of_the_profile() {
    let reloaded = Reloaded::start(Setup::shards(2), &named("first.example"));
    let restart = "backlog = 100\n[ring]\nbuffer_count = 64\n";
    reloaded.write(&(named("second.example") + restart));
    for arguments in [&[][..], &["--check"]] {
        let (result, code) = reloaded.reload(arguments);
        assert_eq!(
            (code, &result["applied"]),
            (Some(1), &json!(false)),
            "{result}"
        );
        let refused = result["refused"].as_array().expect("a list");
        let keys: Vec<&Value> = refused.iter().map(|row| &row["key"]).collect();
        assert_eq!(keys, ["server.backlog", "ring.buffer_count"]);
        for row in refused {
            let reason = row["reason"].as_str().expect("a reason");
            assert!(reason.starts_with("needs a restart"), "{reason}");
            let command = row["command"].as_str().expect("a command");
            assert!(command.contains("systemctl restart corelane"), "{command}");
        }
    }
    assert_eq!(reloaded.status_for("second.example"), 403);
    assert_eq!(reloaded.status_for("first.example"), 200);
}

#[test]
fn a_check_changes_nothing_and_a_reload_is_put_back() {
    let reloaded = Reloaded::start(Setup::shards(2), &named("first.example"));
    let (result, code) = reloaded.reload(&["--rollback"]);
    assert_eq!(code, Some(1), "{result}");
    reloaded.write(&named("second.example"));
    let (result, code) = reloaded.reload(&["--check"]);
    assert_eq!(
        (code, &result["applied"]),
        (Some(0), &json!(false)),
        "{result}"
    );
    assert_eq!(result["changed"][0]["key"], "server.allowed_hosts");
    assert_eq!(reloaded.status_for("second.example"), 403);
    assert_eq!(reloaded.reloads(&[])["generation"], 1);
    assert_eq!(reloaded.status_for("second.example"), 200);
    // One that changes nothing is not put back.
    reloaded.reloads(&[]);
    let result = reloaded.reloads(&["--rollback"]);
    assert_eq!(
        (&result["generation"], reloaded.status_for("first.example")),
        (&json!(3), 200)
    );
    assert_eq!(reloaded.status_for("second.example"), 403);
}

#[test]
fn a_hangup_signal_reloads_and_the_log_has_the_result() {
    let reloaded = Reloaded::start(Setup::shards(1), &named("first.example"));
    reloaded.write(&named("second.example"));
    reloaded.server.signal("HUP");
    wait_until("the other name", || {
        (reloaded.status_for("second.example") == 200).then_some(())
    });
    reloaded.write("[server]\nbacklog = 7\n");
    reloaded.server.signal("HUP");
    wait_until("the refusal", || {
        let log = reloaded.server.log();
        log.contains("server.backlog: only a start applies this")
            .then_some(())
    });
    assert_eq!(reloaded.status_for("second.example"), 200);
}

#[test]
fn a_fault_of_the_access_file_keeps_the_profile_from_changing() {
    let folder = tempfile::tempdir().expect("a directory");
    let access = folder.path().join("corelane.toml");
    let path = access.to_str().expect("a path of text");
    let write = |text: &str| fs::write(&access, text).expect("there is space");
    write("[auth]\nmode = \"none\"\n");
    let setup = Setup::shards(2).arguments(&["--config", path]);
    let reloaded = Reloaded::start(setup, &named("first.example"));
    reloaded.write(&named("second.example"));
    write("[auth]\nmode = \"none\"\n[[grant]]\nrole = \"absent\"\ntools = [\"*\"]\n");
    let (result, code) = reloaded.reload(&[]);
    let error = result["error"].as_str().unwrap_or_default();
    assert_eq!(code, Some(1), "{result}");
    assert!(
        error.contains("absent") && error.contains("corelane.toml"),
        "{error}"
    );
    assert_eq!(reloaded.status_for("second.example"), 403);
    // Both are used together: nobody may come in without a credential any more.
    write("[policy]\ndefault = \"authenticated\"\n");
    reloaded.reloads(&[]);
    assert_eq!(reloaded.status_for("second.example"), 401);
    write("[policy]\ndefault = \"authenticated\"\n[audit]\ndirectory = \"audit\"\n");
    assert_eq!(reloaded.reloads(&[])["not_applied"], json!(["audit"]));
}

#[test]
fn keys_of_states_are_changed_while_a_question_is_open_and_are_never_shown() {
    const TOOL: &str = "test_input_required_result_elicitation";
    const FRESH: &str = "AgIC";
    let folder = tempfile::tempdir().expect("a directory");
    let [old, fresh] = ["old", "fresh"].map(|name| folder.path().join(name));
    // 32 bytes of 1 and of 2, as `openssl rand -base64 32` writes them.
    write_secret(&old, &("AQEB".repeat(10) + "AQE=\n"));
    write_secret(&fresh, &(FRESH.repeat(10) + "AgI=\n"));
    let keys = |keys: &[&PathBuf]| format!("[server]\nstate_key_files = {keys:?}\n");
    let reloaded = Reloaded::start(Setup::shards(2), &keys(&[&old]));
    let call = |more: Value| {
        let mut params = json!({ "name": TOOL, "arguments": {} });
        if let (Some(params), Value::Object(more)) = (params.as_object_mut(), more) {
            params.extend(more);
        }
        Request::modern("c", "tools/call", params).meta(
            "io.modelcontextprotocol/clientCapabilities",
            json!({ "elicitation": {} }),
        )
    };
    let question = || reloaded.server.connect().exchange(&call(json!({}))).json();
    let answer = |question: &Value| {
        let result = &question["result"];
        let requested = result["inputRequests"].as_object().expect("a question");
        let key = requested.keys().next().expect("a question");
        let content = json!({ "action": "accept", "content": { "name": "Ada" } });
        let more = json!({
            "inputResponses": { key: content }, "requestState": result["requestState"],
        });
        reloaded
            .server
            .connect()
            .exchange(&call(more))
            .json()
            .to_string()
    };
    let first = question();
    reloaded.write(&keys(&[&fresh, &old]));
    let shown = reloaded.reloads(&[]).to_string();
    assert!(answer(&first).contains("Ada"));
    let second = question();
    reloaded.write(&keys(&[&fresh]));
    reloaded.reloads(&[]);
    assert!(answer(&second).contains("Ada"));
    assert!(!answer(&first).contains("Ada"), "its key is gone");
    for text in [shown, reloaded.server.log()] {
        assert!(!text.contains(&FRESH.repeat(4)), "{text}");
    }
}

#[test]
fn lowered_caps_end_idle_sessions_and_no_busy_one() {
    let reloaded = Reloaded::start(Setup::shards(1), "[sessions]\nper_shard_max = 1000\n");
    let mut connection = reloaded.server.connect();
    let sessions: Vec<Session> = (0..200).map(|_| Session::open(&mut connection)).collect();
    let mut streaming = reloaded.server.connect();
    streaming.send(&sessions[0].stream());
    let _stream = EventStream::begin(streaming);
    reloaded.write("[sessions]\nper_shard_max = 5\n");
    reloaded.reloads(&[]);
    let lives = |connection: &mut Connection, session: &Session| {
        connection
            .exchange(&session.request(1, "ping", Value::Null))
            .status()
    };
    // The first of them go in the turn in which the shard takes the profile.
    assert_eq!(lives(&mut connection, &sessions[10]), 404);
    wait_until("the limit", || {
        let mut command = Command::new(binary());
        command.args(["status", "--json", "--socket"]);
        let output = command.arg(reloaded.path("control.sock")).output();
        let status = output.expect("the program").stdout;
        let status: Value = serde_json::from_slice(&status).expect("JSON");
        (status["shards"][0]["sessions"] == 5).then_some(())
    });
    assert_eq!(lives(&mut connection, &sessions[0]), 200);
    assert_eq!(lives(&mut connection, &sessions[199]), 200);
}

#[test]
fn reloads_under_load_lose_no_call_no_stream_and_no_connection() {
    const RELOADS: usize = 20;
    const CALLERS: usize = 4;
    const STREAMS: usize = 16;
    let profile = |round: usize| {
        let (host, calls) = (format!("host{}.example", round % 3), 1000 + round);
        format!("{}[calls]\nin_flight_max = {calls}\n", named(&host))
    };
    let reloaded = Reloaded::start(Setup::shards(2), &profile(0));
    let listen = json!({ "notifications": { "toolsListChanged": true } });
    let mut streams: Vec<EventStream> = (0..STREAMS)
        .map(|id| {
            let mut connection = reloaded.server.connect();
            connection.send(&Request::modern(id, "subscriptions/listen", listen.clone()));
            let mut stream = EventStream::begin(connection);
            stream.next_message();
            stream
        })
        .collect();
    let is_over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (mut connection, is_over) = (reloaded.server.connect(), Arc::clone(&is_over));
            thread::spawn(move || {
                let mut calls = 0_u64;
                while !is_over.load(Ordering::Relaxed) {
                    calls += 1;
                    let message = format!("{caller} {calls}");
                    let call = Request::modern_call("echo", json!({ "message": message }));
                    let answer = connection.exchange(&call).json();
                    let text = &answer["result"]["content"][0]["text"];
                    assert_eq!(*text, message, "{answer}");
                }
                calls
            })
        })
        .collect();
    for round in 1..=RELOADS {
        reloaded.write(&profile(round));
        assert_eq!(reloaded.reloads(&[])["generation"], round);
    }
    is_over.store(true, Ordering::Relaxed);
    for caller in callers {
        assert!(caller.join().expect("each call was answered") > 0);
    }
    // Each stream is there, and gets exactly the next change.
    let change = Request::modern_call("test_trigger_tool_change", json!({}));
    assert_eq!(reloaded.server.connect().exchange(&change).status(), 200);
    for stream in &mut streams {
        let change = stream.next_message();
        assert_eq!(change["method"], "notifications/tools/list_changed");
    }
}
