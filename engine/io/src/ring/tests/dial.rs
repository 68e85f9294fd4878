//! The connecting side against a listener of the standard library.

use super::server::{ROUND, ROUNDS_MAX, SMALL};
use crate::chunk::Chunk;
use crate::ring::{Completion, Received, Ring, RingSettings, Route, Wait};
use crate::slots::{SlotKey, Slots};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

/// A ring that dials, and its slots.
struct Client {
    ring: Ring,
    slots: Slots<()>,
    waiting: Vec<Completion>,
}

impl Client {
    fn open(settings: &RingSettings) -> Client {
        Client {
            ring: Ring::open(settings).unwrap(),
            slots: Slots::new(settings.descriptors),
            waiting: Vec::new(),
        }
    }

    fn take<T>(&mut self, what: &str, fits: impl Fn(&Completion) -> Option<T>) -> T {
        for _ in 0..ROUNDS_MAX {
            if let Some((at, found)) = self
                .waiting
                .iter()
                .enumerate()
                .find_map(|(at, completion)| Some((at, fits(completion)?)))
            {
                self.waiting.remove(at);
                return found;
            }
            self.ring.enter(Wait::For(ROUND)).unwrap();
            self.ring.reap(&mut self.waiting, usize::MAX);
        }
        panic!("no {what}, but {:?}", self.waiting);
    }

    fn connected(&mut self, wanted: SlotKey) -> Result<(), i32> {
        self.take("connect", |completion| match *completion {
            Completion::Connected { key, outcome } if key == wanted => Some(outcome),
            _ => None,
        })
    }
}

fn any_port() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

#[test]
fn a_connection_comes_from_the_source_that_was_asked_for() {
    let listener = any_port();
    let mut client = Client::open(&SMALL);
    let key = client.slots.insert_at(7, ());
    let route = Route {
        from: Some("127.9.8.7:0".parse().unwrap()),
        to: listener.local_addr().unwrap(),
    };
    client.ring.connect(key, &route);
    assert_eq!(client.connected(key), Ok(()));
    let (mut server, peer) = listener.accept().unwrap();
    assert_eq!(peer.ip().to_string(), "127.9.8.7");

    client.ring.recv_multishot(key);
    for text in [b"one", b"two"] {
        server.write_all(text).unwrap();
        let bytes = client.take("data", |completion| match completion {
            Completion::Streamed {
                outcome: Received::Data { bytes, .. },
                armed: true,
                ..
            } => Some(*bytes),
            _ => None,
        });
        assert_eq!(bytes, 3);
    }
    client.ring.send(key, Chunk::from(b"hello".to_vec()), 0);
    client.take("send", |completion| {
        matches!(completion, Completion::Sent { .. }).then_some(())
    });
    let mut heard = [0; 5];
    server.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
    drop(server);
    client.take("end", |completion| match completion {
        Completion::Streamed {
            outcome: Received::EndOfStream,
            armed: false,
            ..
        } => Some(()),
        _ => None,
    });
}

#[test]
fn a_refused_connection_and_a_foreign_source_say_why() {
    let check = |from: Option<SocketAddr>, to: SocketAddr, errno: i32| {
        let mut client = Client::open(&SMALL);
        let key = client.slots.insert_at(0, ());
        client.ring.connect(key, &Route { from, to });
        assert_eq!(client.connected(key), Err(errno), "{from:?} to {to}");
        assert_eq!(client.ring.in_flight(), 0);
    };
    let listener = any_port();
    let address = listener.local_addr().unwrap();
    // No host of this test has an address of the documentation range (RFC 5737).
    let foreign = "192.0.2.1:0".parse().unwrap();
    check(Some(foreign), address, libc::EADDRNOTAVAIL);
    drop(listener);
    check(None, address, libc::ECONNREFUSED);
}

#[test]
fn chains_stay_whole_when_the_submission_queue_is_full() {
    let listener = any_port();
    let settings = RingSettings {
        submission_entries: 8,
        ..SMALL
    };
    let mut client = Client::open(&settings);
    let route = Route {
        from: Some("127.0.0.9:0".parse().unwrap()),
        to: listener.local_addr().unwrap(),
    };
    let keys: Vec<SlotKey> = (0..SMALL.descriptors)
        .map(|index| client.slots.insert_at(index, ()))
        .collect();
    for key in &keys {
        client.ring.connect(*key, &route);
    }
    for key in keys {
        assert_eq!(client.connected(key), Ok(()));
    }
    for _ in 0..SMALL.descriptors {
        let (_, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip().to_string(), "127.0.0.9");
    }
}
