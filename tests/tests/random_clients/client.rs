//! One client of both eras, and its model of the server.

use std::net::SocketAddr;

use corelane::ServerHandle;
use corelane_tests::request::{CAPABILITIES_KEY, LEGACY};
use corelane_tests::{Connection, EventStream, Request, Response, Session};
use serde_json::{Value, json};

use crate::random::Random;
use crate::server;

/// One client, its connection and its model of the server.
pub(crate) struct Client {
    address: SocketAddr,
    handle: ServerHandle,
    random: Random,
    connection: Connection,
    /// A session that was made and not ended by this client; the server may have evicted it.
    session: Option<Session>,
    /// Sessions that were made in all.
    pub(crate) made: u64,
    /// Modern tasks that were made in all.
    pub(crate) tasks: u64,
    id: u64,
}

impl Client {
    pub(crate) fn new((address, handle): (SocketAddr, ServerHandle), seed: u64) -> Client {
        Client {
            address,
            handle,
            random: Random(seed),
            connection: connect(address),
            session: None,
            made: 0,
            tasks: 0,
            id: 0,
        }
    }

    pub(crate) fn step(&mut self) {
        self.id += 1;
        match self.random.below(17) {
            0..=2 => self.call_modern(),
            3 => self.hang_up_modern(),
            4 => self.listen(),
            5 => self.answer_modern(),
            6..=7 => {
                self.task_modern();
            }
            8..=10 => self.call_legacy(),
            11 => self.cancel_legacy(),
            12 => self.hang_up_legacy(),
            13 => self.resume_legacy(),
            14 => self.task_legacy(),
            15 => self.end_session(),
            _ => self.open_stream(),
        }
    }

    pub(crate) fn reconnect(&mut self) {
        self.connection = connect(self.address);
    }

    /// An id of either type.
    fn any_id(&mut self) -> Value {
        match self.random.below(2) {
            0 => json!(self.id),
            _ => json!(format!("id-{}", self.id)),
        }
    }

    fn call_modern(&mut self) {
        let (id, text) = (self.any_id(), format!("text {}", self.random.draw()));
        let params = json!({ "name": "echo", "arguments": { "message": text } });
        let request = Request::modern(id.clone(), "tools/call", params);
        check_text(&self.connection.exchange(&request), &id, &text);
    }

    fn nap(&mut self) -> Value {
        json!({ "name": "nap", "arguments": { "ms": self.random.below(30) } })
    }

    fn hang_up_modern(&mut self) {
        let params = self.nap();
        let request = Request::modern(self.id, "tools/call", params);
        self.connection.send(&request);
        self.reconnect();
    }

    fn listen(&mut self) {
        let params = json!({ "notifications": { "toolsListChanged": true } });
        let mut connection = connect(self.address);
        connection.send(&Request::modern(self.id, "subscriptions/listen", params));
        let mut stream = EventStream::begin(connection);
        let first = stream.next_message();
        assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
        if self.random.below(2) == 0 {
            self.change_catalog();
            let received = stream.next_message();
            assert_eq!(
                received["method"], "notifications/tools/list_changed",
                "{received}"
            );
        }
    }

    /// Replaces the tool `echo`, which continues to run meanwhile.
    fn change_catalog(&mut self) {
        let description = format!("Says {} again.", self.random.draw());
        let changed = self.handle.add_tool(server::echo(&description));
        changed.expect("a change is taken");
    }

    /// An elicitation in rounds; one in four times with a changed request state.
    fn answer_modern(&mut self) {
        let mut params = json!({ "name": "greet", "arguments": {} });
        let can_elicit = json!({ "elicitation": {} });
        let requested = self.connection.exchange(
            &Request::modern(self.id, "tools/call", params.clone())
                .meta(CAPABILITIES_KEY, can_elicit.clone()),
        );
        let requested = requested.answer()["result"].clone();
        assert_eq!(requested["resultType"], "input_required", "{requested}");
        let mut state = requested["requestState"]
            .as_str()
            .expect("a state")
            .to_owned();
        let is_tampered = self.random.below(4) == 0;
        if is_tampered {
            state.truncate(state.len() - 1);
        }
        let name = format!("{}", self.random.draw());
        let accepted = json!({ "action": "accept", "content": { "name": name } });
        params["inputResponses"] = json!({ "name": accepted });
        params["requestState"] = json!(state);
        self.reconnect();
        let response = self.connection.exchange(
            &Request::modern(self.id, "tools/call", params).meta(CAPABILITIES_KEY, can_elicit),
        );
        match is_tampered {
            true => assert_eq!(response.answer()["error"]["code"], -32602, "{response:?}"),
            false => check_text(&response, &json!(self.id), &format!("hello {name}")),
        }
    }

    /// A request of a client that knows modern tasks.
    fn request_of_tasks(&self, method: &str, params: Value) -> Request {
        let capabilities = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
        Request::modern(self.id, method, params).meta(CAPABILITIES_KEY, capabilities)
    }

