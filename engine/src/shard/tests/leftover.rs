//! Pipelined requests that wait for a turn.

use serde_json::json;

use super::live_shard::{Client, ROUND, TURNS_MAX, TestShard, with_shard};
use crate::meter::Counter;
use crate::shard::connections::LEFTOVER_REQUESTS_PER_TURN;
use corelane_io::ring::Wait;

const CONNECTIONS: usize = 40;
const REQUESTS: usize = 8;

/// Connections that have sent more requests than one receive brings.
async fn pipelining_clients(shard: &mut TestShard) -> Vec<Client> {
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(shard.client().await.0);
    }
    for client in &mut clients {
        let echo = client.call("echo", json!({"message": "x"}));
        client.send(&echo.repeat(REQUESTS));
    }
    clients
}

/// Takes turns until all requests are answered.
async fn serve_all(shard: &mut TestShard) {
    let all = (CONNECTIONS * REQUESTS) as u64;
    let is_served = |it: &mut TestShard| it.count(Counter::CallsOk) == all;
    shard.turn_until("all answers", is_served).await;
}

#[test]
fn completions_of_a_turn_make_a_bounded_number_of_requests() {
    // A receive brings four requests: two receives use the budget up.
    let toml = "[budget]\ncompletions_per_turn = 8\nrequests_per_connection_per_turn = 4";
    with_shard(toml, async |shard| {
        let _clients = pipelining_clients(shard).await;
        let mut most = 0;
        for _ in 0..TURNS_MAX {
            if shard.shard.leftover.len() == CONNECTIONS {
                break;
            }
            shard.shard.ring.enter(Wait::For(ROUND)).expect("it enters");
            let before = shard.count(Counter::CallsOk);
            shard.shard.handle_completions();
            most = most.max(shard.count(Counter::CallsOk) - before);
        }
        assert_eq!(most, 8, "requests of a turn");
        serve_all(shard).await;
    });
}

#[test]
fn leftover_requests_of_a_turn_are_bounded_however_many_connections_have_some() {
    let toml = "[budget]\ncompletions_per_turn = 4\nrequests_per_connection_per_turn = 2";
    with_shard(toml, async |shard| {
        let _clients = pipelining_clients(shard).await;
        // Their bytes arrive, and no turn handles the leftover requests yet.
        for _ in 0..TURNS_MAX {
            if shard.shard.leftover.len() == CONNECTIONS {
                break;
            }
            shard.shard.ring.enter(Wait::For(ROUND)).expect("it enters");
            shard.shard.handle_completions();
        }
        assert_eq!(shard.shard.leftover.len(), CONNECTIONS);
        // Bytes after a receive's worth of requests wait in the socket.
        for _ in 0..CONNECTIONS {
            shard.shard.ring.enter(Wait::No).expect("it enters");
            shard.shard.handle_completions();
        }
        let receive_bytes = shard.shard.profile.ring.buffer_bytes as usize;
        assert!(shard.shard.handling.input_bytes <= CONNECTIONS * receive_bytes);
        let before = shard.count(Counter::CallsOk);
        shard.shard.handle_leftover();
        let made = shard.count(Counter::CallsOk) - before;
        assert_eq!(made, u64::from(LEFTOVER_REQUESTS_PER_TURN));
        // Connections that were skipped come first, and all are served in the end.
        serve_all(shard).await;
    });
}

#[test]
fn a_client_that_sends_one_request_waits_for_few_of_those_that_others_pipeline() {
    // A receive brings all the requests of a connection.
    let toml = "[budget]\ncompletions_per_turn = 64\n[ring]\nbuffer_bytes = 16384";
    with_shard(toml, async |shard| {
        let (mut single, _) = shard.client().await;
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(shard.client().await.0);
        }
        let echo = single.call("echo", json!({"message": "x"}));
        for client in &mut clients {
            client.send(&echo.repeat(40));
        }
        single.send(&echo);
        for _ in 0..TURNS_MAX {
            if !single.read().is_empty() {
                break;
            }
            shard.turn().await;
        }
        // One budget of completions, and twice what each of the others may make then.
        let made = shard.count(Counter::CallsOk);
        let most = 64 + 4 * u64::from(LEFTOVER_REQUESTS_PER_TURN);
        assert!((1..=most).contains(&made), "{made} calls");
    });
}
