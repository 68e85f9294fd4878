//! Principals: sessions, tasks and states of one principal do not exist for others, for any shard
//! and connection.

use std::collections::BTreeMap;

use corelane_tests::request::{CAPABILITIES_KEY, LEGACY};
use corelane_tests::{
    Connection, EventStream, LivenessProbe, Request, Response, Server, Session, Setup, wait_until,
};
use serde_json::{Value, json};

/// The header of the profile, and as proxies write it.
const PROFILE: &str = "[server]\nprincipal_header = \"x-forwarded-user\"";
const HEADER: &str = "X-Forwarded-User";

/// The principal of a request; none for an anonymous one.
type Who = Option<&'static str>;

const ANN: Who = Some("ann@example.com");
/// Principals other than Ann, some with similar names.
const OTHERS: [Who; 4] = [
    Some("bob@example.com"),
    None,
    Some("Ann@example.com"),
    Some("ann@example.co"),
];

/// The request as the proxy passes it on.
fn by(who: Who, request: Request) -> Request {
    match who {
        None => request,
        Some(name) => request.field(HEADER, name),
    }
}

fn server(shards: usize) -> Server {
    Setup::shards(shards).profile(PROFILE).start()
}

fn open(connection: &mut Connection, who: Who) -> Session {
    let response = connection.exchange(&by(who, Request::initialize(LEGACY)));
    assert_eq!(response.status(), 200, "{response:?}");
    let id = response.head.field("MCP-Session-Id");
    Session {
        id: id.expect("a session id").to_owned(),
    }
}

/// A connection on each shard, with a session of `who` that was made through it.
fn one_on_each_shard(server: &Server, shards: usize, who: Who) -> Vec<(Connection, Session)> {
    /// With four shards, the chance to miss one this often is below 10^-30.
    const CONNECTIONS_MAX: usize = 256;
    let mut found = BTreeMap::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut connection = server.connect();
        let session = open(&mut connection, who);
        found.entry(session.home()).or_insert((connection, session));
        if found.len() == shards {
            return found.into_values().collect();
        }
    }
    panic!("{CONNECTIONS_MAX} connections did not reach every shard: {found:?}");
}

#[track_caller]
fn check_unknown(response: &Response, name: &str) {
    assert_eq!(response.status(), 404, "{name}: {response:?}");
    assert_eq!(response.json()["error"]["code"], -32001, "{name}");
}

/// Every way to use a session.
fn uses(session: &Session) -> [Request; 6] {
    [
        session.request(1, "ping", Value::Null),
        session.call("echo", json!({ "message": "x" })),
        session.notification("notifications/initialized"),
        session.cancelled(1),
        session.stream(),
        session.delete(),
    ]
}

#[test]
fn a_session_is_its_principals_through_every_shard() {
    for shards in [2, 4] {
        let server = server(shards);
        let mut probe = LivenessProbe::of(&server);
        let mut all = one_on_each_shard(&server, shards, ANN);
        let sessions: Vec<Session> = all.iter().map(|(_, session)| session.clone()).collect();
        for (at, (connection, _)) in all.iter_mut().enumerate() {
            for session in &sessions {
                let name = format!("shard {at} to {} of {shards}", session.home());
                for other in OTHERS {
                    for request in uses(session) {
                        check_unknown(&connection.exchange(&by(other, request)), &name);
                    }
                }
                let call = by(ANN, session.call("echo", json!({ "message": name })));
                let answer = connection.exchange(&call).answer();
                assert_eq!(answer["result"]["content"][0]["text"], name, "{answer}");
                probe.check(&name);
            }
        }
        // A session of an anonymous client is not Ann's either.
        let session = open(&mut all[0].0, None);
        for (connection, _) in &mut all {
            let ping = session.request(1, "ping", Value::Null);
            check_unknown(&connection.exchange(&by(ANN, ping.clone())), "anonymous");
            assert_eq!(connection.exchange(&ping).status(), 200);
        }
    }
}

#[test]
fn only_its_own_principal_ends_or_resumes_a_stream() {
    for shards in [2, 4] {
        let server = server(shards);
        for (mut connection, session) in one_on_each_shard(&server, shards, ANN) {
            // Streams on the home shard, and on the shard of the next connection.
            let mut elsewhere = server.connect();
            let mut streams = Vec::new();
            for waiting in [&mut connection, &mut elsewhere] {
                waiting.send(&by(ANN, session.stream()));
            }
            for waiting in [connection, elsewhere] {
                streams.push(EventStream::begin(waiting));
            }
            // A call whose stream has events to resume.
            let call = session.call("test_tool_with_progress", json!({}));
            let call = by(ANN, call.meta("progressToken", 1));
            let response = server.connect().exchange(&call);
            let event = response.last_event_id().expect("events have ids");
            for other in OTHERS {
                for request in [session.stream_after(&event), session.delete()] {
                    let response = server.connect().exchange(&by(other, request));
                    check_unknown(&response, "a stranger");
                }
            }
            let resumed = by(ANN, session.stream_after(&event));
            let resumed = server.connect().exchange(&resumed);
            assert_eq!(resumed.status(), 204, "hers, and over: {resumed:?}");
            let ended = server.connect().exchange(&by(ANN, session.delete()));
            assert_eq!(ended.status(), 204, "{ended:?}");
            for stream in streams {
                drop(stream.expect_end());
            }
        }
    }
}

