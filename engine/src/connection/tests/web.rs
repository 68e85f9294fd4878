//! Browsers, load balancers and clients of other protocols.

use std::net::SocketAddr;

use serde_json::json;

use super::response::{Body, Response};
use super::test_connection::{TestConnection, call, echo, post, text_of};
use crate::connection::cors::Cors;
use crate::connection::http::Phase;
use crate::guard::origin::OriginPolicy;
use crate::mcp::tests::test_endpoint::{initialize, on_executor, session_header};

const PAGE: &str = "Origin: https://app.example\r\n";

/// A connection to a server that pages of one origin may call.
fn line() -> TestConnection {
    let mut line = TestConnection::new();
    allow_page(&mut line);
    line
}

fn allow_page(line: &mut TestConnection) {
    allow_pages(line, &["https://app.example"]);
}

/// Pages of these origins may call from now on.
fn allow_pages(line: &mut TestConnection, origins: &[&str]) {
    let listen: SocketAddr = "127.0.0.1:80".parse().expect("an address");
    let none: &[&str] = &[];
    let policy = OriginPolicy::new(listen, none, origins);
    line.rules.origins = vec![policy.expect("a valid policy")];
    let more = ["x-tenant"].into_iter();
    let cors = Cors::new(&line.rules.origins, &line.rules.http_settings, more);
    line.rules.cors = cors.following(&mut line.rules.cors);
}

/// Sends a request without a body and reads its answer; the connection then serves another.
#[track_caller]
fn answer(line: &mut TestConnection, request: &str, headers: &str) -> Response {
    line.receive(format!("{request} HTTP/1.1\r\n{headers}\r\n").as_bytes());
    let response = line.response();
    assert_eq!(response.field("connection"), None, "{request}");
    line.receive(echo("m").as_bytes());
    assert_eq!(text_of(&line.response()), "m");
    response
}

#[track_caller]
fn assert_names_page(response: &Response) {
    let exposed = "MCP-Session-Id, MCP-Protocol-Version, WWW-Authenticate, Retry-After";
    for (name, expected) in [
        ("access-control-allow-origin", Some("https://app.example")),
        ("access-control-expose-headers", Some(exposed)),
        ("access-control-allow-credentials", None),
        ("vary", Some("Origin")),
    ] {
        assert_eq!(response.field(name), expected, "{name}: {response:?}");
    }
}

#[test]
fn a_page_whose_call_runs_gets_its_answer_after_a_reload_without_it() {
    on_executor(async {
        let mut line = line();
        line.receive(call(PAGE, "wait", json!({})).as_bytes());
        line.settle().await;
        // The same origins again, and then another one in the place of the first.
        allow_page(&mut line);
        allow_pages(
            &mut line,
            &["https://first.example", "https://other.example"],
        );
        line.harness.gate.open();
        line.settle().await;
        assert_names_page(&line.response());
        line.receive(call(PAGE, "echo", json!({"message": "m"})).as_bytes());
        assert_eq!(line.response().status, 403);
    });
}

#[test]
fn a_preflight_is_answered_for_an_allowed_page() {
    let mut line = line();
    let headers = format!(
        "Host: localhost\r\n{PAGE}Access-Control-Request-Method: POST\r\n\
         Access-Control-Request-Headers: content-type, mcp-param-region,Mcp-Param-X y,evil\r\n\
         Access-Control-Request-Private-Network: true\r\n"
    );
    let response = answer(&mut line, "OPTIONS /mcp", &headers);
    assert_eq!((response.status, &response.body), (204, &Body::None));
    assert_names_page(&response);
    let verbs = Some("GET, HEAD, POST, DELETE, OPTIONS");
    assert_eq!(response.field("access-control-allow-methods"), verbs);
    assert_eq!(response.field("allow"), verbs);
    assert_eq!(
        response.field("access-control-allow-headers"),
        Some(
            "Accept, Authorization, Content-Type, Last-Event-ID, MCP-Protocol-Version, \
             MCP-Session-Id, Mcp-Method, Mcp-Name, x-tenant, mcp-param-region"
        )
    );
    assert_eq!(response.field("access-control-max-age"), Some("7200"));
    let private = response.field("access-control-allow-private-network");
    assert_eq!(private, Some("true"));
}

#[test]
fn a_preflight_of_another_page_gets_no_permission() {
    let mut line = line();
    let headers = "Host: localhost\r\nOrigin: https://evil.example\r\n\
                   Access-Control-Request-Method: POST\r\n";
    let response = answer(&mut line, "OPTIONS /mcp", headers);
    assert_eq!(response.status, 403);
    let is_cors = |(name, _): &&(String, String)| name.starts_with("access-control");
    assert_eq!(response.fields.iter().find(is_cors), None);
}

