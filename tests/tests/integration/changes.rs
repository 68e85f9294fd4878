//! Notifications of changes in both eras at once: exactly the subscribed ones, each once, on every
//! shard.
//!
//! MCP 2025-11-25 server/{tools,resources,prompts} and 2026-07-28 basic/patterns/subscriptions.

use corelane_tests::{Connection, EventStream, Request, Session};
use serde_json::{Value, json};

use crate::fixture::{Fixture, prompt, resource, tool, uri};

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// A change that the tests make.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    Tools,
    Prompts,
    Resources,
    /// The content of one of the fixture's resources.
    Updated(usize),
}

impl Change {
    fn make(self, server: &Fixture) {
        let handle = server.handle();
        match self {
            Change::Tools => handle.add_tool(tool("changing")),
            Change::Prompts => handle.add_prompt(prompt("changing")),
            Change::Resources => handle.add_resource(resource("fixture:changing")),
            Change::Updated(number) => handle.resource_updated(&uri(number)),
        }
        .expect("a change");
    }

    /// Checks that a message reports this change, on this subscription if it has one.
    fn check(self, message: &Value, subscription: Option<&Value>) {
        let method = match self {
            Change::Tools => "notifications/tools/list_changed",
            Change::Prompts => "notifications/prompts/list_changed",
            Change::Resources => "notifications/resources/list_changed",
            Change::Updated(_) => "notifications/resources/updated",
        };
        assert_eq!(message["method"], method, "{self:?}: {message}");
        let params = &message["params"];
        if let Change::Updated(number) = self {
            assert_eq!(params["uri"], uri(number), "{message}");
        }
        assert_eq!(params["_meta"].get(SUBSCRIPTION), subscription, "{message}");
    }
}

/// Every kind of change: a subscriber of a wrong one gets it before the next correct one.
const CHANGES: [Change; 7] = [
    Change::Updated(0),
    Change::Tools,
    Change::Updated(1),
    Change::Prompts,
    Change::Updated(2),
    Change::Resources,
    Change::Tools,
];

/// Opens a listen stream; the accepted filter must equal the requested one.
fn listen(server: &Fixture, id: &Value, filter: &Value) -> EventStream {
    let params = json!({ "notifications": filter });
    let request = Request::modern(id.clone(), "subscriptions/listen", params);
    let mut stream = server.stream(&request);
    let first = stream.next_message();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(first["params"]["_meta"][SUBSCRIPTION], *id, "{first}");
    assert_eq!(first["params"]["notifications"], *filter, "{first}");
    stream
}

fn subscribe(connection: &mut Connection, session: &Session, method: &str, uri: &str) {
    let request = session.request(1, method, json!({ "uri": uri }));
    let answer = connection.exchange(&request).json();
    assert_eq!(answer["result"], json!({}), "{method} {uri}: {answer}");
}

/// Streams with every kind of filter, several for each connection's shard, and the changes that
/// each must get.
fn filters() -> Vec<(Value, Vec<Change>)> {
    let lists = |change: &Change| !matches!(change, Change::Updated(_));
    let of = |wanted: &[Change]| -> Vec<Change> {
        CHANGES
            .iter()
            .copied()
            .filter(|it| wanted.contains(it))
            .collect()
    };
    vec![
        (json!({ "toolsListChanged": true }), of(&[Change::Tools])),
        (
            json!({ "promptsListChanged": true }),
            of(&[Change::Prompts]),
        ),
        (
            json!({ "resourcesListChanged": true }),
            of(&[Change::Resources]),
        ),
        (
            json!({ "resourceSubscriptions": [uri(1)] }),
            of(&[Change::Updated(1)]),
        ),
        (
            json!({ "resourceSubscriptions": [uri(2), uri(0)] }),
            of(&[Change::Updated(0), Change::Updated(2)]),
        ),
        (
            json!({
                "toolsListChanged": true, "promptsListChanged": true,
                "resourcesListChanged": true,
            }),
            CHANGES.iter().copied().filter(lists).collect(),
        ),
        (
            json!({ "toolsListChanged": true, "resourceSubscriptions": [uri(0)] }),
            of(&[Change::Updated(0), Change::Tools]),
        ),
    ]
}

