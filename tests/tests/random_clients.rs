//! Clients of both eras with random behaviour, hanging up and giving up included, against four
//! shards with small limits, and clients of lines beside them. Every answer is checked against a
//! model, and the server is empty at the end.
//!
//! The seed is printed; `CORELANE_SEED=...` repeats the behaviour of the clients.

#[path = "random_clients/channel.rs"]
mod channel;
#[path = "random_clients/client.rs"]
mod client;
#[path = "random_clients/random.rs"]
mod random;
#[path = "random_clients/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use channel::ChannelClient;
use client::Client;
use corelane::ServerHandle;
use corelane::meter::{Counter, MeterSnapshot};
use corelane_tests::wait_until;
use server::SHARDS;

const CLIENTS: u64 = 8;
const CHANNELS: u64 = 4;
const STEPS: u32 = 300;

/// Lets all clients do their steps; returns the numbers of sessions and modern tasks that they
/// made.
fn let_loose(server: &(SocketAddr, ServerHandle), seed: u64) -> (u64, u64) {
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let server = server.clone();
            thread::spawn(move || {
                let mut client = Client::new(server, seed.wrapping_add(number));
                for _ in 0..STEPS {
                    client.step();
                }
                client.end_session();
                (client.made, client.tasks)
            })
        })
        .collect();
    clients
        .into_iter()
        .map(|client| client.join().unwrap_or_else(|_| panic!("seed {seed}")))
        .fold((0, 0), |sum, made| (sum.0 + made.0, sum.1 + made.1))
}

/// Waits until every task has expired: a task made now on each shard expires last. Returns the
/// number of tasks that were made for it.
fn outlast_tasks(server: &(SocketAddr, ServerHandle), seed: u64) -> u64 {
    let mut client = Client::new(server.clone(), !seed);
    let mut last_of_shard = BTreeMap::new();
    while last_of_shard.len() < SHARDS {
        client.reconnect();
        if let Some(task) = client.task_modern() {
            // The first four digits of an id are its home.
            last_of_shard.insert(task[..4].to_owned(), task);
        }
    }
    for task in last_of_shard.values() {
        wait_until("the last task is forgotten", || {
            client.has_forgotten(task).then_some(())
        });
    }
    client.tasks
}

#[track_caller]
fn check_nothing_is_left(meter: &MeterSnapshot, seed: u64) {
    for level in [
        Counter::ConnectionsOpen,
        Counter::CallsInFlight,
        Counter::SessionsOpen,
        Counter::StreamsOpen,
        Counter::TasksKept,
        Counter::TasksWatched,
        Counter::EventsBytes,
    ] {
        assert_eq!(meter.value(level), 0, "{level:?}, seed {seed}");
    }
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
    let (server, handle) = server::start();
    let reached = (server.address(), handle);
    let lines = server.addresses()[1].to_string();
    let (sessions, mut modern_tasks) = thread::scope(|scope| {
        for number in 0..CHANNELS {
            let mut client = ChannelClient::new(&lines, seed ^ number);
            scope.spawn(move || (0..STEPS).for_each(|_| client.step()));
        }
        let_loose(&reached, seed)
    });
    modern_tasks += outlast_tasks(&reached, seed);
    let meter = server.drain().expect("the server drains");
    check_nothing_is_left(&meter, seed);
    let value = |counter| meter.value(counter);
    assert_eq!(value(Counter::SessionsCreated), sessions, "seed {seed}");
    let ended = value(Counter::SessionsDeleted) + value(Counter::SessionsEvicted);
    assert_eq!(ended, sessions, "seed {seed}");
    assert!(value(Counter::TasksCreated) >= modern_tasks, "seed {seed}");
    assert_eq!(value(Counter::CallsPanicked), 0, "seed {seed}");
    for met in [
        Counter::SessionsEvicted,
        Counter::StreamsResumed,
        Counter::TasksEvicted,
        Counter::TasksExpired,
        Counter::TasksCancelled,
    ] {
        assert!(value(met) > 0, "{met:?} never happened, seed {seed}");
    }
}
