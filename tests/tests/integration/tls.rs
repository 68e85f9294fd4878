//! Listeners with TLS, with clients of rustls.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use corelane_tests::{
    Authority, Connection, EventStream, LivenessProbe, PATIENCE, ReadError, Request, Server,
    Session, Setup, Totals, wait_until,
};
use rustls::HandshakeKind;
use serde_json::{Value, json};

fn echo(message: &str) -> Request {
    Request::modern_call("echo", json!({ "message": message }))
}

#[track_caller]
fn check(connection: &mut Connection, message: &str) {
    let response = connection.exchange(&echo(message));
    assert_eq!(response.status(), 200, "{response:?}");
    let answer = response.json();
    assert_eq!(answer["result"]["content"][0]["text"], message, "{answer}");
}

/// The counters of a server at its end.
fn totals(server: &Server) -> Totals {
    Totals::of_end(server, || server.log())
}

const JSON_LOG: &str = "[log]\nformat = \"json\"";

#[test]
fn both_eras_are_served_and_the_end_is_announced() {
    let server = Setup::shards(2).profile(JSON_LOG).secured().start();
    let mut probe = LivenessProbe::of(&server);
    for round in 0..20 {
        probe.check(&format!("round {round}"));
    }
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    let call = session.call("test_tool_with_progress", json!({}));
    let response = connection.exchange(&call.meta("progressToken", 1));
    assert!(response.head.is_event_stream(), "{response:?}");
    // An end without close_notify would be an error here.
    let last = echo("last").field("Connection", "close");
    assert_eq!(connection.exchange(&last).status(), 200);
    connection.expect_close();
    drop(probe);
    let totals = totals(&server);
    assert!(
        totals.value("tls_handshakes", "full") + totals.value("tls_handshakes", "resumed") >= 2
    );
    assert_eq!(totals.value("tls_faults", ""), 0, "{totals}");
}

#[test]
fn tls_1_2_is_served_where_it_is_allowed() {
    const BODY_BYTES: usize = 1 << 20;
    let authority = Authority::shared();
    let old = authority.client_tls12();
    let server = Setup::shards(1)
        .secured_for(authority, Arc::clone(&old), "min_version = \"1.2\"")
        .start();
    let mut probe = LivenessProbe::of(&server);
    let mut connection = server.connect();
    // The handshake is over before the long message is made, which takes seconds.
    check(&mut connection, "short");
    check(&mut connection, &"x".repeat(BODY_BYTES));
    let tls = connection.tls().expect("it has TLS");
    let version = tls.protocol_version();
    assert_eq!(version, Some(rustls::ProtocolVersion::TLSv1_2));
    connection.finish_sending();
    connection.expect_close();
    // It is resumed, on this connection as well.
    let mut second = server.connect();
    check(&mut second, "again");
    let kind = second.tls().and_then(|tls| tls.handshake_kind());
    assert_eq!(kind, Some(HandshakeKind::Resumed));
    let last = echo("last").field("Connection", "close");
    assert_eq!(second.exchange(&last).status(), 200);
    second.expect_close();
    probe.check("a client of TLS 1.2");
    let strict = Setup::shards(1).secured().start();
    let mut refused = Connection::open_secured(strict.address(), &old).unwrap();
    let error = refused.try_send_bytes(b"GET").unwrap_err().to_string();
    assert!(error.contains("ProtocolVersion"), "{error}");
}

#[test]
fn a_stream_of_events_ends_with_its_server() {
    let server = Setup::shards(1).secured().start();
    let session = Session::open(&mut server.connect());
    let mut connection = server.connect();
    connection.send(&session.stream());
    let stream = EventStream::begin(connection);
    check(&mut server.connect(), "meanwhile");
    server.signal("TERM");
    stream.expect_end().expect_close();
}

#[test]
fn the_largest_bodies_are_carried_in_both_directions() {
    const BODY_BYTES: usize = 15 << 20;
    let server = Setup::shards(1).secured().start();
    let mut connection = server.connect();
    // The handshake is over before the long message is made, which takes seconds.
    check(&mut connection, "short");
    let message = "x".repeat(BODY_BYTES);
    for _ in 0..2 {
        check(&mut connection, &message);
    }
}

#[test]
fn pipelined_requests_and_records_of_any_size_are_answered() {
    let server = Setup::shards(1).secured().start();
    let mut connection = server.connect();
    let requests: Vec<u8> = (0..100)
        .flat_map(|number: u32| echo(&number.to_string()).to_bytes(server.address()))
        .collect();
    for part_bytes in [1, 7, 1000, 16_384, requests.len()] {
        // A write becomes a record; the smallest parts are for a part of the requests.
        let mut parts = requests.chunks(part_bytes);
        let tiny: Vec<u8> = match part_bytes {
            1 => parts.by_ref().take(2000).flatten().copied().collect(),
            _ => Vec::new(),
        };
        tiny.iter().for_each(|byte| connection.send_bytes(&[*byte]));
        let rest = &requests[tiny.len()..];
        let part_bytes = part_bytes.max(7);
        rest.chunks(part_bytes)
            .for_each(|part| connection.send_bytes(part));
        for number in 0..100 {
            let answer = connection.read_response().json();
            assert_eq!(answer["result"]["content"][0]["text"], number.to_string());
        }
    }
}

