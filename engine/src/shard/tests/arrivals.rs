//! Requests that wait, and messages that go before them.

use serde_json::json;

use super::client::Client;
use super::departures::streamed_client;
use super::test_shard::{Setup, TestShard, with_shard};
use crate::mcp::tests::test_endpoint::request;
use crate::meter::Counter;
use crate::profile::Binding;
use crate::shard::arrivals::Arrivals;
use corelane_io::ring::fake::Operation::Send;
use corelane_io::ring::{Completion, Received};
use corelane_io::slots::SlotKey;

/// Requests of a turn without time, until its first look at the clock.
const PER_TURN: u64 = 8;
const FLOOD: usize = 200;

/// Runs a test of a shard that has no time in its turns.
fn with_busy_shard(test: impl AsyncFnOnce(&mut TestShard)) {
    let none = |_: &mut Setup| ();
    with_shard(none, async |shard| {
        shard.is_out_of_time();
        test(shard).await;
    });
}

/// As many clients, each of which sends one call.
async fn flood(shard: &mut TestShard) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..FLOOD {
        clients.push(shard.client().await.0);
    }
    for client in &clients {
        client.calls("echo", json!({"message": "x"}));
    }
    clients
}

/// The calls that were answered in the turns until `client` has an answer.
async fn calls_until_answered(shard: &mut TestShard, client: &Client) -> u64 {
    let before = shard.count(Counter::CallsOk);
    while client.received().is_empty() {
        let made = shard.count(Counter::CallsOk);
        shard.turn().await;
        let made = shard.count(Counter::CallsOk) - made;
        assert!(made <= PER_TURN, "{made} calls in a turn");
    }
    shard.count(Counter::CallsOk) - before
}

#[test]
fn a_ping_goes_before_all_calls_that_wait_and_a_call_after_them() {
    with_busy_shard(async |shard| {
        let session = shard.session().await;
        let ((pings, _), (calls, _)) = (shard.client().await, shard.client().await);
        let clients = flood(shard).await;
        shard.turn().await;
        shard.turn().await;
        let ping = request(1, "ping", json!({}));
        pings.sends(&pings.post(&session, &ping));
        calls.calls("echo", json!({"message": "x"}));
        let made = calls_until_answered(shard, &pings).await;
        // Its arrival, its bytes and its answer take a turn each.
        assert!(made <= 3 * PER_TURN, "{made} calls before the ping");
        calls_until_answered(shard, &calls).await;
        let made = shard.count(Counter::CallsOk) as usize;
        assert!(made > FLOOD, "{made} calls before the call that came last");
        for client in &clients {
            assert!(client.received().starts_with(b"HTTP/1.1 200 "));
        }
    });
}

