//! Calls that are refused while the shard takes too long for its work.

use super::client::Client;
use super::test_shard::{Setup, TestShard, with_shard};
use crate::mcp::tests::test_endpoint::request;
use crate::meter::Counter;
use serde_json::{Value, json};

/// How long the shard may take for its work, and how long one call takes it.
const DELAY_MS: u64 = 500;
const CALL_MS: u64 = 50;
/// Clients that each make a call as soon as the last one was answered: four times too many.
const FLOOD: usize = 40;

fn setup(setup: &mut Setup) {
    setup.profile.overload.loop_delay_ms = DELAY_MS;
    setup.profile.overload.loop_delay_window_ms = 1000;
}

/// The answers of one round of calls, by their status.
#[derive(Debug, Default, PartialEq, Eq)]
struct Round {
    served: usize,
    refused: usize,
    time_ms: u64,
}

/// Each of the clients makes a call, and the shard answers them.
async fn round(shard: &mut TestShard, clients: &[Client], call: &[u8]) -> Round {
    let began_ms = shard.shard.now_ms;
    for client in clients {
        client.sends(call);
    }
    shard.settle().await;
    let mut round = Round {
        time_ms: shard.shard.now_ms - began_ms,
        ..Round::default()
    };
    for client in clients {
        let answer = client.received_text();
        match answer.starts_with("HTTP/1.1 200") {
            true => round.served += 1,
            false => {
                assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
                assert!(answer.contains("Retry-After: 1\r\n"), "{answer}");
                assert!(answer.contains("overload.loop_delay_ms"), "{answer}");
                round.refused += 1;
            }
        }
    }
    round
}

async fn flood(shard: &mut TestShard) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..FLOOD {
        clients.push(shard.client().await.0);
    }
    shard.call_ms = CALL_MS;
    clients
}

fn echo(client: &Client) -> Vec<u8> {
    client.call("echo", json!({"message": "hello"}))
}

#[test]
fn a_flood_is_served_as_far_as_time_allows_and_everyone_is_when_it_is_over() {
    with_shard(setup, async |shard| {
        let clients = flood(shard).await;
        let call = echo(&clients[0]);
        let first = round(shard, &clients, &call).await;
        assert_eq!((first.served, first.refused), (FLOOD, 0), "not at once");
        for _ in 0..20 {
            round(shard, &clients, &call).await;
        }
        assert_eq!(shard.count(Counter::DelaysBegun), 1);
        for _ in 0..20 {
            let late = round(shard, &clients, &call).await;
            assert!(late.time_ms <= 2 * DELAY_MS, "{late:?}");
            assert!(late.served >= 5 && late.refused >= FLOOD / 2, "{late:?}");
        }
        let refused = shard.count(Counter::CallsRefusedDelay);
        assert_eq!(refused, shard.count(Counter::RefusedOverload));
        assert!(refused > 20 * FLOOD as u64 / 2);
        shard.advance(10_000).await;
        let after = round(shard, &clients, &call).await;
        assert_eq!(after.served, FLOOD);
    });
}

#[test]
fn work_that_has_begun_and_messages_that_are_no_calls_are_served_meanwhile() {
    with_shard(setup, async |shard| {
        let session = shard.session().await;
        let waiting = shard.client().await.0;
        waiting.calls("wait", json!({}));
        let clients = flood(shard).await;
        let call = echo(&clients[0]);
        for _ in 0..20 {
            round(shard, &clients, &call).await;
        }
        let other = shard.client().await.0;
        let posts = [
            (request(7, "ping", Value::Null), "200"),
            (request(8, "tools/list", Value::Null), "200"),
            (
                json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
                    "params": {"requestId": 5}})
                .to_string(),
                "202",
            ),
        ];
        for (body, status) in posts {
            for client in &clients {
                client.sends(&call);
            }
            other.sends(&other.post(&session, &body));
            shard.settle().await;
            let answer = other.received_text();
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{answer}"
            );
        }
        shard.gate.open();
        shard.settle().await;
        let answer = waiting.received_text();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("passed"), "{answer}");
    });
}

#[test]
fn a_client_with_one_call_at_a_time_is_never_refused_however_slow_its_calls_are() {
    with_shard(setup, async |shard| {
        let client = shard.client().await.0;
        shard.call_ms = 3 * DELAY_MS;
        let call = echo(&client);
        for _ in 0..20 {
            let one = round(shard, std::slice::from_ref(&client), &call).await;
            assert_eq!((one.served, one.refused), (1, 0));
        }
        assert!(shard.count(Counter::DelaysBegun) > 0, "the shard was late");
    });
}

#[test]
fn calls_of_sessions_are_refused_as_well_and_none_if_there_is_no_threshold() {
    for (delay_ms, refuses) in [(DELAY_MS, true), (0, false)] {
        let change = |it: &mut Setup| {
            setup(it);
            it.profile.overload.loop_delay_ms = delay_ms;
        };
        with_shard(change, async |shard| {
            let session = shard.session().await;
            let clients = flood(shard).await;
            let params = json!({"name": "echo", "arguments": {"message": "hello"}});
            let headers = format!("{session}Accept: application/json\r\n");
            let call = clients[0].post(&headers, &request(1, "tools/call", params));
            for _ in 0..20 {
                round(shard, &clients, &call).await;
            }
            let refused = shard.count(Counter::CallsRefusedDelay);
            assert_eq!(refused > 0, refuses, "{refused}");
        });
    }
}
