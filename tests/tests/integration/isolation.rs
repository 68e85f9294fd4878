//! Sessions beside each other: no message of one reaches another, on one shard or two.
//!
//! Ids and cancellation are tested in `ids` and `cancellation`, log levels in `levels`, resumed
//! streams in `resumption` and `replay`.

use corelane_tests::{Connection, EventStream, Request, Server, Session, Setup};
use serde_json::{Value, json};

use crate::fixture::{Fixture, uri};
use crate::shards::one_on_each_shard;

/// Two sessions of one shard and one of another, all of clients with every capability.
fn able_sessions(server: &Server) -> Vec<Session> {
    let capabilities = json!({ "elicitation": {}, "sampling": {} });
    let mut all = one_on_each_shard(|| server.connect(), 2);
    let mut open = |at: usize| Session::open_as(&mut all[at].0, &capabilities);
    vec![open(0), open(0), open(1)]
}

fn stream(server: &Server, request: &Request) -> EventStream {
    let mut connection = server.connect();
    connection.send(request);
    EventStream::begin(connection)
}

fn query(connection: &mut Connection, session: &Session, method: &str, params: Value) -> Value {
    let response = connection.exchange(&session.request(1, method, params));
    assert_eq!(response.status(), 200, "{method}: {response:?}");
    response.answer()
}

/// A subscription is notified on a stream of its own session; when that session ends, the
/// notifications of the others continue.
#[test]
fn a_subscription_is_its_sessions_own() {
    let server = Fixture::start(2);
    let mut all = server.on_each_shard();
    let neighbour = Session::open(&mut all[0].0);
    let mut sessions: Vec<Session> = all.iter().map(|(_, session)| session.clone()).collect();
    sessions.push(neighbour);
    let mut streams: Vec<EventStream> = sessions
        .iter()
        .map(|session| server.stream(&session.stream()))
        .collect();
    for (at, session) in sessions.iter().enumerate() {
        let params = json!({ "uri": uri(at) });
        query(&mut all[at % 2].0, session, "resources/subscribe", params);
    }
    let check = |streams: &mut Vec<EventStream>, of: &[usize]| {
        for at in [2, 0, 1] {
            server
                .handle()
                .resource_updated(&uri(at))
                .expect("a change");
        }
        for (stream, at) in streams.iter_mut().zip(of) {
            assert_eq!(stream.next_message()["params"]["uri"], uri(*at));
        }
    };
    check(&mut streams, &[0, 1, 2]);
    check(&mut streams, &[0, 1, 2]);
    assert_eq!(all[1].0.exchange(&sessions[0].delete()).status(), 204);
    let _ = streams.remove(0).expect_end();
    check(&mut streams, &[1, 2]);
}

/// An elicitation is answered by its own session: another session's answer to its id is accepted
/// and ignored, and its own answer still counts afterwards.
#[test]
fn a_question_is_answered_by_its_own_session() {
    let server = Setup::shards(2).start();
    let sessions = able_sessions(&server);
    for (at, session) in sessions.iter().enumerate() {
        let call = session.call("test_streaming_elicitation", json!({}));
        let mut eliciting = stream(&server, &call);
        let question = eliciting.next_message();
        assert_eq!(question["method"], "elicitation/create", "{question}");
        let answer_of = |name: &str| {
            let result = json!({ "action": "accept", "content": { "name": name } });
            json!({ "jsonrpc": "2.0", "id": question["id"], "result": result })
        };
        for (_, stranger) in sessions.iter().enumerate().filter(|(of, _)| *of != at) {
            let answer = stranger.message(&answer_of("stranger"));
            assert_eq!(server.connect().exchange(&answer).status(), 202);
        }
        let own = session.message(&answer_of("own"));
        assert_eq!(server.connect().exchange(&own).status(), 202);
        let answer = eliciting.next_message();
        let text = answer["result"]["content"][0]["text"].as_str();
        assert!(text.is_some_and(|text| text.contains("own")), "{answer}");
        assert!(
            !text.is_some_and(|text| text.contains("stranger")),
            "{answer}"
        );
    }
}

