//! Benches of `corelane_protocol`: bytes to an admitted request, and a result to bytes.
//!
//! Not in the numbers:
//! - `decode/*`: the arguments being read by a handler, and the growth of the decoder's buffers.
//!   Included: the copy into them, the check of the number of nodes, and the envelope.
//! - `framing/*`: requests that arrive in pieces, and chunked bodies.
//! - `admission/*`: refusals, the look-up of a session, and decoding: head and message are there.
//!   `admission/from_bytes_26` is framing, decode and the admission checks together, on one body.
//! - `encode/*`: the growth of the output buffer, and text that needs escaping.
//!   `encode/echo_from_text_26` adds making the result out of borrowed text, as a handler does.
//! - `response/*`: the clock behind `Date`, which a shard reads once a turn.
//!
//! Each operation folds a few words of its result; `black_box` keeps the rest, which
//! costs writing it to the stack. The content of a buffer is folded as a
//! whole once a batch, by its last operation: some 50 ns a batch.

use super::bench::Bench;
use super::bencher::Bencher;
use super::checksum::Checksum;
use super::corpus::{self, ECHO_TEXT, ENDPOINT};
use corelane_protocol::binding::admission::{Admitted, SessionMessage, admit};
use corelane_protocol::binding::claims::Claims;
use corelane_protocol::binding::http::route;
use corelane_protocol::framing::http1::{
    Content, DATE_BYTES, Framer, RequestHead, ResponseHead, Status, Step, write_response_head,
};
use corelane_protocol::jsonrpc::{Decoder, Id, JsonLimits, Message};
use corelane_protocol::limits::HttpLimits;
use corelane_protocol::mcp::era::Era;
use corelane_protocol::mcp::method::Method;
use corelane_protocol::mcp::result::ResultTrailer;
use corelane_protocol::mcp::tools::ToolResult;
use serde_json::Value as Json;
use std::hint::black_box;

#[cfg(test)]
mod tests;

const SERVER_INFO: &str = r#"{"name":"corelane","version":"0.1.0"}"#;
const CALL_ID: i64 = 1_234_567;
const DATE: &[u8; DATE_BYTES] = b"Sun, 06 Nov 1994 08:49:37 GMT";
/// Capacity of the output buffers in bytes: writing never makes them grow.
const OUTPUT_BYTES: usize = 4 * 1024;

const fn bench(
    name: &'static str,
    operations: u32,
    reference: fn(u32) -> Checksum,
    perform: fn(&mut Bencher),
) -> Bench {
    Bench {
        name,
        operations,
        cores: 1,
        reference,
        perform,
    }
}

/// The benches of this module.
pub(super) const BENCHES: &[Bench] = &[
    bench(
        "decode/call_250",
        64,
        |operations| decode_reference(&corpus::small_call(), operations),
        |bencher| decode(bencher, &corpus::small_call()),
    ),
    bench(
        "decode/call_26",
        64,
        |operations| decode_reference(&corpus::modern_body(), operations),
        |bencher| decode(bencher, &corpus::modern_body()),
    ),
    bench(
        "decode/call_10k_rows",
        4,
        |operations| decode_reference(&corpus::large_call_of_rows(), operations),
        |bencher| decode(bencher, &corpus::large_call_of_rows()),
    ),
    bench(
        "decode/call_10k_text",
        16,
        |operations| decode_reference(&corpus::large_call_of_text(), operations),
        |bencher| decode(bencher, &corpus::large_call_of_text()),
    ),
    bench(
        "framing/post_26",
        64,
        |operations| framing_reference(&corpus::modern_post(), &corpus::modern_body(), operations),
        |bencher| framing(bencher, corpus::modern_post()),
    ),
    bench(
        "framing/post_25",
        64,
        |operations| {
            framing_reference(&corpus::session_post(), &corpus::session_body(), operations)
        },
        |bencher| framing(bencher, corpus::session_post()),
    ),
    bench("admission/modern_26", 256, admission_reference, |bencher| {
        admission(bencher, corpus::modern_post());
    }),
    bench(
        "admission/session_25",
        512,
        admission_reference,
        |bencher| {
            admission(bencher, corpus::session_post());
        },
    ),
    bench(
        "admission/from_bytes_26",
        32,
        admission_reference,
        from_bytes,
    ),
    bench(
        "encode/echo_26",
        512,
        |operations| written_reference(echo_message(Era::Modern).as_bytes(), operations),
        |bencher| encode(bencher, Era::Modern),
    ),
    bench(
        "encode/echo_25",
        512,
        |operations| written_reference(echo_message(Era::Legacy).as_bytes(), operations),
        |bencher| encode(bencher, Era::Legacy),
    ),
    bench(
        "encode/echo_from_text_26",
        256,
        |operations| written_reference(echo_message(Era::Modern).as_bytes(), operations),
        encode_from_text,
    ),
    bench(
        "response/head_json",
        512,
        |operations| written_reference(response_head().as_bytes(), operations),
        response,
    ),
];

