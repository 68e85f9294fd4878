//! Schedules at random: completions in any order, short sends, failures, and clients that leave, of
//! each transport.
//!
//! Each seed is one schedule. `CORELANE_SEED` runs that one alone.

use std::fmt::Write;

use corelane_protocol::framing::websocket::Opcode;
use corelane_protocol::mcp::subscription::ListKind;
use serde_json::{Value, json};

use super::client::{Client, message};
use super::test_shard::{Setup, TestShard, with_shard};
use super::websocket::{HANDSHAKE, frame};
use crate::catalog::pending_updates::Changes;
use crate::profile::Binding;
use corelane_io::ring::fake::FakePeer;
use corelane_io::ring::fake::Operation::{self, Accept, AcceptOne, Receive, RecvMultishot, Send};
use corelane_io::rng::Rng;

const SEEDS: u64 = 200;
const TURNS: u64 = 150;
/// Clients at once; more than there are descriptors.
const CLIENTS_MAX: usize = 12;

/// Failures of operations.
const FAULTS: [(Operation, i32); 9] = [
    (Accept, libc::EMFILE),
    (AcceptOne, libc::EMFILE),
    (Receive, libc::ENOBUFS),
    (Receive, libc::ECONNRESET),
    (RecvMultishot, libc::ENOBUFS),
    (RecvMultishot, libc::ECANCELED),
    (RecvMultishot, libc::ECONNRESET),
    (Send, libc::ECANCELED),
    (Send, libc::ECONNRESET),
];

/// The transport of a client, with the number of its listener.
#[derive(Clone, Copy)]
enum Transport {
    Http = 0,
    Lines = 1,
    WebSocket = 2,
}

/// A client with its requests and answers.
struct Player {
    client: Client,
    transport: Transport,
    /// The rest of a request that it has begun to send.
    unsent: Vec<u8>,
    /// The messages of its echoes, in order.
    expected: String,
    received: String,
    listens: bool,
    has_left: bool,
}

struct Game {
    rng: Rng,
    players: Vec<Player>,
    echoes: usize,
}

#[test]
fn everything_is_given_back_whatever_the_order_of_completions() {
    let chosen = std::env::var("CORELANE_SEED").ok();
    let chosen: Option<u64> = chosen.and_then(|text| text.parse().ok());
    let seeds = chosen.map_or(0..SEEDS, |seed| seed..seed + 1);
    let mut checked = [0; 3];
    for seed in seeds {
        println!("CORELANE_SEED={seed}");
        with_shard(
            |setup| small(setup, seed),
            async |shard| play(shard, seed, &mut checked).await,
        );
    }
    let has_all = checked.iter().all(|answers| *answers > 0);
    assert!(has_all || chosen.is_some(), "clients of {checked:?}");
}

/// Few of everything, so that all limits are met; with some seeds enough buffers.
fn small(setup: &mut Setup, seed: u64) {
    setup.bindings = vec![Binding::Http, Binding::Lines, Binding::WebSocket];
    setup.descriptors = 8;
    setup.ring_descriptors_max = [8, 3, 1][(seed / 3 % 3) as usize];
    setup.backlog = 4;
    setup.profile.ring.submission_entries = 8;
    setup.profile.ring.buffer_count = if seed.is_multiple_of(3) { 4 } else { 64 };
    setup.profile.ring.buffer_bytes = if seed % 3 < 2 { 128 } else { 2048 };
    setup.profile.budget.completions_per_turn = 3;
    setup.profile.connection.output_bytes_max = 2000;
    setup.profile.connection.pipelined_bytes_max = 1000;
    setup.profile.connection.quiet_after_ms = 100;
    setup.profile.connection.write_timeout_ms = 5000;
}

/// Counts the clients of each transport that had all of their answers in the end.
async fn play(shard: &mut TestShard, seed: u64, checked: &mut [usize; 3]) {
    let mut game = Game {
        rng: Rng::seeded(seed),
        players: Vec::new(),
        echoes: 0,
    };
    shard.network.shuffle(seed);
    if seed.is_multiple_of(5) {
        shard.is_out_of_time();
    }
    shard
        .shard
        .rings
        .shut_down_before_close(seed.is_multiple_of(2));
    for _ in 0..TURNS {
        for _ in 0..game.rng.below(4) {
            game.step(shard);
        }
        shard.turn().await;
        // A slot that is empty may have its descriptor still, and no slot is without one.
        assert!(shard.connections() <= shard.network.descriptors());
        game.receive();
    }
    game.end(shard, checked).await;
}

