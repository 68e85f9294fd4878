//! A channel over Streamable HTTP: each message is a POST of its own, and the messages of all
//! responses and of the stream of the session are one sequence.
//!
//! Cancelling a modern request closes its connection, as its transport has it; cancelling a legacy
//! one is a message. It has a connection of its own, so it may overtake its request, and a server
//! ignores one without a request: it is repeated until the response of its request has ended.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{Channel, Client};
use crate::connection::Connection;
use crate::event_stream::{EventStream, Item};
use crate::request::{LEGACY, Request, VERSION_KEY};
use crate::timeouts::PATIENCE;

/// See the module's text.
#[derive(Debug)]
pub struct HttpChannel {
    address: SocketAddr,
    session: Option<String>,
    /// Requests by their ids.
    requests: HashMap<String, Pending>,
    /// The socket of the session's stream.
    stream: Option<TcpStream>,
    /// Until sending is finished.
    sender: Option<Sender<Value>>,
    received: Receiver<Value>,
}

#[derive(Debug)]
struct Pending {
    /// That of a modern request: closing it cancels.
    socket: Option<TcpStream>,
    /// Reads the response, and ends with it.
    reader: JoinHandle<()>,
}

impl HttpChannel {
    /// A channel to the server at `address`.
    #[must_use]
    pub fn to(address: SocketAddr) -> HttpChannel {
        let (sender, received) = channel();
        HttpChannel {
            address,
            session: None,
            requests: HashMap::new(),
            stream: None,
            sender: Some(sender),
            received,
        }
    }

    fn sender(&self) -> io::Result<Sender<Value>> {
        self.sender.clone().ok_or(ErrorKind::BrokenPipe.into())
    }

    /// The POST of a message.
    fn request(&self, message: &Value) -> Request {
        let params = &message["params"];
        let request = Request::post(message.to_string());
        let Some(version) = params["_meta"][VERSION_KEY].as_str() else {
            let request = request.field("Accept", "application/json, text/event-stream");
            return match &self.session {
                Some(session) => request
                    .field("MCP-Session-Id", session)
                    .field("MCP-Protocol-Version", LEGACY),
                None => request,
            };
        };
        let method = message["method"].as_str().unwrap_or_default();
        let request = request
            .field("MCP-Protocol-Version", version)
            .field("Mcp-Method", method);
        let names = ["name", "uri", "taskId"].map(|key| params[key].as_str());
        match names.into_iter().flatten().next() {
            Some(name) => request.field("Mcp-Name", name),
            None => request,
        }
    }

    /// Sends a request; its response is read by a thread.
    fn send_request(&mut self, message: &Value) -> io::Result<()> {
        let mut connection = Connection::open(self.address)?;
        connection.try_send_bytes(&self.request(message).to_bytes(self.address))?;
        if message["method"] == "initialize" {
            let response = connection.read_response();
            let session = response.head.field("MCP-Session-Id").map(str::to_owned);
            self.session = session.or(self.session.take());
            let sender = self.sender()?;
            let mut answers = response.messages().into_iter();
            return answers.try_for_each(|it| sender.send(it).map_err(|_| broken()));
        }
        let is_modern = message["params"]["_meta"].get(VERSION_KEY).is_some();
        let socket = is_modern.then(|| connection.stream().try_clone());
        let socket = socket.transpose()?;
        let sender = self.sender()?;
        let reader = thread::spawn(move || read(connection, &sender));
        let id = message["id"].to_string();
        self.requests.insert(id, Pending { socket, reader });
        Ok(())
    }

    /// Sends a notification or a response.
    fn send_other(&mut self, message: &Value) -> io::Result<()> {
        let id = message["params"]["requestId"].to_string();
        let is_cancellation = message["method"] == "notifications/cancelled";
        let cancelled = self.requests.remove(&id).filter(|_| is_cancellation);
        if let Some(socket) = cancelled.as_ref().and_then(|it| it.socket.as_ref()) {
            return socket.shutdown(Shutdown::Both);
        }
        let mut connection = Connection::open(self.address)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let response = connection.exchange(&self.request(message));
            assert_eq!(response.status(), 202, "{response:?}");
            match &cancelled {
                Some(it) if !it.reader.is_finished() && Instant::now() < deadline => {
                    thread::sleep(Duration::from_millis(1));
                }
                _ => break,
            }
        }
        if message["method"] == "notifications/initialized" {
            let mut connection = Connection::open(self.address)?;
            let stream = Request::new("GET")
                .field("Accept", "text/event-stream")
                .field(
                    "MCP-Session-Id",
                    self.session.as_deref().unwrap_or_default(),
                )
                .field("MCP-Protocol-Version", LEGACY);
            connection.try_send_bytes(&stream.to_bytes(self.address))?;
            self.stream = Some(connection.stream().try_clone()?);
            let stream = EventStream::begin(connection);
            let sender = self.sender()?;
            thread::spawn(move || read_events(stream, &sender));
        }
        Ok(())
    }
}

impl Channel for HttpChannel {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let message: Value = serde_json::from_slice(message)?;
        match message.get("method").and(message.get("id")) {
            Some(_) => self.send_request(&message),
            None => self.send_other(&message),
        }
    }

    fn receive(&mut self, deadline: Instant) -> io::Result<Option<Vec<u8>>> {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.received.recv_timeout(left) {
            Ok(message) => Ok(Some(message.to_string().into_bytes())),
            Err(RecvTimeoutError::Timeout) => Err(ErrorKind::TimedOut.into()),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
        }
    }

    fn finish(&mut self) {
        self.sender = None;
        if let Some(stream) = self.stream.take() {
            // It may have ended already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Client<HttpChannel> {
    /// A client over HTTP.
    #[must_use]
    pub fn of_http(address: SocketAddr) -> Client<HttpChannel> {
        Client::over(HttpChannel::to(address))
    }
}

fn broken() -> io::Error {
    ErrorKind::BrokenPipe.into()
}

/// Reads the response to a request, of either kind. One that was cancelled has none.
fn read(mut connection: Connection, sender: &Sender<Value>) {
    let Ok(head) = connection.read_head() else {
        return;
    };
    if head.is_event_stream() {
        return read_events(EventStream::after_head(connection, head), sender);
    }
    let Ok(response) = connection.read_body(head) else {
        return;
    };
    for message in response.messages() {
        // The client may be gone.
        let _ = sender.send(message);
    }
}

fn read_events(mut stream: EventStream, sender: &Sender<Value>) {
    loop {
        match stream.try_next_item(PATIENCE) {
            Ok(Item::Message(message)) => {
                if sender.send(message).is_err() {
                    return;
                }
            }
            Ok(Item::Comment(_)) => {}
            Ok(Item::End) | Err(_) => return,
        }
    }
}
