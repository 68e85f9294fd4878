//! W-SOAK: clients of all kinds for a time, after which nothing has grown and nothing is left.
//!
//! Calls, sessions that end, streams, tasks and calls that are given up go on for `CORELANE_SOAK_S`
//! seconds, 60 if it is not set; `perf-scripts/soak.sh` has them run for longer, beside
//! `corelane-load`. Memory is read all the time, and its growth is the slope of its lower bounds.

use std::net::SocketAddr;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use corelane_tests::request::CAPABILITIES_KEY;
use corelane_tests::{Connection, EventStream, Request, Session, Setup, Totals, wait_until};
use serde_json::json;

const CLIENTS: u64 = 6;
/// The memory is that of a busy server after this share of the time.
const WARM_UP: f64 = 0.3;
/// Parts of the rest; the least memory of each counts, and no peak between two collections.
const PARTS: usize = 6;
/// Growth from the first to the last part that counts as noise.
const NOISE_BYTES: f64 = 4e6;
/// The same in a run of less than five minutes, in which pools and tables still grow: the short
/// form finds fast growth, and things that are left.
const SHORT_NOISE_BYTES: f64 = 24e6;

/// One round of a client that does everything once.
fn do_everything(server: SocketAddr, number: u64) {
    let connect = || Connection::open(server).expect("the server takes connections");
    let mut connection = connect();
    let text = format!("text {number}");
    let echo = json!({ "name": "echo", "arguments": { "message": text } });
    let modern = connection.exchange(&Request::modern(number, "tools/call", echo.clone()));
    assert_eq!(modern.answer()["result"]["content"][0]["text"], text);
    let session = Session::open(&mut connection);
    let legacy = connection.exchange(&session.request(number, "tools/call", echo));
    assert_eq!(legacy.answer()["result"]["content"][0]["text"], text);
    let progress = json!({
        "name": "test_tool_with_progress", "arguments": {}, "_meta": { "progressToken": number },
    });
    let mut calling = connect();
    calling.send(&session.request(number, "tools/call", progress));
    let mut stream = connect();
    stream.send(&session.stream());
    assert_eq!(stream.read_head().expect("a head").status, 200);
    let params = json!({ "notifications": { "toolsListChanged": true } });
    let mut listening = connect();
    listening.send(&Request::modern(number, "subscriptions/listen", params));
    let mut listening = EventStream::begin(listening);
    let first = listening.next_message();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    make_tasks(&mut connection, &session, number);
    give_up(connect(), connect(), &session, number);
    assert_eq!(calling.read_response().answer()["id"], number);
    assert_eq!(connection.exchange(&session.delete()).status(), 204);
}

/// A task of each era: one is fetched, and one is cancelled or left.
fn make_tasks(connection: &mut Connection, session: &Session, number: u64) {
    let arguments = json!({ "seconds": 0.01, "label": "soak" });
    let mut params = json!({ "name": "slow_compute", "arguments": arguments, "task": {} });
    let made = connection.exchange(&session.request(number, "tools/call", params.clone()));
    let task = made.answer()["result"]["task"]["taskId"].take();
    let about = json!({ "taskId": task });
    let result = connection.exchange(&session.request(number, "tasks/result", about));
    let text = &result.answer()["result"]["content"][0]["text"];
    assert_eq!(*text, "Computed soak in 0.01 s", "{result:?}");
    params["arguments"]["seconds"] = json!(60);
    params["task"].take();
    let extensions = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    let call =
        Request::modern(number, "tools/call", params).meta(CAPABILITIES_KEY, extensions.clone());
    let made = connection.exchange(&call);
    let made = made.answer();
    let task = made["result"]["taskId"]
        .as_str()
        .unwrap_or_else(|| panic!("no task: {made}"));
    if number.is_multiple_of(2) {
        let cancel = Request::modern(number, "tasks/cancel", json!({ "taskId": task }));
        let cancel = cancel
            .field("Mcp-Name", task)
            .meta(CAPABILITIES_KEY, extensions);
        let cancelled = connection.exchange(&cancel);
        assert!(cancelled.answer()["result"].is_object(), "{cancelled:?}");
    }
}

/// Calls that are cancelled, or that their client leaves.
fn give_up(mut one: Connection, mut other: Connection, session: &Session, number: u64) {
    let minute = json!({ "name": "sleep", "arguments": { "ms": 60_000 } });
    one.send(&session.request("given up", "tools/call", minute.clone()));
    other.send(&Request::modern(number, "tools/call", minute));
    wait_until("the end of the cancelled call", || {
        let cancelled = session.cancelled("given up");
        let mut third = Connection::open(one.address()).expect("the server takes connections");
        assert_eq!(third.exchange(&cancelled).status(), 202);
        one.try_read_response(Duration::from_millis(20)).ok()
    });
}

