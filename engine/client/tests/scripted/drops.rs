//! Futures that are dropped at any poll leave no task, no slot and no process behind.

use std::future::{Future, poll_fn};
use std::path::Path;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use corelane_client::{Client, Error, Filter, Prompt, Reference, json};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, split};

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
