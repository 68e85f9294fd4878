//! One shard's endpoint with the catalog of the tests, and functions to use it.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use corelane_protocol::binding::claims::Claims;
use corelane_protocol::binding::http::{Route, route, status_of};
use corelane_protocol::framing::http1::{Framer, RequestHead, Step};
use corelane_protocol::limits::HttpLimits;
use corelane_protocol::mcp::lifecycle::ServerDescription;
use corelane_protocol::request_state::Sealer;
use serde_json::{Value, json};

pub(crate) use super::messages::{
    claim, error, failure, initialize, notification, progress, request, result, text, with_trailer,
};
use super::test_settings::settings;
use super::tools::{self, Gate};
use crate::guard::holder::HolderKey;
use crate::guard::identity::{Identity, Method};
use crate::handler::event_queue::{CallKey, EventQueue};
use crate::handler::offload::{OffloadPool, OffloadPort, PoolThreads};
use crate::mcp::large_message::LargeMessage;
use crate::mcp::{
    Decoded, Delivery, Disposition, Endpoint, EndpointSettings, Exchange, Inbound, NewSession,
    Output, Part, Requester, ServerParts, SessionId, TaskWatchMessage,
};
use crate::meter::{Counter, ShardMeter};
use corelane_io::executor::{Executor, yield_now};
use corelane_io::slots::SlotKey;

/// Turns after which every handler of the tests has come as far as it can.
const TURNS_MAX: usize = 16;

/// The header that names the modern revision.
pub(crate) const MODERN: &str = "MCP-Protocol-Version: 2026-07-28\r\n";

/// An endpoint under test.
pub(crate) struct TestEndpoint {
    pub(crate) endpoint: Endpoint,
    pub(crate) meter: Rc<ShardMeter>,
    pub(crate) gate: Gate,
    shard: u16,
    sequence: u32,
    now_ms: u64,
    delivered: VecDeque<(Exchange, Part)>,
    task_watch: VecDeque<(u16, TaskWatchMessage)>,
    /// Gets a message when the pool wakes the shard.
    woken: mpsc::Receiver<()>,
    /// Whether clients take streams of events; off at first, so that calls are tested without the
    /// messages of a stream.
    pub(crate) takes_events: bool,
    /// The principal of later requests; anonymous at first.
    pub(crate) principal: Option<&'static str>,
    /// The holder of later requests while they are anonymous; none if it is not known.
    pub(crate) peer: Option<HolderKey>,
    /// Whether bodies are decoded elsewhere; every second one if none, because the meaning of a
    /// body must not depend on where it is decoded.
    pub(crate) are_large: Option<bool>,
}

/// The parts that the shards of a server with the catalog of the tests share.
pub(crate) fn parts(gate: &Gate) -> ServerParts {
    ServerParts {
        cluster: None,
        description: Arc::new(ServerDescription {
            name: "harness".to_owned(),
            version: "1".to_owned(),
            ..ServerDescription::default()
        }),
        plan: Arc::new(tools::plan(gate, 100)),
        sealer: Arc::new(Sealer::random()),
        exposed: Arc::default(),
        states: Arc::new([]),
        quotas: None,
        upstreams: None,
        audit: None,
    }
}

/// The outcome of one request.
pub(crate) struct Answer {
    pub(crate) disposition: Disposition,
    pub(crate) body: Value,
    pub(crate) exchange: Exchange,
}

/// Runs `test` where handlers can wait.
pub(crate) fn on_executor<T>(test: impl Future<Output = T>) -> T {
    Executor::of_test().run(test)
}

impl TestEndpoint {
    /// The only shard of a server with ample limits.
    pub(crate) fn new() -> TestEndpoint {
        TestEndpoint::with(|_| ())
    }

    /// An endpoint with ample limits except for the changes of `change`, and a pool without
    /// threads.
    pub(crate) fn with(change: impl FnOnce(&mut EndpointSettings)) -> TestEndpoint {
        TestEndpoint::with_pool(PoolThreads::NONE, change)
    }

