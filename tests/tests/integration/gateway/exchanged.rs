//! Tokens of clients that are exchanged for others (RFC 8693), in front of a strict authorization
//! server.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use corelane_tests::mock_upstream::{Act, MockUpstream, Received, json_answer, result_of};
use corelane_tests::{Connection, Request, Response, Server, wait_until};
use serde_json::{Value, json};

use crate::access_file::AccessFile;
use crate::issuer::{ISSUER, Issuer, with};

const RULES: &str = r#"
[[role]]
name = "all"
methods = ["jwt", "api_key"]
[[grant]]
role = "all"
tools = ["*"]
"#;

/// Of the gateway itself, for the lists.
const SERVICE: &str = "Bearer service";

/// An authorization server that exchanges the tokens of known users: the one of user "ann" for
/// "ann-1", "ann-2" and so on.
struct Exchanger {
    mock: MockUpstream,
    users: Arc<Mutex<HashMap<String, &'static str>>>,
    exchanged: Arc<AtomicUsize>,
    is_away: Arc<AtomicBool>,
}

impl Exchanger {
    fn start(life_s: u64, resource: impl Fn() -> String + Send + Sync + 'static) -> Exchanger {
        let users = Arc::<Mutex<HashMap<String, &'static str>>>::default();
        let exchanged = Arc::<AtomicUsize>::default();
        let is_away = Arc::<AtomicBool>::default();
        let (known, count, away) = (
            Arc::clone(&users),
            Arc::clone(&exchanged),
            Arc::clone(&is_away),
        );
        let mock = MockUpstream::start(move |received| {
            assert!(received.head.starts_with("POST /token "), "{received:?}");
            let client = received.field("authorization");
            assert_eq!(client, Some("Basic Z2F0ZTpzM2NyZXQ="), "gate:s3cret");
            let form: HashMap<String, String> = form_of(&received.body);
            let grant_type = form["grant_type"].as_str();
            if grant_type == "client_credentials" {
                let token = json!({ "access_token": "service", "token_type": "Bearer" });
                return Act::Send(json_answer(&token.to_string()));
            }
            if away.load(Ordering::Relaxed) {
                return Act::Reset;
            }
            let prefix = "urn:ietf:params:oauth:";
            let expected = [
                ("grant_type", format!("{prefix}grant-type:token-exchange")),
                (
                    "subject_token_type",
                    format!("{prefix}token-type:access_token"),
                ),
                (
                    "requested_token_type",
                    format!("{prefix}token-type:access_token"),
                ),
                ("resource", resource()),
                ("scope", "files".to_owned()),
            ];
            for (name, value) in &expected {
                assert_eq!(form.get(*name), Some(value), "{name}");
            }
            assert_eq!(form.len(), 6, "{:?}", form.keys());
            let known = known.lock().expect("no test panics with it");
            let Some(user) = known.get(&form["subject_token"]) else {
                let text = r#"{"error":"invalid_grant"}"#;
                let head = format!(
                    "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n\
                     Content-Length: {}\r\n\r\n{text}",
                    text.len()
                );
                return Act::Send(head.into_bytes());
            };
            let number = count.fetch_add(1, Ordering::Relaxed) + 1;
            let token = json!({
                "access_token": format!("{user}-{number}"), "token_type": "Bearer",
                "issued_token_type": format!("{prefix}token-type:access_token"),
                "expires_in": life_s,
            });
            Act::Send(json_answer(&token.to_string()))
        });
        Exchanger {
            mock,
            users,
            exchanged,
            is_away,
        }
    }

    fn know(&self, token: &str, user: &'static str) {
        let mut users = self.users.lock().expect("no test panics with it");
        users.insert(token.to_owned(), user);
    }

    fn exchanged(&self) -> usize {
        self.exchanged.load(Ordering::Relaxed)
    }
}

fn form_of(body: &str) -> HashMap<String, String> {
    let pairs = body.split('&').map(|pair| {
        let (name, value) = pair.split_once('=').expect("a pair");
        let mut bytes = Vec::new();
        let mut rest = value.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            match first {
                b'%' => {
                    let digits = std::str::from_utf8(&rest[..2]).expect("digits");
                    bytes.push(u8::from_str_radix(digits, 16).expect("digits"));
                    rest = &rest[2..];
                }
                b'+' => bytes.push(b' '),
                other => bytes.push(*other),
            }
        }
        (name.to_owned(), String::from_utf8(bytes).expect("text"))
    });
    pairs.collect()
}

