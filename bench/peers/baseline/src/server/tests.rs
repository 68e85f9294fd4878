//! Whole connections against a server on a thread of its own, which ends with the test process.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};

use super::{Kind, Service, serve};
use crate::answer::{ANSWER_BYTES, BATCH, LINE_BYTES, LINES, OPENING_BYTES, STREAM};
use crate::fanout::Fanout;

const REQUEST: &[u8] = b"POST /mcp HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";

fn start(connections_max: u32) -> SocketAddr {
    start_with(connections_max, Service::default())
}

fn start_with(connections_max: u32, service: Service<'static>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (ready, wait) = mpsc::channel();
    std::thread::spawn(move || {
        serve(&listener, connections_max, service, || {
            ready.send(()).unwrap()
        })
    });
    wait.recv().unwrap();
    address
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream
}

fn expect_answers(stream: &mut TcpStream, answers: usize) {
    let mut answer = [0; ANSWER_BYTES];
    for _ in 0..answers {
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, BATCH[..ANSWER_BYTES]);
    }
}

fn expect_end(stream: &mut TcpStream) {
    match stream.read(&mut [0]) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("expected the end of the connection, got {other:?}"),
    }
}

#[test]
fn answers_whole_partial_and_pipelined_requests() {
    let mut stream = connect(start(4));
    stream.set_nodelay(true).unwrap();
    stream.write_all(REQUEST).unwrap();
    expect_answers(&mut stream, 1);
    for byte in REQUEST {
        stream.write_all(&[*byte]).unwrap();
    }
    expect_answers(&mut stream, 1);
    stream.write_all(&REQUEST.repeat(500)).unwrap();
    expect_answers(&mut stream, 500);
}

const LINE: &[u8] = b"{}\n";