/// A modern request of a client that knows tasks and can elicit.
fn modern(who: Who, method: &str, name: &str, params: Value) -> Request {
    let capabilities = json!({
        "elicitation": {},
        "extensions": { "io.modelcontextprotocol/tasks": {} },
    });
    let request = Request::modern(1, method, params)
        .meta(CAPABILITIES_KEY, capabilities)
        .field("Mcp-Name", name);
    by(who, request)
}

#[test]
fn a_modern_task_is_its_principals_on_every_connection() {
    const CONNECTIONS: usize = 6;
    for shards in [2, 4] {
        let server = server(shards);
        let mut connections: Vec<Connection> = (0..CONNECTIONS).map(|_| server.connect()).collect();
        let mut owners = OTHERS.into_iter().chain([ANN]).cycle();
        let mut tasks = Vec::new();
        for connection in &mut connections {
            let owner = owners.next().expect("endless");
            let params = json!({ "name": "slow_compute", "arguments": { "seconds": 3600 } });
            let request = modern(owner, "tools/call", "slow_compute", params);
            let result = connection.exchange(&request).json()["result"].clone();
            let id = result["taskId"].as_str().expect("an id").to_owned();
            tasks.push((owner, id));
        }
        for connection in &mut connections {
            for (owner, id) in &tasks {
                let params = json!({ "taskId": id, "inputResponses": {} });
                let mut query = |who: Who, method: &str| {
                    let request = modern(who, method, id, params.clone());
                    connection.exchange(&request).json()
                };
                for other in OTHERS.into_iter().chain([ANN]) {
                    if other == *owner {
                        continue;
                    }
                    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
                        let answer = query(other, method);
                        assert_eq!(answer["error"]["code"], -32602, "{answer}");
                    }
                }
                let found = query(*owner, "tasks/get");
                assert_eq!(found["result"]["status"], "working", "{found}");
            }
        }
    }
}

#[test]
fn only_its_own_principal_sees_a_modern_task() {
    for shards in [2, 4] {
        let server = server(shards);
        // Tasks on several shards, and subscriptions on any shard.
        for _ in 0..6 {
            let params = json!({ "name": "slow_compute", "arguments": { "seconds": 3600 } });
            let begin = modern(ANN, "tools/call", "slow_compute", params);
            let begun = server.connect().exchange(&begin).json();
            let id = begun["result"]["taskId"].as_str().expect("an id");
            let listen = |who: Who| {
                let params = json!({ "notifications": { "taskIds": [id] } });
                let mut connection = server.connect();
                connection.send(&modern(who, "subscriptions/listen", "", params));
                let mut stream = EventStream::begin(connection);
                let said = stream.next_message()["params"]["notifications"]["taskIds"].take();
                (stream, said)
            };
            for other in OTHERS {
                assert_ne!(listen(other).1, json!([id]), "{other:?}");
            }
            let (mut stream, heard) = listen(ANN);
            assert_eq!(heard, json!([id]));
            let cancel = modern(ANN, "tasks/cancel", id, json!({ "taskId": id }));
            assert_eq!(server.connect().exchange(&cancel).status(), 200);
            let received = stream.next_message();
            assert_eq!(received["params"]["taskId"], id, "{received}");
            assert_eq!(received["params"]["status"], "cancelled", "{received}");
        }
    }
}

#[test]
fn a_state_is_taken_back_from_whom_it_was_given_to() {
    const TOOL: &str = "test_input_required_result_request_state";
    for shards in [2, 4] {
        let server = server(shards);
        let owners = OTHERS.into_iter().chain([ANN]);
        let called = |who: Who, more: Value| {
            let mut params = json!({ "name": TOOL, "arguments": {} });
            for (name, value) in more.as_object().into_iter().flatten() {
                params[name] = value.clone();
            }
            let request = modern(who, "tools/call", TOOL, params);
            server.connect().exchange(&request).json()
        };
        for owner in owners.clone() {
            let first = called(owner, json!({}))["result"].clone();
            let state = first["requestState"].as_str().expect("a state");
            let keys = first["inputRequests"]
                .as_object()
                .expect("questions")
                .keys();
            let accepted = json!({ "action": "accept", "content": { "ok": true } });
            let responses: Value = keys.map(|key| (key.clone(), accepted.clone())).collect();
            for who in owners.clone() {
                let more = json!({ "requestState": state, "inputResponses": responses });
                let answer = called(who, more);
                match who == owner {
                    true => assert_eq!(answer["result"]["resultType"], "complete", "{answer}"),
                    false => assert_eq!(answer["error"]["code"], -32602, "{answer}"),
                }
            }
        }
    }
}

