//! Admission as a table: real bytes through the framer and the decoder, check by check.

use super::{Admitted, SessionMessage, admit};
use crate::binding::claims::Claims;
use crate::binding::http::status_of;
use crate::binding::refusal::Reason;
use crate::framing::http1::{Framer, Step};
use crate::jsonrpc::{Decoder, JsonLimits};
use crate::limits::HttpLimits;

mod heads;

/// The expectation of a table: the kind of a message, or its refusal.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Modern,
    ModernNotification,
    Initialize,
    SessionRequest,
    SessionNotification,
    SessionResponse,
    Refused {
        status: u16,
        code: i64,
        has_id: bool,
    },
}

const fn refused(status: u16, code: i64) -> Expected {
    Expected::Refused {
        status,
        code,
        has_id: true,
    }
}

const fn refused_without_id(status: u16, code: i64) -> Expected {
    Expected::Refused {
        status,
        code,
        has_id: false,
    }
}

fn with_head<T>(
    request_line: &str,
    headers: &str,
    use_head: impl FnOnce(&crate::framing::http1::RequestHead<'_>) -> T,
) -> T {
    let mut bytes = format!("{request_line} HTTP/1.1\r\nHost: h\r\n{headers}\r\n").into_bytes();
    match Framer::default().step(&mut bytes, &HttpLimits::DEFAULT) {
        Ok(Step::Request { head, .. }) => use_head(&head),
        other => panic!("not a whole request: {other:?}"),
    }
}

/// Classifies a POST with the given header lines (each ended by `;`) and body.
fn classified(headers: &str, body: &str) -> Expected {
    let lines: String = headers
        .split(';')
        .filter(|line| !line.trim().is_empty())
        .map(|line| format!("{}\r\n", line.trim()))
        .collect();
    with_head("POST /mcp", &lines, |head| {
        let mut decoder = Decoder::new(JsonLimits::default());
        let decoded = decoder
            .decode(body.as_bytes())
            .expect("the tables hold JSON");
        let message = decoded.message().expect("the tables hold messages");
        match admit(Claims::of_head(head), message) {
            Ok(Admitted::Modern(_)) => Expected::Modern,
            Ok(Admitted::ModernNotification) => Expected::ModernNotification,
            Ok(Admitted::Initialize { .. }) => Expected::Initialize,
            Ok(Admitted::Session {
                message: SessionMessage::Request { .. },
                ..
            }) => Expected::SessionRequest,
            Ok(Admitted::Session {
                message: SessionMessage::Notification { .. },
                ..
            }) => Expected::SessionNotification,
            Ok(Admitted::Session {
                message: SessionMessage::Response { .. },
                ..
            }) => Expected::SessionResponse,
            Err(refusal) => Expected::Refused {
                status: status_of(Some(refusal.reason.category())).code(),
                code: refusal.reason.code(),
                has_id: refusal.id.is_some(),
            },
        }
    })
}

const MODERN: &str = "MCP-Protocol-Version: 2026-07-28; ";

/// A request whose `_meta` claims `version`.
fn claiming(version: &str, method: &str, more_params: &str) -> String {
    let meta = format!(
        r#"{{"{}":"{version}","{}":{{}}}}"#,
        crate::mcp::meta::PROTOCOL_VERSION,
        crate::mcp::meta::CLIENT_CAPABILITIES
    );
    request(method, &format!(r#"{{{more_params}"_meta":{meta}}}"#))
}

fn request(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
}

fn check(headers: &str, body: &str, expected: Expected) {
    assert_eq!(classified(headers, body), expected, "{headers} {body}");
}

#[test]
fn modern_requests_agree_with_their_headers() {
    let list = claiming("2026-07-28", "tools/list", "");
    let call = claiming("2026-07-28", "tools/call", r#""name":"echo","#);
    let list_headers = format!("{MODERN} Mcp-Method: tools/list");
    let call_headers = format!("{MODERN} Mcp-Method: tools/call");
    check(&list_headers, &list, Expected::Modern);
    check(
        &list_headers
            .to_uppercase()
            .replace("TOOLS/LIST", "tools/list"),
        &list,
        Expected::Modern,
    );
    check(
        &format!("{list_headers}; MCP-Session-Id: stale"),
        &list,
        Expected::Modern,
    );
    for (name, expected) in [
        ("Mcp-Name: echo", Expected::Modern),
        ("Mcp-Name:   echo  ", Expected::Modern),
        ("Mcp-Name: =?base64?ZWNobw==?=", Expected::Modern),
        ("Mcp-Name: =?base64?ZWNobw?=", refused(400, -32020)),
        ("Mcp-Name: ZWNobw==", refused(400, -32020)),
        ("Mcp-Name: ECHO", refused(400, -32020)),
        ("Mcp-Name: echo; Mcp-Name: echo", Expected::Modern),
        ("Mcp-Name: echo, echo", Expected::Modern),
        ("Mcp-Name: echo; Mcp-Name: add", refused(400, -32020)),
        ("Mcp-Name: echo, add", refused(400, -32020)),
        ("", refused(400, -32020)),
    ] {
        check(&format!("{call_headers}; {name}"), &call, expected);
    }
    // A value that must be encoded is refused in plain form, even where it equals the body.
    let call = claiming("2026-07-28", "tools/call", "\"name\":\"\u{e9}cho\",");
    let raw = format!("{call_headers}; Mcp-Name: \u{e9}cho");
    check(&raw, &call, refused(400, -32020));
    let encoded = format!("{call_headers}; Mcp-Name: =?base64?w6ljaG8=?=");
    check(&encoded, &call, Expected::Modern);
    for (headers, expected) in [
        ("Mcp-Method: tools/list", refused(400, -32020)),
        ("MCP-Protocol-Version: 2026-07-28", refused(400, -32020)),
        (
            "MCP-Protocol-Version: 2026-07-28; Mcp-Method: TOOLS/LIST",
            refused(400, -32020),
        ),
        (
            "MCP-Protocol-Version: 2026-07-28; Mcp-Method: tools/call",
            refused(400, -32020),
        ),
        (
            "MCP-Protocol-Version: 2025-11-25; Mcp-Method: tools/list",
            refused(400, -32020),
        ),
    ] {
        check(headers, &list, expected);
    }
}

#[test]
fn a_call_without_a_name_is_left_to_the_check_of_its_parameters() {
    let headers = format!("{MODERN} Mcp-Method: tools/call; Mcp-Name: echo");
    check(
        &headers,
        &claiming("2026-07-28", "tools/call", ""),
        Expected::Modern,
    );
    check(
        &headers,
        &claiming("2026-07-28", "tools/call", r#""name":7,"#),
        Expected::Modern,
    );
}

#[test]
fn a_version_that_differs_is_a_mismatch_before_it_is_unsupported() {
    for (header, claim, code) in [
        ("2026-07-28", "v999.0.0", -32020),
        ("v999.0.0", "v999.0.0", -32022),
        ("1900-01-01", "1900-01-01", -32022),
        ("2025-11-25", "2025-11-25", -32022),
        ("2026-07-29", "2026-07-29", -32022),
    ] {
        let headers = format!("MCP-Protocol-Version: {header}; Mcp-Method: tools/list");
        check(
            &headers,
            &claiming(claim, "tools/list", ""),
            refused(400, code),
        );
    }
}

#[test]
fn an_invalid_envelope_is_refused_before_its_headers() {
    for meta in [
        r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#,
        concat!(
            r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":7,"#,
            r#""io.modelcontextprotocol/clientCapabilities":{}}}"#
        ),
        concat!(
            r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
            r#""io.modelcontextprotocol/clientCapabilities":[]}}"#
        ),
        concat!(
            r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
            r#""io.modelcontextprotocol/clientCapabilities":{},"#,
            r#""io.modelcontextprotocol/logLevel":"loud"}}"#
        ),
        concat!(
            r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
            r#""io.modelcontextprotocol/clientCapabilities":{},"progressToken":1.5}}"#
        ),
        concat!(
            r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
            r#""io.modelcontextprotocol/clientCapabilities":null}}"#
        ),
        r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":null}}"#,
    ] {
        check("", &request("tools/list", meta), refused(400, -32602));
    }
    let nulls = concat!(
        r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
        r#""io.modelcontextprotocol/clientCapabilities":{},"#,
        r#""io.modelcontextprotocol/clientInfo":null,"#,
        r#""io.modelcontextprotocol/logLevel":null,"progressToken":null}}"#
    );
    let headers = format!("{MODERN} Mcp-Method: tools/list");
    check(&headers, &request("tools/list", nulls), Expected::Modern);
    for params in ["{}", r#"{"_meta":{}}"#, r#"{"_meta":7}"#] {
        check(MODERN, &request("tools/list", params), refused(400, -32602));
        check(MODERN, &request("ping", params), refused(400, -32602));
        check(
            "",
            &request("server/discover", params),
            refused(400, -32602),
        );
        check(
            "MCP-Session-Id: s",
            &request("server/discover", params),
            refused(400, -32602),
        );
    }
}

#[test]
fn methods_of_the_other_era_do_not_exist() {
    for method in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "tasks/result",
        "unknown/method",
    ] {
        let headers = format!("{MODERN} Mcp-Method: {method}");
        check(
            &headers,
            &claiming("2026-07-28", method, ""),
            refused(404, -32601),
        );
    }
}

#[test]
fn a_handshake_is_legacy_unless_it_claims_a_modern_revision() {
    let params = r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{}}"#;
    check("", &request("initialize", params), Expected::Initialize);
    check(
        "MCP-Protocol-Version: 2025-11-25",
        &request("initialize", params),
        Expected::Initialize,
    );
    check(
        "MCP-Session-Id: stale",
        &request("initialize", params),
        Expected::Initialize,
    );
    check(
        "",
        &claiming("2025-11-25", "initialize", ""),
        Expected::Initialize,
    );
    check("", &request("initialize", "{}"), Expected::Initialize);
    check(MODERN, &request("initialize", params), refused(400, -32020));
}

#[test]
fn a_handshake_may_name_a_modern_revision_in_header_and_body() {
    for version in ["2026-07-28", "2027-03-01"] {
        let header = format!("MCP-Protocol-Version: {version}");
        for (requested, expected) in [
            (format!("\"{version}\""), Expected::Initialize),
            ("\"2025-11-25\"".to_owned(), refused(400, -32020)),
            ("7".to_owned(), refused(400, -32020)),
        ] {
            let params = format!(r#"{{"protocolVersion":{requested},"capabilities":{{}}}}"#);
            check(&header, &request("initialize", &params), expected);
        }
    }
}

#[test]
fn everything_without_a_claim_needs_a_session() {
    let list = request("tools/list", "{}");
    let notification = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let response = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    check("MCP-Session-Id: s", &list, Expected::SessionRequest);
    check(
        "mcp-session-id: s; mcp-protocol-version: 2025-11-25",
        &list,
        Expected::SessionRequest,
    );
    check(
        "MCP-Session-Id: s",
        &request("no/such", "{}"),
        Expected::SessionRequest,
    );
    check(
        "MCP-Session-Id: s",
        notification,
        Expected::SessionNotification,
    );
    check("MCP-Session-Id: s", response, Expected::SessionResponse);
    check("", &list, refused(400, -32600));
    check("", notification, refused_without_id(400, -32600));
    check("", response, refused_without_id(400, -32600));
    for version in ["1999-01-01", "nonsense", "2025-11-25 "] {
        let headers = format!("MCP-Session-Id: s; MCP-Protocol-Version: {version}x");
        check(&headers, &list, refused(400, -32600));
    }
}

#[test]
fn the_meta_of_a_request_is_an_object_in_every_era() {
    for (headers, method) in [
        ("MCP-Session-Id: s", "tools/call"),
        ("MCP-Session-Id: s", "ping"),
        ("", "initialize"),
        (MODERN, "tools/list"),
    ] {
        for meta in ["5", r#""m""#, "[]", "false"] {
            let body = request(method, &format!(r#"{{"_meta":{meta}}}"#));
            check(headers, &body, refused(400, -32602));
        }
    }
    let null = request("ping", r#"{"_meta":null}"#);
    check("MCP-Session-Id: s", &null, Expected::SessionRequest);
}

#[test]
fn modern_notifications_are_accepted_without_header_rules_if_their_version_is_served() {
    let claim = concat!(
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","#,
        r#""params":{"requestId":1,"#,
        r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#
    );
    check("", claim, Expected::ModernNotification);
    check(
        MODERN,
        r#"{"jsonrpc":"2.0","method":"anything"}"#,
        Expected::ModernNotification,
    );
    let unserved = || Expected::Refused {
        status: 400,
        code: -32022,
        has_id: false,
    };
    let header = "MCP-Protocol-Version: 2099-01-01";
    for session in ["", "; MCP-Session-Id: s"] {
        let headers = format!("{header}{session}");
        check(
            &headers,
            r#"{"jsonrpc":"2.0","method":"anything"}"#,
            unserved(),
        );
    }
    check("", &claim.replace("2026-07-28", "2099-01-01"), unserved());
    check("MCP-Protocol-Version: 2025-11-25", claim, unserved());
}

#[test]
fn refusals_are_errors_of_the_schema() {
    let check = |reason: Reason<'_>, expected: &str| {
        let mut out = Vec::new();
        let id = Some(crate::jsonrpc::Id::String("a"));
        let message = reason.to_string();
        crate::binding::refusal::Refusal { id, reason }.write(&mut out, &message);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    };
    check(
        Reason::UnsupportedVersion("v9"),
        concat!(
            r#"{"jsonrpc":"2.0","id":"a","error":{"code":-32022,"#,
            r#""message":"protocol version \"v9\" is not supported: use 2026-07-28, "#,
            r#"or initialize for an older one","#,
            r#""data":{"supported":["2026-07-28"],"requested":"v9"}}}"#
        ),
    );
    check(
        Reason::UnsupportedVersion("2025-11-25"),
        concat!(
            r#"{"jsonrpc":"2.0","id":"a","error":{"code":-32022,"#,
            r#""message":"protocol version \"2025-11-25\" needs a session: initialize first","#,
            r#""data":{"supported":["2026-07-28"],"requested":"2025-11-25"}}}"#
        ),
    );
    check(
        Reason::UnsupportedVersion("2026-07-28"),
        concat!(
            r#"{"jsonrpc":"2.0","id":"a","error":{"code":-32022,"#,
            r#""message":"protocol version \"2026-07-28\" is not served over HTTP+SSE: "#,
            r#"initialize for an older one","data":{"supported":["2025-11-25","2025-06-18","#,
            r#""2025-03-26","2024-11-05"],"requested":"2026-07-28"}}}"#
        ),
    );
    check(
        Reason::MissingCapability(crate::mcp::capability::ClientCapability::Sampling),
        concat!(
            r#"{"jsonrpc":"2.0","id":"a","error":{"code":-32021,"#,
            r#""message":"the client lacks the capability sampling, which this request needs","#,
            r#""data":{"requiredCapabilities":{"sampling":{}}}}}"#
        ),
    );
}
