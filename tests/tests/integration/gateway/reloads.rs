//! Reloads of the set of upstreams: none that stays notices them, and no call is lost.

use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use corelane_tests::mock_upstream::{Act, MockUpstream, result_of};
use corelane_tests::request::CAPABILITIES_KEY;
use corelane_tests::{Connection, EventStream, Item, Request, Session, Setup, binary, wait_until};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::task_client::Client;
use super::task_upstream::{Course, Era, Upstream};
use super::{EMPTY, Gateway, empty, names, questions};

/// Reloads of the test under load, unless `CORELANE_RELOADS` has another number.
const RELOADS: usize = 20;
/// Clients that call all the time.
const CLIENTS: usize = 4;

/// A gateway that takes other sections over.
struct Reloaded {
    gateway: Gateway,
    sockets: TempDir,
}

impl Reloaded {
    fn start(sections: &str, setup: Setup) -> Reloaded {
        let sockets = TempDir::new().expect("a directory");
        let socket = sockets.path().join("control.sock");
        let socket = socket.to_str().expect("a path of text");
        let setup = setup.arguments(&["--control-socket", socket]);
        Reloaded {
            gateway: Gateway::start_with(sections, setup),
            sockets,
        }
    }

    /// Writes the sections and reloads.
    fn run(&self, sections: &str, arguments: &[&str]) -> Output {
        self.gateway.write(sections);
        let mut command = Command::new(binary());
        command.args(["reload", "--within", "20s", "--wait", "--json"]);
        let socket = self.sockets.path().join("control.sock");
        let output = command.args(arguments).arg("--socket").arg(socket).output();
        output.expect("the program")
    }

