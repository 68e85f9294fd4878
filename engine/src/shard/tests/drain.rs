//! The end of a shard.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::Client;
use super::departures::streamed_client;
use super::test_shard::{DRAIN_TIMEOUT_MS, Setup, TestShard, settle_all, with_shard, with_shards};
use crate::catalog::Plan;
use crate::catalog::pending_updates::Changes;
use crate::catalog::tool::Tool;
use crate::connection::http::RecvMode;
use crate::handler::{Call, Elicitation};
use crate::mcp::tests::test_endpoint::request;
use crate::meter::Counter;
use crate::shard::drain::LAST_OUTPUT_MS;
use corelane_io::ring::fake::Operation::{Receive, Watch};
use corelane_io::ring::fake::PeerEnd;

const ANY: &str = r#"{"type":"object"}"#;

#[derive(Deserialize, JsonSchema)]
struct Name {
    #[expect(dead_code, reason = "nobody answers")]
    name: String,
}

#[test]
fn a_shard_that_has_drained_has_no_open_connection() {
    const CLIENTS: usize = 40;
    // Far fewer completions a turn than connections that end at once.
    let change = |setup: &mut Setup| {
        setup.profile.budget.completions_per_turn = 4;
        setup.profile.connection.linger_timeout_ms = 0;
    };
    with_shard(change, async |shard| {
        for _ in 0..CLIENTS {
            let (listening, _) = shard.client().await;
            listening.listens();
            shard.client().await;
        }
        shard.settle().await;
        assert_eq!(shard.count(Counter::StreamsOpen), CLIENTS as u64);
        shard.shard.control.begin_drain();
        // Their connections linger until the next tick of the timing wheel.
        shard.settle().await;
        shard.advance(100).await;
        assert!(shard.turn().await.has_drained);
        assert_eq!(shard.count(Counter::ConnectionsOpen), 0);
        assert_eq!(shard.count(Counter::ClosedDrain), 2 * CLIENTS as u64);
        assert_eq!(shard.count(Counter::OutputBytes), 0);
        assert!(shard.network.accepts().is_empty());
        // Nothing is left to be done by clients.
        shard.check_given_back();
        // No other shard wakes a ring that is about to go.
        assert_eq!(shard.shard.ring_fds[0].load(Ordering::Relaxed), -1);
    });
}

#[test]
fn a_draining_shard_answers_what_it_has_received_and_waits_for_calls() {
    with_shard(
        |_| (),
        async |shard| {
            let ((calling, _), (reading, _)) = (shard.client().await, shard.client().await);
            let ((idle, _), (listening, _)) = (shard.client().await, shard.client().await);
            listening.listens();
            calling.calls("wait", json!({}));
            let echo = reading.call("echo", json!({"message": "late"}));
            // Its head is whole, and its body is not.
            let part = echo.len() - 5;
            reading.sends(&echo[..part]);
            shard.settle().await;
            shard.shard.control.begin_drain();
            shard.settle().await;
            // An idle connection ends at once, and a stream with its end.
            assert_eq!(idle.end(), Some(PeerEnd::Finished));
            assert!(listening.received_text().ends_with("0\r\n\r\n"));
            idle.finishes();
            listening.finishes();
            shard.settle().await;
            assert_eq!(shard.connections(), 2);
            reading.sends(&echo[part..]);
            shard.settle().await;
            let answer = reading.received_text();
            assert!(answer.contains("onnection: close"), "{answer}");
            shard.gate.open();
            shard.settle().await;
            let answer = calling.received_text();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            // They linger until their peers have seen the answers.
            assert_eq!(shard.connections(), 2);
            calling.finishes();
            reading.finishes();
            shard.settle().await;
            assert!(shard.turn().await.has_drained);
        },
    );
}

/// The text of the error of a call that the drain ended.
const CUT: &str = "calls in flight get 10000 ms to end (server.drain_timeout_ms)";

fn long_calls(setup: &mut Setup) {
    setup.profile.calls.timeout_ms = 2 * DRAIN_TIMEOUT_MS;
    setup.profile.connection.head_timeout_ms = 4 * DRAIN_TIMEOUT_MS;
    setup.profile.connection.write_timeout_ms = 4 * DRAIN_TIMEOUT_MS;
}

