//! Clients of lines that are gone while their calls run: the places of the calls become free.

use std::time::Duration;

use corelane_tests::client::{check_text, echo, modern, sleep};
use corelane_tests::{Client, Lines, Setup, wait_until};
use socket2::SockRef;

use super::LineServer;

/// Calls of the tool that may run at once.
const PLACES: usize = 4;

/// A client all of whose calls run: the last of them takes `last_ms`, the others an hour.
fn busy_client(address: &str, last_ms: u64) -> Client<Lines> {
    const HOUR_MS: u64 = 3_600_000;
    let mut client = Client::of_lines(address);
    for id in 0..PLACES {
        let ms = if id + 1 < PLACES { HOUR_MS } else { last_ms };
        client.send(&modern(id, "tools/call", sleep(ms)));
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

fn check(leave: impl Fn(Client<Lines>), last_ms: u64) {
    let few = format!("[tools]\nin_flight_max = {PLACES}\n[calls]\ntimeout_ms = 86400000");
    let started = LineServer::start(Setup::shards(1).profile(&few));
    for address in started.lines() {
        let mut prober = Client::of_lines(address);
        let client = busy_client(address, last_ms);
        if last_ms > 1000 {
            assert_eq!(free_places(&mut prober), 0, "{address}");
        }
        leave(client);
        wait_until(&format!("free places at {address}"), || {
            (free_places(&mut prober) == PLACES).then_some(())
        });
    }
}

#[test]
fn a_reset_ends_the_calls_of_a_client() {
    let reset = |mut client: Client<Lines>| {
        let socket = client.channel().socket();
        let linger = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
        linger.expect("it is a socket");
    };
    check(reset, 3_600_000);
}

/// The end of its bytes may be that of one direction, but an answer that cannot be sent is not.
#[test]
fn an_answer_that_finds_no_client_ends_the_other_calls() {
    check(drop, 50);
}
