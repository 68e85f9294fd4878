//! Many sessions of many principals at once: each request with a session of another principal is
//! refused as one of an unknown session, and each principal gets its own answers.

use std::thread;

use corelane_tests::request::LEGACY;
use corelane_tests::{Request, Session, Setup};
use serde_json::{Value, json};

const PRINCIPALS: usize = 20;
const SESSIONS_EACH: usize = 50;
const PROFILE: &str = "[server]\nprincipal_header = \"x-user\"";

fn by(principal: usize, request: Request) -> Request {
    request.field("X-User", &format!("user-{principal}"))
}

/// The numbers are those of the principals; each thread is the client of one.
#[test]
fn a_thousand_sessions_of_twenty_principals_are_unknown_to_each_other() {
    let server = Setup::shards(2).profile(PROFILE).start();
    let open = |principal| -> Vec<Session> {
        let mut connection = server.connect();
        let sessions = (0..SESSIONS_EACH).map(|_| {
            let opened = connection.exchange(&by(principal, Request::initialize(LEGACY)));
            let id = opened.head.field("MCP-Session-Id").expect("a session");
            Session { id: id.to_owned() }
        });
        sessions.collect()
    };
    let all: Vec<Vec<Session>> = (0..PRINCIPALS).map(open).collect();
    let unknown = {
        let none = Session { id: "0".repeat(36) };
        let ping = none.request(1, "ping", Value::Null);
        server.connect().exchange(&by(0, ping)).json()
    };
    let check = &|principal: usize| {
        let mut connection = server.connect();
        for (owner, sessions) in all.iter().enumerate() {
            for (number, session) in sessions.iter().enumerate() {
                let text = format!("{principal} in {owner} {number}");
                let call = session.call("echo", json!({ "message": text }));
                let answer = connection.exchange(&by(principal, call));
                if owner == principal {
                    let text_of = &answer.answer()["result"]["content"][0]["text"];
                    assert_eq!(text_of, &json!(text));
                } else {
                    assert_eq!(answer.status(), 404, "{text}: {answer:?}");
                    assert_eq!(answer.json()["error"], unknown["error"], "{text}");
                }
            }
        }
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..PRINCIPALS)
            .map(|principal| scope.spawn(move || check(principal)))
            .collect();
        for client in clients {
            client.join().expect("no crossing");
        }
    });
}
