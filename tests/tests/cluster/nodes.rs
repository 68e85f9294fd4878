//! Sessions of nodes that are killed, stopped and drained, and of a cluster without NATS.

use std::net::{Shutdown, TcpListener, TcpStream};

use corelane_tests::{EventStream, Request, Response, Server, Session, Setup, wait_until};
use serde_json::{Value, json};

use crate::test_cluster::TestCluster;

const WATCHED: &str = "test://watched-resource";
const LOGGING: &str = "test_tool_with_logging";

/// A node that has joined.
fn node(cluster: &TestCluster, number: u16) -> Server {
    cluster.join(number, cluster.setup(number))
}

/// The answer to a request of a session, on a connection of its own.
fn request(server: &Server, session: &Session, method: &str, params: Value) -> Response {
    server
        .connect()
        .exchange(&session.request(9, method, params))
}

/// The status of a ping in a session.
pub(crate) fn ping(server: &Server, session: &Session) -> u16 {
    request(server, session, "ping", json!({})).status()
}

pub(crate) fn ok(server: &Server, session: &Session, method: &str, params: Value) {
    let response = request(server, session, method, params);
    assert_eq!(response.status(), 200, "{response:?}");
    assert!(response.answer()["result"].is_object(), "{response:?}");
}

/// Sets a level that hides the messages of the tool, and subscribes to a resource.
pub(crate) fn change(server: &Server, session: &Session) {
    ok(
        server,
        session,
        "logging/setLevel",
        json!({ "level": "emergency" }),
    );
    ok(
        server,
        session,
        "resources/subscribe",
        json!({ "uri": WATCHED }),
    );
}

/// Checks that a session on a node has the level and the subscription of [`change`].
pub(crate) fn check_changed(server: &Server, session: &Session) {
    assert_eq!(ping(server, session), 200);
    // A node that reads the store too slowly serves first, and has the changes soon.
    wait_until("the level that hides everything", || {
        let response = server.connect().exchange(&session.call(LOGGING, json!({})));
        assert_eq!(response.status(), 200, "{response:?}");
        let text = String::from_utf8_lossy(&response.body);
        (!text.contains("notifications/message")).then_some(())
    });
    let mut connection = server.connect();
    connection.send(&session.stream());
    let mut stream = EventStream::begin(connection);
    let trigger = Request::modern_call("test_trigger_resource_change", json!({}));
    assert_eq!(server.connect().exchange(&trigger).status(), 200);
    let message = stream.next_message();
    assert_eq!(message["method"], "notifications/resources/updated");
    assert_eq!(message["params"]["uri"], WATCHED);
}

#[test]
fn a_killed_node_loses_neither_levels_nor_subscriptions() {
    let cluster = TestCluster::start();
    let (one, two) = (node(&cluster, 1), node(&cluster, 2));
    let sessions: Vec<Session> = (0..4).map(|_| Session::open(&mut one.connect())).collect();
    let plain = Session::open(&mut one.connect());
    assert_eq!((plain.id.len(), &plain.id[..4]), (74, "0001"));
    sessions.iter().for_each(|session| change(&one, session));
    cluster.wait_for_writes(1, 4);
    one.signal("KILL");
    let _ = one.wait_for_exit();
    sessions
        .iter()
        .for_each(|session| check_changed(&two, session));
    assert_eq!(ping(&two, &plain), 200);
    // The next process of the node gets them back from there, with later changes.
    ok(
        &two,
        &sessions[0],
        "resources/unsubscribe",
        json!({ "uri": WATCHED }),
    );
    let one = node(&cluster, 1);
    sessions[1..]
        .iter()
        .for_each(|session| check_changed(&one, session));
    ok(
        &one,
        &sessions[0],
        "resources/subscribe",
        json!({ "uri": WATCHED }),
    );
    check_changed(&one, &sessions[0]);
}

