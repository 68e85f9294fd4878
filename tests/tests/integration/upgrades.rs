//! Upgrades of a running server to another process of it, and the effect on clients.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use corelane_tests::process::open_files;
use corelane_tests::{
    Connection, EventStream, PATIENCE, Request, Scrape, Server, Session, Setup, wait_until,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::upgraded::{Clients, URI, Upgraded};

#[test]
fn connections_sessions_and_streams_go_on_in_the_next_process() {
    let upgraded = Upgraded::start(Setup::shards(2));
    let mut clients: Vec<Clients> = (0..4).map(|_| Clients::connect(&upgraded.server)).collect();
    clients.iter_mut().take(1).for_each(Clients::check);
    for client in &mut clients[1..] {
        let message = client.stream.next_message();
        assert_eq!(message["params"]["uri"], URI);
        client.listener.next_message();
    }
    for round in 0..3 {
        let before = upgraded.pid();
        let answer = upgraded.upgrade_well();
        assert_eq!(answer["connections"]["moved"], 16, "{answer}");
        assert_eq!(answer["connections"]["left"], 0, "{answer}");
        assert_eq!(answer["sessions"]["copied"], 4, "{answer}");
        assert_ne!(upgraded.pid(), before, "round {round}");
        // A change reaches all of them once, in each process.
        clients[round].check();
        for (at, client) in clients.iter_mut().enumerate() {
            if at != round {
                let message = client.stream.next_message();
                assert_eq!(message["params"]["uri"], URI, "{message}");
                client.listener.next_message();
            }
        }
    }
    // The next process lacks a tool that this one has: all hear of that once.
    clients[0].call("test_trigger_tool_change");
    for times in [1, 2] {
        for client in &mut clients {
            for stream in [&mut client.stream, &mut client.listener] {
                let message = stream.next_message();
                let method = &message["method"];
                assert_eq!(
                    method, "notifications/tools/list_changed",
                    "{times}: {message}"
                );
            }
        }
        upgraded.upgrade_well();
    }
    clients[0].check();
    for client in &mut clients[1..] {
        for stream in [&mut client.stream, &mut client.listener] {
            assert_eq!(stream.next_message()["params"]["uri"], URI);
        }
    }
    // The first process has ended by itself, with everything handed over.
    assert!(upgraded.server.wait_for_exit().success());
    for client in &mut clients {
        let ping = client.session.request(9, "ping", Value::Null);
        assert_eq!(client.unused.exchange(&ping).answer()["result"], json!({}));
        // Events go on with their numbers.
        let last = client.stream.last_id().expect("an id").to_owned();
        let sequence = last.rsplit('-').next().expect("three numbers");
        assert_eq!(sequence, "6", "{last}");
    }
    // A stream is resumed behind its last event.
    let client = clients.remove(0);
    let last = client.stream.last_id().expect("an id").to_owned();
    drop(client.stream);
    let mut again = upgraded.server.connect();
    again.send(&client.session.stream_after(&last));
    let _again = EventStream::begin(again);
    let mut other = upgraded.server.connect();
    assert_eq!(other.exchange(&client.session.delete()).status(), 204);
    let ping = client.session.request(9, "ping", Value::Null);
    assert_eq!(other.exchange(&ping).status(), 404);
}

/// Calls as fast as answers come, on connections that stay and on new ones, until that is over.
fn call_steadily(server: &Server, is_over: &Arc<AtomicBool>) -> Vec<thread::JoinHandle<Duration>> {
    let address = server.address();
    let callers = (0..4).map(|caller| {
        let is_over = Arc::clone(is_over);
        thread::spawn(move || {
            let mut slowest = Duration::ZERO;
            let mut connection = Connection::open(address).expect("it listens");
            let session = Session::open(&mut connection);
            let tool = session.call("test_simple_text", json!({}));
            while !is_over.load(Ordering::Relaxed) {
                let began = Instant::now();
                if caller % 2 == 1 {
                    connection = Connection::open(address).expect("it listens");
                }
                let answer = connection.exchange(&tool);
                assert_eq!(answer.status(), 200, "caller {caller}: {answer:?}");
                if answer.head.field("Connection") == Some("close") {
                    connection = Connection::open(address).expect("it listens");
                }
                slowest = slowest.max(began.elapsed());
            }
            slowest
        })
    });
    callers.collect()
}

#[test]
fn no_call_fails_while_the_server_is_upgraded_again_and_again() {
    // A pinned process has a socket for each of its cores.
    let setup = Setup::shards(2).profile("[server]\npin = \"no\"");
    let upgraded = Upgraded::start(setup);
    let is_over = Arc::new(AtomicBool::new(false));
    let callers = call_steadily(&upgraded.server, &is_over);
    for _ in 0..5 {
        upgraded.upgrade_well();
    }
    is_over.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.join().expect("no call fails");
    }
    // Leftovers of an upgrade would grow with their number.
    let pid = upgraded.pid();
    let before = open_files(pid as u32);
    upgraded.upgrade_well();
    let pid = upgraded.pid();
    wait_until("as many open files as before", || {
        (open_files(pid as u32) <= before).then_some(())
    });
}

