//! The answers to refused requests: the status, the whole challenge and the whole body, with signed
//! tokens and in both eras.

use std::fs;
use std::net::TcpListener;

use corelane_tests::request::LEGACY;
use corelane_tests::{Request, Response, Server, Setup};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::issuer::{ISSUER, Issuer, METADATA, now_s, with};

const RULES: &str = r#"
[[role]]
name = "reader"
scopes = ["mcp:read"]
[[grant]]
role = "reader"
tools = ["echo"]
[[grant]]
role = "reader"
tools = ["add"]
scopes = ["mcp:read", "mcp:write"]
"#;

/// A server that takes the tokens of an issuer.
struct Protected {
    server: Server,
    issuer: Issuer,
    _directory: TempDir,
}

impl Protected {
    fn start() -> Protected {
        Protected::start_with(
            "scopes_initial = [\"mcp:read\"]",
            "jwks_file = \"keys.json\"",
        )
    }

    fn start_with(auth: &str, keys: &str) -> Protected {
        Protected::start_in("", auth, keys)
    }

    fn start_in(profile: &str, auth: &str, keys: &str) -> Protected {
        let directory = TempDir::new().expect("a directory");
        let issuer = Issuer::new();
        issuer.write_keys(&directory.path().join("keys.json"));
        let path = directory.path().join("corelane.toml");
        let text = format!(
            "[auth]\nresource = \"https://mcp.example.com/mcp\"\n{auth}\n\
             [[auth.issuer]]\nalias = \"test\"\nissuer = \"{ISSUER}\"\n{keys}\n{RULES}"
        );
        fs::write(&path, text).expect("there is space");
        let path = path.to_str().expect("a path of text");
        let server = Setup::shards(1)
            .demo("basic")
            .arguments(&["--config", path])
            .profile(profile)
            .start();
        Protected {
            server,
            issuer,
            _directory: directory,
        }
    }

    /// The answers to a request of each era with this token.
    fn exchange(&self, token: &str) -> [Response; 2] {
        let bearer = format!("Bearer {token}");
        [Request::initialize(LEGACY), call("echo")].map(|it| {
            self.server
                .connect()
                .exchange(&it.field("Authorization", &bearer))
        })
    }
}

fn call(tool: &str) -> Request {
    let arguments = match tool {
        "add" => json!({"a": 1, "b": 2}),
        _ => json!({"message": "hello"}),
    };
    Request::modern_call(tool, arguments)
}

#[track_caller]
fn check(response: &Response, status: u16, challenge: Option<&str>, body: &str) {
    let found = String::from_utf8_lossy(&response.body);
    assert_eq!(
        (
            response.status(),
            response.head.field("WWW-Authenticate"),
            &*found
        ),
        (status, challenge, body)
    );
}

/// The challenge and the body for an invalid token.
fn invalid(text: &str) -> (String, String) {
    let challenge = format!(
        "Bearer error=\"invalid_token\", error_description=\"{text}\", \
         resource_metadata=\"{METADATA}\", scope=\"mcp:read\""
    );
    let error = format!("{{\"code\":-32600,\"message\":\"{text}\"}}");
    (
        challenge,
        format!("{{\"jsonrpc\":\"2.0\",\"error\":{error}}}"),
    )
}

#[test]
fn each_rule_of_tokens_has_its_whole_answer_in_both_eras() {
    const NOT_VALID: &str = "the access token is not valid here";
    const EXPIRED: &str = "the access token has expired";
    const NOT_YET: &str = "the access token is not valid yet";
    let protected = Protected::start();
    let header = Issuer::header;
    let claims = || Issuer::claims("mcp:read");
    let set = |member, value| (header(), with(claims(), member, value));
    let head = |member, value| (with(header(), member, value), claims());
    let now_s = now_s();
    let rows: [(&str, (Value, Value), &str); 17] = [
        ("expired", set("exp", json!(now_s - 61)), EXPIRED),
        ("no expiry", set("exp", Value::Null), NOT_VALID),
        ("not yet valid", set("nbf", json!(now_s + 3600)), NOT_YET),
        ("issued later", set("iat", json!(now_s + 3600)), NOT_YET),
        (
            "wrong audience",
            set("aud", json!("https://other.example.com/mcp")),
            NOT_VALID,
        ),
        (
            "audience of another path",
            set("aud", json!("https://mcp.example.com/mcp/")),
            NOT_VALID,
        ),
        ("no audience", set("aud", Value::Null), NOT_VALID),
        (
            "wrong issuer",
            set("iss", json!("https://other.example.com")),
            NOT_VALID,
        ),
        (
            "issuer with a slash",
            set("iss", json!(format!("{ISSUER}/"))),
            NOT_VALID,
        ),
        ("no subject", set("sub", Value::Null), NOT_VALID),
        ("wrong type", head("typ", json!("JWT")), NOT_VALID),
        ("identity token", head("typ", json!("id+jwt")), NOT_VALID),
        ("alg none", head("alg", json!("none")), NOT_VALID),
        ("alg HS256", head("alg", json!("HS256")), NOT_VALID),
        ("unknown key", head("kid", json!("k2")), NOT_VALID),
        ("critical", head("crit", json!(["b64"])), NOT_VALID),
        (
            "bound to a key",
            set(
                "cnf",
                json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}),
            ),
            NOT_VALID,
        ),
    ];
    for (row, (header, claims), text) in rows {
        let token = protected.issuer.sign(&header, &claims);
        let (challenge, body) = invalid(text);
        for response in protected.exchange(&token) {
            println!("{row}");
            check(&response, 401, Some(&challenge), &body);
        }
    }
    // The control: the same token without a fault.
    for response in protected.exchange(&protected.issuer.token("mcp:read")) {
        assert_eq!(response.status(), 200, "{response:?}");
    }
}

