//! Access control on connections of HTTP: credentials, scopes, and entries that are hidden.

use std::sync::{Arc, Mutex};

use corelane_protocol::framing::http1::RequestHead;
use corelane_protocol::limits::HttpLimits;
use serde_json::json;

use super::response::Response;
use super::test_connection::{KEY, TestConnection, call, post, text_of};
use super::websocket::handshake;
use crate::access::{AccessBoard, AccessControl, TokenLimits, Tokens};
use crate::connection::http::{Connection, Phase};
use crate::guard::access::{
    Access, EndpointAccess, IssuerRequest, Issuers, Metadata, RequestState,
};
use crate::guard::api_key::{self, ApiKey, ApiKeys};
use crate::guard::holder::Holders;
use crate::guard::identity::{Identity, Method};
use crate::guard::network::Networks;
use crate::guard::peer::KnownPeer;
use crate::guard::policy::Policy;
use crate::guard::principal::PrincipalHeader;
use crate::guard::proxies::TrustedProxies;
use crate::guard::refusal::{Challenge, Refusal};
use crate::guard::token::verify::Verifier;
use crate::mcp::tests::test_endpoint::{initialize, request};
use crate::profile::{Auth, ClientLimits};

const POLICY: &str = r#"
    [[auth.api_key]]
    id = "reader"
    roles = ["reader"]
    scopes = ["mcp:read"]
    [[role]]
    name = "reader"
    claim_roles = ["reader"]
    [[role]]
    name = "proxied"
    methods = ["proxy_header"]
    [[grant]]
    role = "reader"
    tools = ["echo", "list"]
    [[grant]]
    role = "reader"
    tools = ["fails"]
    scopes = ["mcp:read", "mcp:write"]
    [[grant]]
    role = "proxied"
    tools = ["echo"]
"#;
const METADATA_URL: &str = "https://h.example/.well-known/oauth-protected-resource/mcp";

/// Remembers the requests to issuers, and gives each the same state.
#[derive(Debug)]
pub(super) struct FixedIssuers {
    pub(super) state: RequestState,
    pub(super) requests: Mutex<Vec<String>>,
}

impl FixedIssuers {
    pub(super) fn new(state: RequestState) -> FixedIssuers {
        let requests = Mutex::default();
        FixedIssuers { state, requests }
    }
}

impl Issuers for FixedIssuers {
    fn request(&self, request: IssuerRequest) -> RequestState {
        let text = match request {
            IssuerRequest::Key { issuer, kid } => format!("{issuer} {kid:?}"),
            IssuerRequest::Introspect { issuer, .. } => format!("{issuer} introspect"),
        };
        self.requests.lock().expect("no panic").push(text);
        self.state
    }
}

/// A second before which the key is valid.
const EXPIRES_S: u64 = 1_000;

/// A connection with access control, and a key of the role "reader".
pub(super) fn guarded(change: impl FnOnce(&mut Access)) -> (TestConnection, String) {
    guarded_with(Arc::new(FixedIssuers::new(RequestState::Refused)), change)
}

