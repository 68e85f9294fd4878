//! The dashboard in a browser, before a real server that is used, ended and started again.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use corelane::meter::catalogue::{FamilyType, families};
use corelane_tests::conformance::node;
use corelane_tests::{EventStream, Request, Server, Session, Setup};
use regex::Regex;
use serde_json::json;

/// Between two rounds of requests: the browser needs the processor as well.
const PACE: Duration = Duration::from_millis(20);

fn start() -> Server {
    Setup::shards(2)
        .arguments(&["--metrics", "127.0.0.1:0"])
        .start()
}

/// Makes calls that succeed and fail, and requests that are refused, until the sender of `end` is
/// dropped.
fn make_requests(server: &Server, end: &Receiver<()>) {
    let mut held = server.connect();
    let session = Session::open(&mut held);
    let mut stream = server.connect();
    stream.send(&session.stream());
    let _stream = EventStream::begin(stream);
    let mut connection = server.connect();
    let refused = Request::modern_call("test_simple_text", json!({}));
    let refused = refused.field("Origin", "http://evil.example");
    while end.recv_timeout(PACE) == Err(RecvTimeoutError::Timeout) {
        for tool in [
            "test_simple_text",
            "test_simple_text",
            "test_error_handling",
        ] {
            // A host without a free core may have them refused.
            connection.exchange(&Request::modern_call(tool, json!({})));
        }
        server.connect().exchange(&refused);
    }
}

#[test]
fn a_browser_shows_the_figures_of_a_server_that_goes_and_comes_back() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboard");
    let server = start();
    let mut browser = Command::new(node())
        .arg(home.join("dashboard.mjs"))
        .arg(server.metrics_address().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{error}: run ./perf-scripts/test.sh, which installs it"));
    let mut input = browser.stdin.take().expect("it is piped");
    let output = BufReader::new(browser.stdout.take().expect("it is piped"));
    let mut lines = output.lines().map_while(Result::ok);

    let (quiet, end) = channel();
    let used = &server;
    let first = thread::scope(|scope| {
        scope.spawn(move || make_requests(used, &end));
        let line = lines.next();
        drop(quiet);
        line
    });
    let mut servers = vec![server];
    let requests = first.into_iter().chain(&mut lines);
    let mut result = Vec::new();
    for line in requests {
        let answer = match line.as_str() {
            "quiet" => line,
            "kill" => {
                servers.clear();
                line
            }
            "start" => {
                servers.push(start());
                servers[0].metrics_address().to_string()
            }
            _ => {
                result.push(line);
                continue;
            }
        };
        writeln!(input, "{answer}").expect("it reads");
    }
    let ended = browser.wait().expect("it is our child");
    assert_eq!(result.join("\n"), "done", "{ended:?}");
    assert!(ended.success());
}

#[test]
fn each_metric_of_the_page_is_in_the_catalogue() {
    let name = Regex::new(r#""((?:corelane|mcp_server|process)_[a-z_]+)""#).expect("valid");
    let known: Vec<String> = families()
        .map(|family| match family.kind {
            FamilyType::Counter => format!("{}_total", family.name),
            FamilyType::Gauge => family.name.to_owned(),
            FamilyType::Histogram => format!("{}_bucket", family.name),
        })
        .collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/control/src/dashboard");
    let mut seen = 0;
    for file in std::fs::read_dir(folder).expect("the files of the page") {
        let path = file.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("text");
        for found in name.captures_iter(&text) {
            let found = &found[1];
            let is_known = match found.ends_with('_') {
                true => known.iter().any(|known| known.starts_with(found)),
                // The histograms of a shard are named without their suffix.
                false => known
                    .iter()
                    .any(|known| known == found || known.strip_suffix("_bucket") == Some(found)),
            };
            assert!(is_known, "{found} in {}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 30, "the pattern finds names: {seen}");
}
