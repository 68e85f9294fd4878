//! Statuses of tasks: listen streams of any shard, and streams of the session that made them.

use std::collections::HashMap;

use corelane_tests::request::{CAPABILITIES_KEY, LEGACY};
use corelane_tests::{Connection, EventStream, Request, Server, Session, Setup, wait_until};
use serde_json::{Value, json};

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// A modern request of a client that knows tasks and can elicit.
fn modern(id: impl Into<Value>, method: &str, params: Value) -> Request {
    let capabilities = json!({
        "elicitation": {},
        "extensions": { "io.modelcontextprotocol/tasks": {} },
    });
    Request::modern(id, method, params).meta(CAPABILITIES_KEY, capabilities)
}

fn exchange(connection: &mut Connection, method: &str, name: &str, params: Value) -> Value {
    let request = modern(1, method, params).field("Mcp-Name", name);
    connection.exchange(&request).json()["result"].clone()
}

/// Makes a task that elicits input before it ends; returns its id.
fn begin(connection: &mut Connection) -> String {
    begin_with(connection, "f")
}

/// Makes such a task; its elicitation and its result name a file.
fn begin_with(connection: &mut Connection, filename: &str) -> String {
    let params = json!({ "name": "confirm_delete", "arguments": { "filename": filename } });
    let created = exchange(connection, "tools/call", "confirm_delete", params);
    assert_eq!(created["resultType"], "task", "{created}");
    created["taskId"].as_str().expect("an id").to_owned()
}

/// Answers the elicitation of such a task.
fn confirm(connection: &mut Connection, id: &str) {
    let confirmed = json!({ "action": "accept", "content": { "confirm": true } });
    let params = json!({ "taskId": id, "inputResponses": { "confirmation": confirmed } });
    let updated = exchange(connection, "tasks/update", id, params);
    assert_eq!(updated["resultType"], "complete", "{updated}");
}

fn state(connection: &mut Connection, id: &str) -> Value {
    exchange(connection, "tasks/get", id, json!({ "taskId": id }))
}

/// Opens a listen stream for tasks; returns it and the accepted ids.
fn listen(server: &Server, subscription: &str, ids: &[String]) -> (EventStream, Value) {
    let params = json!({ "notifications": { "taskIds": ids } });
    let mut connection = server.connect();
    connection.send(&modern(subscription, "subscriptions/listen", params));
    let mut stream = EventStream::begin(connection);
    let mut first = stream.next_message();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(first["params"]["_meta"][SUBSCRIPTION], subscription);
    (stream, first["params"]["notifications"]["taskIds"].take())
}

/// The next status on a listen stream.
fn next_status(stream: &mut EventStream, subscription: &str) -> Value {
    let mut received = stream.next_message();
    assert_eq!(received["method"], "notifications/tasks", "{received}");
    let mut params = received["params"].take();
    let meta = params.as_object_mut().expect("params").remove("_meta");
    assert_eq!(meta, Some(json!({ SUBSCRIPTION: subscription })));
    params
}

