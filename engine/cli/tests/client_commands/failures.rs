//! Each exit code, and the object on standard error with `--json`.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::process::{CORELANE, Run, command, finish, run, run_demo};
use crate::schemas::validate;
use crate::scripted::{CLOSE, greeting, http, lines, result};

/// Runs the command with and without `--json`: both have this exit code, and the object this kind.
#[track_caller]
fn check(arguments: &[&str], code: i32, kind: &str) -> (Run, Value) {
    let plain = run(arguments);
    assert_eq!(plain.code, Some(code), "{arguments:?}: {plain:?}");
    let name = format!("corelane {}: ", arguments[0]);
    assert!(plain.errors.contains(&name) || code == 2, "{plain:?}");
    let end = arguments.iter().position(|word| *word == "--");
    let (before, after) = arguments.split_at(end.unwrap_or(arguments.len()));
    let as_json = run(&[before, &["--json"], after].concat());
    let object = as_json.failure();
    validate("failure", &object.to_string());
    assert_eq!(
        (as_json.code, &object["kind"]),
        (Some(code), &json!(kind)),
        "{object}"
    );
    assert!(
        object["message"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    );
    (plain, object)
}

#[test]
fn a_failed_tool_and_an_error_of_the_server_are_1() {
    let demo = ["--", CORELANE, "serve", "--stdio", "--demo", "conformance"];
    let failing = [&["call", "test_error_handling"][..], &demo].concat();
    let (plain, object) = check(&failing, 1, "tool");
    assert!(!plain.out.is_empty(), "{plain:?}");
    assert_eq!(object["executed"], true);
    let unknown = [&["read", "nowhere://at-all"][..], &demo].concat();
    let (_, object) = check(&unknown, 1, "refused");
    assert!(object["code"].is_i64(), "{object}");
    let method = ["call", "--method", "no/such"];
    let (_, object) = check(&[&method[..], &demo].concat(), 1, "refused");
    assert_eq!(object["code"], -32601);
}

#[test]
fn wrong_arguments_are_2_before_anything_is_called() {
    for (line, text) in [
        ("call ech message=x", "the nearest is \"echo\""),
        ("call echo mesage=x", "the nearest is \"message\""),
        ("call echo", "give message=<string>"),
        ("call add a=x b=1", "is not number"),
        ("call fibonacci n=99", "99"),
        ("call echo --args '[]'", "no JSON object"),
        ("call echo message", "name=value"),
        ("call", "TOOL"),
        ("list nothing", "tools, resources"),
        (
            "call echo message=x --bearer literal",
            "other users can see",
        ),
        (
            "call echo message=x --header 'Authorization: Bearer x'",
            "other users can see",
        ),
        (
            "call echo message=x --bearer env:CORELANE_NO_SUCH",
            "is not set",
        ),
        ("inspect ad", "the nearest is \"add\""),
    ] {
        let found = run_demo(line);
        assert_eq!(found.code, Some(2), "{line}: {found:?}");
        assert!(found.errors.contains(text), "{line}: {found:?}");
        let object = run_demo(&format!("{line} --json"));
        assert_eq!(object.failure()["kind"], "usage", "{line}");
    }
    for target in [
        "nowhere",
        "ftp://x",
        "stdio:",
        "https://user:s3cret@example.com",
    ] {
        let (plain, object) = check(&["list", target], 2, "usage");
        assert!(
            !plain.errors.contains("s3cret") && object["executed"] == false,
            "{plain:?}"
        );
    }
}

#[test]
fn no_server_is_3() {
    // The port is taken and nothing listens on it when the socket is gone.
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("an address");
    drop(socket);
    for target in [
        format!("http://{address}/mcp"),
        format!("tcp:{address}"),
        "unix:/does/not/exist".to_owned(),
        "stdio:/does/not/exist".to_owned(),
        "stdio:true".to_owned(),
        http(|_, _| (200, "<html>".to_owned())),
        http(|_, _| (500, String::new())),
    ] {
        check(&["list", &target], 3, "connect");
    }
    // It ends in the middle of a call.
    let (target, _) =
        lines(|message| greeting(message, &json!([])).unwrap_or_else(|| vec![CLOSE.to_owned()]));
    let (_, object) = check(&["read", &target, "x:y"], 3, "lost");
    assert_eq!(object["executed"], Value::Null);
    let (target, _) = lines(|message| {
        greeting(message, &json!([])).unwrap_or_else(|| result(message, json!({"contents": 1})))
    });
    check(&["read", &target, "x:y"], 3, "protocol");
}

#[test]
fn missing_credentials_are_4() {
    for status in [401, 403] {
        let url = http(move |_, _| (status, String::new()));
        check(&["list", &url], 4, "auth");
    }
}

#[test]
fn a_deadline_is_5() {
    let (target, seen) = lines(|message| greeting(message, &json!([])).unwrap_or_default());
    for time in ["--timeout", "--max-timeout"] {
        let call = ["call", &target, "never", "--no-schema", time, "300ms"];
        check(&call, 5, "deadline");
    }
    let seen = seen.lock().expect("no panic");
    let cancelled = seen
        .iter()
        .filter(|it| it["method"] == "notifications/cancelled");
    assert_eq!(cancelled.count(), 4, "{seen:?}");
}

#[test]
fn files_that_cannot_be_used_are_74_or_78() {
    let demo = ["--", CORELANE, "serve", "--stdio"];
    let file = ["call", "echo", "message=@/does/not/exist"];
    check(&[&file[..], &demo].concat(), 74, "io");
    let out = ["read", "demo://about", "--out", "/does/not/exist/x"];
    check(&[&out[..], &demo].concat(), 74, "io");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("servers.json");
    let file = path.display().to_string();
    let named = ["list", "@demo", "--config", &file];
    check(&named, 78, "configuration");
    std::fs::write(&path, r#"{"mcpServers": {"other": {"command": "x"}}}"#).expect("written");
    let (plain, _) = check(&named, 78, "configuration");
    assert!(plain.errors.contains("@other"), "{plain:?}");
}

#[test]
fn servers_are_found_by_their_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let json_file = folder.path().join("mcp.json");
    let server = json!({"command": CORELANE, "args": ["serve", "--stdio"]});
    let text = json!({"mcpServers": {"Demo": server}}).to_string();
    std::fs::write(&json_file, text).expect("written");
    let file = json_file.display().to_string();
    let call = ["call", "@demo", "add", "a=1", "b=1"];
    assert_eq!(
        run(&[&call[..], &["--config", &file]].concat()).done(),
        "2\n"
    );

    let settings = folder.path().join("corelane");
    std::fs::create_dir(&settings).expect("a folder");
    let text = format!(
        "[[upstream]]\nname = \"demo\"\nera = \"legacy\"\n\
        command = [\"{CORELANE}\", \"serve\", \"--stdio\"]\n"
    );
    std::fs::write(settings.join("servers.toml"), text).expect("written");
    let inspect = ["inspect", "@demo", "--json"];
    let child = command(&inspect)
        .env("XDG_CONFIG_HOME", folder.path())
        .spawn();
    let report = finish(child.expect("corelane starts"), "").done();
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(report["era"], "legacy");
}

#[test]
fn sigint_cancels_the_call_and_is_130() {
    let (reached, is_reached) = std::sync::mpsc::channel();
    let reached = std::sync::Mutex::new(reached);
    let (target, seen) = lines(move |message| {
        if message["method"] == "tools/call" {
            reached
                .lock()
                .expect("no panic")
                .send(())
                .expect("the test waits");
        }
        greeting(message, &json!([])).unwrap_or_default()
    });
    let call = ["call", &target, "never", "--no-schema", "--json"];
    let child = command(&call)
        .stdin(Stdio::piped())
        .spawn()
        .expect("corelane starts");
    is_reached
        .recv_timeout(Duration::from_secs(60))
        .expect("the call");
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).expect("a signal");
    let found = finish(child, "");
    assert_eq!(
        (found.code, &found.failure()["kind"]),
        (Some(130), &json!("interrupted"))
    );
    let seen = seen.lock().expect("no panic");
    let ends = seen.iter().rev().take(2).rev();
    let methods: Vec<&Value> = ends.map(|message| &message["method"]).collect();
    assert_eq!(
        methods,
        ["tools/call", "notifications/cancelled"],
        "{seen:?}"
    );
}