#[test]
fn a_drain_answers_calls_at_its_deadline_with_an_error_that_names_the_limit() {
    with_shard(long_calls, async |shard| {
        let ((client, _), (late, _)) = (shard.client().await, shard.client().await);
        client.calls("wait", json!({}));
        let wait = late.call("wait", json!({}));
        let part = wait.len() - 5;
        late.sends(&wait[..part]);
        shard.settle().await;
        shard.shard.control.begin_drain();
        shard.settle().await;
        shard.advance(DRAIN_TIMEOUT_MS - 1).await;
        assert_eq!(client.received_text(), "");
        assert!(!shard.turn().await.has_drained);
        shard.advance(1).await;
        let answer = client.received_text();
        assert!(answer.contains(CUT), "{answer}");
        // A call that comes after that is answered in the same way.
        late.sends(&wait[part..]);
        shard.settle().await;
        let answer = late.received_text();
        assert!(answer.contains(CUT), "{answer}");
        client.finishes();
        late.finishes();
        shard.settle().await;
        assert!(shard.turn().await.has_drained);
    });
}

#[test]
fn a_call_of_another_shard_is_answered_at_the_deadline_too() {
    with_shards(2, long_calls, async |shards| {
        let session = shards[1].session().await;
        let client = shards[0].connect();
        settle_all(shards).await;
        let params = json!({"name": "wait", "arguments": {}});
        let headers = format!("{session}Accept: application/json\r\n");
        client.sends(&client.post(&headers, &request(1, "tools/call", params)));
        settle_all(shards).await;
        for shard in &mut *shards {
            shard.shard.control.begin_drain();
        }
        settle_all(shards).await;
        for shard in &mut *shards {
            shard.pass(DRAIN_TIMEOUT_MS);
        }
        settle_all(shards).await;
        let answer = client.received_text();
        assert!(answer.contains(CUT), "{answer}");
    });
}

#[test]
fn a_client_that_does_not_read_delays_a_drain_by_the_time_for_the_last_output() {
    with_shard(long_calls, async |shard| {
        let (client, _) = shard.client().await;
        client.takes(0);
        client.calls("wait", json!({}));
        shard.settle().await;
        shard.shard.control.begin_drain();
        shard.settle().await;
        shard.advance(DRAIN_TIMEOUT_MS).await;
        shard.advance(LAST_OUTPUT_MS - 1).await;
        assert!(!shard.turn().await.has_drained);
        shard.pass(1);
        assert!(shard.turn().await.has_drained);
    });
}

#[test]
fn a_drain_whose_time_is_over_elsewhere_answers_calls_at_once() {
    with_shard(long_calls, async |shard| {
        let (client, _) = shard.client().await;
        client.calls("wait", json!({}));
        shard.settle().await;
        let control = &shard.shard.control;
        control.is_overdue.store(true, Ordering::Relaxed);
        control.begin_drain();
        shard.settle().await;
        let answer = client.received_text();
        assert!(answer.contains(CUT), "{answer}");
    });
}

/// The client got one whole answer and the end of its connection. Returns whether the answer
/// announces that end.
#[track_caller]
fn check_last_answer(client: &Client, status: &str) -> bool {
    let answer = client.received_text();
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{answer}"
    );
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    assert!(answer.ends_with('}'), "{answer}");
    assert_eq!(client.end(), Some(PeerEnd::Finished));
    answer.contains("onnection: close")
}

/// The clients leave when their connections have ended, and the shard has drained then.
async fn check_drains(shard: &mut TestShard, clients: &[Client]) {
    for client in clients {
        client.finishes();
    }
    shard.settle().await;
    assert!(shard.turn().await.has_drained);
}

