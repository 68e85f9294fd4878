//! The CPU time of a call of this client: over HTTP next to a bare POST of the same bytes with
//! reqwest, and over lines of TCP and of a child process.
//!
//! ```text
//! cargo bench -p corelane-client --bench overhead
//! ```
//!
//! The client has one thread, whose CPU time is read; the server has others. "calls/s a core" is
//! the number of calls in a second of that time, which the load of the machine hardly changes.

use std::io::{BufRead, BufReader, BufWriter, Read as _, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use corelane_client::{Client, connect, json};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Calls of one measurement.
const CALLS: usize = 20_000;
const ROUNDS: usize = 5;
const IN_FLIGHT: usize = 64;
/// The argument of the child process.
const ECHO: &str = "--echo";

fn main() {
    if std::env::args().any(|argument| argument == ECHO) {
        return serve_lines(std::io::stdin().lock(), std::io::stdout().lock());
    }
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().expect("a runtime");
    runtime.block_on(async {
        compare_http(1).await;
        compare_http(IN_FLIGHT).await;
        let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
        let target = format!("tcp:{}", socket.local_addr().expect("an address"));
        thread::spawn(move || {
            let (stream, _) = socket.accept().expect("the client");
            let reader = BufReader::new(stream.try_clone().expect("a copy"));
            serve_lines(reader, stream);
        });
        measure_lines("TCP lines", &target).await;
        let program = std::env::current_exe().expect("this program");
        let target = format!("stdio:{} {ECHO}", program.display());
        measure_lines("child", &target).await;
    });
}

/// A measurement: nanoseconds of CPU and of time for each call.
#[derive(Clone, Copy)]
struct Cost {
    cpu_ns: u64,
    wall_ns: u64,
}

/// Makes the calls of one measurement, so many of them at once.
async fn measure<F>(in_flight: usize, call: impl Fn() -> F) -> Cost
where
    F: Future<Output = ()> + Send + 'static,
{
    let (begin, start) = (cpu_time(), Instant::now());
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..CALLS {
        if calls.len() == in_flight {
            let ended = calls.join_next().await.expect("a call");
            ended.expect("no panic");
        }
        calls.spawn(call());
    }
    calls.join_all().await;
    let of_call = |time: Duration| time.as_nanos() as u64 / CALLS as u64;
    Cost {
        cpu_ns: of_call(cpu_time() - begin),
        wall_ns: of_call(start.elapsed()),
    }
}

/// The CPU time of this thread: proc_pid_schedstat(5).
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("schedstat");
    let first = text.split(' ').next().expect("a number");
    Duration::from_nanos(first.parse().expect("nanoseconds"))
}

fn median(mut costs: Vec<Cost>) -> Cost {
    costs.sort_by_key(|cost| cost.cpu_ns);
    costs[costs.len() / 2]
}

async fn call(client: Client) {
    let result = client.call("echo", json!({"message": "hello"})).await;
    assert!(!result.expect("a result").is_error);
}

async fn compare_http(in_flight: usize) {
    let (url, seen) = serve_http();
    let client = connect(&*url).await.expect("a client");
    call(client.clone()).await;
    let request = seen.lock().expect("no panic").clone();
    let bare = reqwest::Client::builder().tls_backend_preconfigured(tls());
    let bare = bare.no_proxy().build().expect("a client");
    let mut fields = reqwest::header::HeaderMap::new();
    for (name, value) in &request.fields {
        let name = reqwest::header::HeaderName::from_bytes(name.as_bytes()).expect("a name");
        fields.insert(name, value.parse().expect("a value"));
    }
    let (mut ours, mut bares) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(measure(in_flight, || call(client.clone())).await);
        let post = || {
            let post = bare.post(&url).headers(fields.clone());
            let post = post.body(request.body.clone());
            async move {
                let answer = post.send().await.expect("an answer");
                assert!(!answer.bytes().await.expect("a body").is_empty());
            }
        };
        bares.push(measure(in_flight, post).await);
    }
    let (ours, bare) = (median(ours).cpu_ns, median(bares).cpu_ns);
    let ratio = ours as f64 / bare as f64;
    println!(
        "HTTP, {in_flight} in flight: {ours} ns CPU a call; bare POST {bare} ns; ratio {ratio:.2}"
    );
}

fn tls() -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions();
    let config = config.expect("versions of TLS");
    let roots = rustls::RootCertStore::empty();
    config.with_root_certificates(roots).with_no_client_auth()
}

async fn measure_lines(name: &str, target: &str) {
    let client = connect(target).await.expect("a client");
    let mut costs = Vec::new();
    for _ in 0..ROUNDS {
        costs.push(measure(IN_FLIGHT, || call(client.clone())).await);
    }
    let Cost { cpu_ns, wall_ns } = median(costs);
    let (of_core, of_clock) = (1_000_000_000 / cpu_ns, 1_000_000_000 / wall_ns);
    println!(
        "{name}, {IN_FLIGHT} in flight: {cpu_ns} ns CPU a call; {of_core} calls/s a core; \
         {of_clock} calls/s in this run"
    );
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: &'a str,
}

/// The answer to a message: that of a greeting, or 200 bytes.
fn answer(message: &[u8]) -> Option<String> {
    let Message { id, method } = serde_json::from_slice(message).expect("a message");
    let id = id?;
    let result = match method {
        "server/discover" => {
            r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{}}"#
                .to_owned()
        }
        _ => {
            let text = "x".repeat(100);
            format!(r#"{{"resultType":"complete","content":[{{"type":"text","text":"{text}"}}]}}"#)
        }
    };
    Some(format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#
    ))
}

/// Answers lines until their end. What is read at once is answered at once.
fn serve_lines(reader: impl std::io::Read, writer: impl Write) {
    let mut reader = BufReader::new(reader);
    let mut writer = BufWriter::with_capacity(64 << 10, writer);
    let mut line = Vec::new();
    while reader
        .read_until(b'\n', &mut line)
        .is_ok_and(|bytes| bytes > 0)
    {
        if let Some(answer) = answer(&line) {
            writeln!(writer, "{answer}").expect("the client reads");
        }
        if !reader.buffer().contains(&b'\n') {
            writer.flush().expect("the client reads");
        }
        line.clear();
    }
}

/// The last request that came over HTTP.
#[derive(Clone, Default)]
struct Request {
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

fn serve_http() -> (String, Arc<Mutex<Request>>) {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/mcp", socket.local_addr().expect("an address"));
    let seen: Arc<Mutex<Request>> = Arc::default();
    let last = Arc::clone(&seen);
    thread::spawn(move || {
        for stream in socket.incoming().flatten() {
            let last = Arc::clone(&last);
            thread::spawn(move || serve_requests(stream, &last));
        }
    });
    (url, seen)
}

/// Answers the requests of a connection until its end.
fn serve_requests(mut stream: TcpStream, last: &Mutex<Request>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            (reader.read_line(&mut head).ok()? > 0).then_some(())?;
        }
        let fields = head.lines().filter_map(|line| line.split_once(": "));
        let fields = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
        let (own, mut fields): (Vec<_>, Vec<_>) =
            fields.partition(|(name, _)| name == "content-length");
        fields.retain(|(name, _)| name != "host");
        let mut body = vec![0; own.first()?.1.parse().ok()?];
        reader.read_exact(&mut body).ok()?;
        let answer = answer(&body).unwrap_or_default();
        let length = answer.len();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ";
        let bytes = format!("{head}{length}\r\n\r\n{answer}");
        *last.lock().expect("no panic") = Request { fields, body };
        stream.write_all(bytes.as_bytes()).ok()?;
    }
}