/// A gateway in front of an upstream that takes a token of each user.
struct Guarded {
    server: Server,
    file: AccessFile,
    issuer: Issuer,
    exchanger: Exchanger,
    upstream: MockUpstream,
    /// Tokens that the upstream does not take.
    refused: Arc<Mutex<Vec<String>>>,
}

fn refusal() -> Act {
    let head = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
    Act::Send(head.as_bytes().to_vec())
}

impl Guarded {
    fn start(shards: usize, life_s: u64, is_legacy: bool) -> Guarded {
        let refused = Arc::<Mutex<Vec<String>>>::default();
        let of_mock = Arc::clone(&refused);
        let upstream = MockUpstream::start(move |received| {
            let bearer = received.field("authorization").unwrap_or_default();
            let refused = of_mock.lock().expect("no test panics with it");
            if bearer.is_empty() || refused.iter().any(|it| it == bearer) {
                return refusal();
            }
            match is_legacy {
                true => legacy_answer(received, bearer),
                false => modern_answer(received, bearer),
            }
        });
        let resource = format!("http://{}/mcp", upstream.address());
        let exchanger = Exchanger::start(life_s, move || resource.clone());
        let era = if is_legacy { "legacy" } else { "modern" };
        let section = upstream.section("up");
        let file = AccessFile::new(RULES);
        let secret = file.directory.path().join("secret");
        std::fs::write(&secret, "s3cret").expect("there is space");
        let issuer = Issuer::new();
        issuer.write_keys(&file.directory.path().join("keys.json"));
        let text = file.text().replacen(
            "[[auth.api_key]]",
            &format!(
                "[[auth.issuer]]\nalias = \"test\"\nissuer = \"{ISSUER}\"\n\
                 jwks_file = \"keys.json\"\n[[auth.api_key]]"
            ),
            1,
        );
        file.write(&format!(
            "{text}{section}era = \"{era}\"\ncredential = {{ kind = \"token_exchange\", \
             client_id = \"gate\", client_secret = \"file:{}\", scopes = [\"files\"], \
             token_url = \"http://{}/token\" }}\n",
            secret.display(),
            exchanger.mock.address()
        ));
        let server = file.setup(shards).start();
        Guarded {
            server,
            file,
            issuer,
            exchanger,
            upstream,
            refused,
        }
    }

    /// A token of a user, which the authorization server knows.
    fn token(&self, user: &'static str) -> String {
        let claims = with(Issuer::claims("x"), "sub", json!(user));
        let token = self.issuer.sign(&Issuer::header(), &claims);
        self.exchanger.know(&token, user);
        token
    }

    fn refuse(&self, bearer: &str) {
        let mut refused = self.refused.lock().expect("no test panics with it");
        refused.push(bearer.to_owned());
    }

    /// Waits until the tool of the upstream is listed.
    fn wait(&self, token: &str) {
        let mut connection = self.server.connect();
        wait_until("the tool is listed", || {
            let list = Request::modern("list", "tools/list", json!({}));
            let answer = connection.exchange(&signed(list, token)).answer();
            answer["result"]["tools"]
                .as_array()
                .is_some_and(|tools| tools.iter().any(|tool| tool["name"] == "up_call"))
                .then_some(())
        });
    }

    /// The bearers of all requests to the upstream of one method.
    fn bearers(&self, method: &str) -> Vec<String> {
        let received = self.upstream.received_of(method);
        let bearers = received.iter().map(|it| {
            let bearer = it.field("authorization").expect("a credential");
            bearer.to_owned()
        });
        bearers.collect()
    }
}

/// A server of the modern era, which names its caller.
fn modern_answer(received: &Received, bearer: &str) -> Act {
    let message = received.message();
    let result = match message["method"].as_str() {
        Some("server/discover") => json!({
            "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} },
        }),
        Some("tools/list") => {
            json!({ "tools": [{ "name": "call", "inputSchema": { "type": "object" } }] })
        }
        _ => said(bearer, true),
    };
    Act::Send(result_of(received, &result.to_string()))
}

