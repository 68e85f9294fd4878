//! Shards that fail or stall: the failed one is started again, the others are not affected, and a
//! server whose shards keep failing ends.

use std::time::Duration;

use corelane::meter::Counter;
use corelane::{Call, Server, Tool};
use corelane_tests::{Connection, EventStream, Item, PATIENCE, Session, wait_until};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fixture::{Fixture, tool};

#[derive(Deserialize, JsonSchema)]
struct NoArguments {}

fn with_failures(server: Server) -> Server {
    let fail = async |call: &Call, _: NoArguments| {
        call.fail_shard();
        Ok("the last words")
    };
    let block = async |_: &Call, _: NoArguments| {
        std::thread::sleep(Duration::from_secs(2));
        Ok("blocked")
    };
    server
        .with_tool(Tool::new("fail_shard", "Ends its shard.", fail))
        .with_tool(Tool::new("block", "Blocks its shard.", block))
}

fn fixture(shards: usize, restarts_max: u32) -> Fixture {
    let tune = |profile: &mut corelane::Profile| {
        profile.supervision.restarts_max = restarts_max;
        profile.supervision.stall_after_ms = 200;
    };
    Fixture::with(shards, tune, with_failures)
}

/// A connection to the shard `shard`.
fn connect_to(fixture: &Fixture, shard: usize) -> Connection {
    let all = fixture.on_each_shard();
    all.into_iter().nth(shard).expect("a connection of each").0
}

/// A connection on each of two shards and a session of each, which must work through both.
fn pairs(fixture: &Fixture) -> Vec<(Connection, Session)> {
    let mut all = fixture.on_each_shard();
    let sessions: Vec<Session> = all.iter().map(|(_, session)| session.clone()).collect();
    for (connection, _) in &mut all {
        for session in &sessions {
            let response = connection.exchange(&session.request(1, "ping", Value::Null));
            assert_eq!(response.status(), 200, "{session:?}: {response:?}");
        }
    }
    all
}

/// A stream brings some messages and ends.
fn expect_end(mut stream: EventStream) {
    while stream.next_item() != Item::End {}
}

/// Lets the shard of a connection fail, and waits until the connection is closed.
fn fail(mut connection: Connection) {
    let session = Session::open(&mut connection);
    connection.send(&session.call("fail_shard", json!({})));
    // The answer may come before.
    let _ = connection.read_to_close(PATIENCE);
}

/// Waits until clients reach all shards; a connection that a dying shard accepted may be lost.
fn wait_for_all(fixture: &Fixture) {
    let is_up = || {
        let all = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pairs(fixture)));
        all.ok().map(|_| ())
    };
    wait_until("all shards to work", is_up);
}

#[test]
fn a_shard_that_fails_is_started_again_and_the_other_one_is_not_affected() {
    const ROUNDS: u64 = 3;
    let fixture = fixture(2, 5);
    let added = |round| format!("added{round}");
    for round in 0..ROUNDS {
        let mut pairs = pairs(&fixture).into_iter();
        let (mut on_first, first) = pairs.next().expect("of the first shard");
        let (mut on_second, second) = pairs.next().expect("of the second shard");
        // On the first shard: a call and a stream of its own, and others that need the second.
        let mut own_call = connect_to(&fixture, 0);
        let hold = |session: &Session, label| {
            let call = session.call("hold", json!({ "label": label }));
            call.field("Accept", "application/json")
        };
        own_call.send(&hold(&first, "own"));
        let mut lost_call = connect_to(&fixture, 0);
        lost_call.send(&hold(&second, "lost"));
        fixture.wait_for_inside(&["lost", "own"]);
        let stream = |session: &Session| {
            let mut connection = connect_to(&fixture, 0);
            connection.send(&session.stream());
            EventStream::begin(connection)
        };
        let (mut own_stream, lost_stream) = (stream(&first), stream(&second));
        fixture
            .handle()
            .add_tool(tool(&added(round)))
            .expect("a new name");
        let changed = own_stream.next_message();
        assert_eq!(changed["method"], "notifications/tools/list_changed");

        fail(connect_to(&fixture, 1));
        assert_eq!(lost_call.read_response().status(), 503);
        expect_end(lost_stream);
        let _ = on_second.read_to_close(PATIENCE);
        fixture.wait_for_inside(&["own"]);

        wait_for_all(&fixture);
        let ping = |session: &Session| session.request(1, "ping", Value::Null);
        assert_eq!(on_first.exchange(&ping(&second)).status(), 404);
        assert_eq!(on_first.exchange(&ping(&first)).status(), 200);
        let mut on_second = connect_to(&fixture, 1);
        assert_eq!(on_second.exchange(&ping(&first)).status(), 200);
        // The next life has the catalog of all changes.
        let session = Session::open(&mut on_second);
        assert_eq!(session.home(), 1);
        let response = on_second.exchange(&session.call(&added(round), json!({})));
        assert_eq!(response.answer()["result"]["content"][0]["text"], "here");
        // And it takes part in the next change.
        let removed = fixture.handle().remove_tool(&added(round));
        assert!(removed.expect("it can be removed"));
        let changed = own_stream.next_message();
        assert_eq!(changed["method"], "notifications/tools/list_changed");
        assert!(!own_call.has_call_events());
        drop(own_call);
        let cancelled = on_first.exchange(&first.cancelled(1));
        assert_eq!(cancelled.status(), 202);
        fixture.wait_for_inside(&[]);
    }
    let totals = fixture.drain();
    assert_eq!(totals.value(Counter::ShardsRestarted), ROUNDS);
    assert!(totals.value(Counter::ConnectionsAccepted) > 10 * ROUNDS);
}

#[test]
fn the_only_shard_of_a_server_is_started_again() {
    let fixture = fixture(1, 1);
    fail(fixture.connect());
    wait_for_all(&fixture);
    assert_eq!(fixture.drain().value(Counter::ShardsRestarted), 1);
}

#[test]
fn a_server_whose_shards_keep_failing_ends_with_the_failure() {
    let fixture = fixture(2, 1);
    fail(connect_to(&fixture, 1));
    wait_for_all(&fixture);
    let mut other = connect_to(&fixture, 0);
    fail(connect_to(&fixture, 1));
    // The other shard drains.
    other.expect_close();
    wait_until("refused connections", || {
        fixture.try_connect().is_err().then_some(())
    });
    let ended = fixture.try_drain();
    let message = ended.expect_err("a failure").to_string();
    assert!(message.contains("shard 1 panicked"), "{message}");
}

#[test]
fn a_handler_that_blocks_its_shard_is_counted() {
    let fixture = fixture(2, 5);
    let mut blocked = connect_to(&fixture, 1);
    let session = Session::open(&mut blocked);
    let response = blocked.exchange(&session.call("block", json!({})));
    assert_eq!(response.status(), 200);
    assert_eq!(fixture.drain().value(Counter::ShardStalls), 1);
}