/// Modern streams and sessions get the same changes, each only the subscribed ones, in the order of
/// the changes. On a modern stream they have the id of the subscription with its JSON type.
#[test]
fn every_stream_gets_exactly_its_subscriptions() {
    for shards in [1, 2] {
        let server = Fixture::start(shards);
        let mut hearers: Vec<(EventStream, Option<Value>, Vec<Change>)> = Vec::new();
        for round in 0..2 * shards {
            for (at, (filter, expected)) in filters().into_iter().enumerate() {
                let id = match round % 2 {
                    0 => json!(at),
                    _ => json!(at.to_string()),
                };
                let stream = listen(&server, &id, &filter);
                hearers.push((stream, Some(id), expected));
            }
        }
        let mut sessions = server.on_each_shard();
        for (at, (connection, session)) in sessions.iter_mut().enumerate() {
            subscribe(connection, session, "resources/subscribe", &uri(at));
            let expected = CHANGES.iter().copied();
            let hears = |it: &Change| !matches!(it, Change::Updated(of) if *of != at);
            let stream = server.stream(&session.stream());
            hearers.push((stream, None, expected.filter(hears).collect()));
        }
        for change in CHANGES {
            change.make(&server);
            // Each change is delivered before the next one is made, so that none are combined.
            for (stream, id, expected) in &mut hearers {
                if expected.first() == Some(&change) {
                    change.check(&stream.next_message(), id.as_ref());
                    expected.remove(0);
                }
            }
        }
        assert!(hearers.iter().all(|(_, _, expected)| expected.is_empty()));
        check_ends(
            server,
            hearers.into_iter().map(|(stream, id, _)| (stream, id)),
        );
    }
}

/// Ends the server: no stream gets further messages, and a modern stream ends with its result.
fn check_ends(server: Fixture, streams: impl Iterator<Item = (EventStream, Option<Value>)>) {
    let ending = std::thread::spawn(move || server.drain());
    for (mut stream, id) in streams {
        if let Some(id) = id {
            let result = stream.next_message();
            assert_eq!(result["id"], id, "{result}");
            assert_eq!(result["result"]["resultType"], "complete", "{result}");
            assert_eq!(result["result"]["_meta"][SUBSCRIPTION], id, "{result}");
        }
        let _ = stream.expect_end();
    }
    ending.join().expect("the server ends");
}

/// A session can subscribe through any shard; two subscriptions are one; after unsubscribing no
/// notification arrives (2025-11-25 server/resources, "Subscriptions").
#[test]
fn a_session_hears_of_a_resource_while_it_is_subscribed() {
    let server = Fixture::start(2);
    let mut all = server.on_each_shard();
    let mut streams: Vec<EventStream> = all
        .iter()
        .map(|(_, session)| server.stream(&session.stream()))
        .collect();
    for home in 0..2 {
        let session = all[home].1.clone();
        let mut query = |through: usize, method: &str| {
            subscribe(&mut all[through].0, &session, method, &uri(3));
        };
        for through in [0, 1] {
            query(through, "resources/subscribe");
            query(1 - through, "resources/subscribe");
            Change::Updated(3).make(&server);
            Change::Updated(3).check(&streams[home].next_message(), None);
            query(through, "resources/unsubscribe");
            Change::Updated(3).make(&server);
            // The next message on each stream is the change that all have subscribed to.
            Change::Tools.make(&server);
            for stream in &mut streams {
                Change::Tools.check(&stream.next_message(), None);
            }
        }
    }
}

