//! Upstreams with several replicas: which of them gets a request, and the effect of failures.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use corelane_tests::mock_upstream::{Act, MockUpstream, Received, result_of};
use corelane_tests::{Connection, Request, Session, Setup, wait_until};
use serde_json::{Value, json};

use super::{EMPTY, Gateway, legacy};

fn section(addresses: &[SocketAddr], lines: &str) -> String {
    let urls = addresses.iter().enumerate();
    let urls: Vec<_> = urls
        .map(|(number, address)| format!("http://{address}/replica-{number}"))
        .collect();
    format!("[[upstream]]\nname = \"up\"\nurls = {urls:?}\n{lines}\n")
}

fn start(addresses: &[SocketAddr], lines: &str) -> Gateway {
    let gateway = Gateway::start(&section(addresses, lines));
    gateway.wait_for("up_call");
    gateway
}

fn mock(call: impl Fn(&Received) -> Act + Send + Sync + 'static) -> MockUpstream {
    MockUpstream::with_tools(&["call"], call)
}

fn ordinary(received: &Received) -> Act {
    Act::Send(result_of(received, EMPTY))
}

/// A mock with sessions that ends each connection after an answer.
fn closing() -> MockUpstream {
    let script = legacy::script(legacy::named);
    MockUpstream::start(move |received| match script(received) {
        Act::Send(answer) => {
            let answer = String::from_utf8(answer).expect("text");
            let answer = answer.replacen("\r\n", "\r\nConnection: close\r\n", 1);
            Act::SendAndClose(answer.into_bytes())
        }
        act => act,
    })
}

/// An address where nothing listens. The port stays taken, as it is bound.
fn dead() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let socket = socket.expect("a socket");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    socket.bind(&any.into()).expect("a port is free");
    let address = socket.local_addr().expect("it is bound").as_socket();
    (socket, address.expect("an address of IP"))
}

fn call(connection: &mut Connection) -> Value {
    let request = Request::modern_call("up_call", json!({}));
    connection.exchange(&request).answer()
}

#[test]
fn calls_spread_over_replicas_and_each_one_sees_its_own_address() {
    let mocks = [mock(ordinary), mock(ordinary), mock(ordinary)];
    let addresses = mocks.each_ref().map(MockUpstream::address);
    let gateway = start(&addresses, "");
    let mut connection = gateway.connect();
    for _ in 0..60 {
        let answer = call(&mut connection);
        assert_eq!(answer["error"], Value::Null, "{answer}");
    }
    for (number, mock) in mocks.iter().enumerate() {
        let calls = mock.received_of("tools/call");
        assert!(calls.len() >= 5, "replica {number} has {}", calls.len());
        let start = format!(
            "POST /replica-{number} HTTP/1.1\r\nHost: {}\r\n",
            mock.address()
        );
        for call in calls {
            assert!(call.head.starts_with(&start), "{}", call.head);
        }
    }
    let all = mocks
        .iter()
        .map(|mock| mock.received_of("tools/call").len());
    assert_eq!(all.sum::<usize>(), 60, "none is sent twice");
}

#[test]
fn a_busy_replica_gets_no_call_while_another_one_is_idle() {
    let silent = mock(|_| Act::SendAndWait(Vec::new()));
    let quick = mock(ordinary);
    let gateway = start(&[silent.address(), quick.address()], "");
    // One of them waits at the silent one sooner or later, as ties are drawn.
    let mut waiting = Vec::new();
    while silent.received_of("tools/call").is_empty() {
        let mut connection = gateway.connect();
        connection.send(&Request::modern_call("up_call", json!({})));
        waiting.push(connection);
        let sent = waiting.len();
        wait_until("the call arrives", || {
            let mocks = [&silent, &quick];
            let arrived = mocks.map(|mock| mock.received_of("tools/call").len());
            (arrived.iter().sum::<usize>() == sent).then_some(())
        });
    }
    let mut connection = gateway.connect();
    for _ in 0..30 {
        assert_eq!(call(&mut connection)["error"], Value::Null);
    }
    assert_eq!(silent.received_of("tools/call").len(), 1);
}

#[test]
fn a_call_that_a_dead_replica_has_not_taken_goes_to_another_one() {
    let (_bound, nowhere) = dead();
    let alive = mock(ordinary);
    // Three repeats are possible in a time, and a tenth of the requests.
    for addresses in [[nowhere, alive.address()], [alive.address(), nowhere]] {
        let profile = "[gateway]\nfailures_max = 3\nopen_ms = 60000\n";
        let setup = Setup::shards(1).profile(profile);
        let gateway = Gateway::start_with(&section(&addresses, ""), setup);
        gateway.wait_for("up_call");
        let mut connection = gateway.connect();
        for number in 0..100 {
            let answer = call(&mut connection);
            assert_eq!(answer["error"], Value::Null, "{number}: {answer}");
        }
    }
    assert_eq!(alive.received_of("tools/call").len(), 200);
}