#[test]
fn options_without_a_preflight_names_the_verbs() {
    let mut line = line();
    for (path, headers, allow) in [
        ("/mcp", "", "GET, HEAD, POST, DELETE, OPTIONS"),
        ("/mcp/?a=b", PAGE, "GET, HEAD, POST, DELETE, OPTIONS"),
        ("/ready", "", "GET, HEAD, OPTIONS"),
    ] {
        let headers = format!("Host: localhost\r\n{headers}");
        let response = answer(&mut line, &format!("OPTIONS {path}"), &headers);
        assert_eq!(
            (response.status, response.field("allow")),
            (204, Some(allow))
        );
        assert_eq!(
            response.field("access-control-allow-methods"),
            None,
            "{path}"
        );
    }
    let other = answer(&mut line, "OPTIONS /other", "Host: localhost\r\n");
    assert_eq!(other.status, 404);
}

#[test]
fn every_answer_to_an_allowed_page_names_it() {
    on_executor(async {
        let mut line = line();
        line.receive(post(PAGE, &initialize("2025-11-25")).as_bytes());
        let made = line.response();
        let session = format!(
            "MCP-Session-Id: {}\r\n",
            made.field("mcp-session-id").expect("a session")
        );
        assert_names_page(&made);
        let host = "Host: localhost\r\n";
        for (request, status) in [("{".to_owned(), 400), (String::new(), 400)] {
            line.receive(post(PAGE, &request).as_bytes());
            let response = line.response();
            assert_eq!(response.status, status);
            assert_names_page(&response);
        }
        for (request, status) in [("GET /other", 404), ("PUT /mcp", 405), ("GET /mcp", 400)] {
            let response = answer(&mut line, request, &format!("{host}{PAGE}"));
            assert_eq!(response.status, status, "{request}");
            assert_names_page(&response);
        }
        // A stream of a call, and an answer that comes later.
        line.receive(call(PAGE, "steps", json!({"steps": [1.0]})).as_bytes());
        line.settle().await;
        assert_names_page(&line.response());
        line.harness.gate.open();
        line.receive(call(PAGE, "wait", json!({})).as_bytes());
        line.settle().await;
        assert_names_page(&line.response());
        // The stream of a session, which stays open.
        let get = format!("GET /mcp HTTP/1.1\r\n{host}{PAGE}{session}\r\n");
        line.receive(get.as_bytes());
        assert_names_page(&line.response());
    });
}

#[test]
fn a_refused_head_of_an_allowed_page_names_it() {
    let mut line = line();
    let long = usize::MAX / 2;
    let request = |origin: &str| {
        format!("POST /mcp HTTP/1.1\r\nHost: a.b\r\n{origin}Content-Length: {long}\r\n\r\n")
    };
    line.rules.http.body_bytes_max = 10;
    line.receive(request(PAGE).replace("a.b", "localhost").as_bytes());
    let response = line.response();
    assert_eq!(response.status, 413);
    assert_names_page(&response);
    for origin in [PAGE, "Origin: https://evil.example\r\n", &PAGE.repeat(2)] {
        let mut line = TestConnection::new();
        allow_page(&mut line);
        line.rules.http.body_bytes_max = 10;
        let host = if origin == PAGE { "a.b" } else { "localhost" };
        line.receive(request(origin).replace("a.b", host).as_bytes());
        let response = line.response();
        assert_eq!(response.field("access-control-allow-origin"), None);
    }
}

#[test]
fn cookies_are_allowed_only_if_the_operator_says_so() {
    let mut line = line();
    line.rules.http_settings.allows_credentials = true;
    allow_page(&mut line);
    line.receive(post(PAGE, "{").as_bytes());
    let allowed = line.response();
    let field = allowed.field("access-control-allow-credentials");
    assert_eq!(field, Some("true"));
    assert_eq!(
        allowed.field("access-control-allow-origin"),
        Some("https://app.example")
    );
}

#[test]
fn a_page_of_the_server_itself_and_no_page_at_all_get_no_fields() {
    let mut line = line();
    for origin in ["", "Origin: http://localhost\r\n"] {
        let response = answer(
            &mut line,
            "GET /mcp",
            &format!("Host: localhost\r\n{origin}"),
        );
        assert_eq!(response.status, 400);
        assert_eq!(response.field("access-control-allow-origin"), None);
        assert_eq!(response.field("vary"), None);
    }
}

#[test]
fn head_is_answered_as_get_without_a_body() {
    let mut line = TestConnection::new();
    let session = session_header(line.harness.session_id());
    let modern = "MCP-Protocol-Version: 2026-07-28\r\n";
    for (path, headers, status, kind) in [
        ("/mcp", &*session, 200, Some("text/event-stream")),
        ("/mcp/", "", 400, None),
        ("/mcp", modern, 405, None),
        ("/other", "", 404, None),
        ("/ready", "", 200, None),
    ] {
        let headers = format!("Host: localhost\r\n{headers}");
        let response = answer(&mut line, &format!("HEAD {path}"), &headers);
        assert_eq!(response.status, status, "{path}");
        // The reader takes the head for that of a stream.
        let nothing = [Body::None, Body::Stream(Vec::new(), false)];
        assert!(nothing.contains(&response.body), "{response:?}");
        assert_eq!(response.field("content-type"), kind, "{path}");
        assert_eq!(response.field("content-length"), None);
    }
}

