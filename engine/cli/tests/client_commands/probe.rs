//! `corelane probe`: each outcome with its exit code, and the file of metrics.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::process::{CORELANE, run};
use crate::scripted::{CLOSE, greeting, http, lines, result};

/// The report of a probe with this exit code.
#[track_caller]
fn probe(arguments: &[&str], code: i32) -> Value {
    let found = run(&[&["probe", "--json"][..], arguments].concat());
    assert_eq!(found.code, Some(code), "{arguments:?}: {found:?}");
    serde_json::from_str(&found.out).unwrap_or_else(|error| panic!("{error}: {found:?}"))
}

/// The names of the steps that were taken.
fn phases(report: &Value) -> Vec<&str> {
    let phases = report["phases_ms"].as_object().expect("an object");
    phases.keys().map(String::as_str).collect()
}

#[test]
fn a_server_that_answers_is_0() {
    let demo = format!("stdio:{CORELANE} serve --stdio");
    for era in ["modern", "legacy"] {
        let call = ["--tool", "add", "--args", "{\"a\":1,\"b\":2}", "--era", era];
        let report = probe(&[&[&*demo][..], &call].concat(), 0);
        assert_eq!(phases(&report), ["open", "list", "call"]);
        assert_eq!(
            (&report["outcome"], &report["error"]),
            (&json!("ok"), &Value::Null)
        );
        assert!(report["tools"].as_u64() > Some(2), "{report}");
        assert!(report["total_ms"].as_f64() > Some(0.0), "{report}");
    }
    let plain = run(&["probe", &demo]);
    assert!(plain.done().starts_with("ok stdio:"));
}

#[test]
fn a_server_that_fails_is_1() {
    let tool = json!([{ "name": "t", "inputSchema": { "type": "object" } }]);
    let (failing, _) = lines(move |message| {
        let failure = json!({ "content": [], "isError": true });
        greeting(message, &tool).unwrap_or_else(|| result(message, failure))
    });
    let (closing, _) =
        lines(|message| greeting(message, &json!([])).unwrap_or_else(|| vec![CLOSE.to_owned()]));
    let unauthorized = http(|_, _| (401, String::new()));
    let broken = http(|_, _| (500, "<html>".to_owned()));
    let secured = broken.replace("http://", "https://");
    for (arguments, text) in [
        (
            &[&*failing, "--tool", "t"][..],
            "the tool reports a failure",
        ),
        (&[&closing, "--tool", "t"], "answer is lost"),
        (&[&unauthorized], "credentials"),
        (&[&broken], "500"),
        (&[&secured], ""),
        (&["--live", &broken], "status 500"),
    ] {
        let report = probe(arguments, 1);
        let error = report["error"].as_str().expect("a text");
        assert!(error.contains(text), "{arguments:?}: {report}");
    }
}

#[test]
fn a_server_that_is_silent_is_1_after_the_deadline() {
    // The kernel accepts, and nothing answers.
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/mcp", socket.local_addr().expect("an address"));
    for mode in [&[&*url][..], &["--live", &url]] {
        let report = probe(&[mode, &["--deadline", "300ms"]].concat(), 1);
        assert!(report["error"].as_str().expect("a text").contains("300ms"));
        assert_eq!(phases(&report), ["resolve", "connect"]);
    }
}

#[test]
fn no_server_is_3_and_wrong_arguments_are_2() {
    // The port is taken and nothing listens on it when the socket is gone.
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("an address");
    drop(socket);
    let url = format!("http://{address}/mcp?key=s3cret");
    for arguments in [&[&*url][..], &["--live", &url], &["unix:/does/not/exist"]] {
        let report = probe(arguments, 3);
        assert_eq!(report["outcome"], "unreachable");
        assert!(!report.to_string().contains("s3cret"), "{report}");
    }
    for arguments in [
        &[][..],
        &["nowhere"],
        &["--live", "https://127.0.0.1"],
        &["--live", "--tool", "t", &url],
        &[&url, "--args", "{}"],
        &[&url, "--tool", "t", "--args", "[]"],
    ] {
        let found = run(&[&["probe"], arguments].concat());
        assert_eq!(found.code, Some(2), "{arguments:?}: {found:?}");
    }
}

#[test]
fn a_slow_server_is_4_and_the_file_says_so() {
    let demo = format!("stdio:{CORELANE} serve --stdio");
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("probe.prom");
    let path = path.to_str().expect("a path of text");
    for (more, code, success) in [(&[][..], 0, "1"), (&["--max", "1ns"], 4, "0")] {
        probe(&[&[&*demo, "--textfile", path][..], more].concat(), code);
        let text = std::fs::read_to_string(path).expect("the file");
        let line = text
            .lines()
            .find(|line| line.starts_with("corelane_probe_success{"));
        let value = line.and_then(|line| line.rsplit(' ').next());
        assert_eq!(value, Some(success), "{text}");
    }
    let found = run(&["probe", &demo, "--textfile", "/does/not/exist/probe.prom"]);
    assert_eq!(found.code, Some(74), "{found:?}");
}
