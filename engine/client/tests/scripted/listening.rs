//! Changes from a server whose connections are cut again and again, in both eras.

use std::sync::{Arc, Mutex};

use corelane_client::{Change, Client, Era, Filter, json};
use serde_json::Value;

use crate::http_server::{Answer, Request, start};

/// Subscriptions at the same time, and the cuts of each: 1,000 in all.
const SUBSCRIPTIONS: usize = 10;
const CUTS: usize = 100;
/// Resources that change in turn: more than change between two events of a subscription.
const URIS: usize = 16;

/// The changes of one server: each has a number, and changes the resource of that number modulo
/// [`URIS`].
#[derive(Default)]
struct State {
    changes: usize,
    /// The number of changes at the start of each stream.
    started_at: Vec<usize>,
}

impl State {
    fn change(&mut self, meta: &Value) -> String {
        let uri = format!("x:{}", self.changes % URIS);
        self.changes += 1;
        let params = json!({"uri": uri, "_meta": meta});
        let method = "notifications/resources/updated";
        let message = json!({"jsonrpc": "2.0", "method": method, "params": params});
        format!("data: {message}\n\n")
    }

    /// A stream: some changes came before it, some are in it, and the last one is cut.
    fn stream(&mut self, request: &Request) -> Answer {
        let streams = self.started_at.len();
        self.changes += streams % 3;
        self.started_at.push(self.changes);
        let meta = json!({"io.modelcontextprotocol/subscriptionId": request.message["id"]});
        let mut events = String::new();
        if request.name() == "subscriptions/listen" {
            let filter = &request.message["params"]["notifications"];
            let params = json!({"notifications": filter, "_meta": meta});
            let method = "notifications/subscriptions/acknowledged";
            let message = json!({"jsonrpc": "2.0", "method": method, "params": params});
            events = format!("data: {message}\n\n");
        }
        for _ in 0..=streams % 4 {
            events += &self.change(&meta);
        }
        let cut = self.change(&meta);
        events += &cut[..streams % cut.len()];
        Answer(200, "Content-Type: text/event-stream\r\n", events)
    }
}

fn answer(state: &Mutex<State>, request: &Request) -> Answer {
    match &*request.name() {
        "resources/subscribe" => Answer::result(request, &json!({})),
        "subscriptions/listen" | "get" => state.lock().expect("no panic").stream(request),
        _ => Answer::greeting(request).unwrap_or_else(|| Answer::status(202)),
    }
}

/// Listens until all cuts have shown up as gaps. All changes that are missing are before a gap.
async fn listen(era: Era) {
    let state = Arc::new(Mutex::new(State::default()));
    let shared = Arc::clone(&state);
    let (url, _) = start(move |request| answer(&shared, request)).await;
    let client = Client::builder()
        .era(era)
        .connect(url)
        .await
        .expect("a server");
    let mut filter = Filter::all();
    for uri in 0..URIS {
        filter = filter.resource(format!("x:{uri}"));
    }
    let mut changes = client.listen(filter).await.expect("a subscription");
    let mut received: Vec<Vec<usize>> = vec![Vec::new()];
    let mut next = 0;
    while received.len() <= CUTS {
        match changes.next().await.expect("no end") {
            Change::Gap => received.push(Vec::new()),
            Change::Resource(uri) => {
                let index: usize = uri.trim_start_matches("x:").parse().expect("a number");
                let change = next + (index + URIS - next % URIS) % URIS;
                received.last_mut().expect("a stream").push(change);
                next = change + 1;
            }
            other => panic!("{other:?}"),
        }
    }
    let state = state.lock().expect("no panic");
    for (stream, (received, start)) in received.iter().zip(&state.started_at).enumerate() {
        // Each whole change is given, and a gap before those of the next stream.
        let sent: Vec<usize> = (*start..=start + stream % 4).collect();
        if stream < CUTS {
            assert_eq!(*received, sent, "{era:?}: stream {stream}");
        }
    }
}

#[tokio::test]
async fn no_change_is_missed_without_a_gap_under_a_thousand_cuts() {
    for era in [Era::Modern, Era::Legacy] {
        let all = (0..SUBSCRIPTIONS).map(|_| tokio::spawn(listen(era)));
        for one in all.collect::<Vec<_>>() {
            one.await.expect("no lost change");
        }
    }
}

/// Lines are not connected again: the end is reported.
#[tokio::test]
async fn the_end_of_a_program_ends_its_subscription_in_both_eras() {
    let discovered = json!({"jsonrpc": "2.0", "id": 1, "result":
        {"supportedVersions": ["2026-07-28"], "capabilities": {}}});
    let meta = json!({"io.modelcontextprotocol/subscriptionId": 2});
    let acknowledged = json!({"jsonrpc": "2.0",
        "method": "notifications/subscriptions/acknowledged",
        "params": {"notifications": {}, "_meta": meta}});
    let initialized = json!({"jsonrpc": "2.0", "id": 1, "result":
        {"protocolVersion": "2025-11-25", "capabilities": {}}});
    for (era, first, second) in [
        (Era::Modern, discovered, acknowledged.to_string()),
        (Era::Legacy, initialized, String::new()),
    ] {
        let script = format!("read -r line; echo '{first}'; read -r line; echo '{second}'");
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &script]);
        let client = Client::builder().era(era).connect(command).await;
        let client = client.expect("a server");
        let changes = client.listen(Filter::all()).await;
        let mut changes = changes.expect("a subscription");
        assert_eq!(changes.next().await, None, "{era:?}");
    }
}
