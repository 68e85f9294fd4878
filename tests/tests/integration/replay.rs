//! Several streams of one session at once: each is resumed as itself.
//!
//! MCP 2025-11-25 basic/transports, "Resumability and Redelivery": event ids are unique across all
//! streams of a session, and messages of another stream are never replayed.

use std::collections::HashSet;

use corelane_tests::{EventStream, Item, Request, Session, Setup};
use serde_json::{Value, json};

use crate::fixture::{Fixture, tool};

/// Steps of a call; each is one event.
const STEPS: u32 = 12;

/// Calls of a session that run side by side.
const CALLS: usize = 4;

fn walk(session: &Session, call: usize) -> Request {
    let params = json!({ "name": "walk", "arguments": { "steps": STEPS } });
    let request = session.request(call as u64, "tools/call", params);
    request.meta("progressToken", format!("call {call}"))
}

/// A stream of a call as its client sees it: its messages and their event ids.
struct Seen {
    call: usize,
    stream: Option<EventStream>,
    steps: Vec<f64>,
    ids: Vec<String>,
    is_answered: bool,
}

impl Seen {
    fn new(call: usize, stream: EventStream) -> Seen {
        Seen {
            call,
            stream: Some(stream),
            steps: Vec::new(),
            ids: Vec::new(),
            is_answered: false,
        }
    }

    /// Takes one message; false at the end.
    fn take(&mut self) -> bool {
        let stream = self.stream.as_mut().expect("the stream is open");
        let message = loop {
            match stream.next_item() {
                Item::Message(message) => break message,
                Item::Comment(_) => {}
                Item::End => return false,
            }
        };
        self.ids.push(stream.last_id().expect("an id").to_owned());
        if message["method"] == "notifications/progress" {
            let token = format!("call {}", self.call);
            assert_eq!(message["params"]["progressToken"], token, "{message}");
            let step = message["params"]["progress"].as_f64();
            self.steps.push(step.expect("a number"));
        } else {
            assert_eq!(message["id"], self.call, "{message}");
            assert!(message["result"].is_object(), "{message}");
            assert!(!self.is_answered, "answered twice: {message}");
            self.is_answered = true;
        }
        true
    }

    /// Loses the connection and resumes on another.
    fn come_back(&mut self, server: &Fixture, session: &Session) {
        let lost = self.stream.take();
        let after = self.ids.last().expect("an event came");
        self.stream = Some(server.stream(&session.stream_after(after)));
        drop(lost);
    }
}

/// Calls of one session are lost and resumed in turns, on any shard: each has its own events once
/// and in order, and no id is used twice.
#[test]
fn streams_side_by_side_are_resumed_each_as_itself() {
    for shards in [1, 2] {
        let server = Fixture::start(shards);
        for (_, session) in server.on_each_shard() {
            let mut all: Vec<Seen> = (0..CALLS)
                .map(|call| Seen::new(call, server.stream(&walk(&session, call))))
                .collect();
            for round in 0..STEPS {
                for seen in &mut all {
                    assert!(seen.take(), "call {} in round {round}", seen.call);
                    if (round as usize + seen.call).is_multiple_of(3) {
                        seen.come_back(&server, &session);
                    }
                }
            }
            for seen in &mut all {
                while seen.take() {}
                let expected: Vec<f64> = (1..=STEPS).map(f64::from).collect();
                assert_eq!(seen.steps, expected, "call {}", seen.call);
                assert!(seen.is_answered, "call {}", seen.call);
            }
            let ids: Vec<&String> = all.iter().flat_map(|seen| &seen.ids).collect();
            let distinct: HashSet<&&String> = ids.iter().collect();
            assert_eq!(distinct.len(), ids.len(), "{ids:?}");
        }
    }
}

