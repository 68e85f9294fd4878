//! Faults of a peer: the byte at which they show, and the number of the close frame.

use super::super::Fault;
use super::{Event, MASK, MESSAGE_BYTES_MAX, Role, check, frame, text};

/// A stream whose last event is a fault, with that number in its close frame.
#[track_caller]
fn refuse(input: &[u8], fault: Fault, code: u16) {
    refuse_after(&[], input, fault, code);
}

#[track_caller]
fn refuse_after(events: &[Event], input: &[u8], fault: Fault, code: u16) {
    assert_eq!(fault.code().code(), code, "{fault}");
    let events = [events, &[Event::Fault(fault)]].concat();
    check(Role::Server, input, &events);
}

#[test]
fn heads_that_break_a_rule_are_refused_at_the_first_byte_that_shows_it() {
    for first in [0xc1, 0xa1, 0x91, 0xf1, 0xc9, 0x71] {
        refuse(&[first], Fault::ReservedBit, 1002);
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        refuse(&[0x80 | opcode], Fault::UnknownOpcode(opcode), 1002);
    }
    for first in [0x08, 0x09, 0x0a] {
        refuse(&[first], Fault::ControlFragment, 1002);
    }
    for first in [0x88, 0x89, 0x8a] {
        refuse(&[first, 0x80 | 126], Fault::ControlTooLong, 1002);
        refuse(&[first, 0x80 | 127], Fault::ControlTooLong, 1002);
    }
    refuse(&[0x81, 0x05], Fault::Unmasked, 1002);
    let masked = [Event::Fault(Fault::Masked)];
    check(Role::Client, &[0x81, 0x85], &masked);
}

#[test]
fn lengths_in_a_longer_form_than_needed_are_refused() {
    for length in [&[0xfe, 0, 125][..], &[0xfe, 0, 0]] {
        refuse(&[&[0x81], length].concat(), Fault::Length, 1002);
    }
    for length in [0u64, 125, 126, 65_535, 1 << 63, u64::MAX] {
        let head = [&[0x82, 0xff][..], &length.to_be_bytes()].concat();
        refuse(&head, Fault::Length, 1002);
    }
}

#[test]
fn a_message_past_the_limit_is_refused_by_its_head() {
    let too_long = Fault::TooLong {
        limit_bytes: MESSAGE_BYTES_MAX,
    };
    for length in [MESSAGE_BYTES_MAX as u64 + 1, (1 << 63) - 1] {
        let head = [&[0x81, 0xff][..], &length.to_be_bytes(), &MASK].concat();
        refuse(&head, too_long, 1009);
    }
    let half = vec![b'x'; MESSAGE_BYTES_MAX / 2];
    let first = [frame(0x01, &half), frame(0x00, &half)].concat();
    refuse(&[first, frame(0x80, b"x")].concat(), too_long, 1009);
    // The count begins anew with each message.
    let message = [frame(0x01, &half), frame(0x80, &half)].concat();
    let whole = text(&"x".repeat(MESSAGE_BYTES_MAX));
    let input = [&message[..], &message, &frame(0x89, b"")].concat();
    let expected = [whole.clone(), whole, Event::Ping(Vec::new())];
    assert!(!check(Role::Server, &input, &expected));
}

#[test]
fn fragments_out_of_order_are_refused() {
    refuse(&frame(0x80, b"x"), Fault::NothingToContinue, 1002);
    refuse(&frame(0x00, b"x"), Fault::NothingToContinue, 1002);
    for first in [0x81, 0x82, 0x01, 0x02] {
        let input = [frame(0x01, b"x"), frame(first, b"y")].concat();
        refuse(&input, Fault::WithinMessage, 1002);
    }
    let input = [frame(0x81, b"x"), frame(0x80, b"y")].concat();
    refuse_after(&[text("x")], &input, Fault::NothingToContinue, 1002);
}

#[test]
fn text_that_is_not_utf8_is_refused_at_its_first_bad_byte() {
    for bad in [
        &b"\xff"[..],
        b"a\xc3(",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
    ] {
        refuse(&frame(0x81, bad), Fault::NotUtf8, 1007);
        // Without the end of the frame.
        let long = [bad, &[b'x'; 20]].concat();
        let frame = frame(0x01, &long);
        refuse(&frame[..frame.len() - 20], Fault::NotUtf8, 1007);
    }
    // A character that does not end.
    refuse(&frame(0x81, b"a\xf0\x9f"), Fault::NotUtf8, 1007);
    let input = [frame(0x01, b"\xf0\x9f"), frame(0x80, b"")].concat();
    refuse(&input, Fault::NotUtf8, 1007);
    let input = [frame(0x01, b"\xf0\x9f"), frame(0x80, b"a")].concat();
    refuse(&input, Fault::NotUtf8, 1007);
}

#[test]
fn close_frames_that_break_a_rule_are_refused() {
    refuse(&frame(0x88, b"\x03"), Fault::CloseMalformed, 1002);
    for code in [
        0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
    ] {
        let payload = [&u16::to_be_bytes(code)[..], b"why"].concat();
        refuse(&frame(0x88, &payload), Fault::CloseCode(code), 1002);
    }
    refuse(&frame(0x88, b"\x03\xe8\xff"), Fault::NotUtf8, 1007);
    refuse(&frame(0x88, b"\x03\xe8\xf0\x9f"), Fault::NotUtf8, 1007);
}