#[test]
fn nothing_goes_before_earlier_input_of_its_own_connection() {
    with_busy_shard(async |shard| {
        let session = shard.session().await;
        let (client, _) = shard.client().await;
        let _clients = flood(shard).await;
        // A call in one receive, and a ping in the next one.
        let call = client.call("echo", json!({"message": "x".repeat(1500)}));
        client.sends(&call);
        shard.turn().await;
        shard.turn().await;
        client.sends(&client.post(&session, &request(2, "ping", json!({}))));
        shard.settle().await;
        let text = client.received_text();
        let (call, ping) = (text.find("xxx"), text.find(r#""id":2"#));
        assert!(call.expect("it was answered") < ping.expect("it was answered"));
    });
}

#[test]
fn a_flood_of_pings_leaves_half_of_each_turn_to_calls() {
    with_busy_shard(async |shard| {
        let session = shard.session().await;
        let mut pinging = Vec::new();
        for _ in 0..FLOOD {
            pinging.push(shard.client().await.0);
        }
        let _clients = flood(shard).await;
        shard.turn().await;
        for client in &pinging {
            client.sends(&client.post(&session, &request(1, "ping", json!({}))));
        }
        for _ in 0..10 {
            let before = shard.count(Counter::CallsOk);
            shard.turn().await;
            let made = shard.count(Counter::CallsOk) - before;
            assert!(made >= PER_TURN / 2, "{made} calls in a turn");
        }
        shard.settle().await;
        for client in &pinging {
            assert!(client.received().starts_with(b"HTTP/1.1 200 "));
        }
    });
}

#[test]
fn requests_that_wait_while_a_shard_drains_are_answered() {
    with_busy_shard(async |shard| {
        let clients = flood(shard).await;
        shard.turn().await;
        shard.turn().await;
        shard.turn().await;
        assert!(!shard.shard.arrivals.is_empty());
        shard.shard.control.begin_drain();
        shard.settle().await;
        for client in &clients {
            let text = client.received_text();
            assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
            assert!(client.end().is_some());
        }
    });
}

#[test]
fn answers_to_requests_in_several_buffers_leave_in_one_send() {
    with_shard(
        |_| (),
        async |shard| {
            let (client, _) = streamed_client(shard).await;
            let call = client.call("echo", json!({"message": "x".repeat(1500)}));
            client.sends(&call.repeat(3));
            // Their arrival takes a turn, and their bytes another one.
            for _ in 0..2 {
                assert_eq!(client.received_text(), "");
                shard.turn().await;
            }
            shard.network.hold(Send);
            shard.turn().await;
            let answers = client.received_text();
            assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 3, "{answers}");
            shard.network.release();
        },
    );
}

#[test]
fn the_connections_take_turns_and_their_input_is_handled_together() {
    let mut arrivals = Arrivals::default();
    let key = |index| SlotKey {
        index,
        generation: 0,
    };
    for (index, errno) in [(1, 0), (2, 1), (1, 2), (2, 3), (1, 4)] {
        let (key, outcome) = (key(index), Received::Failed { errno });
        arrivals.push(key, Completion::Received { key, outcome });
    }
    let next = |arrivals: &mut Arrivals| match arrivals.next()? {
        Completion::Received {
            outcome: Received::Failed { errno },
            ..
        } => Some(errno),
        other => panic!("{other:?}"),
    };
    assert_eq!(next(&mut arrivals), Some(0));
    assert_eq!(next(&mut arrivals), Some(2));
    arrivals.end_turn();
    for (index, errno) in [(2, 1), (2, 3), (1, 4)] {
        assert!(arrivals.has(key(index)));
        assert_eq!(next(&mut arrivals), Some(errno));
    }
    assert!(!arrivals.has(key(1)) && arrivals.is_empty());
    assert_eq!(next(&mut arrivals), None);
}

#[test]
fn a_connection_with_much_input_that_waits_is_received_from_no_more() {
    with_busy_shard(async |shard| {
        let (client, key) = streamed_client(shard).await;
        let _clients = flood(shard).await;
        let call = client.call("echo", json!({"message": "x".repeat(1500)}));
        let mut most = 0;
        for _ in 0..20 {
            client.sends(&call.repeat(4));
            shard.turn().await;
            most = most.max(shard.shard.arrivals.count(key));
        }
        assert!((16..32).contains(&most), "{most} pieces wait");
        shard.settle().await;
        let answers = client.received_text();
        assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 80);
    });
}

#[test]
fn lines_without_a_message_take_the_time_of_requests() {
    let lines = |setup: &mut Setup| setup.bindings = vec![Binding::Lines];
    with_shard(lines, async |shard| {
        let clients: Vec<Client> = (0..FLOOD).map(|_| shard.connect_to(0)).collect();
        shard.settle().await;
        shard.is_out_of_time();
        for client in &clients {
            client.sends(&[b'\n'; 2000]);
        }
        for _ in 0..3 {
            shard.turn().await;
        }
        let left = shard.shard.arrivals.len();
        assert!(left > FLOOD / 2, "{left} pieces wait");
        shard.settle().await;
        assert!(shard.shard.arrivals.is_empty());
    });
}
