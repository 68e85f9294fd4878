//! Attacks on listeners with TLS: only the attacker is affected, and nothing of it stays.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use corelane_tests::client::{echo, modern};
use corelane_tests::{
    Authority, Connection, LivenessProbe, PATIENCE, Request, Server, Setup, Totals,
};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, ClientConnection};
use serde_json::json;
use socket2::SockRef;

use crate::secured_bytes::socket_of;

const JSON_LOG: &str = "[log]\nformat = \"json\"";

/// A connection whose records the test decides on.
struct Attacker {
    tls: ClientConnection,
    socket: TcpStream,
}

impl Attacker {
    /// Connects, and does the handshake.
    fn of(server: &Server, client: &Arc<ClientConfig>) -> Attacker {
        Attacker::at(server.address(), client)
    }

    fn at(address: SocketAddr, client: &Arc<ClientConfig>) -> Attacker {
        let mut socket = TcpStream::connect(address).expect("it listens");
        socket
            .set_read_timeout(Some(PATIENCE))
            .expect("it is valid");
        let name = ServerName::try_from("localhost").expect("a name");
        let mut tls = ClientConnection::new(Arc::clone(client), name).expect("it is valid");
        tls.set_buffer_limit(None);
        while tls.is_handshaking() {
            tls.complete_io(&mut socket).expect("a handshake");
        }
        Attacker { tls, socket }
    }

    /// The records for `plaintext`.
    fn records(&mut self, plaintext: &[u8]) -> Vec<u8> {
        self.tls
            .writer()
            .write_all(plaintext)
            .expect("it is memory");
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records).expect("it is memory");
        }
        records
    }

    /// Reads plaintext until it contains `text`.
    fn read_until(&mut self, text: &str) {
        let mut answer = Vec::new();
        let mut stream = rustls::Stream::new(&mut self.tls, &mut self.socket);
        while !String::from_utf8_lossy(&answer).contains(text) {
            let mut piece = [0; 4096];
            let length = stream.read(&mut piece).expect("an answer");
            assert!(length > 0, "the connection ended before {text}");
            answer.extend_from_slice(&piece[..length]);
        }
    }

    /// All plaintext until the end, whose kind is the error.
    fn read_to_end(&mut self) -> (Vec<u8>, Option<std::io::Error>) {
        let mut answer = Vec::new();
        let end = rustls::Stream::new(&mut self.tls, &mut self.socket).read_to_end(&mut answer);
        (answer, end.err())
    }
}

fn last_call(server: &Server, message: &str) -> Vec<u8> {
    let call = Request::modern_call("echo", json!({ "message": message }));
    call.field("Connection", "close").to_bytes(server.address())
}

#[test]
fn a_flood_of_key_updates_ends_its_connection_and_others_are_served() {
    const IN_A_ROW_MAX: usize = 32;
    let server = Setup::shards(1).profile(JSON_LOG).secured().start();
    let client = Authority::shared().client();
    let mut probe = LivenessProbe::of(&server);
    // With data between them they are served. Each has an answer, and the client also refuses more
    // than `IN_A_ROW_MAX` without data, so each call has fewer.
    let mut patient = Attacker::of(&server, &client);
    for call in 0..3 {
        let message = format!("renewed {call}");
        let request = Request::modern_call("echo", json!({ "message": message }));
        let request = request.to_bytes(server.address());
        let (start, rest) = request.split_at(IN_A_ROW_MAX - 8);
        for byte in start {
            patient.tls.refresh_traffic_keys().expect("it is TLS 1.3");
            let records = patient.records(&[*byte]);
            patient.socket.write_all(&records).expect("it is read");
        }
        let records = patient.records(rest);
        patient.socket.write_all(&records).expect("it is read");
        patient.read_until(&message);
    }
    probe.check("key updates with data");
    for count in [IN_A_ROW_MAX, IN_A_ROW_MAX + 1] {
        let mut attacker = Attacker::of(&server, &client);
        let mut flood = Vec::new();
        for _ in 0..count {
            attacker.tls.refresh_traffic_keys().expect("it is TLS 1.3");
            flood.extend(attacker.records(b""));
        }
        flood.extend(attacker.records(&last_call(&server, "flooded")));
        attacker.socket.write_all(&flood).expect("it is read");
        let (answer, end) = attacker.read_to_end();
        let is_served = String::from_utf8_lossy(&answer).contains("flooded");
        assert_eq!(is_served, count == IN_A_ROW_MAX, "{count}: {end:?}");
        if !is_served {
            let alert = rustls::Error::AlertReceived(AlertDescription::UnexpectedMessage);
            let end = end.expect("an alert").to_string();
            assert_eq!(end, alert.to_string());
        }
        probe.check("a flood of key updates");
    }
    drop(probe);
    assert_eq!(
        Totals::of_end(&server, || server.log()).value("tls_faults", ""),
        1
    );
}

