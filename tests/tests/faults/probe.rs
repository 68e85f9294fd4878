//! A client that calls all the time, at fixed times, while others misbehave.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use corelane_tests::Session;
use serde_json::{Value, json};

use crate::client::{Client, echo};

/// The time between two calls. A call that is late counts from the time at which it was due, so
/// that a server which stands still for a second fails 250 calls, not one.
const INTERVAL: Duration = Duration::from_millis(4);
/// Calls at least, so that there is a 99th percentile.
const CALLS_MIN: usize = 200;
/// The address of probes.
const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

/// The probe of one server; it continues until it is stopped.
pub(crate) struct Probe {
    state: Arc<State>,
    thread: JoinHandle<Latencies>,
}

#[derive(Default)]
struct State {
    has_ended: AtomicBool,
    calls: AtomicUsize,
}

/// The calls of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProbeKind {
    /// A tool in the modern era, and a ping of a session in turn.
    CallsAndPings,
    /// Pings of a session.
    Pings,
}

/// The latencies of the calls of a probe, each with the time at which its call was due.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<(Duration, Duration)>);

impl Latencies {
    /// The 99th percentile.
    pub(crate) fn p99(&mut self) -> Duration {
        self.0.sort_unstable();
        self.0[self.0.len() * 99 / 100].0
    }

    /// The tenths of a second since the start in which calls were due that took longer.
    pub(crate) fn late(&self, limit: Duration) -> BTreeSet<u128> {
        let late = self.0.iter().filter(|(latency, _)| *latency > limit);
        late.map(|(_, due)| due.as_millis() / 100).collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

impl Probe {
    /// Begins to call the server.
    pub(crate) fn start(server: SocketAddr, kind: ProbeKind) -> Probe {
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let mut calls = Calls::new(server, kind);
        let thread = thread::spawn(move || {
            let mut latencies = Latencies::default();
            let start = Instant::now();
            let mut due = start;
            while !shared.has_ended.load(Ordering::Relaxed) || latencies.0.len() < CALLS_MIN {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                calls.make_one();
                latencies.0.push((due.elapsed(), due - start));
                shared.calls.store(latencies.0.len(), Ordering::Relaxed);
                due += INTERVAL;
            }
            latencies
        });
        Probe { state, thread }
    }

    /// Ends the calls.
    ///
    /// # Panics
    /// If any of them failed.
    pub(crate) fn stop(self) -> Latencies {
        self.state.has_ended.store(true, Ordering::Relaxed);
        self.thread.join().expect("no call of the probe fails")
    }

    /// Waits until the next call is answered that begins from now on.
    pub(crate) fn wait_for_answer(&self) {
        // The one in flight may have begun before.
        let enough = self.state.calls.load(Ordering::Relaxed) + 2;
        corelane_tests::wait_until("an answer to the probe", || {
            (self.state.calls.load(Ordering::Relaxed) >= enough || self.thread.is_finished())
                .then_some(())
        });
    }
}

/// One connection, and the next call on it.
struct Calls {
    server: SocketAddr,
    client: Client,
    session: Session,
    kind: ProbeKind,
    made: u64,
}

impl Calls {
    fn new(server: SocketAddr, kind: ProbeKind) -> Calls {
        let mut connection = corelane_tests::Connection::open_from(SOURCE.into(), server)
            .expect("the server takes connections");
        let session = Session::open(&mut connection);
        let client = Client::open_from(SOURCE, server).expect("the server takes connections");
        Calls {
            server,
            client,
            session,
            kind,
            made: 0,
        }
    }

    fn make_one(&mut self) {
        self.made += 1;
        let id = json!(self.made);
        let message = format!("probe call {}", self.made);
        let is_modern = self.kind == ProbeKind::CallsAndPings && self.made.is_multiple_of(2);
        let request = match is_modern {
            true => echo(self.server, &id, &message),
            false => {
                let ping = self.session.request(self.made, "ping", Value::Null);
                ping.to_bytes(self.server)
            }
        };
        self.client
            .send(&request)
            .unwrap_or_else(|error| panic!("{message}: cannot send: {error}"));
        let result = self.client.expect_result(&id);
        if is_modern {
            assert_eq!(result["content"][0]["text"], message, "{result}");
        }
    }
}
