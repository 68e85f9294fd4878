//! The adapter to NATS, against a real server that stops, freezes, and is flooded.

use std::time::Duration;

use corelane_cluster::id::Process;
use corelane_cluster::vocabulary::{Expect, Key, PutResult, ReadFrom, ReadResult};
use corelane_nats::{Bus, BusEvent, Settings, create};
use corelane_tests::{NatsServer, PATIENCE};

fn settings(server: &NatsServer) -> Settings {
    Settings {
        cluster: "test".to_owned(),
        servers: vec![server.url()],
        nkey_file: None,
        ca_file: None,
    }
}

/// Runs a test on one thread, as a node does.
fn on_runtime(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .expect("a runtime");
    let limited = async { tokio::time::timeout(4 * PATIENCE, test).await };
    runtime.block_on(limited).expect("the test ends in time");
}

/// A server with buckets, and a node that reached it.
async fn connected() -> (NatsServer, Bus) {
    let server = NatsServer::start();
    create(&settings(&server), 1).await.expect("buckets");
    let mut bus = Bus::start(&settings(&server), 1).await.expect("a client");
    until(&mut bus, |event| matches!(event, BusEvent::Connected)).await;
    (server, bus)
}

/// The next event of a kind.
async fn until(bus: &mut Bus, is_it: impl Fn(&BusEvent) -> bool) -> BusEvent {
    let next = async {
        loop {
            let event = bus.next().await;
            if is_it(&event) {
                return event;
            }
        }
    };
    let next = tokio::time::timeout(PATIENCE, next).await;
    next.expect("the event comes")
}

async fn put(bus: &mut Bus, key: Key, expect: (Expect, u64), value: &[u8]) -> PutResult {
    bus.put(7, key, expect, value.to_vec());
    match until(bus, |event| matches!(event, BusEvent::Put(7, _))).await {
        BusEvent::Put(_, result) => result,
        other => panic!("no result: {other:?}"),
    }
}

async fn read(bus: &mut Bus, key: Key, from: ReadFrom) -> ReadResult {
    bus.read(8, key, from);
    match until(bus, |event| matches!(event, BusEvent::Read(8, _))).await {
        BusEvent::Read(_, result) => result,
        other => panic!("no result: {other:?}"),
    }
}

#[test]
fn a_node_waits_for_buckets_that_an_operator_makes() {
    on_runtime(async {
        let server = NatsServer::start();
        let mut bus = Bus::start(&settings(&server), 1).await.expect("a client");
        let event = until(&mut bus, |event| matches!(event, BusEvent::Unusable(_))).await;
        let said = format!("{event:?}");
        assert!(said.contains("KV_cl_test_sess"), "{said}");
        assert!(said.contains("corelane cluster init"), "{said}");
        let made = create(&settings(&server), 1).await.expect("buckets");
        assert_eq!(made, ["KV_cl_test_sess", "KV_cl_test_conf"]);
        until(&mut bus, |event| matches!(event, BusEvent::Connected)).await;
        // Made once: buckets that are there stay.
        create(&settings(&server), 1).await.expect("the same");
    });
}

#[test]
fn writes_are_conditional_on_the_last_revision() {
    on_runtime(async {
        let (_server, mut bus) = connected().await;
        for key in [
            Key::Generation,
            Key::Session(5, 6),
            Key::Node(2),
            Key::Level,
        ] {
            assert_eq!(
                read(&mut bus, key, ReadFrom::Leader).await,
                ReadResult::Absent
            );
            assert_eq!(read(&mut bus, key, ReadFrom::Any).await, ReadResult::Absent);
            let first = put(&mut bus, key, (Expect::Absent, 0), b"a").await;
            let PutResult::Written(first) = first else {
                panic!("{first:?}");
            };
            let again = put(&mut bus, key, (Expect::Absent, 0), b"b").await;
            assert_eq!(again, PutResult::Conflict);
            let next = put(&mut bus, key, (Expect::Revision(first), 0), b"c").await;
            let PutResult::Written(next) = next else {
                panic!("{next:?}");
            };
            assert!(next > first);
            let old = put(&mut bus, key, (Expect::Revision(first), 0), b"d").await;
            assert_eq!(old, PutResult::Conflict);
            let found = ReadResult::Found(next, b"c".to_vec());
            for from in [ReadFrom::Leader, ReadFrom::Any] {
                assert_eq!(read(&mut bus, key, from).await, found);
            }
        }
    });
}

#[test]
fn a_record_that_expires_leaves_a_marker() {
    on_runtime(async {
        let (_server, mut bus) = connected().await;
        let key = Key::Session(1, 2);
        let written = put(&mut bus, key, (Expect::Absent, 1), b"short").await;
        // A rewritten record has the time to live of the last write.
        let PutResult::Written(first) = written else {
            panic!("{written:?}");
        };
        let again = put(&mut bus, key, (Expect::Revision(first), 1), b"short").await;
        assert!(matches!(again, PutResult::Written(_)), "{again:?}");
        let marker = loop {
            match read(&mut bus, key, ReadFrom::Leader).await {
                ReadResult::Marker(revision) => break revision,
                ReadResult::Found(..) => tokio::time::sleep(Duration::from_millis(50)).await,
                other => panic!("{other:?}"),
            }
        };
        let absent = put(&mut bus, key, (Expect::Absent, 0), b"new").await;
        assert_eq!(absent, PutResult::Conflict);
        let over = put(&mut bus, key, (Expect::Revision(marker), 0), b"new").await;
        assert!(matches!(over, PutResult::Written(_)), "{over:?}");
    });
}