#[test]
fn a_client_that_ends_its_direction_gets_its_answers() {
    let server = Setup::shards(1).secured().start();
    let mut connection = server.connect();
    connection.send(&echo("one"));
    connection.send(&echo("two"));
    connection.finish_sending();
    for message in ["one", "two"] {
        let answer = connection.read_response().json();
        assert_eq!(answer["result"]["content"][0]["text"], message);
    }
    connection.expect_close();
}

#[test]
fn an_end_that_was_not_announced_is_counted_and_answers_nothing() {
    let server = Setup::shards(1).profile(JSON_LOG).secured().start();
    let mut connection = server.connect();
    check(&mut connection, "whole");
    // The rest of the request may have been cut by a third party.
    let request = echo("cut").to_bytes(server.address());
    connection.send_bytes(&request[..request.len() - 1]);
    let _ = connection.stream().shutdown(Shutdown::Write);
    assert_eq!(connection.read_to_close(PATIENCE), Ok(Vec::new()));
    assert_eq!(totals(&server).value("tls_truncated", ""), 1);
}

/// Sends `bytes` as they are, and returns all that comes back.
fn raw(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(server.address()).expect("it listens");
    socket
        .set_read_timeout(Some(PATIENCE))
        .expect("it is valid");
    socket.write_all(bytes).expect("it reads");
    let mut answer = Vec::new();
    match socket.read_to_end(&mut answer) {
        Ok(_) => answer,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => answer,
        Err(error) => panic!("{error} after {answer:?}"),
    }
}

#[test]
fn clients_without_tls_get_an_answer_they_understand() {
    let server = Setup::shards(1).secured().start();
    let mut probe = LivenessProbe::of(&server);
    for request in [
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST /mcp HTTP/1.1\r\n",
    ] {
        let answer = raw(&server, request.as_bytes());
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(
            answer.ends_with("\r\n\r\nthis port needs TLS: use https://, wss:// or tcps://\n"),
            "{answer}"
        );
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("Content-Length: {}\r\n", body.len())),
            "{head}"
        );
        probe.check(request);
    }
    for bytes in [&b"SSH-2.0-OpenSSH_9.6\r\n"[..], &[0; 64]] {
        let answer = raw(&server, bytes);
        assert_eq!(answer[..5], [21, 3, 3, 0, 2], "{answer:?}");
        assert_eq!(answer.len(), 7, "{answer:?}");
        probe.check("garbage");
    }
}

#[test]
fn a_slow_handshake_is_ended_and_others_are_served_meanwhile() {
    let profile = format!("{JSON_LOG}\n");
    let authority = Authority::shared();
    let server = Setup::shards(1)
        .profile(&profile)
        .secured_for(authority, authority.client(), "handshake_timeout_ms = 500")
        .start();
    let mut probe = LivenessProbe::of(&server);
    // One sends nothing, one sends a byte now and then, one stops in the middle.
    let mut silent = TcpStream::connect(server.address()).unwrap();
    let mut slow = TcpStream::connect(server.address()).unwrap();
    slow.set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let began = Instant::now();
    let mut byte = [0x16];
    loop {
        assert!(began.elapsed() < PATIENCE, "the slow one lives");
        if slow.write_all(&byte).is_err() {
            break;
        }
        byte = [3];
        probe.check("a byte");
        match slow.read(&mut [0; 64]) {
            Ok(0) => break,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => break,
            Ok(_) => {}
        }
    }
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(silent.read(&mut [0; 64]).unwrap_or(0), 0);
    drop(probe);
    // One may have been ended for its bytes.
    let totals = totals(&server);
    let ended = totals.value("timeouts", "handshake") + totals.value("tls_handshakes", "failed");
    assert_eq!(ended, 2, "{totals}");
}

#[test]
fn the_oldest_of_too_many_handshakes_is_ended() {
    let authority = Authority::shared();
    let server = Setup::shards(1)
        .profile(JSON_LOG)
        .secured_for(authority, authority.client(), "handshakes_max = 2")
        .start();
    let stalled = || {
        let mut socket = TcpStream::connect(server.address()).unwrap();
        // The start of a ClientHello.
        socket
            .write_all(&[0x16, 3, 1, 1, 0, 1, 0, 0, 0xfc])
            .unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    };
    let mut first = stalled();
    let others = [stalled(), stalled()];
    assert_eq!(first.read(&mut [0; 64]).unwrap_or(0), 0);
    check(&mut server.connect(), "served");
    drop(others);
    assert!(totals(&server).value("tls_handshakes", "evicted") >= 1);
}

