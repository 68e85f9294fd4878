//! Pipelined requests that wait for a turn.

use serde_json::json;

use super::live_shard::{Client, ROUND, TURNS_MAX, TestShard, with_shard};
use crate::meter::Counter;
use corelane_io::ring::Wait;

#[test]
fn a_turn_takes_up_a_bounded_number_of_connections_with_requests_left_over() {
    const CONNECTIONS: usize = 12;
    const REQUESTS: usize = 8;
    // Two connections of two requests each make four requests.
    let toml = "[budget]\ncompletions_per_turn = 4\nrequests_per_connection_per_turn = 2";
    with_shard(toml, async |shard| {
        let mut clients: Vec<Client> = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(shard.client().await.0);
        }
        for client in &mut clients {
            let echo = client.call("echo", json!({"message": "x"}));
            client.send(&echo.repeat(REQUESTS));
        }
        // Their bytes arrive, and no turn takes up what is left over yet.
        for _ in 0..TURNS_MAX {
            if shard.shard.leftover.len() == CONNECTIONS {
                break;
            }
            shard.shard.ring.enter(Wait::For(ROUND)).expect("it enters");
            shard.shard.handle_completions();
        }
        assert_eq!(shard.shard.leftover.len(), CONNECTIONS);
        let before = shard.count(Counter::CallsOk);
        shard.shard.handle_leftover();
        assert_eq!(shard.count(Counter::CallsOk) - before, 4);
        // Those that were passed over come first, and all are served in the end.
        let all = (CONNECTIONS * REQUESTS) as u64;
        let is_served = |it: &mut TestShard| it.count(Counter::CallsOk) == all;
        shard.turn_until("all answers", is_served).await;
    });
}
