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
