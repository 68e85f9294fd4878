//! Shards over a model of the kernel: tests act as the clients, make the turns and move the clock.
//!
//! A test is a script: clients connect, send, take and leave; the shard makes turns; the test looks
//! at the bytes that clients received and at operations under way. When it is over, every client
//! leaves, and each shard must have given everything back: see [`TestShard::check_given_back`].

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::client::Client;
use crate::catalog::pending_updates::PendingUpdates;
use crate::connection::http::{Connection, Phase};
use crate::guard::origin::OriginPolicy;
use crate::handler::offload::{OffloadPool, PoolThreads};
use crate::live::Live;
use crate::mcp::tests::test_endpoint::{on_executor, parts};
use crate::mcp::tests::tools::Gate;
use crate::mcp::{Exchange, ServerParts};
use crate::meter::Counter;
use crate::profile::{Binding, ListenAddress, Profile, Server, ShardProfile, Unix};
use crate::shard::ShardMessage;
use crate::shard::control::ShardControl;
use crate::shard::kept::Place;
use crate::shard::lives::Lives;
use crate::shard::proxied::Proxies;
use crate::shard::run::TurnOutcome;
use crate::shard::start::{Intake, ShardPlan, open_on};
use crate::shard::work::Shard;
use crate::transport::listener::{ListenOptions, Listener, listen};
use corelane_io::chunk::Chunk;
use corelane_io::executor::yield_now;
use corelane_io::lanes::{LaneLimits, Mesh};
use corelane_io::ring::fake::FakeNetwork;
use corelane_io::rings::{Rings, RingsSettings};
use corelane_io::slots::SlotKey;

/// Turns after which everything that can happen without another cause has happened.
const TURNS_MAX: usize = 10_000;
/// How long shards may drain.
pub(super) const DRAIN_TIMEOUT_MS: u64 = 10_000;

/// The knobs of a server that drains within [`DRAIN_TIMEOUT_MS`].
fn drained_soon() -> Server {
    Server {
        drain_timeout_ms: DRAIN_TIMEOUT_MS,
        ..Server::default()
    }
}

/// The choices of a test for its shards.
pub(super) struct Setup {
    pub(super) profile: ShardProfile,
    pub(super) descriptors: u32,
    /// Of one ring at most.
    pub(super) ring_descriptors_max: u32,
    pub(super) backlog: u32,
    pub(super) proxies: Proxies,
    /// Of the listeners.
    pub(super) bindings: Vec<Binding>,
    /// Of the pool; none at first.
    pub(super) threads: PoolThreads,
}

/// A shard under test.
pub(super) struct TestShard {
    pub(super) shard: Shard,
    pub(super) network: FakeNetwork,
    pub(super) gate: Gate,
    clients: Vec<Client>,
    address: SocketAddr,
    pub(super) now_ms: u64,
    /// How long each call takes that is answered in a turn.
    pub(super) call_ms: u64,
}

impl Setup {
    /// The listeners of each shard, at free ports of loopback.
    fn listen(&self, shards: usize) -> Vec<Vec<Listener>> {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let options = ListenOptions {
            backlog: self.backlog,
            write_timeout: Duration::from_secs(30),
            unix: &Unix::default(),
        };
        let any_ports = self.bindings.iter().map(|&binding| ListenAddress {
            binding,
            ..any_port.into()
        });
        let listeners = listen(&any_ports.collect::<Vec<_>>(), shards, options, Vec::new());
        listeners.expect("free ports").of_shards
    }
}

/// Runs a test of the only shard of a server, which has to give everything back in the end.
pub(super) fn with_shard<T>(
    change: impl FnOnce(&mut Setup),
    test: impl AsyncFnOnce(&mut TestShard) -> T,
) -> T {
    with_shards(1, change, async |shards| test(&mut shards[0]).await)
}

/// Runs a test of all shards of a server, each of which has to give everything back in the end.
pub(super) fn with_shards<T>(
    count: u16,
    change: impl FnOnce(&mut Setup),
    test: impl AsyncFnOnce(&mut [TestShard]) -> T,
) -> T {
    let mut setup = Setup {
        profile: Profile::default().for_core(0),
        descriptors: 1024,
        ring_descriptors_max: 1024,
        backlog: 128,
        proxies: Proxies::default(),
        bindings: vec![Binding::Http],
        threads: PoolThreads::NONE,
    };
    change(&mut setup);
    on_executor(async {
        let mut shards = TestShard::open_all(count, &setup);
        let value = test(&mut shards).await;
        for shard in &mut shards {
            shard.end_clients();
        }
        settle_all(&mut shards).await;
        for shard in &mut shards {
            shard.check_given_back();
        }
        value
    })
}

/// Makes turns of all shards until nothing is left to be done.
pub(super) async fn settle_all(shards: &mut [TestShard]) {
    for _ in 0..TURNS_MAX {
        let mut is_busy = false;
        for shard in &mut *shards {
            is_busy |= shard.turn_and_look().await;
        }
        if !is_busy {
            return;
        }
    }
    panic!("shards are busy after {TURNS_MAX} turns");
}

