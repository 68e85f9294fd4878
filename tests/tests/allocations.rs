//! Between reading a request and queueing its answer, the protocol allocates nothing.
//!
//! The allocator of this process counts the allocations of each thread. Invariant: only the counted
//! thread's own allocations are seen, so tests may run side by side. It lacks the engine: the
//! benchmarks measure that a whole call allocates nothing there.

use allocation_counter::measure;
use corelane_protocol::binding::admission::{Admitted, admit};
use corelane_protocol::binding::claims::Claims;
use corelane_protocol::framing::http1::{
    Content, DATE_BYTES, Framer, ResponseHead, Status, Step, write_response_head,
};
use corelane_protocol::jsonrpc::{Decoder, Id, JsonLimits, Message, encode};
use corelane_protocol::limits::HttpLimits;

/// Warm-up rounds before counting, and counted rounds.
const ROUNDS: usize = 100;

/// Asserts that `work` allocates nothing once it has run [`ROUNDS`] times.
fn check(what: &str, mut work: impl FnMut()) {
    let mut rounds = || (0..ROUNDS).for_each(|_| work());
    rounds();
    assert_eq!(measure(rounds).count_total, 0, "{what}");
}

/// A modern call of 250 bytes.
const CALL: &str = concat!(
    r#"{"jsonrpc":"2.0","id":4711,"method":"tools/call","params":{"name":"echo","arguments":"#,
    r#"{"message":"sixteen charact\u0065rs"},"_meta":{"io.modelcontextprotocol/protocolVersion":"#,
    r#""2026-07-28","io.modelcontextprotocol/clientCapabilities":{"sampling":{}}}}}"#,
);

fn request() -> Vec<u8> {
    let fields = "Host: 127.0.0.1:8080\r\nContent-Type: application/json\r\n\
        Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n\
        Mcp-Method: tools/call\r\nMcp-Name: echo\r\n";
    let head = format!(
        "POST /mcp HTTP/1.1\r\n{fields}Content-Length: {}\r\n\r\n",
        CALL.len()
    );
    [head.as_bytes(), CALL.as_bytes()].concat()
}

fn write(out: &mut Vec<u8>, body: &mut Vec<u8>) {
    body.clear();
    encode::begin_result(body, Id::Integer(4711));
    body.extend_from_slice(b"{\"content\":[{\"type\":\"text\",\"text\":");
    encode::write_string(body, "sixteen characters \u{1f600} \"\n");
    body.extend_from_slice(b"}],\"isError\":false,\"score\":");
    encode::write_float(body, 0.1);
    body.extend_from_slice(b"}");
    encode::end(body);
    out.clear();
    let head = ResponseHead {
        status: Status::Ok,
        content: Content::Json(body.len()),
        date: Some(b"Sun, 06 Nov 1994 08:49:37 GMT" as &[u8; DATE_BYTES]),
        keep_alive: true,
        version_minor: 1,
        fields: &[("MCP-Session-Id", b"0001")],
        lines: &[],
    };
    write_response_head(out, &head);
    out.extend_from_slice(body);
}

#[test]
fn counts_allocations() {
    let counted = measure(|| drop(std::hint::black_box(Box::new(1))));
    assert_eq!(counted.count_total, 1);
}

#[test]
fn decoding_a_call_of_250_bytes_allocates_nothing() {
    assert!(
        (240..=260).contains(&CALL.len()),
        "the call has {} bytes",
        CALL.len()
    );
    let mut decoder = Decoder::new(JsonLimits::default());
    check("decode", || {
        let decoded = decoder.decode(CALL.as_bytes()).expect("the call is JSON");
        assert!(matches!(decoded.message(), Ok(Message::Request { .. })));
    });
}

#[test]
fn framing_a_whole_request_allocates_nothing() {
    let mut input = request();
    check("frame", || {
        let step = Framer::default().step(&mut input, &HttpLimits::DEFAULT);
        assert!(matches!(step, Ok(Step::Request { body, .. }) if body.len() == CALL.len()));
    });
}

#[test]
fn framing_a_chunked_request_allocates_nothing() {
    let head = "POST /mcp HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let whole = format!("{head}2\r\n{{}}\r\n0\r\n\r\n").into_bytes();
    let mut input = whole.clone();
    check("frame in chunks", || {
        input.copy_from_slice(&whole);
        let step = Framer::default().step(&mut input, &HttpLimits::DEFAULT);
        assert!(matches!(step, Ok(Step::Request { body: b"{}", .. })));
    });
}

#[test]
fn encoding_an_answer_allocates_nothing() {
    let (mut out, mut body) = (Vec::new(), Vec::new());
    check("encode", || write(&mut out, &mut body));
}

#[test]
fn reading_and_answering_a_call_allocates_nothing() {
    let mut input = request();
    let mut decoder = Decoder::new(JsonLimits::default());
    let (mut out, mut body) = (Vec::new(), Vec::new());
    check("read and answer", || {
        let step = Framer::default().step(&mut input, &HttpLimits::DEFAULT);
        let Ok(Step::Request {
            head, body: json, ..
        }) = step
        else {
            panic!("the request is whole");
        };
        let decoded = decoder.decode(json).expect("the body is JSON");
        let message = decoded.message().expect("the body is a message");
        assert!(matches!(
            admit(Claims::of_head(&head), message),
            Ok(Admitted::Modern(_))
        ));
        write(&mut out, &mut body);
    });
}
