//! A client in memory, for tests of a server's tools, prompts and resources.
//!
//! It uses the same connection, limits and handlers as every other client; only the network is
//! missing. A thread of its own reads the messages of the server, so that a reply can be awaited in
//! any runtime or waited for without one.
//!
//! What it deliberately lacks: typed results for each method. [`TestClient::request`] sends any
//! method and gives the result as it came.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use corelane_protocol::mcp::error_code::METHOD_NOT_FOUND;
use corelane_protocol::mcp::meta;
use corelane_protocol::mcp::revision::Revision;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Error, Result, RunningServer, Server};
use crate::log;
use crate::profile::Profile;

mod reply;

use reply::Slot;
pub use reply::{Reply, TestClientError, TestResult};

/// Questions of the server that are answered for one request.
const ROUNDS_MAX: usize = 64;
/// Notifications that are kept until [`TestClient::notifications`] takes them; older ones go first.
const NOTIFICATIONS_MAX: usize = 10_000;

const RESPONDER_PANICKED: &str = "the function that responds to it panicked";

type Responder = dyn Fn(&str, &Value) -> Option<Value> + Send + Sync;

/// A client of a server in the same process, made by [`Server::test_client`]. Dropping it ends the
/// server.
#[derive(Debug)]
pub struct TestClient {
    channel: Arc<Channel>,
    reader: Option<JoinHandle<()>>,
    /// Drains when it is dropped.
    _server: RunningServer,
}

/// The state that requests and the reading thread share.
struct Channel {
    socket: UnixStream,
    state: Mutex<ChannelState>,
}

#[derive(Default)]
struct ChannelState {
    last_id: u64,
    last_progress_token: u64,
    pending: HashMap<u64, Pending>,
    /// A session was initialized: requests belong to it.
    has_session: bool,
    responder: Option<Arc<Responder>>,
    notifications: VecDeque<Value>,
    /// Why nothing comes any more.
    ended: Option<String>,
}

struct Pending {
    method: String,
    params: Map<String, Value>,
    rounds: usize,
    slot: Arc<Slot>,
}

impl Drop for Pending {
    /// A request is dropped without a reply only if the function that responds panics.
    fn drop(&mut self) {
        if !self.slot.is_filled() {
            self.slot
                .fill(Err(TestClientError::Ended(RESPONDER_PANICKED.to_owned())));
        }
    }
}

impl Server {
    /// Starts the server on one shard, without a listener, and connects a client to it in memory.
    ///
    /// Warnings and errors of the server, such as the cause of an internal error, go to the output
    /// of the test; `RUST_LOG` sets other levels. A subscriber of the program is left in place.
    ///
    /// The client speaks revision 2026-07-28 until [`TestClient::initialize`] begins a session of
    /// an older one.
    ///
    /// ```
    /// use corelane::{Server, tool};
    /// use serde_json::json;
    ///
    /// /// Adds two numbers.
    /// #[tool]
    /// async fn add(a: f64, b: f64) -> f64 {
    ///     a + b
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = Server::new("calculator", "1.0.0").with_tool(add()).test_client()?;
    /// let sum = client.call_tool("add", json!({"a": 1, "b": 2})).wait()?;
    /// assert_eq!(sum.text(), "3");
    ///
    /// // The same in a session of revision 2025-11-25; in an async test, `.await` the reply.
    /// client.initialize("2025-11-25").wait()?;
    /// let sum = client.call_tool("add", json!({"a": 1, "b": 2})).wait()?;
    /// assert_eq!(sum.text(), "3");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Everything that keeps the server from starting.
    pub fn test_client(self) -> Result<TestClient> {
        let (server, ours) = self.start_in_memory()?;
        let reading = ours.try_clone().map_err(Error::TestClient)?;
        let channel = Arc::new(Channel {
            socket: ours,
            state: Mutex::default(),
        });
        let reader = {
            let channel = Arc::clone(&channel);
            thread::Builder::new()
                .name("test-client".to_owned())
                .spawn(move || channel.read_all(reading))
                .map_err(Error::TestClient)?
        };
        Ok(TestClient {
            channel,
            reader: Some(reader),
            _server: server,
        })
    }

    /// Starts the server in this process with one connection: its lines are on the stream, in all
    /// revisions. Settings and logs are those of [`Server::test_client`]. This is for clients that
    /// have types of their own, such as `corelane-client` with its feature `memory`.
    ///
    /// ```
    /// use std::io::{BufRead, BufReader, Write};
    /// use corelane::Server;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (_server, mut stream) = Server::new("empty", "1.0.0").start_in_memory()?;
    /// stream.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\"}\n")?;
    /// let mut answer = String::new();
    /// BufReader::new(stream).read_line(&mut answer)?;
    /// assert!(answer.contains("\"error\""));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Everything that keeps the server from starting.
    pub fn start_in_memory(self) -> Result<(RunningServer, UnixStream)> {
        log::start_for_tests();
        let (ours, theirs) = UnixStream::pair().map_err(Error::TestClient)?;
        let server = self.start_on_channel(Profile::default(), theirs.into())?;
        Ok((server, ours))
    }
}

