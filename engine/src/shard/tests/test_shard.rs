//! Shards of one server on the thread of a test, driven turn by turn.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicUsize};

use crate::catalog::pending_updates::PendingUpdates;
use crate::connection::http::{Connection, Phase};
use crate::guard::origin::OriginPolicy;
use crate::handler::offload::{OffloadPool, PoolThreads};
use crate::mcp::Exchange;
use crate::mcp::tests::test_endpoint::{initialize, parts};
use crate::mcp::tests::tools::Gate;
use crate::meter::Counter;
use crate::profile::{Profile, ShardProfile};
use crate::shard::ShardMessage;
use crate::shard::control::ShardControl;
use crate::shard::start::{Intake, ShardPlan, open};
use crate::shard::work::Shard;
use crate::transport::listener::listen;
use corelane_io::chunk::Chunk;
use corelane_io::lanes::{LaneLimits, Mesh};
use corelane_io::slots::SlotKey;

/// Turns in which everything that can happen without another cause has happened.
const TURNS_MAX: usize = 100_000;

/// A shard under test.
pub(super) struct TestShard {
    pub(super) shard: Shard,
    address: SocketAddr,
}

impl TestShard {
    /// The only shard of a server.
    pub(super) fn single(change: impl Fn(&mut ShardProfile)) -> TestShard {
        TestShard::several(1, change).remove(0)
    }

    /// The only shard of a server that has these threads in its pool.
    pub(super) fn with_pool(threads: PoolThreads, change: impl Fn(&mut ShardProfile)) -> TestShard {
        TestShard::all(1, threads, change).remove(0)
    }

    /// All shards of a server with small tables and no connections.
    pub(super) fn several(count: u16, change: impl Fn(&mut ShardProfile)) -> Vec<TestShard> {
        TestShard::all(count, PoolThreads::NONE, change)
    }

    fn all(count: u16, threads: PoolThreads, change: impl Fn(&mut ShardProfile)) -> Vec<TestShard> {
        let mut profile = Profile::default().for_core(0);
        profile.ring.submission_entries = 256;
        profile.ring.completion_entries = 1024;
        profile.ring.buffer_count = 64;
        change(&mut profile);
        let lanes = LaneLimits {
            control_messages_max: profile.lanes.control,
            reply_messages_max: profile.lanes.reply,
            request_messages_max: profile.lanes.request,
            bulk_messages_max: profile.lanes.bulk,
        };
        let any_port = "127.0.0.1:0".parse().expect("an address");
        let listeners = listen(any_port, usize::from(count), 128).expect("a free port");
        let address = listeners[0].local_addr().expect("it is bound");
        let parts = parts(&Gate::default());
        let mesh: Mesh<ShardMessage> = Mesh::new(usize::from(count), 0, lanes);
        let updates = PendingUpdates::default().open(&parts.plan, usize::from(count));
        let ring_fds: Arc<[AtomicI32]> = (0..count).map(|_| AtomicI32::new(-1)).collect();
        let quiet_shards = Arc::new(AtomicUsize::new(0));
        let ends = mesh.senders.into_iter().zip(mesh.receivers);
        let all = (0..count).zip(listeners).zip(ends).zip(updates);
        all.map(|(((shard, listener), (sender, receiver)), updates)| {
            let none: &[&str] = &[];
            let plan = ShardPlan {
                shard,
                shards: count,
                profile,
                descriptors: 1024,
                intake: Intake::Listener(listener, 128),
                origin: OriginPolicy::new(address, none, none).expect("a bound address"),
                principal: None,
                endpoint_path: "/mcp".to_owned(),
                parts: parts.clone(),
                updates,
                offload: OffloadPool::start(threads, 1).expect("the threads start"),
                runtime: None,
                sender,
                receiver,
                ring_fds: Arc::clone(&ring_fds),
                control: Arc::new(ShardControl {
                    drain_timeout_ms: 3_600_000,
                    quiet_shards: Arc::clone(&quiet_shards),
                    ..ShardControl::default()
                }),
            };
            TestShard {
                shard: open(plan).expect("a small ring fits every limit"),
                address,
            }
        })
        .collect()
    }

