//! Servers on lines, over a pipe in memory. Time is virtual.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use corelane_client::{Client, Clock, Era, Error, json};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};

/// Bytes that a pipe holds.
const PIPE_BYTES: usize = 64 << 10;

/// The messages that a server got.
pub(crate) type Seen = Arc<Mutex<Vec<Value>>>;

/// A server that gives `answer` for each message: the messages to send.
pub(crate) fn serve(
    answer: impl Fn(&Value) -> Vec<Value> + Send + 'static,
) -> ((DuplexStream, DuplexStream), Seen) {
    let (client_in, mut server_out) = tokio::io::duplex(PIPE_BYTES);
    let (server_in, client_out) = tokio::io::duplex(PIPE_BYTES);
    let seen = Seen::default();
    let record = Arc::clone(&seen);
    tokio::spawn(async move {
        let mut lines = BufReader::new(server_in).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let message: Value = serde_json::from_str(&line).expect("a message");
            let answers = answer(&message);
            record.lock().expect("no panic").push(message);
            for answer in answers {
                let line = format!("{answer}\n");
                if server_out.write_all(line.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    });
    ((client_in, client_out), seen)
}

pub(crate) fn result(request: &Value, result: Value) -> Vec<Value> {
    vec![json!({"jsonrpc": "2.0", "id": request["id"], "result": result})]
}

/// Answers the handshake of the modern era; none for other messages.
pub(crate) fn greeting(message: &Value) -> Option<Vec<Value>> {
    let greeting = json!({"supportedVersions": ["2026-07-28"], "capabilities": {}});
    (message["method"] == "server/discover").then(|| result(message, greeting))
}

/// The methods of the messages, and the ids of requests.
pub(crate) fn methods(seen: &Seen) -> Vec<String> {
    let seen = seen.lock().expect("no panic");
    let name = |message: &Value| message["method"].as_str().unwrap_or("response").to_owned();
    seen.iter().map(name).collect()
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ignores_the_probe_is_legacy() {
    let (pipe, seen) = serve(|message| match message["method"].as_str() {
        Some("initialize") => {
            let version = json!({"protocolVersion": "2025-06-18", "capabilities": {}});
            result(message, version)
        }
        Some("tools/list") => result(message, json!({"tools": []})),
        _ => Vec::new(),
    });
    let client = Client::builder().connect(pipe).await.expect("a server");
    assert_eq!(client.era(), Era::Legacy);
    assert_eq!(client.revision().as_str(), "2025-06-18");
    client.tools().await.expect("a list");
    let expected = [
        "server/discover",
        "initialize",
        "notifications/initialized",
        "tools/list",
    ];
    assert_eq!(methods(&seen), expected);
}

/// Programs that download themselves take longer than the probe waits.
#[tokio::test(start_paused = true)]
async fn a_modern_server_that_starts_slowly_is_modern() {
    for (era, requests) in [(Era::Auto, 3), (Era::Modern, 1)] {
        let (client_in, mut server_out) = tokio::io::duplex(PIPE_BYTES);
        let (server_in, client_out) = tokio::io::duplex(PIPE_BYTES);
        let server = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(20)).await;
            let mut lines = BufReader::new(server_in).lines();
            let mut answered = 0;
            while let Ok(Some(line)) = lines.next_line().await {
                let message: Value = serde_json::from_str(&line).expect("a message");
                let error = json!({"code": -32022, "message": "no", "data":
                    {"supported": ["2026-07-28"]}});
                let refusal = json!({"jsonrpc": "2.0", "id": message["id"], "error": error});
                let answer = greeting(&message).unwrap_or_else(|| vec![refusal]);
                let line = format!("{}\n", answer[0]);
                let _ = server_out.write_all(line.as_bytes()).await;
                answered += 1;
            }
            answered
        });
        let client = Client::builder().era(era).connect((client_in, client_out));
        let client = client.await.expect("a server");
        assert_eq!(client.era(), Era::Modern);
        client.close().await;
        assert_eq!(server.await.expect("an end"), requests);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_at_any_poll_is_cancelled_and_leaves_nothing() {
    let (pipe, seen) = serve(|message| greeting(message).unwrap_or_default());
    let client = Client::builder().connect(pipe).await.expect("a server");
    for polls in 1..20 {
        let before = methods(&seen).len();
        let mut call = Box::pin(std::future::IntoFuture::into_future(
            client.call("never", json!({})),
        ));
        for _ in 0..polls {
            let polled =
                std::future::poll_fn(|context| std::task::Poll::Ready(call.as_mut().poll(context)));
            assert!(polled.await.is_pending());
            tokio::task::yield_now().await;
        }
        drop(call);
        // The pipe is in memory: when time moves, every task is idle.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let seen = seen.lock().expect("no panic");
        let [sent, cancelled] = &seen[before..] else {
            panic!("{polls}: {:?}", &seen[before..]);
        };
        assert_eq!(sent["method"], "tools/call");
        assert_eq!(cancelled["method"], "notifications/cancelled");
        assert_eq!(cancelled["params"]["requestId"], sent["id"]);
    }
}

#[tokio::test(start_paused = true)]
async fn progress_starts_the_clock_of_silence_anew_and_not_that_of_the_whole_call() {
    let (client_in, mut server_out) = tokio::io::duplex(PIPE_BYTES);
    let (server_in, client_out) = tokio::io::duplex(PIPE_BYTES);
    tokio::spawn(async move {
        let mut lines = BufReader::new(server_in).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let message: Value = serde_json::from_str(&line).expect("a message");
            if let Some(answers) = greeting(&message) {
                let line = format!("{}\n", answers[0]);
                server_out
                    .write_all(line.as_bytes())
                    .await
                    .expect("a reader");
            } else if message["method"] == "tools/call" {
                let token = &message["params"]["_meta"]["progressToken"];
                for progress in 0.. {
                    tokio::time::sleep(Duration::from_secs(40)).await;
                    let params = json!({"progressToken": token, "progress": progress});
                    let method = "notifications/progress";
                    let line = json!({"jsonrpc": "2.0", "method": method, "params": params});
                    let line = format!("{line}\n");
                    if server_out.write_all(line.as_bytes()).await.is_err() {
                        return;
                    }
                }
            }
        }
    });
    let client = Client::builder()
        .connect((client_in, client_out))
        .await
        .expect("a server");
    let start = tokio::time::Instant::now();
    let late = client.call("slow", json!({})).await;
    assert!(
        matches!(late, Err(Error::Timeout(Clock::Total))),
        "{late:?}"
    );
    assert_eq!(start.elapsed().as_secs(), 300);
    let late = client
        .call("slow", json!({}))
        .timeout(Duration::from_secs(30))
        .await;
    assert!(
        matches!(late, Err(Error::Timeout(Clock::Silence))),
        "{late:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn rounds_are_bounded_and_carry_the_state_they_got() {
    let (pipe, seen) = serve(|message| {
        let state = json!({"resultType": "input_required", "requestState": "s\u{e9}",
            "inputRequests": {"k": {"method": "roots/list"}}});
        greeting(message).unwrap_or_else(|| result(message, state))
    });
    let client = Client::builder()
        .roots(["file:///a"])
        .connect(pipe)
        .await
        .expect("a server");
    let error = client
        .call("again", json!({"x": 1}))
        .await
        .expect_err("no end");
    assert!(error.to_string().contains("10 rounds"), "{error}");
    let seen = seen.lock().expect("no panic");
    let calls: Vec<&Value> = seen
        .iter()
        .filter(|it| it["method"] == "tools/call")
        .collect();
    assert_eq!(calls.len(), 11);
    let mut ids: Vec<_> = calls.iter().map(|call| call["id"].as_u64()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 11);
    assert!(calls[0]["params"].get("requestState").is_none());
    for call in &calls[1..] {
        let params = &call["params"];
        assert_eq!(params["requestState"], "s\u{e9}");
        assert_eq!(
            params["inputResponses"]["k"]["roots"][0]["uri"],
            "file:///a"
        );
        assert_eq!(params["arguments"], json!({"x": 1}));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_of_a_modern_server_is_not_answered_and_of_a_legacy_one_it_is() {
    for (era, expected) in [(Era::Modern, 0), (Era::Legacy, 1)] {
        let (pipe, seen) = serve(|message| match message["method"].as_str() {
            Some("initialize") => {
                let version = json!({"protocolVersion": "2025-11-25", "capabilities": {}});
                result(message, version)
            }
            Some("tools/list") => {
                let ping = json!({"jsonrpc": "2.0", "id": "p", "method": "ping"});
                [vec![ping], result(message, json!({"tools": []}))].concat()
            }
            _ => greeting(message).unwrap_or_default(),
        });
        let client = Client::builder()
            .era(era)
            .connect(pipe)
            .await
            .expect("a server");
        client.tools().await.expect("a list");
        tokio::time::sleep(Duration::from_millis(1)).await;
        let seen = seen.lock().expect("no panic");
        let answers: Vec<&Value> = seen.iter().filter(|it| it["id"] == "p").collect();
        assert_eq!(answers.len(), expected, "{era:?}");
        assert!(
            answers.iter().all(|answer| answer["result"] == json!({})),
            "{answers:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn pages_that_repeat_or_have_no_end_are_an_error() {
    for (cursor, fault) in [
        ("same", "follows itself"),
        ("", "follows itself"),
        ("n", "64 pages"),
    ] {
        let (pipe, seen) = serve(move |message| {
            let next = match cursor {
                "n" => json!(message["id"].to_string()),
                same => json!(same),
            };
            let page = json!({"tools": [], "nextCursor": next});
            greeting(message).unwrap_or_else(|| result(message, page))
        });
        let client = Client::builder().connect(pipe).await.expect("a server");
        let error = client.tools().await.expect_err("no end").to_string();
        assert!(error.contains(fault), "{error}");
        assert!(methods(&seen).len() <= 65);
    }
}
