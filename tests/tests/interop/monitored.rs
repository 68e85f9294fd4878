//! The files of `deploy/` for Prometheus and Grafana: each name in them is in the catalogue, the
//! alerts keep their tests, and a real Prometheus scrapes a server under load and evaluates all
//! expressions.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use corelane::meter::catalogue::{FamilyType, families};
use corelane_tests::{EventStream, Request, Server, Session, Setup, wait_until};
use regex::Regex;
use serde_json::{Value, json};

fn deployed(name: &str) -> String {
    format!("{}/../deploy/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn text_of(name: &str) -> String {
    std::fs::read_to_string(deployed(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The expressions of the dashboard, with what Grafana puts in the place of its variables.
fn expressions() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&text_of("grafana/corelane.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("a list");
    let mut found = Vec::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().expect("a title");
        assert!(
            panel["description"]
                .as_str()
                .is_some_and(|it| !it.is_empty()),
            "{title}"
        );
        assert!(
            panel["fieldConfig"]["defaults"]["unit"].is_string(),
            "{title}"
        );
        let targets = panel["targets"].as_array().expect("a list");
        assert!(!targets.is_empty(), "{title}");
        for target in targets {
            let expression = target["expr"].as_str().expect("an expression");
            let expression = expression
                .replace("$__rate_interval", "1m")
                .replace("$job", ".*")
                .replace("$instance", ".*");
            assert!(!expression.contains('$'), "{expression}");
            found.push((title.to_owned(), expression));
        }
    }
    found
}

#[test]
fn each_name_is_in_the_catalogue() {
    let mut known = BTreeSet::new();
    for family in families() {
        // As annotations name it.
        known.insert(family.name.to_owned());
        let suffixes: &[&str] = match family.kind {
            FamilyType::Counter => &["_total"],
            FamilyType::Gauge => &[""],
            FamilyType::Histogram => &["_bucket", "_count", "_sum"],
        };
        known.extend(
            suffixes
                .iter()
                .map(|suffix| format!("{}{suffix}", family.name)),
        );
    }
    let labels: BTreeSet<&str> = families()
        .flat_map(|family| family.labels)
        .copied()
        .collect();
    let name =
        Regex::new(r"\b(?:corelane|mcp_server|http_server|process)_[a-z_]+\b").expect("valid");
    let by = Regex::new(r"\b(?:by|on) \(([a-z_, ]+)\)").expect("valid");
    let of_prometheus = ["job", "instance", "le", "shard"];
    let mut seen = 0;
    for file in [
        "prometheus/corelane.rules.yml",
        "prometheus/corelane.rules.test.yml",
        "grafana/corelane.json",
    ] {
        let text = text_of(file);
        for found in name.find_iter(&text) {
            assert!(known.contains(found.as_str()), "{file}: {}", found.as_str());
            seen += 1;
        }
        for group in by.captures_iter(&text) {
            for label in group[1]
                .split(',')
                .map(str::trim)
                .filter(|it| !it.is_empty())
            {
                let is_known = labels.contains(label) || of_prometheus.contains(&label);
                assert!(is_known, "{file}: {label}");
            }
        }
    }
    assert!(seen > 100, "the pattern finds names: {seen}");
}

#[test]
fn promtool_accepts_the_rules_and_their_tests() {
    for arguments in [
        ["check", "config", "prometheus/prometheus.yml"],
        ["check", "rules", "prometheus/corelane.rules.yml"],
        ["test", "rules", "prometheus/corelane.rules.test.yml"],
    ] {
        let [first, second, file] = arguments;
        let output = Command::new("promtool")
            .args([first, second, &deployed(file)])
            .output()
            .expect("perf-scripts/test.sh installs promtool");
        let said = [output.stdout, output.stderr].concat();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&said)
        );
    }
    // Each alert has a test, and each leads to a section of the manual.
    let rules = text_of("prometheus/corelane.rules.yml");
    let tests = text_of("prometheus/corelane.rules.test.yml");
    let manual =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operation.md"));
    let manual = manual.expect("the manual");
    let headings = manual.lines().filter_map(|line| line.strip_prefix("## "));
    let headings: Vec<String> = headings
        .map(|it| it.to_lowercase().replace(' ', "-"))
        .collect();
    let alerts = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    for alert in alerts {
        assert!(tests.contains(&format!("- name: {alert}\n")), "{alert}");
    }
    for line in rules.lines().filter(|line| line.contains("runbook_url")) {
        let (_, heading) = line.split_once('#').expect("a section");
        assert!(
            headings.iter().any(|it| it == heading),
            "{heading}: {headings:?}"
        );
    }
}

/// A Prometheus that ends with its owner.
struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    /// Scrapes `target` each second.
    fn start(folder: &Path, target: SocketAddr) -> Prometheus {
        let rules = deployed("prometheus/corelane.rules.yml");
        let settings = json!({
            "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
            "rule_files": [rules],
            "scrape_configs": [{
                "job_name": "corelane",
                "static_configs": [{ "targets": [target.to_string()] }],
            }],
        });
        let file = folder.join("prometheus.yml");
        // JSON is YAML.
        std::fs::write(&file, settings.to_string()).expect("a file");
        let mut child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("data").display()
            ))
            .arg("--web.listen-address=127.0.0.1:0")
            .arg("--enable-feature=exemplar-storage")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("perf-scripts/test.sh installs prometheus");
        let log = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut lines = log.lines().map_while(Result::ok);
        let address = lines.find_map(|line| {
            let (_, address) = line.split_once("msg=\"Listening on\" address=")?;
            address.trim().parse().ok()
        });
        // The rest of the log is read, so that its pipe does not fill up.
        std::thread::spawn(move || lines.count());
        let prometheus = Prometheus {
            child,
            address: address.expect("it listens"),
        };
        // It listens before it has loaded its data, and refuses queries until then.
        wait_until("Prometheus to be ready", || {
            let url = format!("http://{}/-/ready", prometheus.address);
            let mut curl = Command::new("curl");
            let ready = curl.args(["--silent", "--fail", "--max-time", "5", &url]);
            let output = ready.output().expect("perf-scripts/test.sh installs curl");
            output.status.success().then_some(())
        });
        prometheus
    }

    /// The result of an expression.
    fn query(&self, expression: &str) -> Vec<Value> {
        let answer = self.read(
            "query",
            &["--data-urlencode", &format!("query={expression}")],
        );
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        answer["data"]["result"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    }

    /// An answer of its API.
    fn read(&self, path: &str, parameters: &[&str]) -> Value {
        let url = format!("http://{}/api/v1/{path}", self.address);
        let output = Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--get",
                "--max-time",
                "30",
                &url,
            ])
            .args(parameters)
            .output()
            .expect("perf-scripts/test.sh installs curl");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {output:?}"))
    }

    fn number(&self, expression: &str) -> Option<f64> {
        let result = self.query(expression);
        result.first()?["value"][1].as_str()?.parse().ok()
    }
}