    /// A client of the server.
    pub(super) fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).expect("the shard listens")
    }

    /// Makes a session of a client without capabilities, which lives on this shard; returns its
    /// header line.
    pub(super) fn session(&mut self) -> String {
        let body = initialize("2025-11-25");
        let length = body.len();
        let request = format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        let key = self.insert(0);
        let mut connection = self.shard.slots.remove(key).expect("it is open");
        let peer = self.shard.handling.endpoint.holder_of(None);
        // As at the completions of a turn.
        self.shard.handling.requests_left = u32::MAX;
        let mut context = self.shard.handling.context(key);
        context.peer = Some(peer);
        connection.received(&mut request.into_bytes(), &mut context);
        let answer = context.out.take().expect("an answer at once");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let is_session = |line: &&str| line.to_lowercase().starts_with("mcp-session-id: ");
        let line = answer.lines().find(is_session);
        format!("{}\r\n", line.expect("initialize makes a session"))
    }

    /// A connection without a socket; nothing that is sent on it leaves before a turn.
    pub(super) fn insert(&mut self, index: u32) -> SlotKey {
        self.shard.slots.insert_at(index, Connection::new())
    }

    /// A connection without a socket whose peer takes nothing of a chunk of `bytes`.
    pub(super) fn insert_sending(&mut self, index: u32, bytes: usize) -> SlotKey {
        let key = self.insert(index);
        self.shard.finish_step(key, Some(chunk(bytes)));
        key
    }

    /// The peer of a connection sends `bytes`.
    pub(super) fn receive(&mut self, key: SlotKey, bytes: &str) {
        // As at the completions of a turn.
        self.shard.handling.requests_left = u32::MAX;
        let connection = self.shard.slots.get_mut(key).expect("it is open");
        let mut context = self.shard.handling.context(key);
        connection.received(&mut bytes.to_owned().into_bytes(), &mut context);
        let out = context.out.take();
        self.shard.finish_step(key, out);
        self.peer_known(key);
    }

    /// Ends the look-up of a connection's peer, if there is one. There is no socket with a peer to
    /// look up.
    pub(super) fn peer_known(&mut self, key: SlotKey) {
        if self.shard.lookups.contains_key(&key) {
            self.shard.peer_known(key, None);
        }
    }

    /// The peer of a connection takes `bytes` of a send of `chunk_bytes`.
    pub(super) fn take(&mut self, key: SlotKey, bytes: usize, chunk_bytes: usize) {
        self.shard.ring.forget_send(key);
        self.shard.sent(key, chunk(chunk_bytes), 0, Ok(bytes));
    }

    /// Sets the clock to `now_ms`, and handles passed deadlines.
    pub(super) fn advance_to(&mut self, now_ms: u64) {
        self.shard.now_ms = now_ms;
        while !self.shard.handle_timers(1000) {}
    }

    /// Makes turns until `is_done`.
    #[track_caller]
    pub(super) fn turn_until(&mut self, mut is_done: impl FnMut(&mut Shard) -> bool) {
        for _ in 0..TURNS_MAX {
            if is_done(&mut self.shard) {
                return;
            }
            self.shard.enter(true).expect("the ring works");
            self.shard.turn().expect("the ring works");
            std::thread::yield_now();
        }
        panic!("not within {TURNS_MAX} turns");
    }

    /// The messages that other shards have sent.
    pub(super) fn messages(&mut self) -> Vec<ShardMessage> {
        let mut messages = Vec::new();
        let receiver = &mut self.shard.receiver;
        receiver.drain(100, |_, _, message| messages.push(message));
        messages
    }

    /// The phase of a connection, if it is open.
    pub(super) fn phase(&self, key: SlotKey) -> Option<Phase> {
        self.shard.slots.get(key).map(|connection| connection.phase)
    }

    pub(super) fn count(&self, counter: Counter) -> u64 {
        self.shard.handling.meter.value(counter)
    }

    /// The request that a connection answers.
    pub(super) fn exchange(&self, key: SlotKey) -> Exchange {
        let connection = self.shard.slots.get(key).expect("it is open");
        Exchange {
            shard: self.shard.handling.shard,
            slot: key,
            sequence: connection.sequence,
            takes_events: true,
            is_on_channel: false,
        }
    }
}

/// A chunk of `bytes` that holds no more memory than that.
pub(super) fn chunk(bytes: usize) -> Chunk {
    Chunk::from(vec![b'x'; bytes])
}
