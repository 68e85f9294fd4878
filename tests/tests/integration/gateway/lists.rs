//! The lists of many upstreams, and the notice to clients about those that are missing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use corelane_io::rng::Rng;
use corelane_tests::mock_upstream::{Act, MockUpstream, Received, result_of};
use corelane_tests::{Connection, Request, Session, Setup, wait_until};
use serde_json::{Value, json};

use super::{EMPTY, Gateway};

/// The key of the upstreams whose lists are missing or old.
const OUTCOMES: &str = "corelane/upstreams";

fn list(connection: &mut Connection) -> Value {
    let request = Request::modern("list", "tools/list", json!({}));
    connection.exchange(&request).answer()
}

fn ready(connection: &mut Connection) -> (u16, Value) {
    let answered = connection.exchange(&Request::new("GET").path("/ready"));
    (answered.status(), answered.json())
}

/// A mock that resets each connection while the flag is set.
fn switchable(is_down: &Arc<AtomicBool>) -> MockUpstream {
    let is_down = Arc::clone(is_down);
    let tool = json!({ "name": "call", "inputSchema": { "type": "object" } });
    MockUpstream::start(move |received| {
        if is_down.load(Ordering::Relaxed) {
            return Act::Reset;
        }
        let message = received.message();
        let result = match message["method"].as_str() {
            Some("server/discover") => json!({
                "resultType": "complete", "supportedVersions": ["2026-07-28"],
                "capabilities": { "tools": {} },
            }),
            Some("tools/list") => {
                // It is read again with each use.
                json!({ "resultType": "complete", "ttlMs": 0, "tools": [tool] })
            }
            _ => return Act::Send(result_of(received, EMPTY)),
        };
        Act::Send(result_of(received, &result.to_string()))
    })
}

#[test]
fn the_lists_of_a_required_upstream_are_waited_for_by_readiness_and_lists() {
    let is_down = Arc::new(AtomicBool::new(true));
    let required = switchable(&is_down);
    let other =
        MockUpstream::with_tools(&["call"], |received| Act::Send(result_of(received, EMPTY)));
    let sections = required.section("up") + "required = true\n" + &other.section("other");
    let gateway = Gateway::start(&sections);
    let mut connection = gateway.connect();
    let (status, body) = ready(&mut connection);
    let conditions = json!({ "status": "not ready", "conditions": ["upstream_required_down"] });
    assert_eq!((status, body), (503, conditions));
    let session = Session::open(&mut connection);
    for request in [
        Request::modern("list", "tools/list", json!({})),
        Request::modern("list", "resources/list", json!({})),
        session.request("list", "prompts/list", json!({})),
    ] {
        let answer = connection.exchange(&request).answer();
        assert_eq!(answer["error"]["code"], -32603, "{answer}");
        let data = json!({ "reason": "unavailable", "retryAfterMs": 1000 });
        assert_eq!(answer["error"]["data"], data, "{answer}");
    }
    // Calls need no list.
    wait_until("a call of the other one runs", || {
        let answer = connection.exchange(&Request::modern_call("other_call", json!({})));
        answer.answer().get("result").is_some().then_some(())
    });
    is_down.store(false, Ordering::Relaxed);
    wait_until("it is ready", || {
        (ready(&mut connection).0 == 200).then_some(())
    });
    gateway.wait_for("up_call");
    // Its entries stay listed, and the server is not ready all the same.
    is_down.store(true, Ordering::Relaxed);
    wait_until("it is not ready", || {
        let answer = list(&mut connection);
        assert!(answer.get("result").is_some(), "{answer}");
        (ready(&mut connection).0 == 503).then_some(())
    });
    let answer = list(&mut connection);
    assert_eq!(
        answer["result"]["_meta"][OUTCOMES][0]["state"], "stale",
        "{answer}"
    );
    for name in ["up_call", "other_call"] {
        let mut tools = answer["result"]["tools"].as_array().into_iter().flatten();
        assert!(tools.any(|tool| tool["name"] == name), "{answer}");
    }
}