    /// The same with a pool in which one piece of work of a kind may wait for a thread.
    pub(crate) fn with_pool(
        threads: PoolThreads,
        change: impl FnOnce(&mut EndpointSettings),
    ) -> TestEndpoint {
        let gate = Gate::default();
        let mut settings = settings(parts(&gate));
        change(&mut settings);
        let shard = settings.shard;
        let event_queue = Rc::new(EventQueue::new(Arc::new(|| ())));
        let meter = Rc::new(ShardMeter::new());
        let pool = OffloadPool::start(threads, 1).expect("the threads start");
        let (wake, woken) = mpsc::channel();
        // A thread may end after its test.
        let wake = Arc::new(move || wake.send(()).unwrap_or(()));
        let offload = OffloadPort::new(pool, wake, Rc::clone(&event_queue));
        TestEndpoint {
            endpoint: Endpoint::new(settings, event_queue, Rc::new(offload), Rc::clone(&meter)),
            meter,
            gate,
            shard,
            sequence: 0,
            now_ms: 0,
            delivered: VecDeque::new(),
            task_watch: VecDeque::new(),
            woken,
            takes_events: false,
            principal: None,
            peer: Some(HolderKey::ANONYMOUS),
            are_large: None,
        }
    }

    /// Posts `body` with the header lines `headers`, each of them ended by CRLF.
    pub(crate) fn post(&mut self, headers: &str, body: &str) -> Answer {
        let is_large = self.are_large.unwrap_or(self.sequence % 2 == 1);
        let decode = self.endpoint.decoder_of_large_messages();
        if let Some(Ok(message)) = is_large.then(|| decode(body.as_bytes())) {
            return self.post_large(headers, message);
        }
        self.post_with(headers, |endpoint, inbound, out| {
            endpoint.handle_message(inbound, body.as_bytes(), out)
        })
    }

    /// Posts a body that was decoded elsewhere.
    pub(crate) fn post_large(&mut self, headers: &str, message: Box<LargeMessage>) -> Answer {
        self.post_with(headers, |endpoint, inbound, out| {
            endpoint.handle_large_message(inbound, message, out)
        })
    }

