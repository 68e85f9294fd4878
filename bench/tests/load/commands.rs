//! Each command against a server that works.

use crate::program::{Scratch, run, run_bare};
use crate::servers::{broadcaster, corelane, counting, with_lines, with_tls};
use serde_json::Value as Json;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;

#[test]
fn call_checks_and_counts_every_answer_of_both_revisions() {
    let (server, url) = corelane(0);
    for revision in ["2026-07-28", "2025-11-25"] {
        let (html, hgrm) = (Scratch::new("html"), Scratch::new("hgrm"));
        let flags = "--connections 4 --in-flight 2 --duration 1s --warmup 100ms";
        let line = format!("call {url} --revision {revision} {flags}");
        let ran = run(&line, &["--html", html.path(), "--hgrm", hgrm.path()]);
        assert_eq!(ran.errors(), 0, "{}{}", ran.output, ran.error);
        let sent = ran.count("/counts/sent");
        assert!(sent > 100, "{}", ran.output);
        assert_eq!(ran.count("/counts/answered"), sent);
        assert_eq!(ran.count("/latency/count"), sent);
        assert_eq!(ran.report["schema_version"], 2);
        assert!(html.text().contains("<svg"));
        assert!(hgrm.text().contains("Percentile"));
        assert!(ran.output.contains("p99.9"));
    }
    server.drain().unwrap();
}

#[test]
fn call_and_soak_drive_lines_over_tcp_and_unix_sockets() {
    let process = std::process::id();
    for address in [
        "tcp://127.0.0.1:0",
        &format!("unix://@corelane-load-{process}"),
    ] {
        let (server, url) = with_lines(address);
        for revision in ["2026-07-28", "2025-11-25"] {
            let flags = "--connections 4 --in-flight 32 --duration 1s --warmup 100ms";
            let ran = run(&format!("call {url} --revision {revision} {flags}"), &[]);
            assert_eq!(ran.errors(), 0, "{}{}", ran.output, ran.error);
            let sent = ran.count("/counts/sent");
            assert!(sent > 100, "{}", ran.output);
            assert_eq!(ran.count("/counts/answered"), sent);
        }
        for kind in ["idle --active 50%", "listen"] {
            let flags = format!("--kind {kind} --connections 50 --steps 1 --duration 500ms");
            let ran = run(&format!("soak {url} {flags}"), &[]);
            assert_eq!(ran.errors(), 0, "{kind}: {}{}", ran.output, ran.error);
        }
        server.drain().unwrap();
    }
}

#[test]
fn call_and_soak_speak_websocket() {
    let (server, url) = corelane(0);
    let url = url.replace("http://", "ws://");
    for revision in ["2026-07-28", "2025-11-25"] {
        let flags = "--connections 4 --in-flight 8 --duration 1s --warmup 100ms";
        let line = format!("call {url} --revision {revision} {flags}");
        let ran = run(&line, &[]);
        assert_eq!(ran.errors(), 0, "{}{}", ran.output, ran.error);
        let sent = ran.count("/counts/sent");
        assert!(sent > 100, "{}", ran.output);
        assert_eq!(ran.count("/counts/answered"), sent);
    }
    let mix = Scratch::new("toml");
    let text = "[[request]]\ntool = 'echo'\narguments = { message = 'm' }\n\
                abort_percent = 5\n[connection]\nrequests = 40\n[session]\nrequests = 15\n";
    std::fs::write(&mix.0, text).unwrap();
    let flags = "--revision 2025-11-25 --connections 4 --duration 500ms --warmup 0s";
    let ran = run(&format!("call {url} {flags}"), &["--mix", mix.path()]);
    assert_eq!(ran.errors(), 0, "{}{}", ran.output, ran.error);
    for kind in ["idle", "session --revision 2025-11-25", "listen"] {
        let flags = "--connections 50 --duration 100ms --steps 1";
        let ran = run(&format!("soak {url} --kind {kind} {flags}"), &[]);
        assert_eq!(ran.errors(), 0, "{}{}", ran.output, ran.error);
        assert_eq!((ran.count("/held"), ran.count("/lost")), (50, 0), "{kind}");
    }
    server.drain().unwrap();
}

