//! Futures that are dropped at any poll leave no task, no slot and no process behind.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::path::Path;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use corelane_client::{Client, Era, Error, Filter, Prompt, Reference, json};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, split};

use crate::http_server::{self, Answer};

/// Polls after which a future is dropped: more than any of these takes.
const POLLS_MAX: usize = 40;
/// More calls than a client has slots.
const CALLS: usize = 1100;

type Request<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + 'a>>;

/// Answers every request of the modern era, each after a turn of the runtime.
async fn serve(stream: DuplexStream) {
    let (reader, mut writer) = split(stream);
    let mut lines = BufReader::new(reader).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let message: Value = serde_json::from_str(&line).expect("a message");
        let result = match message["method"].as_str() {
            Some("server/discover") => {
                json!({"supportedVersions": ["2026-07-28"], "capabilities": {}})
            }
            Some("prompts/get") => json!({"messages": []}),
            Some("completion/complete") => json!({"completion": {"values": []}}),
            Some("tools/list") => json!({"tools": []}),
            Some("tools/call") if message["params"]["name"] == "long" => {
                json!({"resultType": "task", "taskId": "t1", "status": "working"})
            }
            Some("tasks/get") => json!({"taskId": "t1", "status": "working"}),
            _ => json!({"contents": [], "content": []}),
        };
        tokio::task::yield_now().await;
        if message.get("id").is_some() {
            let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
            let line = format!("{answer}\n");
            if writer.write_all(line.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

fn requests(client: &Client) -> Vec<Request<'_>> {
    let reference: Reference = Prompt("p").into();
    vec![
        Box::pin(async { client.tools().await.map(drop) }),
        Box::pin(async { client.call("t", json!({})).await.map(drop) }),
        Box::pin(async { client.read("x:y").await.map(drop) }),
        Box::pin(async { client.prompt("p", [("a", "b")]).await.map(drop) }),
        Box::pin(async { client.complete(reference, "a", "b").await.map(drop) }),
        Box::pin(async { client.listen(Filter::all()).await.map(drop) }),
        Box::pin(async { client.request("x", json!({})).await.map(drop) }),
        Box::pin(async { client.call("long", json!({})).await.map(drop) }),
        Box::pin(async { client.task("t1").result().await.map(drop) }),
    ]
}

/// Polls a future at most so often, and drops it.
async fn poll_and_drop<T>(mut future: Pin<Box<impl Future<Output = T> + ?Sized>>, polls: usize) {
    for _ in 0..polls {
        let polled = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
        if polled.is_ready() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn requests_dropped_at_any_poll_leave_no_task_and_no_slot() {
    let (near, far) = tokio::io::duplex(64 << 10);
    tokio::spawn(serve(far));
    let client = Client::builder()
        .connect(split(near))
        .await
        .expect("a server");
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();
    for polls in 0..POLLS_MAX {
        for request in requests(&client) {
            poll_and_drop(request, polls).await;
        }
    }
    for call in 0..CALLS {
        let request = client.call("t", json!({"call": call}));
        poll_and_drop(Box::pin(async { request.await.map(drop) }), 2).await;
    }
    // The pipe is in memory: when time moves, every task is idle.
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(tasks(), before);
    client.call("t", json!({})).await.expect("a free slot");
}

/// Answers the handshake of either era and takes cancellations; calls get no answer.
fn never(request: &http_server::Request) -> Answer {
    match &*request.name() {
        "tools/call" => Answer::never(),
        _ => Answer::greeting(request).unwrap_or_else(|| Answer::status(202)),
    }
}

/// The calls that a server got, and those of them that their client has given up: in the modern era
/// it ends the stream, in the legacy era it says so (MCP basic/patterns/cancellation).
fn given_up(seen: &http_server::Seen, era: Era) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let seen = seen.lock().expect("no panic");
    let calls = seen.iter().filter(|it| it.name() == "tools/call");
    let id = |value: &Value| value.as_u64().expect("an id");
    let (closed, called): (Vec<_>, Vec<_>) = calls.partition(|it| it.head == "closed");
    let called = called.iter().map(|it| id(&it.message["id"])).collect();
    let cancelled = seen
        .iter()
        .filter(|it| it.name() == "notifications/cancelled");
    let given_up = match era {
        Era::Legacy => cancelled
            .map(|it| id(&it.message["params"]["requestId"]))
            .collect(),
        _ => closed.iter().map(|it| id(&it.message["id"])).collect(),
    };
    (called, given_up)
}

#[tokio::test]
async fn calls_over_http_dropped_at_any_poll_are_given_up_on_the_wire() {
    for era in [Era::Modern, Era::Legacy] {
        let (url, seen) = http_server::start(never).await;
        let client = Client::builder()
            .era(era)
            .connect(url)
            .await
            .expect("a server");
        for polls in 0..POLLS_MAX {
            let call = client.call("t", json!({}));
            poll_and_drop(Box::pin(async { call.await.map(drop) }), polls).await;
        }
        // The last one has reached the server.
        let last = tokio::spawn(std::future::IntoFuture::into_future(
            client.call("t", json!({})),
        ));
        while given_up(&seen, era).0.is_empty() {
            tokio::task::yield_now().await;
        }
        last.abort();
        let all_given_up = async {
            loop {
                let (called, given_up) = given_up(&seen, era);
                if called.is_subset(&given_up) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(60), all_given_up).await;
        ended.unwrap_or_else(|_| panic!("{era:?}: {:?}", given_up(&seen, era)));
    }
}

#[tokio::test]
async fn a_connection_dropped_at_any_poll_leaves_no_process() {
    let folder = tempfile::tempdir().expect("a folder");
    for polls in 0..12 {
        let file = folder.path().join(polls.to_string());
        let mut command = std::process::Command::new("sh");
        command.args([
            "-c",
            "echo $$ > \"$0.new\" && mv \"$0.new\" \"$0\" && cat > /dev/null",
        ]);
        command.arg(&file);
        let connecting = Client::builder().connect(command);
        let started = polls > 0;
        let mut connecting = Box::pin(connecting);
        for _ in 0..polls {
            let polled = poll_fn(|context| Poll::Ready(connecting.as_mut().poll(context))).await;
            assert!(polled.is_pending(), "the program does not answer");
        }
        while started && !file.exists() {
            tokio::task::yield_now().await;
        }
        drop(connecting);
        if started {
            let id = std::fs::read_to_string(&file).expect("an id");
            let process = format!("/proc/{}", id.trim());
            while Path::new(&process).exists() {
                // The runtime reaps it.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
}