/// The same with other issuers.
pub(super) fn guarded_with(
    issuers: Arc<dyn Issuers>,
    change: impl FnOnce(&mut Access),
) -> (TestConnection, String) {
    let (key, sha256) = api_key::create("reader", &[7; 32]).expect("an id");
    let keys = ApiKeys::new([ApiKey {
        id: "reader".into(),
        sha256,
        roles: vec!["reader".into()],
        scopes: vec!["mcp:read".into()],
        expires_s: Some(EXPIRES_S),
        ..ApiKey::default()
    }]);
    let policy = Arc::new(Policy::parse(POLICY).expect("valid"));
    let challenge = Challenge::new(Some(METADATA_URL), &["mcp:read"]).expect("valid");
    let mut access = Access {
        generation: 1,
        configuration: 1,
        requires_credential: true,
        verifier: Verifier::new(Arc::clone(&policy)).with_api_keys(Arc::new(keys.expect("valid"))),
        policy: Arc::clone(&policy),
        endpoints: Arc::new([EndpointAccess {
            path: "/mcp".into(),
            challenge,
            metadata: Some(Metadata {
                paths: vec!["/.well-known/oauth-protected-resource/mcp".into()],
                body: br#"{"resource":"https://h.example/mcp"}"#.as_slice().into(),
            }),
            ..EndpointAccess::default()
        }]),
        trusted_proxies: TrustedProxies::default(),
        limits: Arc::default(),
    };
    change(&mut access);
    let board = AccessBoard::default();
    board.set_issuers(issuers);
    board.publish(Arc::new(access));
    let limits = TokenLimits::of(&Auth::default(), &ClientLimits::default());
    let tokens = Tokens::new(Arc::new(board), limits, Arc::new(|| {}));
    let mut line = TestConnection::new();
    let header = Some(PrincipalHeader::new("x-user"));
    line.access = AccessControl::new(header, Networks::default(), Some(tokens));
    line.peers.insert(KEY.index, peer_at("127.0.0.1"));
    line.harness.endpoint.handle_policy(policy, 1);
    let limits = line.access.limits().expect("access control is configured");
    line.harness.endpoint.handle_limits(Arc::clone(limits));
    (line, format!("Authorization: Bearer {key}\r\n"))
}

/// A peer with this address.
fn peer_at(address: &str) -> KnownPeer {
    KnownPeer {
        address: Some(address.parse().expect("an address")),
        ..KnownPeer::default()
    }
}

/// A peer on this host whose requests count for this source.
pub(super) fn peer_of(source: &str) -> KnownPeer {
    KnownPeer {
        holder: Holders::default().of_principal(source),
        ..peer_at("127.0.0.1")
    }
}

#[track_caller]
pub(super) fn send(line: &mut TestConnection, request: &str) -> Response {
    line.receive(request.as_bytes());
    line.response()
}

/// The id of a session that a client with these header lines opens.
#[track_caller]
pub(super) fn open_session(line: &mut TestConnection, headers: &str) -> String {
    let started = send(line, &post(headers, &initialize("2025-11-25")));
    let session = started.field("mcp-session-id").expect("a session");
    session.to_owned()
}

/// The status, the challenge and the body of an answer.
fn parts(response: &Response) -> (u16, Option<String>, String) {
    let challenge = response.field("www-authenticate").map(str::to_owned);
    (response.status, challenge, response.message().to_string())
}

#[test]
fn a_request_without_a_credential_is_challenged_on_every_verb() {
    let (mut line, _) = guarded(|_| {});
    let challenge = format!("Bearer resource_metadata=\"{METADATA_URL}\", scope=\"mcp:read\"");
    let body = "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32600,\
                \"message\":\"an access token is required\"}}";
    let expected = (401, Some(challenge), body.to_owned());
    let bare = |verb: &str| format!("{verb} /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n");
    for request in [
        call("", "echo", json!({"message": "m"})),
        call("Authorization: Basic YTpi\r\n", "echo", json!({})),
        post("", &initialize("2025-11-25")),
        bare("GET"),
        bare("DELETE"),
        bare("PATCH"),
    ] {
        assert_eq!(parts(&send(&mut line, &request)), expected, "{request}");
    }
}

#[test]
fn credentials_that_are_malformed_or_bad_are_refused_in_any_mode() {
    for is_required in [true, false] {
        let (mut line, key) = guarded(|access| access.requires_credential = is_required);
        for (headers, status, error) in [
            (key.repeat(2), 400, "invalid_request"),
            (
                "Authorization: Bearer\r\n".to_owned(),
                400,
                "invalid_request",
            ),
            (
                "Authorization: Bearer a.b.c\r\n".to_owned(),
                401,
                "invalid_token",
            ),
            (
                key.replacen("clk_reader_", "clk_reader_A", 1),
                401,
                "invalid_token",
            ),
        ] {
            let response = send(&mut line, &call(&headers, "echo", json!({"message": "m"})));
            let (found, challenge, _) = parts(&response);
            let challenge = challenge.expect("a challenge");
            let start = format!("Bearer error=\"{error}\", ");
            assert!(
                found == status && challenge.starts_with(&start),
                "{headers}: {challenge}"
            );
        }
    }
}

