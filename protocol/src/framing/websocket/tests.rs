//! Streams of frames, whole and in pieces, and their faults.

mod faults;
mod streams;

use super::{Close, CloseCode, Fault, Framer, Kind, Opcode, Role, Step, write_close, write_frame};

/// The longest message that the tests allow, in bytes.
pub(super) const MESSAGE_BYTES_MAX: usize = 70_000;

/// Key of the frames of a client.
pub(super) const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The meaning of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    Message(Kind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    Fault(Fault),
}

pub(super) fn text(text: &str) -> Event {
    Event::Message(Kind::Text, text.as_bytes().to_vec())
}

/// Plays a connection that receives `pieces`. Returns the events, and whether the stream ends
/// within a message.
pub(super) fn drive<'p>(
    role: Role,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> (Vec<Event>, bool) {
    let (mut framer, mut input, mut events) = (Framer::new(role), Vec::new(), Vec::new());
    let mut message = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            let consumed = match framer.step(&mut input, MESSAGE_BYTES_MAX) {
                Ok(Step::NeedMore) => break,
                Ok(Step::Message {
                    kind,
                    payload,
                    consumed,
                }) => {
                    assert!(message.is_empty());
                    events.push(Event::Message(kind, payload.to_vec()));
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
                        events.push(Event::Message(kind, std::mem::take(&mut message)));
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
                Ok(Step::Close(Close { code, reason })) => {
                    events.push(Event::Close(code, reason.to_owned()));
                    return (events, false);
                }
                Err(fault) => {
                    events.push(Event::Fault(fault));
                    return (events, false);
                }
            };
            assert!((1..=input.len()).contains(&consumed), "{consumed}");
            input.drain(..consumed);
        }
        // The start of a head or of a control frame.
        assert!(input.len() < 139, "{} bytes are kept", input.len());
    }
    (events, framer.is_in_message())
}

/// The events of a stream, which are the same for any pieces.
#[track_caller]
pub(super) fn check(role: Role, input: &[u8], expected: &[Event]) -> bool {
    let whole = drive(role, [input]);
    assert_eq!(whole.0, expected, "whole");
    assert_eq!(drive(role, input.chunks(1)), whole, "byte by byte");
    // All places near both ends, and some between them.
    let places =
        (0..input.len()).filter(|at| *at < 300 || *at + 300 > input.len() || at % 997 == 0);
    for at in places {
        let (first, second) = input.split_at(at);
        assert_eq!(drive(role, [first, second]), whole, "split at {at}");
    }
    whole.1
}

/// A frame of a client with any head.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_frame(&mut out, Opcode::Binary, payload, Some(MASK));
    out[0] = first;
    out
}
