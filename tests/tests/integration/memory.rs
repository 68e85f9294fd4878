//! Memory of a burst is returned to the system.

use corelane_tests::{Connection, Request, Server, Setup, wait_until};
use serde_json::json;

const BODY_BYTES: usize = 16 << 20;
const CONNECTIONS: usize = 10;

/// Makes some requests of every size for which a server keeps memory.
fn warm_up(server: &Server) {
    let mut connection = server.connect();
    for message_bytes in [10, 3_000, 60_000] {
        let message = "x".repeat(message_bytes);
        for _ in 0..50 {
            let echo = Request::modern_call("echo", json!({ "message": message }));
            assert_eq!(connection.exchange(&echo).status(), 200);
        }
    }
}

#[test]
fn the_memory_of_large_bodies_goes_back_to_the_system_with_their_connections() {
    let server = Setup::shards(1).start();
    warm_up(&server);
    let before = server.resident_bytes();
    let head = Request::post("").head_start(server.address());
    let mut bytes = format!("{head}Content-Length: {BODY_BYTES}\r\n\r\n").into_bytes();
    bytes.resize(bytes.len() + BODY_BYTES - 1, b' ');
    let connections: Vec<Connection> = (0..CONNECTIONS)
        .map(|_| {
            let mut connection = server.connect();
            connection.send_bytes(&bytes);
            connection
        })
        .collect();
    let held = wait_until("the bodies to be held", || {
        let held = server.resident_bytes();
        (held > before + CONNECTIONS * BODY_BYTES / 2).then_some(held)
    });
    drop(connections);
    // A fifth may stay: the chunks and receive buffers of a shard that the burst touched, 12 MiB,
    // and pages that the allocator keeps for small blocks.
    const KEPT_BYTES: usize = CONNECTIONS * BODY_BYTES / 5;
    let mut seen = 0;
    wait_until("the memory to be given back", || {
        let now = server.resident_bytes();
        if now != std::mem::replace(&mut seen, now) {
            println!("{before} bytes before, {held} held, {now} now");
        }
        (now < before + KEPT_BYTES).then_some(())
    });
    assert!(held > 2 * before, "{held} bytes were held, {before} before");
}