#[test]
fn the_profile_sets_how_long_an_expired_token_is_still_taken() {
    for (profile, status) in [("", 200), ("[auth]\nleeway_s = 0", 401)] {
        let protected = Protected::start_in(profile, "", "jwks_file = \"keys.json\"");
        let claims = with(Issuer::claims("mcp:read"), "exp", json!(now_s() - 5));
        let token = protected.issuer.sign(&Issuer::header(), &claims);
        for response in protected.exchange(&token) {
            assert_eq!(response.status(), status, "{profile}: {response:?}");
        }
    }
}

#[test]
fn a_signature_of_another_key_or_none_is_refused_like_any_bad_token() {
    let protected = Protected::start();
    let token = protected.issuer.token("mcp:read");
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    let (header, claims) = signed.split_once('.').expect("three parts");
    let stranger = Issuer::new().token("mcp:read");
    let other_claims = Issuer::new().token("mcp:read mcp:admin");
    let (other_signed, _) = other_claims.rsplit_once('.').expect("three parts");
    let unsigned = protected.issuer.sign(
        &json!({"alg": "none", "typ": "at+jwt"}),
        &Issuer::claims("mcp:read"),
    );
    let (unsigned, _) = unsigned.rsplit_once('.').expect("three parts");
    let (challenge, body) = invalid("the access token is not valid here");
    for token in [
        stranger.clone(),
        format!("{other_signed}.{signature}"),
        format!("{signed}."),
        format!("{unsigned}."),
        format!("{header}.{claims}"),
        format!("{token}.{signature}"),
        format!("{token}=="),
    ] {
        for response in protected.exchange(&token) {
            check(&response, 401, Some(&challenge), &body);
        }
    }
}

#[test]
fn missing_scopes_of_an_entry_are_named_all_at_once_in_both_eras() {
    let protected = Protected::start();
    let bearer = format!("Bearer {}", protected.issuer.token("mcp:read"));
    let challenge = format!(
        "Bearer error=\"insufficient_scope\", scope=\"mcp:read mcp:write\", \
         resource_metadata=\"{METADATA}\", error_description=\"the access token lacks a scope\""
    );
    let body = |id: u32| {
        format!(
            "{{\"jsonrpc\":\"2.0\",\"error\":{{\"code\":-32600,\
             \"message\":\"the access token lacks a scope\",\
             \"data\":{{\"error\":\"insufficient_scope\",\"scope\":\"mcp:read mcp:write\"}}}},\
             \"id\":{id}}}"
        )
    };
    let mut connection = protected.server.connect();
    let modern = connection.exchange(&call("add").field("Authorization", &bearer));
    check(&modern, 403, Some(&challenge), &body(1));
    let started = Request::initialize(LEGACY).field("Authorization", &bearer);
    let started = connection.exchange(&started);
    let session = started.head.field("MCP-Session-Id").expect("a session");
    let message = json!({
        "jsonrpc": "2.0", "id": 7, "method": "tools/call",
        "params": {"name": "add", "arguments": {"a": 1, "b": 2}},
    });
    let legacy = Request::legacy(&message)
        .field("MCP-Session-Id", session)
        .field("Authorization", &bearer);
    check(
        &connection.exchange(&legacy),
        403,
        Some(&challenge),
        &body(7),
    );
    // With the scopes the same call is served.
    let bearer = format!("Bearer {}", protected.issuer.token("mcp:read mcp:write"));
    let served = connection.exchange(&call("add").field("Authorization", &bearer));
    assert_eq!(
        served.json()["result"]["isError"],
        Value::Null,
        "{served:?}"
    );
    assert!(served.json()["result"]["content"].is_array(), "{served:?}");
}