    fn post_with(
        &mut self,
        headers: &str,
        handle: impl FnOnce(&mut Endpoint, Inbound<'_>, &mut Vec<u8>) -> Disposition,
    ) -> Answer {
        let mut exchange = self.next_exchange();
        exchange.takes_events |= headers.contains("text/event-stream");
        let mut out = Vec::new();
        let disposition = with_head("POST", headers, |head| {
            let identity = self.identity();
            let requester = &self.requester(head, identity.as_ref());
            let inbound = Inbound::new(requester, exchange);
            handle(&mut self.endpoint, inbound, &mut out)
        });
        Answer::new(disposition, &out, exchange)
    }

    /// Sends a GET or DELETE with the header lines `headers`.
    pub(crate) fn send(&mut self, verb: &str, headers: &str) -> Answer {
        let exchange = self.next_exchange();
        let mut out = Vec::new();
        let disposition = with_head(verb, headers, |head| {
            let identity = self.identity();
            let requester = &self.requester(head, identity.as_ref());
            let endpoint = &mut self.endpoint;
            let inbound = Inbound::new(requester, exchange);
            match route(head, &["/mcp"]) {
                Ok(Route::OpenStream {
                    session,
                    last_event_id,
                }) => endpoint.handle_open_stream(inbound, (session, last_event_id), &mut out),
                Ok(Route::EndSession(headers)) => {
                    endpoint.handle_delete_session(inbound, headers, &mut out)
                }
                Ok(other) => panic!("{other:?} is of another verb"),
                Err(reason) => endpoint.refuse(None, reason, &mut out),
            }
        });
        Answer::new(disposition, &out, exchange)
    }

    /// Makes a session of a client without capabilities; returns its header line.
    pub(crate) fn session(&mut self) -> String {
        header_of(&self.new_session().text)
    }

    /// Makes a session of a client without capabilities.
    pub(crate) fn session_id(&mut self) -> SessionId {
        self.new_session().id
    }

    fn new_session(&mut self) -> Box<NewSession> {
        match self.post("", &initialize("2025-11-25")).disposition {
            Disposition::Answer { session, .. } => session.expect("initialize makes a session"),
            other => panic!("initialize is answered at once: {other:?}"),
        }
    }

    /// Calls `tool` in the modern era with `arguments` and more `_meta` members.
    pub(crate) fn call_modern(&mut self, tool: &str, arguments: Value, meta: Value) -> Answer {
        let mut params = json!({"name": tool, "arguments": arguments});
        params["_meta"] = claim();
        for (key, value) in meta.as_object().expect("members of _meta") {
            params["_meta"][key] = value.clone();
        }
        let headers = format!("{MODERN}Mcp-Method: tools/call\r\nMcp-Name: {tool}\r\n");
        self.post(&headers, &request(1, "tools/call", params))
    }

    /// Calls `tool` in the session of the header line `session`.
    pub(crate) fn call_legacy(&mut self, session: &str, tool: &str, arguments: Value) -> Answer {
        let params = json!({
            "name": tool,
            "arguments": arguments,
            "_meta": {"progressToken": "p"},
        });
        self.post(session, &request(1, "tools/call", params))
    }

    /// Lets handlers run as far as they can; returns the deliveries, in order.
    pub(crate) async fn settle(&mut self) -> Vec<(Exchange, Part)> {
        self.settle_while(|_| true, &mut VecDeque::new()).await
    }

    /// Lets handlers run while their connections have capacity by `has_room`.
    pub(crate) async fn settle_while(
        &mut self,
        has_room: impl Fn(Exchange) -> bool,
        stalled: &mut VecDeque<CallKey>,
    ) -> Vec<(Exchange, Part)> {
        let mut delivered = Vec::new();
        for _ in 0..TURNS_MAX {
            yield_now().await;
            self.endpoint.handle_call_events(&has_room, stalled);
            self.broadcast(&has_room);
            delivered.extend(self.deliveries());
        }
        delivered
    }

    /// Broadcasts changes to subscriptions, as far as their connections have capacity.
    pub(crate) fn broadcast(&mut self, has_room: impl Fn(Exchange) -> bool) {
        self.endpoint.continue_broadcasts(false);
        self.poll();
        for _ in 0..self.endpoint.statuses_held() {
            self.endpoint.send_held_status(&has_room);
        }
    }

    /// Takes the parts of answers that are ready.
    pub(crate) fn deliveries(&mut self) -> Vec<(Exchange, Part)> {
        self.poll();
        self.delivered.drain(..).collect()
    }

    /// Takes the next message about tasks for another shard, with that shard.
    pub(crate) fn next_task_watch(&mut self) -> Option<(u16, TaskWatchMessage)> {
        self.poll();
        self.task_watch.pop_front()
    }

    /// Takes all output, as a shard does at the end of a turn.
    pub(crate) fn poll(&mut self) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Delivery(Delivery { exchange, part }) => {
                    self.delivered.push_back((exchange, part));
                }
                Output::TaskWatch(to, message) => self.task_watch.push_back((to, message)),
                Output::Limit(..) => unreachable!("there is one shard"),
            }
        }
    }

    /// Bytes of the events that are kept for clients that lost their streams.
    pub(crate) fn kept_event_bytes(&self) -> u64 {
        self.count(Counter::EventsBytes)
    }

    /// Begins a turn in which messages to other shards wait for their lanes, or not.
    pub(crate) fn begin_turn_with_lanes(&mut self, are_full: bool) {
        self.endpoint.begin_turn(self.now_ms, are_full);
    }

    /// Sets the clock to `now_ms`, and ends expired calls, tasks and sessions.
    pub(crate) fn expire_at(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        self.endpoint.begin_turn(now_ms, false);
        self.endpoint.handle_deadlines();
    }

    /// Waits until the pool has decoded a large message.
    pub(crate) fn next_decoded(&mut self) -> Decoded {
        loop {
            if let Some(decoded) = self.endpoint.poll_decoded() {
                return decoded;
            }
            let woken = self.woken.recv_timeout(Duration::from_secs(60));
            woken.expect("the pool wakes the shard");
        }
    }

    /// The value of a counter.
    pub(crate) fn count(&self, counter: Counter) -> u64 {
        self.meter.value(counter)
    }

    /// The identity of the principal.
    fn identity(&self) -> Option<Arc<Identity>> {
        let named = |name| Identity::new(Method::ProxyHeader, "", name);
        self.principal.map(|name| Arc::new(named(name)))
    }

    fn requester<'a>(
        &self,
        head: &'a RequestHead<'a>,
        identity: Option<&'a Arc<Identity>>,
    ) -> Requester<'a> {
        Requester::Here {
            claims: Claims::of_head(head),
            identity,
            address: None,
            peer: self.peer,
        }
    }

    fn next_exchange(&mut self) -> Exchange {
        self.sequence += 1;
        Exchange {
            shard: self.shard,
            slot: SlotKey {
                index: 5,
                generation: 6,
            },
            sequence: self.sequence,
            takes_events: self.takes_events,
            is_on_channel: false,
        }
    }
}

impl Answer {
    fn new(disposition: Disposition, body: &[u8], exchange: Exchange) -> Answer {
        Answer {
            disposition,
            body: json_of(body),
            exchange,
        }
    }

