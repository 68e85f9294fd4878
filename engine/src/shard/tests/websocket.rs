//! WebSocket connections over time: silent clients, clients that vanish, drains.

use corelane_protocol::framing::websocket::{Opcode, write_frame};
use serde_json::json;

use super::client::Client;
use super::test_shard::{Setup, TestShard, with_shard};
use crate::mcp::tests::test_endpoint::{claim, request};
use crate::meter::Counter;
use crate::profile::Binding;
use corelane_io::ring::fake::{Operation, PeerEnd};
use corelane_io::slots::SlotKey;

pub(super) const HANDSHAKE: &[u8] =
    b"GET /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

const PING: &[u8] = b"\x89\x00";

/// An interval of pings and a time for pongs that are easy to add up.
fn timeouts(setup: &mut Setup) {
    setup.profile.websocket.ping_interval_ms = 10_000;
    setup.profile.websocket.pong_timeout_ms = 5000;
    setup.profile.connection.quiet_after_ms = 1000;
}

/// A client with an upgraded connection.
async fn upgraded(shard: &mut TestShard) -> (Client, SlotKey) {
    let (client, key) = shard.client().await;
    client.sends(HANDSHAKE);
    shard.settle().await;
    assert!(client.received().starts_with(b"HTTP/1.1 101 "));
    (client, key)
}

/// The ends of a client without a close frame.
fn finish(client: &Client) {
    client.finishes();
}

fn reset(client: &Client) {
    client.resets();
}

fn vanish(_: &Client) {}

pub(super) fn frame(opcode: Opcode, payload: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    write_frame(&mut frame, opcode, payload.as_bytes(), Some([9, 8, 7, 6]));
    frame
}

fn call(tool: &str) -> Vec<u8> {
    let params = json!({"name": tool, "arguments": {"message": "m"}, "_meta": claim()});
    frame(Opcode::Text, &request(1, "tools/call", params))
}

/// The code of the close frame, which is the last that the client received.
#[track_caller]
fn close_code(received: &[u8]) -> u16 {
    let start = received.len()
        - received
            .iter()
            .rev()
            .position(|it| *it == 0x88)
            .expect("one")
        - 1;
    assert_eq!(usize::from(received[start + 1]) + 2, received.len() - start);
    u16::from_be_bytes([received[start + 2], received[start + 3]])
}

#[test]
fn a_silent_client_is_sent_pings_and_is_closed_if_it_is_gone() {
    with_shard(timeouts, async |shard| {
        let (client, key) = upgraded(shard).await;
        // Two requests in a row keep a receive armed, which ends first.
        for _ in 0..2 {
            client.sends(&call("echo"));
            shard.settle().await;
            assert!(client.received().starts_with(b"\x81"));
        }
        for _ in 0..3 {
            shard.advance(10_000).await;
            assert_eq!(client.received(), b"");
            shard.advance(1200).await;
            assert_eq!(client.received(), PING);
            client.sends(&frame(Opcode::Pong, ""));
            shard.settle().await;
        }
        shard.advance(11_200).await;
        assert_eq!(client.received(), PING);
        shard.advance(4700).await;
        assert!(shard.phase(key).is_some());
        shard.advance(400).await;
        assert!(shard.phase(key).is_none());
        assert_eq!(shard.count(Counter::TimeoutsPong), 1);
        assert_eq!(shard.count(Counter::WebSocketsOpen), 0);
        assert_eq!(shard.count(Counter::TimeoutsIdle), 0);
    });
}

#[test]
fn a_call_in_flight_is_stopped_when_its_client_is_gone() {
    with_shard(timeouts, async |shard| {
        let leaves: [fn(&Client); 3] = [finish, reset, vanish];
        for leave in leaves {
            let (client, key) = upgraded(shard).await;
            client.sends(&call("wait"));
            shard.settle().await;
            assert_eq!(shard.gate.inside(), 1);
            leave(&client);
            shard.settle().await;
            shard.advance(16_500).await;
            assert_eq!(shard.gate.inside(), 0);
            assert!(shard.phase(key).is_none());
        }
    });
}

#[test]
fn a_client_that_leaves_within_a_frame_or_a_message_takes_nothing_along() {
    let whole = call("echo");
    let fragment = [&b"\x01"[..], &whole[1..]].concat();
    let cuts = [&whole[..1], &whole[..5], &whole[..30], &fragment[..]];
    with_shard(timeouts, async |shard| {
        for cut in cuts {
            let leaves: [fn(&Client); 2] = [finish, reset];
            for leave in leaves {
                let (client, key) = upgraded(shard).await;
                client.sends(cut);
                shard.settle().await;
                leave(&client);
                shard.settle().await;
                assert!(shard.phase(key).is_none());
                assert_eq!(shard.shard.handling.pool.input_bytes, 0);
            }
        }
    });
}

