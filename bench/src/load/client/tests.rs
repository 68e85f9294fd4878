//! Bytes of servers, one by one, and the events that they cause.

use super::{Checkers, Client, Ending, Event, Exchange, Purpose};
use crate::load::answer::{Checker, Expected};
use crate::load::script::FIRST_ID;
use crate::load::tally::Failure;
use crate::load::target::Wire;
use corelane_protocol::framing::http1::HeadCache;
use corelane_protocol::framing::websocket::{Opcode, write_frame};

fn exchange(purpose: Purpose, id: u64) -> Exchange {
    Exchange {
        purpose,
        id,
        intended_ns: 0,
        sent_ns: 0,
        is_aborted: false,
    }
}

/// Gives `answer` byte by byte to a connection with `in_flight`.
fn read(in_flight: &[Exchange], answer: &str) -> (Client, Vec<Event>) {
    let mut client = Client::connecting(Wire::Http, 0);
    client.in_flight.extend(in_flight);
    let mut checkers = Checkers {
        initialize: Checker::new(Expected::Initialized),
        kinds: vec![Checker::new(Expected::Object)],
        has_fixed_ids: false,
    };
    let (mut heads, mut events) = (HeadCache::default(), Vec::new());
    for byte in answer.as_bytes() {
        client
            .take(&mut [*byte], &mut heads, &mut checkers, &mut events)
            .unwrap();
    }
    (client, events)
}

fn answer(status: &str, body: &str) -> String {
    let bytes = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nMcp-Session-Id: s\r\n\
         Content-Length: {bytes}\r\n\r\n{body}"
    )
}