#[test]
fn changes_are_lines_and_the_time_or_the_count_ends_them() {
    let (target, _) = lines(|message| {
        if message["method"] != "subscriptions/listen" {
            return greeting(message, &json!([])).unwrap_or_default();
        }
        let meta = json!({"io.modelcontextprotocol/subscriptionId": message["id"]});
        let notification = |method: &str, params: Value| {
            let mut params = params;
            params["_meta"] = meta.clone();
            json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string()
        };
        let mut filter = message["params"]["notifications"].clone();
        filter
            .as_object_mut()
            .expect("a filter")
            .remove("promptsListChanged");
        vec![
            notification(
                "notifications/subscriptions/acknowledged",
                json!({"notifications": filter}),
            ),
            notification("notifications/tools/list_changed", json!({})),
            notification("notifications/resources/updated", json!({"uri": "x:y"})),
        ]
    });
    let listen = ["listen", &target, "--resource", "x:y"];
    let counted = run(&[&listen[..], &["--count", "2"]].concat());
    assert_eq!(
        (counted.code, &*counted.out),
        (Some(0), "tools\nresource x:y\n")
    );
    let declined = "corelane listen: the server has no changes of promptsListChanged\n";
    assert_eq!(counted.errors, declined);
    let counted = run(&[&listen[..], &["--count", "2", "--json"]].concat());
    assert_eq!(
        counted.out,
        "{\"change\":\"tools\"}\n{\"change\":\"resource\",\"uri\":\"x:y\"}\n"
    );
    let timed = run(&[&listen[..], &["--for", "100ms"]].concat());
    assert_eq!(timed.code, Some(0), "{timed:?}");
    let both = run(&[&listen[..], &["--for", "100ms", "--count", "3"]].concat());
    assert_eq!(both.code, Some(5), "{both:?}");
}
