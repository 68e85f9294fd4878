//! One upstream from its name to its tools, with a clock and answers of the test.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use corelane_gateway::catalog::ListKind;
use corelane_gateway::config;
use corelane_gateway::relay::{Failure, Reason, RelayedPart};
use corelane_protocol::mcp::era::Era;
use serde_json::{Value, json};
use socket2::SockAddr;

use super::super::backoff::WAIT_MAX;
use super::super::listener::Listen;
use super::{Place, Step, Tracked, Turn};
use crate::profile::Gateway;
use crate::upstream::board::{ControlAnswer, SubscriptionEvent};

struct Run {
    tracked: Tracked,
    now: Instant,
    settings: Gateway,
}

impl Run {
    fn new(lines: &str) -> Run {
        let text = format!("[[upstream]]\nname = \"up\"\nurl = \"http://127.0.0.1/\"\n{lines}");
        let upstream = config::parse(&text).expect("valid").remove(0);
        let now = Instant::now();
        let place = Place::Host("127.0.0.1".to_owned(), 80);
        Run {
            tracked: Tracked::new(3, upstream, vec![place], now),
            now,
            settings: Gateway::default(),
        }
    }

    /// Goes to the time at which something is due.
    fn wait(&mut self) -> Step {
        self.now = self.tracked.due();
        self.with(Tracked::handle_due)
    }

