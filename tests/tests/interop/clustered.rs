//! A node behind HAProxy is killed while its clients call.

use std::thread;
use std::time::{Duration, Instant};

use corelane_tests::request::LEGACY;
use corelane_tests::{PATIENCE, Request};
use serde_json::{Value, json};

use super::proxies::named;
use super::proxy_process::{NAME, ProxyProcess};
use super::test_cluster::TestCluster;

/// A client of a session behind a proxy.
struct Caller<'a> {
    proxy: &'a ProxyProcess,
    session: String,
}

impl Caller<'_> {
    fn open(proxy: &ProxyProcess) -> Caller<'_> {
        let made = proxy
            .connect()
            .exchange(&named(Request::initialize(LEGACY)));
        let session = made.head.field("MCP-Session-Id").expect("a session");
        Caller {
            proxy,
            session: session.to_owned(),
        }
    }

    /// The status of a request on a connection of its own, and its body; none if that breaks.
    fn request(&self, method: &str, params: Value) -> Option<(u16, String)> {
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let request = named(Request::legacy(&message)).field("MCP-Session-Id", &self.session);
        let mut connection = self.proxy.connect();
        connection.send(&request);
        let answer = connection.try_read_response(PATIENCE).ok()?;
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        Some((answer.status(), body))
    }

    fn call(&self, tool: &str) -> Option<(u16, String)> {
        self.request("tools/call", json!({ "name": tool, "arguments": {} }))
    }
}

/// HAProxy turns to the other node within 2 s, which serves all sessions with their levels; no
/// client ever hears that its session has ended.
#[test]
fn sessions_behind_haproxy_keep_their_levels_when_their_node_is_killed() {
    const CALLERS: usize = 12;
    const ERRORS_FOR: Duration = Duration::from_secs(2);
    let cluster = TestCluster::start();
    let start = |node| {
        let allowed = ["--allow-host", NAME];
        cluster.join(node, cluster.setup(node).arguments(&allowed))
    };
    let servers = [start(1), start(2)];
    let two = format!("server two {}", servers[1].address());
    let proxy = ProxyProcess::haproxy(&[
        ("127.0.0.1:8080", &servers[0].address().to_string()),
        ("# server two 127.0.0.1:8081", &two),
    ]);
    let callers: Vec<Caller> = (0..CALLERS).map(|_| Caller::open(&proxy)).collect();
    for caller in &callers {
        let set = caller.request("logging/setLevel", json!({ "level": "emergency" }));
        assert_eq!(set.map(|it| it.0), Some(200), "{}", proxy.log());
    }
    let of_one = callers.iter().filter(|it| it.session.starts_with("0001"));
    let of_one = of_one.count();
    assert!((1..CALLERS).contains(&of_one), "{of_one} of {CALLERS}");
    for (node, sessions) in [(1, of_one), (2, CALLERS - of_one)] {
        cluster.wait_for_writes(node, sessions as u64);
    }
    let until = Instant::now() + Duration::from_secs(5);
    let failures = thread::scope(|scope| {
        let call_on = |caller: &Caller<'_>| {
            let mut failures = Vec::new();
            while Instant::now() < until {
                let answer = caller.call("test_simple_text");
                if answer.as_ref().is_none_or(|it| it.0 != 200) {
                    failures.push((Instant::now(), answer));
                }
            }
            failures
        };
        let callers = callers.iter();
        let threads: Vec<_> = callers
            .map(|caller| scope.spawn(move || call_on(caller)))
            .collect();
        thread::sleep(Duration::from_secs(1));
        let killed = Instant::now();
        servers[0].signal("KILL");
        let failures = threads.into_iter().flat_map(|it| it.join().expect("calls"));
        let failures = failures.map(|(at, answer)| (at.duration_since(killed), answer));
        failures.collect::<Vec<_>>()
    });
    for (after, answer) in &failures {
        let is_ended = answer.as_ref().is_some_and(|it| it.0 == 404);
        assert!(*after < ERRORS_FOR && !is_ended, "{failures:?}");
    }
    for caller in &callers {
        let answer = caller.call("test_tool_with_logging");
        let (status, body) = answer.unwrap_or_else(|| panic!("{}", proxy.log()));
        assert_eq!(status, 200, "{body}");
        assert!(!body.contains("notifications/message"), "{body}");
    }
}