impl TestClient {
    /// Answers what the server requests from its client with `respond`, which gets the method, such
    /// as `elicitation/create`, `sampling/createMessage` or `roots/list`, and the params, and
    /// returns the result. The client then declares these capabilities. Without this it has none.
    ///
    /// `None` is an error: in a session to the handler, which may go on without an answer, and in
    /// revision 2026-07-28, which has no such answer, of the reply, as
    /// [`TestClientError::InputRequired`].
    ///
    /// ```
    /// # use corelane::{Call, CallError, Elicitation, Server, tool};
    /// # use serde_json::json;
    /// # #[derive(serde::Deserialize, corelane::schemars::JsonSchema)]
    /// # struct Name { name: String }
    /// /// Greets the user.
    /// #[tool]
    /// async fn greet(call: &Call) -> Result<String, CallError> {
    ///     let question = Elicitation::form::<Name>("What is your name?")?;
    ///     let Name { name } = call.elicit("name", question).await?.into_form()?;
    ///     Ok(format!("Hello, {name}!"))
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = Server::new("greeter", "1.0.0").with_tool(greet()).test_client()?;
    /// client.respond_with(|method, params| {
    ///     assert_eq!(method, "elicitation/create");
    ///     assert_eq!(params["message"], "What is your name?");
    ///     Some(json!({"action": "accept", "content": {"name": "Ann"}}))
    /// });
    /// let greeting = client.call_tool("greet", json!({})).wait()?;
    /// assert_eq!(greeting.text(), "Hello, Ann!");
    /// # Ok(())
    /// # }
    /// ```
    pub fn respond_with(
        &self,
        respond: impl Fn(&str, &Value) -> Option<Value> + Send + Sync + 'static,
    ) {
        self.channel.lock().responder = Some(Arc::new(respond));
    }

    /// Begins a session of `revision`, such as `2025-11-25`; later requests belong to it. The reply
    /// is the result of `initialize`.
    pub fn initialize(&self, revision: &str) -> Reply {
        let params = json!({
            "protocolVersion": revision,
            "capabilities": self.channel.lock().capabilities(),
            "clientInfo": {"name": "test-client", "version": env!("CARGO_PKG_VERSION")},
        });
        self.request("initialize", params)
    }

    /// Calls a tool. Its progress and its log messages of every level are among
    /// [`TestClient::notifications`]; in a session, those of the level that the session has set.
    ///
    /// # Panics
    /// If `arguments` have no form in JSON.
    pub fn call_tool(&self, name: &str, arguments: impl Serialize) -> Reply {
        let arguments = serde_json::to_value(arguments).expect("arguments have a form in JSON");
        let token = self.channel.next_progress_token();
        let meta = json!({meta::PROGRESS_TOKEN: token, meta::LOG_LEVEL: "debug"});
        let params = json!({"name": name, "arguments": arguments, "_meta": meta});
        self.request("tools/call", params)
    }

    /// Sends a request of any method. Params that are not an object stand for none.
    pub fn request(&self, method: &str, params: Value) -> Reply {
        let params = match params {
            Value::Object(params) => params,
            _ => Map::new(),
        };
        let slot = Arc::new(Slot::default());
        self.channel.send_request(Pending {
            method: method.to_owned(),
            params,
            rounds: 0,
            slot: Arc::clone(&slot),
        });
        Reply(slot)
    }

    /// Takes the notifications that came since the last time, in order: progress, log messages,
    /// changed lists.
    pub fn notifications(&self) -> Vec<Value> {
        self.channel.lock().notifications.drain(..).collect()
    }
}

