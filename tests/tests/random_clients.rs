//! Clients of both eras that do at random what clients do, hang up and give up included, against
//! four shards with little room; every answer is held to a model, and nothing is left at the end.
//!
//! The seed is printed; `CORELANE_SEED=...` repeats a run as far as the clients go.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use corelane::meter::Counter;
use corelane::{Call, Profile, Server, sleep};
use corelane_tests::request::LEGACY;
use corelane_tests::{Connection, EventStream, Request, Response, Session};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

const CLIENTS: u64 = 8;
const STEPS: u32 = 120;
const SHARDS: usize = 4;

#[derive(Deserialize, JsonSchema)]
struct Echo {
    message: String,
}

#[derive(Deserialize, JsonSchema)]
struct Nap {
    ms: u64,
}

/// A generator of numbers that need not be good, only the same for the same seed: SplitMix64.
struct Random(u64);

impl Random {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.draw() % end
    }
}

/// One client, its connection and what it believes.
struct Client {
    address: SocketAddr,
    random: Random,
    connection: Connection,
    /// A session that was made and not ended by this client; the server may have evicted it.
    session: Option<Session>,
    /// Sessions that were made in all.
    made: u64,
    id: u64,
}

impl Client {
    fn new(address: SocketAddr, seed: u64) -> Client {
        Client {
            address,
            random: Random(seed),
            connection: connect(address),
            session: None,
            made: 0,
            id: 0,
        }
    }

    fn step(&mut self) {
        self.id += 1;
        match self.random.below(12) {
            0..=2 => self.call_modern(),
            3 => self.hang_up_modern(),
            4 => self.listen(),
            5..=7 => self.call_legacy(),
            8 => self.cancel_legacy(),
            9 => self.hang_up_legacy(),
            10 => self.end_session(),
            _ => self.open_stream(),
        }
    }

    fn reconnect(&mut self) {
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
    }

    /// The session, made anew if there is none; nothing if every session of the shard is in use.
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
        let told = session.notification("notifications/initialized");
        let response = self.connection.exchange(&told);
        match self.was_evicted(&response) {
            true => None,
            false => Some(session),
        }
    }

    /// Whether the answer says that the session was evicted; it is forgotten then.
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
        // The nap may have been over before, or the session gone; a cancelled one has no answer.
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

    fn end_session(&mut self) {
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

fn connect(address: SocketAddr) -> Connection {
    Connection::open(address).expect("the server takes connections")
}

#[track_caller]
fn check_text(response: &Response, id: &Value, text: &str) {
    assert_eq!(response.status(), 200, "{response:?}");
    let answer = response.answer();
    assert_eq!(answer["id"], *id, "{answer}");
    assert_eq!(answer["result"]["content"][0]["text"], text, "{answer}");
}

#[test]
fn every_answer_fits_the_model_and_nothing_is_left() {
    let seed = match std::env::var("CORELANE_SEED") {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(1, |since| since.as_nanos() as u64),
    };
    println!("CORELANE_SEED={seed}");
    let mut profile = Profile::default();
    profile.server.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    profile.server.shards = Some(SHARDS);
    // Less than there are clients, if their sessions meet on one shard.
    profile.sessions.per_shard_max = 3;
    let server = Server::new("random", "1")
        .tool(
            "echo",
            "Says it again.",
            async |_: &Call, Echo { message }| Ok(message),
        )
        .tool("nap", "Sleeps.", async |_: &Call, Nap { ms }| {
            sleep(Duration::from_millis(ms)).await;
            Ok("slept")
        })
        .start(profile)
        .expect("the server starts");
    let address = server.address();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            thread::spawn(move || {
                let mut client = Client::new(address, seed.wrapping_add(number));
                for _ in 0..STEPS {
                    client.step();
                }
                client.end_session();
                client.made
            })
        })
        .collect();
    let made: u64 = clients
        .into_iter()
        .map(|client| client.join().unwrap_or_else(|_| panic!("seed {seed}")))
        .sum();
    let meter = server.drain().expect("the server drains");
    let value = |counter| meter.value(counter);
    assert_eq!(value(Counter::SessionsCreated), made, "seed {seed}");
    let ended = value(Counter::SessionsDeleted) + value(Counter::SessionsEvicted);
    assert_eq!(ended, made, "seed {seed}");
    assert!(
        value(Counter::SessionsEvicted) > 0,
        "too much room, seed {seed}"
    );
    for level in [
        Counter::ConnectionsOpen,
        Counter::CallsInFlight,
        Counter::SessionsOpen,
        Counter::StreamsOpen,
    ] {
        assert_eq!(value(level), 0, "{level:?}, seed {seed}");
    }
    assert_eq!(value(Counter::CallsPanicked), 0, "seed {seed}");
}