/// A server of the legacy era, whose sessions are named after the clients that opened them.
fn legacy_answer(received: &Received, bearer: &str) -> Act {
    if received.body.is_empty() {
        let status = match received.head.starts_with("DELETE") {
            true => "200 OK",
            false => "405 Method Not Allowed",
        };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        return Act::Send(head.into_bytes());
    }
    let user = bearer.trim_start_matches("Bearer ").split('-').next();
    let user = user.unwrap_or_default();
    let message = received.message();
    if message["method"] != "initialize" {
        let session = received.field("mcp-session-id");
        assert_eq!(session, Some(user), "a session is of one user");
    }
    let result = match message["method"].as_str() {
        Some("initialize") => json!({
            "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
            "serverInfo": { "name": "m", "version": "1" },
        }),
        Some("tools/list") => {
            json!({ "tools": [{ "name": "call", "inputSchema": { "type": "object" } }] })
        }
        Some(method) if method.starts_with("notifications/") => {
            let accepted = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
            return Act::Send(accepted.as_bytes().to_vec());
        }
        _ => said(bearer, false),
    };
    let body = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }).to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMcp-Session-Id: {user}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    Act::Send(head.into_bytes())
}

fn said(bearer: &str, is_modern: bool) -> Value {
    let mut result = json!({ "content": [{ "type": "text", "text": bearer }] });
    if is_modern {
        result["resultType"] = json!("complete");
    }
    result
}

fn signed(request: Request, token: &str) -> Request {
    request.field("Authorization", &format!("Bearer {token}"))
}

fn call_of(token: &str) -> Request {
    signed(Request::modern_call("up_call", json!({})), token)
}

/// The caller that the upstream names.
fn caller(answer: &Value) -> &str {
    let text = answer["result"]["content"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("{answer}"))
}

fn call(connection: &mut Connection, token: &str) -> Value {
    connection.exchange(&call_of(token)).answer()
}

#[test]
fn each_client_calls_with_the_token_that_its_own_was_exchanged_for() {
    let guarded = Guarded::start(2, 3600, false);
    let [ann, bob] = ["ann", "bob"].map(|user| guarded.token(user));
    guarded.wait(&ann);
    for (token, expected) in [(&ann, "Bearer ann-1"), (&bob, "Bearer bob-2")] {
        // Connections of both shards.
        for _ in 0..8 {
            let answer = call(&mut guarded.server.connect(), token);
            assert_eq!(caller(&answer), expected);
        }
    }
    assert_eq!(guarded.exchanger.exchanged(), 2, "one for each token");
    for method in ["server/discover", "tools/list"] {
        let bearers = guarded.bearers(method);
        assert!(!bearers.is_empty() && bearers.iter().all(|it| it == SERVICE));
    }
    // A key of this server is no token that could be exchanged, and an unknown user has none.
    let claims = with(Issuer::claims("x"), "sub", json!("eve"));
    let eve = guarded.issuer.sign(&Issuer::header(), &claims);
    for (token, text) in [
        (&guarded.file.key, "needs an access token of the client"),
        (&eve, "does not exchange the token"),
    ] {
        let answer = call(&mut guarded.server.connect(), token);
        let error = &answer["error"];
        let expected = json!({ "upstream": "up", "reason": "credential", "executed": "no" });
        assert_eq!(error["data"], expected, "{answer}");
        let message = error["message"].as_str().expect("a text");
        assert!(message.contains(text), "{message}");
    }
    assert_eq!(guarded.bearers("tools/call").len(), 16);
    let log = guarded.server.log();
    for received in guarded.upstream.received() {
        let text = received.head + &received.body;
        for token in [&ann, &bob, &eve, &guarded.file.key] {
            assert!(!text.contains(token.as_str()), "{text}");
            assert!(
                !log.contains(token.as_str()) && !log.contains("ann-1"),
                "{log}"
            );
        }
    }
}