#[test]
fn answers_with_the_ids_of_requests() {
    let service = Service {
        kind: Kind::Upstream,
        ..Service::default()
    };
    let mut stream = connect(start_with(4, service));
    let message = "a".repeat(100);
    let request = |id: u32| {
        let body = format!(r#"{{"id":{id},"arguments":{{"message":"{message}"}}}}"#);
        let head = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
        head + &body
    };
    let requests: String = (10..60).map(request).collect();
    for piece in requests.as_bytes().chunks(700) {
        stream.write_all(piece).unwrap();
    }
    // A digit more than the fixed answer.
    let mut answer = vec![0; ANSWER_BYTES + 1];
    for id in 10..60 {
        stream.read_exact(&mut answer).unwrap();
        let text = String::from_utf8_lossy(&answer);
        assert!(text.contains(&format!(r#""id":{id},"#)), "{text}");
    }
}

#[test]
fn answers_whole_partial_and_pipelined_lines() {
    let service = Service {
        kind: Kind::Lines,
        ..Service::default()
    };
    let mut stream = connect(start_with(4, service));
    for pieces in [&[LINE][..], &[b"{", b"}\n"], &[&LINE.repeat(500)]] {
        for piece in pieces {
            stream.write_all(piece).unwrap();
        }
    }
    let mut answers = vec![0; 502 * LINE_BYTES];
    stream.read_exact(&mut answers).unwrap();
    assert!(
        answers
            .chunks(LINE_BYTES)
            .all(|it| it == &LINES[..LINE_BYTES])
    );
}

/// Requests and answers are the same with TLS, also more of them than one send carries, those of a
/// peer that reads late, and after a record that was altered.
#[test]
fn answers_within_tls() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let chain = vec![made.cert.der().clone()];
    let server = ServerConfig::builder().with_no_client_auth();
    let server = server.with_single_cert(chain.clone(), key.into()).unwrap();
    let service = Service {
        tls: Some(Arc::new(server)),
        ..Service::default()
    };
    let address = start_with(1, service);
    let mut roots = RootCertStore::empty();
    roots.add(chain[0].clone()).unwrap();
    let client = ClientConfig::builder().with_root_certificates(roots);
    let client = Arc::new(client.with_no_client_auth());
    let name = ServerName::try_from("localhost").unwrap();
    for _ in 0..2 {
        let connection = ClientConnection::new(Arc::clone(&client), name.clone()).unwrap();
        let mut stream = StreamOwned::new(connection, connect(address));
        for requests in [1, 2, 500, 20_000] {
            stream.write_all(&REQUEST.repeat(requests)).unwrap();
            let mut answers = vec![0; requests * ANSWER_BYTES];
            stream.read_exact(&mut answers).unwrap();
            let mut answers = answers.chunks(ANSWER_BYTES);
            assert!(answers.all(|it| it == &BATCH[..ANSWER_BYTES]));
        }
        let socket = stream.get_mut();
        socket
            .write_all(&[
                23, 3, 3, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            ])
            .unwrap();
        let _ = socket.read_to_end(&mut Vec::new());
    }
}

#[test]
fn answers_a_peer_that_reads_late() {
    // More answers than two sockets buffer, so that sends must stop and resume.
    let requests = 40_000;
    let mut stream = connect(start(4));
    let mut writer = stream.try_clone().unwrap();
    writer.write_all(&REQUEST.repeat(requests)).unwrap();
    expect_answers(&mut stream, requests);
}

#[test]
fn answers_requests_from_before_the_end_of_input() {
    let mut stream = connect(start(4));
    stream.write_all(&REQUEST.repeat(3)).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    expect_answers(&mut stream, 3);
    expect_end(&mut stream);
}

#[test]
fn ends_a_connection_that_cannot_be_framed() {
    let mut stream = connect(start(4));
    stream.write_all(b"nonsense\r\n\r\n").unwrap();
    expect_end(&mut stream);
}

/// However a connection ends, its descriptor is free again: a table of two never fills up.
#[test]
fn leaks_no_descriptor() {
    let address = start(2);
    for round in 0..200 {
        let mut stream = connect(address);
        match round % 4 {
            0 => stream.write_all(REQUEST).unwrap(),
            1 => stream.write_all(b"POST").unwrap(),
            2 => stream.write_all(b"nonsense\r\n\r\n").unwrap(),
            _ => stream.write_all(&REQUEST.repeat(100)).unwrap(),
        }
        if round % 4 == 0 {
            expect_answers(&mut stream, 1);
        }
        if round % 4 != 2 {
            stream.shutdown(Shutdown::Write).unwrap();
        }
        // Read to the end, so that the server has seen this one off before the next comes.
        let mut rest = Vec::new();
        match stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }
    let mut stream = connect(address);
    stream.write_all(REQUEST).unwrap();
    expect_answers(&mut stream, 1);
}

#[test]
fn accepts_again_when_a_full_table_has_room() {
    let address = start(1);
    let mut first = connect(address);
    first.write_all(REQUEST).unwrap();
    expect_answers(&mut first, 1);
    // Over the limit: the kernel accepts it, finds no descriptor and drops it.
    expect_end(&mut connect(address));
    // It is the close of the first that makes the server accept again.
    first.shutdown(Shutdown::Write).unwrap();
    expect_end(&mut first);
    let mut second = connect(address);
    second.write_all(REQUEST).unwrap();
    expect_answers(&mut second, 1);
}

/// Two rings, each with one stream at a time. A stream that ends makes way for another.
#[test]
fn sends_an_event_to_the_streams_of_every_ring() {
    let fanout: &Fanout = Box::leak(Box::new(Fanout::new(2)));
    let service = Service {
        fanout: Some(fanout),
        ..Service::default()
    };
    let addresses = [start_with(3, service.clone()), start_with(3, service)];
    for _ in 0..2 {
        let mut streams = addresses.map(connect);
        let mut opening = [0; OPENING_BYTES];
        for stream in &mut streams {
            stream.write_all(REQUEST).unwrap();
            stream.read_exact(&mut opening).unwrap();
            assert_eq!(opening, STREAM[..OPENING_BYTES]);
        }
        let mut trigger = connect(addresses[0]);
        for _ in 0..3 {
            trigger.write_all(REQUEST).unwrap();
            expect_answers(&mut trigger, 1);
            for stream in &mut streams {
                let mut change = STREAM[OPENING_BYTES..].to_vec();
                change.fill(0);
                stream.read_exact(&mut change).unwrap();
                assert_eq!(change, STREAM[OPENING_BYTES..]);
            }
        }
        for mut stream in streams {
            stream.shutdown(Shutdown::Write).unwrap();
            expect_end(&mut stream);
        }
    }
}
