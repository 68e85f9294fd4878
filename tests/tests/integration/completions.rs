//! Completion: at most a hundred values, with correct totals, in both eras.
//!
//! MCP server/utilities/completion, "Completion Results": at most 100 items, optionally the total,
//! and whether there are more.

use corelane_tests::{Connection, Request, Session};
use serde_json::{Value, json};

use crate::fixture::Fixture;

fn params(reference: Value, argument: &str, value: &str) -> Value {
    json!({ "ref": reference, "argument": { "name": argument, "value": value } })
}

fn prompt() -> Value {
    json!({ "type": "ref/prompt", "name": "place" })
}

fn template() -> Value {
    json!({ "type": "ref/resource", "uri": "fixture:{id}/2" })
}

/// The answers in both eras.
fn query(connection: &mut Connection, session: &Session, params: &Value) -> [Value; 2] {
    let method = "completion/complete";
    [
        session.request(1, method, params.clone()),
        Request::modern(1, method, params.clone()),
    ]
    .map(|request| {
        let response = connection.exchange(&request);
        assert_eq!(response.status(), 200, "{params}: {response:?}");
        response.answer()
    })
}

#[test]
fn at_most_a_hundred_values_are_sent_in_their_order() {
    let server = Fixture::start(2);
    for (mut connection, session) in server.on_each_shard() {
        for (reference, argument) in [(prompt(), "city"), (template(), "id")] {
            for count in [0, 1, 99, 100, 101, 250] {
                let params = params(reference.clone(), argument, &count.to_string());
                for answer in query(&mut connection, &session, &params) {
                    let found = &answer["result"]["completion"];
                    let expected: Vec<String> =
                        (0..count.min(100)).map(|at| format!("city {at}")).collect();
                    assert_eq!(found["values"], json!(expected), "{params}");
                    assert_eq!(found["total"], count, "{found}");
                    assert_eq!(found["hasMore"], count > 100, "{found}");
                }
            }
        }
    }
}

/// A handler with more values than it returns reports that.
#[test]
fn a_larger_total_is_reported() {
    let server = Fixture::start(1);
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    for answer in query(&mut connection, &session, &params(prompt(), "street", "")) {
        let expected = json!({ "values": ["a", "b", "c"], "total": 1000, "hasMore": true });
        assert_eq!(answer["result"]["completion"], expected);
    }
}

/// "Error Handling": a missing or unknown reference is -32602.
#[test]
fn completions_of_unknown_arguments_are_refused() {
    let server = Fixture::start(1);
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    let argument = json!({ "name": "city", "value": "1" });
    for params in [
        params(json!({ "type": "ref/prompt", "name": "none" }), "city", "1"),
        params(
            json!({ "type": "ref/resource", "uri": "none:{id}" }),
            "id",
            "1",
        ),
        params(json!({ "type": "ref/tool", "name": "place" }), "city", "1"),
        params(json!({ "type": "ref/prompt" }), "city", "1"),
        json!({ "ref": prompt() }),
        json!({ "argument": argument }),
        json!({ "ref": prompt(), "argument": { "name": "city" } }),
        json!({ "ref": prompt(), "argument": { "name": "city", "value": 1 } }),
        json!({ "ref": prompt(), "argument": argument, "context": [] }),
        json!({}),
    ] {
        for answer in query(&mut connection, &session, &params) {
            assert_eq!(answer["error"]["code"], -32602, "{params}: {answer}");
        }
    }
}