#[test]
fn a_listener_on_any_shard_hears_of_tasks_on_all_of_them() {
    const TASKS: usize = 16;
    for shards in [1, 2, 4] {
        let server = Setup::shards(shards).start();
        let mut connection = server.connect();
        let ids: Vec<String> = (0..TASKS).map(|_| begin(&mut server.connect())).collect();
        let mut wanted = ids.clone();
        // A task of a home without such a task, of no shard, and an invalid id.
        let foreign = [format!("{:036x}", 1), format!("ffff{:032x}", 1), "x".into()];
        wanted.extend(foreign);
        let names: Vec<String> = (0..2 * shards).map(|at| format!("stream {at}")).collect();
        let mut streams: Vec<EventStream> = Vec::new();
        for name in &names {
            let (mut stream, honoured) = listen(&server, name, &wanted);
            assert_eq!(honoured, json!(ids));
            let mut eliciting = Vec::new();
            while eliciting.len() < TASKS {
                let received = next_status(&mut stream, name);
                assert_eq!(received["status"], "input_required", "{received}");
                assert_eq!(received["statusMessage"], "the user has to confirm");
                let requested = &received["inputRequests"]["confirmation"]["method"];
                assert_eq!(requested, "elicitation/create", "{received}");
                eliciting.push(received["taskId"].as_str().expect("an id").to_owned());
            }
            eliciting.sort_unstable();
            eliciting.dedup();
            assert_eq!(eliciting.len(), TASKS, "each is told once");
            streams.push(stream);
        }
        for id in &ids {
            confirm(&mut connection, id);
        }
        for (stream, name) in streams.iter_mut().zip(&names) {
            let mut over: HashMap<String, Value> = HashMap::new();
            while over.len() < TASKS {
                let received = next_status(stream, name);
                let id = received["taskId"].as_str().expect("an id").to_owned();
                assert!(
                    !over.contains_key(&id),
                    "nothing follows the end: {received}"
                );
                match received["status"].as_str() {
                    Some("completed") => assert!(over.insert(id, received).is_none()),
                    other => assert_eq!(other, Some("working"), "{received}"),
                }
            }
            for (id, received) in over {
                let mut expected = state(&mut connection, &id);
                for of_results in ["resultType", "_meta"] {
                    expected.as_object_mut().expect("a task").remove(of_results);
                }
                assert_eq!(received, expected);
                assert_eq!(received["result"]["content"][0]["text"], "f deleted");
            }
        }
        server.signal("TERM");
        for stream in &mut streams {
            let end = stream.next_message();
            assert_eq!(end["result"]["resultType"], "complete", "{end}");
        }
    }
}

#[test]
fn one_that_reads_late_hears_the_newest_of_each_task_and_is_not_given_up() {
    const TASKS: usize = 48;
    // All results together far exceed the buffers of sockets and connections.
    let filename = "f".repeat(300_000);
    for shards in [2, 4] {
        let server = Setup::shards(shards).profile("[connection]\noutput_bytes_max = 65536");
        let server = server.start();
        let mut connection = server.connect();
        let ids: Vec<String> = (0..TASKS)
            .map(|_| begin_with(&mut server.connect(), &filename))
            .collect();
        let (mut stream, honoured) = listen(&server, "late", &ids);
        assert_eq!(honoured, json!(ids));
        for id in &ids {
            confirm(&mut connection, id);
        }
        for id in &ids {
            wait_until("the task is completed", || {
                let status = state(&mut connection, id)["status"].take();
                (status == "completed").then_some(())
            });
        }
        let mut received: HashMap<String, Vec<Value>> = HashMap::new();
        let mut over = 0;
        while over < TASKS {
            let mut status = next_status(&mut stream, "late");
            let id = status["taskId"].as_str().expect("an id").to_owned();
            let status = status["status"].take();
            over += usize::from(status == "completed");
            received.entry(id).or_default().push(status);
        }
        let skipped = received.values().filter(|statuses| statuses.len() == 1);
        assert!(
            skipped.count() > 0,
            "somebody's question was answered before it was told"
        );
    }
}

#[test]
fn listeners_that_leave_make_room_for_others() {
    // The most subscriptions of one task.
    const LISTENERS: usize = 32;
    for shards in [1, 2] {
        let server = Setup::shards(shards).start();
        let mut connection = server.connect();
        let ids = [begin(&mut connection)];
        for _ in 0..3 {
            let streams: Vec<EventStream> = (0..LISTENERS)
                .map(|_| {
                    wait_until("those before are seen to have left", || {
                        let (stream, honoured) = listen(&server, "s", &ids);
                        (honoured == json!(ids)).then_some(stream)
                    })
                })
                .collect();
            let (_late, honoured) = listen(&server, "late", &ids);
            assert!(honoured.is_null(), "{honoured}");
            drop(streams);
        }
        confirm(&mut connection, &ids[0]);
        wait_until("the task is completed", || {
            let status = state(&mut connection, &ids[0])["status"].take();
            (status == "completed").then_some(())
        });
    }
}

