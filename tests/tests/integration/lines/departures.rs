//! Clients of lines that are gone while their calls run: the places of the calls become free.

use std::time::Duration;

use corelane_tests::client::{check_text, echo, modern, sleep};
use corelane_tests::{Client, Lines, Setup, wait_until};
use serde_json::json;
use socket2::SockRef;

use super::LineServer;

/// Calls of the tool that may run at once.
const PLACES: usize = 4;

/// A client with a subscription and as many calls as may run, which take longer than a test waits.
fn busy_client(address: &str) -> Client<Lines> {
    const MINUTE_MS: u64 = 60_000;
    let mut client = Client::of_lines(address);
    let changes = json!({ "notifications": { "toolsListChanged": true } });
    client.send(&modern("l", "subscriptions/listen", changes));
    let begun = client.expect();
    assert!(begun["method"].is_string(), "{begun}");
    for id in 0..PLACES {
        client.send(&modern(id, "tools/call", sleep(MINUTE_MS)));
    }
    // Messages are handled in their order.
    let answer = client.exchange(&modern("last", "tools/call", echo("m")));
    check_text(&answer, "m");
    client
}

/// How many of as many calls as there are places are served.
fn free_places(prober: &mut Client<Lines>) -> usize {
    for id in 0..PLACES {
        prober.send(&modern(id, "tools/call", sleep(20)));
    }
    let answers = (0..PLACES).map(|_| prober.expect());
    answers
        .filter(|answer| answer["result"].is_object())
        .count()
}

fn check(leave: impl Fn(Client<Lines>)) {
    let few = format!("[tools]\nin_flight_max = {PLACES}");
    let started = LineServer::start(Setup::shards(1).profile(&few));
    for address in started.lines() {
        let mut prober = Client::of_lines(address);
        let client = busy_client(address);
        assert_eq!(free_places(&mut prober), 0, "{address}");
        leave(client);
        wait_until(&format!("free places at {address}"), || {
            (free_places(&mut prober) == PLACES).then_some(())
        });
    }
}

#[test]
fn a_reset_ends_the_calls_of_a_client() {
    check(|mut client| {
        let socket = client.channel().socket();
        let linger = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
        linger.expect("it is a socket");
    });
}

/// The end of its bytes may be that of one direction: the subscription ends and says so. That this
/// answer finds no client is the end of the other direction.
#[test]
fn an_answer_that_finds_no_client_ends_the_other_calls() {
    check(drop);
}
