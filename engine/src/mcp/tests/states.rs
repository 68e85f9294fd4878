//! Values that a server's author gives to handlers: one for all shards, or one for each.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::test_endpoint::{TestEndpoint, error, result, text};
use crate::catalog::Plan;
use crate::catalog::tool::Tool;
use crate::handler::state::StateMaker;
use crate::{Call, CallError, CatalogError, Error, Profile, Server};

#[derive(Default)]
struct OfServer(AtomicU32);

#[derive(Default)]
struct OfShard(Cell<u32>);

async fn count(call: &Call, _: Value) -> Result<String, CallError> {
    let of_server = call.state::<OfServer>()?.0.fetch_add(1, Ordering::Relaxed) + 1;
    let of_shard = &call.state::<OfShard>()?.0;
    of_shard.set(of_shard.get() + 1);
    Ok(format!("{of_server} {}", of_shard.get()))
}

/// A shard of a server whose handlers were given `states`.
fn harness(states: &Arc<[StateMaker]>) -> TestEndpoint {
    let tool = Tool::from_schema("count", "d", r#"{"type":"object"}"#, count);
    let plan = Plan::new(vec![tool].into(), 100).expect("the tool is usable");
    TestEndpoint::with(|settings| {
        settings.parts.plan = Arc::new(plan);
        settings.parts.states = Arc::clone(states);
    })
}

#[track_caller]
fn check(harness: &mut TestEndpoint, expected: &Value) {
    let session = harness.session();
    let answer = harness.call_legacy(&session, "count", json!({}));
    answer.check("200", expected);
}

#[test]
fn shards_share_one_value_and_have_another_for_themselves() {
    let states: Arc<[StateMaker]> = Arc::new([
        StateMaker::of_server(OfServer::default()),
        StateMaker::of_shard(OfShard::default),
    ]);
    let said = |said| result(1, text(said));
    let (mut first, mut second) = (harness(&states), harness(&states));
    check(&mut first, &said("1 1"));
    check(&mut second, &said("2 1"));
    check(&mut first, &said("3 2"));
}

#[test]
fn a_missing_state_is_the_authors_mistake() {
    let states: Arc<[StateMaker]> = Arc::new([StateMaker::of_server(OfServer::default())]);
    let mut harness = harness(&states);
    let session = harness.session();
    let answer = harness.call_legacy(&session, "count", json!({}));
    answer.check("200", &error(1, -32603));
    let message = answer.body["error"]["message"].as_str().unwrap();
    assert!(message.contains("OfShard"), "{message}");
}

#[test]
fn a_type_that_is_given_twice_keeps_the_server_from_starting() {
    let server = Server::new("n", "1")
        .with_state(OfServer::default())
        .with_shard_state(OfServer::default);
    let Err(Error::Catalog(CatalogError::Duplicate { name, .. })) =
        server.into_parts(&Profile::default())
    else {
        panic!("the type stands twice");
    };
    assert!(name.ends_with("OfServer"), "{name}");
}
