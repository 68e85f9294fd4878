//! Servers over HTTP: lost sessions, streams that end early, refusals.

use std::sync::atomic::{AtomicU32, Ordering};

use corelane_client::{Client, Era, Error, json};

use crate::http_server::{Answer, Request, Seen, start};

fn names(seen: &Seen) -> Vec<String> {
    seen.lock()
        .expect("no panic")
        .iter()
        .map(Request::name)
        .collect()
}

/// Answers the handshake of either era; none for other requests.
fn greeting(request: &Request) -> Option<Answer> {
    match &*request.name() {
        "initialize" => {
            let Answer(status, _, body) = Answer::greeting(request)?;
            let fields = "Content-Type: application/json\r\nMcp-Session-Id: s1\r\n";
            Some(Answer(status, fields, body))
        }
        "notifications/initialized" => Some(Answer::status(202)),
        _ => Answer::greeting(request),
    }
}

async fn connect(url: &str, era: Era) -> Client {
    let client = Client::builder()
        .era(era)
        .header("X-Secret", "canary")
        .connect(url)
        .await;
    client.unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn a_lost_session_is_opened_again_once_and_the_request_sent_again() {
    let calls = AtomicU32::new(0);
    let (url, seen) = start(move |request| {
        greeting(request).unwrap_or_else(|| match calls.fetch_add(1, Ordering::Relaxed) {
            0 => Answer::status(404),
            1 => Answer::result(request, &json!({"content": []})),
            _ => Answer::status(404),
        })
    })
    .await;
    let client = connect(&url, Era::Legacy).await;
    client.call("once", json!({})).await.expect("a result");
    let handshake = ["initialize", "notifications/initialized", "tools/call"];
    assert_eq!(names(&seen), [&handshake[..], &handshake].concat());
    // A server that forgets each session at once.
    let error = client
        .call("never", json!({}))
        .await
        .expect_err("no session");
    assert!(matches!(error, Error::NotExecuted { .. }), "{error:?}");
    assert_eq!(names(&seen).len(), 10, "{:?}", names(&seen));
    let seen = seen.lock().expect("no panic");
    for request in seen.iter() {
        let named = request.head.contains("mcp-session-id: s1");
        assert_eq!(named, request.name() != "initialize", "{}", request.head);
    }
}

#[tokio::test]
async fn a_stream_that_ends_early_is_resumed_behind_its_last_event() {
    let (url, seen) = start(|request| {
        let events = "Content-Type: text/event-stream\r\n";
        let message =
            |id: &str| format!(r#"data: {{"jsonrpc":"2.0","id":{id},"result":{{"content":[]}}}}"#);
        greeting(request).unwrap_or_else(|| match &*request.name() {
            "tools/call" => {
                let cut = "id: e1\nretry: 1\ndata:\n\nid: e2\ndata: lost";
                Answer(200, events, cut.to_owned())
            }
            _ if request.head.contains("last-event-id: e1") => {
                Answer(200, events, "id: e3\ndata:\n\n".to_owned())
            }
            _ => Answer(200, events, format!("{}\n\n", message("2"))),
        })
    })
    .await;
    let client = connect(&url, Era::Legacy).await;
    client.call("long", json!({})).await.expect("a result");
    let seen = seen.lock().expect("no panic");
    let resumed: Vec<_> = seen
        .iter()
        .filter(|request| request.name() == "get")
        .collect();
    assert_eq!(resumed.len(), 2);
    assert!(
        resumed[1].head.contains("last-event-id: e3"),
        "{}",
        resumed[1].head
    );
}

#[tokio::test]
async fn each_refusal_says_whether_the_call_was_executed() {
    for (answer, kind, requests) in [
        (401, "Auth", 1),
        (403, "Auth", 1),
        (307, "NotExecuted", 1),
        (404, "NotExecuted", 1),
        (429, "NotExecuted", 1),
        (503, "NotExecuted", 1),
        (500, "Unknown", 1),
        (502, "Unknown", 1),
        (200, "Protocol", 1),
    ] {
        let (url, seen) = start(move |request| {
            greeting(request).unwrap_or(Answer(answer, "Location: http://a/\r\n", String::new()))
        })
        .await;
        let client = connect(&url, Era::Modern).await;
        let error = client.call("x", json!({})).await.expect_err("a refusal");
        assert!(
            format!("{error:?}").starts_with(kind),
            "{answer}: {error:?}"
        );
        assert_eq!(names(&seen).len(), 1 + requests, "{answer}");
        for text in [format!("{error:?} {error}"), format!("{client:?}")] {
            assert!(!text.contains("canary"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_call_is_made_twice_only_if_that_does_no_harm() {
    let (url, seen) = start(|request| greeting(request).unwrap_or(Answer::status(502))).await;
    let client = connect(&url, Era::Modern).await;
    for (is_idempotent, expected) in [(false, 1), (true, 2)] {
        let before = names(&seen).len();
        let call = client.call("x", json!({}));
        let call = if is_idempotent {
            call.idempotent()
        } else {
            call
        };
        assert!(matches!(call.await, Err(Error::Unknown { .. })));
        assert_eq!(names(&seen).len() - before, expected);
    }
    let before = names(&seen).len();
    assert!(client.read("x:y").await.is_err());
    assert_eq!(names(&seen).len() - before, 2);
}

#[tokio::test]
async fn a_header_mismatch_lists_the_tools_and_calls_once_more() {
    let (url, seen) = start(|request| {
        greeting(request).unwrap_or_else(|| {
            if request.name() == "tools/list" {
                let schema = json!({"type": "object", "properties":
                    {"region": {"type": "string", "x-mcp-header": "Region"}}});
                let tool = json!({"name": "x", "inputSchema": schema});
                return Answer::result(request, &json!({"tools": [tool]}));
            }
            if request.head.contains("mcp-param-region: eu") {
                return Answer::result(request, &json!({"content": []}));
            }
            let id = &request.message["id"];
            let error = r#"{"code":-32020,"message":"header"}"#;
            let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#);
            Answer(400, "Content-Type: application/json\r\n", body)
        })
    })
    .await;
    let client = connect(&url, Era::Modern).await;
    client
        .call("x", json!({"region": "eu"}))
        .await
        .expect("a result");
    let expected = ["server/discover", "tools/call", "tools/list", "tools/call"];
    assert_eq!(names(&seen), expected);
}