/// A stream may name a resource of a template; another resource of the template is not included.
#[test]
fn a_resource_of_a_template_is_heard_of_by_its_own_uri() {
    let server = Fixture::start(2);
    let filter = json!({ "resourceSubscriptions": ["fixture:mine/1"] });
    let mut listener = listen(&server, &json!("t"), &filter);
    let (mut connection, session) = server.on_each_shard().remove(1);
    subscribe(
        &mut connection,
        &session,
        "resources/subscribe",
        "fixture:mine/1",
    );
    let mut stream = server.stream(&session.stream());
    for uri in [
        "fixture:yours/1",
        "fixture:{id}/1",
        "fixture:mine/2",
        "fixture:mine/1",
    ] {
        server.handle().resource_updated(uri).expect("a change");
    }
    for stream in [&mut listener, &mut stream] {
        let received = stream.next_message();
        assert_eq!(received["params"]["uri"], "fixture:mine/1", "{received}");
    }
}

/// A notification is reliable: lists requested after it have the change, through every shard and in
/// either era (2026-07-28 server/tools: they "MUST NOT vary per-connection").
#[test]
fn a_list_has_the_change_of_its_notification() {
    let server = Fixture::start(2);
    let mut all = server.on_each_shard();
    let mut listener = listen(&server, &json!(1), &json!({ "toolsListChanged": true }));
    for round in 0..10 {
        let name = format!("tool-{round}");
        server.handle().add_tool(tool(&name)).expect("a change");
        Change::Tools.check(&listener.next_message(), Some(&json!(1)));
        for (connection, session) in &mut all {
            for request in [
                session.request(1, "tools/list", Value::Null),
                Request::modern(1, "tools/list", json!({})),
            ] {
                let answer = connection.exchange(&request).answer();
                let tools = answer["result"]["tools"].as_array().expect("tools");
                assert!(
                    tools.iter().any(|tool| tool["name"] == name),
                    "{name}: {answer}"
                );
            }
        }
    }
}

/// A client that closes its listen stream gets no more messages, and its memory is freed.
#[test]
fn a_closed_stream_is_forgotten() {
    use corelane::meter::Counter;
    let server = Fixture::start(2);
    let filter = json!({ "toolsListChanged": true });
    let mut kept = listen(&server, &json!("kept"), &filter);
    for round in 0..20 {
        drop(listen(&server, &json!(round), &filter));
        Change::Tools.make(&server);
        Change::Tools.check(&kept.next_message(), Some(&json!("kept")));
    }
    drop(kept);
    let meter = server.drain();
    assert_eq!(meter.value(Counter::StreamsOpen), 0);
}

/// "MUST send `notifications/subscriptions/acknowledged` as the first message": also when changes
/// happen while the stream opens. Later changes are delivered.
#[test]
fn the_acknowledgement_comes_first_while_everything_changes() {
    let server = Fixture::start(2);
    let handle = server.handle().clone();
    let (is_over, stop) = std::sync::mpsc::channel::<()>();
    let changing = std::thread::spawn(move || {
        let going_on = std::sync::mpsc::TryRecvError::Empty;
        while stop.try_recv() == Err(going_on) {
            handle.add_tool(tool("changing")).expect("a change");
            handle.resource_updated(&uri(0)).expect("a change");
        }
    });
    let filter = json!({ "toolsListChanged": true, "resourceSubscriptions": [uri(0)] });
    for round in 0..40 {
        // Checks that the acknowledgement comes first.
        let mut stream = listen(&server, &json!(round), &filter);
        let mut methods = std::collections::HashSet::new();
        while methods.len() < 2 {
            let received = stream.next_message();
            assert_eq!(
                received["params"]["_meta"][SUBSCRIPTION], round,
                "{received}"
            );
            methods.insert(received["method"].as_str().expect("a method").to_owned());
        }
        assert!(
            methods.contains("notifications/tools/list_changed"),
            "{methods:?}"
        );
        assert!(
            methods.contains("notifications/resources/updated"),
            "{methods:?}"
        );
    }
    drop(is_over);
    changing.join().expect("changes are made");
}