#[test]
fn the_start_of_a_record_is_given_up() {
    let profile = format!("{JSON_LOG}\n[connection]\nhead_timeout_ms = 300");
    let server = Setup::shards(1).profile(&profile).secured().start();
    let client = Authority::shared().client();
    let mut probe = LivenessProbe::of(&server);
    for bytes in [1, 5, 6, 100] {
        let mut attacker = Attacker::of(&server, &client);
        let records = attacker.records(&last_call(&server, "never"));
        attacker
            .socket
            .write_all(&records[..bytes])
            .expect("it is read");
        let (answer, _) = attacker.read_to_end();
        assert!(answer.starts_with(b"HTTP/1.1 408 "), "{bytes}: {answer:?}");
        probe.check("the start of a record");
    }
    // One byte now and then is no progress.
    let mut slow = Attacker::of(&server, &client);
    let records = slow.records(&last_call(&server, &"x".repeat(10_000)));
    slow.socket
        .set_read_timeout(Some(Duration::from_millis(20)))
        .expect("it is valid");
    let began = Instant::now();
    for byte in records {
        assert!(began.elapsed() < PATIENCE, "the slow one lives");
        if slow.socket.write_all(&[byte]).is_err() {
            break;
        }
        match slow.socket.read(&mut [0; 1024]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            // The tickets, and the answer.
            Ok(bytes) if bytes > 0 => {}
            _ => break,
        }
    }
    drop((slow, probe));
    assert_eq!(
        Totals::of_end(&server, || server.log()).value("timeouts", "head"),
        5
    );
}

#[test]
fn the_start_of_a_record_of_lines_is_given_up() {
    let profile = format!("{JSON_LOG}\n[connection]\nbody_timeout_ms = 300");
    let setup = Setup::shards(1).profile(&profile).secured();
    let server = setup.listen("tcps://127.0.0.1:0").start();
    let client = Authority::shared().client();
    let line = modern(1, "tools/call", echo("m")).to_string() + "\n";
    let mut answer = vec![0; 1000];
    for (is_first, has_update) in [(true, false), (false, false), (false, true)] {
        let mut attacker = Attacker::at(socket_of(&server, 1), &client);
        if !is_first {
            let records = attacker.records(line.as_bytes());
            attacker.socket.write_all(&records).expect("it is read");
            let mut stream = rustls::Stream::new(&mut attacker.tls, &mut attacker.socket);
            assert!(stream.read(&mut answer).expect("an answer") > 0);
        }
        // A record without content may come before the one that is not whole.
        if has_update {
            attacker.tls.refresh_traffic_keys().expect("it is TLS 1.3");
        }
        let mut records = attacker.records(line.as_bytes());
        records.pop();
        attacker.socket.write_all(&records).expect("it is read");
        let (answer, _) = attacker.read_to_end();
        let text = String::from_utf8_lossy(&answer);
        assert!(
            text.contains("message took longer than 300 ms"),
            "{is_first} {has_update}: {text}"
        );
    }
    assert_eq!(
        Totals::of_end(&server, || server.log()).value("timeouts", "body"),
        3
    );
}