    fn with<T>(&mut self, handle: impl FnOnce(&mut Tracked, Turn<'_>) -> T) -> T {
        let turn = Turn {
            now: self.now,
            random: 0.0,
            settings: &self.settings,
        };
        handle(&mut self.tracked, turn)
    }

    fn address(&mut self) -> Step {
        let address: SocketAddr = "127.0.0.1:80".parse().expect("an address");
        let addresses = Ok(vec![Some(SockAddr::from(address))]);
        self.with(|it, turn| it.handle_addresses(addresses, turn))
    }

    fn answer(&mut self, result: &Value) -> Step {
        let part = RelayedPart::Result {
            json: result.to_string().into_bytes(),
            is_error: false,
        };
        self.message(part)
    }

    fn message(&mut self, part: RelayedPart) -> Step {
        let answer = ControlAnswer::Message(part);
        self.with(|it, turn| it.handle_answer(&answer, turn))
    }

    fn names(&self) -> Vec<String> {
        self.keys(ListKind::Tools)
    }

    fn keys(&self, kind: ListKind) -> Vec<String> {
        let entries = self.tracked.entries(kind).iter();
        entries.map(|(key, _)| key.to_string()).collect()
    }

    /// Reads a list of these tools from the start.
    fn read(&mut self, tools: &Value) -> Step {
        assert_eq!(self.wait(), Step::Resolve);
        let discover = Step::Request("server/discover", "{}".to_owned(), Era::Modern);
        assert_eq!(self.address(), discover);
        let list = Step::Request("tools/list", "{}".to_owned(), Era::Modern);
        assert_eq!(self.answer(&modern()), list);
        self.answer(&json!({ "tools": tools }))
    }
}

fn tools_changed() -> Step {
    Step::Changed(vec![ListKind::Tools])
}

fn modern() -> Value {
    json!({ "supportedVersions": ["2026-07-28", "2025-11-25"], "capabilities": { "tools": {} } })
}

fn tool(name: &str) -> Value {
    json!({ "name": name, "inputSchema": { "type": "object" } })
}

#[test]
fn lists_are_read_at_the_start_and_again_after_their_time() {
    let mut run = Run::new("");
    assert_eq!(run.read(&json!([tool("a")])), tools_changed());
    assert_eq!(run.names(), ["up_a"]);
    let refresh = Duration::from_millis(run.settings.refresh_ms);
    assert_eq!(run.tracked.due() - run.now, refresh);
    assert_eq!(run.read(&json!([tool("a")])), Step::Wait, "nothing changed");
    assert_eq!(run.read(&json!([tool("a"), tool("b")])), tools_changed());
    assert_eq!(run.names(), ["up_a", "up_b"]);
}

#[test]
fn all_pages_are_read() {
    let mut run = Run::new("");
    run.wait();
    run.address();
    run.answer(&modern());
    let next = run.answer(&json!({ "tools": [tool("a")], "nextCursor": "2\"" }));
    assert_eq!(
        next,
        Step::Request("tools/list", r#"{"cursor":"2\""}"#.to_owned(), Era::Modern)
    );
    assert_eq!(
        run.answer(&json!({ "tools": [tool("b")] })),
        tools_changed()
    );
    assert_eq!(run.names(), ["up_a", "up_b"]);
}

#[test]
fn a_failure_is_tried_again_ever_later_and_the_tools_stay_for_a_time() {
    let mut run = Run::new("");
    run.read(&json!([tool("a")]));
    let begun = run.now;
    let mut waits = Vec::new();
    let step = loop {
        assert_eq!(run.wait(), Step::Resolve);
        let refused = Err(std::io::Error::other("refused"));
        let step = run.with(|it, turn| it.handle_addresses(refused, turn));
        waits.push((run.tracked.due() - run.now).as_secs());
        if step != Step::Wait {
            break step;
        }
        assert_eq!(run.names(), ["up_a"]);
    };
    assert_eq!(waits[..6], [1, 2, 4, 8, 16, 30]);
    assert_eq!(waits.iter().max(), Some(&WAIT_MAX.as_secs()));
    assert_eq!(step, tools_changed());
    assert!(run.names().is_empty());
    let stale = run.now - begun;
    let stale_max = Duration::from_millis(run.settings.stale_ms);
    assert!(
        stale > stale_max && stale < stale_max + 2 * WAIT_MAX,
        "{stale:?}"
    );
    assert_eq!(run.read(&json!([tool("a")])), tools_changed());
}

#[test]
fn answers_that_are_none_fail_the_step() {
    let is_failed = |run: &Run| run.tracked.has_failed && run.names().is_empty();
    let initialize = Step::Request("initialize", "{}".to_owned(), Era::Legacy);
    for result in [
        json!({}),
        json!({ "supportedVersions": ["2025-11-25"], "capabilities": {} }),
    ] {
        let mut run = Run::new("");
        run.wait();
        run.address();
        assert_eq!(run.answer(&result), initialize, "it may be an older server");
        assert_eq!(run.answer(&json!({})), Step::Wait);
        assert!(is_failed(&run), "{result}");
        let mut modern = Run::new("era = \"modern\"\n");
        modern.wait();
        modern.address();
        assert_eq!(modern.answer(&result), Step::Wait);
        assert!(is_failed(&modern), "{result}");
    }
    let mut run = Run::new("");
    assert_eq!(run.read(&json!({})), Step::Wait);
    assert!(is_failed(&run));
    let mut run = Run::new("era = \"legacy\"\n");
    run.wait();
    assert_eq!(run.address(), initialize);
    let error = RelayedPart::Error(b"{}".to_vec());
    assert_eq!(run.message(error), Step::Wait);
    assert!(is_failed(&run));
    let mut run = Run::new("");
    run.wait();
    run.address();
    assert_eq!(run.wait(), Step::Wait, "no answer came");
    assert!(is_failed(&run));
}

#[test]
fn a_server_with_sessions_is_read_in_one_until_that_fails() {
    let mut run = Run::new("");
    run.wait();
    run.address();
    let failure = Failure::unsent(Reason::Protocol);
    let failed = |status| ControlAnswer::Failed {
        status: Some(status),
        failure: failure.clone(),
    };
    let step = run.with(|it, turn| it.handle_answer(&failed(400), turn));
    let initialize = Step::Request("initialize", "{}".to_owned(), Era::Legacy);
    assert_eq!(step, initialize);
    let described = json!({ "protocolVersion": "2025-06-18", "capabilities": { "tools": {} } });
    let list = Step::Request("tools/list", "{}".to_owned(), Era::Legacy);
    assert_eq!(run.answer(&described), list);
    assert_eq!(run.tracked.era(), Era::Legacy);
    assert_eq!(
        run.answer(&json!({ "tools": [tool("a")] })),
        tools_changed()
    );
    assert_eq!(run.wait(), Step::Resolve);
    assert_eq!(run.address(), list, "its session is open");
    let step = run.with(|it, turn| it.handle_answer(&failed(503), turn));
    assert_eq!(step, Step::Wait);
    assert_eq!(run.wait(), Step::Resolve);
    let discover = Step::Request("server/discover", "{}".to_owned(), Era::Modern);
    assert_eq!(run.address(), discover, "its era may be another one");
    let step = run.with(|it, turn| it.handle_answer(&failed(503), turn));
    assert_eq!(step, Step::Wait, "a server that is overloaded has no era");
    assert_eq!(run.names(), ["up_a"]);
}

#[test]
fn each_list_is_read_that_the_server_has() {
    let mut run = Run::new("");
    run.wait();
    run.address();
    let request = |method| Step::Request(method, "{}".to_owned(), Era::Modern);
    let described = json!({
        "supportedVersions": ["2026-07-28"],
        "capabilities": { "tools": null, "prompts": {}, "resources": {}, "completions": {} },
    });
    assert_eq!(run.answer(&described), request("prompts/list"));
    let prompts = json!({ "prompts": [{ "name": "p" }, { "title": "no name" }] });
    assert_eq!(run.answer(&prompts), request("resources/list"));
    let resources = json!({ "resources": [{ "uri": "a:b", "name": "n" }] });
    assert_eq!(run.answer(&resources), request("resources/templates/list"));
    let lacks = RelayedPart::Error(br#"{"code":-32601,"message":"none"}"#.to_vec());
    let step = run.message(lacks);
    let changed = vec![ListKind::Prompts, ListKind::Resources];
    assert_eq!(step, Step::Changed(changed));
    assert!(!run.tracked.has_failed, "it has no templates");
    assert_eq!(run.keys(ListKind::Prompts), ["up_p"]);
    assert_eq!(run.keys(ListKind::Resources), ["a:b"]);
    let (_, prompt) = &run.tracked.entries(ListKind::Prompts)[0];
    assert!(prompt.has_completions);
}

#[test]
fn an_answer_that_comes_too_late_changes_nothing() {
    let mut run = Run::new("");
    run.read(&json!([tool("a")]));
    assert_eq!(run.answer(&json!({ "tools": [] })), Step::Wait);
    assert_eq!(run.address(), Step::Wait);
    assert_eq!(run.names(), ["up_a"]);
}

#[test]
fn tools_that_no_request_can_be_made_for_are_hidden() {
    let mut run = Run::new("tools = { exclude = [\"hidden\"] }\n");
    let annotated = |kind: &str| {
        let property = json!({ "type": kind, "x-mcp-header": "A" });
        json!({ "type": "object", "properties": { "a": property } })
    };
    let tools = json!([
        tool("hidden"),
        { "name": "no schema" },
        { "name": "array", "inputSchema": annotated("array") },
        { "name": "text", "inputSchema": annotated("string") },
        tool("seen"),
    ]);
    assert_eq!(run.read(&tools), tools_changed());
    assert_eq!(run.names(), ["up_text", "up_seen"]);
    let mut without = Run::new("");
    without.wait();
    without.address();
    let none = json!({ "supportedVersions": ["2026-07-28"], "capabilities": {} });
    assert_eq!(without.answer(&none), Step::Wait);
    assert!(!without.tracked.has_failed);
}

#[test]
fn a_change_that_the_upstream_reports_is_read_at_most_once_a_second() {
    let mut run = Run::new("");
    run.wait();
    run.address();
    let described = json!({
        "supportedVersions": ["2026-07-28"], "capabilities": { "tools": { "listChanged": true } },
    });
    run.answer(&described);
    let params = r#"{"notifications":{"toolsListChanged":true}}"#.to_owned();
    assert_eq!(run.wait(), Step::Listen(Listen::Begin(1, params)));
    let begun = run.now;
    run.answer(&json!({ "tools": [] }));
    for event in [
        SubscriptionEvent::Acknowledged,
        SubscriptionEvent::ListChanged,
    ] {
        run.with(|it, turn| it.handle_subscription(1, event, turn));
    }
    assert_eq!(run.wait(), Step::Resolve);
    assert_eq!(run.now - begun, Duration::from_secs(1));
    // A change while the lists are read makes them be read once more.
    run.with(|it, turn| it.handle_subscription(1, SubscriptionEvent::ListChanged, turn));
    run.address();
    run.answer(&described);
    run.answer(&json!({ "tools": [tool("a")] }));
    assert_eq!(run.wait(), Step::Resolve);
    assert_eq!(run.now - begun, Duration::from_secs(2));
    run.address();
    run.answer(&described);
    run.answer(&json!({ "tools": [tool("a")] }));
    let refresh = Duration::from_millis(run.settings.refresh_ms);
    assert_eq!(
        run.tracked.due() - run.now,
        refresh,
        "nothing has changed since"
    );
}

#[test]
fn lists_that_have_expired_are_read_when_a_client_uses_them() {
    let mut run = Run::new("");
    run.wait();
    run.address();
    run.answer(&modern());
    run.answer(&json!({ "tools": [tool("a")], "ttlMs": 5000 }));
    let read_at = run.now;
    run.tracked.handle_expired_use(run.now);
    assert_eq!(run.wait(), Step::Expire, "they were fresh");
    assert_eq!(run.now - read_at, Duration::from_millis(5000));
    let refresh = Duration::from_millis(run.settings.refresh_ms);
    assert_eq!(run.tracked.due() - read_at, refresh, "no client uses them");
    run.now += Duration::from_secs(3);
    run.tracked.handle_expired_use(run.now);
    assert_eq!(run.tracked.due(), run.now);
    assert_eq!(run.wait(), Step::Resolve);
}
