//! Streams that break and are resumed, through any shard.

use corelane_tests::{
    Connection, EventStream, Item, LivenessProbe, Request, Response, Server, Session, Setup,
};
use serde_json::{Value, json};

/// Reports 0, 50 and 100 as progress, 50 ms apart, before it answers.
const PROGRESS: &str = "test_tool_with_progress";

/// Rounds after which clients have resumed on shards other than their first.
const ROUNDS: usize = 8;

fn begin(server: &Server, request: &Request) -> EventStream {
    let mut connection = server.connect();
    connection.send(request);
    EventStream::begin(connection)
}

fn call(server: &Server, session: &Session) -> EventStream {
    let call = session.call(PROGRESS, json!({})).meta("progressToken", "p");
    begin(server, &call)
}

/// A short form of a message: its progress, or that it is the answer.
fn short(message: &Value) -> String {
    match message["params"]["progress"].as_f64() {
        Some(progress) => progress.to_string(),
        None => {
            assert_eq!(message["id"], 1, "{message}");
            assert!(message["result"]["content"].is_array(), "{message}");
            "answer".to_owned()
        }
    }
}

/// Reads to the end of a stream: the messages in short form, and its connection.
fn rest(mut stream: EventStream) -> (Vec<String>, Connection) {
    let mut messages = Vec::new();
    loop {
        match stream.next_item() {
            Item::Message(message) => messages.push(short(&message)),
            Item::Comment(_) => {}
            Item::End => return (messages, stream.expect_end()),
        }
    }
}

fn id_of(stream: &EventStream) -> String {
    stream.last_id().expect("an event with an id").to_owned()
}

fn check_refused(response: &Response, status: u16, says: &str) {
    assert_eq!(response.status(), status, "{response:?}");
    let message = response.json()["error"]["message"].clone();
    let message = message.as_str().expect("a text");
    assert!(message.contains(says), "{message}");
}

#[test]
fn a_call_whose_connection_broke_is_resumed_with_every_event_once() {
    for shards in [1, 2, 4] {
        let server = Setup::shards(shards).start();
        let mut probe = LivenessProbe::of(&server);
        let session = Session::open(&mut server.connect());
        for round in 0..ROUNDS {
            let mut stream = call(&server, &session);
            let mut messages = vec![short(&stream.next_message())];
            let first = id_of(&stream);
            messages.extend((0..round % 3).map(|_| short(&stream.next_message())));
            let mut id = id_of(&stream);
            if round % 2 == 1 {
                // As if the connection had broken after the first event.
                messages.clear();
                let at_stream = first.strip_suffix('1').expect("the event after that");
                id = format!("{at_stream}0");
            }
            drop(stream);
            let (after, mut connection) = rest(begin(&server, &session.stream_after(&id)));
            messages.extend(after);
            assert_eq!(messages, ["0", "50", "100", "answer"], "round {round}");
            // The connection goes on after the stream.
            let ping = connection.exchange(&session.request(9, "ping", Value::Null));
            assert_eq!(ping.json()["id"], 9);
            probe.check(&format!("round {round}"));
        }
    }
}

#[test]
fn a_stream_is_resumed_as_often_as_it_is_lost_and_after_its_end() {
    for shards in [1, 2, 4] {
        let server = Setup::shards(shards).start();
        let session = Session::open(&mut server.connect());
        for round in 0..ROUNDS {
            let mut messages = Vec::new();
            let mut stream = call(&server, &session);
            let mut ids = Vec::new();
            for _ in 0..3 {
                messages.push(short(&stream.next_message()));
                ids.push(id_of(&stream));
                stream = begin(&server, &session.stream_after(&ids[ids.len() - 1]));
            }
            messages.extend(rest(stream).0);
            let expected = ["0", "50", "100", "answer"];
            assert_eq!(messages, expected, "round {round}");
            for (at, id) in ids.iter().enumerate() {
                let (messages, _) = rest(begin(&server, &session.stream_after(id)));
                assert_eq!(messages, expected[at + 1..], "round {round}");
            }
        }
    }
}

