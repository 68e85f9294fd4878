//! The inputs and outputs of the benches match their names, byte by byte.

use super::{CALL_ID, corpus, echo_message};
use corelane_protocol::jsonrpc::{Decoder, JsonLimits};
use corelane_protocol::mcp::era::Era;
use serde_json::Value as Json;

/// The decoder and serde_json read the same document.
fn check(call: &str) {
    let mut decoder = Decoder::new(JsonLimits::default());
    let decoded = decoder.decode(call.as_bytes()).unwrap();
    let expected: Json = serde_json::from_str(call).unwrap();
    assert_eq!(decoded.root().to_serde(), expected);
}

#[test]
fn the_decoder_reads_the_corpus_as_serde_json_does() {
    check(&corpus::small_call());
    check(&corpus::modern_body());
    check(&corpus::session_body());
    check(&corpus::large_call_of_rows());
    check(&corpus::large_call_of_text());
}

#[test]
fn the_expected_answers_are_json_with_the_id_of_the_call() {
    for era in [Era::Legacy, Era::Modern] {
        let checksum: Json = serde_json::from_str(&echo_message(era)).unwrap();
        assert_eq!(checksum["id"], CALL_ID);
        assert_eq!(checksum["result"]["content"][0]["text"], corpus::ECHO_TEXT);
        let is_modern = checksum["result"].get("resultType").is_some();
        assert_eq!(is_modern, era == Era::Modern);
    }
}