#[test]
fn every_command_speaks_tls_on_every_protocol() {
    let (server, urls, folder) = with_tls();
    let ca_file = folder.path().join("chain.pem");
    let checked = ["--ca-file", ca_file.to_str().unwrap()];
    // At a rate the number of requests does not depend on the load of the machine.
    let rate = "--rate 100 --duration 1s --warmup 0s --timeout 60s";
    for url in &urls {
        for (flags, trust) in [
            ("--in-flight 8", &checked[..]),
            ("--revision 2025-11-25", &["--insecure"]),
            // Each connection but the first resumes an earlier one.
            ("--requests-per-connection 3 --resume", &checked[..]),
        ] {
            let ran = run(&format!("call {url} --connections 4 {rate} {flags}"), trust);
            assert_eq!(ran.errors(), 0, "{flags}: {}{}", ran.output, ran.error);
            assert_eq!(ran.count("/counts/answered"), 100, "{flags}");
        }
        // More handshakes than are made at once, and calls on the connections.
        let flags = "--connections 200 --steps 1 --active 50% --duration 500ms --timeout 60s";
        let ran = run(&format!("soak {url} {flags}"), &checked);
        assert_eq!(ran.errors(), 0, "{}{}", ran.output, ran.error);
        assert_eq!((ran.count("/held"), ran.count("/lost")), (200, 0), "{url}");
        assert_eq!(ran.count("/active/answered"), 50);
    }
    let flags = "--tool nap --connections 2 --from 10 --growth 10 --p99 30s --duration 500ms";
    let ran = run(&format!("sweep {} {flags}", urls[0]), &checked);
    let steps = ran.report["outcome"]["steps"].as_array().unwrap();
    assert_eq!(steps[0]["rate_per_s"], 10.0, "{}{}", ran.output, ran.error);
    let flags = "--streams 20 --trigger grow --rounds 1";
    let ran = run(&format!("fanout {} {flags}", urls[0]), &checked);
    assert_eq!(ran.count("/rounds/0/delivered"), 20, "{}", ran.error);
    server.drain().unwrap();
}

#[test]
fn the_figures_of_all_threads_are_added() {
    let (server, url, calls) = counting(0);
    let flags = "--tool hiccup --threads 2 --connections 4 --duration 300ms --warmup 0s";
    let ran = run(&format!("call {url} {flags}"), &[]);
    assert_eq!(ran.errors(), 0, "{}{}", ran.output, ran.error);
    assert_eq!(ran.count("/load/threads"), 2);
    // One call before the run finds out whether the server answers at all.
    let served = calls.load(Ordering::Relaxed);
    assert_eq!(ran.count("/counts/answered"), served - 1, "{}", ran.output);
    server.drain().unwrap();
}

#[test]
fn call_plays_a_mix_with_aborts_and_churn() {
    let (server, url) = corelane(0);
    let mix = Scratch::new("toml");
    let text = "[[request]]\nweight = 3\ntool = 'echo'\narguments = { message = 'm' }\n\
                abort_percent = 5\n[[request]]\nmethod = 'tools/list'\n\
                [connection]\nrequests = 40\n[session]\nrequests = 15\ndelete_percent = 50\n";
    std::fs::write(&mix.0, text).unwrap();
    let flags = "--revision 2025-11-25 --connections 4 --duration 1s --warmup 0s";
    let ran = run(&format!("call {url} {flags}"), &["--mix", mix.path()]);
    assert_eq!(ran.errors(), 0, "{}{}", ran.output, ran.error);
    let counts = |name: &str| ran.count(&format!("/counts/{name}"));
    assert_eq!(
        counts("sent"),
        counts("answered") + counts("aborted"),
        "{}",
        ran.output
    );
    for name in [
        "aborted",
        "connected",
        "sessions_deleted",
        "sessions_abandoned",
    ] {
        assert!(counts(name) > 0, "{name}: {}", ran.output);
    }
    let shares = ran.report["outcome"]["methods"].as_array().unwrap().len();
    assert_eq!(shares, 2);
    server.drain().unwrap();
}

