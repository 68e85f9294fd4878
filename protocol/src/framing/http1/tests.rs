//! Requests read whole, byte by byte, in random pieces, and followed by others: the result is
//! always the same.
//!
//! [`drive`] acts as the connection: it appends pieces, calls the framer, and drops the consumed
//! bytes. The modules below hold the cases.

use super::{Framer, Refusal, RequestHead, Step};
use crate::limits::HttpLimits;

mod accepted;
mod lengths;
mod refused;
mod splits;

/// The result of a connection's input.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// A whole request, rendered.
    Request(String),
    /// The refusal that ended the connection.
    Refused(Refusal),
    /// The input ended within a request.
    Partial,
}

/// Feeds `pieces` to one framer as a connection would.
fn drive<'p>(pieces: impl IntoIterator<Item = &'p [u8]>, limits: &HttpLimits) -> Vec<Outcome> {
    let mut framer = Framer::default();
    let mut buffer = Vec::new();
    let mut outcomes = Vec::new();
    // The lower bound that the framer gave for the partial request.
    let mut bytes_needed_most = 0;
    let mut continues = 0;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while !buffer.is_empty() {
            let input_bytes = buffer.len();
            match framer.step(&mut buffer, limits) {
                Err(refusal) => {
                    outcomes.push(Outcome::Refused(refusal));
                    return outcomes;
                }
                Ok(Step::NeedMore {
                    bytes_needed,
                    continue_due,
                    head_complete,
                }) => {
                    assert!(bytes_needed > input_bytes, "nothing more would be read");
                    assert!(head_complete || !continue_due);
                    bytes_needed_most = bytes_needed_most.max(bytes_needed);
                    continues += usize::from(continue_due);
                    break;
                }
                Ok(Step::Request {
                    head,
                    body,
                    body_at,
                    consumed,
                }) => {
                    assert!(body_at >= head.bytes().len() && body_at + body.len() <= consumed);
                    assert_eq!(RequestHead::parse(head.bytes(), limits).as_ref(), Ok(&head));
                    assert!(
                        consumed >= bytes_needed_most,
                        "more was demanded than needed"
                    );
                    assert!(continues <= usize::from(head.expect_continue));
                    outcomes.push(Outcome::Request(render(&head, body)));
                    buffer.drain(..consumed);
                    bytes_needed_most = 0;
                    continues = 0;
                }
            }
        }
    }
    if !buffer.is_empty() {
        outcomes.push(Outcome::Partial);
    }
    outcomes
}

fn drive_whole(input: &[u8], limits: &HttpLimits) -> Vec<Outcome> {
    drive([input], limits)
}

fn drive_byte_by_byte(input: &[u8], limits: &HttpLimits) -> Vec<Outcome> {
    drive(input.chunks(1), limits)
}

fn render(head: &RequestHead<'_>, body: &[u8]) -> String {
    let fields: Vec<_> = head
        .headers()
        .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)))
        .collect();
    format!("{head:?} {fields:?} {:?}", String::from_utf8_lossy(body))
}
