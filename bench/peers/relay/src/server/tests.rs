//! Whole connections through a relay on a thread of its own, which ends with the test process.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::serve;

const REQUEST: &[u8] = b"POST /mcp HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    let limit = Some(Duration::from_secs(10));
    stream.set_read_timeout(limit).unwrap();
    stream
}

/// A relay, and the listener of its upstream.
fn start(pairs_max: u32) -> (SocketAddr, TcpListener) {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = upstream.local_addr().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (ready, wait) = mpsc::channel();
    thread::spawn(move || serve(&listener, target, pairs_max, || ready.send(()).unwrap()));
    wait.recv().unwrap();
    (address, upstream)
}

fn answer(number: usize) -> String {
    let body = format!("{{\"number\":{number}}}");
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn requests_and_answers_go_through_as_they_are() {
    let (address, upstream) = start(4);
    let mut client = connect(address);
    let (mut link, _) = upstream.accept().unwrap();
    for piece in REQUEST.repeat(50).chunks(37) {
        client.write_all(piece).unwrap();
    }
    let mut requests = vec![0; 50 * REQUEST.len()];
    link.read_exact(&mut requests).unwrap();
    assert_eq!(requests, REQUEST.repeat(50));
    let answers: String = (0..50).map(answer).collect();
    for piece in answers.as_bytes().chunks(41) {
        link.write_all(piece).unwrap();
    }
    let mut relayed = vec![0; answers.len()];
    client.read_exact(&mut relayed).unwrap();
    assert_eq!(relayed, answers.as_bytes());
}

#[test]
fn a_pair_ends_with_either_side_and_its_place_is_free_again() {
    let (address, upstream) = start(1);
    for round in 0..20 {
        let mut client = connect(address);
        let (mut link, _) = upstream.accept().unwrap();
        client.write_all(REQUEST).unwrap();
        link.read_exact(&mut vec![0; REQUEST.len()]).unwrap();
        match round % 3 {
            0 => client.shutdown(Shutdown::Write).unwrap(),
            1 => link.shutdown(Shutdown::Write).unwrap(),
            _ => link.write_all(b"nonsense\r\n\r\n").unwrap(),
        }
        // Closed, or reset because bytes were left unread.
        assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)), "{round}");
        assert!(matches!(link.read(&mut [0]), Ok(0) | Err(_)), "{round}");
    }
}
