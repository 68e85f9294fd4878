//! Lines: the result of a stream never depends on how its bytes were split, and the lines are those
//! that a plain split of the whole stream finds.
//!
//! The first bytes are the lengths of the pieces, the others are the stream.
#![no_main]

use corelane_protocol::framing::line::{Framer, Step};
use libfuzzer_sys::fuzz_target;

/// Small, so that short inputs reach the limit.
const LINE_BYTES_MAX: usize = 16;
/// How many of the first bytes are lengths of pieces.
const PIECE_LENGTHS: usize = 4;

fuzz_target!(|data: &[u8]| {
    let Some((lengths, input)) = data.split_at_checked(PIECE_LENGTHS) else {
        return;
    };
    let expected = split(input);
    assert_eq!(drive([input]), expected, "the stream in one piece");
    assert_eq!(drive(input.chunks(1)), expected, "byte by byte");
    let mut rest = input;
    let mut lengths = lengths.iter().cycle();
    let pieces = std::iter::from_fn(|| {
        let bytes = usize::from(*lengths.next()?) + 1;
        let (piece, after) = rest.split_at(bytes.min(rest.len()));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    });
    assert_eq!(drive(pieces), expected, "in pieces of other lengths");
});

/// The lines of a whole stream; `None` for one that is too long, which may be without an end.
fn split(input: &[u8]) -> Vec<Option<Vec<u8>>> {
    let lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let last = lines.len() - 1;
    let lines = lines.into_iter().enumerate().filter_map(|(at, line)| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > LINE_BYTES_MAX {
            return Some(None);
        }
        let is_line = at < last && !line.trim_ascii().is_empty();
        is_line.then(|| Some(line.to_vec()))
    });
    lines.collect()
}

/// Plays a connection that receives `pieces`.
fn drive<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Vec<Option<Vec<u8>>> {
    let (mut framer, mut input, mut lines) = (Framer::default(), Vec::new(), Vec::new());
    let mut is_in_long = false;
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            let available = input.len();
            let (line, consumed) = match framer.step(&input, LINE_BYTES_MAX) {
                Step::NeedMore { consumed } => {
                    input.drain(..consumed);
                    assert!(input.len() <= LINE_BYTES_MAX + 1, "kept more than a line");
                    break;
                }
                Step::Line { line, consumed } => (Some(Some(line.to_vec())), consumed),
                Step::TooLong {
                    is_last, consumed, ..
                } => {
                    let is_first = !std::mem::replace(&mut is_in_long, !is_last);
                    (is_first.then_some(None), consumed)
                }
            };
            assert!((1..=available).contains(&consumed), "consumed {consumed}");
            lines.extend(line);
            input.drain(..consumed);
        }
    }
    lines
}