#[test]
fn a_token_that_the_upstream_refuses_is_exchanged_again_and_the_call_is_executed_once() {
    let guarded = Guarded::start(1, 3600, false);
    let ann = guarded.token("ann");
    guarded.wait(&ann);
    let mut connection = guarded.server.connect();
    assert_eq!(caller(&call(&mut connection, &ann)), "Bearer ann-1");
    guarded.refuse("Bearer ann-1");
    // Not within a second of the first exchange, lest a refusal becomes a flood of them.
    let answer = wait_until("it is exchanged again", || {
        let answer = call(&mut connection, &ann);
        let reason = &answer["error"]["data"]["reason"];
        assert!(reason.is_null() || reason == "credential", "{answer}");
        reason.is_null().then_some(answer)
    });
    assert_eq!(caller(&answer), "Bearer ann-2");
    let bearers = guarded.bearers("tools/call");
    assert_eq!(bearers.first().map(String::as_str), Some("Bearer ann-1"));
    let executed = bearers.iter().filter(|it| **it == "Bearer ann-2");
    assert_eq!(executed.count(), 1);
    assert_eq!(guarded.exchanger.exchanged(), 2);
}

#[test]
fn a_token_is_renewed_before_its_end_and_no_call_goes_without_one() {
    let guarded = Guarded::start(1, 3, false);
    let ann = guarded.token("ann");
    guarded.wait(&ann);
    let mut connection = guarded.server.connect();
    assert_eq!(caller(&call(&mut connection, &ann)), "Bearer ann-1");
    wait_until("it is renewed", || {
        let answer = call(&mut connection, &ann);
        (caller(&answer) == "Bearer ann-2").then_some(())
    });
    guarded.exchanger.is_away.store(true, Ordering::Relaxed);
    let error = wait_until("its time is over", || {
        let mut answer = call(&mut connection, &ann);
        (!answer["error"].is_null()).then(|| answer["error"].take())
    });
    assert_eq!(error["data"]["reason"], "credential", "{error}");
    assert_eq!(error["data"]["executed"], "no", "{error}");
    let bearers = guarded.bearers("tools/call");
    assert!(bearers.iter().all(|it| it.starts_with("Bearer ann-")));
}

/// A session of a client with this token.
fn session(connection: &mut Connection, token: &str) -> String {
    let opened = connection.exchange(&signed(Request::initialize("2025-11-25"), token));
    let id = opened.head.field("MCP-Session-Id").expect("a session");
    let id = id.to_owned();
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let initialized = Request::legacy(&initialized).field("MCP-Session-Id", &id);
    assert_eq!(
        connection.exchange(&signed(initialized, token)).status(),
        202
    );
    id
}

fn in_session(connection: &mut Connection, (token, session): (&str, &str)) -> Response {
    let message = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "up_call", "arguments": {} },
    });
    let request = Request::legacy(&message).field("MCP-Session-Id", session);
    connection.exchange(&signed(request, token))
}

#[test]
fn sessions_with_a_legacy_upstream_have_the_exchanged_tokens_of_their_clients() {
    let guarded = Guarded::start(2, 3600, true);
    let [ann, bob] = ["ann", "bob"].map(|user| guarded.token(user));
    guarded.wait(&ann);
    let answer = call(&mut guarded.server.connect(), &ann);
    assert_eq!(caller(&answer), "Bearer ann-1", "a modern client");
    let id = session(&mut guarded.server.connect(), &bob);
    // Some of these connections are of another shard than the session.
    for _ in 0..8 {
        let mut connection = guarded.server.connect();
        let answer = in_session(&mut connection, (&bob, &id)).answer();
        assert_eq!(caller(&answer), "Bearer bob-2");
    }
    let end = Request::new("DELETE").field("MCP-Session-Id", &id);
    let ended = guarded.server.connect().exchange(&signed(end, &bob));
    assert!(ended.status() < 300, "{ended:?}");
    wait_until("its session at the upstream ends", || {
        let received = guarded.upstream.received();
        let mut ends = received.iter().filter(|it| it.head.starts_with("DELETE"));
        let bearer = ends.next()?.field("authorization");
        assert_eq!(bearer, Some("Bearer bob-2"));
        Some(())
    });
    let mut initialized = guarded.bearers("initialize");
    initialized.retain(|it| it != SERVICE);
    assert_eq!(initialized, ["Bearer ann-1", "Bearer bob-2"]);
    assert_eq!(guarded.exchanger.exchanged(), 2);
}