#[test]
fn missing_scopes_of_the_endpoint_are_named_before_the_message_is_read() {
    let auth = "scopes_initial = [\"mcp:read\"]\nscopes_required = [\"mcp:use\", \"mcp:read\"]";
    let protected = Protected::start_with(auth, "jwks_file = \"keys.json\"");
    let challenge = format!(
        "Bearer error=\"insufficient_scope\", scope=\"mcp:use mcp:read\", \
         resource_metadata=\"{METADATA}\", error_description=\"the access token lacks a scope\""
    );
    let body = "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32600,\
                \"message\":\"the access token lacks a scope\",\
                \"data\":{\"error\":\"insufficient_scope\",\"scope\":\"mcp:use mcp:read\"}}}";
    for response in protected.exchange(&protected.issuer.token("mcp:read")) {
        check(&response, 403, Some(&challenge), body);
    }
    for response in protected.exchange(&protected.issuer.token("mcp:read mcp:use")) {
        assert_eq!(response.status(), 200, "{response:?}");
    }
}

#[test]
fn a_role_that_the_endpoint_does_not_allow_is_denied_without_a_challenge() {
    let auth = "roles_allowed = [\"reader\"]\nscopes_required = [\"mcp:use\"]";
    let protected = Protected::start_with(auth, "jwks_file = \"keys.json\"");
    let body = "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32600,\
                \"message\":\"access is denied\",\"data\":{\"error\":\"access_denied\"}}}";
    for response in protected.exchange(&protected.issuer.token("mcp:use")) {
        check(&response, 403, None, body);
    }
    for response in protected.exchange(&protected.issuer.token("mcp:read mcp:use")) {
        assert_eq!(response.status(), 200, "{response:?}");
    }
}

#[test]
fn without_the_keys_of_the_issuer_its_tokens_get_503_and_a_time_to_retry() {
    // Takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let issuer = format!("http://{}", silent.local_addr().expect("an address"));
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("corelane.toml");
    let text = format!(
        "[auth]\nresource = \"https://mcp.example.com/mcp\"\nscopes_initial = [\"mcp:read\"]\n\
         [[auth.issuer]]\nalias = \"test\"\nissuer = \"{issuer}\"\n{RULES}"
    );
    fs::write(&path, text).expect("there is space");
    let path = path.to_str().expect("a path of text");
    let server = Setup::shards(1)
        .demo("basic")
        .arguments(&["--config", path])
        .start();
    let claims = with(Issuer::claims("mcp:read"), "iss", json!(issuer));
    let token = Issuer::new().sign(&Issuer::header(), &claims);
    let body = "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32603,\
                \"message\":\"authorization is unavailable\",\
                \"data\":{\"error\":\"authorization_unavailable\"}}}";
    for request in [Request::initialize(LEGACY), call("echo")] {
        let request = request.field("Authorization", &format!("Bearer {token}"));
        let response = server.connect().exchange(&request);
        check(&response, 503, None, body);
        assert_eq!(response.head.field("Retry-After"), Some("5"));
    }
    drop(silent);
}

#[test]
fn a_hidden_entry_and_a_foreign_session_are_answered_like_unknown_ones() {
    let protected = Protected::start();
    let bearer = format!("Bearer {}", protected.issuer.token("mcp:read"));
    let mut connection = protected.server.connect();
    let mut body_of = |tool: &str| {
        let request = Request::modern_call(tool, json!({})).field("Authorization", &bearer);
        let response = connection.exchange(&request);
        assert_eq!(response.head.field("WWW-Authenticate"), None);
        let body = String::from_utf8_lossy(&response.body).replace(tool, "NAME");
        (response.status(), body)
    };
    assert_eq!(body_of("greet"), body_of("no_such_tool"));
    // Bob has a valid token, and Ann's session is none to him.
    let started = Request::initialize(LEGACY).field("Authorization", &bearer);
    let started = connection.exchange(&started);
    let session = started.head.field("MCP-Session-Id").expect("a session");
    let claims = with(Issuer::claims("mcp:read"), "sub", json!("bob"));
    let bob = protected.issuer.sign(&Issuer::header(), &claims);
    let list = |session: &str, bearer: &str| {
        let message = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"});
        Request::legacy(&message)
            .field("MCP-Session-Id", session)
            .field("Authorization", bearer)
    };
    let bob = format!("Bearer {bob}");
    let foreign = connection.exchange(&list(session, &bob));
    let mut unknown: Vec<char> = session.chars().collect();
    let last = unknown.last_mut().expect("an id");
    *last = if *last == '0' { '1' } else { '0' };
    let unknown: String = unknown.into_iter().collect();
    let absent = connection.exchange(&list(&unknown, &bob));
    assert_eq!(foreign.status(), 404);
    assert_eq!(
        (foreign.status(), &foreign.body),
        (absent.status(), &absent.body)
    );
    let own = connection.exchange(&list(session, &bearer));
    assert_eq!(own.status(), 200);
}
