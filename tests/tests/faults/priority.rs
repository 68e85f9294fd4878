//! A flood of calls together with a broadcast to many streams.
//!
//! A ping goes before the calls and broadcasts that wait, so that it takes at most three times as
//! long as on a quiet server.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use corelane_tests::{Request, Setup};
use serde_json::json;

use crate::client::{CULPRIT, Client, call, echo};
use crate::trial::{Trial, scaled};

/// Calls in flight on a connection of the flood.
const TOGETHER: usize = 16;

#[test]
fn pings_during_a_flood_and_a_broadcast() {
    let streams = scaled(500, 15_000);
    let duration = Duration::from_secs(scaled(1, 20));
    let profile = format!("[ring]\ndescriptors = {}", streams + 500);
    let setup = Setup::shards(1).profile(&profile);
    let trial = Trial::of("a flood and a broadcast", setup).probing_with_pings();
    let totals = trial.run(|server| {
        let address = server.address();
        let params = json!({ "notifications": { "toolsListChanged": true } });
        let listen = Request::modern(1, "subscriptions/listen", params).to_bytes(address);
        let mut listening: Vec<Client> = (0..streams).map(|_| Client::open(address)).collect();
        // Streams that are all opened at once are a flood of another kind.
        for together in listening.chunks_mut(100) {
            for client in &mut *together {
                client.send(&listen).expect("the server reads");
            }
            for client in together {
                client.wait_for_byte().expect("the head of the stream");
            }
        }
        let has_ended = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let request = echo(address, &json!(1), "flood").repeat(TOGETHER);
                    let mut flood: Vec<Client> = (0..16).map(|_| Client::open(address)).collect();
                    while !has_ended.load(Ordering::Relaxed) {
                        for client in &mut flood {
                            client.send(&request).expect("the server reads");
                        }
                        for client in &mut flood {
                            (0..TOGETHER).for_each(|_| drop(client.expect_result(&json!(1))));
                        }
                    }
                });
            }
            scope.spawn(|| {
                let change = call(address, &json!(1), "test_trigger_tool_change", json!({}));
                let mut client = Client::open_from(CULPRIT, address).expect("it listens");
                while !has_ended.load(Ordering::Relaxed) {
                    client.send(&change).expect("the server reads");
                    client.expect_result(&json!(1));
                }
            });
            thread::sleep(duration);
            has_ended.store(true, Ordering::Relaxed);
        });
    });
    // Each stream had a broadcast at least.
    assert!(totals.value("bytes", "out") > 200 * streams, "{totals:?}");
}
