//! A shard that holds as much memory as it may.

use super::client::Client;
use super::test_shard::{Setup, TestShard, with_shard};
use crate::mcp::tests::test_endpoint::request;
use crate::meter::Counter;
use crate::profile::memory::SESSION_BYTES;
use serde_json::{Value, json};

/// The memory of the shard. A body that is not whole takes 512 KiB.
const BYTES_MAX: u64 = 4_000_000;
const BODY_BYTES: usize = 400_000;

fn setup(setup: &mut Setup) {
    setup.profile.overload.memory_bytes_max = BYTES_MAX;
}

/// Clients with bodies that are not whole.
async fn unfinished(shard: &mut TestShard, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let (client, _) = shard.client().await;
        let body = "x".repeat(BODY_BYTES);
        let post = client.post("", &body);
        client.sends(&post[..post.len() - 1]);
        shard.settle().await;
        clients.push(client);
    }
    shard.advance(20).await;
    clients
}

#[test]
fn a_shard_without_memory_refuses_what_takes_more_and_serves_the_rest() {
    with_shard(setup, async |shard| {
        let session = shard.session().await;
        let (other, _) = shard.client().await;
        let echo = other.call("echo", json!({"message": "hello"}));
        let clients = unfinished(shard, 9).await;
        assert_eq!(shard.count(Counter::MemoryBegun), 1);
        assert!(shard.count(Counter::MemoryBytes) >= BYTES_MAX);

        let refused = shard.connect();
        shard.settle().await;
        assert!(refused.end().is_some(), "a new connection");
        assert_eq!(shard.count(Counter::ConnectionsRefusedMemory), 1);
        other.sends(&echo);
        shard.settle().await;
        let answer = other.received_text();
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("overload.memory_bytes_max"), "{answer}");
        assert_eq!(shard.count(Counter::CallsRefusedMemory), 1);
        other.sends(&other.post(&session, &request(7, "ping", Value::Null)));
        shard.settle().await;
        let answer = other.received_text();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

        for client in &clients {
            client.resets();
        }
        shard.settle().await;
        shard.advance(20).await;
        other.sends(&echo);
        let (accepted, _) = shard.client().await;
        let answer = other.received_text();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(accepted.end(), None);
    });
}

/// Sessions that are in use are not ended for others, so new ones must not be made.
#[test]
fn a_shard_without_memory_makes_no_session_and_goes_on_with_those_it_has() {
    with_shard(setup, async |shard| {
        let session = shard.session().await;
        let (other, _) = shard.client().await;
        let mut refused = String::new();
        for _ in 0..BYTES_MAX / SESSION_BYTES + 1000 {
            other.initializes(json!({}));
            shard.settle().await;
            shard.pass(1);
            let answer = other.received_text();
            if !answer.starts_with("HTTP/1.1 200") {
                refused = answer;
                break;
            }
        }
        assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
        assert!(refused.contains("Retry-After: 1\r\n"), "{refused}");
        assert!(refused.contains("overload.memory_bytes_max"), "{refused}");
        assert_eq!(shard.count(Counter::RefusedOverload), 1);
        other.sends(&other.post(&session, &request(7, "ping", Value::Null)));
        shard.settle().await;
        let answer = other.received_text();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    });
}

#[test]
fn an_unfinished_request_that_grows_without_memory_is_refused() {
    with_shard(setup, async |shard| {
        let (growing, _) = shard.client().await;
        let post = growing.post("", &"x".repeat(BODY_BYTES));
        growing.sends(&post[..1000]);
        shard.settle().await;
        unfinished(shard, 9).await;
        growing.sends(&post[1000..10_000]);
        shard.settle().await;
        let answer = growing.received_text();
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    });
}

#[test]
fn idle_sessions_end_before_anything_is_refused_and_those_in_use_stay() {
    with_shard(setup, async |shard| {
        let idle = shard.session().await;
        let used = shard.session().await;
        let (other, _) = shard.client().await;
        let ping = |session: &str| other.post(session, &request(7, "ping", Value::Null));
        shard.advance(11_000).await;
        other.sends(&ping(&used));
        shard.settle().await;
        assert!(other.received_text().starts_with("HTTP/1.1 200"));
        unfinished(shard, 7).await;
        assert_eq!(shard.count(Counter::MemoryBegun), 0);
        assert!(shard.count(Counter::MemoryBytes) >= BYTES_MAX / 10 * 8);
        for (session, status) in [(&used, "200"), (&idle, "404")] {
            other.sends(&ping(session));
            shard.settle().await;
            let answer = other.received_text();
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{answer}"
            );
        }
        assert_eq!(shard.count(Counter::SessionsEvicted), 1);
    });
}