#[test]
fn a_principal_at_its_cap_makes_room_among_its_own_sessions() {
    for shards in [2, 4] {
        let server = Setup::shards(shards)
            .profile(PROFILE)
            .profile("[sessions]\nper_principal_max = 2")
            .start();
        // Each shard counts separately: one connection is on one shard.
        let mut connection = server.connect();
        let others: Vec<(Who, Session)> = [None, None, None, OTHERS[0]]
            .into_iter()
            .map(|who| (who, open(&mut connection, who)))
            .collect();
        let [first, second] = [(); 2].map(|()| open(&mut connection, ANN));
        let ping = |session: &Session| by(ANN, session.request(1, "ping", Value::Null));
        assert_eq!(connection.exchange(&ping(&first)).status(), 200);
        let third = open(&mut connection, ANN);
        check_unknown(&connection.exchange(&ping(&second)), "unused longest");
        let mut streams = Vec::new();
        for session in [&first, &third] {
            let mut waiting = server.connect();
            waiting.send(&by(ANN, session.stream()));
            streams.push(EventStream::begin(waiting));
        }
        let refused = connection.exchange(&by(ANN, Request::initialize(LEGACY)));
        assert_eq!(refused.status(), 503, "{refused:?}");
        let text = refused.json()["error"]["message"].clone();
        assert!(
            text.as_str().is_some_and(|it| it.contains("principal")),
            "{text}"
        );
        drop(streams.pop());
        let fourth = wait_until("the session is seen to be idle", || {
            let response = connection.exchange(&by(ANN, Request::initialize(LEGACY)));
            let id = response.head.field("MCP-Session-Id").map(str::to_owned);
            id.map(|id| Session { id })
        });
        check_unknown(&connection.exchange(&ping(&third)), "idle again");
        for session in [&first, &fourth] {
            assert_eq!(connection.exchange(&ping(session)).status(), 200);
        }
        for (who, session) in others {
            let ping = by(who, session.request(1, "ping", Value::Null));
            assert_eq!(connection.exchange(&ping).status(), 200, "{who:?}");
        }
    }
}

#[test]
fn an_ambiguous_principal_header_is_refused() {
    for shards in [2, 4] {
        let server = server(shards);
        let mut probe = LivenessProbe::of(&server);
        let mut all = one_on_each_shard(&server, shards, ANN);
        let session = all[0].1.clone();
        let requests = |session: &Session| {
            [
                Request::initialize(LEGACY),
                Request::modern_call("echo", json!({ "message": "x" })),
                Request::modern(1, "tools/list", json!({})),
                session.request(1, "ping", Value::Null),
                session.stream(),
                session.delete(),
            ]
        };
        let long = "x".repeat(257);
        for (connection, _) in &mut all {
            for (request, value) in requests(&session).into_iter().flat_map(|request| {
                let values = [
                    "",
                    "  ",
                    "ann bob",
                    "ann, bob",
                    &long,
                    "ann\u{a0}",
                    "ann\tbob",
                ];
                values.map(|value| (request.clone(), value.to_owned()))
            }) {
                let response = connection.exchange(&request.field(HEADER, &value));
                assert_eq!(response.status(), 400, "{value:?}: {response:?}");
                assert_eq!(response.json()["error"]["code"], -32600, "{value:?}");
                let text = response.json()["error"]["message"].to_string();
                assert!(text.contains("x-forwarded-user"), "{text}");
            }
            for request in requests(&session) {
                let request = by(ANN, request).repeated_field("x-FORWARDED-user", "ann");
                let response = connection.exchange(&request);
                assert_eq!(response.status(), 400, "{response:?}");
            }
            // Not UTF-8, as no text of Rust can be.
            let request = by(Some("ann?"), session.request(1, "ping", Value::Null));
            let mut bytes = request.to_bytes(server.address());
            let at = bytes.windows(4).position(|it| it == b"ann?").expect("it");
            bytes[at + 3] = 0xe9;
            connection.send_bytes(&bytes);
            assert_eq!(connection.read_response().status(), 400);
            // The connection lives, and so does the session.
            let ping = by(ANN, session.request(1, "ping", Value::Null));
            assert_eq!(connection.exchange(&ping).status(), 200);
            probe.check("names that are none");
        }
    }
}

#[test]
fn the_header_means_nothing_to_a_server_that_does_not_trust_one() {
    let server = Setup::shards(2).start();
    let mut connection = server.connect();
    let session = open(&mut connection, ANN);
    for who in OTHERS.into_iter().chain([ANN, Some(""), Some("a b")]) {
        let ping = by(who, session.request(1, "ping", Value::Null));
        assert_eq!(connection.exchange(&ping).status(), 200, "{who:?}");
    }
}