/// Connections without a request, in every way of receiving, and one that is sending an answer.
async fn idle_clients(shard: &mut TestShard) -> Vec<Client> {
    let (polled, _) = shard.client().await;
    let (streamed, _) = streamed_client(shard).await;
    let (answered, key) = shard.client().await;
    answered.calls("echo", json!({"message": "early"}));
    shard.settle().await;
    assert!(answered.received_text().starts_with("HTTP/1.1 200 "));
    assert_eq!(shard.connection(key).reading, RecvMode::PollThenMultishot);
    let (slow, key) = shard.client().await;
    slow.takes(0);
    slow.calls("echo", json!({"message": "early"}));
    shard.settle().await;
    assert!(shard.connection(key).is_sending());
    vec![polled, streamed, answered, slow]
}

#[test]
fn requests_in_the_sockets_of_idle_connections_are_answered_by_a_drain() {
    with_shard(
        |_| (),
        async |shard| {
            let mut clients = idle_clients(shard).await;
            let (initializing, _) = shard.client().await;
            for client in &clients {
                client.calls("echo", json!({"message": "late"}));
            }
            initializing.initializes(json!({}));
            shard.shard.control.begin_drain();
            shard.settle().await;
            let slow = clients.pop().expect("there are four");
            // The second is streamed: its request is handled in the turn that begins the drain.
            for (client, announces_end) in clients.iter().zip([true, false, true]) {
                assert_eq!(check_last_answer(client, "200"), announces_end);
            }
            slow.takes(usize::MAX);
            shard.settle().await;
            let answers = slow.received_text();
            assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 2, "{answers}");
            assert_eq!(answers.matches("onnection: close").count(), 1, "{answers}");
            assert_eq!(slow.end(), Some(PeerEnd::Finished));
            assert!(check_last_answer(&initializing, "503"));
            clients.extend([slow, initializing]);
            check_drains(shard, &clients).await;
        },
    );
}

#[test]
fn idle_connections_end_without_a_reset_and_linger() {
    with_shard(
        |_| (),
        async |shard| {
            let clients = idle_clients(shard).await;
            shard.shard.control.begin_drain();
            shard.settle().await;
            clients[3].takes(usize::MAX);
            shard.settle().await;
            for client in &clients {
                assert_eq!(client.end(), Some(PeerEnd::Finished));
                // It comes too late, and must not destroy an answer that is on its way.
                client.calls("echo", json!({"message": "too late"}));
            }
            shard.settle().await;
            assert_eq!(shard.connections(), 4);
            for client in &clients {
                assert_eq!(client.end(), Some(PeerEnd::Finished));
            }
            check_drains(shard, &clients).await;
        },
    );
}

#[test]
fn a_receive_that_found_nothing_before_a_request_does_not_end_its_connection() {
    with_shard(
        |_| (),
        async |shard| {
            let (client, key) = shard.client().await;
            shard.network.hold(Receive);
            shard.network.hold(Watch);
            shard.shard.rings.of(key).receive(key);
            shard.settle().await;
            client.calls("echo", json!({"message": "late"}));
            shard.shard.control.begin_drain();
            shard.turn().await;
            // The receive from before the drain completes; the one of the drain has begun.
            shard.network.release();
            shard.turn().await;
            shard.settle().await;
            assert!(check_last_answer(&client, "200"));
            check_drains(shard, &[client]).await;
        },
    );
}

#[test]
fn a_drain_ends_a_bounded_number_of_connections_in_one_turn() {
    with_shard(
        |_| (),
        async |shard| {
            let clients: Vec<Client> = (0..300).map(|_| shard.connect()).collect();
            shard.settle().await;
            shard.shard.control.begin_drain();
            let ended = |clients: &[Client]| {
                let ended = clients.iter().filter(|client| client.end().is_some());
                ended.count()
            };
            let (mut turns, mut before) = (0, 0);
            while before < clients.len() {
                shard.turn().await;
                let now = ended(&clients);
                assert!(now - before <= 64, "{now} after {before}");
                before = now;
                turns += 1;
                assert!(turns < 100, "{now} ended");
            }
            check_drains(shard, &clients).await;
        },
    );
}

const DESCRIPTORS: usize = 100;
const BACKLOG: usize = 80;

/// So few descriptors that further clients wait in the backlog.
fn full_table(setup: &mut Setup) {
    setup.descriptors = DESCRIPTORS as u32;
    setup.backlog = BACKLOG as u32;
}

