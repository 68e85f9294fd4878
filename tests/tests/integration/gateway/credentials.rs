//! Credentials of this server at upstreams: where they come from, when they are renewed, and that
//! those of clients stay here.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use corelane_tests::mock_upstream::{Act, MockUpstream, Received, json_answer, result_of};
use corelane_tests::{Connection, Request, Setup, wait_until};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{EMPTY, Gateway, empty};
use crate::access_file::AccessFile;

/// The answer of a modern server with the tool "call".
fn described(received: &Received) -> Option<Act> {
    let result = match received.message()["method"].as_str() {
        Some("server/discover") => json!({
            "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} },
        }),
        Some("tools/list") => {
            json!({ "tools": [{ "name": "call", "inputSchema": { "type": "object" } }] })
        }
        _ => return None,
    };
    Some(Act::Send(result_of(received, &result.to_string())))
}

fn refused() -> Act {
    let head = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
    Act::Send(head.as_bytes().to_vec())
}

fn not_found() -> Act {
    let head = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    Act::Send(head.as_bytes().to_vec())
}

/// A server that takes one credential, which a test changes.
struct Guarded {
    mock: MockUpstream,
    taken: Arc<Mutex<String>>,
    executed: Arc<AtomicUsize>,
}

impl Guarded {
    /// It has `metadata` of its resource, given its own URL.
    fn start(metadata: impl Fn() -> Value + Send + Sync + 'static) -> Guarded {
        let taken = Arc::<Mutex<String>>::default();
        let executed = Arc::<AtomicUsize>::default();
        let (of_mock, count) = (Arc::clone(&taken), Arc::clone(&executed));
        let mock = MockUpstream::start(move |received| {
            if received
                .head
                .starts_with("GET /.well-known/oauth-protected-resource")
            {
                return Act::Send(json_answer(&metadata().to_string()));
            }
            if received.head.starts_with("GET") {
                return not_found();
            }
            let taken = of_mock.lock().expect("no test panics with it").clone();
            if received.field("authorization") != Some(&taken) {
                return refused();
            }
            described(received).unwrap_or_else(|| {
                count.fetch_add(1, Ordering::Relaxed);
                Act::Send(result_of(received, EMPTY))
            })
        });
        Guarded {
            mock,
            taken,
            executed,
        }
    }

    fn take(&self, credential: &str) {
        let mut taken = self.taken.lock().expect("no test panics with it");
        credential.clone_into(&mut taken);
    }
}

/// An authorization server whose tokens are "t1", "t2" and so on.
struct Issuer {
    mock: MockUpstream,
    granted: Arc<AtomicUsize>,
    is_away: Arc<AtomicBool>,
}

impl Issuer {
    fn start(life_s: u64) -> Issuer {
        let (granted, is_away) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (count, of_mock) = (Arc::clone(&granted), Arc::clone(&is_away));
        let mock = MockUpstream::start(move |received| {
            let host = received.field("host").expect("a host").to_owned();
            let is_token = received.head.starts_with("POST /token");
            match received
                .head
                .starts_with("GET /.well-known/oauth-authorization-server ")
            {
                true => Act::Send(json_answer(
                    &json!({
                        "issuer": format!("http://{host}"),
                        "token_endpoint": format!("http://{host}/token"),
                    })
                    .to_string(),
                )),
                false if of_mock.load(Ordering::Relaxed) => Act::Reset,
                false if is_token => {
                    let number = count.fetch_add(1, Ordering::Relaxed) + 1;
                    let token = json!({
                        "access_token": format!("t{number}"), "token_type": "Bearer",
                        "expires_in": life_s,
                    });
                    Act::Send(json_answer(&token.to_string()))
                }
                false => not_found(),
            }
        });
        Issuer {
            mock,
            granted,
            is_away,
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.mock.address())
    }

    fn grants(&self) -> Vec<Received> {
        let mut received = self.mock.received();
        received.retain(|it| it.head.starts_with("POST /token"));
        received
    }
}

fn secret(folder: &TempDir, name: &str, value: &str) -> String {
    let path = folder.path().join(name);
    replace(&path, value);
    format!("file:{}", path.display())
}

fn replace(path: &Path, value: &str) {
    let next = path.with_extension("next");
    fs::write(&next, value).expect("there is space");
    fs::rename(next, path).expect("the directory is there");
}

fn call(connection: &mut Connection) -> Value {
    let request = Request::modern_call("up_call", json!({}));
    connection.exchange(&request).answer()
}