/// How a connection ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// With close_notify in the segment of the last request, and the end of the byte stream.
    Announced,
    /// With the end of the byte stream alone.
    Unannounced,
    Reset,
    /// In the middle of a record.
    Within,
    /// With close_notify, and then more records.
    AnnouncedWithMore,
}

#[test]
fn ends_at_any_time_leave_nothing() {
    const ENDS: [End; 5] = [
        End::Announced,
        End::Unannounced,
        End::Reset,
        End::Within,
        End::AnnouncedWithMore,
    ];
    let server = Setup::shards(2).profile(JSON_LOG).secured().start();
    let client = Authority::shared().client();
    let call =
        |tool: &str, arguments| Request::modern_call(tool, arguments).to_bytes(server.address());
    // None; one that is answered at once; one that waits; a stream; many answers.
    let requests = [
        Vec::new(),
        call("echo", json!({ "message": "m" })),
        call("test_tool_with_progress", json!({})),
        call("slow_compute", json!({ "seconds": 3600, "label": "it" })),
        call("echo", json!({ "message": "m" })).repeat(200),
    ];
    let mut probe = LivenessProbe::of(&server);
    for round in 0..10 {
        for (number, request) in requests.iter().enumerate() {
            for end in ENDS {
                let mut attacker = Attacker::of(&server, &client);
                let mut bytes = attacker.records(request);
                match end {
                    End::Unannounced | End::Reset => {}
                    End::Within => {
                        bytes.extend(attacker.records(b"GET"));
                        bytes.pop();
                    }
                    End::Announced | End::AnnouncedWithMore => {
                        attacker.tls.send_close_notify();
                        bytes.extend(attacker.records(b""));
                    }
                }
                if matches!(end, End::AnnouncedWithMore) {
                    bytes.extend_from_slice(&[23, 3, 3, 0, 3, 1, 2, 3]);
                }
                if matches!(end, End::Reset) {
                    let linger = SockRef::from(&attacker.socket).set_linger(Some(Duration::ZERO));
                    linger.expect("it is a socket");
                }
                attacker.socket.write_all(&bytes).expect("it is read");
                if round % 2 == 0 && matches!(end, End::Announced) && number < 2 {
                    // What was requested before the end is answered, with an end of its own.
                    let (answer, error) = attacker.read_to_end();
                    assert!(error.is_none(), "{error:?}");
                    assert_eq!(answer.is_empty(), request.is_empty());
                }
            }
            probe.check("ends of all kinds");
        }
    }
    drop(probe);
    // It checks that no connection, call or byte is left.
    let totals = Totals::of_end(&server, || server.log());
    assert_eq!(totals.value("tls_handshakes", "failed"), 0, "{totals}");
}

#[test]
fn a_flood_of_handshakes_stalls_nobody() {
    const FLOODS: usize = 3;
    const CHECKS: usize = 200;
    let server = Setup::shards(1).profile(JSON_LOG).secured().start();
    let mut config = ClientConfig::clone(&Authority::shared().client());
    config.resumption = Resumption::disabled();
    let client = Arc::new(config);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..FLOODS {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    // A whole handshake, one that is left, and bytes that are none.
                    drop(Attacker::of(&server, &client));
                    let mut left =
                        Connection::open_secured(server.address(), &client).expect("it listens");
                    let _ = left
                        .stream()
                        .write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]);
                    left.finish_sending();
                    let mut garbage = TcpStream::connect(server.address()).expect("it listens");
                    let _ = garbage.write_all(&[0x55; 600]);
                }
            });
        }
        let mut probe = LivenessProbe::of(&server);
        for number in 0..CHECKS {
            probe.check(&format!("check {number} in a flood"));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let totals = Totals::of_end(&server, || server.log());
    assert!(
        totals.value("tls_handshakes", "full") > CHECKS as u64 / 10,
        "{totals}"
    );
    assert!(totals.value("tls_handshakes", "failed") > 0, "{totals}");
}
