//! Faults of peers: too many, too slow, too large, or gone without a word.

use std::io::ErrorKind;
use std::thread;
use std::time::Duration;

use corelane_tests::{Request, Server, Session, Setup, wait_within};
use serde_json::json;

use crate::client::{CULPRIT, Client, echo, sleep};
use crate::trial::{Trial, connections, scaled};

/// Opens this many connections.
fn open(server: &Server, count: u64) -> Vec<Client> {
    (0..count).map(|_| Client::open(server.address())).collect()
}

/// Those beyond the cap wait in the backlog, and are served when there is room.
#[test]
fn more_connections_than_a_server_holds() {
    const BEYOND: u64 = 64;
    let cap = scaled(256, 16_384);
    let profile = format!("[ring]\ndescriptors = {cap}");
    let trial = Trial::of("too many connections", Setup::shards(1).profile(&profile));
    let totals = trial.run(|server| {
        let address = server.address();
        let mut clients = open(server, cap + BEYOND);
        for (id, client) in clients.iter_mut().enumerate() {
            let request = echo(address, &json!(id), "hello");
            client.send(&request).expect("the kernel takes it");
        }
        // The probe and its session were first. Those that are served are served in their order.
        let mut served = 0;
        let patience = Duration::from_millis(200);
        while let Ok(Some((200, _))) = clients[served].answer_within(patience) {
            served += 1;
        }
        assert!(served < clients.len(), "all of {served} are served");
        let waiting = clients.split_off(served);
        clients.into_iter().for_each(Client::reset);
        for (at, mut client) in waiting.into_iter().enumerate() {
            client.expect_result(&json!(served + at));
        }
    });
    assert!(totals.value("connections_table_full", "") > 0, "{totals:?}");
}

/// Each of them is given up when its time is over, and costs no more than its bound before. They
/// come one after the other and wait together: a flood of requests is a row of its own.
#[test]
fn readers_that_never_read() {
    let readers = scaled(200, 5000);
    let profile = format!(
        "[connection]\nwrite_timeout_ms = {}\noutput_bytes_max = 65536",
        scaled(500, 30_000)
    );
    let pause = Duration::from_millis(scaled(0, 4));
    let trial = Trial::of("slow readers", Setup::shards(1).profile(&profile));
    let totals = trial.run(|server| {
        let before = connections(server.address());
        // A small request with a large answer.
        let request = Request::modern(1, "tools/list", json!({})).to_bytes(server.address());
        let mut readers: Vec<Client> = (0..readers)
            .map(|_| Client::open_narrow(server.address()).expect("the server takes connections"))
            .collect();
        for reader in &mut readers {
            for _ in 0..16 {
                // Either side may have had enough.
                let _ = reader.send_some(&request);
            }
            thread::sleep(pause);
        }
        // The first may have made room for the last.
        let waiting = connections(server.address());
        assert!(waiting >= readers.len() / 2 || pause.is_zero(), "{waiting}");
        let patience = Duration::from_secs(scaled(15, 60));
        wait_within(patience, "the end of their time", || {
            (connections(server.address()) <= before).then_some(())
        });
    });
    let ended = totals.value("timeouts", "write") + totals.value("connections_shed", "");
    assert_eq!(ended, totals.rounds * readers, "{totals:?}");
}

/// Those beyond the cap are refused, and clients at other addresses are served.
#[test]
fn a_flood_of_calls_that_wait() {
    const CAP: u64 = 64;
    let calls = scaled(4, 100) * CAP;
    let profile = format!("[calls]\nin_flight_max = {CAP}");
    let trial = Trial::of("a flood of calls", Setup::shards(1).profile(&profile));
    let totals = trial.run(|server| {
        let mut clients = open(server, calls);
        for (id, client) in clients.iter_mut().enumerate() {
            let request = sleep(server.address(), &json!(id), 500);
            client.send(&request).expect("the server reads");
        }
        let mut served = 0;
        for client in &mut clients {
            match client.answer().expect("an answer").0 {
                200 => served += 1,
                503 => {}
                other => panic!("status {other}"),
            }
        }
        assert!(
            (1..calls).contains(&served),
            "{served} of {calls} are served"
        );
    });
    assert!(
        totals.value("requests_refused", "overload") > 0,
        "{totals:?}"
    );
}