#[test]
fn a_message_that_takes_too_long_closes_the_connection() {
    let change = |setup: &mut Setup| {
        setup.profile.connection.body_timeout_ms = 3000;
        setup.profile.connection.linger_timeout_ms = 1000;
    };
    with_shard(change, async |shard| {
        let (client, key) = upgraded(shard).await;
        // Pings within it do not prolong its time.
        client.sends(b"\x01\x80\x01\x02\x03\x04");
        for _ in 0..3 {
            shard.settle().await;
            shard.advance(990).await;
            client.sends(&frame(Opcode::Ping, ""));
        }
        client.received();
        shard.advance(100).await;
        assert_eq!(close_code(&client.received()), 1008);
        assert_eq!(client.end(), Some(PeerEnd::Finished));
        assert_eq!(shard.count(Counter::TimeoutsBody), 1);
        shard.advance(1100).await;
        assert!(shard.phase(key).is_none());
    });
}

#[test]
fn a_drain_refuses_what_is_in_the_socket_and_closes_when_the_last_answer_is_out() {
    with_shard(timeouts, async |shard| {
        let (idle, _) = upgraded(shard).await;
        let (calling, _) = upgraded(shard).await;
        let (late, _) = upgraded(shard).await;
        calling.sends(&call("wait"));
        shard.settle().await;
        late.sends(&call("echo"));
        shard.shard.control.begin_drain();
        shard.settle().await;
        assert_eq!(close_code(&idle.received()), 1001);
        assert_eq!(idle.end(), Some(PeerEnd::Finished));
        let refused = late.received();
        let text = String::from_utf8_lossy(&refused);
        assert!(
            text.contains("-32603") && text.contains("shutting down"),
            "{text}"
        );
        assert_eq!(close_code(&refused), 1001);
        assert_eq!((calling.received(), calling.end()), (Vec::new(), None));
        shard.gate.open();
        shard.settle().await;
        let answer = calling.received();
        assert!(String::from_utf8_lossy(&answer).contains("passed"));
        assert_eq!(close_code(&answer), 1001);
        // The close frames of the clients, and one that never closes.
        idle.sends(&frame(Opcode::Close, ""));
        idle.finishes();
        late.finishes();
        shard.advance(1200).await;
        assert_eq!(shard.connections(), 0);
    });
}

#[test]
fn an_address_for_websocket_upgrades_its_connections() {
    let change = |setup: &mut Setup| setup.bindings = vec![Binding::WebSocket];
    with_shard(change, async |shard| {
        let (client, _) = shard.client().await;
        client.calls("echo", json!({"message": "m"}));
        shard.settle().await;
        assert!(client.received().starts_with(b"HTTP/1.1 426 "));
        let (client, _) = upgraded(shard).await;
        client.sends(&frame(Opcode::Close, ""));
        shard.settle().await;
        assert_eq!(client.received(), b"\x88\x00");
        assert_eq!(client.end(), Some(PeerEnd::Finished));
    });
}

/// The calls fill several receive buffers, and each of these is a step of its own.
#[test]
fn answers_of_a_turn_leave_in_one_send() {
    const CALLS: usize = 20;
    with_shard(timeouts, async |shard| {
        let (client, key) = upgraded(shard).await;
        let calls = call("echo").repeat(CALLS);
        assert!(calls.len() > 2 * shard.shard.profile.ring.buffer_bytes as usize);
        let mut answers = Vec::new();
        // The first one makes the shard keep a receive armed, and the second one has it offer more
        // than one buffer.
        for _ in 0..3 {
            client.sends(&calls);
            shard.settle().await;
            answers = client.received();
        }
        shard.network.hold(Operation::Send);
        client.sends(&calls);
        shard.settle().await;
        shard.network.release();
        // The send that is under way ends, and no other begins.
        shard.shard.enter(true).expect("the model never fails");
        assert_eq!(client.received(), answers);
        shard.settle().await;
        assert_eq!(client.received(), b"");
        assert!(shard.phase(key).is_some());
    });
}

/// Its peer gets as much as without the wait for the end of the turn.
#[test]
fn a_connection_that_is_closed_sends_what_it_had_gathered() {
    with_shard(timeouts, async |shard| {
        let (client, key) = upgraded(shard).await;
        shard.sends(key, 10);
        assert_eq!(client.received(), b"");
        shard.shard.close(key, Counter::ClosedPeer);
        shard.settle().await;
        assert_eq!(client.received().len(), 10);
        assert_eq!(shard.shard.handling.pool.output_bytes, 0);
    });
}
