//! Settings of a reload that a shard takes over between two requests.

use std::sync::Arc;

use serde_json::json;

use super::client::Client;
use super::test_shard::{Setup, TestShard, with_shard};
use crate::guard::origin::OriginPolicy;
use crate::live::{Live, RolloutBarrier};
use crate::mcp::tests::test_endpoint::request;
use crate::meter::Counter;
use crate::profile::{Server, ShardProfile};

/// The shard takes over what `change` makes of its knobs and of the settings of the process.
fn reload(shard: &mut TestShard, change: impl FnOnce(&mut ShardProfile, &mut Server)) {
    let (mut profile, mut server) = (shard.shard.profile, Server::default());
    change(&mut profile, &mut server);
    let address = Some(shard.address());
    let policy = OriginPolicy::new(address, &server.allowed_hosts, &server.allowed_origins);
    let live = Arc::new(Live {
        generation: 1,
        shards: vec![profile],
        origins: vec![policy.expect("the hosts and origins of tests")],
        server,
        principal: None,
        sealer: Arc::new(corelane_protocol::request_state::Sealer::random()),
        memory_bytes_max: u64::MAX,
    });
    let barrier = RolloutBarrier::begin(1);
    shard.shard.take_live(barrier.of(&live, 0));
    barrier.wait(Default::default()).expect("the shard uses it");
}

/// Sends a request in a session, and returns the first line of the answer.
async fn status(shard: &mut TestShard, session: &str) -> String {
    let (client, _) = shard.client().await;
    client.sends(&client.post(session, &request(1, "ping", json!({}))));
    shard.settle().await;
    first_line(&client)
}

fn first_line(client: &Client) -> String {
    let text = client.received_text();
    text.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn lowered_caps_end_idle_sessions_a_few_each_turn_and_busy_ones_stay() {
    /// As the contract of reloads has it.
    const EVICTIONS_PER_TURN: u64 = 64;
    const SESSIONS: usize = 300;
    const LEFT: usize = 10;
    let none = |_: &mut Setup| ();
    with_shard(none, async |shard| {
        let mut sessions = Vec::new();
        for _ in 0..SESSIONS {
            sessions.push(shard.session().await);
        }
        // The two that were used longest ago: one with a call, one with a stream.
        let (caller, _) = shard.client().await;
        let params = json!({"name": "wait", "arguments": {}});
        let headers = format!("{}Accept: application/json\r\n", sessions[0]);
        caller.sends(&caller.post(&headers, &request(1, "tools/call", params)));
        let (listener, _) = shard.client().await;
        listener.opens_stream(&sessions[1]);
        shard.settle().await;
        listener.received();
        reload(shard, |profile, _| profile.sessions.per_shard_max = LEFT);
        let mut open = shard.count(Counter::SessionsOpen);
        assert_eq!(open, SESSIONS as u64, "none of them goes at once");
        while shard.shard.has_work() {
            shard.turn().await;
            let left = shard.count(Counter::SessionsOpen);
            assert!(
                open - left <= EVICTIONS_PER_TURN,
                "{open} to {left} in one turn"
            );
            open = left;
        }
        assert_eq!(open, LEFT as u64);
        for busy in &sessions[..2] {
            assert_eq!(status(shard, busy).await, "HTTP/1.1 200 OK");
        }
        assert_eq!(status(shard, &sessions[2]).await, "HTTP/1.1 404 Not Found");
        assert_eq!(status(shard, &sessions[299]).await, "HTTP/1.1 200 OK");
        // A new one evicts another: the limit is in use.
        shard.session().await;
        assert_eq!(shard.count(Counter::SessionsOpen), LEFT as u64);
        shard.gate.open();
        shard.settle().await;
        assert!(first_line(&caller).starts_with("HTTP/1.1 200"));
    });
}

#[test]
fn hosts_and_paths_of_a_reload_count_for_the_next_request_of_an_open_connection() {
    let none = |_: &mut Setup| ();
    with_shard(none, async |shard| {
        let (client, _) = shard.client().await;
        let ping = request(1, "ping", json!({}));
        let session = shard.session().await;
        client.sends(&client.post(&session, &ping));
        shard.settle().await;
        assert_eq!(first_line(&client), "HTTP/1.1 200 OK");
        reload(shard, |_, server| {
            server.endpoint = crate::profile::Paths::One("/other".to_owned());
        });
        client.sends(&client.post(&session, &ping));
        shard.settle().await;
        assert_eq!(first_line(&client), "HTTP/1.1 404 Not Found");
        reload(shard, |profile, _| profile.http.target_bytes_max = 2);
        client.sends(&client.post(&session, &ping));
        shard.settle().await;
        assert!(first_line(&client).starts_with("HTTP/1.1 414"));
    });
}

#[test]
fn a_call_that_runs_ends_as_it_began_and_the_next_one_has_the_other_limit() {
    let none = |_: &mut Setup| ();
    with_shard(none, async |shard| {
        let (running, _) = shard.client().await;
        running.calls("wait", json!({}));
        shard.settle().await;
        reload(shard, |profile, _| {
            profile.calls.timeout_ms = 1000;
            profile.calls.in_flight_max = 1;
        });
        let (refused, _) = shard.client().await;
        refused.calls("wait", json!({}));
        shard.settle().await;
        assert!(first_line(&refused).starts_with("HTTP/1.1 503"));
        reload(shard, |profile, _| profile.calls.in_flight_max = 100);
        let (late, _) = shard.client().await;
        late.calls("wait", json!({}));
        shard.settle().await;
        // Its deadline is before that of the call that began first.
        shard.advance(1000).await;
        assert!(late.received_text().contains("calls.timeout_ms"));
        assert_eq!(shard.gate.inside(), 1);
        shard.gate.open();
        shard.settle().await;
        assert!(first_line(&running).starts_with("HTTP/1.1 200"));
    });
}

#[test]
fn all_calls_are_served_again_once_nothing_is_refused_for_the_delay() {
    let slow = |setup: &mut Setup| {
        setup.profile.overload.loop_delay_ms = 10;
        setup.profile.overload.loop_delay_window_ms = 10;
    };
    with_shard(slow, async |shard| {
        let mut clients = Vec::new();
        for _ in 0..20 {
            clients.push(shard.client().await.0);
        }
        shard.call_ms = 50;
        for _ in 0..10 {
            for client in &clients {
                client.calls("echo", json!({"message": "x"}));
            }
            shard.settle().await;
            clients.iter().for_each(|client| drop(client.received()));
        }
        assert!(shard.shard.loop_delay.served_one_of > 1);
        reload(shard, |profile, _| profile.overload.loop_delay_ms = 0);
        for client in &clients {
            client.calls("echo", json!({"message": "x"}));
        }
        shard.settle().await;
        for client in &clients {
            assert!(first_line(client).starts_with("HTTP/1.1 200"));
        }
    });
}