#[test]
fn a_session_that_was_ended_on_one_node_is_ended_on_all() {
    let cluster = TestCluster::start();
    let (one, two) = (node(&cluster, 1), node(&cluster, 2));
    for is_changed in [false, true] {
        let session = Session::open(&mut one.connect());
        if is_changed {
            change(&one, &session);
        }
        // It is used on the other node, and ended there: none of both serves it any more.
        for (ending, other) in [(&two, &one), (&one, &two)] {
            let session = match std::ptr::eq(ending, &two) {
                true => session.clone(),
                false => Session::open(&mut one.connect()),
            };
            if is_changed {
                change(&one, &session);
            }
            assert_eq!(ping(ending, &session), 200);
            let ended = ending.connect().exchange(&session.delete());
            assert_eq!(ended.status(), 204, "{ended:?}");
            assert_eq!(ping(ending, &session), 404);
            // The node that had it hears of that within two ways of the bus.
            wait_until("the end on the other node", || {
                (ping(other, &session) == 404).then_some(())
            });
            for node in [&one, &two] {
                let again = node.connect().exchange(&session.delete());
                assert_eq!((ping(node, &session), again.status()), (404, 404));
            }
        }
    }
}

#[test]
fn a_session_comes_to_the_node_that_its_client_reaches() {
    let cluster = TestCluster::start();
    let (one, two) = (node(&cluster, 1), node(&cluster, 2));
    let session = Session::open(&mut one.connect());
    change(&one, &session);
    cluster.wait_for_writes(1, 1);
    check_changed(&two, &session);
    // The first node gives it up.
    cluster.wait_for(1, "the loss of the session", |status| {
        status["sessions"] == 0
    });
    ok(
        &two,
        &session,
        "resources/unsubscribe",
        json!({ "uri": WATCHED }),
    );
    ok(
        &two,
        &session,
        "resources/subscribe",
        json!({ "uri": WATCHED }),
    );
    check_changed(&one, &session);
    for _ in 0..8 {
        assert_eq!((ping(&one, &session), ping(&two, &session)), (200, 200));
    }
    check_changed(&one, &session);
}

#[test]
fn everything_is_served_while_nats_is_stopped() {
    let mut cluster = TestCluster::start();
    let (one, two) = (node(&cluster, 1), node(&cluster, 2));
    let (mine, other) = (
        Session::open(&mut one.connect()),
        Session::open(&mut two.connect()),
    );
    change(&one, &mine);
    cluster.wait_for_writes(1, 1);
    cluster.nats.stop();
    for node in [1, 2] {
        cluster.wait_for(node, "the loss of NATS", |status| {
            status["is_connected"] == false
        });
    }
    check_changed(&one, &mine);
    // New ones, those of the other node, and ends.
    let new = Session::open(&mut one.connect());
    change(&one, &new);
    for session in [&mine, &other, &new] {
        assert_eq!((ping(&one, session), ping(&two, session)), (200, 200));
    }
    let ended = Session::open(&mut two.connect());
    let response = two.connect().exchange(&ended.delete());
    assert_eq!(response.status(), 204, "{response:?}");
    assert_eq!(ping(&two, &ended), 404);
    // The end is known to all of them afterwards.
    cluster.nats.resume();
    for node in [1, 2] {
        cluster.wait_for(node, "NATS", |status| status["is_connected"] == true);
    }
    wait_until("the end on the other node", || {
        (ping(&one, &ended) == 404).then_some(())
    });
    check_changed(&one, &new);
}

#[test]
fn a_node_that_drains_gives_its_sessions_away() {
    let cluster = TestCluster::start();
    let (one, two) = (node(&cluster, 1), node(&cluster, 2));
    let sessions: Vec<Session> = (0..4).map(|_| Session::open(&mut one.connect())).collect();
    // The last changes are written before the process ends.
    sessions.iter().for_each(|session| change(&one, session));
    one.signal("TERM");
    assert!(one.wait_for_exit().success(), "{}", one.log());
    sessions
        .iter()
        .for_each(|session| check_changed(&two, session));
}