/// The same descriptors in several rings.
fn full_tables(setup: &mut Setup) {
    full_table(setup);
    setup.ring_descriptors_max = 40;
}

/// Connects `count` clients with one request each.
fn connect_and_call(shard: &mut TestShard, count: usize) -> Vec<Client> {
    let connect = |_| {
        let client = shard.connect();
        client.calls("echo", json!({"message": "first"}));
        client
    };
    (0..count).map(connect).collect()
}

/// Makes turns; each client leaves when its connection has ended.
async fn settle_and_leave(shard: &mut TestShard, clients: &[Client]) {
    let mut has_left = vec![false; clients.len()];
    for _ in 0..clients.len() {
        shard.settle().await;
        for (client, has_left) in clients.iter().zip(&mut has_left) {
            if client.end().is_some() && !*has_left {
                *has_left = true;
                client.finishes();
            }
        }
    }
}

#[test]
fn connections_in_the_backlog_are_accepted_and_answered_by_a_drain() {
    for (change, idle) in [
        (full_table as fn(&mut Setup), DESCRIPTORS),
        (full_tables, DESCRIPTORS),
        (full_tables, 30),
        (|_| (), 0),
    ] {
        with_shard(change, async |shard| {
            let idle: Vec<Client> = (0..idle).map(|_| shard.connect()).collect();
            shard.settle().await;
            let waiting = connect_and_call(shard, BACKLOG + 1);
            shard.shard.control.begin_drain();
            settle_and_leave(shard, &[idle, waiting.clone()].concat()).await;
            for client in &waiting {
                check_last_answer(client, "200");
            }
            assert!(shard.turn().await.has_drained);
        });
    }
}

#[test]
fn a_drain_accepts_no_more_connections_than_the_backlog_held() {
    for change in [full_table, full_tables] {
        with_shard(change, async |shard| {
            let mut clients: Vec<Client> = (0..DESCRIPTORS).map(|_| shard.connect()).collect();
            shard.settle().await;
            // The kernel would not let so many wait: the last of them stand for later ones.
            clients.extend(connect_and_call(shard, BACKLOG + 10));
            shard.shard.control.begin_drain();
            settle_and_leave(shard, &clients).await;
            let accepted = (DESCRIPTORS + BACKLOG + 1) as u64;
            assert_eq!(shard.count(Counter::ConnectionsAccepted), accepted);
            assert_eq!(shard.network.waiting(), 9);
            assert!(shard.network.accepts().is_empty());
            assert!(shard.turn().await.has_drained);
        });
    }
}

#[test]
fn a_shard_that_ended_keeps_no_other_from_draining() {
    with_shards(
        2,
        |_| (),
        async |shards| {
            shards[1].shard.control.count_quiet();
            shards[0].shard.control.begin_drain();
            shards[0].settle().await;
            assert!(shards[0].turn().await.has_drained);
            // The test ends the other one too.
            shards[1].shard.control.begin_drain();
        },
    );
}

#[test]
fn a_drain_fails_requests_to_clients_whose_answers_cannot_arrive_any_more() {
    with_shard(long_calls, async |shard| {
        let elicits = Tool::from_schema("elicits", "d", ANY, async |call: &Call, _: Value| {
            let question = Elicitation::form::<Name>("Who are you?")?;
            call.elicit("it", question).await.map(|_| "answered")
        });
        let plan = Plan::new(vec![elicits].into(), 10).expect("the tool is usable");
        shard.shard.handling.endpoint.handle_changes(Changes {
            plan: Some(Arc::new(plan)),
            ..Changes::default()
        });
        let session = shard.session_with(json!({"elicitation": {}})).await;
        let (client, _) = shard.client().await;
        let params = json!({"name": "elicits", "arguments": {}});
        let headers = format!("{session}Accept: application/json, text/event-stream\r\n");
        client.sends(&client.post(&headers, &request(1, "tools/call", params)));
        shard.settle().await;
        let requested = client.received_text();
        assert!(requested.contains("elicitation/create"), "{requested}");
        shard.shard.control.begin_drain();
        shard.settle().await;
        let answer = client.received_text();
        assert!(answer.contains("or the server shuts down"), "{answer}");
    });
}
