//! Admission: no head and body make it panic, and every refusal is a valid JSON-RPC error.
//!
//! An input is text: a verb and a target, lines of header fields, an empty line, the body. The
//! request is built from it, so that the length of the body is always right.
#![no_main]

use corelane_protocol::binding::accept::{Accept, is_json};
use corelane_protocol::binding::admission::{Admitted, admit};
use corelane_protocol::binding::claims::Claims;
use corelane_protocol::binding::header_param::{self, HeaderParam};
use corelane_protocol::binding::http::{Route, route, status_of};
use corelane_protocol::binding::refusal::{Reason, Refusal};
use corelane_protocol::framing::http1::{Framer, RequestHead, Step};
use corelane_protocol::jsonrpc::{Decoder, JsonLimits};
use corelane_protocol::limits::HttpLimits;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use std::sync::LazyLock;

/// Properties that headers repeat, one of each kind.
const SCHEMA: &str = r#"{"type":"object","properties":{
    "s":{"type":"string","x-mcp-header":"S"},
    "i":{"type":"integer","x-mcp-header":"I"},
    "o":{"type":"object","properties":{"b":{"type":"boolean","x-mcp-header":"B"}}}}}"#;

static PARAMS: LazyLock<Vec<HeaderParam>> = LazyLock::new(|| {
    let schema = serde_json::from_str(SCHEMA).expect("the schema is JSON");
    header_param::collect(&schema).expect("the schema is valid")
});

fuzz_target!(|data: &[u8]| {
    let (first, rest) = split(data, b"\n");
    let (fields, body) = split(rest, b"\n\n");
    let mut input = first.to_vec();
    input.extend_from_slice(b" HTTP/1.1\r\nHost: h\r\n");
    for field in fields
        .split(|byte| *byte == b'\n')
        .filter(|field| !field.is_empty())
    {
        input.extend_from_slice(field);
        input.extend_from_slice(b"\r\n");
    }
    input.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    input.extend_from_slice(body);
    match Framer::default().step(&mut input, &HttpLimits::DEFAULT) {
        Ok(Step::Request { head, body, .. }) => climb(&head, body),
        Ok(Step::NeedMore { .. }) => {}
        Err(refusal) => {
            let text = refusal.to_string();
            assert_refused(&Refusal {
                id: None,
                reason: Reason::Framing(&text),
            });
        }
    }
});

fn climb(head: &RequestHead<'_>, body: &[u8]) {
    match route(head, "/mcp") {
        Err(reason) => return assert_refused(&Refusal { id: None, reason }),
        Ok(Route::OpenStream { .. } | Route::EndSession(_) | Route::Upgrade(_)) => return,
        Ok(Route::Post) => {}
    }
    let _ = (Accept::read(head.accept), is_json(head.content_type));
    let mut decoder = Decoder::new(JsonLimits::default());
    let decoded = match decoder.decode(body) {
        Ok(decoded) => decoded,
        Err(error) => {
            return assert_refused(&Refusal {
                id: None,
                reason: Reason::Undecodable(error),
            });
        }
    };
    match decoded.message() {
        Err(error) => {
            let reason = Reason::NotAMessage(error.fault);
            assert_refused(&Refusal {
                id: error.id,
                reason,
            });
        }
        Ok(message) => match admit(Claims::of_head(head), message) {
            Err(refusal) => assert_refused(&refusal),
            Ok(Admitted::Modern(request)) => {
                let version = request.envelope.protocol_version.as_bytes();
                let named = head.mcp_protocol_version.value();
                assert_eq!(named, Some(version), "header and claim differ");
                let arguments = request.params.and_then(|params| params.as_object());
                let arguments = arguments.and_then(|params| params.get("arguments"));
                if let Err(reason) = header_param::check(&PARAMS, Claims::of_head(head), arguments)
                {
                    assert_refused(&Refusal {
                        id: Some(request.id),
                        reason,
                    });
                }
            }
            Ok(_) => {}
        },
    }
}

/// A refusal is one JSON-RPC error with the id of the request or none, never null.
fn assert_refused(refusal: &Refusal<'_>) {
    assert!(
        (400..600).contains(&status_of(Some(refusal.reason.category())).code()),
        "{refusal:?}"
    );
    let mut written = Vec::new();
    refusal.write(&mut written, &refusal.reason.to_string());
    let error: Value = serde_json::from_slice(&written).expect("a refusal is JSON");
    assert_eq!(error["jsonrpc"], "2.0");
    assert_eq!(error["error"]["code"], refusal.reason.code());
    assert!(error["error"]["message"].is_string());
    assert_eq!(error.get("id").is_some(), refusal.id.is_some());
    assert!(error.get("id").is_none_or(|id| !id.is_null()));
    assert!(!written.contains(&b'\n'), "a refusal has several lines");
}

fn split<'a>(data: &'a [u8], separator: &[u8]) -> (&'a [u8], &'a [u8]) {
    let found = data
        .windows(separator.len())
        .position(|window| window == separator);
    match found {
        Some(at) => (&data[..at], &data[at + separator.len()..]),
        None => (data, &[]),
    }
}