fn decode(bencher: &mut Bencher, call: &str) {
    let mut decoder = Decoder::new(JsonLimits::default());
    bencher.each(|| {
        let Ok(decoded) = decoder.decode(black_box(call.as_bytes())) else {
            return 0;
        };
        let Ok(Message::Request { id, method, params }) = black_box(decoded.message()) else {
            return 0;
        };
        let id = match id {
            Id::Integer(number) => number.cast_unsigned(),
            Id::Unsigned(number) => number,
            Id::String(text) => text.len() as u64,
        };
        let members = params.and_then(|params| params.as_object());
        request_word(id, method, members.map_or(0, |members| members.len()))
    });
}

fn decode_reference(call: &str, operations: u32) -> Checksum {
    let parsed: Json = serde_json::from_str(call).expect("the corpus is JSON");
    let id = parsed["id"].as_u64();
    let id = id.or_else(|| parsed["id"].as_str().map(|text| text.len() as u64));
    let word = request_word(
        id.expect("the corpus has ids"),
        parsed["method"].as_str().expect("the corpus has methods"),
        parsed["params"].as_object().map_or(0, serde_json::Map::len),
    );
    Checksum::repeated(word, operations)
}

fn request_word(id: u64, method: &str, members: usize) -> u64 {
    id ^ (method.len() as u64) << 32 ^ (members as u64) << 48
}

fn framing(bencher: &mut Bencher, mut post: Vec<u8>) {
    let limits = HttpLimits::DEFAULT;
    bencher.each(
        || match Framer::default().step(black_box(&mut post), &limits) {
            Ok(Step::Request {
                head,
                body,
                consumed,
                ..
            }) => framing_word(consumed, body.len(), black_box(&head).path),
            Ok(Step::NeedMore { .. }) | Err(_) => 0,
        },
    );
}

fn framing_reference(post: &[u8], body: &str, operations: u32) -> Checksum {
    Checksum::repeated(framing_word(post.len(), body.len(), ENDPOINT), operations)
}

fn framing_word(consumed: usize, body_bytes: usize, path: &str) -> u64 {
    consumed as u64 ^ (body_bytes as u64) << 24 ^ (path.len() as u64) << 48
}

fn admission(bencher: &mut Bencher, mut post: Vec<u8>) {
    let step = Framer::default().step(&mut post, &HttpLimits::DEFAULT);
    let Ok(Step::Request { head, body, .. }) = step else {
        unreachable!("the corpus holds whole requests");
    };
    let mut decoder = Decoder::new(JsonLimits::default());
    let decoded = decoder.decode(body).expect("the corpus is JSON");
    let message = decoded.message().expect("the corpus holds messages");
    bencher.each(|| admitted_word(black_box(&head), black_box(message)));
}