/// A task can be fetched, awaited, listed and cancelled by its own session only, even if others
/// know its id (2025-11-25 basic/utilities/tasks, "Task Isolation and Access Control").
#[test]
fn a_task_is_its_sessions_own() {
    let server = Setup::shards(2).start();
    let sessions = able_sessions(&server);
    let mut connection = server.connect();
    let ids: Vec<Value> = sessions
        .iter()
        .map(|session| {
            let params = json!({
                "name": "slow_compute", "arguments": { "seconds": 3600 }, "task": {},
            });
            let created = query(&mut connection, session, "tools/call", params);
            let task = created["result"]["task"].clone();
            assert_eq!(task["status"], "working", "{created}");
            task["taskId"].clone()
        })
        .collect();
    for (at, session) in sessions.iter().enumerate() {
        for (of, id) in ids.iter().enumerate() {
            let params = json!({ "taskId": id });
            let seen = query(&mut connection, session, "tasks/get", params.clone());
            if of == at {
                assert_eq!(seen["result"]["taskId"], *id, "{seen}");
                continue;
            }
            assert_eq!(seen["error"]["code"], -32602, "{seen}");
            for method in ["tasks/cancel", "tasks/result"] {
                let answer = query(&mut connection, session, method, params.clone());
                assert_eq!(answer["error"]["code"], -32602, "{method}: {answer}");
            }
            // A modern client finds no session's task.
            let modern = Request::modern(1, "tasks/get", params)
                .field("Mcp-Name", id.as_str().expect("a text"))
                .meta(
                    corelane_tests::request::CAPABILITIES_KEY,
                    json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } }),
                );
            let answer = connection.exchange(&modern).answer();
            assert_eq!(answer["error"]["code"], -32602, "{answer}");
        }
        let list = query(&mut connection, session, "tasks/list", json!({}));
        let listed = list["result"]["tasks"].as_array().expect("tasks");
        assert_eq!(listed.len(), 1, "{list}");
        assert_eq!(listed[0]["taskId"], ids[at], "{list}");
        assert_eq!(listed[0]["status"], "working", "{list}");
    }
    for (session, id) in sessions.iter().zip(&ids) {
        let params = json!({ "taskId": id });
        let cancelled = query(&mut connection, session, "tasks/cancel", params);
        assert_eq!(cancelled["result"]["status"], "cancelled", "{cancelled}");
    }
}

/// Sessions use one progress token at once; each gets the progress of its own call only.
#[test]
fn progress_goes_to_the_session_of_its_call() {
    let server = Fixture::start(2);
    let mut all = server.on_each_shard();
    let mut sessions: Vec<Session> = all.iter().map(|(_, session)| session.clone()).collect();
    sessions.push(Session::open(&mut all[0].0));
    let steps = [2, 5, 9];
    let mut streams: Vec<EventStream> = sessions
        .iter()
        .zip(steps)
        .map(|(session, steps)| {
            let call = session.call("walk", json!({ "steps": steps }));
            server.stream(&call.meta("progressToken", "same"))
        })
        .collect();
    for (stream, steps) in streams.iter_mut().zip(steps) {
        for step in 1..=steps {
            let received = stream.next_message();
            assert_eq!(received["params"]["progressToken"], "same", "{received}");
            assert_eq!(
                received["params"]["progress"],
                f64::from(step),
                "{received}"
            );
        }
        assert_eq!(stream.next_message()["id"], 1);
    }
}

/// The capabilities of a client come from its own handshake: a neighbour with elicitation does not
/// give another session requests.
#[test]
fn a_session_gets_requests_by_its_own_capabilities() {
    let server = Setup::shards(2).start();
    let able = able_sessions(&server);
    for (mut connection, session) in one_on_each_shard(|| server.connect(), 2) {
        let call = session.call("test_streaming_elicitation", json!({}));
        let response = connection.exchange(&call);
        assert_eq!(response.messages().len(), 1, "{response:?}");
        assert!(response.answer()["error"]["code"].is_i64(), "{response:?}");
    }
    for session in &able {
        let call = session.call("test_streaming_elicitation", json!({}));
        let question = stream(&server, &call).next_message();
        assert_eq!(question["method"], "elicitation/create", "{question}");
    }
}

/// A modern request belongs to no session, even if it names one: it is served without it, no
/// session is made or named in the answer, and no event has an id (MCP 2026-07-28
/// basic/transports/streamable-http, "Earlier Streamable HTTP Revisions").
#[test]
fn a_modern_request_is_of_no_session() {
    let server = Fixture::start(2);
    for (mut connection, session) in server.on_each_shard() {
        let walk = Request::modern_call("walk", json!({ "steps": 2 })).meta("progressToken", 1);
        let list = Request::modern(1, "tools/list", json!({}));
        for request in [walk, list] {
            let without = connection.exchange(&request);
            for id in [session.id.as_str(), "unknown", ""] {
                let named = request.clone().field("MCP-Session-Id", id);
                let named = named.field("Last-Event-ID", "0000-0-0");
                let response = connection.exchange(&named);
                assert_eq!(
                    response.messages(),
                    without.messages(),
                    "{id}: {response:?}"
                );
                assert_eq!(response.head.field("MCP-Session-Id"), None, "{response:?}");
                assert_eq!(response.last_event_id(), None, "{response:?}");
            }
        }
        // The session, ended or not, has no effect on the next modern request.
        assert_eq!(connection.exchange(&session.delete()).status(), 204);
        let list = Request::modern(1, "tools/list", json!({}));
        let response = connection.exchange(&list.field("MCP-Session-Id", &session.id));
        assert_eq!(response.status(), 200, "{response:?}");
    }
}
