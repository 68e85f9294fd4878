//! Large messages, which leave the shard while they are decoded.

use serde_json::json;

use super::test_shard::TestShard;
use crate::connection::http::Phase;
use crate::handler::offload::PoolThreads;
use crate::mcp::tests::test_endpoint::{MODERN, claim, request};
use crate::profile::ShardProfile;

fn decode_elsewhere(profile: &mut ShardProfile) {
    profile.json.inline_bytes_max = 1024;
}

/// A modern call of `echo` as a whole request.
fn echo(message: &str) -> String {
    let params = json!({"name": "echo", "arguments": {"message": message}, "_meta": claim()});
    let body = request(1, "tools/call", params);
    format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{MODERN}\
         Mcp-Method: tools/call\r\nMcp-Name: echo\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn large() -> String {
    echo(&"x".repeat(2000))
}

#[test]
fn small_messages_pass_a_large_one() {
    // Without a thread the large one is never decoded.
    let mut shard = TestShard::single(decode_elsewhere);
    let (first, second) = (shard.insert(3), shard.insert(4));
    shard.receive(first, &large());
    shard.receive(second, &echo("x"));
    assert_eq!(shard.phase(first), Some(Phase::Waiting));
    let answered = shard.shard.slots.get(second).expect("it is open");
    assert!(answered.is_sending());
}

#[test]
fn a_client_that_leaves_takes_back_its_large_message() {
    let mut shard = TestShard::single(decode_elsewhere);
    // One may wait for a thread: the place is free again each time.
    for index in 3..6 {
        let key = shard.insert(index);
        shard.receive(key, &large());
        assert_eq!(shard.phase(key), Some(Phase::Waiting));
        assert!(shard.shard.handling.input_bytes > 2000);
        shard.shard.close(key);
        assert_eq!(shard.shard.handling.input_bytes, 0);
    }
}

#[test]
fn a_large_message_is_handled_in_a_later_turn_unless_its_client_left() {
    for leaves in [false, true] {
        let threads = PoolThreads {
            decode: 1,
            ..PoolThreads::NONE
        };
        let mut shard = TestShard::with_pool(threads, decode_elsewhere);
        let key = shard.insert(3);
        shard.receive(key, &large());
        while !shard.shard.handling.endpoint.has_decoded() {
            std::thread::yield_now();
        }
        if leaves {
            shard.shard.close(key);
        }
        assert!(shard.shard.handling.input_bytes > 2000);
        assert!(shard.shard.has_work());
        assert!(shard.shard.handle_decoded());
        assert_eq!(shard.shard.handling.input_bytes, 0);
        shard.peer_known(key);
        let connection = shard.shard.slots.get(key);
        assert_eq!(
            connection.map(|it| it.is_sending()),
            (!leaves).then_some(true)
        );
        assert!(!shard.shard.handle_decoded());
    }
}