#[test]
fn soak_keeps_connections_and_calls_on_them() {
    let (server, url) = corelane(0);
    let flags = "--connections 200 --steps 2 --active 50% --duration 1s --ramp 2k";
    let ran = run(&format!("soak {url} {flags}"), &[]);
    assert_eq!(ran.errors(), 0, "{}{}", ran.output, ran.error);
    assert_eq!((ran.count("/held"), ran.count("/lost")), (200, 0));
    assert_eq!(ran.count("/connect/count"), 200);
    assert_eq!(ran.count("/active/answered"), 100);
    // 2,000 connections per second take 100 ms for 200.
    assert!(ran.report["outcome"]["ramp_s"].as_f64().unwrap() >= 0.09);
    let steps = ran.report["outcome"]["steps"].as_array().unwrap();
    assert_eq!(
        (&steps[0]["held"], &steps[1]["held"]),
        (&100.into(), &200.into())
    );
    assert!(ran.report["outcome"]["slope"].is_object());
    let flags = "--kind session --revision 2025-11-25 --connections 20 --duration 100ms";
    let ran = run(&format!("soak {url} {flags}"), &[]);
    assert_eq!(
        (ran.count("/held"), ran.errors()),
        (20, 0),
        "{}",
        ran.output
    );
    server.drain().unwrap();
}

#[test]
fn fanout_times_a_change_on_every_stream() {
    let url = broadcaster(|_| 1);
    let flags = "--streams 20 --revision 2025-11-25 --trigger change --rounds 5";
    let ran = run(&format!("fanout {url} {flags}"), &[]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.output, ran.error);
    for round in 0..5 {
        let of = |name: &str| ran.count(&format!("/rounds/{round}/{name}"));
        assert_eq!((of("delivered"), of("lost"), of("duplicates")), (20, 0, 0));
        assert!(of("last_ns") >= of("p50_ns") && of("p50_ns") > 0);
    }
}

#[test]
fn fanout_finds_lost_and_repeated_messages() {
    let url = broadcaster(|stream| match stream {
        0 => 0,
        1 => 2,
        _ => 1,
    });
    let flags = "--streams 5 --revision 2025-11-25 --trigger change --rounds 1 --timeout 500ms";
    let ran = run(&format!("fanout {url} {flags}"), &[]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.output, ran.error);
    let of = |name: &str| ran.count(&format!("/rounds/0/{name}"));
    assert_eq!((of("delivered"), of("lost"), of("duplicates")), (4, 1, 1));
}

#[test]
fn sweep_reports_the_highest_rate_that_was_kept() {
    let (server, url) = corelane(0);
    // 4 connections of calls that take 5 ms carry at most 800 a second.
    let flags = "--tool nap --connections 4 --from 100 --growth 4 --p99 5s --duration 1s";
    let ran = run(&format!("sweep {url} {flags}"), &[]);
    let steps = ran.report["outcome"]["steps"].as_array().unwrap();
    assert_eq!(steps[0]["rate_per_s"], 100.0);
    let (broke, kept): (Vec<&Json>, Vec<&Json>) =
        steps.iter().partition(|step| step["broke"].is_string());
    assert!(!broke.is_empty(), "{}", ran.output);
    // How high that is depends on the machine; no rate above 800 is kept on any.
    let rates = kept.iter().filter_map(|step| step["rate_per_s"].as_f64());
    let highest_per_s = rates.fold(0.0, f64::max);
    assert!(highest_per_s <= 850.0, "{}", ran.output);
    assert_eq!(ran.report["outcome"]["capacity_per_s"], highest_per_s);
    server.drain().unwrap();
}