#[test]
fn a_first_page_names_the_upstreams_whose_entries_are_missing() {
    let hanging = MockUpstream::start(|_| Act::SendAndWait(Vec::new()));
    let garbage = MockUpstream::start(|_| Act::Send(b"SSH-2.0-mock\r\n\r\n".to_vec()));
    let refusing = MockUpstream::start(|_| {
        Act::Send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_vec())
    });
    let working = MockUpstream::with_tools(&["a", "b", "call"], |received| {
        Act::Send(result_of(received, EMPTY))
    });
    let mocks = [
        ("hanging", &hanging),
        ("garbage", &garbage),
        ("refusing", &refusing),
    ];
    let mut sections = working.section("up");
    for (name, mock) in mocks {
        sections += &mock.section(name);
    }
    let profile = "[catalog]\npage_entries_max = 2\n";
    let gateway = Gateway::start_with(&sections, Setup::shards(1).profile(profile));
    let mut connection = gateway.connect();
    let session = Session::open(&mut connection);
    let expected = [
        ("hanging", "loading"),
        ("garbage", "failed"),
        ("refusing", "failed"),
    ];
    let outcomes = |answer: &Value| {
        let listed = answer["result"]["_meta"][OUTCOMES].as_array().cloned();
        let listed = listed.unwrap_or_default();
        let word = |it: &Value, key: &str| it[key].as_str().map(str::to_owned);
        let pairs = listed
            .iter()
            .filter_map(|it| Some((word(it, "name")?, word(it, "state")?)));
        pairs.collect::<Vec<_>>()
    };
    let expected = expected.map(|(name, state)| (name.to_owned(), state.to_owned()));
    let answer = wait_until("the outcomes are known", || {
        let answer = list(&mut connection);
        (outcomes(&answer) == expected).then_some(answer)
    });
    assert!(answer["result"]["_meta"]["io.modelcontextprotocol/serverInfo"].is_object());
    let legacy = session.request("list", "tools/list", json!({}));
    let legacy = connection.exchange(&legacy).answer();
    assert_eq!(outcomes(&legacy), expected, "{legacy}");
    let cursor = &answer["result"]["nextCursor"];
    let next = Request::modern("next", "tools/list", json!({ "cursor": cursor }));
    let next = connection.exchange(&next).answer();
    assert!(next["result"]["tools"].is_array(), "{next}");
    assert_eq!(outcomes(&next), [], "the first page has them");
}

/// The tools of an upstream in pages of random sizes.
fn paged(names: Vec<String>, seed: u64) -> MockUpstream {
    let reads = AtomicUsize::new(0);
    let page = move |received: &Received| {
        let cursor = received.message()["params"]["cursor"].clone();
        let start = cursor
            .as_str()
            .map_or(0, |it| it.parse().expect("a number"));
        // Another size in each read.
        let read = reads.fetch_add(1, Ordering::Relaxed) as u64;
        let size = 1 + Rng::seeded(seed + read).below(7) as usize;
        let end = names.len().min(start + size);
        let tools = names[start..end].iter();
        let tools = tools.map(|name| json!({ "name": name, "inputSchema": { "type": "object" } }));
        let mut result = json!({ "resultType": "complete", "tools": tools.collect::<Vec<_>>() });
        if end < names.len() {
            result["nextCursor"] = json!(end.to_string());
        }
        Act::Send(result_of(received, &result.to_string()))
    };
    MockUpstream::start(
        move |received| match received.message()["method"].as_str() {
            Some("server/discover") => {
                let result = json!({
                    "resultType": "complete", "supportedVersions": ["2026-07-28"],
                    "capabilities": { "tools": {} },
                });
                Act::Send(result_of(received, &result.to_string()))
            }
            Some("tools/list") => page(received),
            _ => Act::Send(result_of(received, EMPTY)),
        },
    )
}

#[test]
fn no_entry_of_many_upstreams_with_pages_of_any_size_is_lost_or_doubled() {
    // The long form has 50 upstreams.
    let upstreams = std::env::var("CORELANE_UPSTREAMS");
    let upstreams: usize = upstreams.map_or(8, |it| it.parse().expect("a number"));
    let mut rng = Rng::printed();
    let (mut sections, mut expected, mut mocks) = (String::new(), Vec::new(), Vec::new());
    for number in 0..upstreams {
        let names = 0..rng.below(40) as usize;
        let names: Vec<String> = names.map(|it| format!("tool-{it}")).collect();
        expected.extend(names.iter().map(|name| format!("u{number}_{name}")));
        let mock = paged(names, rng.below(1 << 40));
        sections += &mock.section(&format!("u{number}"));
        mocks.push(mock);
    }
    // The order is that of the file, and the same after a restart.
    for page_entries_max in [7, 1000] {
        let profile = format!("[catalog]\npage_entries_max = {page_entries_max}\n");
        let gateway = Gateway::start_with(&sections, Setup::shards(1).profile(&profile));
        let mut connection = gateway.connect();
        wait_until("all are read", || {
            let answer = list(&mut connection);
            let meta = answer["result"]["_meta"].get(OUTCOMES);
            meta.is_none().then_some(())
        });
        let (mut found, mut cursor) = (Vec::new(), Value::Null);
        loop {
            let params = match &cursor {
                Value::Null => json!({}),
                cursor => json!({ "cursor": cursor }),
            };
            let request = Request::modern("list", "tools/list", params);
            let answer = connection.exchange(&request).answer();
            let tools = answer["result"]["tools"].as_array().cloned();
            let tools = tools.expect("a page of tools");
            found.extend(
                tools
                    .iter()
                    .filter_map(|it| it["name"].as_str().map(str::to_owned)),
            );
            cursor = answer["result"]["nextCursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        // The server has entries of its own, too.
        let is_relayed = |name: &String| name.starts_with('u') && name.contains("_tool-");
        found.retain(is_relayed);
        let differs = found
            .iter()
            .zip(&expected)
            .find(|(one, other)| one != other);
        assert_eq!(differs, None);
        assert_eq!(found.len(), expected.len());
    }
}