#[test]
fn a_client_that_comes_back_takes_the_stream_from_its_other_connection() {
    for shards in [1, 2, 4] {
        let server = Setup::shards(shards).start();
        let session = Session::open(&mut server.connect());
        for _ in 0..ROUNDS {
            let mut first = call(&server, &session);
            assert_eq!(short(&first.next_message()), "0");
            let id = id_of(&first);
            let second = begin(&server, &session.stream_after(&id));
            let (messages, _) = rest(second);
            assert_eq!(messages, ["50", "100", "answer"]);
            // The old stream ends, with at most the messages from before the new one.
            let (messages, _) = rest(first);
            assert!(!messages.contains(&"answer".to_owned()), "{messages:?}");
        }
    }
}

#[test]
fn streams_of_others_and_of_the_past_give_nothing() {
    for shards in [1, 2, 4] {
        let server = Setup::shards(shards).start();
        let mut connection = server.connect();
        let session = Session::open(&mut connection);
        let other = Session::open(&mut connection);
        let mut stream = call(&server, &session);
        stream.next_message();
        let id = id_of(&stream);
        let (home, _) = id.split_once('-').expect("a home shard");
        let unknown = "unknown or its stream is no longer kept";
        for (session, id, says) in [
            (&other, id.as_str(), unknown),
            (&session, &format!("{home}-ffff-0"), unknown),
            (&session, "ffff-0-0", unknown),
            (&session, &format!("{id}0"), unknown),
            (&session, "1", "no id that this server gives"),
        ] {
            for _ in 0..ROUNDS {
                let response = server.connect().exchange(&session.stream_after(id));
                check_refused(&response, 400, says);
            }
        }
        let two = session.stream_after(&id);
        let two = two.repeated_field("Last-Event-ID", &format!("{id}0"));
        let says = "Last-Event-ID has values that differ";
        check_refused(&connection.exchange(&two), 400, says);
        assert_eq!(rest(stream).0, ["50", "100", "answer"], "none of it harmed");
        assert_eq!(connection.exchange(&session.delete()).status(), 204);
        let response = connection.exchange(&session.stream_after(&id));
        check_refused(&response, 404, "no such session");
    }
}

#[test]
fn a_stream_that_ended_with_its_answer_is_over() {
    for shards in [1, 2, 4] {
        let server = Setup::shards(shards).start();
        let mut connection = server.connect();
        let session = Session::open(&mut connection);
        for _ in 0..ROUNDS {
            let mut stream = call(&server, &session);
            while short(&stream.next_message()) != "answer" {}
            let last = id_of(&stream);
            let again = server.connect().exchange(&session.stream_after(&last));
            assert_eq!(again.status(), 204, "{again:?}");
            assert!(again.body.is_empty());
        }
    }
}

#[test]
fn the_refusal_of_a_resume_names_dropped_events() {
    let profile = "[streams]\nkept_events_per_stream_max = 1";
    let server = Setup::shards(1).profile(profile).start();
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    let mut stream = call(&server, &session);
    stream.next_message();
    let id = id_of(&stream);
    assert_eq!(rest(stream).0, ["50", "100", "answer"]);
    let response = connection.exchange(&session.stream_after(&id));
    check_refused(&response, 400, "were dropped");
}

#[test]
fn a_server_that_keeps_nothing_serves_streams_without_ids() {
    let profile = "[streams]\nkept_bytes_max = 0\nkept_bytes_per_session_max = 0";
    let server = Setup::shards(1).profile(profile).start();
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    let mut stream = call(&server, &session);
    assert_eq!(short(&stream.next_message()), "0");
    assert_eq!(stream.last_id(), None);
    assert_eq!(rest(stream).0, ["50", "100", "answer"]);
    let response = connection.exchange(&session.call("test_reconnection", json!({})));
    assert_eq!(response.answer()["id"], 1, "{response:?}");
}

#[test]
fn a_call_that_closes_its_stream_is_answered_when_its_client_comes_back() {
    for shards in [1, 2, 4] {
        let server = Setup::shards(shards).start();
        let session = Session::open(&mut server.connect());
        for _ in 0..ROUNDS {
            let call = session.call("test_reconnection", json!({}));
            let mut stream = begin(&server, &call);
            assert_eq!(stream.next_item(), Item::End);
            assert!(stream.retry_ms().is_some(), "{stream:?}");
            let request = session.stream_after(&id_of(&stream));
            // The connection is as good as any other.
            let mut connection = stream.expect_end();
            connection.send(&request);
            let mut stream = EventStream::begin(connection);
            let answer = stream.next_message();
            assert_eq!(answer["id"], 1, "{answer}");
            assert_eq!(rest(stream).0, [] as [&str; 0]);
        }
    }
}
