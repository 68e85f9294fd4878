//! A random client of both eras on one channel, over each transport.
//!
//! The client knows which answers it waits for: each comes once, whatever the order, and nothing
//! else does. The seed is printed; `CORELANE_SEED=...` repeats the behaviour of the client.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};

use corelane_tests::client::{cancelled, echo, legacy, modern, sleep};
use serde_json::{Value, json};

use super::{AnyClient, over_each};

const STEPS: u64 = 300;
/// The most requests that wait for answers at once.
const IN_FLIGHT_MAX: usize = 24;
/// The longest time of the tool, longer than the test: only cancelled calls take it.
const LONG_MS: u64 = 60_000;

struct Random(u64);

impl Random {
    /// A number below `end`; the generator is SplitMix64.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// The requests that wait for answers, with the texts of those that have one.
#[derive(Default)]
struct Waiting {
    texts: BTreeMap<String, Option<String>>,
    /// Calls that take longer than the test.
    long: BTreeSet<u64>,
}

impl Waiting {
    fn receive(&mut self, client: &mut AnyClient) {
        let answer = client.expect();
        let text = self.texts.remove(&answer["id"].to_string());
        let Some(text) = text else {
            panic!("an answer to no request: {answer}");
        };
        match text {
            Some(text) => assert_eq!(answer["result"]["content"][0]["text"], *text, "{answer}"),
            None => assert!(answer["result"].is_object(), "{answer}"),
        }
    }
}

/// A request of either era, with an id of either type.
fn request(random: &mut Random, number: u64, method: &str, params: Value) -> Value {
    let id = match random.below(2) {
        0 => json!(number),
        _ => json!(format!("id-{number}")),
    };
    match random.below(2) {
        0 => legacy(id, method, params),
        _ => modern(id, method, params),
    }
}

fn run(client: &mut AnyClient, seed: u64) {
    let mut random = Random(seed);
    let mut waiting = Waiting::default();
    client.initialize(&json!({}));
    for number in 1..=STEPS {
        let is_full = waiting.texts.len() >= IN_FLIGHT_MAX;
        let sent = match random.below(8) {
            _ if is_full => None,
            0..=2 => {
                let text = format!("text {}", random.below(1 << 40));
                let request = request(&mut random, number, "tools/call", echo(&text));
                Some((request, Some(text)))
            }
            3 => {
                let params = sleep(random.below(20));
                Some((request(&mut random, number, "tools/call", params), None))
            }
            4 => Some((request(&mut random, number, "tools/list", json!({})), None)),
            5 if waiting.long.len() < IN_FLIGHT_MAX => {
                let make = [legacy, modern][random.below(2) as usize];
                client.send(&make(number, "tools/call", sleep(LONG_MS)));
                waiting.long.insert(number);
                continue;
            }
            6 => {
                if let Some(id) = waiting.long.pop_first() {
                    client.send(&cancelled(id));
                }
                continue;
            }
            _ => None,
        };
        match sent {
            Some((request, text)) => {
                waiting.texts.insert(request["id"].to_string(), text);
                client.send(&request);
            }
            None if waiting.texts.is_empty() => {}
            None => waiting.receive(client),
        }
    }
    for id in std::mem::take(&mut waiting.long) {
        client.send(&cancelled(id));
    }
    while !waiting.texts.is_empty() {
        waiting.receive(client);
    }
    client.finish();
    client.expect_end();
}

#[test]
fn each_request_of_a_random_client_of_both_eras_has_one_answer_and_cancelled_ones_none() {
    let seed = match std::env::var("CORELANE_SEED") {
        Ok(seed) => seed.parse().expect("CORELANE_SEED is a number"),
        Err(_) => RandomState::new().hash_one(()),
    };
    over_each(|client| {
        println!("CORELANE_SEED={seed} {client:?}");
        run(client, seed);
    });
}