    /// A modern request about tasks; the answer may come from another shard.
    fn about_task(&mut self, method: &str, name: &str, params: Value) -> Value {
        let request = self.request_of_tasks(method, params);
        let request = request.field("Mcp-Name", name);
        let response = self.connection.exchange(&request);
        let is_known = [200, 503].contains(&response.status());
        assert!(is_known, "{response:?}");
        response.answer()
    }

    /// A task of the modern era: waited for, listened to, cancelled, or left alone.
    pub(crate) fn task_modern(&mut self) -> Option<String> {
        let params = self.nap();
        let made = self.about_task("tools/call", "nap", params);
        let Some(task) = made["result"]["taskId"].as_str() else {
            // A nap of no time is over at once; otherwise as many run as there may be.
            let was_short = made["result"]["content"][0]["text"] == "slept";
            assert!(was_short || made["error"].is_object(), "{made}");
            return None;
        };
        self.tasks += 1;
        let about = json!({ "taskId": task });
        let ending = self.random.below(4);
        if ending == 3 {
            self.listen_to_task(task);
        }
        if ending == 0 {
            let cancelled = self.about_task("tasks/cancel", task, about.clone());
            assert!(cancelled["result"].is_object() || is_unknown(&cancelled));
        }
        if ending < 2 {
            self.await_task(task, ending == 0);
        }
        Some(task.to_owned())
    }

    /// Fetches a task, on any connection, until it is over.
    fn await_task(&mut self, task: &str, is_cancelled: bool) {
        loop {
            self.reconnect();
            let found = self.about_task("tasks/get", task, json!({ "taskId": task }));
            if is_unknown(&found) {
                // It was over and was evicted.
                return;
            }
            let found = &found["result"];
            assert_eq!(found["taskId"], *task, "{found}");
            match found["status"].as_str() {
                Some("working") => assert!(!is_cancelled, "{found}"),
                Some("cancelled") => return assert!(is_cancelled, "{found}"),
                Some("completed") => {
                    let text = &found["result"]["content"][0]["text"];
                    return assert_eq!(text, "slept", "{found}");
                }
                _ => panic!("no such status: {found}"),
            }
        }
    }

    /// Listens to a task on a stream of its own until it is over, or leaves before.
    fn listen_to_task(&mut self, task: &str) {
        let params = json!({ "notifications": { "taskIds": [task] } });
        let mut connection = connect(self.address);
        connection.send(&self.request_of_tasks("subscriptions/listen", params));
        if self.random.below(4) == 0 {
            return;
        }
        let mut stream = EventStream::begin(connection);
        let honoured = stream.next_message()["params"]["notifications"]["taskIds"].take();
        if honoured.is_null() || self.random.below(4) == 0 {
            // It was over and was evicted, or the client has left.
            return;
        }
        assert_eq!(honoured, json!([task]));
        let received = stream.next_message();
        assert_eq!(received["params"]["taskId"], *task, "{received}");
        match received["params"]["status"].as_str() {
            Some("completed") => {
                let text = &received["params"]["result"]["content"][0]["text"];
                assert_eq!(text, "slept", "{received}");
            }
            // A task that expires before its end was reported has failed.
            Some("failed") => assert_eq!(received["params"]["error"]["code"], -32603, "{received}"),
            _ => panic!("a nap has no other end: {received}"),
        }
    }

    /// Whether a task is not known any more.
    pub(crate) fn has_forgotten(&mut self, task: &str) -> bool {
        is_unknown(&self.about_task("tasks/get", task, json!({ "taskId": task })))
    }

    /// The session, made anew if there is none; none if every session of the shard is in use.
    fn session(&mut self) -> Option<Session> {
        if let Some(session) = &self.session {
            return Some(session.clone());
        }
        let response = self.connection.exchange(&Request::initialize(LEGACY));
        if response.status() == 503 {
            return None;
        }
        assert_eq!(response.status(), 200, "{response:?}");
        let id = response.head.field("MCP-Session-Id").expect("a session id");
        let session = Session { id: id.to_owned() };
        self.made += 1;
        self.session = Some(session.clone());
        let received = session.notification("notifications/initialized");
        let response = self.connection.exchange(&received);
        match self.was_evicted(&response) {
            true => None,
            false => Some(session),
        }
    }

    /// Whether the answer means that the session was evicted; the model forgets it then.
    fn was_evicted(&mut self, response: &Response) -> bool {
        let is_gone = response.status() == 404;
        if is_gone {
            self.session = None;
        }
        is_gone
    }

    fn call_legacy(&mut self) {
        let Some(session) = self.session() else {
            return;
        };
        let (id, text) = (self.any_id(), format!("text {}", self.random.draw()));
        let params = json!({ "name": "echo", "arguments": { "message": text } });
        let request = session.request(id.clone(), "tools/call", params);
        let response = self.connection.exchange(&request);
        if !self.was_evicted(&response) {
            check_text(&response, &id, &text);
        }
    }

