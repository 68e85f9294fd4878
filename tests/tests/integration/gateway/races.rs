//! Connections that end at any point of a call, and idle ones that end while a call is sent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use corelane_io::rng::Rng;
use corelane_tests::mock_upstream::{Act, MockUpstream, result_of};
use corelane_tests::{Connection, Request, Setup};
use serde_json::{Value, json};

use super::{EMPTY, Gateway, empty};

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |it| it.parse().expect("a number"))
}

fn call(connection: &mut Connection, arguments: Value) -> Value {
    let request = Request::modern_call("up_call", arguments);
    connection.exchange(&request).answer()
}

#[test]
fn a_call_that_is_cut_at_any_point_is_executed_once_at_most() {
    // The long form has 100,000.
    let cuts = number("CORELANE_CUTS", 300);
    let executed: Arc<Mutex<HashMap<u64, usize>>> = Arc::default();
    let counts = Arc::clone(&executed);
    let mock = MockUpstream::with_tools(&["call"], move |received| {
        let arguments = &received.message()["params"]["arguments"];
        let number = arguments["number"].as_u64().expect("a number");
        *counts.lock().expect("no panic").entry(number).or_default() += 1;
        let answer = result_of(received, EMPTY);
        match arguments["cut"].as_u64() {
            None => Act::Send(answer),
            Some(0) => Act::Reset,
            Some(cut) => {
                let bytes = (cut as usize - 1).min(answer.len());
                Act::SendAndClose(answer[..bytes].to_vec())
            }
        }
    });
    let profile = "[gateway]\nfailures_max = 0\n";
    let gateway = Gateway::start_with(&mock.section("up"), Setup::shards(1).profile(profile));
    gateway.wait_for("up_call");
    let mut connection = gateway.connect();
    let mut rng = Rng::printed();
    for number in 0..cuts as u64 {
        let cut = rng.below(220);
        let answer = call(&mut connection, json!({ "number": number, "cut": cut }));
        let executed = executed.lock().expect("no panic");
        let executed = executed.get(&number).copied().unwrap_or_default();
        let data = &answer["error"]["data"];
        match answer["result"] == empty() {
            true => assert_eq!(executed, 1, "cut {cut}"),
            // A connection that ended behind a whole answer may have had the next call already.
            false => assert!(executed <= 1, "cut {cut}: {answer}"),
        }
        assert!(
            executed == 0 || data.is_null() || data["executed"] == "unknown",
            "{answer}"
        );
    }
    let answer = call(&mut connection, json!({ "number": u64::MAX }));
    assert_eq!(answer["result"], empty());
}

#[test]
fn no_call_is_lost_in_the_race_with_the_end_of_idle_connections() {
    // A server that ends its idle connections after 5 s, and calls that come as often on average.
    const IDLE: Duration = Duration::from_secs(5);
    const UPSTREAMS: usize = 64;
    // The long form has 100,000.
    let calls = number("CORELANE_IDLE_CALLS", 2 * UPSTREAMS) / UPSTREAMS;
    let mock = MockUpstream::with_idle_end(IDLE, &["call"], |received| {
        Act::Send(result_of(received, EMPTY))
    });
    // Each has links of its own.
    let sections = (0..UPSTREAMS).map(|number| mock.section(&format!("u{number}")));
    let profile = "[catalog]\npage_entries_max = 1000\n";
    let setup = Setup::shards(1).profile(profile);
    let gateway = Gateway::start_with(&sections.collect::<String>(), setup);
    for number in 0..UPSTREAMS {
        gateway.wait_for(&format!("u{number}_call"));
    }
    let before = mock.connections();
    thread::scope(|scope| {
        for number in 0..UPSTREAMS {
            let gateway = &gateway;
            scope.spawn(move || {
                let mut connection = gateway.connect();
                let mut rng = Rng::seeded(number as u64);
                let call = Request::modern_call(&format!("u{number}_call"), json!({}));
                for _ in 0..calls {
                    // The gaps of a Poisson process; the longest ones are cut.
                    let uniform = (rng.below(1 << 30) + 1) as f64 / f64::from(1 << 30);
                    let gap = IDLE.mul_f64((-uniform.ln()).min(2.0));
                    thread::sleep(gap);
                    let answer = connection.exchange(&call).answer();
                    assert_eq!(answer["result"], empty(), "after {gap:?}: {answer}");
                }
            });
        }
    });
    assert_eq!(mock.received_of("tools/call").len(), calls * UPSTREAMS);
    let opened = mock.connections() - before;
    assert!(
        opened > calls * UPSTREAMS / 8,
        "idle connections have ended: {opened}"
    );
}
