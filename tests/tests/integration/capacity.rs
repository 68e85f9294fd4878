//! As many connections as the table holds, more than that, and very many one after the other.

use std::time::Duration;

use corelane_tests::{
    Connection, LivenessProbe, PATIENCE, Request, Server, Session, Setup, wait_until,
};
use serde_json::json;

fn list_tools(connection: &mut Connection, timeouts: Duration) -> bool {
    let list = Request::modern(1, "tools/list", json!({})).to_bytes(connection.address());
    connection.try_send_bytes(&list).is_ok()
        && connection
            .try_read_response(timeouts)
            .is_ok_and(|it| it.status() == 200)
}

/// Opens `count` connections at once and separates the served ones from the others.
fn open(server: &Server, count: usize) -> (Vec<Connection>, Vec<Connection>) {
    // A refused connection may be closed before its request is sent.
    let connections: Vec<Connection> = (0..count)
        .filter_map(|_| Connection::open(server.address()).ok())
        .collect();
    let (mut served, mut waiting) = (Vec::new(), Vec::new());
    for mut connection in connections {
        // A connection that is not served soon waits until a slot is free.
        let timeouts = match waiting.is_empty() {
            true => PATIENCE / 15,
            false => Duration::from_millis(20),
        };
        match list_tools(&mut connection, timeouts) {
            true => served.push(connection),
            false => waiting.push(connection),
        }
    }
    (served, waiting)
}

/// At least `expected` connections can be served side by side.
fn check_room(server: &Server, expected: usize, when: &str) {
    wait_until(&format!("room for {expected} connections {when}"), || {
        let mut connections: Vec<Connection> = (0..expected).map(|_| server.connect()).collect();
        connections
            .iter_mut()
            .all(|it| list_tools(it, PATIENCE / 15))
            .then_some(())
    });
}

#[test]
fn a_full_server_serves_those_it_has_and_then_others() {
    // The limit of open files bounds the slots of a shard, and so does a knob.
    let by_limit = Setup::shards(1).open_files_max(100);
    let by_knob = Setup::shards(1).profile("[ring]\ndescriptors = 90");
    for (name, setup) in [("ulimit -n 100", by_limit), ("90 descriptors", by_knob)] {
        let server = setup.start();
        let mut probe = LivenessProbe::of(&server);
        let (mut served, waiting) = open(&server, 200);
        assert!(
            (30..100).contains(&served.len()),
            "{name}: {} are served",
            served.len()
        );
        assert!(!waiting.is_empty(), "{name}");
        probe.check("a full server");
        for connection in &mut served {
            assert!(list_tools(connection, PATIENCE), "{name}: {connection:?}");
        }
        let expected = served.len();
        drop(waiting);
        // They close one by one, each with a new connection behind it.
        for leaver in served.drain(..20) {
            drop(leaver);
            wait_until("a place for somebody new", || {
                Connection::open(server.address())
                    .is_ok_and(|mut it| list_tools(&mut it, PATIENCE / 15))
                    .then_some(())
            });
        }
        probe.check("people coming and going");
        for connection in &mut served {
            assert!(list_tools(connection, PATIENCE), "{name}: {connection:?}");
        }
        drop(served);
        check_room(&server, expected, name);
        probe.check("an empty server");
        // However often it filled up.
        let warning = "holds as many connections as it can";
        wait_until("a warning", || server.log().contains(warning).then_some(()));
        assert_eq!(server.log().matches(warning).count(), 1, "{name}");
    }
}

#[test]
fn a_shard_holds_more_connections_than_the_limit_of_open_files_allows_one_ring() {
    const ALL: usize = 300;
    // Four rings. With the default backlog connections are accepted one by one.
    for backlog in [4096, 4] {
        let server = Setup::shards(1)
            .open_files_max(100)
            .profile(&format!(
                "server.backlog = {backlog}\n[ring]\ndescriptors = {ALL}"
            ))
            .start();
        let mut connections: Vec<Connection> = Vec::new();
        for _ in 0..ALL {
            let mut connection = server.connect();
            assert!(list_tools(&mut connection, PATIENCE), "{connection:?}");
            connections.push(connection);
        }
        let (served, waiting) = open(&server, 3);
        assert_eq!((served.len(), waiting.len()), (0, 3), "{backlog}");
        // All of them, the last ones first.
        for connection in connections.iter_mut().rev() {
            assert!(list_tools(connection, PATIENCE), "{connection:?}");
        }
        // Half of each ring.
        let mut connections: Vec<Connection> = connections.into_iter().step_by(2).collect();
        drop(waiting);
        check_room(&server, ALL - connections.len(), "in all rings");
        for connection in &mut connections {
            assert!(list_tools(connection, PATIENCE), "{connection:?}");
        }
        let mut probe = LivenessProbe::of(&server);
        probe.check("several rings");
    }
}

#[test]
fn a_full_shard_does_not_harm_the_others() {
    let profile = "[ring]\ndescriptors = 40";
    let server = Setup::shards(2).profile(profile).start();
    let mut bystanders: Vec<LivenessProbe> = (0..8).map(|_| LivenessProbe::of(&server)).collect();
    let (served, waiting) = open(&server, 160);
    assert!(served.len() > 40, "both shards serve: {}", served.len());
    assert!(!waiting.is_empty(), "80 places cannot hold 160 connections");
    bystanders.iter_mut().for_each(|it| it.check("full shards"));
    drop((served, waiting));
    bystanders
        .iter_mut()
        .for_each(|it| it.check("empty shards"));
}

#[test]
fn connections_that_come_and_go_leave_nothing() {
    const ROUNDS: usize = 3000;
    for shards in [1, 2] {
        let server = Setup::shards(shards)
            .profile("[ring]\ndescriptors = 64")
            .start();
        let mut probe = LivenessProbe::of(&server);
        let session = Session::open(&mut server.connect());
        let files_before = server.open_files();
        let once = session
            .call("echo", json!({ "message": "x" }))
            .field("Connection", "close");
        let later = session.call("sleep", json!({ "ms": 0 }));
        for round in 0..ROUNDS {
            let mut connection = server.connect();
            match round % 4 {
                // The server closes first.
                0 => {
                    assert_eq!(connection.exchange(&once).status(), 200, "round {round}");
                    connection.expect_close();
                }
                // The client closes first, and has its answer.
                1 => assert_eq!(connection.exchange(&later).status(), 200, "round {round}"),
                // The client leaves without its answer.
                2 => connection.send(&later),
                // The client never sends anything.
                _ => {}
            }
            drop(connection);
            if round % 500 == 0 {
                probe.check(&format!("{round} connections"));
            }
        }
        check_room(&server, 40 * shards, "after all others left");
        probe.check("thousands of connections");
        wait_until("as many open files as before", || {
            (server.open_files() <= files_before + 2).then_some(())
        });
    }
}
