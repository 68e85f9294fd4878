//! Actions against overload of a real server: connections that are refused.

use corelane_tests::{Connection, PATIENCE, Request, Server, Setup, wait_until};
use serde_json::json;

fn is_served(connection: &mut Connection) -> bool {
    let list = Request::modern(1, "tools/list", json!({})).to_bytes(connection.address());
    connection.try_send_bytes(&list).is_ok()
        && connection
            .try_read_response(PATIENCE)
            .is_ok_and(|it| it.status() == 200)
}

/// Connections of `server` from an address, each of which is served or closed.
fn served_from(server: &Server, address: [u8; 4], count: usize) -> Vec<Connection> {
    let mut all: Vec<Connection> = (0..count).map(|_| server.connect_from(address)).collect();
    all.retain_mut(is_served);
    all
}

#[test]
fn an_address_with_all_its_connections_gets_no_more_and_others_are_served() {
    let profile = "[overload]\nconnections_per_address_max = 3";
    let server = Setup::shards(1).profile(profile).start();
    let mut greedy = served_from(&server, [127, 0, 0, 2], 10);
    assert_eq!(greedy.len(), 3);
    assert_eq!(served_from(&server, [127, 0, 0, 3], 2).len(), 2);
    assert!(greedy.iter_mut().all(is_served), "those it has stay");
    greedy.pop();
    wait_until("a place of the address", || {
        let free = served_from(&server, [127, 0, 0, 2], 1);
        (free.len() == 1).then_some(())
    });
}

#[test]
fn a_process_with_all_its_connections_closes_others_at_once() {
    let profile = "[overload]\nconnections_max = 4";
    let server = Setup::shards(2).profile(profile).start();
    // One after the other: two shards that accept at the same time may each take one more.
    let mut served = Vec::new();
    for _ in 0..10 {
        served.extend(served_from(&server, [127, 0, 0, 1], 1));
    }
    assert_eq!(served.len(), 4);
    assert!(served.iter_mut().all(is_served), "those it has stay");
    served.pop();
    wait_until("a place of the process", || {
        let free = served_from(&server, [127, 0, 0, 1], 1);
        (free.len() == 1).then_some(())
    });
}

#[test]
fn bodies_without_an_end_take_no_more_memory_than_a_shard_may_hold() {
    const BYTES_MAX: usize = 64 << 20;
    const BODY_BYTES: usize = 8 << 20;
    let profile = format!("[overload]\nmemory_bytes_max = {BYTES_MAX}");
    let server = Setup::shards(1).profile(&profile).start();
    let mut served = server.connect();
    assert!(is_served(&mut served));
    let before = server.resident_bytes();
    let head = Request::post("").head_start(server.address());
    let mut bytes = format!("{head}Content-Length: {BODY_BYTES}\r\n\r\n").into_bytes();
    bytes.resize(bytes.len() + BODY_BYTES - 1, b' ');
    // Four times as many as fit. Those past the limit are refused, or closed while they send.
    let mut greedy = Vec::new();
    for _ in 0..4 * BYTES_MAX / BODY_BYTES {
        if let Ok(mut connection) = Connection::open(server.address()) {
            let _ = connection.try_send_bytes(&bytes);
            greedy.push(connection);
        }
        let held = server.resident_bytes() - before.min(server.resident_bytes());
        assert!(held < 2 * BYTES_MAX, "{held} bytes are held");
    }
    let list = Request::modern(1, "tools/list", json!({})).to_bytes(served.address());
    served.send_bytes(&list);
    assert_eq!(served.read_response().status(), 200, "it is alive");
    drop(greedy);
    wait_until("memory for new clients", || {
        Connection::open(server.address())
            .is_ok_and(|mut it| is_served(&mut it))
            .then_some(())
    });
}
