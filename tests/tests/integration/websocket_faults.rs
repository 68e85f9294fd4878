//! WebSocket clients that break the protocol, send too much, or vanish.

use std::thread;
use std::time::Duration;

use corelane_tests::stdio::{call, modern};
use corelane_tests::websocket::{BINARY, CLOSE, PING, PONG, TEXT, frame};
use corelane_tests::{LivenessProbe, ReadError, Setup, Totals, WebSocket};
use serde_json::json;
use socket2::SockRef;

use crate::refused::{SMALL, check_all_places_are_free};

/// The first byte of a fragment of a text, and of the next ones.
const START: u8 = 0x01;
const NEXT: u8 = 0x00;
const LAST: u8 = 0x80;

/// Bytes that a client may not send, by the code of the close frame.
fn faults() -> Vec<(u16, Vec<u8>)> {
    let mut faults = vec![
        // RFC 6455 5.1: a frame without a mask.
        (1002, b"\x81\x02{}".to_vec()),
        // 5.2: lengths that are not in their shortest form, or too large for any message.
        (1002, b"\x81\xfe\x00\x7d".to_vec()),
        (1002, b"\x81\xff\x00\x00\x00\x00\x00\x00\xff\xff".to_vec()),
        (1002, b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec()),
        (
            1009,
            b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0".to_vec(),
        ),
        // 5.4: fragments out of order.
        (1002, frame(NEXT, b"{}")),
        (1002, frame(LAST, b"{}")),
        (1002, [frame(START, b"{"), frame(TEXT, b"{}")].concat()),
        (1002, [frame(START, b"{"), frame(BINARY, b"}")].concat()),
        // 5.5: control frames that are fragments, or too long.
        (1002, frame(0x09, b"")),
        (1002, frame(0x08, b"")),
        (1002, frame(PING, &[b'x'; 126])),
        (1002, frame(CLOSE, &[3, 232].repeat(63))),
        // 5.5.1 and 7.4: close frames without a code, or with one that is not sent.
        (1002, frame(CLOSE, b"\x03")),
        // 5.6: binary messages, which this server does not take.
        (1003, frame(BINARY, b"{}")),
        // 8.1: text that is not UTF-8, also across fragments and in the reason of a close frame.
        (1007, frame(TEXT, b"\"\xff\"")),
        (1007, frame(TEXT, b"\"\xed\xa0\x80\"")),
        (
            1007,
            [frame(START, b"\xf0\x9f"), frame(LAST, b"{}")].concat(),
        ),
        (1007, frame(LAST ^ START, b"\xf0\x9f")),
        (1007, frame(CLOSE, b"\x03\xe8\xff")),
    ];
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        faults.push((1002, frame(0x80 | opcode, b"")));
    }
    for reserved in [0x40, 0x20, 0x10] {
        faults.push((1002, frame(TEXT | reserved, b"{}")));
    }
    for code in [0u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
        faults.push((1002, frame(CLOSE, &code.to_be_bytes())));
    }
    faults
}

#[test]
fn each_breach_of_the_protocol_closes_its_connection_with_its_code() {
    let server = Setup::shards(1).profile(SMALL).start();
    let mut probe = LivenessProbe::of(&server);
    for (code, bytes) in faults() {
        let mut socket = WebSocket::open(server.address());
        // Nothing behind it is read.
        let behind = frame(
            TEXT,
            modern(1, "tools/list", json!({})).to_string().as_bytes(),
        );
        socket.send_bytes(&[&bytes[..], &behind].concat());
        let close = socket.read_frame().expect("a close frame");
        assert_eq!(close.first, CLOSE, "{bytes:x?}");
        let found = u16::from_be_bytes([close.payload[0], close.payload[1]]);
        assert_eq!(found, code, "{bytes:x?}");
        assert!(close.payload.len() > 2, "a reason for {bytes:x?}");
        assert_eq!(socket.read_frame(), Err(ReadError::Closed), "{bytes:x?}");
        probe.check("a breach of the protocol");
    }
    check_all_places_are_free(&server);
}

#[test]
fn a_message_without_an_end_is_refused_at_the_limit_and_memory_stays_flat() {
    const LIMIT: usize = 4 << 20;
    let profile = format!("[websocket]\nmessage_bytes_max = {LIMIT}");
    let server = Setup::shards(1).profile(&profile).start();
    let mut probe = LivenessProbe::of(&server);
    let before = server.resident_bytes();
    let fragment = frame(NEXT, &vec![b' '; 60_000]);
    for _ in 0..3 {
        let mut socket = WebSocket::open(server.address());
        socket.send_bytes(&frame(START, b"{"));
        let mut sent = 1;
        while sent < 100 << 20 && socket.try_send_bytes(&fragment).is_ok() {
            sent += 60_000;
        }
        assert!(sent >= LIMIT, "{sent}");
        probe.check("a message without an end");
        let grown = server.resident_bytes().saturating_sub(before);
        assert!(grown < 8 * LIMIT, "{grown} bytes");
    }
    let mut socket = WebSocket::open(server.address());
    socket.send_bytes(&frame(START, &vec![b' '; LIMIT]));
    socket.send_bytes(&frame(NEXT, b" ")[..6]);
    let reason = socket.expect_close(1009);
    assert!(reason.contains(&LIMIT.to_string()), "{reason}");
}

