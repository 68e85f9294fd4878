//! Pipelined requests that wait for a turn.

use serde_json::json;

use super::client::Client;
use super::test_shard::{Setup, TestShard, with_shard};
use crate::meter::Counter;
use corelane_io::chunk::LARGE_CHUNK_BYTES;

const CONNECTIONS: usize = 40;
const REQUESTS: usize = 8;
/// Requests that a turn without time answers of each kind, new ones and leftover ones.
const REQUESTS_PER_LOOK: u64 = 8;
/// Requests that connections with leftover requests make in a round.
const SHARED_REQUESTS: u64 = 64;

/// Connections that have sent more requests than one receive brings.
async fn pipelining_clients(shard: &mut TestShard) -> Vec<Client> {
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(shard.client().await.0);
    }
    for client in &clients {
        let echo = client.call("echo", json!({"message": "x"}));
        let fitting = shard.shard.profile.ring.buffer_bytes as usize / echo.len();
        assert!((4..REQUESTS).contains(&fitting));
        client.sends(&echo.repeat(REQUESTS));
    }
    clients
}

/// Handles completions until every connection has requests left over; returns the most requests
/// that were made at once.
fn receive_all(shard: &mut TestShard) -> u64 {
    let mut most = 0;
    while shard.shard.leftover.len() < CONNECTIONS {
        shard.shard.enter(true).expect("the model never fails");
        let before = shard.count(Counter::CallsOk);
        shard.shard.handle_completions();
        most = most.max(shard.count(Counter::CallsOk) - before);
    }
    most
}

/// Makes turns until nothing is left, and expects that everything was served.
async fn serve_all(shard: &mut TestShard, clients: &[Client]) {
    shard.settle().await;
    for client in clients {
        let answers = client.received_text().matches("HTTP/1.1 200 ").count();
        assert_eq!(answers, REQUESTS);
    }
}

#[test]
fn completions_of_a_turn_make_a_bounded_number_of_requests() {
    let change = |setup: &mut Setup| {
        setup.profile.budget.requests_per_connection_per_turn = 4;
    };
    with_shard(change, async |shard| {
        shard.is_out_of_time();
        let clients = pipelining_clients(shard).await;
        let made = receive_all(shard);
        // The first connection makes its share, and its bytes count as several requests.
        assert_eq!(made, 4);
        serve_all(shard, &clients).await;
    });
}

#[test]
fn leftover_requests_of_a_turn_are_bounded_however_many_connections_have_some() {
    let change = |setup: &mut Setup| {
        setup.profile.budget.completions_per_turn = 4;
        setup.profile.budget.requests_per_connection_per_turn = 2;
    };
    with_shard(change, async |shard| {
        shard.is_out_of_time();
        let clients = pipelining_clients(shard).await;
        // Their bytes arrive, and no turn takes up the rest yet.
        receive_all(shard);
        assert_eq!(shard.shard.leftover.len(), CONNECTIONS);
        // Bytes behind a receive's worth of requests wait in the socket.
        for _ in 0..CONNECTIONS {
            shard.shard.enter(true).expect("the model never fails");
            shard.shard.handle_completions();
        }
        let receive_bytes = shard.shard.profile.ring.buffer_bytes as usize;
        assert!(receive_bytes <= LARGE_CHUNK_BYTES);
        assert!(shard.shard.handling.pool.input_bytes <= CONNECTIONS * LARGE_CHUNK_BYTES);
        let before = shard.count(Counter::CallsOk);
        shard.shard.handle_leftover();
        let made = shard.count(Counter::CallsOk) - before;
        assert!(
            (REQUESTS_PER_LOOK..REQUESTS_PER_LOOK + 2).contains(&made),
            "{made}"
        );
        // Those that were passed over come first, and all are served in the end.
        serve_all(shard, &clients).await;
    });
}

#[test]
fn a_client_that_sends_one_request_waits_for_few_of_those_that_others_pipeline() {
    // A receive brings all the requests of a connection.
    let change = |setup: &mut Setup| {
        setup.profile.budget.completions_per_turn = 64;
        setup.profile.ring.buffer_bytes = 16_384;
    };
    with_shard(change, async |shard| {
        shard.is_out_of_time();
        let (single, _) = shard.client().await;
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(shard.client().await.0);
        }
        let echo = single.call("echo", json!({"message": "x"}));
        for client in &clients {
            client.sends(&echo.repeat(40));
        }
        single.sends(&echo);
        while single.received().is_empty() {
            shard.turn().await;
        }
        // One budget of completions, and twice what each of the others may make then.
        let made = shard.count(Counter::CallsOk);
        let most = 64 + 4 * SHARED_REQUESTS;
        assert!((1..=most).contains(&made), "{made} calls");
        shard.settle().await;
    });
}