#[test]
fn a_hidden_entry_is_answered_like_an_unknown_one() {
    let (mut line, key) = guarded(|_| {});
    let response = send(&mut line, &call(&key, "echo", json!({"message": "m"})));
    assert_eq!(text_of(&response), "m");
    let hidden = parts(&send(&mut line, &call(&key, "refuses", json!({}))));
    let unknown = parts(&send(&mut line, &call(&key, "refuse_", json!({}))));
    assert_eq!(hidden.0, 200);
    assert_eq!(hidden.2.replace("refuses", "refuse_"), unknown.2);
    assert_eq!((hidden.0, &hidden.1), (unknown.0, &unknown.1));
}

#[test]
fn an_entry_that_needs_more_scopes_names_all_of_them() {
    let (mut line, key) = guarded(|_| {});
    let expected = format!(
        "Bearer error=\"insufficient_scope\", scope=\"mcp:read mcp:write\", \
         resource_metadata=\"{METADATA_URL}\", \
         error_description=\"the access token lacks a scope\""
    );
    let modern = send(&mut line, &call(&key, "fails", json!({})));
    let session = open_session(&mut line, &key);
    let headers = format!("{key}MCP-Session-Id: {session}\r\n");
    let params = json!({"name": "fails", "arguments": {}});
    let legacy = send(
        &mut line,
        &post(&headers, &request(1, "tools/call", params)),
    );
    for response in [modern, legacy] {
        assert_eq!(response.status, 403);
        assert_eq!(response.field("www-authenticate"), Some(&*expected));
        let error = &response.message()["error"];
        let data = json!({"error": "insufficient_scope", "scope": "mcp:read mcp:write"});
        assert_eq!((&error["code"], &error["data"]), (&json!(-32600), &data));
        assert_eq!(response.message()["id"], 1);
    }
}

#[test]
fn lists_have_the_entries_that_their_client_may_use_or_acquire() {
    let (mut line, key) = guarded(|access| access.requires_credential = false);
    let names = |line: &mut TestConnection, headers: &str| {
        let session = open_session(line, headers);
        let headers = format!("{headers}MCP-Session-Id: {session}\r\n");
        let listed = send(line, &post(&headers, &request(1, "tools/list", json!({}))));
        let tools = listed.message()["result"]["tools"].as_array().cloned();
        let tools = tools.expect("a list").into_iter();
        tools
            .map(|tool| tool["name"].as_str().expect("a name").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&mut line, &key), ["echo", "list", "fails"]);
    assert_eq!(names(&mut line, "X-User: ann\r\n"), ["echo"]);
    assert!(names(&mut line, "").is_empty());
}

#[test]
fn the_session_of_a_principal_is_unknown_to_one_of_another_method() {
    let (mut line, key) = guarded(|_| {});
    let session = open_session(&mut line, &key);
    let ping = request(1, "ping", json!({}));
    for (credential, status) in [(&*key, 200), ("X-User: reader\r\n", 404), ("", 401)] {
        let headers = format!("{credential}MCP-Session-Id: {session}\r\n");
        assert_eq!(
            send(&mut line, &post(&headers, &ping)).status,
            status,
            "{credential}"
        );
    }
    // A credential wins over the name that a proxy gives.
    let both = format!("{key}X-User: ann\r\nMCP-Session-Id: {session}\r\n");
    assert_eq!(send(&mut line, &post(&both, &ping)).status, 200);
}

