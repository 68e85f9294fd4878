//! WebSocket: the result of a stream never depends on how its bytes were split, and the messages
//! are those that a plain reader of the whole stream finds, up to the first fault.
//!
//! The first bytes are the lengths of the pieces, the next one is the role, the others are the
//! stream.
#![no_main]

use corelane_protocol::framing::websocket::{Framer, Kind, Role, Step};
use libfuzzer_sys::fuzz_target;

/// Small, so that short inputs reach the limit.
const MESSAGE_BYTES_MAX: usize = 300;
/// How many of the first bytes are lengths of pieces.
const PIECE_LENGTHS: usize = 4;
/// A head, or a whole control frame, less one byte.
const KEPT_BYTES_MAX: usize = 138;

/// The meaning of a stream.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>),
    Fault,
}

fuzz_target!(|data: &[u8]| {
    let Some((lengths, rest)) = data.split_at_checked(PIECE_LENGTHS) else {
        return;
    };
    let Some((role, input)) = rest.split_first() else {
        return;
    };
    let role = if role % 2 == 0 {
        Role::Server
    } else {
        Role::Client
    };
    let whole = drive(role, [input]);
    let mut expected = Vec::new();
    if read_all(role, input, &mut expected).is_none() {
        expected.push(Event::Fault);
    }
    // Text that is wrong shows before its message is whole, and control frames after it do not.
    match whole.split_last() {
        Some((Event::Fault, before)) => assert!(expected.starts_with(before), "{expected:?}"),
        _ => assert_eq!(whole, expected, "a plain reader"),
    }
    assert_eq!(drive(role, input.chunks(1)), whole, "byte by byte");
    let mut rest = input;
    let mut lengths = lengths.iter().cycle();
    let pieces = std::iter::from_fn(|| {
        let bytes = usize::from(*lengths.next()?) + 1;
        let (piece, after) = rest.split_at(bytes.min(rest.len()));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    });
    assert_eq!(drive(role, pieces), whole, "in pieces of other lengths");
});

/// A frame, with its mask taken off.
struct Frame<'a> {
    first: u8,
    payload: Vec<u8>,
    rest: &'a [u8],
}

/// Reads whole frames up to the first that is not there; nothing for a fault.
fn read_all(role: Role, input: &[u8], events: &mut Vec<Event>) -> Option<()> {
    let (mut input, mut message): (_, Option<(u8, Vec<u8>)>) = (input, None);
    loop {
        let held = message.as_ref().map_or(0, |(_, held)| held.len());
        let Some(frame) = read_frame(role, input, MESSAGE_BYTES_MAX - held)? else {
            return Some(());
        };
        let Frame {
            first,
            payload,
            rest,
        } = frame;
        input = rest;
        match (first & 15, message.take()) {
            (opcode @ (1 | 2), None) => message = Some((opcode, payload)),
            (0, Some((opcode, held))) => message = Some((opcode, [held, payload].concat())),
            (8, _) => {
                let code = close_code(&payload)?;
                events.push(Event::Close(code));
                return Some(());
            }
            (9, held) => {
                message = held;
                events.push(Event::Ping(payload));
            }
            (10, held) => {
                message = held;
                events.push(Event::Pong(payload));
            }
            _ => return None,
        }
        if first & 8 == 0 && first & 128 != 0 {
            let (opcode, held) = message.take()?;
            if opcode == 1 {
                std::str::from_utf8(&held).ok()?;
            }
            let kind = if opcode == 1 {
                Kind::Text
            } else {
                Kind::Binary
            };
            events.push(whole(kind, held));
        }
    }
}

/// Reads one frame; nothing within if it is not whole, and nothing at all for a fault of its head.
fn read_frame(role: Role, input: &[u8], bytes_max: usize) -> Option<Option<Frame<'_>>> {
    let [first, second, after @ ..] = input else {
        return Some(None);
    };
    let length_bytes = match second & 127 {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let Some((length, after)) = after.split_at_checked(length_bytes) else {
        return Some(None);
    };
    let bytes = match length {
        [] => u64::from(second & 127),
        length => length
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    };
    let is_masked = second & 128 != 0;
    let is_short = bytes < 126 && length_bytes > 0 || bytes < 65_536 && length_bytes == 8;
    let is_control = first & 8 != 0;
    let is_wrong = is_short || bytes > u64::MAX / 2 || is_masked != (role == Role::Server);
    if is_wrong || first & 0x70 != 0 || is_control && (bytes > 125 || first & 128 == 0) {
        return None;
    }
    let Some((mask, after)) = after.split_at_checked(if is_masked { 4 } else { 0 }) else {
        return Some(None);
    };
    if !is_control && bytes > bytes_max as u64 {
        return None;
    }
    let Some((payload, rest)) = after.split_at_checked(bytes as usize) else {
        return Some(None);
    };
    let mut payload = payload.to_vec();
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    let first = *first;
    Some(Some(Frame {
        first,
        payload,
        rest,
    }))
}

fn close_code(payload: &[u8]) -> Option<Option<u16>> {
    let [high, low, reason @ ..] = payload else {
        return payload.is_empty().then_some(None);
    };
    let code = u16::from_be_bytes([*high, *low]);
    let is_reserved = matches!(code, 0..=999 | 1004..=1006 | 1015..=2999 | 5000..);
    let is_text = std::str::from_utf8(reason).is_ok();
    (!is_reserved && is_text).then_some(Some(code))
}

/// Plays a connection that receives `pieces`.
fn drive<'p>(role: Role, pieces: impl IntoIterator<Item = &'p [u8]>) -> Vec<Event> {
    let (mut framer, mut input, mut events) = (Framer::new(role), Vec::new(), Vec::new());
    let mut message = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            let step = framer.step(&mut input, MESSAGE_BYTES_MAX);
            let consumed = match step {
                Ok(Step::NeedMore) => break,
                Ok(Step::Message {
                    kind,
                    payload,
                    consumed,
                }) => {
                    events.push(whole(kind, payload.to_vec()));
                    consumed
                }
                Ok(Step::Part {
                    kind,
                    payload,
                    is_last,
                    consumed,
                }) => {
                    message.extend_from_slice(payload);
                    assert!(message.len() <= MESSAGE_BYTES_MAX, "kept too much");
                    if is_last {
                        events.push(whole(kind, std::mem::take(&mut message)));
                    }
                    consumed
                }
                Ok(Step::Ping { payload, consumed }) => {
                    events.push(Event::Ping(payload.to_vec()));
                    consumed
                }
                Ok(Step::Pong { payload, consumed }) => {
                    events.push(Event::Pong(payload.to_vec()));
                    consumed
                }
                Ok(Step::Close(close)) => {
                    events.push(Event::Close(close.code));
                    return events;
                }
                Err(_) => {
                    events.push(Event::Fault);
                    return events;
                }
            };
            assert!((1..=input.len()).contains(&consumed), "consumed {consumed}");
            input.drain(..consumed);
        }
        assert!(input.len() <= KEPT_BYTES_MAX, "kept more than a frame");
    }
    events
}

fn whole(kind: Kind, payload: Vec<u8>) -> Event {
    match kind {
        Kind::Text => Event::Text(payload),
        Kind::Binary => Event::Binary(payload),
    }
}
