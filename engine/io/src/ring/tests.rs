//! Real rings on real loopback sockets. Every wait is for a completion and bounded by rounds.

mod close;
mod dial;
mod model;
mod peer;
mod server;

use super::{Completion, Hangup, Received, Ring, RingSettings, Wait};
use crate::chunk::Chunk;
use crate::slots::SlotKey;
use crate::wake::WakeFd;
use server::{ROUND, ROUNDS_MAX, SMALL, Server};
use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;

/// Whether the peer of `client` closed: an end of stream or a reset, and no timeout.
fn is_closed(client: &mut TcpStream) -> bool {
    match client.read(&mut [0; 1]) {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

/// Ends a connection with a reset instead of an end of stream.
fn reset(client: TcpStream) {
    let client = socket2::Socket::from(client);
    client.set_linger(Some(std::time::Duration::ZERO)).unwrap();
}

fn is_readable(fd: BorrowedFd<'_>, timeout_ms: i32) -> bool {
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: poll(2) reads and writes one `pollfd`, a local of this function.
    unsafe { libc::poll(&mut poll, 1, timeout_ms) == 1 }
}

#[test]
fn a_socket_that_was_open_before_is_served_like_an_accepted_one() {
    let mut server = Server::open(&SMALL);
    let (mut client, socket) = UnixStream::pair().unwrap();
    let key = SlotKey {
        index: 1,
        generation: 0,
    };
    server.ring.install(key.index, socket.as_fd()).unwrap();
    drop(socket);
    server.ring.watch(key);
    client.write_all(b"ping").unwrap();
    assert_eq!(server.readable(key), Hangup::None);
    let Received::Data { buffer, bytes, .. } = server.received(key) else {
        panic!("no data");
    };
    assert_eq!(server.ring.buffers().bytes_mut(&buffer, bytes), b"ping");
    server.ring.buffers().recycle(buffer);
    client.shutdown(Shutdown::Both).unwrap();
    assert_eq!(server.readable(key), Hangup::Closed);
    // Beyond the table there is no place.
    let error = server.ring.install(SMALL.descriptors, client.as_fd());
    assert!(error.is_err());
}

#[test]
fn a_connection_is_accepted_read_answered_and_closed() {
    let mut server = Server::open(&SMALL);
    let (mut client, key) = server.pair();
    server.ring.watch(key);
    client.write_all(b"ping").unwrap();
    assert_eq!(server.readable(key), Hangup::None);
    let Received::Data {
        buffer,
        bytes,
        more_waiting,
    } = server.received(key)
    else {
        panic!("no data");
    };
    assert!(!more_waiting);
    assert_eq!(server.ring.buffers().bytes_mut(&buffer, bytes), b"ping");
    server.ring.buffers().recycle(buffer);
    assert_eq!(server.received(key), Received::WouldBlock);
    server.ring.send(key, Chunk::from(b"..pong".to_vec()), 2);
    let (chunk, from, outcome) = server.sent();
    assert_eq!((&chunk[..], from, outcome), (&b"..pong"[..], 2, Ok(4)));
    let mut answer = [0; 4];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"pong");
    server.close(key);
    assert!(is_closed(&mut client));
    // Only the accept is left: the poll was cancelled and accounted for.
    server.connect();
    server.accepted();
    assert_eq!(server.ring.in_flight(), 1);
}

#[test]
fn a_connection_goes_from_watched_to_streamed_and_back() {
    let mut server = Server::open(&SMALL);
    let (mut client, key) = server.pair();
    server.ring.watch(key);
    client.write_all(b"one").unwrap();
    assert_eq!(server.readable(key), Hangup::None);
    server.ring.unwatch(key);
    server.ring.recv_multishot(key);
    assert_eq!(server.streamed(key), (Ok(3), true));
    client.write_all(b"three").unwrap();
    assert_eq!(server.streamed(key), (Ok(5), true));
    server.ring.cancel_multishot(key);
    assert_eq!(server.streamed(key), (Err(libc::ECANCELED), false));
    // A new poll announces bytes that are there already, and the old poll completes no more.
    client.write_all(b"again").unwrap();
    server.ring.watch(key);
    assert_eq!(server.readable(key), Hangup::None);
    let outcome = server.received(key);
    assert!(
        matches!(outcome, Received::Data { bytes: 5, .. }),
        "{outcome:?}"
    );
    assert!(server.waiting.is_empty(), "{:?}", server.waiting);
    assert_eq!(server.ring.in_flight(), 2, "the accept and the watch");
}

#[test]
fn a_tick_ends_a_wait_once() {
    let mut server = Server::open(&SMALL);
    let begun = std::time::Instant::now();
    server.ring.tick_after(ROUND);
    server.ring.enter(Wait::Completion).unwrap();
    let mut completions = Vec::new();
    server.ring.reap(&mut completions, 8);
    assert!(matches!(completions[..], [Completion::Ticked]));
    assert!(begun.elapsed() >= ROUND);
    assert_eq!(server.ring.in_flight(), 1, "the accept alone is left");
    server.ring.enter(Wait::For(ROUND)).unwrap();
    assert_eq!(server.ring.reap(&mut completions, 8), 0);
}

#[test]
fn the_end_of_the_peer_is_a_hangup_and_an_end_of_stream() {
    let mut server = Server::open(&SMALL);
    let (client, key) = server.pair();
    server.ring.watch(key);
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(server.readable(key), Hangup::HalfClosed);
    assert_eq!(server.received(key), Received::EndOfStream);
    assert_eq!(server.ring.buffers().held(), 0);
}

#[test]
fn a_reset_is_a_hangup_of_both_sides_and_a_failure_behind_the_bytes_before_it() {
    let mut server = Server::open(&SMALL);
    let (mut client, key) = server.pair();
    server.ring.watch(key);
    server.ring.enter(Wait::No).unwrap();
    client.write_all(b"last").unwrap();
    reset(client);
    assert_eq!(server.readable(key), Hangup::Closed);
    let Received::Data { buffer, bytes, .. } = server.received(key) else {
        panic!("no data");
    };
    assert_eq!(server.ring.buffers().bytes(&buffer, bytes), b"last");
    server.ring.buffers().recycle(buffer);
    let errno = libc::ECONNRESET;
    assert_eq!(server.received(key), Received::Failed { errno });
    // There is no second edge: without another receive the reset is never seen.
    server.ring.enter(Wait::No).unwrap();
    assert_eq!(server.ring.reap(&mut server.waiting, 1), 0);
}

#[test]
fn a_receive_beside_a_stream_keeps_the_order_of_the_bytes() {
    let mut server = Server::open(&SMALL);
    let (mut client, key) = server.pair();
    server.ring.recv_multishot(key);
    server.ring.enter(Wait::No).unwrap();
    let mut seen = Vec::new();
    for round in 0..=u8::MAX {
        client.write_all(&[round; 3]).unwrap();
        server.ring.receive(key);
        server.ring.enter(Wait::No).unwrap();
        server.ring.reap(&mut server.waiting, usize::MAX);
        for completion in server.waiting.drain(..) {
            match completion {
                Completion::Streamed { outcome, armed, .. } => {
                    assert!(armed);
                    take(&mut server.ring, outcome, &mut seen);
                }
                Completion::Received { outcome, .. } => {
                    take(&mut server.ring, outcome, &mut seen);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    let sent: Vec<u8> = (0..=u8::MAX).flat_map(|round| [round; 3]).collect();
    assert_eq!(seen, sent);
}

/// Appends received bytes to `seen`.
fn take(ring: &mut Ring, outcome: Received, seen: &mut Vec<u8>) {
    match outcome {
        Received::Data { buffer, bytes, .. } => {
            seen.extend_from_slice(ring.buffers().bytes(&buffer, bytes));
            ring.buffers().recycle(buffer);
        }
        other => assert_eq!(other, Received::WouldBlock),
    }
}

#[test]
fn a_write_shutdown_reaches_the_peer_while_reading_goes_on() {
    let mut server = Server::open(&SMALL);
    let (mut client, key) = server.pair();
    server.ring.watch(key);
    server.ring.shutdown_write(key);
    server.ring.enter(Wait::No).unwrap();
    assert!(is_closed(&mut client));
    client.write_all(b"rest").unwrap();
    // A socket whose own side is shut reports that too, so the first event may come before.
    while server.received(key) == Received::WouldBlock {
        server.readable(key);
    }
    server.close(key);
}

#[test]
fn receiving_goes_on_after_buffers_ran_out() {
    let mut server = Server::open(&RingSettings {
        buffer_count: 2,
        ..SMALL
    });
    let (mut client, key) = server.pair();
    client.write_all(&[7; 512 * 3]).unwrap();
    server.ring.watch(key);
    server.readable(key);
    let mut held = Vec::new();
    while held.len() < 2 {
        match server.received(key) {
            Received::Data { buffer, .. } => held.push(buffer),
            Received::WouldBlock => assert_eq!(server.readable(key), Hangup::None),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(server.received(key), Received::NoBuffers);
    assert_eq!(server.ring.counters().no_buffers, 1);
    server.ring.buffers().recycle(held.remove(0));
    assert!(matches!(
        server.received(key),
        Received::Data { bytes: 512, .. }
    ));
}

/// A burst takes more buffers than there are receives. The first one ends the multishot receive,
/// and the second one finds enough.
#[test]
fn a_multishot_receive_outlives_the_second_burst() {
    let mut server = Server::open(&RingSettings {
        buffer_count: 32,
        ..SMALL
    });
    let (mut client, key) = server.pair();
    let mut ends = 0;
    server.ring.recv_multishot(key);
    for _ in 0..2 {
        client.write_all(&[7; 512 * 6]).unwrap();
        let mut received = 0;
        while received < 512 * 6 {
            let (bytes, armed) = server.streamed(key);
            received += bytes.unwrap_or(0);
            if !armed {
                ends += 1;
                server.ring.recv_multishot(key);
            }
        }
    }
    assert_eq!(ends, 1);
    assert_eq!(server.ring.counters().no_buffers, 1);
}

#[test]
fn short_sends_to_a_slow_reader_finish() {
    const BYTES: usize = 600_000;
    let content: Vec<u8> = (0..BYTES).map(|position| (position % 251) as u8).collect();
    let mut server = Server::open(&SMALL);
    let (mut client, key) = server.pair();
    let expected = content.clone();
    let reader = std::thread::spawn(move || {
        let mut seen = 0;
        let mut bytes = [0; 700];
        while seen < BYTES {
            let count = client.read(&mut bytes).unwrap();
            assert_eq!(bytes[..count], expected[seen..seen + count]);
            seen += count;
        }
    });
    server.ring.send(key, Chunk::from(content), 0);
    let mut short = 0;
    loop {
        let (chunk, from, outcome) = server.sent();
        let from = from + outcome.unwrap();
        if from == BYTES {
            break;
        }
        short += 1;
        server.ring.send(key, chunk, from);
    }
    assert!(short > 0);
    reader.join().unwrap();
}

#[test]
fn a_full_table_ends_accepting_until_a_close() {
    let mut server = Server::open(&RingSettings {
        descriptors: 2,
        ..SMALL
    });
    let (_first, first) = server.pair();
    let (_second, _) = server.pair();
    let mut refused = server.connect();
    assert_eq!(server.accept_ended(), libc::ENFILE);
    assert!(is_closed(&mut refused));
    server.close(first);
    server.ring.accept(0, server.listener.as_fd());
    let (_third, third) = server.pair();
    assert_eq!(third.index, first.index);
}

#[test]
fn connections_are_accepted_from_several_listeners_and_each_can_be_stopped() {
    const OTHER: u8 = 5;
    let mut server = Server::open(&SMALL);
    let other = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    server.ring.accept(OTHER, other.as_fd());
    let _client = TcpStream::connect(other.local_addr().unwrap()).unwrap();
    let fits = |it: &Completion| {
        matches!(
            it,
            Completion::Accepted {
                listener: OTHER,
                ..
            }
        )
    };
    server.take("accept", fits);
    let (_client, _) = server.pair();
    server.ring.stop_accepting_from(OTHER);
    let fits = |it: &Completion| match it {
        Completion::AcceptEnded { listener, errno } => {
            (*listener, *errno) == (OTHER, libc::ECANCELED)
        }
        _ => false,
    };
    server.take("end of accepting", fits);
    let (_client, _) = server.pair();
    assert_eq!(server.ring.in_flight(), 1);
}

#[test]
fn accepting_can_be_stopped() {
    let mut server = Server::open(&SMALL);
    server.ring.stop_accepting();
    assert_eq!(server.accept_ended(), libc::ECANCELED);
    assert_eq!(server.ring.in_flight(), 0);
}

#[test]
fn an_overflown_completion_queue_loses_nothing() {
    let tiny = RingSettings {
        submission_entries: 4,
        completion_entries: 4,
        ..SMALL
    };
    let mut server = Server::open(&tiny);
    let mut pairs: Vec<(TcpStream, SlotKey)> = (0..32).map(|_| server.pair()).collect();
    for (_, key) in &pairs {
        server.ring.watch(*key);
    }
    for (client, key) in &mut pairs {
        client.write_all(b"x").unwrap();
        server.ring.receive(*key);
    }
    let mut received = HashSet::new();
    let mut readable = HashSet::new();
    while received.len() < pairs.len() || readable.len() < pairs.len() {
        let is_event = |completion: &Completion| {
            matches!(
                completion,
                Completion::Received { .. } | Completion::Readable { .. }
            )
        };
        match server.take("event", is_event) {
            Completion::Received { key, .. } => received.insert(key),
            Completion::Readable { key, .. } => readable.insert(key),
            other => panic!("{other:?}"),
        };
    }
    assert!(server.ring.counters().completion_overflows > 0);
    assert!(server.ring.counters().submissions_full > 0);
}

#[test]
fn reaping_stops_at_its_bound() {
    let mut server = Server::open(&SMALL);
    let clients: Vec<TcpStream> = (0..5).map(|_| server.connect()).collect();
    let mut completions = Vec::new();
    for _ in 0..ROUNDS_MAX {
        server.ring.enter(Wait::For(ROUND)).unwrap();
        assert!(server.ring.reap(&mut completions, 1) <= 1);
        if completions.len() == clients.len() {
            return;
        }
    }
    panic!("{completions:?}");
}

#[test]
fn a_ring_wakes_another_thread_waiting_in_its_ring() {
    let (sender, receiver) = mpsc::channel();
    let sleeper = std::thread::spawn(move || {
        let mut server = Server::open(&SMALL);
        sender.send(server.ring.raw_fd()).unwrap();
        server.woken();
    });
    let sleeper_fd = receiver.recv().unwrap();
    let mut ring = Ring::open(&SMALL).unwrap();
    ring.wake_shard(sleeper_fd);
    ring.enter(Wait::No).unwrap();
    sleeper.join().unwrap();
    assert_eq!(ring.in_flight(), 0);
    assert_eq!(ring.counters().wakes_failed, 0);
    // The other ring has gone; that costs a counter and nothing else.
    ring.wake_shard(-1);
    ring.enter(Wait::No).unwrap();
    assert_eq!(ring.reap(&mut Vec::new(), 10), 0);
    assert_eq!(ring.counters().wakes_failed, 1);
}

#[test]
fn threads_without_a_ring_wake_it_again_and_again() {
    let mut server = Server::open(&SMALL);
    let wake = WakeFd::open().unwrap();
    server.ring.watch_wake(&wake);
    for _ in 0..10 {
        let waker = wake.waker();
        let thread = std::thread::spawn(move || waker.wake());
        server.woken();
        thread.join().unwrap();
    }
}

#[test]
fn the_park_descriptor_notifies_only_while_it_is_on() {
    let mut server = Server::open(&SMALL);
    server.ring.enter(Wait::No).unwrap();
    let _first = server.connect();
    assert!(!is_readable(server.ring.park_eventfd(), 0));
    server.accepted();
    server.ring.set_park_notify(true);
    server.ring.enter(Wait::No).unwrap();
    assert!(!server.ring.has_completions());
    let _second = server.connect();
    assert!(is_readable(server.ring.park_eventfd(), 20_000));
    server.ring.set_park_notify(false);
    assert!(!is_readable(server.ring.park_eventfd(), 0));
    server.accepted();
}

#[test]
fn more_connections_than_slots_come_and_go() {
    let mut server = Server::open(&RingSettings {
        descriptors: 4,
        ..SMALL
    });
    for round in 0..200 {
        let (mut client, key) = server.pair();
        server.ring.watch(key);
        if round % 3 == 0 {
            client
                .write_all(b"unread bytes make the close a reset")
                .unwrap();
            server.readable(key);
        }
        server.close(key);
        assert!(is_closed(&mut client), "round {round}");
    }
    server
        .waiting
        .retain(|completion| !matches!(completion, Completion::Readable { .. }));
    assert!(server.waiting.is_empty(), "{:?}", server.waiting);
    assert_eq!(server.ring.in_flight(), 1);
    assert!(server.slots.is_empty());
}
