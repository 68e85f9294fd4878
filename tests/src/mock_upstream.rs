//! An MCP server of the modern era that does what a test says: it records every byte of its
//! requests, and answers, closes, resets or stays silent.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use socket2::SockRef;

use crate::process::lock;
use crate::timeouts::wait_until;

/// Between two looks of a waiting connection at the bytes that it is to send.
const WAIT_INTERVAL: Duration = Duration::from_millis(5);

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// The connection, by the order in which they came.
    pub connection: usize,
    /// The request line and the fields, as they came.
    pub head: String,
    /// The body.
    pub body: String,
}

/// An answer to one request.
#[derive(Clone, Debug)]
pub enum Act {
    /// Sends bytes and goes on.
    Send(Vec<u8>),
    /// Sends bytes and ends the connection in order.
    SendAndClose(Vec<u8>),
    /// Resets the connection.
    Reset,
    /// Sends bytes, and nothing more until the other side ends the connection, or a
    /// [`Act::SendAlso`] has it send more, or end with no bytes.
    SendAndWait(Vec<u8>),
    /// Sends bytes and goes on. The connection with this number, which waits, sends the others.
    SendAlso(Vec<u8>, usize, Vec<u8>),
    /// Sends bytes, and then does what this says, which may wait.
    SendThen(Vec<u8>, Next),
}

/// The next act, once it is known.
#[derive(Clone)]
pub struct Next(Arc<dyn Fn() -> Act + Send + Sync>);

impl Next {
    /// What this function says.
    #[must_use]
    pub fn new(next: impl Fn() -> Act + Send + Sync + 'static) -> Next {
        Next(Arc::new(next))
    }
}

impl std::fmt::Debug for Next {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Next").finish_non_exhaustive()
    }
}

type Script = Box<dyn Fn(&Received) -> Act + Send + Sync>;

/// A running mock. Dropping it closes its listener; connections end with their other sides.
#[derive(Debug)]
pub struct MockUpstream {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    received: Mutex<Vec<Received>>,
    connections: AtomicUsize,
    /// How long a connection is kept that brings no request; for ever if there is none.
    idle: Mutex<Option<Duration>>,
    /// Where waiting connections get bytes to send.
    waiting: Mutex<HashMap<usize, Sender<Vec<u8>>>>,
    /// Waiting connections whose other side has ended them.
    left: AtomicUsize,
    is_over: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Received {
    /// The message.
    ///
    /// # Panics
    /// If the body is not JSON.
    #[must_use]
    pub fn message(&self) -> Value {
        let message = serde_json::from_str(&self.body);
        message.unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The value of a field, if it is there.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Whether it is a request of this method.
    #[must_use]
    pub fn is(&self, method: &str) -> bool {
        !self.body.is_empty() && self.message()["method"] == method
    }
}

impl MockUpstream {
    /// A server with these tools, whose answers to all other requests than discovery and the list
    /// are those of `script`.
    ///
    /// # Panics
    /// If no port is free.
    #[must_use]
    pub fn with_tools(
        tools: &'static [&'static str],
        script: impl Fn(&Received) -> Act + Send + Sync + 'static,
    ) -> MockUpstream {
        let tools = tools.iter();
        let tools = tools.map(|name| json!({"name": name, "inputSchema": {"type": "object"}}));
        let tools: Vec<Value> = tools.collect();
        MockUpstream::with_lists(&[("tools/list", "tools", json!(tools))], script)
    }

    /// The same, which ends a connection that is idle for this time.
    ///
    /// # Panics
    /// If no port is free.
    #[must_use]
    pub fn with_idle_end(
        idle: Duration,
        tools: &'static [&'static str],
        script: impl Fn(&Received) -> Act + Send + Sync + 'static,
    ) -> MockUpstream {
        let mock = MockUpstream::with_tools(tools, script);
        *lock(&mock.shared.idle) = Some(idle);
        mock
    }