#[test]
fn sessions_are_resumed_on_every_shard() {
    let authority = Authority::shared();
    let server = Setup::shards(3)
        .profile(JSON_LOG)
        .secured_for(authority, authority.client(), "")
        .start();
    let mut kinds = Vec::new();
    for _ in 0..30 {
        let mut connection = server.connect();
        check(&mut connection, "hello");
        let tls = connection.tls().expect("it has TLS");
        kinds.push(tls.handshake_kind().expect("it is over"));
        assert_eq!(
            tls.protocol_version(),
            Some(rustls::ProtocolVersion::TLSv1_3)
        );
    }
    assert_eq!(kinds[0], HandshakeKind::Full);
    let resumed = kinds[1..]
        .iter()
        .filter(|it| **it == HandshakeKind::Resumed);
    assert_eq!(resumed.count(), 29);
    assert_eq!(totals(&server).value("tls_handshakes", "resumed"), 29);
}

#[test]
fn the_certificate_of_a_client_is_its_principal() {
    let (authority, foreign) = (Authority::new(), Authority::new());
    let tls = format!(
        "client_certificates = \"required\"\nclient_ca_files = [{:?}]",
        authority.file()
    );
    let ann = authority.client_called("ann", &authority);
    let bob = authority.client_called("bob", &authority);
    let server = Setup::shards(2)
        .secured_for(&authority, ann.clone(), &tls)
        .start();
    let open = |client: &Arc<_>| Connection::open_secured(server.address(), client).unwrap();
    let session = Session::open(&mut open(&ann));
    let ping = session.request(1, "ping", Value::Null);
    // On any connection and shard; a session of Ann does not exist for Bob.
    for _ in 0..8 {
        assert_eq!(open(&ann).exchange(&ping).status(), 200);
        assert_eq!(open(&bob).exchange(&ping).status(), 404);
    }
    for refused in [authority.client(), authority.client_called("ann", &foreign)] {
        let mut connection = open(&refused);
        let _ = connection.try_send_bytes(&ping.to_bytes(server.address()));
        let answer = connection.try_read_response(PATIENCE);
        assert!(matches!(answer, Err(ReadError::Reset)), "{answer:?}");
    }
}

#[test]
fn new_certificates_are_served_without_an_error_under_load() {
    let (authority, next) = (Authority::new(), Authority::new());
    let server = Setup::shards(2)
        .secured_for(&authority, authority.client(), "")
        .start();
    let mut old = server.connect();
    check(&mut old, "before");
    let (is_over, calls) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                // Clients trust both: one that is refused fails the test.
                let clients = [authority.client(), next.client()];
                let mut kept = server.connect();
                while !is_over.load(Ordering::Relaxed) {
                    check(&mut kept, "kept");
                    let served = clients.iter().any(|client| {
                        let new = Connection::open_secured(server.address(), client);
                        let mut new = new.unwrap();
                        let call = echo("new").to_bytes(server.address());
                        new.try_send_bytes(&call).is_ok() && new.try_read_response(PATIENCE).is_ok()
                    });
                    assert!(served, "neither certificate is served");
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        next.write_server_files(&authority.certificate_file(), &authority.key_file());
        wait_until("the new certificate", || {
            let mut new = Connection::open_secured(server.address(), &next.client()).unwrap();
            let call = echo("new").to_bytes(server.address());
            let is_served = new.try_send_bytes(&call).is_ok();
            (is_served && new.try_read_response(PATIENCE).is_ok()).then_some(())
        });
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(calls.load(Ordering::Relaxed) > 0);
    check(&mut old, "after");
    // A broken file changes nothing.
    std::fs::write(authority.certificate_file(), "broken").unwrap();
    let fault = "the TLS files changed and cannot be used: those of before stay in use";
    wait_until("the error in the log", || {
        server.log().contains(fault).then_some(())
    });
    let mut new = Connection::open_secured(server.address(), &next.client()).unwrap();
    check(&mut new, "still");
}

#[test]
fn a_drain_announces_the_end() {
    let server = Setup::shards(2).secured().start();
    let mut idle: Vec<Connection> = (0..8).map(|_| server.connect()).collect();
    idle.iter_mut().for_each(|it| check(it, "hello"));
    server.signal("TERM");
    idle.iter_mut().for_each(Connection::expect_close);
    assert!(server.wait_for_exit().success());
}

#[test]
fn an_idle_connection_takes_at_most_two_kib() {
    const FIRST: usize = 300;
    const FURTHER: usize = 1000;
    const ROUNDS: usize = 8;
    const IDLE_BYTES_MAX: usize = 2048;
    let server = Setup::shards(1).secured().start();
    let open = |count: usize| -> Vec<Connection> {
        let connection = |_| {
            let mut connection = server.connect();
            check(&mut connection, "once");
            connection
        };
        (0..count).map(connection).collect()
    };
    // They bring the buffers that are kept for all.
    let mut all = open(FIRST);
    // The allocator takes more memory at once by chance, most of all on a busy machine: one of the
    // rounds shows the need of the connections.
    let mut grown = (0..ROUNDS).map(|_| {
        let before = server.resident_bytes();
        all.extend(open(FURTHER));
        // The ciphers go when a connection has been quiet for a second.
        thread::sleep(Duration::from_secs(2));
        server.resident_bytes().saturating_sub(before) / FURTHER
    });
    let is_small = grown.any(|bytes| bytes <= IDLE_BYTES_MAX);
    assert!(is_small, "each takes more than {IDLE_BYTES_MAX} bytes");
}