impl TestShard {
    fn open_all(count: u16, setup: &Setup) -> Vec<TestShard> {
        let profile = setup.profile;
        let lanes = LaneLimits {
            control_messages_max: profile.lanes.control,
            reply_messages_max: profile.lanes.reply,
            request_messages_max: profile.lanes.request,
            bulk_messages_max: profile.lanes.bulk,
        };
        let listeners = setup.listen(usize::from(count));
        let addresses: Vec<_> = listeners[0]
            .iter()
            .filter_map(|it| it.address().socket_addr())
            .collect();
        let gate = Gate::default();
        let parts = parts(&gate);
        let mesh: Mesh<ShardMessage> = Mesh::new(usize::from(count), 0, lanes);
        let updates = PendingUpdates::default().open(&parts.plan, usize::from(count));
        let ring_fds: Arc<[AtomicI32]> = (0..count).map(|_| AtomicI32::new(-1)).collect();
        let lives = Arc::new(Lives::new(usize::from(count)));
        let controls = ShardControl::of_server(usize::from(count), (&drained_soon(), false), None);
        let ends = mesh.senders.into_iter().zip(mesh.receivers);
        let all = (0..count).zip(listeners).zip(ends).zip(updates);
        let shard_profiles = vec![profile; usize::from(count)];
        let live = live(shard_profiles, &addresses, &parts);
        all.map(|(((shard, listeners), (sender, receiver)), updates)| {
            let places = listeners.into_iter().map(Place::of).collect();
            let plan = ShardPlan {
                shard,
                shards: count,
                profile,
                is_pinned: false,
                rings: RingsSettings {
                    ring: profile.ring.settings(setup.descriptors),
                    ring_descriptors_max: setup.ring_descriptors_max,
                },
                intake: Intake::Listeners(places, setup.backlog),
                live: Arc::clone(&live),
                access: None,
                user_is_principal: true,
                proxies: setup.proxies.clone(),
                parts: parts.clone(),
                updates,
                offload: OffloadPool::start(setup.threads, 1).expect("the threads start"),
                tls: None,
                runtime: None,
                sender: Place::of(sender),
                receiver: Place::of(receiver),
                lives: Arc::clone(&lives),
                ring_fds: Arc::clone(&ring_fds),
                control: Arc::clone(&controls[usize::from(shard)]),
            };
            let (rings, network) = Rings::over_network(&plan.rings).expect("memory");
            TestShard {
                shard: open_on(rings, plan).expect("a descriptor to be woken by"),
                network,
                gate: gate.clone(),
                clients: Vec::new(),
                address: addresses[0],
                now_ms: 0,
                call_ms: 0,
            }
        })
        .collect()
    }

    /// From here on the time for requests is over at each look at the clock.
    pub(super) fn is_out_of_time(&mut self) {
        let readings = Cell::new(0);
        self.shard.clock = Box::new(move || {
            readings.set(readings.get() + 1);
            Duration::from_hours(readings.get())
        });
    }

    /// A client that waits in the backlog.
    pub(super) fn connect(&mut self) -> Client {
        self.connect_to(0)
    }

    /// A client that waits in the backlog of the listener with this number.
    pub(super) fn connect_to(&mut self, listener: u8) -> Client {
        let client = Client::new(self.network.connect(listener), self.address);
        self.clients.push(client.clone());
        client
    }

    /// Where its first listener listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client that was accepted, and the key of its connection.
    pub(super) async fn client(&mut self) -> (Client, SlotKey) {
        let client = self.connect();
        self.settle().await;
        let key = self.key(&client);
        (client, key)
    }

    /// The key of the connection of a client that was accepted.
    pub(super) fn key(&self, client: &Client) -> SlotKey {
        let index = client.descriptor().expect("it was accepted");
        self.shard.slots.key_of(index).expect("it is open")
    }

    /// Submits the queue, makes one turn, and lets handlers run.
    pub(super) async fn turn(&mut self) -> TurnOutcome {
        self.shard.enter(true).expect("the model never fails");
        let elapsed = Duration::from_millis(self.now_ms);
        let answered = self.count(Counter::CallsOk);
        let outcome = self.shard.turn(elapsed).expect("the model never fails");
        yield_now().await;
        self.pass((self.count(Counter::CallsOk) - answered) * self.call_ms);
        self.shard
            .end_turn(outcome.did, || Duration::from_millis(self.now_ms));
        outcome
    }

    /// Makes one turn. Returns whether there is, or was, something to do.
    async fn turn_and_look(&mut self) -> bool {
        let TurnOutcome { did, has_work, .. } = self.turn().await;
        let is_woken = self.shard.handling.event_queue.take_task_woken();
        did || has_work || is_woken || self.network.has_news() || self.shard.has_work()
    }

    /// Makes turns until nothing is left to be done.
    pub(super) async fn settle(&mut self) {
        settle_all(std::slice::from_mut(self)).await;
    }

    /// Lets time pass until the next turn.
    pub(super) fn pass(&mut self, time_ms: u64) {
        self.now_ms += time_ms;
    }