fn from_bytes(bencher: &mut Bencher) {
    let mut post = corpus::modern_post();
    let mut decoder = Decoder::new(JsonLimits::default());
    let limits = HttpLimits::DEFAULT;
    bencher.each(|| {
        let step = Framer::default().step(black_box(&mut post), &limits);
        let Ok(Step::Request { head, body, .. }) = step else {
            return 0;
        };
        let Ok(decoded) = decoder.decode(body) else {
            return 0;
        };
        match decoded.message() {
            Ok(message) => admitted_word(&head, message),
            Err(_) => 0,
        }
    });
}

/// The id of an admitted `tools/call`; 0 for anything else.
fn admitted_word(head: &RequestHead<'_>, message: Message<'_>) -> u64 {
    if route(head, &[ENDPOINT]).is_err() {
        return 0;
    }
    let id = match black_box(admit(Claims::of_head(head), message)) {
        Ok(Admitted::Modern(request)) if request.method == Method::ToolsCall => request.id,
        Ok(Admitted::Session {
            message:
                SessionMessage::Request {
                    id,
                    method: Some(Method::ToolsCall),
                    ..
                },
            ..
        }) => id,
        _ => return 0,
    };
    match id {
        Id::Integer(number) => number.cast_unsigned(),
        Id::Unsigned(_) | Id::String(_) => 0,
    }
}

fn admission_reference(operations: u32) -> Checksum {
    Checksum::repeated(CALL_ID.cast_unsigned(), operations)
}

fn encode(bencher: &mut Bencher, era: Era) {
    let trailer = ResultTrailer::new(SERVER_INFO.as_bytes());
    let result = ToolResult::text(ECHO_TEXT);
    write_each(bencher, |out| {
        black_box(&result).write(out, era, Id::Integer(CALL_ID), &trailer);
    });
}

fn encode_from_text(bencher: &mut Bencher) {
    let trailer = ResultTrailer::new(SERVER_INFO.as_bytes());
    write_each(bencher, |out| {
        let result = ToolResult::text(black_box(ECHO_TEXT).to_owned());
        result.write(out, Era::Modern, Id::Integer(CALL_ID), &trailer);
    });
}

/// The answer of `echo`, put together from the specification's words.
fn echo_message(era: Era) -> String {
    let content = format!(r#""content":[{{"type":"text","text":"{ECHO_TEXT}"}}]"#);
    let server = format!(r#"{{"io.modelcontextprotocol/serverInfo":{SERVER_INFO}}}"#);
    let trailer = match era {
        Era::Legacy => String::new(),
        Era::Modern => format!(r#","resultType":"complete","_meta":{server}"#),
    };
    format!(r#"{{"jsonrpc":"2.0","id":{CALL_ID},"result":{{{content}{trailer}}}}}"#)
}

fn response(bencher: &mut Bencher) {
    let body_bytes = echo_message(Era::Modern).len();
    write_each(bencher, |out| {
        let head = ResponseHead {
            status: Status::Ok,
            content: Content::Json(black_box(body_bytes)),
            date: Some(DATE),
            keep_alive: true,
            version_minor: 1,
            fields: &[],
            lines: &[],
        };
        write_response_head(out, black_box(&head));
    });
}

fn response_head() -> String {
    let body_bytes = echo_message(Era::Modern).len();
    let date = String::from_utf8_lossy(DATE);
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
         Content-Length: {body_bytes}\r\nDate: {date}\r\n\r\n"
    )
}

/// Measures something that appends to an output buffer, which is emptied before each operation.
fn write_each(bencher: &mut Bencher, mut write: impl FnMut(&mut Vec<u8>)) {
    let mut out = Vec::with_capacity(OUTPUT_BYTES);
    bencher.batches(|operations, checksum| {
        for _ in 0..operations {
            out.clear();
            write(&mut out);
            checksum.word(black_box(&out).len() as u64);
        }
        checksum.bytes(&out);
    });
}

fn written_reference(expected: &[u8], operations: u32) -> Checksum {
    let mut checksum = Checksum::repeated(expected.len() as u64, operations);
    checksum.bytes(expected);
    checksum
}
