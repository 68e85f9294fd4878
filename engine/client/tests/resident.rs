//! The memory of a process whose client makes many calls, and of one that opens many connections.
//! It is a process of its own, so that no other test grows meanwhile.

use std::path::Path;

use corelane_client::{Client, Era, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

/// Calls at the same time.
const TOGETHER: usize = 256;
/// How far the memory may grow after the first tenth: the allocator keeps what it had.
const GROWTH_BYTES_MAX: usize = 8 << 20;

/// The long form has 100,000.
fn count(variable: &str, short: usize) -> usize {
    let count = std::env::var(variable);
    count.map_or(short, |count| count.parse().expect("a number"))
}

/// Bytes of this process in memory (proc_pid_status(5)).
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<usize>().ok());
    kibibytes.expect("a number") << 10
}

/// Answers each request of one connection.
async fn answer(stream: UnixStream) -> std::io::Result<()> {
    let (input, mut output) = stream.into_split();
    let mut lines = BufReader::new(input).lines();
    while let Some(line) = lines.next_line().await? {
        let message: serde_json::Value = serde_json::from_str(&line).expect("a message");
        let result = match message["method"].as_str() {
            Some("server/discover") => {
                json!({ "supportedVersions": ["2026-07-28"], "capabilities": {} })
            }
            _ => json!({ "content": [], "resultType": "complete" }),
        };
        let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result });
        output.write_all(format!("{answer}\n").as_bytes()).await?;
    }
    Ok(())
}

async fn connect(path: &Path) -> Client {
    let target = format!("unix:{}", path.display());
    let builder = Client::builder().era(Era::Modern);
    builder.connect(target.as_str()).await.expect("a server")
}

#[tokio::test]
async fn memory_is_flat_over_many_calls_and_connections() {
    let folder = tempfile::TempDir::new().expect("a directory");
    let path = folder.path().join("server.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });

    let calls = count("CORELANE_CLIENT_CALLS", 20_000);
    let client = connect(&path).await;
    let mut after_a_tenth = 0;
    for round in 0..calls / TOGETHER {
        let mut together = JoinSet::new();
        for _ in 0..TOGETHER {
            together.spawn(std::future::IntoFuture::into_future(
                client.call("any", json!({})),
            ));
        }
        while let Some(answer) = together.join_next().await {
            answer.expect("no panic").expect("a result");
        }
        if round == calls / TOGETHER / 10 {
            after_a_tenth = resident_bytes();
        }
    }
    let grown = resident_bytes().saturating_sub(after_a_tenth);
    println!("{calls} calls: {grown} bytes after the first tenth of them");
    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes");

    let connections = count("CORELANE_CLIENT_CONNECTIONS", 2_000);
    for number in 0..connections {
        let client = connect(&path).await;
        client.call("any", json!({})).await.expect("a result");
        if number == connections / 10 {
            after_a_tenth = resident_bytes();
        }
    }
    let grown = resident_bytes().saturating_sub(after_a_tenth);
    println!("{connections} connections: {grown} bytes after the first tenth of them");
    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes");
}
