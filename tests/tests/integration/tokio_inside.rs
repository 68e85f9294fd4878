//! Crates of the tokio ecosystem inside handlers: a client of HTTP, a database, timers, tasks.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use corelane::{Call, CallError, Server, tool};
use corelane_tests::{Connection, Request, Session, wait_until};
use serde_json::{Value, json};
use sqlx::sqlite::{SqlitePool, SqlitePoolOptions};

use crate::fixture::Fixture;

/// Where the tool `fetch` finds its server.
struct Upstream(SocketAddr);

/// Handlers between their first poll and their end.
#[derive(Clone, Default)]
struct Inside(Arc<AtomicUsize>);

impl Inside {
    fn enter(&self) -> Stay<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Stay(&self.0)
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Leaves however the handler ends.
struct Stay<'a>(&'a AtomicUsize);

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Fetches a page.
#[tool]
async fn fetch(call: &Call) -> Result<String, CallError> {
    let url = format!("http://{}/", call.state::<Upstream>()?.0);
    let client = call.state::<reqwest::Client>()?;
    Ok(client.get(url).send().await?.text().await?)
}

/// Adds in a database.
#[tool]
async fn query(call: &Call, a: i64, b: i64) -> Result<i64, CallError> {
    let pool = call.state::<SqlitePool>()?;
    let sum = sqlx::query_scalar("SELECT ? + ?").bind(a).bind(b);
    Ok(sum.fetch_one(pool).await?)
}

/// Waits for a timer.
#[tool]
async fn nap(call: &Call, ms: u64) -> Result<&'static str, CallError> {
    let _stay = call.state::<Inside>()?.enter();
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Ok("slept")
}

/// Adds in a task.
#[tool]
async fn spawn(a: i64, b: i64) -> Result<i64, CallError> {
    Ok(tokio::spawn(async move {
        tokio::task::yield_now().await;
        a + b
    })
    .await?)
}

/// A task of the runtime wakes the handler.
#[tool]
async fn thread_of_its_own() -> Result<&'static str, CallError> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    thread::spawn(move || sender.send("sent"));
    Ok(receiver.await?)
}

fn start(shards: usize) -> (Fixture, Inside) {
    let (upstream, inside) = (upstream(), Inside::default());
    let shared = inside.clone();
    let extend = |server: Server| {
        server
            .with_state(Upstream(upstream))
            .with_state(shared)
            .with_shard_state(reqwest::Client::new)
            .with_shard_state(|| {
                let pool = SqlitePoolOptions::new().max_connections(2);
                pool.connect_lazy("sqlite::memory:").expect("an address")
            })
            .with_tool(fetch())
            .with_tool(query())
            .with_tool(nap())
            .with_tool(spawn())
            .with_tool(thread_of_its_own())
    };
    (Fixture::with(shards, |_| {}, extend), inside)
}

/// A server that answers every request with the same page, until its test ends.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut request = [0; 4096];
                // A request without a body comes in one piece here.
                while stream.read(&mut request).is_ok_and(|bytes| bytes > 0) {
                    let page = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
                    if stream.write_all(page.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[track_caller]
fn check(answer: &Value, text: &str) {
    let expected = json!([{ "type": "text", "text": text }]);
    assert_eq!(answer["result"]["content"], expected, "{answer}");
    assert_ne!(answer["result"]["isError"], true, "{answer}");
}

#[test]
fn clients_databases_timers_and_tasks_of_tokio_work_in_both_eras() {
    let (fixture, inside) = start(2);
    for (mut connection, session) in fixture.on_each_shard() {
        for (tool, arguments, text) in [
            ("fetch", json!({}), "hello"),
            ("query", json!({ "a": 2, "b": 3 }), "5"),
            ("nap", json!({ "ms": 1 }), "slept"),
            ("spawn", json!({ "a": 2, "b": 4 }), "6"),
            ("thread_of_its_own", json!({}), "sent"),
        ] {
            let modern = Request::modern_call(tool, arguments.clone());
            check(&connection.exchange(&modern).answer(), text);
            let legacy = session.call(tool, arguments);
            check(&connection.exchange(&legacy).answer(), text);
        }
    }
    assert_eq!(inside.count(), 0);
}

/// A shard that waits for a handler only sleeps for up to a second at a time; a thread that wakes
/// the handler wakes the shard.
#[test]
fn another_thread_wakes_a_shard_that_sleeps() {
    const CALLS: u32 = 20;
    let (fixture, _) = start(1);
    let mut connection = fixture.connect();
    let began = Instant::now();
    for _ in 0..CALLS {
        let request = Request::modern_call("thread_of_its_own", json!({}));
        check(&connection.exchange(&request).answer(), "sent");
    }
    let took = began.elapsed();
    assert!(took < Duration::from_millis(500) * CALLS, "{took:?}");
}

#[test]
fn ten_thousand_calls_are_answered_while_others_are_cancelled() {
    const CONNECTIONS: i64 = 64;
    const ROUNDS: i64 = 157;
    let (fixture, inside) = start(2);
    let mut connections: Vec<Connection> = (0..CONNECTIONS).map(|_| fixture.connect()).collect();
    let session = Session::open(&mut connections[0]);
    for round in 0..ROUNDS {
        // A modern client that leaves cancels its call (MCP 2026-07-28 basic/transports).
        let mut leaves = fixture.connect();
        leaves.send(&Request::modern_call("nap", json!({ "ms": 600_000 })));
        for (at, connection) in (0..CONNECTIONS).zip(&mut connections) {
            let (tool, arguments) = call_of(at, round);
            let params = json!({ "name": tool, "arguments": arguments });
            connection.send(&match at % 3 {
                0 => session.request(at, "tools/call", params),
                _ => Request::modern(at, "tools/call", params),
            });
        }
        drop(leaves);
        for (at, connection) in (0..CONNECTIONS).zip(&mut connections) {
            let answer = connection.read_response().answer();
            assert_eq!(answer["id"], at, "{answer}");
            let text = match call_of(at, round).0 {
                "fetch" => "hello".to_owned(),
                "nap" => "slept".to_owned(),
                _ => (at + round).to_string(),
            };
            check(&answer, &text);
        }
    }
    wait_until("the end of every cancelled call", || {
        (inside.count() == 0).then_some(())
    });
}

/// The call of connection `at` in a round.
fn call_of(at: i64, round: i64) -> (&'static str, Value) {
    match (at + round) % 16 {
        0 => ("fetch", json!({})),
        1 => ("query", json!({ "a": at, "b": round })),
        2 => ("nap", json!({ "ms": 1 })),
        _ => ("spawn", json!({ "a": at, "b": round })),
    }
}
