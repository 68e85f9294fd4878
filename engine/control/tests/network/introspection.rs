//! Opaque tokens.

use std::sync::mpsc;

use corelane_guard::access::{IssuerRequest, RequestState};
use corelane_guard::token::fault::TokenFault;

use super::issuer::{Host, now_s};
use super::{PATIENCE, Server, configuration, verify, write};

const LINES: &str = "client_id = \"r s\"\nclient_secret_file = \"secret\"\n";

fn start(host: &Host) -> Server {
    let folder = tempfile::tempdir().expect("a folder");
    write(&folder, "secret", "p:w+d\n");
    let lines = format!(
        "introspection_endpoint = \"{}/introspect\"\n{LINES}",
        host.url()
    );
    let limits = corelane_control::config::Limits::default();
    let lookup = corelane_control::fetch::system_lookup();
    Server::start_in(folder, &configuration(&host.url(), &lines), limits, lookup)
}

/// The result for an opaque token, as the key of its principal.
fn introspect(server: &Server, token: &str) -> Result<String, TokenFault> {
    let (sender, replies) = mpsc::channel();
    let state = server.control.issuers().request(IssuerRequest::Introspect {
        issuer: "corp".into(),
        token: token.as_bytes().into(),
        reply: Box::new(move |result| sender.send(result).expect("it is received")),
    });
    assert_eq!(state, RequestState::Pending);
    let result = replies.recv_timeout(PATIENCE).expect("a reply");
    result.map(|verified| verified.identity.principal_key().to_owned())
}

#[test]
fn an_opaque_token_is_introspected_once_for_all() {
    let host = Host::new();
    let exp = now_s() + 600;
    let body = format!(
        r#"{{"active":true,"sub":"alice","aud":"https://mcp.example.com/mcp","exp":{exp}}}"#
    );
    host.answer("/introspect", &body);
    let server = start(&host);
    let access = server.next();
    assert_eq!(
        verify(&access, "opaque+1"),
        Err(TokenFault::NotIntrospected)
    );
    for _ in 0..2 {
        let found = introspect(&server, "opaque+1");
        assert_eq!(found, Ok("introspected:corp:alice".to_owned()));
    }
    let requests = host.requests();
    let [request] = &requests[..] else {
        panic!("{requests:?}");
    };
    assert!(
        request.starts_with("POST /introspect HTTP/1.1\r\n"),
        "{request}"
    );
    let body = "\r\n\r\ntoken=opaque%2B1&token_type_hint=access_token";
    assert!(request.ends_with(body), "{request}");
    // RFC 6749 2.3.1: both are encoded as in forms, before base64.
    use base64::Engine as _;
    let credentials = base64::engine::general_purpose::STANDARD.encode("r+s:p%3Aw%2Bd");
    let field = format!("authorization: Basic {credentials}\r\n");
    assert!(
        request.to_lowercase().contains(&field.to_lowercase()),
        "{request}"
    );
    assert_eq!(
        server.control.counters().introspections_succeeded.value(),
        1
    );
}

#[test]
fn an_inactive_token_and_an_issuer_that_is_away_differ() {
    let host = Host::new();
    host.answer("/introspect", r#"{"active":false}"#);
    let server = start(&host);
    assert_eq!(introspect(&server, "a"), Err(TokenFault::Inactive));
    assert_eq!(introspect(&server, "a"), Err(TokenFault::Inactive));
    assert_eq!(host.count("/introspect"), 1);
    host.answer_raw(
        "/introspect",
        "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(introspect(&server, "b"), Err(TokenFault::KeysUnavailable));
    host.answer(
        "/introspect",
        &format!("{{\"active\":true{}}}", " ".repeat(70_000)),
    );
    assert_eq!(introspect(&server, "b"), Err(TokenFault::KeysUnavailable));
    assert_eq!(server.control.counters().introspections_failed.value(), 2);
    let unknown = server.control.issuers().request(IssuerRequest::Key {
        issuer: "corp".into(),
        kid: None,
    });
    assert_eq!(unknown, RequestState::Refused, "it has no keys");
}