#[test]
fn messages_go_to_all_or_to_one_process() {
    on_runtime(async {
        let (server, mut one) = connected().await;
        let mut two = Bus::start(&settings(&server), 2).await.expect("a client");
        until(&mut two, |event| matches!(event, BusEvent::Connected)).await;
        let process = |node| Process {
            node,
            incarnation: 3,
        };
        one.listen_for(process(1)).await.expect("a subscription");
        two.listen_for(process(2)).await.expect("a subscription");
        assert!(two.flush().await);
        one.send(process(9), b"nobody".to_vec());
        one.send(process(2), b"two".to_vec());
        one.publish(b"all".to_vec());
        let message = |text: &'static [u8]| {
            move |event: &BusEvent| match event {
                BusEvent::Message(bytes) => bytes == text,
                _ => false,
            }
        };
        until(&mut two, message(b"two")).await;
        until(&mut two, message(b"all")).await;
        let first = until(&mut one, |event| matches!(event, BusEvent::Message(_))).await;
        assert!(message(b"all")(&first), "{first:?}");
        // Half of the limit of the server; more is not sent.
        one.publish(vec![0; corelane_nats::bus::MESSAGE_BYTES_MAX + 1]);
        assert_eq!(one.dropped(), 1);
    });
}

#[test]
fn nothing_waits_for_a_server_that_is_gone_and_all_comes_back_with_it() {
    on_runtime(async {
        let (mut server, mut bus) = connected().await;
        let key = Key::Node(1);
        let written = put(&mut bus, key, (Expect::Absent, 0), b"kept").await;
        assert!(matches!(written, PutResult::Written(_)), "{written:?}");
        server.stop();
        until(&mut bus, |event| matches!(event, BusEvent::Disconnected)).await;
        // More than the client queues: its own publishing would wait for ever.
        for _ in 0..5_000 {
            bus.publish(b"lost".to_vec());
        }
        assert_eq!(bus.dropped(), 5_000);
        let refused = put(&mut bus, key, (Expect::Absent, 0), b"other").await;
        assert_eq!(refused, PutResult::Refused);
        let failed = read(&mut bus, key, ReadFrom::Leader).await;
        assert_eq!(failed, ReadResult::Failed);
        server.resume();
        until(&mut bus, |event| matches!(event, BusEvent::Connected)).await;
        let found = loop {
            // JetStream takes a moment longer than the server.
            match read(&mut bus, key, ReadFrom::Leader).await {
                ReadResult::Found(_, value) => break value,
                ReadResult::Failed => tokio::time::sleep(Duration::from_millis(50)).await,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(found, b"kept");
        bus.publish(b"again".to_vec());
        let is_it = |event: &BusEvent| matches!(event, BusEvent::Message(it) if it == b"again");
        until(&mut bus, is_it).await;
    });
}

#[test]
fn a_lost_acknowledgement_leaves_the_outcome_unknown() {
    on_runtime(async {
        let (server, mut bus) = connected().await;
        server.freeze(true);
        let key = Key::Session(1, 1);
        let unknown = put(&mut bus, key, (Expect::Absent, 0), b"perhaps").await;
        assert_eq!(unknown, PutResult::Unknown);
        let failed = read(&mut bus, key, ReadFrom::Leader).await;
        assert_eq!(failed, ReadResult::Failed);
        server.freeze(false);
        // The server reads its socket to the end: the next write must look first.
        loop {
            match read(&mut bus, key, ReadFrom::Leader).await {
                ReadResult::Found(_, value) => break assert_eq!(value, b"perhaps"),
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    });
}

#[test]
fn a_flood_that_is_not_read_is_reported() {
    on_runtime(async {
        let (server, mut slow) = connected().await;
        let other = Bus::start(&settings(&server), 2).await.expect("a client");
        // The subscription holds 4,096 messages.
        let mut sent: u64 = 0;
        while sent < 8_000 {
            let before = other.dropped();
            other.publish(b"x".to_vec());
            match other.dropped() == before {
                true => sent += 1,
                false => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
        while !other.flush().await {}
        while !slow.flush().await {}
        // Events of the connection come before messages.
        until(&mut slow, |event| matches!(event, BusEvent::Lagged)).await;
        for _ in 0..4_096 {
            until(&mut slow, |event| matches!(event, BusEvent::Message(_))).await;
        }
        slow.publish(b"on".to_vec());
        let is_it = |event: &BusEvent| matches!(event, BusEvent::Message(it) if it == b"on");
        until(&mut slow, is_it).await;
    });
}
