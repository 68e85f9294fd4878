//! The end of a shard with connections of lines.

use serde_json::json;

use super::client::Client;
use super::test_shard::{Setup, with_shard};
use crate::mcp::tests::test_endpoint::request;
use crate::profile::Binding;
use corelane_io::ring::fake::PeerEnd;

#[test]
fn all_lines_in_the_sockets_of_idle_connections_are_answered_by_a_drain() {
    const CLIENTS: usize = 20;
    const PINGS: usize = 40;
    // They wait for turns, and are received in every way.
    let change = |setup: &mut Setup| {
        setup.bindings = vec![Binding::Lines];
        setup.profile.budget.completions_per_turn = 8;
    };
    let ping = |id| {
        let params = json!({"_meta": {"about": "x".repeat(200)}});
        format!("{}\n", request(id, "ping", params))
    };
    with_shard(change, async |shard| {
        let clients: Vec<Client> = (0..CLIENTS).map(|_| shard.connect_to(0)).collect();
        for (number, client) in clients.iter().enumerate() {
            for _ in 0..number % 3 {
                client.sends(ping(0).as_bytes());
                shard.settle().await;
                assert!(client.received_text().contains(r#""id":0"#));
            }
        }
        shard.is_out_of_time();
        let pings: Vec<String> = (1..=PINGS).map(ping).collect();
        let buffer_bytes = shard.shard.profile.ring.buffer_bytes as usize;
        assert!(pings.concat().len() > 3 * buffer_bytes);
        for client in &clients {
            client.sends(pings.concat().as_bytes());
        }
        shard.turn().await;
        shard.shard.control.begin_drain();
        shard.settle().await;
        for client in &clients {
            let answers = client.received_text();
            assert_eq!(answers.lines().count(), PINGS, "{answers}");
            assert_eq!(client.end(), Some(PeerEnd::Finished));
        }
    });
}
