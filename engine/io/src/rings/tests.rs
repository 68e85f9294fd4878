//! Several real rings on real loopback sockets.

use super::{Rings, RingsSettings};
use crate::chunk::Chunk;
use crate::ring::{Completion, Received, RingSettings, Wait};
use crate::slots::{SlotKey, Slots};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::thread;
use std::time::Duration;

/// Sockets of each ring.
const EACH: u32 = 4;
/// Two whole rings and a half.
const ALL: u32 = 10;
/// Longer than a test may take, so that a lost event is seen.
const LONG: Duration = Duration::from_secs(30);

const SETTINGS: RingsSettings = RingsSettings {
    ring: RingSettings {
        submission_entries: 64,
        completion_entries: 256,
        descriptors: ALL,
        dialled: 0,
        buffer_count: 16,
        buffer_bytes: 512,
    },
    ring_descriptors_max: EACH,
};

/// Accepts one by one and sends the bytes back that it receives.
struct EchoServer {
    rings: Rings,
    slots: Slots<()>,
    listener: TcpListener,
    completions: Vec<Completion>,
}

impl EchoServer {
    fn open() -> EchoServer {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        EchoServer {
            rings: Rings::open(&SETTINGS).unwrap(),
            slots: Slots::new(ALL),
            listener,
            completions: Vec::new(),
        }
    }

    /// A client that was accepted, and its key.
    fn connect(&mut self) -> (TcpStream, SlotKey) {
        let client = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(LONG / 2)).unwrap();
        self.rings.choose_accepting(1);
        self.rings.accepting().accept_one(0, self.listener.as_fd());
        let before = self.slots.len();
        while self.slots.len() == before {
            self.turn(Wait::For(LONG));
        }
        let last = self.slots.keys().last().unwrap();
        (client, last)
    }

    fn turn(&mut self, wait: Wait) {
        self.rings.enter(wait).unwrap();
        let mut completions = std::mem::take(&mut self.completions);
        self.rings.reap(&mut completions, 3);
        for completion in completions.drain(..) {
            self.handle(completion);
        }
        self.completions = completions;
    }

    fn handle(&mut self, completion: Completion) {
        match completion {
            Completion::AcceptedOne { outcome, .. } => {
                let key = self.slots.insert_at(outcome.unwrap(), ());
                self.rings.of(key).watch(key);
            }
            // An end wakes a poll twice: the second event, and what was received for it, may come
            // after the close.
            Completion::Readable { key, .. } | Completion::Received { key, .. }
                if self.slots.get(key).is_none() => {}
            Completion::Readable { key, .. } => self.rings.of(key).receive(key),
            Completion::Received { key, outcome } => match outcome {
                Received::Data { buffer, bytes, .. } => {
                    let ring = self.rings.of(key);
                    let echo = Chunk::from(ring.buffers().bytes(&buffer, bytes).to_vec());
                    ring.buffers().recycle(buffer);
                    ring.send(key, echo, 0);
                }
                Received::EndOfStream => {
                    self.slots.remove(key).unwrap();
                    self.rings.of(key).close(key);
                }
                other => panic!("{other:?}"),
            },
            Completion::Sent { outcome, .. } => assert_eq!(outcome, Ok(1)),
            Completion::Closed { .. } | Completion::Woken => {}
            other => panic!("{other:?}"),
        }
    }
}

fn is_readable(fd: BorrowedFd<'_>) -> bool {
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: poll(2) reads and writes one `pollfd`, a local of this function.
    unsafe { libc::poll(&mut poll, 1, 0) == 1 }
}

#[test]
fn each_size_is_that_of_the_settings_or_of_a_small_ring() {
    let large = RingsSettings {
        ring: RingSettings {
            submission_entries: 2048,
            completion_entries: 16_384,
            descriptors: 50_000,
            dialled: 0,
            buffer_count: 4096,
            buffer_bytes: 2048,
        },
        ring_descriptors_max: 19_990,
    };
    let sizes: Vec<RingSettings> = large.each().collect();
    let descriptors: Vec<u32> = sizes.iter().map(|it| it.descriptors).collect();
    assert_eq!(descriptors, [19_990, 19_990, 10_020]);
    assert_eq!(sizes[0].locked_bytes(), large.ring.locked_bytes());
    assert_eq!(sizes[1].locked_bytes(), 40 << 10);
    assert_eq!(large.locked_bytes(), large.ring.locked_bytes() + (80 << 10));
    assert_eq!(large.buffers_bytes(), (4096 + 2 * 256) * 2048);
    // No more rings than the sockets need.
    let one = RingsSettings {
        ring_descriptors_max: 50_000,
        ..large
    };
    assert!(one.each().eq([large.ring]));
}

#[test]
fn a_thread_that_waits_in_its_first_ring_serves_the_connections_of_all() {
    let mut server = EchoServer::open();
    let clients: Vec<_> = (0..ALL).map(|_| server.connect()).collect();
    let indexes: Vec<u32> = clients.iter().map(|(_, key)| key.index).collect();
    assert_eq!(indexes, (0..ALL).collect::<Vec<u32>>());
    assert_eq!(server.rings.in_use(), 3);
    let client = thread::spawn(move || {
        for round in 0..300_u32 {
            // Each of them is alone at first, and then all send at once.
            let all = 0..clients.len();
            let at = round as usize % clients.len();
            let some = if round < 200 { at..at + 1 } else { all };
            for (client, _) in &clients[some.clone()] {
                (&*client).write_all(&[round as u8]).unwrap();
            }
            for (client, _) in &clients[some] {
                let mut echo = [0];
                (&*client).read_exact(&mut echo).expect("an answer in time");
                assert_eq!(echo, [round as u8]);
            }
        }
    });
    while !server.slots.is_empty() {
        server.turn(Wait::For(LONG));
    }
    client.join().unwrap();
    while server.rings.closing() > 0 {
        server.turn(Wait::For(LONG));
    }
    server.turn(Wait::No);
    // The poll of the wake descriptor is left.
    assert_eq!((server.rings.in_flight(), server.rings.in_use()), (1, 1));
}

#[test]
fn a_further_ring_notifies_a_parked_thread_and_no_other() {
    let mut server = EchoServer::open();
    let mut clients: Vec<_> = (0..=EACH).map(|_| server.connect()).collect();
    let (mut client, _) = clients.pop().unwrap();
    for is_parked in [false, true, false] {
        server.rings.set_park_notify(is_parked);
        server.rings.enter(Wait::No).unwrap();
        assert!(!server.rings.has_completions());
        client.write_all(b"x").unwrap();
        let (_, wake) = server.rings.park_eventfds();
        assert_eq!(is_readable(wake.unwrap()), is_parked);
        server.rings.set_park_notify(false);
        let (park, wake) = server.rings.park_eventfds();
        assert!(!is_readable(park) && !is_readable(wake.unwrap()));
        let mut echo = None;
        client.set_nonblocking(true).unwrap();
        while echo.is_none() {
            server.turn(Wait::No);
            echo = client.read(&mut [0]).ok();
        }
        // All that the echo leaves behind.
        while server.rings.has_completions() {
            server.turn(Wait::No);
        }
    }
}
