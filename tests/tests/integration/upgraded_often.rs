//! A server that is upgraded again and again: nothing of the processes before stays.

use std::fs;

use corelane_tests::process::{open_files, status_bytes};
use corelane_tests::{Setup, wait_until};
use serde_json::Value;

use crate::upgraded::{Clients, Upgraded};

/// `CORELANE_UPGRADES` sets another number, such as 20.
const UPGRADES: usize = 5;
const CLIENTS: usize = 4;
/// The memory of a process differs by so much from one start to the next.
const NOISE_BYTES: usize = 16 << 20;

/// Descriptors and threads of a process.
#[derive(Debug, PartialEq, Eq)]
struct Holds {
    files: usize,
    threads: usize,
}

fn holds(pid: u32) -> Holds {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it lives");
    let names = tasks.flatten().filter_map(|task| {
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        // The threads of this pool of tokio come and go.
        (name.trim() != "tokio-rt-worker").then_some(name)
    });
    Holds {
        files: open_files(pid),
        threads: names.count(),
    }
}

/// The connections and the sessions of all shards.
fn slots(upgraded: &Upgraded) -> (u64, u64) {
    let output = upgraded.run(&["status", "--json"]);
    let status: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let shards = status["shards"].as_array().expect("a list").iter();
    let sum = |name: &str| shards.clone().filter_map(|it| it[name].as_u64()).sum();
    (sum("connections"), sum("sessions"))
}

#[test]
fn descriptors_threads_slots_and_memory_are_as_before_after_many_upgrades() {
    let upgrades = std::env::var("CORELANE_UPGRADES").ok();
    let upgrades = upgrades.map_or(UPGRADES, |it| it.parse().expect("a number"));
    // Cores that another process of the host frees are claimed with a socket each.
    let setup = Setup::shards(2).profile("[server]\npin = \"no\"");
    let setup = setup.arguments(&["--metrics", "127.0.0.1:0"]);
    let upgraded = Upgraded::start(setup);
    let mut clients: Vec<Clients> = (0..CLIENTS)
        .map(|_| Clients::connect(&upgraded.server))
        .collect();
    // A process that took over is compared with others that did.
    upgraded.upgrade_well();
    let first = upgraded.pid();
    let mut memory = Vec::new();
    let mut before = None;
    for round in 0..=upgrades {
        let pid = upgraded.pid() as u32;
        clients[0].call("test_simple_text");
        // Of each client four connections and a session.
        let expected = (4 * CLIENTS as u64, CLIENTS as u64);
        wait_until("the slots of before", || {
            (slots(&upgraded) == expected).then_some(())
        });
        memory.push(status_bytes(pid, "VmRSS"));
        // Threads and sockets of the take-over end soon after it.
        let expected = before.get_or_insert_with(|| settled(pid));
        wait_until("the descriptors and threads of before", || {
            (holds(pid) == *expected).then_some(())
        });
        if round < upgrades {
            upgraded.upgrade_well();
            wait_until("the end of the process before", || {
                (open_files(pid) == 0).then_some(())
            });
        }
    }
    assert_ne!(upgraded.pid(), first);
    let (least, most) = (memory.iter().min(), memory.iter().max());
    let grown = most.expect("some") - least.expect("some");
    println!("{before:?}, resident bytes: {memory:?}");
    assert!(grown <= NOISE_BYTES, "{memory:?}");
    clients
        .iter_mut()
        .for_each(|client| client.call("test_simple_text"));
}

/// The descriptors and threads of a process once they stop changing.
fn settled(pid: u32) -> Holds {
    let mut last = holds(pid);
    let mut times = 0;
    wait_until("a process at rest", || {
        let now = holds(pid);
        times = if now == last { times + 1 } else { 0 };
        last = now;
        (times == 500).then_some(())
    });
    last
}
