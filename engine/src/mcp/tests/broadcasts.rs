//! Broadcasts while changes come faster than they are sent, and refusals meanwhile.

use std::sync::Arc;

use corelane_protocol::mcp::subscription::ListKind;
use serde_json::{Value, json};

use super::task_status::{exchange_notes, leave, listen_as, pair};
use super::tasks::{about, endpoint_with, task};
use super::test_endpoint::{Answer, TestEndpoint, error, on_executor, part_of};
use crate::catalog::changed_resources::UPDATES_MAX;
use crate::catalog::pending_updates::{ChangeError, Changes, PendingUpdates, ShardUpdates};
use crate::catalog::resource::Resource;
use crate::catalog::{Entries, Plan};
use crate::mcp::EndpointSettings;
use crate::mcp::subscriptions::TASK_REQUESTS_MAX;
use crate::meter::Counter;

/// More than get a broadcast in one turn, or in two.
const SESSIONS: usize = 1500;
/// Turns in which all of them get a few changes.
const TURNS: usize = 400;

fn plan() -> Arc<Plan> {
    let resources = ["a:b", "a:c"];
    let entries = Entries {
        resources: resources
            .map(|uri| Resource::fixed(uri, uri, "text/plain", "content"))
            .into(),
        ..Entries::default()
    };
    Arc::new(Plan::new(entries, 10).expect("the entries of the tests are usable"))
}

fn holds_many(settings: &mut EndpointSettings) {
    settings.sessions_max = SESSIONS;
    settings.sessions_per_principal_max = SESSIONS;
}

/// A shard with so many sessions that a broadcast to all of them takes some turns.
fn crowded() -> TestEndpoint {
    let mut harness = TestEndpoint::with(|settings| {
        settings.parts.plan = plan();
        holds_many(settings);
    });
    crowd(&mut harness);
    harness
}

fn crowd(harness: &mut TestEndpoint) {
    for _ in 0..SESSIONS {
        harness.session_id();
    }
}

fn listen(harness: &mut TestEndpoint, wanted: Value) -> Answer {
    let stream = listen_as(harness, true, wanted);
    stream.check("stream", &Value::Null);
    harness.deliveries();
    stream
}

fn lists(kinds: &[ListKind]) -> Changes {
    let mut changes = Changes::default();
    kinds.iter().for_each(|kind| changes.lists.insert(*kind));
    changes
}

/// The methods and URIs of the messages since the last time; only subscribed streams get any.
fn messages(harness: &mut TestEndpoint) -> Vec<String> {
    let delivered = harness.deliveries();
    let text = |(_, part): &(_, _)| {
        let (_, message) = part_of(part);
        let name = message["params"]["uri"]
            .as_str()
            .or(message["method"].as_str());
        name.expect("a notification").to_owned()
    };
    delivered.iter().map(text).collect()
}

/// The part of a shard's turn that handles changes.
fn turn(harness: &mut TestEndpoint, updates: &ShardUpdates) {
    let endpoint = &mut harness.endpoint;
    if let Some(changes) = updates.take(endpoint.takes_updates()) {
        endpoint.handle_changes(changes);
    }
    endpoint.continue_broadcasts(false);
}

#[test]
fn a_list_that_changes_during_its_broadcast_is_broadcast_once_more() {
    let mut harness = crowded();
    listen(
        &mut harness,
        json!({"toolsListChanged": true, "resourcesListChanged": true}),
    );
    let (tools, both) = ([ListKind::Tools], [ListKind::Tools, ListKind::Resources]);
    for _ in 0..100 {
        harness.endpoint.handle_changes(lists(&tools));
    }
    harness.endpoint.continue_broadcasts(false);
    assert!(harness.endpoint.has_broadcasts(), "there are many to tell");
    let tools_changed = "notifications/tools/list_changed";
    assert_eq!(messages(&mut harness), [tools_changed]);
    for _ in 0..100 {
        harness.endpoint.handle_changes(lists(&both));
    }
    for _ in 0..TURNS {
        harness.endpoint.continue_broadcasts(false);
    }
    assert!(!harness.endpoint.has_broadcasts());
    let resources_changed = "notifications/resources/list_changed";
    assert_eq!(messages(&mut harness), [tools_changed, resources_changed]);
}

#[test]
fn a_broadcast_takes_a_fourth_of_a_turn_while_requests_wait() {
    let mut harness = crowded();
    let mut turns = [false, true].map(|requests_wait| {
        harness.endpoint.handle_changes(lists(&[ListKind::Tools]));
        let mut turns = 0_u32;
        while harness.endpoint.has_broadcasts() {
            harness.endpoint.continue_broadcasts(requests_wait);
            turns += 1;
        }
        turns
    });
    turns[0] *= 4;
    assert!(turns[1].abs_diff(turns[0]) <= 4, "{turns:?}");
    assert!(turns[1] > 100, "{turns:?}");
}