    /// A server with these lists: of each the method, the member of its result, and the entries. It
    /// completes arguments. The answers to all other requests are those of `script`.
    ///
    /// # Panics
    /// If no port is free.
    #[must_use]
    pub fn with_lists(
        lists: &[(&'static str, &'static str, Value)],
        script: impl Fn(&Received) -> Act + Send + Sync + 'static,
    ) -> MockUpstream {
        let lists = lists.to_vec();
        MockUpstream::start(move |received| match described(received, &lists) {
            Some(act) => act,
            None => script(received),
        })
    }

    /// A server whose answers to all requests are those of `script`.
    ///
    /// # Panics
    /// If no port is free.
    #[must_use]
    pub fn start(script: impl Fn(&Received) -> Act + Send + Sync + 'static) -> MockUpstream {
        MockUpstream::start_with(None, script)
    }

    /// The same, with TLS if there is a configuration of it. It ends connections without announcing
    /// that, so that answers may have been cut.
    ///
    /// # Panics
    /// If no port is free.
    #[must_use]
    pub fn start_with(
        tls: Option<Arc<ServerConfig>>,
        script: impl Fn(&Received) -> Act + Send + Sync + 'static,
    ) -> MockUpstream {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let scheme = tls.as_ref().map_or("http", |_| "https");
        let script: Arc<Script> = Arc::new(Box::new(script));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if of_thread.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let number = of_thread.connections.fetch_add(1, Ordering::Relaxed);
                let (shared, script) = (Arc::clone(&of_thread), Arc::clone(&script));
                let tls = tls.clone();
                thread::spawn(move || match tls {
                    None => serve((&stream, &stream), number, &shared, &script),
                    Some(tls) => {
                        let tls = ServerConnection::new(tls).expect("the configuration is valid");
                        let secured = StreamOwned::new(tls, &stream);
                        serve((secured, &stream), number, &shared, &script);
                    }
                });
            }
        });
        MockUpstream {
            address,
            scheme,
            shared,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The section of a configuration that makes it the upstream called `name`.
    #[must_use]
    pub fn section(&self, name: &str) -> String {
        let (scheme, address) = (self.scheme, self.address);
        format!("[[upstream]]\nname = \"{name}\"\nurl = \"{scheme}://{address}/mcp\"\n")
    }

    /// The requests so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        lock(&self.shared.received).clone()
    }

    /// The requests of a method so far.
    #[must_use]
    pub fn received_of(&self, method: &str) -> Vec<Received> {
        let received = self.received();
        received.into_iter().filter(|it| it.is(method)).collect()
    }

    /// Connections that were opened so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Waits until the other side has ended so many connections that waited.
    pub fn wait_for_left(&self, count: usize) {
        wait_until("the other side leaves", || {
            (self.shared.left.load(Ordering::Relaxed) >= count).then_some(())
        });
    }
}

impl Drop for MockUpstream {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // Its thread looks at the flag then.
        let _ = TcpStream::connect(self.address);
    }
}

/// The bytes of an answer with JSON.
#[must_use]
pub fn json_answer(body: &str) -> Vec<u8> {
    let bytes = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {bytes}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The bytes of an answer with events, in one chunk each.
#[must_use]
pub fn event_answer(messages: &[String]) -> Vec<u8> {
    [first_events(messages), last_events(&[])].concat()
}

/// The start of such an answer, up to these messages.
#[must_use]
pub fn first_events(messages: &[String]) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    [head.as_bytes(), &more_events(messages)].concat()
}

/// The end of such an answer, from these messages on.
#[must_use]
pub fn last_events(messages: &[String]) -> Vec<u8> {
    [&more_events(messages), b"0\r\n\r\n".as_slice()].concat()
}

/// The part of such an answer with these messages.
#[must_use]
pub fn more_events(messages: &[String]) -> Vec<u8> {
    let chunks = messages.iter().map(|message| {
        let event = format!("data: {message}\n\n");
        format!("{:x}\r\n{event}\r\n", event.len())
    });
    chunks.collect::<String>().into_bytes()
}

/// The answer to a request with a result.
#[must_use]
pub fn result_of(received: &Received, result: &str) -> Vec<u8> {
    let id = &received.message()["id"];
    json_answer(&format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#
    ))
}

