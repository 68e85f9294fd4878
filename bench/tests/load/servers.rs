//! Servers that behave in known ways: Corelane's own library with tools that wait, and a stand-in
//! in for servers that broadcast, stay silent or fail.

use corelane::profile::{Binding, CertificateFiles};
use corelane::{Call, Profile, RunningServer, Server, Tool};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

#[derive(Deserialize, JsonSchema)]
struct Message {
    message: String,
}

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

/// A server of one shard with `echo`, with `nap`, which takes 5 ms, and with `hiccup`, which once,
/// at call `stall_at`, keeps the whole shard from working for a second.
pub(crate) fn corelane(stall_at: u64) -> (RunningServer, String) {
    let (server, url, _) = counting(stall_at);
    (server, url)
}

/// The same with lines at `address`, and the URL of that.
pub(crate) fn with_lines(address: &str) -> (RunningServer, String) {
    let (server, _) = known(0, |profile| {
        profile
            .server
            .listen
            .push(address.parse().expect("an address"));
    });
    let url = server.addresses()[1].to_string();
    (server, url)
}

/// The same with TLS at an address of each protocol, their URLs, and the folder of its
/// certificate, `chain.pem`.
pub(crate) fn with_tls() -> (RunningServer, Vec<String>, TempDir) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let [certificate_file, key_file] =
        ["chain.pem", "key.pem"].map(|name| folder.path().join(name));
    fs::write(&certificate_file, made.cert.pem()).unwrap();
    fs::write(&key_file, made.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(&key_file, Permissions::from_mode(0o600)).unwrap();
    let (server, _) = known(0, |profile| {
        let addresses = ["https", "wss", "tcps"].map(|it| format!("{it}://127.0.0.1:0"));
        let addresses = addresses.iter().map(|it| it.parse().expect("an address"));
        profile.server.listen.extend(addresses);
        profile.tls.certificates = vec![CertificateFiles {
            certificate_file,
            key_file,
        }];
    });
    let urls = server.addresses()[1..].iter().map(|address| {
        let path = match address.binding {
            Binding::Lines => "",
            _ => server.endpoint(),
        };
        format!("{address}{path}")
    });
    let urls = urls.collect();
    (server, urls, folder)
}

/// The same, with how often `hiccup` was called.
pub(crate) fn counting(stall_at: u64) -> (RunningServer, String, Arc<AtomicU64>) {
    let (server, calls) = known(stall_at, |_| ());
    let url = format!("http://{}{}", server.address(), server.endpoint());
    (server, url, calls)
}

/// A server with a profile that `tune` changes.
fn known(stall_at: u64, tune: impl FnOnce(&mut Profile)) -> (RunningServer, Arc<AtomicU64>) {
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    let mut profile = Profile::default();
    profile.server.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()];
    profile.server.shards = Some(1);
    tune(&mut profile);
    let server = Server::new("known", "1");
    let handle = server.handle();
    let server = server
        .with_tool(Tool::new(
            "grow",
            "Adds a tool.",
            async move |_: &Call, Nothing {}| {
                let added = Tool::new("added", "Does nothing.", async |_: &Call, Nothing {}| {
                    Ok("nothing")
                });
                handle.add_tool(added)?;
                Ok("grown")
            },
        ))
        .with_tool(Tool::new(
            "echo",
            "Says it again.",
            async |_: &Call, Message { message }| Ok(message),
        ))
        .with_tool(Tool::new(
            "nap",
            "Takes 5 ms.",
            async |_: &Call, Nothing {}| {
                corelane::sleep(Duration::from_millis(5)).await;
                Ok("slept")
            },
        ))
        .with_tool(Tool::new(
            "hiccup",
            "Stalls once.",
            move |_: &Call, Nothing {}| {
                let is_time = calls.fetch_add(1, Ordering::Relaxed) + 1 == stall_at;
                async move {
                    if is_time {
                        thread::sleep(Duration::from_secs(1));
                    }
                    Ok("went on")
                }
            },
        ))
        .start(profile)
        .expect("a server on a free port");
    (server, counted)
}

