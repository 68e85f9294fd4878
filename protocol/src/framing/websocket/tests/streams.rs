//! Streams without a fault.

use super::{
    CloseCode, Event, Kind, MASK, MESSAGE_BYTES_MAX, Opcode, Role, check, frame, text, write_close,
    write_frame,
};

#[test]
fn messages_are_found_for_both_roles_at_each_form_of_the_length() {
    for bytes in [0, 1, 7, 8, 125, 126, 127, 65_535, 65_536, MESSAGE_BYTES_MAX] {
        let payload = "x".repeat(bytes);
        for (role, mask) in [(Role::Server, Some(MASK)), (Role::Client, None)] {
            let mut input = Vec::new();
            write_frame(&mut input, Opcode::Text, payload.as_bytes(), mask);
            write_frame(&mut input, Opcode::Binary, b"\xff", mask);
            let binary = Event::Message(Kind::Binary, vec![0xff]);
            assert!(!check(role, &input, &[text(&payload), binary]), "{bytes}");
        }
    }
}

#[test]
fn the_examples_of_the_rfc_are_read() {
    let fragments = b"\x01\x03Hel\x80\x02lo";
    assert!(!check(Role::Client, fragments, &[text("Hello")]));
    let masked = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert!(!check(Role::Server, masked, &[text("Hello")]));
    let pong = b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert!(!check(
        Role::Server,
        pong,
        &[Event::Pong(b"Hello".to_vec())]
    ));
    let ping = b"\x89\x05Hello";
    assert!(!check(
        Role::Client,
        ping,
        &[Event::Ping(b"Hello".to_vec())]
    ));
}

#[test]
fn fragments_make_one_message_with_control_frames_and_split_characters_between_them() {
    let input = [
        frame(0x01, b"a\xf0\x9f"),
        frame(0x89, b"1"),
        frame(0x00, b""),
        frame(0x00, b"\x84"),
        frame(0x8a, &[7; 125]),
        frame(0x80, b"\x8d!"),
        frame(0x01, b""),
        frame(0x80, b""),
        frame(0x02, b"\xf0"),
    ]
    .concat();
    let expected = [
        Event::Ping(b"1".to_vec()),
        Event::Pong(vec![7; 125]),
        text("a🄍!"),
        text(""),
    ];
    assert!(check(Role::Server, &input, &expected));
}

#[test]
fn nothing_after_a_close_frame_is_read() {
    for (payload, code, reason) in [
        (&b""[..], None, ""),
        (b"\x03\xe8", Some(1000), ""),
        (b"\x03\xe9gone", Some(1001), "gone"),
        (b"\x0b\xb8", Some(3000), ""),
        (b"\x13\x87", Some(4999), ""),
        (b"\x03\xf6", Some(1014), ""),
    ] {
        let input = [frame(0x88, payload), b"\xff\xff".to_vec()].concat();
        let close = Event::Close(code, reason.to_owned());
        assert!(!check(Role::Server, &input, &[close]));
    }
}

#[test]
fn the_reason_of_a_close_frame_is_cut_off_between_characters() {
    let mut input = Vec::new();
    let reason = "ü".repeat(100);
    write_close(&mut input, CloseCode::TooBig, &reason, None);
    let close = Event::Close(Some(1009), "ü".repeat(61));
    check(Role::Client, &input, &[close]);
}