    /// Lets time pass. The shard makes turns when it would end its sleep, and at the end, each time
    /// until nothing is left to be done.
    pub(super) async fn advance(&mut self, time_ms: u64) {
        let end_ms = self.now_ms + time_ms;
        loop {
            let until_due = self.shard.time_until_due().as_millis() as u64;
            self.pass(until_due.min(end_ms - self.now_ms));
            self.settle().await;
            if self.now_ms == end_ms {
                break;
            }
        }
    }

    /// The server sends a chunk of `bytes` on a connection.
    pub(super) fn sends(&mut self, key: SlotKey, bytes: usize) {
        self.shard.finish_step(key, Some(chunk(bytes)));
    }

    /// Makes a session of a client without capabilities, which lives on this shard; returns its
    /// header line.
    pub(super) async fn session(&mut self) -> String {
        self.session_with(json!({})).await
    }

    /// The same of a client with `capabilities`.
    pub(super) async fn session_with(&mut self, capabilities: Value) -> String {
        let (client, _) = self.client().await;
        client.initializes(capabilities);
        self.settle().await;
        let answer = client.received_text();
        client.finishes();
        self.settle().await;
        let is_session = |line: &&str| line.to_lowercase().starts_with("mcp-session-id: ");
        let line = answer.lines().find(is_session);
        format!("{}\r\n", line.expect("initialize makes a session"))
    }

    /// The messages that other shards have sent.
    pub(super) fn messages(&mut self) -> Vec<ShardMessage> {
        let mut messages = Vec::new();
        let receiver = &mut self.shard.receiver;
        receiver.drain(100, |_, _, message| messages.push(message));
        messages
    }

    /// The connection of `key`.
    #[track_caller]
    pub(super) fn connection(&self, key: SlotKey) -> &Connection {
        self.shard.slots.get(key).expect("it is open")
    }

    /// The phase of a connection, if it is open.
    pub(super) fn phase(&self, key: SlotKey) -> Option<Phase> {
        self.shard.slots.get(key).map(|connection| connection.phase)
    }

    pub(super) fn connections(&self) -> usize {
        self.shard.slots.len()
    }

    pub(super) fn count(&self, counter: Counter) -> u64 {
        self.shard.handling.meter.value(counter)
    }

    /// The request that a connection answers.
    pub(super) fn exchange(&self, key: SlotKey) -> Exchange {
        Exchange {
            shard: self.shard.handling.shard,
            slot: key,
            sequence: self.connection(key).sequence,
            takes_events: true,
            is_on_channel: false,
        }
    }

    /// Everything that is kept back comes, and every client leaves.
    fn end_clients(&mut self) {
        self.network.release();
        self.network.settle();
        for client in &self.clients {
            client.resets();
        }
    }

    /// No slot, descriptor, buffer or byte is held, and nothing is under way but accepting and
    /// the wake.
    pub(super) fn check_given_back(&mut self) {
        let standing = self.network.accepts().len() + 1;
        let shard = &mut self.shard;
        assert_eq!(
            shard.slots.len(),
            0,
            "connections are left: {:?}",
            shard.slots
        );
        assert_eq!(self.network.descriptors(), 0, "descriptors are open");
        assert_eq!(shard.rings.closing(), 0, "closes are under way");
        assert_eq!(shard.rings.in_flight(), standing, "operations under way");
        assert_eq!(shard.rings.held_buffers(), 0, "receive buffers are held");
        assert_eq!(shard.lookups.len(), 0, "peers are looked up");
        assert!(shard.arrivals.is_empty(), "input waits");
        assert_eq!(
            shard.handling.pool.input_bytes, 0,
            "bytes of requests are held"
        );
        assert_eq!(
            shard.handling.pool.output_bytes, 0,
            "bytes of answers are held"
        );
        assert!(shard.addresses.is_empty(), "addresses are counted");
        assert!(shard.handling.peers.is_empty(), "peers are known");
        assert!(shard.clients.is_empty(), "clients of proxies are known");
        for count in &*shard.control.open_connections {
            assert_eq!(count.load(Ordering::Relaxed), 0, "connections are counted");
        }
        for counter in [Counter::ConnectionsOpen, Counter::StreamsOpen] {
            assert_eq!(self.count(counter), 0, "{counter:?}");
        }
    }
}

/// The settings of shards that listen on these addresses.
fn live(shards: Vec<ShardProfile>, addresses: &[SocketAddr], parts: &ServerParts) -> Arc<Live> {
    let none: &[&str] = &[];
    let policy =
        |listen: &SocketAddr| OriginPolicy::new(*listen, none, none).expect("a bound address");
    Arc::new(Live {
        generation: 0,
        shards,
        server: Server {
            sse_endpoint: Some("/old/sse".to_owned()),
            ..Server::default()
        },
        origins: addresses.iter().map(policy).collect(),
        principal: None,
        sealer: Arc::clone(&parts.sealer),
        memory_bytes_max: u64::MAX,
    })
}

/// A chunk of `bytes` that holds no more memory than that.
fn chunk(bytes: usize) -> Chunk {
    Chunk::from(vec![b'x'; bytes])
}