#[test]
fn a_hundred_megabytes_in_messages_and_fragments_are_served_in_flat_memory() {
    let server = Setup::shards(1).start();
    let mut socket = WebSocket::open(server.address());
    let message = "x".repeat(1 << 20);
    let request = modern(1, "tools/call", call("echo", json!({ "message": message })));
    let text = request.to_string().into_bytes();
    let mut frames = Vec::new();
    let pieces: Vec<&[u8]> = text.chunks(10_000).collect();
    for (at, piece) in pieces.iter().enumerate() {
        let first = match at {
            0 => START,
            at if at + 1 == pieces.len() => LAST,
            _ => NEXT,
        };
        frames.extend(frame(first, piece));
        frames.extend(frame(PONG, b"of no ping"));
    }
    let mut after_first = 0;
    for round in 0..50 {
        socket.send_bytes(&frames);
        let answer = socket.read_frame().expect("an answer");
        assert_eq!(answer.first, TEXT);
        assert!(answer.payload.len() > message.len(), "round {round}");
        if round == 4 {
            after_first = server.resident_bytes();
        }
    }
    let grown = server.resident_bytes().saturating_sub(after_first);
    assert!(grown < 16 << 20, "{grown} bytes");
}

#[test]
fn a_flood_of_pings_waits_for_its_sender_to_read() {
    const PINGS: usize = 10_000;
    let profile = "[connection]\noutput_bytes_max = 65536";
    let server = Setup::shards(1).profile(profile).start();
    let mut probe = LivenessProbe::of(&server);
    let mut socket = WebSocket::open(server.address());
    let mut sender = socket.stream().try_clone().expect("a socket");
    let flood = frame(PING, &[b'p'; 125]).repeat(PINGS);
    let sending = thread::spawn(move || std::io::Write::write_all(&mut sender, &flood));
    for _ in 0..20 {
        probe.check("a flood of pings");
    }
    let resident = server.resident_bytes();
    for at in 0..PINGS {
        let pong = socket.read_frame().expect("a pong");
        assert_eq!((pong.first, pong.payload.len()), (PONG, 125), "{at}");
    }
    sending.join().expect("a thread").expect("all is sent");
    assert!(server.resident_bytes() < resident + (8 << 20));
    let answer = socket.exchange(&modern(
        1,
        "tools/call",
        call("echo", json!({"message": "m"})),
    ));
    assert_eq!(answer["id"], 1);
}

#[test]
fn a_client_that_answers_no_ping_is_given_up() {
    let profile = "[websocket]\nping_interval_ms = 1000\npong_timeout_ms = 100";
    let server = Setup::shards(1).profile(profile).start();
    let mut socket = WebSocket::open(server.address());
    let sleep = call("sleep", json!({"ms": 60_000}));
    socket.send(&modern(1, "tools/call", sleep));
    for _ in 0..2 {
        let ping = socket.read_frame().expect("a ping");
        assert_eq!(ping.first, PING);
        socket.send_bytes(&frame(PONG, &ping.payload));
    }
    assert_eq!(socket.read_frame().map(|it| it.first), Ok(PING));
    assert_eq!(socket.read_frame(), Err(ReadError::Closed));
    let totals = Totals::of_end(&server, || server.log());
    assert_eq!(totals.value("timeouts", "pong"), 1, "{totals}");
}

#[test]
fn clients_that_reset_within_a_frame_leave_nothing_behind() {
    let server = Setup::shards(2).start();
    let mut probe = LivenessProbe::of(&server);
    let sleep = modern(1, "tools/call", call("sleep", json!({"ms": 60_000})));
    let whole = frame(TEXT, sleep.to_string().as_bytes());
    let listen = json!({"notifications": {"toolsListChanged": true}});
    let listen = modern(2, "subscriptions/listen", listen);
    for cut in [1, 3, 7, 50, whole.len()] {
        for _ in 0..20 {
            let mut socket = WebSocket::open(server.address());
            socket.send(&listen);
            socket.receive();
            socket.send_bytes(&[&whole[..], &whole[..cut]].concat());
            let reset = SockRef::from(socket.stream());
            reset
                .set_linger(Some(Duration::ZERO))
                .expect("a TCP socket");
        }
        probe.check("resets within a frame");
    }
    drop(probe);
    Totals::of_end(&server, || server.log());
}