#[test]
fn a_refused_subscription_names_the_reason() {
    let server = Setup::shards(2).profile("[tasks]\nper_listen_max = 1");
    let server = server.start();
    let mut connection = server.connect();
    let id = begin(&mut connection);
    let wanted = |ids: Value| json!({ "notifications": { "taskIds": ids } });
    let params = wanted(json!([id]));
    let refused = connection.exchange(&Request::modern(1, "subscriptions/listen", params));
    assert_eq!(refused.status(), 400);
    let error = refused.json()["error"].clone();
    assert_eq!(error["code"], -32021, "{error}");
    let needed = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    assert_eq!(error["data"]["requiredCapabilities"], needed);
    for ids in [json!([id, "another"]), json!([1]), json!(id)] {
        let request = modern(1, "subscriptions/listen", wanted(ids));
        let refused = connection.exchange(&request).json();
        assert_eq!(refused["error"]["code"], -32602, "{refused}");
    }
}

/// Opens a session of a client that can elicit.
fn open_session(connection: &mut Connection) -> Session {
    let handshake = json!({
        "jsonrpc": "2.0", "id": 0, "method": "initialize",
        "params": {
            "protocolVersion": LEGACY,
            "capabilities": { "elicitation": {} },
            "clientInfo": { "name": "corelane-tests", "version": "1" },
        },
    });
    let opened = connection.exchange(&Request::legacy(&handshake));
    let id = opened.head.field("MCP-Session-Id").expect("a session id");
    Session { id: id.to_owned() }
}

fn open_stream(server: &Server, session: &Session) -> EventStream {
    let mut connection = server.connect();
    connection.send(&session.stream());
    EventStream::begin(connection)
}

#[test]
fn a_session_hears_of_its_own_tasks_on_its_stream() {
    for shards in [1, 2, 4] {
        let server = Setup::shards(shards).start();
        let mut connection = server.connect();
        let sessions: Vec<Session> = (0..2 * shards)
            .map(|_| open_session(&mut server.connect()))
            .collect();
        let streams: Vec<EventStream> = sessions
            .iter()
            .map(|session| open_stream(&server, session))
            .collect();
        for (session, mut stream) in sessions.iter().zip(streams) {
            // The last session makes no task and gets no status.
            if session.id != sessions[sessions.len() - 1].id {
                hear_of_a_task(&mut connection, session, &mut stream);
            }
            assert_eq!(connection.exchange(&session.delete()).status(), 204);
            let _ = stream.expect_end();
        }
    }
}

fn hear_of_a_task(connection: &mut Connection, session: &Session, stream: &mut EventStream) {
    let arguments = json!({ "seconds": 3600, "label": "it" });
    let params = json!({ "name": "slow_compute", "arguments": arguments, "task": {} });
    let created = connection.exchange(&session.request(1, "tools/call", params));
    let task = created.json()["result"]["task"].clone();
    assert_eq!(task["statusMessage"], "computing it", "{task}");
    let about = json!({ "taskId": task["taskId"] });
    let cancelled = connection.exchange(&session.request(2, "tasks/cancel", about));
    let received = stream.next_message();
    assert_eq!(
        received["method"], "notifications/tasks/status",
        "{received}"
    );
    assert_eq!(received["params"]["status"], "cancelled");
    let mut result = cancelled.json()["result"].clone();
    if let Some(result) = result.as_object_mut() {
        result.remove("_meta");
    }
    assert_eq!(received["params"], result);

    let params = json!({
        "name": "confirm_delete", "arguments": { "filename": "f" }, "task": {},
    });
    let created = connection.exchange(&session.request(3, "tools/call", params));
    let id = created.json()["result"]["task"]["taskId"].clone();
    let received = stream.next_message();
    assert_eq!(received["params"]["taskId"], id, "{received}");
    assert_eq!(received["params"]["status"], "input_required");
    assert_eq!(
        received["params"]["statusMessage"],
        "the user has to confirm"
    );
}