#[test]
fn metadata_is_public_and_nothing_of_it_is_from_the_request() {
    let (mut line, _) = guarded(|_| {});
    let target = "/.well-known/oauth-protected-resource/mcp";
    let get = |headers: &str| format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    for headers in [
        "",
        "Origin: https://evil.example\r\n",
        "X-Forwarded-Host: evil.example\r\n",
    ] {
        let response = send(&mut line, &get(headers));
        assert_eq!(response.status, 200, "{headers}");
        assert_eq!(
            response.message(),
            &json!({"resource": "https://h.example/mcp"})
        );
        assert_eq!(response.field("cache-control"), Some("max-age=300"));
        assert_eq!(response.field("access-control-allow-origin"), Some("*"));
    }
    for path in ["/", "/mcp/", "/MCP", "/mcp/x", ""] {
        let path = format!("/.well-known/oauth-protected-resource{path}");
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(send(&mut line, &request).status, 404, "{path}");
    }
    let posted = format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(send(&mut line, &posted).status, 405);
}

#[test]
fn only_a_trusted_proxy_names_principals() {
    let proxies = TrustedProxies::new("trusted_proxies", &["10.0.0.0/8".to_owned()]);
    let proxies = proxies.expect("valid");
    let (mut line, key) = guarded(|access| access.trusted_proxies = proxies);
    let echo = |headers: &str| call(headers, "echo", json!({"message": "m"}));
    for (address, status) in [("10.1.2.3", 200), ("192.0.2.1", 400)] {
        line.peers.insert(KEY.index, peer_at(address));
        assert_eq!(
            send(&mut line, &echo("X-User: ann\r\n")).status,
            status,
            "{address}"
        );
        assert_eq!(send(&mut line, &echo(&key)).status, 200);
    }
    // Until the peer is known, the request waits.
    line.peers.clear();
    line.receive(echo("X-User: ann\r\n").as_bytes());
    assert!(line.take_sent().is_empty());
    assert_eq!(line.effects.postponed.len(), 1);
}

#[test]
fn without_a_list_only_peers_on_this_host_name_principals() {
    let (mut line, _) = guarded(|_| {});
    let echo = call("X-User: ann\r\n", "echo", json!({"message": "m"}));
    let unix = KnownPeer {
        is_unix: true,
        ..KnownPeer::default()
    };
    for (peer, status) in [
        (peer_at("127.0.0.1"), 200),
        (peer_at("::1"), 200),
        (unix, 200),
        (peer_at("192.0.2.1"), 400),
        (KnownPeer::default(), 400),
    ] {
        line.peers.insert(KEY.index, peer.clone());
        assert_eq!(send(&mut line, &echo).status, status, "{peer:?}");
    }
}

#[test]
fn another_scheme_is_not_served_as_anonymous() {
    let (mut line, _) = guarded(|access| access.requires_credential = false);
    let ping = |headers: &str| post(headers, &initialize("2025-11-25"));
    assert_eq!(send(&mut line, &ping("")).status, 200);
    for scheme in ["Basic YTpi", "DPoP a.b.c", "Bearers a"] {
        let response = send(&mut line, &ping(&format!("Authorization: {scheme}\r\n")));
        let (status, challenge, _) = parts(&response);
        let challenge = challenge.expect("a challenge");
        assert!(
            status == 401 && challenge.starts_with("Bearer resource_metadata="),
            "{challenge}"
        );
    }
}

#[test]
fn a_token_is_for_the_endpoints_of_its_audience() {
    let identity = |endpoints: Option<&[usize]>| {
        let mut identity = Identity::new(Method::Jwt, "corp", "ann");
        identity.endpoints = endpoints.map(|places| places.iter().copied().collect());
        identity
    };
    let (line, _) = guarded(|access| {
        let endpoint = |path: &str| EndpointAccess {
            path: path.into(),
            ..EndpointAccess::default()
        };
        access.endpoints = Arc::new([endpoint("/mcp"), endpoint("/admin")]);
    });
    let refusal_at = |path: &str, identity: &Identity| {
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let head = RequestHead::parse(head.as_bytes(), &HttpLimits::DEFAULT).expect("a head");
        line.access.refusal_at(&head, None, Some(identity))
    };
    for (endpoints, path, is_refused) in [
        (None, "/admin", false),
        (Some(&[0, 1][..]), "/admin", false),
        (Some(&[1]), "/admin/", false),
        (Some(&[1]), "/mcp", true),
        (Some(&[0]), "/admin", true),
        (Some(&[0]), "/mcp", false),
    ] {
        let refusal = refusal_at(path, &identity(endpoints));
        let expected = is_refused.then_some(Refusal::InvalidToken);
        assert_eq!(refusal, expected, "{endpoints:?} {path}");
    }
}