/// Series that may come up late: those of the reasons of rare events.
const SERIES_OF_CHANCE: u32 = 60;

/// Makes requests of both eras: tools, failures, refusals, sessions, and a stream that ends.
fn make_requests(server: &Server) {
    let mut connection = server.connect();
    for tool in [
        "test_simple_text",
        "test_error_handling",
        "test_panic",
        "no_such_tool",
    ] {
        let call = Request::modern_call(tool, json!({}));
        assert_eq!(connection.exchange(&call).status(), 200, "{tool}");
    }
    let refused = Request::modern_call("test_simple_text", json!({}));
    let refused = refused.field("Origin", "http://evil.example");
    assert_eq!(connection.exchange(&refused).status(), 403);
    let session = Session::open(&mut connection);
    let mut stream = server.connect();
    stream.send(&session.stream());
    drop(EventStream::begin(stream));
    assert!(connection.exchange(&session.delete()).status() < 300);
}

/// However often it fails, the tool that panics is called: its refusals would be other series. Each
/// call has a span, which no collector takes.
const SETTINGS: &str = "[tools]\nfailures_max = 0\n[trace]\none_in = 1\n\
                        endpoint = \"http://127.0.0.1:1/v1/traces\"";

/// Prometheus has the traces of calls.
fn check_exemplars(prometheus: &Prometheus) {
    let exemplars = wait_until("exemplars", || {
        let query = "query=mcp_server_operation_duration_seconds_bucket";
        let parameters = [
            "--data-urlencode",
            query,
            "--data",
            "start=0&end=4102444800",
        ];
        let found = prometheus.read("query_exemplars", &parameters)["data"].take();
        let series = found.as_array().filter(|it| !it.is_empty())?;
        let all = series.iter();
        let all = all.filter_map(|it| it["exemplars"].as_array().cloned());
        Some(all.flatten().collect::<Vec<Value>>())
    });
    for exemplar in exemplars {
        let trace_id = exemplar["labels"]["trace_id"].as_str().unwrap_or_default();
        assert_eq!(trace_id.len(), 32, "{exemplar}");
    }
}