#[test]
fn a_token_in_a_file_is_sent_and_another_one_from_its_first_refusal_on() {
    let folder = TempDir::new().expect("a directory");
    let guarded = Guarded::start(|| json!({}));
    guarded.take("Bearer one");
    let token = secret(&folder, "token", "one\n");
    let section = guarded.mock.section("up");
    let section = section + &format!("credential = {{ kind = \"bearer\", token = \"{token}\" }}\n");
    let gateway = Gateway::start(&section);
    gateway.wait_for("up_call");
    let mut connection = gateway.connect();
    assert_eq!(call(&mut connection)["result"], empty());
    replace(&folder.path().join("token"), "two\n");
    guarded.take("Bearer two");
    assert_eq!(call(&mut connection)["result"], empty());
    assert_eq!(guarded.executed.load(Ordering::Relaxed), 2);
    guarded.take("Bearer three");
    let error = call(&mut connection)["error"].take();
    assert_eq!(error["data"]["reason"], "credential", "{error}");
    assert_eq!(error["data"]["executed"], "no", "{error}");
    let log = gateway.server.log();
    assert!(!log.contains("Bearer") && !log.contains("three"), "{log}");
}

/// The section of an upstream for which tokens are requested, and the folder of the secret.
fn with_account(guarded: &Guarded, more: &str) -> (String, TempDir) {
    let folder = TempDir::new().expect("a directory");
    let secret = secret(&folder, "secret", "s3cret");
    let section = guarded.mock.section("up");
    let credential = format!(
        "credential = {{ kind = \"client_credentials\", client_id = \"gate\", \
         client_secret = \"{secret}\"{more} }}\n"
    );
    (section + &credential, folder)
}

#[test]
fn a_token_is_requested_where_the_upstream_says_and_renewed_once_for_all_calls() {
    let issuer = Issuer::start(3600);
    let place = Arc::<Mutex<Value>>::default();
    let of_mock = Arc::clone(&place);
    let guarded = Guarded::start(move || of_mock.lock().expect("a value").clone());
    let resource = format!("http://{}/mcp", guarded.mock.address());
    *place.lock().expect("a value") = json!({
        "resource": resource, "authorization_servers": [issuer.url()],
        "scopes_supported": ["read", "write"],
    });
    guarded.take("Bearer t1");
    let (section, _folder) = with_account(&guarded, "");
    let gateway = Gateway::start_with(&section, Setup::shards(2));
    gateway.wait_for("up_call");
    assert_eq!(call(&mut gateway.connect())["result"], empty());
    let grants = issuer.grants();
    assert_eq!(grants.len(), 1, "one for lists and calls of all shards");
    let basic = grants[0].field("authorization").expect("a credential");
    assert_eq!(basic, "Basic Z2F0ZTpzM2NyZXQ=");
    let form = &grants[0].body;
    assert!(form.contains("grant_type=client_credentials"), "{form}");
    assert!(form.contains("scope=read+write"), "{form}");
    let encoded = resource.replace(':', "%3A").replace('/', "%2F");
    assert!(form.contains(&format!("resource={encoded}")), "{form}");

    guarded.take("Bearer t2");
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let mut connection = gateway.connect();
            thread::spawn(move || call(&mut connection))
        })
        .collect();
    for call in calls {
        let answer = call.join().expect("it has an answer");
        assert_eq!(answer["result"], empty(), "{answer}");
    }
    assert_eq!(issuer.grants().len(), 2, "one renewal");
    assert_eq!(guarded.executed.load(Ordering::Relaxed), 9, "each once");
}

#[test]
fn a_token_is_renewed_before_its_end_and_calls_are_refused_after_it_alone() {
    let issuer = Issuer::start(2);
    let guarded = Guarded::start(|| json!({}));
    guarded.take("Bearer t1");
    let more = format!(", scopes = [\"a\"], token_url = \"{}/token\"", issuer.url());
    let (section, _folder) = with_account(&guarded, &more);
    let gateway = Gateway::start(&section);
    gateway.wait_for("up_call");
    assert!(issuer.grants()[0].body.contains("scope=a"));
    wait_until("it is renewed", || {
        (issuer.grants().len() >= 2).then_some(())
    });
    issuer.is_away.store(true, Ordering::Relaxed);
    let mut connection = gateway.connect();
    let error = wait_until("its time is over", || {
        let mut answer = call(&mut connection);
        let error = answer["error"].take();
        let message = error["message"].as_str().unwrap_or_default();
        message.contains("no access token").then_some(error)
    });
    let expected = json!({ "upstream": "up", "reason": "credential", "executed": "no" });
    assert_eq!(error["data"], expected, "{error}");
    issuer.is_away.store(false, Ordering::Relaxed);
    wait_until("there is another one", || {
        let granted = issuer.granted.load(Ordering::Relaxed);
        guarded.take(&format!("Bearer t{granted}"));
        (call(&mut connection)["result"] == empty()).then_some(())
    });
}