#[test]
fn probes_show_the_state_for_any_host() {
    let mut line = TestConnection::new();
    let ok = json!({"status": "ok", "conditions": []});
    let degraded = |condition: &str| json!({"status": "degraded", "conditions": [condition]});
    let check = |line: &mut TestConnection, health: serde_json::Value| {
        let conditions = &health["conditions"];
        let ready = match conditions.as_array().is_some_and(Vec::is_empty) {
            true => (200, json!({"status": "ready"})),
            false => (
                503,
                json!({"status": "not ready", "conditions": conditions}),
            ),
        };
        let live = (200, json!({"status": "live"}));
        for (path, (status, body)) in [
            ("/live", live.clone()),
            ("/liveness", live.clone()),
            ("/healthz", live),
            ("/ready", ready.clone()),
            ("/readiness?verbose", ready),
            ("/health", (200, health.clone())),
        ] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: 10.9.8.7:80\r\n\r\n");
            line.receive(request.as_bytes());
            let response = line.response();
            assert_eq!(
                (response.status, response.message()),
                (status, &body),
                "{path}"
            );
            assert_eq!(response.field("cache-control"), Some("no-store"));
            let retry = (status == 503).then_some("1");
            assert_eq!(response.field("retry-after"), retry, "{path}");
        }
    };
    check(&mut line, ok.clone());
    line.harness.endpoint.set_out_of_memory(true);
    check(&mut line, degraded("out_of_memory"));
    line.harness.endpoint.set_out_of_memory(false);
    line.harness.endpoint.serve_one_of(2);
    check(&mut line, degraded("throttled"));
    line.harness.endpoint.serve_one_of(1);
    line.pool.output_bytes = line.rules.connection.output_bytes_per_shard_max;
    check(&mut line, degraded("output_full"));
    line.pool.output_bytes = 0;
    check(&mut line, ok);
    *line.readiness.shards_down.get_mut() = 1;
    check(&mut line, degraded("shard_down"));
    *line.readiness.shards_down.get_mut() = 0;
    *line.readiness.is_leaving.get_mut() = true;
    check(&mut line, degraded("draining"));
}

#[test]
fn a_probe_of_http_1_0_needs_no_host_and_a_page_needs_a_right() {
    let mut line = line();
    line.receive(b"GET /ready HTTP/1.0\r\n\r\n");
    assert_eq!(line.response().status, 200);
    let mut line = TestConnection::new();
    let evil = "Host: localhost\r\nOrigin: https://evil.example\r\n";
    let local = "Host: localhost\r\n";
    for (has_probes, request, headers, status) in [
        (true, "GET /ready", evil, 403),
        (true, "DELETE /ready", local, 405),
        (true, "GET /ready/", local, 404),
        (false, "GET /ready", local, 404),
        (false, "GET /ready", "Host: evil.example\r\n", 403),
    ] {
        line.rules.http_settings.has_probes = has_probes;
        let response = answer(&mut line, request, headers);
        assert_eq!(response.status, status, "{has_probes} {request} {headers}");
    }
}

#[test]
fn a_slash_or_a_query_makes_another_path_only_if_the_operator_says_so() {
    for (path, is_exact) in [
        ("/mcp", true),
        ("/v1/mcp", true),
        ("/mcp/", false),
        ("/v1/mcp?key=1", false),
        ("/mcp?", false),
    ] {
        for exact_endpoint in [false, true] {
            let mut line = TestConnection::new();
            let settings = &mut line.rules.http_settings;
            settings.endpoint_paths = vec!["/mcp".to_owned(), "/v1/mcp".to_owned()];
            settings.exact_endpoint = exact_endpoint;
            line.receive(echo("m").replace("/mcp", path).as_bytes());
            let status = if is_exact || !exact_endpoint {
                200
            } else {
                404
            };
            assert_eq!(line.response().status, status, "{path} {exact_endpoint}");
        }
    }
    // Probes take both.
    let mut line = TestConnection::new();
    line.rules.http_settings.exact_endpoint = true;
    line.receive(b"GET /ready?verbose HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(line.response().status, 200);
}

#[test]
fn http2_is_refused_in_http2_and_others_in_http1() {
    for (bytes, is_http2) in [
        (
            &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"[..],
            true,
        ),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", false),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", false),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", false),
    ] {
        let mut line = TestConnection::new();
        line.receive(bytes);
        assert_eq!(line.connection.phase, Phase::Flushing { lingers: true });
        let sent = line.take_sent();
        let is_answer = sent.starts_with(b"HTTP/1.1 400 ");
        assert_eq!(is_answer, !is_http2, "{:?}", String::from_utf8_lossy(&sent));
        if is_http2 {
            assert!(sent.ends_with(b"\x0duse HTTP/1.1"), "{sent:?}");
        }
    }
    // Later on a connection, the same bytes are a malformed request.
    let mut line = TestConnection::new();
    line.receive(echo("m").as_bytes());
    line.receive(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    let statuses: Vec<_> = line.responses().iter().map(|it| it.status).collect();
    assert_eq!(statuses, [200, 505]);
}