impl Drop for TestClient {
    fn drop(&mut self) {
        let _ = self.channel.socket.shutdown(Shutdown::Both);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl ChannelState {
    fn capabilities(&self) -> Value {
        match self.responder {
            Some(_) => json!({
                "elicitation": {"form": {}, "url": {}},
                "sampling": {"tools": {}, "context": {}},
                "roots": {},
            }),
            None => json!({}),
        }
    }
}

impl Channel {
    fn lock(&self) -> MutexGuard<'_, ChannelState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_progress_token(&self) -> u64 {
        let mut state = self.lock();
        state.last_progress_token += 1;
        state.last_progress_token
    }

    fn send_request(&self, pending: Pending) {
        let mut state = self.lock();
        if let Some(ended) = &state.ended {
            pending
                .slot
                .fill(Err(TestClientError::Ended(ended.clone())));
            return;
        }
        state.last_id += 1;
        let id = state.last_id;
        let mut params = pending.params.clone();
        if !state.has_session && pending.method != "initialize" {
            let capabilities = state.capabilities();
            let members = params.entry("_meta").or_insert_with(|| json!({}));
            members[meta::PROTOCOL_VERSION] = Revision::V2026_07_28.as_str().into();
            members[meta::CLIENT_CAPABILITIES] = capabilities;
        }
        let message = json!({
            "jsonrpc": "2.0", "id": id, "method": pending.method, "params": params,
        });
        state.pending.insert(id, pending);
        drop(state);
        self.send(&message);
    }

    /// Sends a message. If that fails, the thread that reads sees the end too.
    fn send(&self, message: &Value) {
        let mut line = message.to_string();
        line.push('\n');
        let _ = (&self.socket).write_all(line.as_bytes());
    }

    fn read_all(&self, socket: UnixStream) {
        // A test may well assert in the function that responds.
        let why = match catch_unwind(AssertUnwindSafe(|| self.read_lines(socket))) {
            Ok(Ok(())) => "it closed the connection".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => RESPONDER_PANICKED.to_owned(),
        };
        let mut state = self.lock();
        state.ended = Some(why.clone());
        let pending: Vec<Pending> = state.pending.drain().map(|(_, it)| it).collect();
        drop(state);
        for pending in pending {
            pending.slot.fill(Err(TestClientError::Ended(why.clone())));
        }
    }

    fn read_lines(&self, socket: UnixStream) -> io::Result<()> {
        for line in BufReader::new(socket).lines() {
            let message: Value = serde_json::from_str(&line?)?;
            match (message.get("method"), message.get("id")) {
                (Some(_), Some(_)) => self.respond(&message),
                (Some(_), None) => self.keep(message),
                (None, _) => self.settle(message),
            }
        }
        Ok(())
    }

    fn keep(&self, notification: Value) {
        let notifications = &mut self.lock().notifications;
        if notifications.len() == NOTIFICATIONS_MAX {
            notifications.pop_front();
        }
        notifications.push_back(notification);
    }

    /// Answers a request of the server.
    fn respond(&self, request: &Value) {
        let id = &request["id"];
        let method = request["method"].as_str().unwrap_or_default();
        self.send(&match self.answer(method, &request["params"]) {
            Some(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            None => {
                let (code, message) = (METHOD_NOT_FOUND, "the test does not answer this");
                let error = json!({"code": code, "message": message});
                json!({"jsonrpc": "2.0", "id": id, "error": error})
            }
        });
    }

    fn answer(&self, method: &str, params: &Value) -> Option<Value> {
        if method == "ping" {
            return Some(json!({}));
        }
        let responder = self.lock().responder.clone()?;
        responder(method, params)
    }

    /// Takes a response.
    fn settle(&self, mut message: Value) {
        let id = message["id"].as_u64();
        let Some(pending) = id.and_then(|id| self.lock().pending.remove(&id)) else {
            return;
        };
        if let Some(error) = message.get_mut("error") {
            let refused = TestClientError::Refused {
                code: error["code"].as_i64().unwrap_or_default(),
                message: error["message"].as_str().unwrap_or_default().to_owned(),
                data: error["data"].take(),
            };
            return pending.slot.fill(Err(refused));
        }
        let result = message["result"].take();
        if result["resultType"] == "input_required" {
            return match self.responses(&result, pending.rounds) {
                Ok(responses) => self.send_request(next_round(pending, responses, &result)),
                Err(missing) => pending.slot.fill(Err(missing)),
            };
        }
        if pending.method == "initialize" {
            self.lock().has_session = true;
            self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        }
        pending.slot.fill(Ok(TestResult(result)));
    }

    /// The answers to the requests in a result of the server, the one after `rounds` others.
    fn responses(
        &self,
        result: &Value,
        rounds: usize,
    ) -> std::result::Result<Map<String, Value>, TestClientError> {
        if rounds == ROUNDS_MAX {
            let why = format!("after {ROUNDS_MAX} rounds");
            return Err(TestClientError::InputRequired(why));
        }
        let mut responses = Map::new();
        for (key, request) in result["inputRequests"].as_object().into_iter().flatten() {
            let method = request["method"].as_str().unwrap_or_default();
            let Some(response) = self.answer(method, &request["params"]) else {
                let why = format!("{method} with the key {key:?} got no response");
                return Err(TestClientError::InputRequired(why));
            };
            responses.insert(key.clone(), response);
        }
        Ok(responses)
    }
}

/// The request again, with the answers to the requests in `result`.
fn next_round(mut pending: Pending, responses: Map<String, Value>, result: &Value) -> Pending {
    pending.rounds += 1;
    let state = result["requestState"].clone();
    let added = [
        ("inputResponses", responses.into()),
        ("requestState", state),
    ];
    let added = added.map(|(name, value): (&str, Value)| (name.to_owned(), value));
    pending.params.extend(added);
    pending
}

impl fmt::Debug for Channel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Channel").finish_non_exhaustive()
    }
}