#[test]
fn the_authorization_server_is_found_once_for_all_renewals() {
    let issuer = Issuer::start(2);
    let place = Arc::<Mutex<Value>>::default();
    let of_mock = Arc::clone(&place);
    let guarded = Guarded::start(move || of_mock.lock().expect("a value").clone());
    *place.lock().expect("a value") = json!({
        "resource": format!("http://{}/mcp", guarded.mock.address()),
        "authorization_servers": [issuer.url()],
    });
    guarded.take("Bearer t1");
    let (section, _folder) = with_account(&guarded, "");
    let gateway = Gateway::start(&section);
    gateway.wait_for("up_call");
    wait_until("it is renewed twice", || {
        (issuer.grants().len() >= 3).then_some(())
    });
    let metadata = guarded.mock.received().into_iter();
    let metadata = metadata.filter(|it| it.head.starts_with("GET /.well-known/"));
    assert_eq!(metadata.count(), 1);
}

/// Every client with the key may call every tool.
const RULES: &str = r#"
[[role]]
name = "ci"
claim_roles = ["ci"]
[[grant]]
role = "ci"
tools = ["*"]
"#;

/// The id of a session of a client with the key.
fn signed_session(file: &AccessFile, connection: &mut Connection) -> String {
    let opened = connection.exchange(&file.sign(Request::initialize("2025-11-25")));
    let id = opened
        .head
        .field("MCP-Session-Id")
        .expect("a session")
        .to_owned();
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let initialized = Request::legacy(&initialized).field("MCP-Session-Id", &id);
    assert_eq!(connection.exchange(&file.sign(initialized)).status(), 202);
    id
}

/// Texts that no upstream may see, besides the key of the client.
const CANARIES: [(&str, &str); 4] = [
    ("Cookie", "session=canary-cookie"),
    ("Proxy-Authorization", "Basic canary-proxy"),
    ("X-Api-Key", "canary-key"),
    ("X-Unlisted", "canary-field"),
];

#[test]
fn no_credential_of_a_client_and_no_other_field_of_it_reaches_an_upstream() {
    let modern =
        MockUpstream::with_tools(&["call"], |received| Act::Send(result_of(received, EMPTY)));
    let legacy = MockUpstream::start(|received| {
        if received.body.is_empty() {
            return not_found();
        }
        let result = match received.message()["method"].as_str() {
            Some("server/discover") => return not_found(),
            Some("initialize") => json!({
                "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
                "serverInfo": { "name": "m", "version": "1" },
            }),
            Some("tools/list") => {
                json!({ "tools": [{ "name": "call", "inputSchema": { "type": "object" } }] })
            }
            Some("notifications/initialized" | "notifications/cancelled") => {
                let accepted = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
                return Act::Send(accepted.as_bytes().to_vec());
            }
            _ => json!({ "content": [] }),
        };
        Act::Send(result_of(received, &result.to_string()))
    });
    let forwards = "forward_headers = [\"X-Request-Id\", \"x-absent\"]\n";
    let sections = modern.section("modern") + forwards;
    let sections = sections + &legacy.section("legacy") + "era = \"legacy\"\n" + forwards;
    let file = AccessFile::new(&format!("{RULES}{sections}"));
    let server = file.setup(1).start();
    let mut connection = server.connect();
    let session = signed_session(&file, &mut connection);
    for tool in ["modern_call", "legacy_call"] {
        wait_until("the tool is there", || {
            let request = file.sign(Request::modern_call(tool, json!({})));
            let answer = connection.exchange(&request).answer();
            answer["result"].is_object().then_some(())
        });
        let message = json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": { "name": tool, "arguments": {} },
        });
        let requests = [
            Request::modern_call(tool, json!({})),
            Request::legacy(&message).field("MCP-Session-Id", &session),
        ];
        for request in requests {
            let with = |request: Request, (name, value): &(&str, &str)| request.field(name, value);
            let request = CANARIES.iter().fold(file.sign(request), with);
            let request = request.field("x-request-id", "r1");
            let request = request.repeated_field("X-Request-ID", "r2");
            let answer = connection.exchange(&request).answer();
            assert!(answer["result"].is_object(), "{answer}");
        }
    }
    for mock in [&modern, &legacy] {
        let calls = mock.received_of("tools/call");
        assert_eq!(calls.len(), 3);
        for call in &calls[1..] {
            assert_eq!(call.field("x-request-id"), Some("r1, r2"));
            assert_eq!(call.field("x-absent"), None);
        }
        for received in mock.received() {
            let text = received.head + &received.body;
            let has_key = text.contains(&file.key);
            assert!(!has_key && !text.contains("canary"), "{text}");
        }
    }
}