#[test]
fn a_call_that_a_replica_may_have_executed_is_sent_to_no_other_one() {
    let calls = Arc::new(AtomicUsize::new(0));
    let resets = || {
        let calls = Arc::clone(&calls);
        mock(move |_| {
            calls.fetch_add(1, Ordering::Relaxed);
            Act::Reset
        })
    };
    let mocks = [resets(), resets()];
    let gateway = start(&mocks.each_ref().map(MockUpstream::address), "");
    let mut connection = gateway.connect();
    for number in 1..=4 {
        let answer = call(&mut connection);
        let expected = json!({ "upstream": "up", "reason": "closed", "executed": "unknown" });
        assert_eq!(answer["error"]["data"], expected, "{answer}");
        assert_eq!(calls.load(Ordering::Relaxed), number);
    }
}

#[test]
fn a_replica_that_keeps_failing_gets_no_calls_and_at_most_half_are_left_out() {
    let failing = mock(|_| Act::Reset);
    let is_broken = Arc::new(AtomicBool::new(false));
    let breaks = Arc::clone(&is_broken);
    let working = mock(move |received| match breaks.load(Ordering::Relaxed) {
        true => Act::Reset,
        false => ordinary(received),
    });
    let profile = "[gateway]\nfailures_max = 3\nopen_ms = 60000\n";
    let addresses = [failing.address(), working.address()];
    let setup = Setup::shards(1).profile(profile);
    let gateway = Gateway::start_with(&section(&addresses, ""), setup);
    gateway.wait_for("up_call");
    let mut connection = gateway.connect();
    let failed = (0..200).filter(|_| call(&mut connection)["error"] != Value::Null);
    assert_eq!(failed.count(), 3);
    is_broken.store(true, Ordering::Relaxed);
    // One of the two has to get the calls, so that none is refused.
    for _ in 0..20 {
        let answer = call(&mut connection);
        let data = &answer["error"]["data"];
        assert_eq!(data["reason"], "closed", "{answer}");
    }
}

#[test]
fn a_session_stays_at_its_replica_and_moves_when_that_is_gone() {
    let mut mocks = [(); 3].map(|()| Some(closing()));
    let address = |mock: &Option<MockUpstream>| mock.as_ref().map(MockUpstream::address);
    let addresses = mocks.each_ref().map(|mock| address(mock).expect("it runs"));
    let gateway = start(&addresses, "");
    let mut connection = gateway.connect();
    let sessions: Vec<_> = (0..12).map(|_| Session::open(&mut connection)).collect();
    let mut call = |session: &Session| {
        let request = session.call("up_call", json!({}));
        let answer = connection.exchange(&request).answer();
        assert_eq!(answer["error"], Value::Null, "{answer}");
    };
    for _ in 0..3 {
        sessions.iter().for_each(&mut call);
    }
    let count = |mock: &MockUpstream| {
        let calls = mock.received_of("tools/call");
        let mut ids: Vec<_> = calls
            .iter()
            .filter_map(|it| it.field("Mcp-Session-Id"))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        (ids.len(), calls.len())
    };
    let counts: Vec<_> = mocks.iter().flatten().map(count).collect();
    let opened: usize = counts.iter().map(|(ids, _)| ids).sum();
    let calls: usize = counts.iter().map(|(_, calls)| calls).sum();
    assert_eq!((opened, calls), (12, 36), "{counts:?}");
    // A session goes to another replica, with a session there, before its call fails.
    let busiest = (0..3).max_by_key(|place| counts[*place].1).expect("three");
    drop(mocks[busiest].take());
    wait_until("its host is gone", || {
        TcpStream::connect(addresses[busiest]).err()
    });
    let session = sessions.iter().take(3);
    session.for_each(&mut call);
    let left: usize = mocks.iter().flatten().map(|mock| count(mock).1).sum();
    assert!(left > 36 - counts[busiest].1, "{counts:?}");
}

#[test]
fn lists_come_from_a_replica_that_answers() {
    let (_bound, nowhere) = dead();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let unused = listener.local_addr().expect("it is bound");
    drop(listener);
    let modern = mock(ordinary);
    let old = closing();
    for alive in [modern.address(), old.address()] {
        for place in 0..3 {
            let mut addresses = vec![nowhere, unused];
            addresses.insert(place, alive);
            start(&addresses, "");
        }
    }
}