#[test]
fn a_stream_names_as_many_resources_as_a_session_may_subscribe_to() {
    let mut harness = TestEndpoint::with(|settings| {
        settings.parts.plan = plan();
        settings.subscriptions_per_session_max = 2;
    });
    let most = json!({"resourceSubscriptions": ["a:b", "a:c"]});
    listen_as(&mut harness, true, most).check("stream", &Value::Null);
    let too_many = json!({"resourceSubscriptions": ["a:b", "a:c", "a:d"]});
    let refused = listen_as(&mut harness, true, too_many);
    refused.check("200", &error(9, -32602));
    let message = "params.notifications.resourceSubscriptions has 3, more than the limit of 2";
    assert_eq!(refused.body["error"]["message"], message);
}

#[test]
fn resources_wait_while_others_are_broadcast() {
    let (mut harness, updates) = (crowded(), PendingUpdates::default());
    let shards = updates.open(&plan(), 1);
    listen(
        &mut harness,
        json!({"resourceSubscriptions": ["a:b", "a:c"]}),
    );
    updates.updated("a:b", true).unwrap();
    turn(&mut harness, &shards[0]);
    assert_eq!(messages(&mut harness), ["a:b"]);
    for at in 0..UPDATES_MAX - 2 {
        updates.updated(&format!("b:{at}"), true).unwrap();
        if at == UPDATES_MAX / 2 {
            turn(&mut harness, &shards[0]);
        }
    }
    for _ in 0..3 {
        updates.updated("a:b", true).unwrap();
        updates.updated("a:c", true).unwrap();
    }
    assert!(matches!(
        updates.updated("b:x", true),
        Err(ChangeError::TooMany)
    ));
    assert_eq!(messages(&mut harness), [""; 0]);
    for _ in 0..TURNS {
        turn(&mut harness, &shards[0]);
    }
    assert_eq!(messages(&mut harness), ["a:b", "a:c"]);
    assert!(!harness.endpoint.has_broadcasts() && !shards[0].has_changes());
    updates.updated("b:x", true).unwrap();
}

#[test]
fn a_list_is_taken_while_resources_wait() {
    let (mut harness, updates) = (crowded(), PendingUpdates::default());
    let shards = updates.open(&plan(), 1);
    listen(
        &mut harness,
        json!({"toolsListChanged": true, "resourceSubscriptions": ["a:b"]}),
    );
    updates.updated("a:b", true).unwrap();
    turn(&mut harness, &shards[0]);
    updates.updated("a:b", true).unwrap();
    let edit = |_: &Plan| Ok(Some(Plan::new(Entries::default(), 10)?));
    assert!(updates.change(ListKind::Tools, edit).unwrap());
    for _ in 0..TURNS {
        turn(&mut harness, &shards[0]);
    }
    let tools_changed = "notifications/tools/list_changed";
    assert_eq!(messages(&mut harness), ["a:b", tools_changed, "a:b"]);
}

#[test]
fn a_status_of_a_task_waits_behind_no_broadcast() {
    on_executor(async {
        let mut harness = endpoint_with(holds_many);
        let id = task(&mut harness, "waits");
        listen(&mut harness, json!({ "taskIds": [id] }));
        crowd(&mut harness);
        harness.endpoint.handle_changes(lists(&[ListKind::Tools]));
        harness.broadcast(|_| true);
        assert_eq!(messages(&mut harness), [""; 0]);
        about(&mut harness, "tasks/cancel", &id);
        harness.broadcast(|_| true);
        assert_eq!(messages(&mut harness), ["notifications/tasks"]);
        assert!(harness.endpoint.has_broadcasts(), "the list is still told");
    });
}

#[test]
fn a_client_that_subscribes_and_leaves_again_and_again_is_refused() {
    let mut shards = pair();
    let [near, far] = [0, 1].map(|home| format!("{home:04}{:032x}", 1));
    let wanted = json!({ "taskIds": [near, far] });
    for _ in 0..TASK_REQUESTS_MAX {
        let stream = listen(&mut shards[0], wanted.clone());
        leave(&mut shards[0], &stream);
    }
    let refused = error(9, -32603);
    listen_as(&mut shards[0], true, wanted.clone()).check("503", &refused);
    assert_eq!(shards[0].count(Counter::RefusedOverload), 1);
    listen(&mut shards[0], json!({ "taskIds": [near] }));
    exchange_notes(&mut shards);
    listen(&mut shards[0], wanted);
}

#[test]
fn a_subscription_to_other_shards_is_refused_while_a_lane_is_full() {
    let mut shards = pair();
    let [near, far] = [0, 1].map(|home| format!("{home:04}{:032x}", 1));
    let wanted = json!({ "taskIds": [far] });
    shards[0].begin_turn_with_lanes(true);
    listen_as(&mut shards[0], true, wanted.clone()).check("503", &error(9, -32603));
    assert!(shards[0].next_task_watch().is_none());
    listen(&mut shards[0], json!({ "taskIds": [near] }));
    shards[0].begin_turn_with_lanes(false);
    listen(&mut shards[0], wanted);
}
