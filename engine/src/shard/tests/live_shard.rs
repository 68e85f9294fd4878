//! A shard whose turns a test takes one by one, and clients on loopback.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicI32;
use std::time::Duration;

use serde_json::{Value, json};

use crate::catalog::pending_updates::PendingUpdates;
use crate::guard::origin::OriginPolicy;
use crate::handler::offload::{OffloadPool, PoolThreads};
use crate::mcp::tests::test_endpoint::{MODERN, claim, parts, request};
use crate::mcp::tests::tools::Gate;
use crate::meter::Counter;
use crate::profile::Profile;
use crate::shard::start::open;
use crate::shard::work::Shard;
use crate::shard::{Intake, ShardControl, ShardPlan};
use crate::transport::listener::listen;
use corelane_io::executor::{Executor, yield_now};
use corelane_io::lanes::{LaneLimits, Mesh};
use corelane_io::ring::Wait;
use corelane_io::slots::SlotKey;

/// How long one entry of the ring waits for a completion.
pub(super) const ROUND: Duration = Duration::from_millis(5);
/// Turns after which a wait has failed.
pub(super) const TURNS_MAX: usize = 4000;

/// The only shard of a server with the catalog of the tests.
pub(super) struct TestShard {
    pub(super) shard: Shard,
    pub(super) gate: Gate,
    address: SocketAddr,
}

/// Opens a shard with the profile `toml` and lets `test` take its turns.
pub(super) fn with_shard<T>(toml: &str, test: impl AsyncFnOnce(&mut TestShard) -> T) -> T {
    let profile = Profile::from_toml(toml).expect("a profile of the test");
    Executor::of_test().run(async move { test(&mut TestShard::open(&profile)).await })
}

impl TestShard {
    fn open(profile: &Profile) -> TestShard {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut listeners = listen(any_port, 1, profile.server.backlog).expect("a free port");
        let listener = listeners.remove(0);
        let address = listener.local_addr().expect("it is bound");
        let none: &[&str] = &[];
        let mut mesh = Mesh::new(
            1,
            0,
            LaneLimits {
                control_messages_max: 32,
                reply_messages_max: 256,
                request_messages_max: 256,
                bulk_messages_max: 128,
            },
        );
        let gate = Gate::default();
        let parts = parts(&gate);
        let mut boards = PendingUpdates::default().open(&parts.plan, 1);
        let plan = ShardPlan {
            shard: 0,
            shards: 1,
            profile: profile.for_core(0),
            descriptors: profile.ring.descriptors.unwrap_or(256),
            intake: Intake::Listener(listener, profile.server.backlog),
            origin: OriginPolicy::new(address, none, none).expect("a bound address"),
            principal: None,
            endpoint_path: "/mcp".to_owned(),
            parts,
            updates: boards.remove(0),
            offload: OffloadPool::start(PoolThreads::NONE, 1).expect("no thread is started"),
            runtime: None,
            sender: mesh.senders.remove(0),
            receiver: mesh.receivers.remove(0),
            ring_fds: Arc::new([AtomicI32::new(-1)]),
            control: Arc::new(ShardControl {
                drain_timeout_ms: 60_000,
                ..ShardControl::default()
            }),
        };
        TestShard {
            shard: open(plan).expect("a ring of the test"),
            gate,
            address,
        }
    }

    /// Takes one turn and lets the tasks of handlers run. Returns whether the shard has drained.
    pub(super) async fn turn(&mut self) -> bool {
        self.shard.ring.enter(Wait::For(ROUND)).expect("it enters");
        let outcome = self.shard.turn().expect("it drains if anything");
        yield_now().await;
        outcome.has_drained
    }

    /// Takes turns until `holds` returns true; `what` completes the sentence "... did not happen".
    pub(super) async fn turn_until(&mut self, what: &str, holds: impl Fn(&mut TestShard) -> bool) {
        for _ in 0..TURNS_MAX {
            if holds(self) {
                return;
            }
            self.turn().await;
        }
        panic!("{what}: did not happen within {TURNS_MAX} turns");
    }

    /// Lets `time_ms` pass on the shard's clock.
    pub(super) fn pass_ms(&mut self, time_ms: u64) {
        let time = Duration::from_millis(time_ms);
        let started = self.shard.started.checked_sub(time);
        self.shard.started = started.expect("the machine was started before");
    }

    /// A client that the shard has accepted, and the key of its connection.
    pub(super) async fn client(&mut self) -> (Client, SlotKey) {
        let before: Vec<SlotKey> = self.shard.slots.keys().collect();
        let client = self.connect();
        let connections = before.len();
        self.turn_until("an accept", |it| it.connections() > connections)
            .await;
        let key = self.shard.slots.keys().find(|key| !before.contains(key));
        (client, key.expect("there is one more"))
    }

    /// A client that waits in the backlog.
    pub(super) fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).expect("the backlog has room");
        stream.set_nonblocking(true).expect("a socket");
        Client {
            stream,
            host: self.address.to_string(),
        }
    }

    pub(super) fn connections(&self) -> usize {
        self.shard.slots.len()
    }

    pub(super) fn count(&self, counter: Counter) -> u64 {
        self.shard.handling.meter.value(counter)
    }
}

/// A client on a socket that never blocks: the shard runs on the same thread.
pub(super) struct Client {
    stream: TcpStream,
    host: String,
}

impl Client {
    /// Sends `bytes`, which the buffers of the sockets must hold.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the buffers hold it");
    }

    /// Sends as much of `bytes` as the buffers of the sockets hold.
    pub(super) fn send_some(&mut self, bytes: &[u8]) -> usize {
        self.stream.write(bytes).unwrap_or(0)
    }

    /// A modern call of `tool`.
    pub(super) fn call(&self, tool: &str, arguments: Value) -> Vec<u8> {
        let params = json!({"name": tool, "arguments": arguments, "_meta": claim()});
        let head = format!("{MODERN}Mcp-Method: tools/call\r\nMcp-Name: {tool}\r\n");
        self.post(&head, &request(1, "tools/call", params))
    }

    /// A POST of `body` with more header lines.
    pub(super) fn post(&self, headers: &str, body: &str) -> Vec<u8> {
        let (host, bytes) = (&self.host, body.len());
        format!(
            "POST /mcp HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
             Accept: application/json\r\n{headers}Content-Length: {bytes}\r\n\r\n{body}"
        )
        .into_bytes()
    }

    /// The received bytes.
    pub(super) fn read(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 1 << 16];
        let count = self.stream.read(&mut bytes).unwrap_or(0);
        bytes.truncate(count);
        bytes
    }

    /// Whether neither bytes nor an end have arrived.
    pub(super) fn is_waiting(&mut self) -> bool {
        let outcome = self.stream.read(&mut [0; 1]);
        outcome.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Sends no more.
    pub(super) fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).expect("it is open");
    }

    /// Leaves with a reset, as a program does that ends with unread bytes.
    pub(super) fn reset(self) {
        let socket = socket2::Socket::from(self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("a socket");
    }
}
