//! `corelane upstreams`: the state of upstreams through the control socket.

use std::process::{Command, Output};

use corelane_tests::mock_upstream::{Act, MockUpstream, result_of};
use corelane_tests::{Request, Setup, binary, wait_until};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{EMPTY, Gateway};

/// A gateway with a control socket.
struct Inspected {
    gateway: Gateway,
    folder: TempDir,
}

impl Inspected {
    fn start(sections: &str) -> Inspected {
        let folder = TempDir::new().expect("a directory");
        let socket = folder.path().join("control.sock");
        let socket = socket.to_str().expect("a path of text");
        let setup = Setup::shards(2).arguments(&["--control-socket", socket]);
        Inspected {
            gateway: Gateway::start_with(sections, setup),
            folder,
        }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.arg("upstreams").args(arguments).arg("--socket");
        let output = command
            .arg(self.folder.path().join("control.sock"))
            .output();
        output.expect("the program")
    }

    /// The upstreams by name, and the exit code.
    fn upstreams(&self) -> (Value, Option<i32>) {
        let output = self.run(&["--json"]);
        let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let rows = answer["upstreams"].as_array().expect("a list").iter();
        let by_name = rows.map(|row| (row["name"].as_str().expect("a name"), row.clone()));
        (by_name.collect(), output.status.code())
    }
}

fn mock() -> MockUpstream {
    MockUpstream::with_tools(&["call"], |received| Act::Send(result_of(received, EMPTY)))
}

#[test]
fn the_state_of_each_upstream_is_shown_with_its_conditions() {
    let up = MockUpstream::with_tools(&["call"], |_| Act::SendAndWait(Vec::new()));
    let same = mock();
    let down = MockUpstream::start(|_| {
        Act::Send(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n".to_vec())
    });
    let program = super::programs::section("own", &[], "");
    let sections = up.section("up") + &same.section("same") + "prefix = \"up_\"\n";
    let inspected = Inspected::start(&(sections + &program + &down.section("down")));
    // Until then the name belongs to the other one.
    wait_until("it is read", || {
        let (rows, _) = inspected.upstreams();
        (rows["up"]["state"] == "fresh").then_some(())
    });
    inspected.gateway.wait_for("up_call");
    inspected.gateway.wait_for("own_call");
    let mut connection = inspected.gateway.connect();
    connection.send(&Request::modern_call("up_call", json!({})));
    wait_until("the call is there", || {
        (up.received_of("tools/call").len() == 1).then_some(())
    });
    let (rows, code) = wait_until("all have answered", || {
        let (rows, code) = inspected.upstreams();
        let is_hidden = rows["same"]["conditions"] == json!(["names_hidden"]);
        (is_hidden && rows["down"]["state"] == "failed").then_some((rows, code))
    });
    assert_eq!(code, Some(1), "conditions hold");
    let row = &rows["up"];
    let expected = json!({
        "name": "up", "number": 0, "stage": "serves", "state": "fresh", "era": "modern",
        "conditions": [], "hidden": [], "cut": [], "changed": [],
        "credential_error": null, "last_error": null, "last_error_age_s": null,
        "standard_error": [],
        "entries": { "tools": 1, "prompts": 0, "resources": 0, "templates": 0 },
        "catalog_age_s": row["catalog_age_s"], "shards": row["shards"],
    });
    assert_eq!(*row, expected);
    let shards = row["shards"].as_array().expect("a list");
    assert_eq!(shards.len(), 2);
    let sum = |part: &str| -> u64 { shards.iter().filter_map(|it| it[part].as_u64()).sum() };
    assert!(sum("links") >= 1 && sum("calls") == 1, "{row}");
    assert_eq!(shards[0]["breaker"], "closed");
    let hidden = rows["same"]["hidden"][0].as_str().expect("a text");
    assert!(hidden.contains("up_call"), "{hidden}");
    let down = &rows["down"];
    assert_eq!(down["conditions"], json!(["upstream_down"]));
    assert!(down["last_error"].is_string(), "{down}");
    assert_eq!(
        (&down["era"], &down["catalog_age_s"]),
        (&Value::Null, &Value::Null)
    );
    let lines = rows["own"]["standard_error"].as_array().expect("a list");
    let line = lines[0].as_str().expect("a text");
    assert!(line.starts_with("started "), "{line}");
    assert_eq!(rows["own"]["era"], "legacy");

    let one = inspected.run(&["own"]);
    let text = String::from_utf8_lossy(&one.stdout);
    assert_eq!(one.status.code(), Some(0), "{text}");
    assert!(text.contains("standard error: started "), "{text}");
    let table = inspected.run(&[]);
    let text = String::from_utf8_lossy(&table.stdout);
    assert_eq!(text.lines().count(), 5, "{text}");
    let none = inspected.run(&["none"]);
    assert_eq!(none.status.code(), Some(1));
}

#[test]
fn the_lists_of_an_upstream_are_read_again_on_request() {
    let mock = mock();
    let inspected = Inspected::start(&mock.section("up"));
    inspected.gateway.wait_for("up_call");
    let reads = mock.received_of("tools/list").len();
    let output = inspected.run(&["refresh", "up"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    wait_until("they are read", || {
        (mock.received_of("tools/list").len() > reads).then_some(())
    });
    assert_eq!(inspected.run(&["refresh", "other"]).status.code(), Some(1));
}
