//! The inputs all benches share: the messages of the workloads, and a fixed random order.
//!
//! Everything is made from constants, so two runs on two machines do the same work.

/// Path of the MCP endpoint in the requests below.
pub(super) const ENDPOINT: &str = "/mcp";
/// The message of the tool `echo`: 100 bytes without a byte to escape.
pub(super) const ECHO_TEXT: &str = "The quick brown fox jumps over the lazy dog, and the dog \
    sleeps on, dreaming of 1000 lazy foxes; end";
const _: () = assert!(ECHO_TEXT.len() == 100);

const CLIENT_META: &str = concat!(
    r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
    r#""io.modelcontextprotocol/clientCapabilities":{}}"#,
);

/// Bytes of the small call of W-JSON.
pub(super) const SMALL_CALL_BYTES: usize = 250;
/// Bytes of the large calls of W-JSON; they end with the first row or sentence that reaches it.
pub(super) const LARGE_CALL_BYTES: usize = 10 * 1024;

/// A call with nested arguments of every kind, of [`SMALL_CALL_BYTES`].
pub(super) fn small_call() -> String {
    let head = concat!(
        r#"{"jsonrpc":"2.0","id":7654321,"method":"tools/call","params":{"name":"search","#,
        r#""arguments":{"query":"io_uring multishot receive","limit":10,"filters":"#,
        r#"{"languages":["rust","c"],"since":"2024-01-01"},"exact":false},"#,
        r#""_meta":{"progressToken":""#,
    );
    let tail = r#""}}}"#;
    let token = "7".repeat(SMALL_CALL_BYTES - head.len() - tail.len());
    [head, &token, tail].concat()
}

/// A call with a list of small objects, their strings escaped here and there.
pub(super) fn large_call_of_rows() -> String {
    let row = |id: usize| {
        let is_even = id.is_multiple_of(2);
        let members = format!(r#""id":{id},"name":"item number {id}","ok":{is_even}"#);
        let price = format!(r#""price":{id}.25,"tags":["alpha","g\u00e4mma"]"#);
        let note = r#""note":"a \"quoted\" word and\na second line""#;
        format!("{{{members},{price},{note}}}")
    };
    large_call(r#"{"rows":["#, row, ",", "]}")
}

/// A call with one long string in which nothing is escaped.
pub(super) fn large_call_of_text() -> String {
    let sentence = |_| "Plain text of a document, the most usual of all payloads. ".to_owned();
    large_call(r#"{"text":""#, sentence, "", r#""}"#)
}

fn large_call(open: &str, part: impl Fn(usize) -> String, comma: &str, close: &str) -> String {
    let head = r#"{"jsonrpc":"2.0","id":"req-000042","method":"tools/call","params":"#;
    let mut call = [head, r#"{"name":"ingest","arguments":"#].concat();
    call.push_str(open);
    for number in 0.. {
        call.push_str(&part(number));
        if call.len() >= LARGE_CALL_BYTES {
            break;
        }
        call.push_str(comma);
    }
    call.push_str(close);
    call.push_str("}}");
    call
}

/// The body of W-CALL-26.
pub(super) fn modern_body() -> String {
    echo_body(&format!(r#","_meta":{CLIENT_META}"#))
}

/// The body of W-CALL-25.
pub(super) fn session_body() -> String {
    echo_body("")
}

fn echo_body(more_params: &str) -> String {
    let head = r#"{"jsonrpc":"2.0","id":1234567,"method":"tools/call","params":"#;
    let arguments = format!(r#"{{"message":"{ECHO_TEXT}"}}"#);
    format!(r#"{head}{{"name":"echo","arguments":{arguments}{more_params}}}}}"#)
}

/// The whole request of W-CALL-26.
pub(super) fn modern_post() -> Vec<u8> {
    let fields = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: echo\r\n";
    post(fields, &modern_body())
}

/// The whole request of W-CALL-25.
pub(super) fn session_post() -> Vec<u8> {
    let fields = "MCP-Protocol-Version: 2025-11-25\r\nMCP-Session-Id: 00-0123456789abcdef\r\n";
    post(fields, &session_body())
}

fn post(fields: &str, body: &str) -> Vec<u8> {
    let body_bytes = body.len();
    format!(
        "POST {ENDPOINT} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n{fields}\
         Content-Length: {body_bytes}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The numbers below `count` in an order no prefetcher guesses and every run repeats.
pub(super) fn shuffled(count: u32) -> Vec<u32> {
    let mut order: Vec<u32> = (0..count).collect();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for last in (1..order.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        order.swap(last, (state % (last as u64 + 1)) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::{LARGE_CALL_BYTES, SMALL_CALL_BYTES, shuffled};

    #[test]
    fn calls_have_the_sizes_they_are_named_for() {
        assert_eq!(super::small_call().len(), SMALL_CALL_BYTES);
        for call in [super::large_call_of_rows(), super::large_call_of_text()] {
            let spare = call.len() - LARGE_CALL_BYTES;
            assert!(spare < 200, "{spare}");
        }
    }

    #[test]
    fn an_order_holds_every_number_once() {
        let mut order = shuffled(1_000);
        assert_ne!(order, (0..1_000).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..1_000).collect::<Vec<_>>());
    }
}