#[test]
fn a_node_that_stood_still_goes_on_with_what_happened_meanwhile() {
    let cluster = TestCluster::start();
    let (one, two) = (node(&cluster, 1), node(&cluster, 2));
    let [moved, ended, kept] = [(); 3].map(|()| Session::open(&mut one.connect()));
    for session in [&moved, &ended, &kept] {
        change(&one, session);
    }
    cluster.wait_for_writes(1, 3);
    one.signal("STOP");
    cluster.wait_for(2, "the silence of the other node", |status| {
        let mut members = status["members"].as_array().into_iter().flatten();
        members.any(|it| it["node"] == 1 && it["health"] == "gone")
    });
    ok(
        &two,
        &moved,
        "logging/setLevel",
        json!({ "level": "debug" }),
    );
    assert_eq!(two.connect().exchange(&ended.delete()).status(), 204);
    one.signal("CONT");
    wait_until("the end on the node that stood still", || {
        (ping(&one, &ended) == 404).then_some(())
    });
    wait_until("the level of the other node", || {
        let response = one.connect().exchange(&moved.call(LOGGING, json!({})));
        let text = String::from_utf8_lossy(&response.body).into_owned();
        text.contains("notifications/message").then_some(())
    });
    check_changed(&one, &kept);
}

#[test]
fn a_number_is_of_one_process_at_once() {
    let cluster = TestCluster::start();
    let one = node(&cluster, 1);
    let ended = cluster
        .setup(1)
        .profile("join_timeout_ms = 2000")
        .arguments(&["--listen", "127.0.0.1:0"])
        .run_to_end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let said = &ended.error;
    assert!(
        said.contains("a live process of the cluster has this number"),
        "{said}"
    );
    assert_eq!(ping(&one, &Session::open(&mut one.connect())), 200);
}

#[test]
fn a_node_that_starts_without_nats_serves_alone_and_joins_later() {
    let mut cluster = TestCluster::start();
    let other = node(&cluster, 2);
    let foreign = Session::open(&mut other.connect());
    cluster.nats.stop();
    let one = cluster.setup(1).profile("join_timeout_ms = 100").start();
    assert!(one.log().contains("it serves alone"), "{}", one.log());
    let session = Session::open(&mut one.connect());
    change(&one, &session);
    assert_eq!((ping(&one, &session), ping(&one, &foreign)), (200, 200));
    cluster.nats.resume();
    cluster.wait_for(1, "the node to join", |status| status["stage"] == "alive");
    // The change from before is written then.
    cluster.wait_for_writes(1, 1);
    cluster.wait_for(2, "the other node to reach NATS", |status| {
        status["is_connected"] == true && status["is_isolated"] == false
    });
    one.signal("KILL");
    let _ = one.wait_for_exit();
    check_changed(&other, &session);
}

#[test]
fn a_node_that_started_alone_ends_when_its_number_is_taken() {
    let cluster = TestCluster::start();
    let first = node(&cluster, 1);
    // The first node keeps NATS: the second one reaches it through here, and not at its start.
    let door = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("nats://{}", door.local_addr().expect("an address"));
    // Another process with its number reaches NATS by the proxy.
    let profile = cluster
        .profile(1)
        .replace(cluster.nats.url().as_str(), &url);
    let setup = Setup::shards(1).profile(&profile.replace("1.sock", "beside.sock"));
    let second = setup.profile("join_timeout_ms = 100").start();
    assert!(second.log().contains("it serves alone"), "{}", second.log());
    let address = cluster.nats.url().replace("nats://", "");
    std::thread::spawn(move || {
        for inward in door.incoming().flatten() {
            let outward = TcpStream::connect(&address).expect("NATS");
            for (from, to) in [(&inward, &outward), (&outward, &inward)] {
                let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        }
    });
    let _ = second.wait_for_exit();
    let text = "a live process of the cluster has this number";
    assert_eq!(second.log().matches(text).count(), 1, "{}", second.log());
    assert_eq!(ping(&first, &Session::open(&mut first.connect())), 200);
}