fn ending(purpose: Purpose, status: &str, body: &str) -> String {
    let (client, events) = read(&[exchange(purpose, 7)], &answer(status, body));
    assert!(client.in_flight.is_empty());
    match &events[..] {
        [
            Event::Done {
                ending, session, ..
            },
        ] => {
            assert_eq!(session.as_deref(), Some("s"));
            match ending {
                Ending::Correct { .. } => "right".to_owned(),
                Ending::Failed(failure, line) => format!("{failure:?} {line}"),
            }
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn answers_end_exchanges() {
    let request = Purpose::Request(0);
    let right = r#"{"jsonrpc":"2.0","id":7,"result":{}}"#;
    let error = r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32602}}"#;
    assert_eq!(ending(request, "200 OK", right), "right");
    assert!(ending(request, "400 Bad Request", error).starts_with("Protocol"));
    assert!(ending(request, "500 Error", "oops").starts_with("Http status 500"));
    assert!(ending(request, "200 OK", "").starts_with("WrongAnswer"));
    assert!(ending(request, "503 Busy", "").starts_with("Http status 503"));
    assert_eq!(ending(Purpose::Initialized, "202 Accepted", ""), "right");
    assert!(ending(Purpose::Initialized, "400 Bad", "{}").starts_with("Http status 400"));
    assert_eq!(ending(Purpose::Delete, "405 Not Allowed", ""), "right");
    assert!(ending(Purpose::Initialize, "200 OK", right).starts_with("WrongAnswer"));
}

#[test]
fn answers_come_in_the_order_of_requests() {
    let requests = [8, 9].map(|id| exchange(Purpose::Request(0), id));
    let body = |id: u64| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#);
    let both = answer("200 OK", &body(8)) + &answer("200 OK", &body(8));
    let (_, events) = read(&requests, &both);
    let failures: Vec<bool> = events
        .iter()
        .map(|event| match event {
            Event::Done { ending, .. } => {
                matches!(ending, Ending::Failed(Failure::WrongAnswer, _))
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(failures, [false, true]);
}

#[test]
fn streams_open_and_bring_notifications() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let event = |method: &str| {
        chunk(&format!(
            "data: {{\"jsonrpc\":\"2.0\",\"method\":\"{method}\"}}\n\n"
        ))
    };
    let changed = "notifications/tools/list_changed";
    let received = |events: &[Event]| -> Vec<String> {
        let received = events.iter().map(|event| match event {
            Event::StreamOpen => "open".to_owned(),
            Event::Notification(method) => method.clone(),
            Event::Done { .. } => "done".to_owned(),
            Event::Ping(_) | Event::Records(_) | Event::Secured => "another".to_owned(),
        });
        received.collect()
    };
    let get = exchange(Purpose::Stream, 0);
    let (_, events) = read(&[get], &(head.to_owned() + &event(changed)));
    assert_eq!(received(&events), ["open", changed]);
    let listen = exchange(Purpose::Stream, 5);
    let acknowledged = event("notifications/subscriptions/acknowledged");
    let (_, events) = read(
        &[listen],
        &(head.to_owned() + &acknowledged + &event(changed)),
    );
    assert_eq!(received(&events), ["open", changed]);
    let (_, events) = read(&[get], &answer("405 Not Allowed", ""));
    assert_eq!(received(&events), ["done"]);
}
#[test]
fn answers_on_a_channel_come_in_any_order() {
    let mut client = Client::connecting(Wire::WebSocket, 0);
    let upgrade = exchange(Purpose::Upgrade, FIRST_ID);
    let ids = [FIRST_ID + 1, FIRST_ID + 2];
    let calls = ids.map(|id| exchange(Purpose::Request(0), id));
    client.in_flight.extend([upgrade, calls[0], calls[1]]);
    let mut stream = b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec();
    let texts = [
        format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, ids[1]),
        r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#.to_owned(),
        format!(r#"{{"result":{{"id":5}},"jsonrpc":"2.0","id":{}}}"#, ids[0]),
    ];
    for text in &texts {
        write_frame(&mut stream, Opcode::Text, text.as_bytes(), None);
    }
    write_frame(&mut stream, Opcode::Ping, b"p", None);
    let mut checkers = Checkers {
        initialize: Checker::new(Expected::Initialized),
        kinds: vec![Checker::new(Expected::Object)],
        has_fixed_ids: false,
    };
    let (mut heads, mut events) = (HeadCache::default(), Vec::new());
    for byte in stream {
        let taken = client.take(&mut [byte], &mut heads, &mut checkers, &mut events);
        taken.unwrap();
    }
    let received = events.iter().map(|event| match event {
        Event::Done {
            exchange, ending, ..
        } => {
            assert_eq!(*ending, Ending::CORRECT);
            exchange.id - FIRST_ID
        }
        Event::Notification(_) => 10,
        Event::Ping(payload) => 20 + payload.len() as u64,
        Event::StreamOpen | Event::Records(_) | Event::Secured => 30,
    });
    assert_eq!(received.collect::<Vec<_>>(), [0, 2, 10, 1, 21]);
    assert!(client.in_flight.is_empty());
}

/// The baseline answers each line with the same bytes.
#[test]
fn answers_with_one_id_belong_to_the_oldest_request() {
    let mut client = Client::connecting(Wire::Lines, 0);
    let calls = [1, 2].map(|id| exchange(Purpose::Request(0), FIRST_ID + id));
    client.in_flight.extend(calls);
    let mut checkers = Checkers {
        initialize: Checker::new(Expected::Initialized),
        kinds: vec![Checker::new(Expected::Same)],
        has_fixed_ids: true,
    };
    let (mut heads, mut events) = (HeadCache::default(), Vec::new());
    let mut lines = *b"{\"id\":1}\n{\"id\":1}\n";
    let taken = client.take(&mut lines, &mut heads, &mut checkers, &mut events);
    taken.unwrap();
    let done = events.iter().map(|event| match event {
        Event::Done {
            exchange,
            ending: Ending::CORRECT,
            ..
        } => exchange.id - FIRST_ID,
        other => panic!("{other:?}"),
    });
    assert_eq!(done.collect::<Vec<_>>(), [1, 2]);
}