/// A stand-alone stream and the stream of a call are separate: events lost on one are not replayed
/// on the other.
#[test]
fn a_stand_alone_stream_and_a_call_are_resumed_apart() {
    for shards in [1, 2] {
        for home in 0..shards {
            // A server of its own: its changes reach no other test.
            let server = Fixture::start(shards);
            let (mut connection, session) = server.on_each_shard().remove(home);
            let mut received = server.stream(&session.stream());
            let mut seen = Seen::new(0, server.stream(&walk(&session, 0)));
            let change = |name: &str| server.handle().add_tool(tool(name)).expect("a change");
            change("first");
            let first = received.next_message();
            assert_eq!(first["method"], "notifications/tools/list_changed");
            let after = received.last_id().expect("an id").to_owned();
            assert!(seen.take());
            // Both are lost, and both get further messages meanwhile.
            drop(seen.stream.take());
            drop(received);
            let prompt = crate::fixture::prompt("second");
            server.handle().add_prompt(prompt).expect("a change");
            let mut received = server.stream(&session.stream_after(&after));
            let second = received.next_message();
            assert_eq!(second["method"], "notifications/prompts/list_changed");
            let id = received.last_id().expect("an id").to_owned();
            let of_call = seen.ids[0].clone();
            seen.stream = Some(server.stream(&session.stream_after(&of_call)));
            while seen.take() {}
            assert_eq!(seen.steps.len(), STEPS as usize);
            assert!(seen.is_answered);
            assert!(!seen.ids.contains(&after) && !seen.ids.contains(&id));
            // No message of the call came on the stand-alone stream.
            change("third");
            let third = received.next_message();
            assert_eq!(
                third["method"], "notifications/tools/list_changed",
                "{third}"
            );
            assert_eq!(connection.exchange(&session.delete()).status(), 204);
            let _ = received.expect_end();
        }
    }
}

/// A stand-alone stream never carries the answer to a request (2025-11-25 basic/transports,
/// "Listening for Messages from the Server").
#[test]
fn answers_go_on_no_stand_alone_stream() {
    let server = Fixture::start(2);
    server.open_gate();
    for (mut connection, session) in server.on_each_shard() {
        let received = server.stream(&session.stream());
        for id in 0..10 {
            let json_only = session.request(id, "tools/list", Value::Null);
            let json_only = json_only.field("Accept", "application/json");
            assert_eq!(connection.exchange(&json_only).json()["id"], id);
            let streamed = connection.exchange(&walk(&session, 3));
            assert_eq!(streamed.answer()["id"], 3);
            // A call whose client never comes back.
            drop(server.stream(&walk(&session, 2)));
        }
        assert_eq!(connection.exchange(&session.delete()).status(), 204);
        let _ = received.expect_end();
    }
}

/// An elicitation that was lost with its connection is sent again with the same id, on any shard,
/// and one answer is enough.
#[test]
fn a_lost_question_is_the_same_question() {
    for shards in [1, 2] {
        let server = Setup::shards(shards).start();
        let open = |request: &Request| {
            let mut connection = server.connect();
            connection.send(request);
            EventStream::begin(connection)
        };
        for round in 0..6 {
            let elicits = json!({ "elicitation": {} });
            let session = Session::open_as(&mut server.connect(), &elicits);
            let mut stream = open(&session.call("test_streaming_elicitation", json!({})));
            let question = stream.next_message();
            let id = stream.last_id().expect("an id").to_owned();
            let at_stream = id.strip_suffix('1').expect("the first message");
            drop(stream);
            // First as if the elicitation had never arrived, then as if it had.
            let mut stream = open(&session.stream_after(&format!("{at_stream}0")));
            assert_eq!(stream.next_message(), question, "round {round}");
            let mut stream = open(&session.stream_after(&id));
            let accepted = json!({ "action": "accept", "content": { "name": "Ann" } });
            let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": accepted });
            for _ in 0..2 {
                let response = server.connect().exchange(&session.message(&answer));
                assert_eq!(response.status(), 202, "{response:?}");
            }
            let answer = stream.next_message();
            assert_eq!(answer["id"], 1, "{answer}");
            let text = answer["result"]["content"][0]["text"].as_str();
            assert!(text.is_some_and(|text| text.contains("Ann")), "{answer}");
            let _ = stream.expect_end();
        }
    }
}