    /// Checks the kind of answer, see [`kind_of`], and its message.
    #[track_caller]
    pub(crate) fn check(&self, kind: &str, message: &Value) {
        assert_eq!(kind_of(&self.disposition), kind, "{}", self.body);
        assert!(
            agrees(&self.body, message),
            "{}\n is not\n{message}",
            self.body
        );
    }

    /// The key of a call that waits.
    #[track_caller]
    pub(crate) fn pending(&self) -> CallKey {
        match self.disposition {
            Disposition::Pending(Some(key)) => key,
            ref other => panic!("the call waits: {other:?} {}", self.body),
        }
    }
}

/// A disposition as a word of a table: a status, or its kind.
pub(crate) fn kind_of(disposition: &Disposition) -> String {
    match disposition {
        Disposition::Answer { refused, .. } => status_of(*refused).code().to_string(),
        Disposition::Accepted => "accepted".to_owned(),
        Disposition::Done => "done".to_owned(),
        Disposition::Pending(_) | Disposition::PendingCalls(_) => "pending".to_owned(),
        Disposition::PeerNeeded => "peer needed".to_owned(),
        Disposition::Cancel(id) => format!("cancel {id:?}"),
        Disposition::Stream(_) => "stream".to_owned(),
        Disposition::Forward { home, .. } => format!("forward to {home}"),
    }
}

/// A part as a word of a table and its message.
pub(crate) fn part_of(part: &Part) -> (String, Value) {
    match part {
        Part::Event { message, .. } => ("event".to_owned(), json_of(message)),
        Part::Change { message, .. } => ("change".to_owned(), json_of(message)),
        Part::Response(message) => ("response".to_owned(), json_of(message)),
        Part::Final { refused, body } => (status_of(*refused).code().to_string(), json_of(body)),
        Part::Accepted => ("accepted".to_owned(), Value::Null),
        Part::Unanswered => ("unanswered".to_owned(), Value::Null),
        Part::Done => ("done".to_owned(), Value::Null),
        Part::StreamOpen(_) => ("stream".to_owned(), Value::Null),
        Part::StreamEnd => ("end".to_owned(), Value::Null),
        Part::StreamPause { retry_ms } => ("pause".to_owned(), (*retry_ms).into()),
    }
}

/// Checks deliveries against words and messages, all of them for `exchange`.
#[track_caller]
pub(crate) fn check_parts(
    delivered: &[(Exchange, Part)],
    exchange: Exchange,
    expected: &[(&str, Value)],
) {
    let parts: Vec<(String, Value)> = delivered.iter().map(|(_, part)| part_of(part)).collect();
    let same = parts.len() == expected.len()
        && parts
            .iter()
            .zip(expected)
            .all(|(part, (kind, message))| part.0 == *kind && agrees(&part.1, message));
    assert!(same, "{parts:?}\n is not\n{expected:?}");
    assert!(delivered.iter().all(|(found, _)| *found == exchange));
}

/// Whether two messages are the same; `"*"` stands for any text but the empty one.
pub(crate) fn agrees(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::String(text), Value::String(star)) if star == "*" => !text.is_empty(),
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| agrees(a, b))
        }
        (Value::Object(found), Value::Object(expected)) => {
            found.len() == expected.len()
                && expected
                    .iter()
                    .all(|(key, value)| found.get(key).is_some_and(|it| agrees(it, value)))
        }
        _ => found == expected,
    }
}

fn json_of(bytes: &[u8]) -> Value {
    match bytes {
        b"" => Value::Null,
        bytes => serde_json::from_slice(bytes).expect("messages are JSON"),
    }
}

/// Parses a request without a body and hands its head on.
pub(crate) fn with_head<T>(
    verb: &str,
    headers: &str,
    use_head: impl FnOnce(&RequestHead<'_>) -> T,
) -> T {
    let mut bytes = format!("{verb} /mcp HTTP/1.1\r\nHost: h\r\n{headers}\r\n").into_bytes();
    match Framer::default().step(&mut bytes, &HttpLimits::DEFAULT) {
        Ok(Step::Request { head, .. }) => use_head(&head),
        other => panic!("not a whole request: {other:?}"),
    }
}

/// The header line that names a session.
pub(crate) fn session_header(session: SessionId) -> String {
    header_of(&session.to_text())
}

fn header_of(text: &[u8]) -> String {
    format!("MCP-Session-Id: {}\r\n", String::from_utf8_lossy(text))
}