#[test]
fn compare_takes_a_record_and_the_old_name_of_its_baseline() {
    let (server, url) = corelane(0);
    let report = Scratch::new("json");
    let line = format!("call {url} --connections 2 --duration 100ms --warmup 0s");
    run_bare(&line, &["--json", report.path()]);
    let record = Scratch::new("jsonl");
    let of = |server: &str| {
        let report = report.text();
        format!(r#"{{"workload":"W","server":"{server}","round":1,"report":{report}}}"#)
    };
    std::fs::write(&record.0, of("floor") + "\n" + &of("other")).unwrap();
    let compared = run_bare("compare", &[record.path()]);
    assert_eq!(compared.code, Some(0), "{}", compared.error);
    let title = "W: A is baseline, B is other\n";
    assert!(compared.output.contains(title), "{}", compared.output);
    assert!(compared.output.contains("1.000"), "{}", compared.output);
    let compared = run_bare("compare", &[record.path(), "--base", "other"]);
    let title = "W: A is other, B is baseline\n";
    assert!(compared.output.contains(title), "{}", compared.output);
    server.drain().unwrap();
}

#[test]
fn compare_keeps_thresholds() {
    let (server, url) = corelane(0);
    let report = Scratch::new("json");
    let line = format!("call {url} --connections 2 --duration 300ms --warmup 0s");
    run_bare(&line, &["--json", report.path()]);
    let compared = |threshold: &str| {
        let files = [report.path(), report.path(), "--threshold", threshold];
        run_bare("compare", &files)
    };
    let kept = compared("p99<=1.25");
    assert_eq!(kept.code, Some(0), "{}", kept.error);
    assert!(kept.output.contains("p99"));
    let broken = compared("answers_per_s>=1.05");
    assert_eq!(broken.code, Some(1));
    assert!(broken.error.contains("answers_per_s"), "{}", broken.error);
    assert_eq!(compared("p98<=1").code, Some(2));
    server.drain().unwrap();
}

#[test]
fn schema_prints_the_schema_of_reports() {
    let ran = run_bare("schema", &[]);
    let schema: serde_json::Value = serde_json::from_str(&ran.output).unwrap();
    assert_eq!(ran.code, Some(0));
    assert!(schema["properties"]["schema_version"].is_object());
}

/// A server of the TypeScript SDK, which answers in event streams; ended with the test.
struct TypeScript(Child, String);

impl TypeScript {
    fn start() -> TypeScript {
        use std::io::{BufRead, BufReader};
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/conformance");
        let machine = match std::env::consts::ARCH {
            "aarch64" => "arm64",
            _ => "x64",
        };
        let node = root.join(format!("node_modules/node-linux-{machine}/bin/node"));
        assert!(
            node.exists(),
            "run ./perf-scripts/test.sh: it installs {}",
            node.display()
        );
        let mut child = Command::new(node)
            .arg(root.join("typescript-server.mjs"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts");
        let mut url = String::new();
        let output = child.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut url).unwrap();
        TypeScript(child, url.trim().to_owned())
    }
}

impl Drop for TypeScript {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn call_and_soak_drive_a_server_of_the_typescript_sdk() {
    let server = TypeScript::start();
    let url = &server.1;
    let flags = "--revision 2025-11-25 --connections 4 --duration 1s --warmup 200ms";
    let ran = run(&format!("call {url} {flags}"), &[]);
    assert_eq!(ran.errors(), 0, "{}{}", ran.output, ran.error);
    assert!(ran.count("/counts/answered") > 20, "{}", ran.output);
    let flags = "--revision 2025-11-25 --kind session --connections 10 --duration 100ms";
    let ran = run(&format!("soak {url} {flags}"), &[]);
    assert_eq!(
        (ran.count("/held"), ran.errors()),
        (10, 0),
        "{}{}",
        ran.output,
        ran.error
    );
}