/// The answer to `initialize` of an upstream with tools, which opens this session.
#[must_use]
pub fn session_opened(received: &Received, session: &str) -> Vec<u8> {
    let result = json!({
        "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
        "serverInfo": { "name": "old", "version": "1" },
    });
    let answer = result_of(received, &result.to_string());
    let answer = String::from_utf8_lossy(&answer);
    let field = format!("\r\nMcp-Session-Id: {session}\r\n");
    answer.replacen("\r\n", &field, 1).into_bytes()
}

fn described(received: &Received, lists: &[(&str, &str, Value)]) -> Option<Act> {
    let message = received.message();
    let method = message["method"].as_str()?;
    let mut result = json!({ "resultType": "complete", "ttlMs": 1000, "cacheScope": "public" });
    if method == "server/discover" {
        result["supportedVersions"] = json!(["2026-07-28"]);
        result["capabilities"] = json!({ "completions": {} });
        for (method, ..) in lists {
            let (capability, _) = method.split_once('/')?;
            result["capabilities"][capability] = json!({});
        }
    } else {
        let (_, member, entries) = lists.iter().find(|(listed, ..)| *listed == method)?;
        result[*member] = entries.clone();
    }
    Some(Act::Send(result_of(received, &result.to_string())))
}

/// Serves one connection until an act or the other side ends it.
fn serve(
    (stream, socket): (impl Read + Write, &TcpStream),
    connection: usize,
    shared: &Shared,
    script: &Script,
) {
    let mut reader = BufReader::new(stream);
    let _ = socket.set_read_timeout(*lock(&shared.idle));
    while let Some(received) = read_request(&mut reader, connection) {
        let mut act = script(&received);
        lock(&shared.received).push(received);
        while let Act::SendThen(bytes, next) = act {
            let stream = reader.get_mut();
            let sent = stream.write_all(&bytes).and_then(|()| stream.flush());
            if sent.is_err() {
                return;
            }
            act = (next.0)();
        }
        if let Act::SendAlso(_, to, others) = &act
            && let Some(waiting) = lock(&shared.waiting).get(to)
        {
            let _ = waiting.send(others.clone());
        }
        let (bytes, goes_on, waits) = match act {
            Act::SendThen(..) => unreachable!("each was done before"),
            Act::SendAlso(bytes, ..) => (bytes, true, false),
            Act::Send(bytes) => (bytes, true, false),
            Act::SendAndClose(bytes) => (bytes, false, false),
            Act::SendAndWait(bytes) => (bytes, false, true),
            Act::Reset => {
                let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
                return;
            }
        };
        let (sender, more) = channel();
        if waits {
            // Before the other side can have a reason for more bytes.
            lock(&shared.waiting).insert(connection, sender);
        }
        let stream = reader.get_mut();
        if stream
            .write_all(&bytes)
            .and_then(|()| stream.flush())
            .is_err()
        {
            return;
        }
        if waits {
            let _ = socket.set_read_timeout(Some(WAIT_INTERVAL));
            while wait(&mut reader, &more).is_ok() {}
            lock(&shared.waiting).remove(&connection);
            shared.left.fetch_add(1, Ordering::Relaxed);
        }
        if !goes_on {
            return;
        }
    }
}

/// Waits a little for the other side, and sends what there is to send.
///
/// # Errors
/// The other side has ended the connection.
fn wait(reader: &mut BufReader<impl Read + Write>, more: &Receiver<Vec<u8>>) -> io::Result<()> {
    match reader.read(&mut [0; 4096]) {
        Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
        Ok(_) => {}
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
        Err(error) => return Err(error),
    }
    for bytes in more.try_iter() {
        // An empty one ends the connection.
        if bytes.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        reader.get_mut().write_all(&bytes)?;
        reader.get_mut().flush()?;
    }
    Ok(())
}

/// The next request; none at the end of the connection.
fn read_request(reader: &mut impl BufRead, connection: usize) -> Option<Received> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let mut received = Received {
        connection,
        head,
        body: String::new(),
    };
    let bytes = received.field("Content-Length").unwrap_or("0");
    let bytes = bytes.parse().ok()?;
    let mut body = vec![0; bytes];
    reader.read_exact(&mut body).ok()?;
    received.body = String::from_utf8(body).ok()?;
    Some(received)
}