#[test]
fn calls_end_in_the_old_process_and_late_ones_with_an_error() {
    let upgraded = Upgraded::start(Setup::shards(1));
    let start = |ms: u64| {
        let mut connection = upgraded.server.connect();
        connection.send(&Request::modern_call("sleep", json!({ "ms": ms })));
        connection
    };
    let (mut quick, mut late) = (start(700), start(60_000));
    let mut legacy = upgraded.server.connect();
    let session = Session::open(&mut legacy);
    legacy.send(&session.call("sleep", json!({ "ms": 700 })));
    wait_until("the calls to run", || {
        let output = upgraded.run(&["status", "--json"]);
        let status: Value = serde_json::from_slice(&output.stdout).ok()?;
        let is_running = status["shards"][0]["calls_in_flight"] == 3;
        is_running.then_some(())
    });
    let (code, answer) = upgraded.upgrade(&["--linger", "3s"]);
    assert_eq!(code, Some(0), "{answer}");
    assert_eq!(answer["connections"]["left"], 3, "{answer}");
    // The session is in the next process while its call runs in the old one.
    let ping = session.request(9, "ping", Value::Null);
    assert_eq!(upgraded.server.connect().exchange(&ping).status(), 200);
    let slept = quick.read_response();
    assert!(slept.text().contains("slept 700 ms"), "{slept:?}");
    assert_eq!(slept.head.field("Connection"), Some("close"));
    let slept = legacy.read_response();
    assert!(slept.text().contains("slept 700 ms"), "{slept:?}");
    let failed = late.read_response();
    assert!(failed.text().contains("-32603"), "{failed:?}");
    assert!(upgraded.server.wait_for_exit().success());
}

#[test]
fn connections_with_tls_end_politely_and_new_ones_find_the_next_process() {
    let upgraded = Upgraded::start(Setup::shards(1).secured());
    let mut connection = upgraded.server.connect();
    let session = Session::open(&mut connection);
    let answer = upgraded.upgrade_well();
    assert_eq!(answer["connections"]["left"], 1, "{answer}");
    connection.expect_close();
    let ping = session.request(9, "ping", Value::Null);
    assert_eq!(upgraded.server.connect().exchange(&ping).status(), 200);
    assert!(upgraded.server.wait_for_exit().success());
}

#[test]
fn nothing_is_reset_that_waits_in_the_backlog() {
    const SLOTS: usize = 16;
    const WAITING: usize = 3000;
    let setup = Setup::shards(1).profile("[ring]\ndescriptors = 16\n[server]\nbacklog = 4096");
    let upgraded = Upgraded::start(setup);
    let address = upgraded.server.address();
    let mut holders: Vec<Connection> = (0..SLOTS).map(|_| upgraded.server.connect()).collect();
    let request = Request::modern_call("test_simple_text", json!({})).to_bytes(address);
    // They are accepted before the others come.
    for holder in &mut holders {
        let call = Request::modern_call("test_simple_text", json!({}));
        assert_eq!(holder.exchange(&call).status(), 200);
    }
    let waiting: Vec<TcpStream> = (0..WAITING)
        .map(|_| {
            let mut stream = TcpStream::connect(address).expect("there is room");
            stream.write_all(&request).expect("the kernel takes it");
            stream
        })
        .collect();
    for _ in 0..2 {
        let answer = upgraded.upgrade_well();
        assert_eq!(answer["connections"]["moved"], SLOTS, "{answer}");
    }
    drop(holders);
    for mut stream in waiting {
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        let mut head = [0; 15];
        stream.read_exact(&mut head).expect("it is answered");
        assert_eq!(&head, b"HTTP/1.1 200 OK");
    }
}

#[test]
fn a_signal_upgrades_and_unix_sockets_and_metrics_stay() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("mcp.sock");
    let address = format!("http+unix://{}", path.display());
    let setup = Setup::shards(2).listen(&address);
    let upgraded = Upgraded::start(setup.arguments(&["--metrics", "127.0.0.1:0"]));
    let metrics = upgraded.server.metrics_address();
    let before = upgraded.pid();
    let mut unix = UnixStream::connect(&path).expect("it listens");
    let request = Request::modern_call("test_simple_text", json!({}));
    let bytes = request.to_bytes(upgraded.server.address());
    let exchange = |stream: &mut UnixStream| {
        stream.write_all(&bytes).expect("it is open");
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        let mut rest = [0; 4096];
        let _ = stream.read(&mut rest).expect("the rest");
    };
    exchange(&mut unix);
    upgraded.server.signal("USR2");
    wait_until("another process", || {
        (upgraded.pid() != before).then_some(())
    });
    exchange(&mut unix);
    exchange(&mut UnixStream::connect(&path).expect("it listens"));
    assert!(upgraded.server.wait_for_exit().success());
    assert!(path.exists() && upgraded.socket.exists());
    Scrape::wait_for(metrics, "the connection", |scrape| {
        (scrape.sum("corelane_connections", &[]) >= 1.0).then_some(())
    });
    let pid = Pid::from_raw(upgraded.pid()).expect("a number");
    drop(unix);
    kill_process(pid, Signal::TERM).expect("it runs");
    // The last process removes the files.
    wait_until("the end of the files", || {
        (!path.exists() && !upgraded.socket.exists()).then_some(())
    });
}
