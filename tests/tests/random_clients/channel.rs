//! One client of lines, with many requests at once on one channel.

use corelane_tests::client::{call, cancelled, check_text, echo, modern};
use corelane_tests::lines::Lines;
use serde_json::{Value, json};

use crate::random::Random;

type Client = corelane_tests::Client<Lines>;

/// One client and its connection.
pub(crate) struct ChannelClient {
    address: String,
    random: Random,
    client: Client,
    id: u64,
}

impl ChannelClient {
    pub(crate) fn new(address: &str, seed: u64) -> ChannelClient {
        ChannelClient {
            address: address.to_owned(),
            random: Random(seed),
            client: Client::of_lines(address),
            id: 0,
        }
    }

    pub(crate) fn step(&mut self) {
        self.id += 1;
        match self.random.below(7) {
            0..=2 => self.call(),
            3 => self.cancel(),
            4 => self.listen(),
            5 => self.hang_up(),
            _ => self.call_many(),
        }
    }

    fn call(&mut self) {
        let text = format!("text {}", self.random.draw());
        let request = modern(self.id, "tools/call", echo(&text));
        check_text(&self.client.exchange(&request), &text);
    }

    fn nap(&mut self) -> Value {
        let nap = call("nap", json!({ "ms": self.random.below(30) }));
        modern(self.id, "tools/call", nap)
    }

    /// Requests side by side: naps are answered in any order.
    fn call_many(&mut self) {
        let mut awaited = Vec::new();
        for _ in 0..self.random.below(8) {
            self.id += 1;
            let nap = self.nap();
            self.client.send(&nap);
            awaited.push(self.id);
        }
        while !awaited.is_empty() {
            let answer = self.client.expect();
            check_text(&answer, "slept");
            let before = awaited.len();
            awaited.retain(|id| answer["id"] != *id);
            assert_eq!(awaited.len() + 1, before, "{answer}");
        }
    }

    /// The answer to the nap may come before it is cancelled, and never after.
    fn cancel(&mut self) {
        let nap = self.nap();
        self.client.send(&nap);
        let nap = self.id;
        self.client.send(&cancelled(nap));
        self.id += 1;
        let request = modern(self.id, "tools/call", echo("behind"));
        self.client.send(&request);
        let first = self.client.expect();
        if first["id"] == nap {
            check_text(&first, "slept");
            return check_text(&self.client.expect(), "behind");
        }
        check_text(&first, "behind");
    }

    fn listen(&mut self) {
        let filter = json!({ "notifications": { "toolsListChanged": true } });
        self.client
            .send(&modern(self.id, "subscriptions/listen", filter));
        let first = self.client.expect();
        assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
        // Changes that others make would come between later answers.
        self.reconnect();
    }

    fn hang_up(&mut self) {
        let nap = self.nap();
        self.client.send(&nap);
        self.reconnect();
    }

    fn reconnect(&mut self) {
        self.client = Client::of_lines(&self.address);
    }
}