/// Waits until `hiccup` was called so often that a run is well under way.
pub(crate) fn wait_for_calls(calls: &AtomicU64) {
    let began = Instant::now();
    while calls.load(Ordering::Relaxed) < 500 {
        assert!(began.elapsed() < Duration::from_secs(30), "no calls");
        thread::yield_now();
    }
}

/// How many copies of a change the stream `stream` gets.
type Copies = fn(stream: usize) -> usize;

/// A server of 2025-11-25 whose tool `change` sends each open stream `copies` of a change.
pub(crate) fn broadcaster(copies: Copies) -> String {
    let streams = Arc::new(Mutex::new(Vec::new()));
    stand_in(move |connection, request| {
        let mut streams = streams.lock().unwrap();
        match (request.http_method.as_str(), request.method().as_str()) {
            ("GET", _) => {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                            Transfer-Encoding: chunked\r\n\r\n";
                connection.write_all(head.as_bytes()).unwrap();
                streams.push(connection.try_clone().unwrap());
            }
            (_, "initialize") => {
                answer(connection, &request, r#"{"protocolVersion":"2025-11-25"}"#);
            }
            (_, "tools/call") => {
                broadcast_change(&mut streams, copies);
                answer(connection, &request, r#"{"content":[]}"#);
            }
            _ => {
                let accepted = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
                connection.write_all(accepted.as_bytes()).unwrap();
            }
        }
    })
}

fn broadcast_change(streams: &mut [TcpStream], copies: Copies) {
    let event = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n";
    let chunk = format!("{:x}\r\n{event}\r\n", event.len());
    for (number, stream) in streams.iter_mut().enumerate() {
        stream
            .write_all(chunk.repeat(copies(number)).as_bytes())
            .unwrap();
    }
}

/// A server of 2026-07-28 that answers the first call and no other.
pub(crate) fn silent() -> String {
    let calls = AtomicU64::new(0);
    stand_in(move |connection, request| {
        if calls.fetch_add(1, Ordering::Relaxed) == 0 {
            answer(connection, &request, &echoed(&request));
        }
    })
}

/// A server of 2026-07-28 whose tool works once and is gone afterwards.
pub(crate) fn fails_after_the_first_call() -> String {
    let calls = AtomicU64::new(0);
    stand_in(move |connection, request| {
        let failed =
            r#"{"content":[{"type":"text","text":"the tool is not there"}],"isError":true}"#;
        match calls.fetch_add(1, Ordering::Relaxed) {
            0 => answer(connection, &request, &echoed(&request)),
            _ => answer(connection, &request, failed),
        }
    })
}

fn echoed(request: &Request) -> String {
    let text = &request.body["params"]["arguments"]["message"];
    format!(r#"{{"content":[{{"type":"text","text":{text}}}]}}"#)
}

/// A request to a stand-in.
struct Request {
    http_method: String,
    body: Json,
}

impl Request {
    fn method(&self) -> String {
        self.body["method"].as_str().unwrap_or_default().to_owned()
    }
}

/// A server with a thread for each connection, which `handle` answers.
fn stand_in(handle: impl Fn(&mut TcpStream, Request) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let handle = Arc::new(handle);
    thread::spawn(move || {
        for connection in listener.incoming() {
            let handle = Arc::clone(&handle);
            let mut connection = connection.unwrap();
            thread::spawn(move || {
                let mut reader = BufReader::new(connection.try_clone().unwrap());
                while let Some((http_method, body)) = read_request(&mut reader) {
                    let body = serde_json::from_slice(&body).unwrap_or_default();
                    handle(&mut connection, Request { http_method, body });
                }
            });
        }
    });
    url
}

/// Answers in JSON; a client that has left is no failure.
fn answer(connection: &mut TcpStream, request: &Request, result: &str) {
    let id = &request.body["id"];
    let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMcp-Session-Id: s\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let _ = connection.write_all((head + &body).as_bytes());
}

/// The method and the body of the next request; nothing at the end.
fn read_request(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let (mut first, mut bytes) = (String::new(), 0);
    reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(length) = line.strip_prefix("content-length:") {
            bytes = length.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; bytes];
    reader.read_exact(&mut body).ok()?;
    let method = first.split(' ').next()?.to_owned();
    Some((method, body))
}
