//! Faults of handlers and of the machine.

use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use corelane_tests::Setup;
use serde_json::{Value, json};

use crate::client::{Client, call};
use crate::trial::{Trial, scaled};

/// A panic ends its own call.
#[test]
fn handlers_that_panic() {
    let panics = scaled(1000, 100_000);
    let profile = "[tools]\nfailures_max = 0";
    let trial = Trial::of("panics of handlers", Setup::shards(1).profile(profile));
    let totals = trial.run(|server| {
        let mut client = Client::open(server.address());
        for id in 0..panics {
            let request = call(server.address(), &json!(id), "test_panic", json!({}));
            client.send(&request).expect("the connection goes on");
            let (status, body) = client.answer().expect("an answer");
            let answer: Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!((status, &answer["id"]), (200, &json!(id)), "{answer}");
            assert_eq!(answer["error"]["code"], -32603, "{answer}");
        }
    });
    assert_eq!(totals.value("calls", "panicked"), totals.rounds * panics);
}

/// A program that takes all the time it gets.
struct Neighbour(Child);

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Other programs take the processor: the server is slower as every program is, and loses nothing.
#[test]
fn a_neighbour_that_takes_the_processor() {
    let duration = Duration::from_secs(scaled(1, 30));
    let trial = Trial::of("a busy neighbour", Setup::shards(1));
    trial.run(|_| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let _neighbours: Vec<Neighbour> = (0..2 * cores)
            .map(|_| {
                let mut shell = Command::new("sh");
                shell.args(["-c", "while :; do :; done"]);
                Neighbour(shell.spawn().expect("there is a shell"))
            })
            .collect();
        thread::sleep(duration);
    });
}

/// A process that stood still, as in a virtual machine that was moved, goes on where it was.
#[test]
fn a_process_that_stands_still() {
    let duration = Duration::from_secs(scaled(1, 10));
    let trial = Trial::of("a stop of the process", Setup::shards(2)).stalling();
    trial.run(|server| {
        server.signal("STOP");
        thread::sleep(duration);
        server.signal("CONT");
    });
}