impl Game {
    fn step(&mut self, shard: &mut TestShard) {
        let present = self.players.iter().filter(|it| !it.has_left).count();
        let choice = self.rng.below(32);
        if present == 0 || choice < 2 && present < CLIENTS_MAX {
            let transport = match self.rng.below(3) {
                0 => Transport::Http,
                1 => Transport::Lines,
                _ => Transport::WebSocket,
            };
            let client = shard.connect_to(transport as u8);
            self.players.push(Player::new(client, transport));
            return;
        }
        match choice {
            2 => {
                let fault = FAULTS[self.rng.below(FAULTS.len() as u64) as usize];
                shard.network.fail_next(fault.0, fault.1);
            }
            3 => {
                let mut changes = Changes::default();
                changes.lists.insert(ListKind::Tools);
                shard.shard.handling.endpoint.handle_changes(changes);
            }
            4 => shard.pass(self.rng.below(60)),
            5 => shard.network.end_next(RecvMultishot),
            _ => self.act(choice),
        }
    }

    /// One of the clients that are there does something.
    fn act(&mut self, choice: u64) {
        let rng = &mut self.rng;
        let present = self.players.iter_mut().filter(|it| !it.has_left);
        let mut present: Vec<&mut Player> = present.collect();
        let at = rng.below(present.len() as u64) as usize;
        let player = &mut *present[at];
        match choice {
            6 => player.leave(FakePeer::resets),
            7 => player.leave(FakePeer::finishes),
            8 => player.client.takes(rng.below(300) as usize),
            9 | 10 => player.client.takes(usize::MAX),
            11 => player.send_part(rng),
            _ if player.listens => {}
            12 => {
                let filter = json!({"toolsListChanged": true});
                player.requests("subscriptions/listen", json!({"notifications": filter}));
                player.listens = true;
                player.send_part(rng);
            }
            13 => {
                player.requests("tools/call", json!({"name": "wait", "arguments": {}}));
                player.send_part(rng);
            }
            _ => {
                self.echoes += 1;
                let message = format!("echo {};", self.echoes);
                player.expected += &message;
                let arguments = json!({ "message": message });
                player.requests(
                    "tools/call",
                    json!({"name": "echo", "arguments": arguments}),
                );
                player.send_part(rng);
            }
        }
    }

    fn receive(&mut self) {
        for player in &mut self.players {
            player.received += &player.client.received_text();
        }
    }

    /// Nothing fails any more: a client that is still connected has the answers to all requests.
    async fn end(&mut self, shard: &mut TestShard, checked: &mut [usize; 3]) {
        shard.network.settle();
        shard.gate.open();
        for player in &mut self.players {
            player.client.takes(usize::MAX);
            if !player.has_left {
                player.client.sends(&std::mem::take(&mut player.unsent));
            }
        }
        // Longer than accepting waits after a failure.
        shard.advance(200).await;
        self.receive();
        for player in &self.players {
            let is_open = player.client.descriptor().is_some() && player.client.end().is_none();
            if is_open && !player.has_left && !player.listens {
                assert_eq!(player.echoes(), player.expected, "{:?}", player.client);
                checked[player.transport as usize] += usize::from(!player.expected.is_empty());
            }
        }
    }
}

impl Player {
    fn new(client: Client, transport: Transport) -> Player {
        Player {
            client,
            transport,
            unsent: match transport {
                Transport::WebSocket => HANDSHAKE.to_vec(),
                Transport::Http | Transport::Lines => Vec::new(),
            },
            expected: String::new(),
            received: String::new(),
            listens: false,
            has_left: false,
        }
    }

    fn leave(&mut self, how: fn(&FakePeer)) {
        how(&self.client);
        self.has_left = true;
    }

    /// Adds a request to the unsent bytes.
    fn requests(&mut self, method: &str, params: Value) {
        let bytes = match self.transport {
            Transport::Http => self.client.request(method, params),
            Transport::Lines => (message(method, params) + "\n").into_bytes(),
            Transport::WebSocket => frame(Opcode::Text, &message(method, params)),
        };
        self.unsent.extend(bytes);
    }

    /// Sends all unsent bytes, or a part of them.
    fn send_part(&mut self, rng: &mut Rng) {
        let bytes = match rng.below(3) {
            0 => rng.below(self.unsent.len() as u64 + 1) as usize,
            _ => self.unsent.len(),
        };
        let rest = self.unsent.split_off(bytes);
        self.client.sends(&self.unsent);
        self.unsent = rest;
    }

    /// The messages of the answers that it has received, in order.
    fn echoes(&self) -> String {
        let mut echoes = String::new();
        for part in self.received.split("\"text\":\"").skip(1) {
            let message = part.split('"').next().unwrap_or_default();
            if message.starts_with("echo ") {
                write!(echoes, "{message}").expect("a string takes all");
            }
        }
        echoes
    }
}
