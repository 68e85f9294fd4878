//! The connecting side against a listener of the standard library.

use super::server::{ROUND, ROUNDS_MAX, SMALL};
use crate::chunk::Chunk;
use crate::ring::{Completion, Received, Ring, RingSettings, Route, Wait};
use crate::slots::{SlotKey, Slots};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;

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

fn route(from: Option<SocketAddr>, to: SocketAddr) -> Route {
    Route {
        from,
        to: to.into(),
        resets_on_close: false,
    }
}

#[test]
fn a_connection_goes_to_a_unix_socket() {
    let name = format!("\0corelane-dial-{}", std::process::id());
    let to = SockAddr::unix(&name).unwrap();
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    listener.bind(&to).unwrap();
    listener.listen(1).unwrap();
    let mut client = Client::open(&SMALL);
    let key = client.slots.insert_at(0, ());
    let route = Route {
        from: None,
        to,
        resets_on_close: false,
    };
    client.ring.connect(key, &route);
    assert_eq!(client.connected(key), Ok(()));
    listener.accept().unwrap();
}

fn any_port() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

#[test]
fn a_connection_comes_from_its_source_address() {
    let listener = any_port();
    let mut client = Client::open(&SMALL);
    let key = client.slots.insert_at(7, ());
    let route = route(
        Some("127.9.8.7:0".parse().unwrap()),
        listener.local_addr().unwrap(),
    );
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
fn a_close_resets_a_connection_whose_route_says_so() {
    let listener = any_port();
    let address = listener.local_addr().unwrap();
    let mut client = Client::open(&SMALL);
    for resets_on_close in [true, false] {
        let key = client.slots.insert_at(0, ());
        let route = Route {
            resets_on_close,
            ..route(None, address)
        };
        client.ring.connect(key, &route);
        assert_eq!(client.connected(key), Ok(()));
        let (mut server, _) = listener.accept().unwrap();
        client.slots.remove(key);
        client.ring.close(key);
        client.take("close", |completion| {
            matches!(completion, Completion::Closed { .. }).then_some(())
        });
        let end = server.read(&mut [0]).map_err(|error| error.kind());
        let expected = match resets_on_close {
            true => Err(ErrorKind::ConnectionReset),
            false => Ok(0),
        };
        assert_eq!(end, expected);
    }
}

#[test]
fn a_refused_connection_and_a_foreign_source_say_why() {
    let check = |from: Option<SocketAddr>, to: SocketAddr, errno: i32| {
        let mut client = Client::open(&SMALL);
        let key = client.slots.insert_at(0, ());
        client.ring.connect(key, &route(from, to));
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
    let route = route(
        Some("127.0.0.9:0".parse().unwrap()),
        listener.local_addr().unwrap(),
    );
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

/// A listener that takes no connection: its backlog is full, so the kernel leaves a peer waiting.
fn full_listener() -> (socket2::Socket, Vec<socket2::Socket>) {
    let stream = socket2::Type::STREAM;
    let listener = socket2::Socket::new(socket2::Domain::IPV4, stream, None).unwrap();
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    listener.bind(&any_port.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let peers = (0..2).map(|_| {
        let peer = socket2::Socket::new(socket2::Domain::IPV4, stream, None).unwrap();
        peer.set_nonblocking(true).unwrap();
        let _ = peer.connect(&address);
        peer
    });
    let peers = peers.collect();
    (listener, peers)
}

#[test]
fn a_close_ends_dialling_however_far_it_has_come() {
    let (listener, _peers) = full_listener();
    let to = listener.local_addr().unwrap().as_socket().unwrap();
    for submits in [Submits::Nothing, Submits::ItsChain, Submits::AllSteps] {
        let mut client = Client::open(&SMALL);
        let key = client.slots.insert_at(3, ());
        client.ring.connect(key, &route(None, to));
        match submits {
            Submits::Nothing => {}
            Submits::ItsChain => client.ring.submit_now(),
            Submits::AllSteps => client.ring.enter(Wait::No).unwrap(),
        }
        client.ring.close(key);
        assert!(client.connected(key).is_err(), "{submits:?}");
        client.take("close", |completion| {
            matches!(completion, Completion::Closed { .. }).then_some(())
        });
        assert_eq!(client.ring.in_flight(), 0, "{submits:?}");
        // The descriptor is free: another connection can use it.
        let other = any_port();
        let to = other.local_addr().unwrap();
        client.ring.connect(key, &route(None, to));
        assert_eq!(client.connected(key), Ok(()), "{submits:?}");
    }
}

/// The progress of a chain in the kernel when the connection is closed.
#[derive(Clone, Copy, Debug)]
enum Submits {
    Nothing,
    ItsChain,
    AllSteps,
}

#[test]
fn accepts_leave_the_last_descriptors_to_dialling() {
    let settings = RingSettings {
        descriptors: 4,
        dialled: 2,
        ..SMALL
    };
    let mut client = Client::open(&settings);
    let listener = any_port();
    let address = listener.local_addr().unwrap();
    client.ring.accept(0, listener.as_fd());
    let peers: Vec<_> = (0..2)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let mut indexes = [0, 0];
    for index in &mut indexes {
        *index = client.take("accept", |completion| match *completion {
            Completion::Accepted { index, .. } => Some(index),
            _ => None,
        });
    }
    indexes.sort_unstable();
    assert_eq!(indexes, [0, 1]);
    assert_eq!(client.ring.free(), 0);
    let target = any_port();
    for index in [2, 3] {
        let key = client.slots.insert_at(index, ());
        let to = target.local_addr().unwrap();
        client.ring.connect(key, &route(None, to));
        assert_eq!(client.connected(key), Ok(()));
        assert_eq!(client.ring.free(), 0, "dialled ones are not counted");
    }
    // A third peer finds the table full, though one of the last two is closed.
    let key = client.slots.key_of(3).unwrap();
    client.slots.remove(key);
    client.ring.close(key);
    client.take("close", |completion| {
        matches!(completion, Completion::Closed { .. }).then_some(())
    });
    let _third = TcpStream::connect(address).unwrap();
    let errno = client.take("end of accepting", |completion| match *completion {
        Completion::AcceptEnded { errno, .. } => Some(errno),
        _ => None,
    });
    assert_eq!(errno, libc::ENFILE);
    drop(peers);
}
