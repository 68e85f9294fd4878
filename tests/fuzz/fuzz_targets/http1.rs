//! Framing: the result of an input never depends on how its bytes were split.
//!
//! The first bytes are the lengths of the pieces, the others are the input.
#![no_main]

use corelane_protocol::framing::http1::{Framer, Step};
use corelane_protocol::limits::HttpLimits;
use libfuzzer_sys::fuzz_target;

/// Small, so that short inputs reach every limit.
const LIMITS: HttpLimits = HttpLimits {
    head_bytes_max: 256,
    headers_max: 6,
    target_bytes_max: 48,
    body_bytes_max: 64,
};

/// How many of the first bytes are lengths of pieces.
const PIECE_LENGTHS: usize = 4;

fuzz_target!(|data: &[u8]| {
    let Some((lengths, input)) = data.split_at_checked(PIECE_LENGTHS) else {
        return;
    };
    let whole = drive([input]);
    let mut rest = input;
    let mut lengths = lengths.iter().cycle();
    let pieces = std::iter::from_fn(|| {
        let bytes = usize::from(*lengths.next()?) + 1;
        let (piece, after) = rest.split_at(bytes.min(rest.len()));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    });
    assert_eq!(
        drive(pieces),
        whole,
        "pieces of other lengths change the outcome"
    );
    assert_eq!(
        drive(input.chunks(1)),
        whole,
        "single bytes change the outcome"
    );
});

/// Acts as a connection that receives `pieces`, and returns the results.
fn drive<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Vec<String> {
    let mut framer = Framer::default();
    let mut buffer = Vec::new();
    let mut outcomes = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while !buffer.is_empty() {
            let available = buffer.len();
            let consumed = match framer.step(&mut buffer, &LIMITS) {
                Err(refusal) => {
                    outcomes.push(format!("{refusal:?}"));
                    return outcomes;
                }
                Ok(Step::NeedMore { bytes_needed, .. }) => {
                    assert!(
                        bytes_needed > available,
                        "no more is asked for than there is"
                    );
                    break;
                }
                Ok(Step::Request {
                    head,
                    body,
                    consumed,
                    ..
                }) => {
                    assert!(
                        body.len() <= LIMITS.body_bytes_max,
                        "a body exceeds its limit"
                    );
                    let fields: Vec<_> = head.headers().collect();
                    assert!(fields.len() <= LIMITS.headers_max, "too many fields");
                    outcomes.push(format!("{head:?} {fields:?} {body:?}"));
                    consumed
                }
            };
            assert!(
                (1..=available).contains(&consumed),
                "consumed more than there was"
            );
            buffer.drain(..consumed);
        }
    }
    if !buffer.is_empty() {
        outcomes.push("partial".to_owned());
    }
    outcomes
}