/// The texts that the server sent on a stream.
fn sent_text(line: &mut TestConnection) -> String {
    String::from_utf8_lossy(&line.take_sent()).into_owned()
}

#[test]
fn streams_end_a_while_after_their_credential() {
    let (mut line, key) = guarded(|_| {});
    let session = open_session(&mut line, &key);
    let get = format!(
        "GET /mcp HTTP/1.1\r\nHost: localhost\r\n{key}MCP-Session-Id: {session}\r\n\
         Accept: text/event-stream\r\n\r\n"
    );
    line.receive(get.as_bytes());
    assert!(sent_text(&mut line).starts_with("HTTP/1.1 200 "));
    for now_s in [EXPIRES_S - 1, EXPIRES_S, EXPIRES_S + 59] {
        line.access.begin_turn(0, || now_s);
        line.step(Connection::keep_alive);
        assert!(sent_text(&mut line).contains(": keep-alive"), "{now_s}");
        assert_eq!(line.connection.phase, Phase::Streaming);
    }
    line.access.begin_turn(0, || EXPIRES_S + 60);
    line.step(Connection::keep_alive);
    let end = sent_text(&mut line);
    assert!(
        end.contains("retry: 1000") && end.ends_with("0\r\n\r\n"),
        "{end}"
    );
    assert_eq!(line.connection.phase, Phase::Idle);
    // The key itself is refused from its end on.
    assert_eq!(send(&mut line, &get).status, 401);
}

#[test]
fn a_websocket_is_closed_a_while_after_the_credential_of_its_handshake() {
    let (mut line, key) = guarded(|_| {});
    line.receive(handshake(&key).as_bytes());
    assert!(sent_text(&mut line).starts_with("HTTP/1.1 101 "));
    line.access.begin_turn(0, || EXPIRES_S + 59);
    line.step(Connection::ping);
    assert_eq!(line.take_sent(), b"\x89\0");
    line.access.begin_turn(0, || EXPIRES_S + 60);
    line.step(Connection::ping);
    let closed = line.take_sent();
    // A close frame with code 1008.
    assert!(
        closed.starts_with(b"\x88") && closed[2..4] == 1008u16.to_be_bytes(),
        "{closed:?}"
    );
    assert_eq!(line.connection.phase, Phase::Flushing { lingers: true });
}

#[test]
fn a_websocket_is_closed_when_its_credential_is_withdrawn() {
    fn needs_more_scopes(access: &mut Access) {
        access.endpoints = Arc::new([EndpointAccess {
            path: "/mcp".into(),
            scopes: vec!["mcp:write".into()],
            scope_bits: access.policy.scopes_of(["mcp:write"]),
            ..EndpointAccess::default()
        }]);
    }
    let without_key = |access: &mut Access| access.verifier = Verifier::new(Arc::default());
    for (present, start) in [
        (guarded(|_| {}), b"\x89"),
        (guarded(without_key), b"\x88"),
        (guarded(needs_more_scopes), b"\x88"),
    ] {
        let (mut line, key) = guarded(|_| {});
        line.receive(handshake(&key).as_bytes());
        assert!(sent_text(&mut line).starts_with("HTTP/1.1 101 "));
        line.access = present.0.access;
        line.step(Connection::ping);
        let sent = line.take_sent();
        assert!(sent.starts_with(start), "{sent:?}");
    }
}