/// The exit code of `corelane-load` if it had too little of the processor for its rate.
const OUTPACED: i32 = 4;

/// Starts `CORELANE_SOAK_LOAD`, a `corelane-load`, if that is set: calls of both eras with aborts
/// and churn of connections and sessions, beside idle streams.
fn start_loads(server: SocketAddr, seconds: u64) -> Vec<Child> {
    let Some(program) = std::env::var_os("CORELANE_SOAK_LOAD") else {
        return Vec::new();
    };
    let mix = concat!(env!("CARGO_MANIFEST_DIR"), "/soak-mix.toml");
    let url = format!("http://{server}/mcp");
    // They end before the clients of this process.
    let duration = format!("{}s", seconds.saturating_sub(5).max(1));
    let legacy = ["--revision", "2025-11-25"];
    [
        &["call", "--mix", mix, "--connections", "500", "--rate", "1k"][..],
        &[
            "call",
            "--mix",
            mix,
            "--connections",
            "500",
            "--rate",
            "500",
            legacy[0],
            legacy[1],
        ],
        &["soak", "--kind", "listen", "--connections", "10000"],
        &[
            "soak",
            "--kind",
            "session",
            "--connections",
            "5000",
            legacy[0],
            legacy[1],
        ],
    ]
    .map(|arguments| {
        let mut command = Command::new(&program);
        command
            .args(arguments)
            .args(["--duration", &duration, &url]);
        command.spawn().expect("the load generator starts")
    })
    .into()
}

/// Least memory of each part of the time, in bytes, and its slope in bytes a part: the median of
/// the slopes between two parts (Theil and Sen), so that one step, of a burst on a busy machine, is
/// no slope and a leak is.
fn slope(samples: &[usize]) -> (Vec<f64>, f64) {
    let samples = &samples[(samples.len() as f64 * WARM_UP) as usize..];
    let least = |part: &[usize]| *part.iter().min().expect("a part is not empty") as f64;
    let parts: Vec<f64> = samples
        .chunks_exact(samples.len() / PARTS)
        .map(least)
        .collect();
    let mut slopes = Vec::new();
    for (from, before) in parts.iter().enumerate() {
        for (to, after) in parts.iter().enumerate().skip(from + 1) {
            slopes.push((after - before) / (to - from) as f64);
        }
    }
    slopes.sort_by(f64::total_cmp);
    let median = slopes[slopes.len() / 2];
    (parts, median)
}

#[test]
fn a_step_is_no_slope_and_a_leak_is() {
    let samples = |bytes: &dyn Fn(usize) -> usize| (0..600).map(bytes).collect::<Vec<_>>();
    let step = samples(&|at| if at < 250 { 70 << 20 } else { 100 << 20 });
    assert!(slope(&step).1.abs() < 1.0);
    let leak = samples(&|at| (70 << 20) + at * 10_000);
    assert!(slope(&leak).1 > 500_000.0);
}

#[test]
fn nothing_grows_and_nothing_is_left() {
    let seconds = std::env::var("CORELANE_SOAK_S");
    let seconds = seconds.map_or(60.0, |text| {
        text.parse::<f64>().expect("a number of seconds")
    });
    // Kept events would grow to their bound for the first hours.
    let profile = "[tasks]\nttl_default_ms = 5000\nper_owner_max = 10000\n\
        [streams]\nkept_bytes_max = 1048576\nkept_bytes_per_session_max = 16384";
    let server = Setup::shards(2).profile(profile).start();
    let loads = start_loads(server.address(), seconds as u64);
    let (has_ended, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
    let address = server.address();
    let samples = thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while !has_ended.load(Ordering::Relaxed) {
                    do_everything(address, rounds.fetch_add(1, Ordering::Relaxed));
                }
            });
        }
        let began = Instant::now();
        let mut samples = Vec::new();
        while began.elapsed().as_secs_f64() < seconds {
            thread::sleep(Duration::from_millis(50));
            samples.push(server.resident_bytes());
        }
        has_ended.store(true, Ordering::Relaxed);
        samples
    });
    for mut load in loads {
        let status = load.wait().expect("it is our child");
        assert!(matches!(status.code(), Some(0 | OUTPACED)), "{status}");
    }
    let (parts, slope) = slope(&samples);
    let rounds = rounds.into_inner();
    println!("{rounds} rounds, least RSS of each part: {parts:?} bytes, slope {slope:.0}");
    // The time of every task is over by then; a drain does not end tasks that are kept.
    thread::sleep(Duration::from_secs(8));
    print!("{}", Totals::of_end(&server, || server.log()));
    let growth = slope * (PARTS - 1) as f64;
    let noise = if seconds < 300.0 {
        SHORT_NOISE_BYTES
    } else {
        NOISE_BYTES
    };
    assert!(growth < noise, "{growth} bytes more at the end: {parts:?}");
}