/// Each has its time and no more.
#[test]
fn heads_and_bodies_that_drip() {
    let clients = scaled(200, 10_000);
    let profile = "[connection]\nhead_timeout_ms = 500\nbody_timeout_ms = 500";
    let trial = Trial::of("slow requests", Setup::shards(1).profile(profile));
    let totals = trial.run(|server| {
        let head = Request::post("").head_start(server.address());
        let body = format!("{head}Content-Length: 1000\r\n\r\n");
        let mut clients = open(server, clients);
        for (at, client) in clients.iter_mut().enumerate() {
            let start = if at.is_multiple_of(2) { &head } else { &body };
            client.send(start.as_bytes()).expect("the server reads");
        }
        // Until the first of them has its answer.
        while clients[0]
            .answer_within(Duration::from_millis(20))
            .is_ok_and(|it| it.is_none())
        {
            clients.iter_mut().for_each(|client| {
                let _ = client.send(b"a");
            });
        }
        for client in &mut clients[1..] {
            match client.answer() {
                Ok((status, _)) => assert_eq!(status, 408),
                // Its bytes after the answer were not read, so its end was a reset.
                Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
            }
        }
    });
    let ended = [
        totals.value("timeouts", "head"),
        totals.value("timeouts", "body"),
    ];
    assert_eq!(ended, [clients * totals.rounds / 2; 2], "{totals:?}");
}

/// A message far above the limit is refused as soon as that is known, and not kept.
#[test]
fn messages_of_a_hundred_megabytes() {
    const MESSAGE_BYTES: usize = 100_000_000;
    const HELD_BYTES_MAX: usize = 48 << 20;
    let trial = Trial::of("huge messages", Setup::shards(1));
    let totals = trial.run(|server| {
        let before = server.resident_bytes();
        let head = Request::post("").head_start(server.address());
        let announced = format!("{head}Content-Length: {MESSAGE_BYTES}\r\n\r\n");
        let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n5f5e100\r\n");
        for (start, refusal) in [(announced, 413), (chunked, 413), (head + "A: ", 431)] {
            let mut client = Client::open(server.address());
            client.send(start.as_bytes()).expect("the server reads");
            let mut left = MESSAGE_BYTES;
            let answer = loop {
                let sent = client.send(&[b' '; 16 * 1024]);
                left = left.saturating_sub(16 * 1024);
                match client.answer_within(Duration::from_micros(1)) {
                    Ok(None) if sent.is_ok() && left > 0 => {}
                    answer => break answer,
                }
            };
            match answer {
                Ok(answer) => assert_eq!(answer.map(|it| it.0), Some(refusal)),
                // Its bytes after the answer were not read.
                Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
            }
            assert!(left > MESSAGE_BYTES / 2, "{left} bytes were left to send");
        }
        let held = server.resident_bytes().saturating_sub(before);
        assert!(held < HELD_BYTES_MAX, "{held} bytes");
    });
    let refused = totals.value("requests_refused", "framing");
    assert_eq!(refused, totals.rounds * 3, "{totals:?}");
}

