//! Decisions by the head alone: verb, path, and fields that come more than once.

use super::{Expected, check, claiming, refused, request, with_head};
use crate::binding::http::{Route, route, status_of};
use crate::binding::refusal::Reason;

#[test]
fn equal_values_of_a_header_are_one_value_and_different_ones_are_refused() {
    let list = claiming("2026-07-28", "tools/list", "");
    let legacy_list = request("tools/list", "{}");
    let both = |name: &str, values: [&str; 2]| {
        let [first, second] = values;
        [
            format!("{name}: {first}; {}: {second}", name.to_lowercase()),
            format!("{name}: {first}, {second}"),
            format!("{name}: {first},{second}"),
        ]
    };
    let modern = "MCP-Protocol-Version: 2026-07-28; Mcp-Method: tools/list";
    let legacy = "MCP-Protocol-Version: 2025-11-25; MCP-Session-Id: s";
    for (name, equal, different, headers, body, code) in [
        (
            "MCP-Protocol-Version",
            "2026-07-28",
            "2025-11-25",
            modern,
            &list,
            -32020,
        ),
        (
            "Mcp-Method",
            "tools/list",
            "tools/call",
            modern,
            &list,
            -32020,
        ),
        (
            "MCP-Protocol-Version",
            "2025-11-25",
            "2025-06-18",
            legacy,
            &legacy_list,
            -32600,
        ),
        ("MCP-Session-Id", "s", "t", legacy, &legacy_list, -32600),
    ] {
        let others = headers
            .split("; ")
            .filter(|header| !header.starts_with(name));
        let others: Vec<&str> = others.collect();
        let expected = || match code {
            -32020 => Expected::Modern,
            _ => Expected::SessionRequest,
        };
        for doubled in both(name, [equal, equal]) {
            check(
                &format!("{doubled}; {}", others.join("; ")),
                body,
                expected(),
            );
        }
        for doubled in both(name, [equal, different]) {
            let headers = format!("{doubled}; {}", others.join("; "));
            check(&headers, body, refused(400, code));
        }
    }
    let text = Reason::HeaderDiffers("MCP-Session-Id").to_string();
    assert_eq!(text, "header MCP-Session-Id has values that differ");
}

#[test]
fn a_stream_is_opened_or_resumed_after_an_event() {
    let check = |headers: &str, expected: Result<Option<&[u8]>, u16>| {
        let headers = format!("MCP-Session-Id: s\r\n{headers}");
        with_head("GET /mcp", &headers, |head| {
            let found = match route(head, "/mcp") {
                Ok(Route::OpenStream { last_event_id, .. }) => Ok(last_event_id),
                Ok(other) => panic!("{other:?}"),
                Err(reason) => Err(status_of(Some(reason.category())).code()),
            };
            assert_eq!(found, expected, "{headers}");
        });
    };
    check("", Ok(None));
    check("Last-Event-ID: \r\n", Ok(None));
    check("last-event-id: 3-1\r\n", Ok(Some(b"3-1")));
    check("Last-Event-ID: 1\r\nLast-Event-ID: 1\r\n", Ok(Some(b"1")));
    check("Last-Event-ID: 1, 1\r\n", Ok(Some(b"1")));
    check("Last-Event-ID: 1\r\nLast-Event-ID: 2\r\n", Err(400));
}

#[test]
fn verbs_and_paths_come_first() {
    let check = |line: &str, headers: &str, expected: Result<&str, (u16, Option<&str>)>| {
        with_head(line, headers, |head| {
            let routed = match route(head, "/mcp") {
                Ok(Route::Post) => Ok("post"),
                Ok(Route::OpenStream { .. }) => Ok("open"),
                Ok(Route::EndSession(_)) => Ok("end"),
                Ok(Route::Upgrade(_)) => Ok("upgrade"),
                Err(reason) => {
                    let allow = reason.field().map(|(name, value)| {
                        assert_eq!(name, "Allow");
                        value
                    });
                    Err((status_of(Some(reason.category())).code(), allow))
                }
            };
            assert_eq!(routed, expected, "{line} {headers}");
        });
    };
    let session = "MCP-Session-Id: s\r\n";
    check("POST /mcp", "", Ok("post"));
    check("POST /mcp?a=b", "", Ok("post"));
    check("GET /mcp", session, Ok("open"));
    check("DELETE /mcp", session, Ok("end"));
    let upgrade = "MCP-Protocol-Version: 2026-07-28\r\nConnection: Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    check("GET /mcp", upgrade, Ok("upgrade"));
    check("POST /mcp", upgrade, Ok("post"));
    check("GET /other", upgrade, Err((404, None)));
    let old = upgrade.replace("13", "8");
    check("GET /mcp", &old, Err((426, None)));
    check("GET /mcp", "", Err((400, None)));
    check("DELETE /mcp", "", Err((400, None)));
    let modern = "MCP-Session-Id: s\r\nMCP-Protocol-Version: 2026-07-28\r\n";
    check("GET /mcp", modern, Err((405, Some("POST"))));
    check("DELETE /mcp", modern, Err((405, Some("POST"))));
    check("PUT /mcp", "", Err((405, Some("GET, POST, DELETE"))));
    check("HEAD /mcp", "", Err((405, Some("GET, POST, DELETE"))));
    check("HEAD /other", "", Err((404, None)));
    check("OPTIONS /mcp", "", Err((405, Some("GET, POST, DELETE"))));
    check("POST /other", "", Err((404, None)));
}

#[test]
fn a_slash_at_the_end_of_the_path_makes_no_difference() {
    for (endpoint, path, is_served) in [
        ("/mcp", "/mcp/", true),
        ("/mcp/", "/mcp", true),
        ("/mcp/", "/mcp/", true),
        ("/", "/", true),
        ("/mcp", "/mcp//", false),
        ("/mcp", "/mcpx", false),
        ("/mcp", "/mc", false),
        ("/mcp", "/", false),
        ("/", "//", false),
        ("/", "/mcp", false),
    ] {
        with_head(&format!("POST {path}"), "", |head| {
            let is_routed = route(head, endpoint).is_ok();
            assert_eq!(is_routed, is_served, "{endpoint} {path}");
        });
    }
}