    /// A reload that is in use. Returns the changes of upstreams.
    #[track_caller]
    fn reload(&self, sections: &str) -> String {
        let output = self.run(sections, &[]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        changes(&output)
    }
}

/// The changes of upstreams that a reload prints.
fn changes(output: &Output) -> String {
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let rows = answer["upstreams"].as_array().expect("a list");
    let words = rows.iter().map(|row| {
        let (name, change) = (row["name"].as_str(), row["change"].as_str());
        format!("{} {}", name.expect("a name"), change.expect("a change"))
    });
    words.collect::<Vec<_>>().join(", ")
}

/// Calls of a mock that wait until a test lets them go on.
#[derive(Default)]
struct Gate {
    waiting: AtomicUsize,
    is_open: AtomicBool,
}

/// A mock with the tools "call" and "slow", whose calls of "slow" wait.
fn mock(gate: &Arc<Gate>) -> MockUpstream {
    let gate = Arc::clone(gate);
    MockUpstream::with_tools(&["call", "slow"], move |received| {
        if received.message()["params"]["name"] == "slow" {
            gate.waiting.fetch_add(1, Ordering::Relaxed);
            wait_until("the gate opens", || {
                gate.is_open.load(Ordering::Relaxed).then_some(())
            });
        }
        Act::Send(result_of(received, EMPTY))
    })
}

fn steady() -> MockUpstream {
    MockUpstream::with_tools(&["call", "slow"], |received| {
        Act::Send(result_of(received, EMPTY))
    })
}

fn call(connection: &mut Connection, name: &str) -> Value {
    let request = Request::modern_call(name, json!({}));
    connection.exchange(&request).answer()
}

fn wait_until_gone(gateway: &Gateway, name: &str) {
    let mut connection = gateway.connect();
    wait_until("the tool is gone", || {
        let names = names(&mut connection);
        (!names.iter().any(|it| it == name)).then_some(())
    });
}

/// A program that all clients share.
fn program(name: &str) -> String {
    let script = super::programs::script().display().to_string();
    let command = ["sh", &script];
    format!("[[upstream]]\nname = \"{name}\"\ncommand = {command:?}\nsessions = \"shared\"\n")
}

fn process(connection: &mut Connection, tool: &str) -> String {
    let answer = call(connection, tool);
    let text = answer["result"]["content"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[test]
fn upstreams_are_added_changed_and_removed_and_others_keep_their_links_and_processes() {
    let (one, two) = (steady(), steady());
    let stays = program("own") + &one.section("one");
    let reloaded = Reloaded::start(&stays, Setup::shards(1));
    let gateway = &reloaded.gateway;
    gateway.wait_for("own_call");
    gateway.wait_for("one_call");
    let mut connection = gateway.connect();
    let own = process(&mut connection, "own_call");
    assert_eq!(call(&mut connection, "one_call")["result"], empty());
    let link = one.received_of("tools/call")[0].connection;

    assert_eq!(reloaded.reload(&stays), "");
    let both = stays.clone() + &two.section("two");
    assert_eq!(changes(&reloaded.run(&both, &["--check"])), "two added");
    assert_eq!(reloaded.reload(&both), "two added");
    gateway.wait_for("two_call");
    assert_eq!(call(&mut connection, "two_call")["result"], empty());
    let renamed = stays.clone() + &two.section("two") + "prefix = \"x_\"\n";
    assert_eq!(reloaded.reload(&renamed), "two changed");
    gateway.wait_for("x_call");
    let connections = two.connections();
    assert_eq!(call(&mut connection, "x_call")["result"], empty());
    assert_eq!(two.connections(), connections, "its links stay");
    let hidden = stays.clone() + &two.section("two") + "tools = { exclude = [\"c*\"] }\n";
    assert_eq!(reloaded.reload(&hidden), "two changed");
    assert_eq!(call(&mut connection, "x_call")["error"]["code"], -32602);
    gateway.wait_for("two_slow");
    assert_eq!(reloaded.reload(&stays), "two removed");
    wait_until_gone(gateway, "two_slow");
    assert_eq!(call(&mut connection, "two_slow")["error"]["code"], -32602);

    assert_eq!(process(&mut connection, "own_call"), own);
    assert_eq!(call(&mut connection, "one_call")["result"], empty());
    let calls = one.received_of("tools/call");
    assert_eq!(calls.last().map(|it| it.connection), Some(link));
    let stops = one.section("one");
    assert_eq!(reloaded.reload(&stops), "own removed");
    super::programs::wait_for_end(&own);
}

#[test]
fn a_call_ends_where_it_began_and_the_next_one_goes_to_the_upstream_in_its_place() {
    let gate = Arc::<Gate>::default();
    let (before, after) = (mock(&gate), steady());
    let reloaded = Reloaded::start(&before.section("up"), Setup::shards(1));
    reloaded.gateway.wait_for("up_call");
    let mut slow = reloaded.gateway.connect();
    slow.send(&Request::modern_call("up_slow", json!({})));
    wait_until("the call is there", || {
        (gate.waiting.load(Ordering::Relaxed) == 1).then_some(())
    });
    assert_eq!(reloaded.reload(&after.section("up")), "up changed");
    let mut connection = reloaded.gateway.connect();
    wait_until("the other one serves", || {
        assert_eq!(call(&mut connection, "up_call")["result"], empty());
        (!after.received_of("tools/call").is_empty()).then_some(())
    });
    gate.is_open.store(true, Ordering::Relaxed);
    assert_eq!(slow.read_response().answer()["result"], empty());
    let slow =
        |it: &&corelane_tests::mock_upstream::Received| it.message()["params"]["name"] == "slow";
    let (one, other) = (
        before.received_of("tools/call"),
        after.received_of("tools/call"),
    );
    assert_eq!(one.iter().filter(slow).count(), 1);
    assert_eq!(other.iter().filter(slow).count(), 0);
    wait_until("nothing of it is left", || {
        let log = reloaded.gateway.server.log();
        log.contains("nothing is left of it").then_some(())
    });
}

#[test]
fn a_call_that_outlasts_its_upstream_fails_and_its_link_ends() {
    let removed = MockUpstream::with_tools(&["call"], |_| Act::SendAndWait(Vec::new()));
    let stays = steady();
    let setup = Setup::shards(1).profile("[gateway]\ndrain_ms = 50\n");
    let sections = stays.section("stays") + &removed.section("up");
    let reloaded = Reloaded::start(&sections, setup);
    reloaded.gateway.wait_for("up_call");
    let mut connection = reloaded.gateway.connect();
    connection.send(&Request::modern_call("up_call", json!({})));
    wait_until("the call is there", || {
        (removed.received_of("tools/call").len() == 1).then_some(())
    });
    assert_eq!(reloaded.reload(&stays.section("stays")), "up removed");
    let answer = connection.read_response().answer();
    let expected = json!({ "upstream": "up", "reason": "unavailable", "executed": "unknown" });
    assert_eq!(answer["error"]["data"], expected, "{answer}");
    let message = answer["error"]["message"].as_str().expect("a message");
    assert!(message.contains("gateway.drain_ms"), "{message}");
    removed.wait_for_left(1);
}

#[test]
fn a_file_with_a_fault_changes_nothing() {
    let mock = steady();
    let reloaded = Reloaded::start(&mock.section("up"), Setup::shards(1));
    reloaded.gateway.wait_for("up_call");
    let wrong = "[[upstream]]\nname = \"up\"\nurl = \"https://h/\"\nca_files = [\"/none\"]\n";
    let output = reloaded.run(wrong, &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let error = String::from_utf8_lossy(&output.stdout);
    assert!(error.contains("/none"), "{error}");
    let other = mock.section("up") + "forward_headers = [\"x-other\"]\n";
    let output = reloaded.run(&other, &[]);
    let error = String::from_utf8_lossy(&output.stdout);
    assert!(error.contains("x-other"), "{error}");
    let mut connection = reloaded.gateway.connect();
    assert_eq!(call(&mut connection, "up_call")["result"], empty());
}

#[test]
fn a_server_without_upstreams_takes_its_first_and_loses_its_last_one() {
    let mock = steady();
    for shards in [1, 2] {
        let reloaded = Reloaded::start("", Setup::shards(shards));
        let gateway = &reloaded.gateway;
        let mut connection = gateway.connect();
        let unknown = call(&mut connection, "up_call");
        assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
        assert_eq!(reloaded.reload(&mock.section("up")), "up added");
        gateway.wait_for("up_call");
        for _ in 0..2 * shards {
            let answer = call(&mut gateway.connect(), "up_call");
            assert_eq!(answer["result"], empty());
        }
        assert_eq!(reloaded.reload(""), "up removed");
        wait_until("it is hidden", || {
            let answer = call(&mut connection, "up_call");
            (answer["error"]["code"] == -32602).then_some(())
        });
        assert_eq!(reloaded.reload(&mock.section("other")), "other added");
        gateway.wait_for("other_call");
    }
}

/// A legacy client's stream of changes. That of a modern client ends with a reload of the file, as
/// its permission may.
fn listen(gateway: &Gateway) -> EventStream {
    let session = Session::open(&mut gateway.connect());
    let mut stream = gateway.connect();
    stream.send(&session.stream());
    EventStream::begin(stream)
}

#[test]
fn clients_are_notified_once_of_what_they_see_and_never_of_what_they_do_not() {
    let mocks = [steady(), steady(), steady()];
    let moved = |at: usize| mocks[at].section("up");
    let more = mocks[2].section("more");
    let reloaded = Reloaded::start(&moved(0), Setup::shards(2));
    let gateway = &reloaded.gateway;
    gateway.wait_for("up_call");
    let mut stream = listen(gateway);
    let mut connection = gateway.connect();
    assert_eq!(reloaded.reload(&moved(1)), "up changed");
    wait_until("the other one serves", || {
        call(&mut connection, "up_call");
        (!mocks[1].received_of("tools/call").is_empty()).then_some(())
    });
    for sections in [moved(1) + &more, moved(1)] {
        reloaded.reload(&sections);
        let message = stream.next_message();
        assert_eq!(message["method"], "notifications/tools/list_changed");
    }
    let next = stream.try_next_item(Duration::from_millis(50));
    assert!(!matches!(next, Ok(Item::Message(_))), "{next:?}");
}

/// Calls `tools` in turn on one connection until `is_over`. Returns the calls of the first one.
fn keep_calling(mut connection: Connection, tools: &[&str], is_over: &AtomicBool) -> usize {
    let mut calls = 0;
    while !is_over.load(Ordering::Relaxed) {
        for (at, tool) in tools.iter().enumerate() {
            let answer = call(&mut connection, tool);
            match at {
                // It comes and goes.
                2 if answer["error"]["code"] == -32602 => {}
                _ => assert!(answer["result"].is_object(), "{tool}: {answer}"),
            }
        }
        calls += 1;
    }
    calls
}

#[test]
fn the_state_and_the_tasks_of_an_upstream_are_not_those_of_another_one_with_its_name() {
    let state = Some("\"s\"");
    let (before, after) = (questions::elicits(state), questions::elicits(state));
    let tasks = Arc::new(Upstream::new(Era::Modern));
    let of_mock = Arc::clone(&tasks);
    let first = MockUpstream::start(move |received| of_mock.answer(received));
    let sections = |up: &MockUpstream| up.section("up") + &before.section("other");
    let reloaded = Reloaded::start(&sections(&before), Setup::shards(1));
    reloaded.gateway.wait_for("up_call");
    let mut connection = reloaded.gateway.connect();
    let call = |more: Value| {
        let mut params = json!({ "name": "up_call", "arguments": {} });
        for (name, value) in more.as_object().into_iter().flatten() {
            params[name] = value.clone();
        }
        let capabilities = json!({ "elicitation": {} });
        Request::modern(1, "tools/call", params).meta(CAPABILITIES_KEY, capabilities)
    };
    let first_answer = connection.exchange(&call(json!({}))).answer();
    let state = &first_answer["result"]["requestState"];
    assert!(state.is_string(), "{first_answer}");
    // The one before serves until the lists of the next one are read.
    let taken_over = |connection: &mut Connection, mock: &MockUpstream| {
        let called = mock.received_of("tools/call").len();
        wait_until("the upstream is another one", || {
            connection.exchange(&call(json!({})));
            (mock.received_of("tools/call").len() > called).then_some(())
        });
        mock.received_of("tools/call").len()
    };
    reloaded.reload(&sections(&after));
    let called = taken_over(&mut connection, &after);
    let responses = json!({ "name": { "action": "accept" } });
    let retry = call(json!({ "requestState": state, "inputResponses": responses }));
    let refused = connection.exchange(&retry).answer();
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    assert_eq!(after.received_of("tools/call").len(), called);

    reloaded.reload(&sections(&first));
    let plain = Request::modern_call("up_call", json!({ "case": "Forever" }));
    wait_until("the upstream has tasks", || {
        connection.exchange(&plain);
        (!first.received_of("tools/call").is_empty()).then_some(())
    });
    let mut client = Client::new(&reloaded.gateway, Era::Modern, true);
    let task = client.call(Course::Forever).expect("a task");
    reloaded.reload(&sections(&after));
    taken_over(&mut connection, &after);
    let unknown = client.about("tasks/get", &task);
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
}

#[test]
fn no_call_is_lost_in_reloads_with_changes_of_every_kind() {
    let reloads = std::env::var("CORELANE_RELOADS");
    let reloads = reloads.map_or(RELOADS, |it| it.parse().expect("a number"));
    let (moving, comes, seen) = ([steady(), steady()], steady(), steady());
    let section = |number: usize| {
        let mut sections = program("own") + &moving[number % 2].section("moving");
        if number.is_multiple_of(3) {
            sections += &comes.section("comes");
        }
        sections += &seen.section("seen");
        match number % 4 {
            0 => sections + "tools = { exclude = [\"slow\"] }\n",
            1 => sections + "headers = { \"X-Version\" = \"1\" }\n",
            _ => sections,
        }
    };
    let reloaded = Reloaded::start(&section(0), Setup::shards(2));
    let gateway = &reloaded.gateway;
    for tool in ["own_call", "moving_call", "comes_call", "seen_call"] {
        gateway.wait_for(tool);
    }
    // Each shard has a process of it, and a connection stays on its shard.
    let mut kept = gateway.connect();
    let own = process(&mut kept, "own_call");
    let (is_over, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let tools = ["moving_call", "seen_call", "comes_call", "own_call"];
                let made = keep_calling(gateway.connect(), &tools, &is_over);
                calls.fetch_add(made, Ordering::Relaxed);
            });
        }
        for number in 1..=reloads {
            reloaded.reload(&section(number));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let calls = calls.into_inner();
    assert!(calls >= CLIENTS, "{calls}");
    let executed = moving.iter().map(|it| it.received_of("tools/call").len());
    assert_eq!(executed.sum::<usize>(), calls, "each once");
    assert_eq!(process(&mut kept, "own_call"), own);
}
