//! A close waits for the operations of its connection and leaves none to the next connection.

use super::is_closed;
use super::server::{ROUND, ROUNDS_MAX, SMALL, Server};
use crate::chunk::Chunk;
use crate::ring::{Completion, RingSettings, Wait};
use crate::slots::SlotKey;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;

/// More than the buffers of two sockets hold.
const BYTES_MANY: usize = 16 << 20;

/// The completions up to `Closed`, and asserts that nothing but the accept is under way then.
fn completions_of_close(server: &mut Server, key: SlotKey) -> Vec<Completion> {
    assert!(server.slots.remove(key).is_some());
    server.ring.close(key);
    assert_eq!(server.ring.closing(), 1);
    let mut completions = std::mem::take(&mut server.waiting);
    for _ in 0..ROUNDS_MAX {
        while server.ring.reap(&mut completions, 1) > 0 {
            if let Some(Completion::Closed { key: closed }) = completions.last() {
                assert_eq!(*closed, key);
                assert_eq!(server.ring.closing(), 0);
                assert_eq!(server.ring.in_flight(), 1, "the accept alone is left");
                return completions;
            }
        }
        server.ring.enter(Wait::For(ROUND)).unwrap();
    }
    panic!("no close, but {completions:?}");
}

#[test]
fn everything_under_way_completes_before_the_close() {
    let mut server = Server::open(&SMALL);
    let (mut client, key) = server.pair();
    server.ring.watch(key);
    let from = server.block_a_send(key, BYTES_MANY);
    client.write_all(b"late").unwrap();
    server.ring.receive(key);
    server.ring.shutdown_write(key);
    let completions = completions_of_close(&mut server, key);
    let (mut received, mut sent) = (0, 0);
    for completion in completions {
        match completion {
            Completion::Received { outcome, .. } => {
                received += 1;
                if let super::Received::Data { buffer, .. } = outcome {
                    server.ring.buffers().recycle(buffer);
                }
            }
            Completion::Sent {
                chunk,
                from: start,
                outcome,
                ..
            } => {
                sent += 1;
                assert_eq!((chunk.len(), start), (BYTES_MANY, from));
                // The shutdown may be earlier than the cancellation.
                let errno = outcome.expect_err("the peer took nothing more");
                assert!([libc::ECANCELED, libc::EPIPE].contains(&errno), "{errno}");
            }
            Completion::Readable { .. } | Completion::Closed { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((received, sent), (1, 1));
    assert_eq!(server.ring.buffers().held(), 0);
}

#[test]
fn closing_cancels_a_stream_and_returns_the_chunk_of_a_blocked_send() {
    let mut server = Server::open(&SMALL);
    let (mut client, key) = server.pair();
    server.ring.recv_multishot(key);
    let from = server.block_a_send(key, BYTES_MANY);
    let completions = completions_of_close(&mut server, key);
    let sent = completions.into_iter().find_map(|it| match it {
        Completion::Sent {
            chunk,
            from,
            outcome,
            ..
        } => Some((chunk.len(), from, outcome)),
        _ => None,
    });
    assert_eq!(sent, Some((BYTES_MANY, from, Err(libc::ECANCELED))));
    std::io::copy(&mut client, &mut std::io::sink()).expect("an end of stream");
}

/// Connections that use one descriptor in turn, each closed with its shutdown under way.
fn check_shutdowns_spare_the_next(shuts_down_before_close: bool) {
    const CONNECTIONS: usize = 300;
    let mut server = Server::open(&RingSettings {
        descriptors: 1,
        ..SMALL
    });
    server.ring.stop_accepting();
    assert_eq!(server.accept_ended(), libc::ECANCELED);
    server.ring.shuts_down_before_close = shuts_down_before_close;
    for round in 0..CONNECTIONS {
        let mut client = server.connect();
        server.ring.accept_one(0, server.listener.as_fd());
        let fits = |it: &Completion| matches!(it, Completion::AcceptedOne { .. });
        let Completion::AcceptedOne {
            outcome: Ok(index), ..
        } = server.take("accept", fits)
        else {
            panic!("round {round}: the only descriptor is not free");
        };
        let key = server.slots.insert_at(index, ());
        server.ring.send(key, Chunk::from(b"answer".to_vec()), 0);
        let (_, _, outcome) = server.sent();
        assert_eq!(outcome, Ok(6), "round {round}");
        let mut answer = [0; 6];
        client.read_exact(&mut answer).unwrap();
        assert!(is_open(&mut client), "round {round}: shut down by another");
        if !shuts_down_before_close {
            server.ring.shutdown_write(key);
        }
        server.close(key);
        assert!(is_closed(&mut client), "round {round}");
    }
}

/// Whether neither bytes nor an end have arrived.
fn is_open(client: &mut TcpStream) -> bool {
    client.set_nonblocking(true).unwrap();
    let outcome = client.read(&mut [0; 1]);
    client.set_nonblocking(false).unwrap();
    outcome.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn a_shutdown_that_is_late_spares_the_next_connection() {
    check_shutdowns_spare_the_next(false);
}

#[test]
fn a_shutdown_before_the_close_of_older_kernels_spares_the_next_connection() {
    check_shutdowns_spare_the_next(true);
}

#[test]
fn dropping_a_ring_ends_its_sends_and_closes_its_connections() {
    let mut server = Server::open(&SMALL);
    let mut clients = Vec::new();
    for _ in 0..3 {
        let (client, key) = server.pair();
        server.ring.watch(key);
        server.block_a_send(key, BYTES_MANY);
        clients.push(client);
    }
    assert!(server.ring.end_sends());
    drop(server.ring);
    for mut client in clients {
        // An end of stream or a reset, and no timeout.
        let outcome = std::io::copy(&mut client, &mut std::io::sink());
        let is_timeout = |error: std::io::Error| error.kind() == ErrorKind::WouldBlock;
        assert!(!outcome.is_err_and(is_timeout));
    }
}

#[test]
#[should_panic(expected = "Receive after the close of")]
fn queueing_something_after_a_close_is_a_bug() {
    let mut server = Server::open(&SMALL);
    let (_client, key) = server.pair();
    server.ring.watch(key);
    server.ring.close(key);
    server.ring.receive(key);
}

/// Nanoseconds of this thread's CPU time that closing a connection takes while it sends: the least
/// of some closes, because interrupts are charged to the thread that runs.
fn close_cost_ns(server: &mut Server) -> u64 {
    const CLOSES: u32 = 8;
    let cost_ns = (0..CLOSES).map(|_| {
        let (_client, key) = server.pair();
        server.ring.watch(key);
        server.block_a_send(key, BYTES_MANY);
        let begun_ns = cpu_time_ns();
        server.close(key);
        let cost_ns = cpu_time_ns() - begun_ns;
        let (_chunk, _, _outcome) = server.sent();
        cost_ns
    });
    cost_ns.min().expect("some closes")
}

/// CPU time of the calling thread, which no other thread or process adds to.
fn cpu_time_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: clock_gettime(2) writes one `timespec`, a local of this function.
    let outcome = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(outcome, 0);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[test]
fn closing_while_sending_costs_the_same_among_thousands_of_idle_connections() {
    const IDLE: usize = 8000;
    let mut server = Server::open(&RingSettings {
        descriptors: IDLE as u32 + 64,
        completion_entries: 16_384,
        ..SMALL
    });
    let alone_ns = close_cost_ns(&mut server);
    let _idle: Vec<TcpStream> = (0..IDLE)
        .map(|_| {
            let (client, key) = server.pair();
            server.ring.watch(key);
            client
        })
        .collect();
    // A look at each of them would take some fifteen times as long, each time.
    let costs_the_same = (0..3).any(|_| {
        let among_ns = close_cost_ns(&mut server);
        println!("{alone_ns} ns alone, {among_ns} ns among {IDLE}");
        among_ns < 5 * alone_ns
    });
    assert!(costs_the_same);
}
