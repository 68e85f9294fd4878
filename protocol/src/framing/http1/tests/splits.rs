//! Work stays linear, and random pieces change nothing.

use super::super::{Framer, Step, work};
use super::accepted::GOOD;
use super::{drive, drive_whole};
use crate::limits::HttpLimits;

/// Feeds `input` in steps of `step_bytes` and answers with the body's length and the work done.
fn measure(input: &[u8], step_bytes: usize) -> (usize, usize, usize) {
    let mut buffer = Vec::with_capacity(input.len());
    let mut framer = Framer::default();
    work::take();
    for piece in input.chunks(step_bytes) {
        buffer.extend_from_slice(piece);
        match framer.step(&mut buffer, &HttpLimits::DEFAULT) {
            Ok(Step::NeedMore { .. }) => {}
            Ok(Step::Request { body, consumed, .. }) => {
                assert_eq!(consumed, input.len());
                let (heads, searched) = work::take();
                return (body.len(), heads, searched);
            }
            Err(refusal) => panic!("{refusal}"),
        }
    }
    panic!("the request never became whole");
}

#[test]
fn a_large_body_costs_two_parses_of_the_head() {
    let body_bytes = 16 * 1024 * 1024;
    let head = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {body_bytes}\r\n\r\n");
    let mut input = head.clone().into_bytes();
    input.resize(head.len() + body_bytes, b'\n');
    assert_eq!(measure(&input, 2048), (body_bytes, 2, head.len()));
    assert_eq!(measure(&input, input.len()), (body_bytes, 1, head.len()));
}

#[test]
fn a_large_chunked_body_is_searched_in_its_framing_only_and_once() {
    let head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut input = head.as_bytes().to_vec();
    let chunks = 4096;
    for _ in 0..chunks {
        input.extend_from_slice(b"1000;extension\r\n");
        input.resize(input.len() + 4096, b'\n');
        input.extend_from_slice(b"\r\n");
    }
    input.extend_from_slice(b"0\r\nTrailer: yes\r\n\r\n");
    let framing = chunks * "1000;extension\r\n".len() + "0\r\nTrailer: yes\r\n\r\n".len();
    for step_bytes in [1000, 2048, 4096 + 18, 65536] {
        let (body_bytes, heads, searched) = measure(&input, step_bytes);
        assert_eq!((body_bytes, heads), (chunks * 4096, 2));
        assert_eq!(
            searched,
            head.len() + framing,
            "steps of {step_bytes} bytes"
        );
    }
}

#[test]
fn a_head_that_arrives_byte_by_byte_is_searched_once() {
    let fields = "Field: value\r\n".repeat(50);
    let value = "v".repeat(8000);
    let input = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}Long: {value}\r\n\r\n");
    assert_eq!(measure(input.as_bytes(), 1), (0, 1, input.len()));
    let trailer = format!("Field: {}\r\n", "v".repeat(4000));
    let input = format!(
        "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{trailer}\r\n"
    );
    assert_eq!(measure(input.as_bytes(), 1), (0, 2, input.len()));
}

/// Xorshift64: cuts the input in unexpected places.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn pieces<'a>(&mut self, mut input: &'a [u8]) -> Vec<&'a [u8]> {
        let piece_bytes_max = [2, 9, 70, 600][self.below(4)];
        let mut pieces = Vec::new();
        while !input.is_empty() {
            let (piece, rest) = input.split_at(input.len().min(1 + self.below(piece_bytes_max)));
            pieces.push(piece);
            input = rest;
        }
        pieces
    }
}

/// `CORELANE_SEED` repeats a run that failed.
fn seed() -> u64 {
    let given = std::env::var("CORELANE_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| {
        use std::hash::{BuildHasher, RandomState};
        RandomState::new().hash_one(0)
    })
}

#[test]
fn random_pieces_of_requests_give_the_result_of_the_whole() {
    let seed = seed();
    println!("CORELANE_SEED={seed}");
    let mut random = Random(seed | 1);
    let limits = HttpLimits {
        body_bytes_max: 4096,
        ..HttpLimits::DEFAULT
    };
    let damage = b"\r\n\0 :;,019afAF\t\xffTC";
    for _ in 0..4000 {
        let mut input = Vec::new();
        for _ in 0..1 + random.below(3) {
            input.extend_from_slice(GOOD[random.below(GOOD.len())].0);
        }
        for _ in 0..random.below(4) {
            let at = random.below(input.len());
            let byte = damage[random.below(damage.len())];
            match random.below(3) {
                0 => input[at] = byte,
                1 => input.insert(at, byte),
                _ => {
                    input.remove(at);
                }
            }
        }
        let expected = drive_whole(&input, &limits);
        let pieces = random.pieces(&input);
        let text = String::from_utf8_lossy(&input);
        assert_eq!(drive(pieces, &limits), expected, "seed {seed}: {text:?}");
    }
}