    fn cancel_legacy(&mut self) {
        let Some(session) = self.session() else {
            return;
        };
        let params = self.nap();
        self.connection
            .send(&session.request(self.id, "tools/call", params));
        let mut other = connect(self.address);
        let response = other.exchange(&session.cancelled(self.id));
        let is_known = [202, 404].contains(&response.status());
        assert!(is_known, "{response:?}");
        // The nap may have ended before, or the session; a cancelled nap has no answer.
        let response = self.connection.read_response();
        let is_gone = self.was_evicted(&response);
        if !is_gone && !response.messages().is_empty() {
            check_text(&response, &json!(self.id), "slept");
        }
    }

    fn hang_up_legacy(&mut self) {
        let Some(session) = self.session() else {
            return;
        };
        let params = self.nap();
        self.connection
            .send(&session.request(self.id, "tools/call", params));
        self.reconnect();
    }

    /// Loses the stream of a call after some of its progress, and comes back for the rest.
    fn resume_legacy(&mut self) {
        let Some(session) = self.session() else {
            return;
        };
        let params = json!({
            "name": "steps", "arguments": {}, "_meta": { "progressToken": "p" },
        });
        let mut request = session.request(self.id, "tools/call", params);
        let mut seen = 0;
        while seen < 4 {
            let mut connection = connect(self.address);
            connection.send(&request);
            let head = connection.read_head().expect("a head");
            if head.status == 404 {
                // Nothing was in flight, and the session was evicted for another.
                self.session = None;
                return;
            }
            let mut stream = EventStream::after_head(connection, head);
            let until = seen + 1 + self.random.below(4);
            while seen < until.min(4) {
                let message = stream.next_message();
                seen += 1;
                match seen {
                    4 => {
                        let text = &message["result"]["content"][0]["text"];
                        assert_eq!((&message["id"], text), (&json!(self.id), &json!("climbed")));
                    }
                    _ => assert_eq!(message["params"]["progress"], seen as f64, "{message}"),
                }
            }
            let id = stream.last_id().expect("events of sessions have ids");
            request = session.stream_after(id);
        }
    }

    /// A task of a session: waited for, cancelled, or left alone.
    fn task_legacy(&mut self) {
        let Some(session) = self.session() else {
            return;
        };
        let mut params = self.nap();
        params["task"] = json!({});
        let made = self
            .connection
            .exchange(&session.request(self.id, "tools/call", params));
        if self.was_evicted(&made) || made.status() == 503 {
            return;
        }
        let task = made.answer()["result"]["task"]["taskId"].clone();
        assert!(task.is_string(), "{made:?}");
        let about = json!({ "taskId": task });
        let method = match self.random.below(3) {
            0 => "tasks/result",
            1 => "tasks/cancel",
            _ => return,
        };
        self.id += 1;
        let mut other = connect(self.address);
        let response = other.exchange(&session.request(self.id, method, about));
        if self.was_evicted(&response) {
            return;
        }
        let answer = response.answer();
        if method == "tasks/cancel" {
            // It may be over, or was over and was evicted.
            let is_cancelled = answer["result"]["status"] == "cancelled";
            assert!(
                is_cancelled || answer["error"]["code"] == -32602,
                "{answer}"
            );
        } else if !is_unknown(&answer) {
            check_text(&response, &json!(self.id), "slept");
        }
    }

    pub(crate) fn end_session(&mut self) {
        let Some(session) = self.session.take() else {
            return;
        };
        let response = self.connection.exchange(&session.delete());
        let is_known = [204, 404].contains(&response.status());
        assert!(is_known, "{response:?}");
        let gone = self
            .connection
            .exchange(&session.request(1, "ping", Value::Null));
        assert_eq!(gone.status(), 404, "{gone:?}");
    }

    fn open_stream(&mut self) {
        let Some(session) = self.session() else {
            return;
        };
        let mut connection = connect(self.address);
        connection.send(&session.stream());
        match connection.read_head() {
            Ok(head) if head.status == 404 => self.session = None,
            Ok(head) => assert_eq!(head.status, 200, "{head:?}"),
            Err(error) => panic!("no head: {error:?}"),
        }
    }
}

pub(crate) fn connect(address: SocketAddr) -> Connection {
    Connection::open(address).expect("the server takes connections")
}

/// Whether the answer to a request about a task says that the task does not exist.
fn is_unknown(answer: &Value) -> bool {
    let message = answer["error"]["message"].as_str();
    message.is_some_and(|message| message.contains("no such task"))
}

#[track_caller]
fn check_text(response: &Response, id: &Value, text: &str) {
    assert_eq!(response.status(), 200, "{response:?}");
    let answer = response.answer();
    assert_eq!(answer["id"], *id, "{answer}");
    assert_eq!(answer["result"]["content"][0]["text"], text, "{answer}");
}