#[test]
fn prometheus_scrapes_a_server_and_evaluates_all_expressions() {
    let folder = tempfile::tempdir().expect("a directory");
    let server = Setup::shards(2)
        .profile(SETTINGS)
        .arguments(&["--metrics", "127.0.0.1:0"])
        .start();
    make_requests(&server);
    let prometheus = Prometheus::start(folder.path(), server.metrics_address());
    // A scrape on a host without a free core may be late and fail; these are the others.
    let wait_for_scrapes = |count: u32| {
        wait_until(&format!("scrape {count}"), || {
            make_requests(&server);
            let scrapes = prometheus.number("sum_over_time(up[10m])")?;
            let samples = prometheus.number("scrape_samples_scraped")?;
            (scrapes >= f64::from(count) && samples > 0.0).then_some(samples)
        })
    };
    let before = (1..=3).map(wait_for_scrapes).last().expect("three");
    // The requests are the same ones all the time, and many more than these series.
    (0..SERIES_OF_CHANCE).for_each(|_| make_requests(&server));
    let after = (4..=10).map(wait_for_scrapes).last().expect("ten");
    assert!(
        after <= before + f64::from(SERIES_OF_CHANCE),
        "the series grow from {before} to {after}"
    );
    let calls = wait_until("the calls in the past", || {
        prometheus
            .number("sum(corelane_calls_total{outcome=\"ok\"})")
            .filter(|it| *it > 0.0)
    });
    assert!(calls >= 10.0, "{calls}");
    wait_until("the target to be up", || {
        let targets = prometheus.read("targets", &[]);
        let active = &targets["data"]["activeTargets"][0];
        (active["health"] == "up" && active["lastError"] == "").then_some(())
    });

    check_exemplars(&prometheus);
    wait_until("the rules", || {
        let rules = prometheus.read("rules", &[]);
        let groups = rules["data"]["groups"].as_array()?;
        let mut all = groups
            .iter()
            .filter_map(|group| group["rules"].as_array())
            .flatten();
        let count = all.clone().count();
        let is_done = all.all(|rule| {
            assert_ne!(rule["health"], "err", "{rule}");
            rule["health"] == "ok"
        });
        (is_done && count > 20).then_some(())
    });
    // Some panels have something only in trouble, or under a quota.
    let quiet = [
        "Throttling",
        "Deadlines that passed",
        "Connections that end",
    ];
    for (title, expression) in expressions() {
        let may_be_empty =
            quiet.contains(&&*title) || expression.contains("corelane_calls_refused");
        wait_until(&format!("a value of {title:?}, {expression}"), || {
            let found = prometheus.query(&expression);
            (!found.is_empty() || may_be_empty).then_some(())
        });
    }
}
