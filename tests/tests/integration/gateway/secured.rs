//! Upstreams with TLS.

use std::sync::Arc;

use corelane_tests::certificates::Authority;
use corelane_tests::mock_upstream::{Act, MockUpstream, Received, result_of};
use corelane_tests::{Request, Setup, wait_until};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};
use serde_json::json;

use super::Gateway;

/// The line of a section with the authority of tests.
fn trusted() -> String {
    format!("ca_files = [{:?}]\n", Authority::shared().file())
}

/// A mock with a certificate for `name` and the tool `call`.
fn mock(
    (name, versions): (&str, &[&'static SupportedProtocolVersion]),
    authority: &Authority,
    call: impl Fn(&Received) -> Act + Send + Sync + 'static,
) -> MockUpstream {
    mock_with(authority.server(name, versions), call)
}

fn mock_with(
    tls: Arc<ServerConfig>,
    call: impl Fn(&Received) -> Act + Send + Sync + 'static,
) -> MockUpstream {
    MockUpstream::start_with(Some(tls), move |received| {
        let message = received.message();
        let result = match message["method"].as_str() {
            Some("server/discover") => json!({
                "resultType": "complete", "supportedVersions": ["2026-07-28"],
                "capabilities": { "tools": {} },
            }),
            Some("tools/list") => json!({
                "resultType": "complete",
                "tools": [{ "name": "call", "inputSchema": { "type": "object" } }],
            }),
            _ => return call(received),
        };
        Act::Send(result_of(received, &result.to_string()))
    })
}

fn echo(received: &Received) -> Act {
    let text = &received.message()["params"]["arguments"]["text"];
    let result = json!({ "resultType": "complete", "content": [{ "type": "text", "text": text }] });
    Act::Send(result_of(received, &result.to_string()))
}

#[test]
fn calls_and_results_of_any_size_go_through_both_versions() {
    for version in [&TLS13, &TLS12] {
        let mock = mock(("127.0.0.1", &[version]), Authority::shared(), echo);
        let gateway = Gateway::start(&(mock.section("up") + &trusted()));
        gateway.wait_for("up_call");
        let mut connection = gateway.connect();
        for bytes in [1, 16_000, 17_000, 300_000] {
            let text = "x".repeat(bytes);
            let call = Request::modern_call("up_call", json!({ "text": text }));
            let answer = connection.exchange(&call).answer();
            let came = &answer["result"]["content"][0]["text"];
            assert_eq!(came.as_str().map(str::len), Some(bytes), "{version:?}");
            assert_eq!(*came, text.as_str());
        }
    }
}

#[test]
fn another_server_of_this_kind_is_an_upstream_with_tls() {
    let upstream = Setup::shards(1).demo("basic").secured().start();
    let address = upstream.address();
    let section = format!("[[upstream]]\nname = \"up\"\nurl = \"https://{address}/mcp\"\n");
    let gateway = Gateway::start(&(section + &trusted()));
    gateway.wait_for("up_add");
    let mut connection = gateway.connect();
    for a in 0..10 {
        let call = Request::modern_call("up_add", json!({ "a": a, "b": 0.5 }));
        let answer = connection.exchange(&call).answer();
        let text = &answer["result"]["content"][0]["text"];
        assert_eq!(*text, format!("{a}.5"), "{answer}");
    }
}

#[test]
fn a_server_with_the_certificate_of_another_one_gets_no_request() {
    let other = Authority::new();
    for (name, authority) in [
        ("127.0.0.1", &other),
        ("other.example", Authority::shared()),
    ] {
        let mock = mock((name, &[&TLS13]), authority, echo);
        let _gateway = Gateway::start(&(mock.section("up") + &trusted()));
        wait_until("it is tried again", || {
            (mock.connections() >= 2).then_some(())
        });
        assert_eq!(mock.received().len(), 0, "{name}");
    }
}

#[test]
fn an_upstream_that_requests_a_certificate_gets_that_of_its_section() {
    let authority = Authority::shared();
    let files = format!(
        "client_cert = {:?}\nclient_key = {:?}\n",
        authority.certificate_file(),
        authority.key_file()
    );
    let mock = mock_with(authority.server_of_clients(), echo);
    let gateway = Gateway::start(&(mock.section("up") + &trusted() + &files));
    gateway.wait_for("up_call");
    let call = Request::modern_call("up_call", json!({ "text": "t" }));
    let answer = gateway.connect().exchange(&call).answer();
    assert_eq!(answer["result"]["content"][0]["text"], "t", "{answer}");
    let refusing = mock_with(authority.server_of_clients(), echo);
    let _gateway = Gateway::start(&(refusing.section("up") + &trusted()));
    wait_until("it is tried again", || {
        (refusing.connections() >= 2).then_some(())
    });
    assert_eq!(refusing.received().len(), 0);
}

#[test]
fn an_answer_whose_end_may_have_been_cut_off_is_none() {
    let mock = mock(("127.0.0.1", &[&TLS13]), Authority::shared(), |received| {
        let id = &received.message()["id"];
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";
        let body = json!({ "jsonrpc": "2.0", "id": id, "result": { "content": [] } });
        Act::SendAndClose(format!("{head}{body}").into_bytes())
    });
    let gateway = Gateway::start(&(mock.section("up") + &trusted()));
    gateway.wait_for("up_call");
    let mut connection = gateway.connect();
    let call = Request::modern_call("up_call", json!({}));
    let answer = connection.exchange(&call).answer();
    let expected = json!({ "upstream": "up", "reason": "closed", "executed": "unknown" });
    assert_eq!(answer["error"]["data"], expected, "{answer}");
    assert_eq!(mock.received_of("tools/call").len(), 1);
}