/// Their answers reach no other client, although others have their places at once.
#[test]
fn peers_that_reset_in_the_middle_of_an_answer() {
    const TOGETHER: u64 = 50;
    let resets = scaled(2000, 100_000);
    let trial = Trial::of("resets", Setup::shards(1)).with_buffers_of(10 << 20);
    let totals = trial.run(|server| {
        let address = server.address();
        let large = "x".repeat(200_000);
        for batch in 0..resets / TOGETHER {
            let mut culprits = open(server, TOGETHER);
            for (at, client) in culprits.iter_mut().enumerate() {
                let request = match at % 2 {
                    0 => echo(address, &json!("large"), &large),
                    _ => sleep(address, &json!("late"), 10),
                };
                client.send(&request).expect("the server reads");
            }
            for (at, client) in culprits.into_iter().enumerate() {
                if at.is_multiple_of(2) {
                    client.wait_for_byte().expect("an answer");
                }
                client.reset();
            }
            let mut others = open(server, TOGETHER);
            let ids = (0..TOGETHER).map(|at| json!(format!("{batch}/{at}")));
            for (client, id) in others.iter_mut().zip(ids.clone()) {
                let request = sleep(address, &id, 15);
                client.send(&request).expect("the server reads");
            }
            for (client, id) in others.iter_mut().zip(ids) {
                client.expect_result(&id);
                // Nothing follows.
                client
                    .send(&echo(address, &id, "bye"))
                    .expect("the server reads");
                client.expect_result(&id);
            }
        }
    });
    assert!(totals.value("calls", "cancelled") > 0, "{totals:?}");
}

/// All clients lose their connections at once, and come back at once with sessions of their own.
#[test]
fn a_stampede_of_clients_that_come_back() {
    const THREADS: u64 = 4;
    // They arrive together, and a call of another client waits behind them.
    let clients = scaled(300, 18_000);
    // A shard touches its receive buffers one after the other: few of them, so that no growth of
    // theirs hides another. The sessions stay.
    let setup = Setup::shards(2).profile("[ring]\nbuffer_count = 256");
    let trial = Trial::of("a stampede", setup);
    let trial = trial.with_buffers_of(1024 * clients as usize);
    let totals = trial.run(|server| {
        open(server, clients / 2)
            .into_iter()
            .for_each(Client::reset);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let handshake = Request::initialize(corelane_tests::request::LEGACY);
                    let handshake = handshake.to_bytes(server.address());
                    let mut clients = open(server, clients / THREADS);
                    for client in &mut clients {
                        client.send(&handshake).expect("the server reads");
                    }
                    for client in &mut clients {
                        client.expect_result(&json!(0));
                    }
                });
            }
        });
    });
    assert!(
        totals.value("sessions_created", "") >= totals.rounds * clients,
        "{totals:?}"
    );
}

/// Streams and calls end with their connections, and tasks with their time.
#[test]
fn clients_that_leave_everything_behind() {
    const TTL: Duration = Duration::from_secs(1);
    let clients = scaled(100, 5000);
    let profile = format!(
        "[sessions]\nper_principal_max = 20000\n[tasks]\nttl_default_ms = {}\n\
         per_owner_max = 10000",
        TTL.as_millis()
    );
    let trial = Trial::of("clients that leave", Setup::shards(2).profile(&profile));
    // Their sessions stay, each with a call that can be resumed: a large future, unoptimised.
    let trial = trial.with_buffers_of((128 << 10) * clients as usize);
    let totals = trial.run(|server| {
        for _ in 0..clients {
            let mut connection = server.connect_from(CULPRIT);
            let session = Session::open(&mut connection);
            let params = json!({
                "name": "slow_compute", "arguments": { "seconds": 60 }, "task": {},
            });
            let made = connection.exchange(&session.request(1, "tools/call", params));
            assert_eq!(made.status(), 200, "{made:?}");
            let mut calling = server.connect_from(CULPRIT);
            calling.send(&session.call("sleep", json!({ "ms": 60_000 })));
            connection.send(&session.stream());
            let head = connection.read_head().expect("a head");
            assert_eq!(head.status, 200, "{head:?}");
        }
        thread::sleep(2 * TTL);
    });
    // At least those of the first round.
    let expired = totals.value("tasks_ended", "expired");
    assert!(expired >= clients, "{totals:?}");
    assert!(
        totals.value("calls", "cancelled") >= totals.rounds * clients,
        "{totals:?}"
    );
}
