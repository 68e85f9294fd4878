//! Subscriptions to tasks: the accepted ids, the statuses, and the release of resources.

use corelane_protocol::mcp::tasks::TaskSupport;
use serde_json::{Value, json};

use super::tasks::{NoArguments, about, call, endpoint_with, get, greets, harness, query, task};
use super::test_endpoint::{
    Answer, MODERN, TestEndpoint, claim, error, kind_of, on_executor, part_of, request,
    with_trailer,
};
use super::tools::Gate;
use crate::catalog::tool::Tool;
use crate::handler::{Call, CallError};
use crate::mcp::{Disposition, Exchange, Part, StreamOwner};
use crate::meter::Counter;
use corelane_io::executor::yield_now;

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// Tools that report the status of their tasks.
pub(super) fn tools(gate: &Gate) -> Vec<Tool> {
    const ANY: &str = r#"{"type":"object"}"#;
    let optional = |tool: Tool| tool.with_task_support(TaskSupport::Optional);
    let says = gate.clone();
    vec![
        optional(Tool::from_schema(
            "says",
            "d",
            ANY,
            async move |call: &Call, _: NoArguments| {
                call.set_status("begun");
                says.pass().await;
                call.set_status("a third");
                call.set_status("half");
                greets(call).await
            },
        )),
        optional(Tool::from_schema(
            "talks",
            "d",
            ANY,
            async |call: &Call, _: NoArguments| {
                for text in ["\u{e9}".repeat(600), String::new(), String::new()] {
                    yield_now().await;
                    call.set_status(&text);
                    yield_now().await;
                }
                std::future::pending::<Result<(), CallError>>().await
            },
        )),
    ]
}

/// A listen request of a client with or without tasks.
pub(super) fn listen_as(harness: &mut TestEndpoint, knows_tasks: bool, wanted: Value) -> Answer {
    let mut params = json!({"notifications": wanted, "_meta": claim()});
    if knows_tasks {
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({
            "extensions": {"io.modelcontextprotocol/tasks": {}},
        });
    }
    let headers = "Accept: text/event-stream\r\nMcp-Method: subscriptions/listen\r\n";
    let headers = format!("{MODERN}{headers}");
    harness.post(&headers, &request(9, "subscriptions/listen", params))
}

fn listen(harness: &mut TestEndpoint, ids: &[&str]) -> Answer {
    let answer = listen_as(harness, true, json!({ "taskIds": ids }));
    answer.check("stream", &Value::Null);
    answer
}

/// The messages on one stream: the params of each message, whose `_meta` is checked.
#[track_caller]
fn received(delivered: &[(Exchange, Part)], stream: &Answer, method: &str) -> Vec<Value> {
    let own = delivered.iter().filter(|(to, _)| *to == stream.exchange);
    own.map(|(_, part)| {
        let (kind, mut message) = part_of(part);
        assert_eq!((&*kind, &message["method"]), ("event", &json!(method)));
        let mut params = message["params"].take();
        let meta = params.as_object_mut().unwrap().remove("_meta");
        assert_eq!(meta, Some(json!({ SUBSCRIPTION: 9 })));
        params
    })
    .collect()
}

/// Checks the accepted part of a subscription's filter.
#[track_caller]
fn check_acknowledged(harness: &mut TestEndpoint, stream: &Answer, honoured: Value) {
    let method = "notifications/subscriptions/acknowledged";
    let acknowledged = received(&harness.deliveries(), stream, method);
    assert_eq!(acknowledged, [json!({ "notifications": honoured })]);
}

/// The states of a task in the messages to a subscription.
#[track_caller]
fn states(delivered: &[(Exchange, Part)], stream: &Answer) -> Vec<String> {
    let received = received(delivered, stream, "notifications/tasks");
    let text = |status: &Value| status["status"].as_str().unwrap().to_owned();
    received.iter().map(text).collect()
}

pub(super) fn leave(harness: &mut TestEndpoint, stream: &Answer) {
    let Disposition::Stream(StreamOwner::Listen(place)) = stream.disposition else {
        panic!("a listen stream: {:?}", stream.disposition);
    };
    harness.endpoint.handle_subscription_gone(place);
    harness.poll();
}

#[track_caller]
pub(super) fn check_no_server_listens(harness: &mut TestEndpoint) {
    assert!(harness.endpoint.services().tasks.watchers.is_empty());
    assert_eq!(harness.count(Counter::TasksWatched), 0);
}

/// Makes a task of the tool that reports its status; returns its id.
fn says(harness: &mut TestEndpoint) -> String {
    let created = call(harness, "says").body["result"].clone();
    assert_eq!(created["statusMessage"], "begun");
    created["taskId"].as_str().unwrap().to_owned()
}

fn answer_who(harness: &mut TestEndpoint, id: &str) {
    let named = json!({"action": "accept", "content": {"name": "Ann"}});
    let params = json!({"taskId": id, "inputResponses": {"who": named}});
    query(harness, "tasks/update", id, params).check("200", &with_trailer(1, json!({})));
}

#[test]
fn each_status_has_the_members_of_tasks_get() {
    on_executor(async {
        let mut harness = harness();
        let id = says(&mut harness);
        let stream = listen(&mut harness, &[&id]);
        check_acknowledged(&mut harness, &stream, json!({"taskIds": [id]}));
        assert!(harness.settle().await.is_empty(), "a task that works on");
        let check = |harness: &mut TestEndpoint, delivered: &[(Exchange, Part)], status: &str| {
            let mut expected = get(harness, &id).body["result"].clone();
            for of_results in ["resultType", "_meta"] {
                expected.as_object_mut().unwrap().remove(of_results);
            }
            let received = received(delivered, &stream, "notifications/tasks");
            assert_eq!(received, [expected]);
            assert_eq!(received[0]["status"], status);
            received[0].clone()
        };
        harness.gate.open();
        let delivered = harness.settle().await;
        let elicits = check(&mut harness, &delivered, "input_required");
        assert_eq!(elicits["statusMessage"], "half", "the last that was said");
        assert_eq!(
            elicits["inputRequests"]["who"]["method"],
            "elicitation/create"
        );
        answer_who(&mut harness, &id);
        harness.broadcast(|_| true);
        let delivered = harness.deliveries();
        check(&mut harness, &delivered, "working");
        let delivered = harness.settle().await;
        let done = check(&mut harness, &delivered, "completed");
        assert_eq!(done["result"]["content"][0]["text"], "hello Ann");
        check_no_server_listens(&mut harness);
    });
}

#[test]
fn a_text_alone_is_a_change() {
    on_executor(async {
        let mut harness = harness();
        let id = task(&mut harness, "talks");
        let stream = listen(&mut harness, &[&id]);
        harness.deliveries();
        let delivered = harness.settle().await;
        let received = received(&delivered, &stream, "notifications/tasks");
        let texts: Vec<_> = received.iter().map(|it| it.get("statusMessage")).collect();
        let long = "\u{e9}".repeat(512);
        assert_eq!(texts, [Some(&json!(long)), None]);
        assert!(received.iter().all(|it| it["status"] == "working"));
    });
}

#[test]
fn unknown_and_foreign_tasks_are_left_out() {
    on_executor(async {
        let mut harness = harness();
        let session = super::legacy_tasks::session(&mut harness);
        let of_session = super::legacy_tasks::task(&mut harness, &session, "waits");
        let expired = task(&mut harness, "waits");
        harness.expire_at(5000);
        harness.settle().await;
        let id = task(&mut harness, "waits");
        for ids in [
            [&*id, &format!("{:036x}", 1), "unknown"],
            [&*of_session, &id, &id],
            [&*expired, &format!("ffff{:032x}", 1), &id],
        ] {
            let stream = listen(&mut harness, &ids);
            check_acknowledged(&mut harness, &stream, json!({"taskIds": [id]}));
        }
        let stream = listen(&mut harness, &["", &of_session]);
        check_acknowledged(&mut harness, &stream, json!({}));
        assert_eq!(harness.count(Counter::TasksWatched), 3);
    });
}

#[test]
fn a_client_without_the_extension_is_refused_and_a_server_without_tasks_has_none() {
    let mut refused = error(9, -32021);
    let needed = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
    refused["error"]["data"] = json!({ "requiredCapabilities": needed });
    let mut harness = harness();
    let wanted = json!({"taskIds": ["x"], "toolsListChanged": true});
    listen_as(&mut harness, false, wanted.clone()).check("400", &refused);
    for knows_tasks in [true, false] {
        let mut without = TestEndpoint::new();
        let stream = listen_as(&mut without, knows_tasks, wanted.clone());
        check_acknowledged(&mut without, &stream, json!({"toolsListChanged": true}));
    }
    let wanted = json!({"taskIds": ["1", "2", "3", "4"]});
    listen_as(&mut harness, true, wanted).check("200", &error(9, -32602));
}

#[test]
fn a_task_that_ended_or_requires_input_has_its_status_sent_at_once() {
    on_executor(async {
        let mut harness = harness();
        let (eliciting, cancelled) = (task(&mut harness, "asks"), task(&mut harness, "waits"));
        about(&mut harness, "tasks/cancel", &cancelled);
        harness.settle().await;
        let stream = listen(&mut harness, &[&eliciting, &cancelled]);
        let honoured = json!({"taskIds": [eliciting, cancelled]});
        check_acknowledged(&mut harness, &stream, honoured);
        let delivered = harness.settle().await;
        let expected = ["input_required", "cancelled"];
        assert_eq!(states(&delivered, &stream), expected);
        about(&mut harness, "tasks/cancel", &eliciting);
        assert_eq!(states(&harness.settle().await, &stream), ["cancelled"]);
        check_no_server_listens(&mut harness);
    });
}

#[test]
fn a_full_stream_gets_the_newest_status_of_each_task_later() {
    on_executor(async {
        let mut harness = harness();
        let ids = [(); 3].map(|()| task(&mut harness, "asks"));
        let stream = listen(&mut harness, &[&ids[0], &ids[1], &ids[2]]);
        harness.deliveries();
        let mut stalled = Default::default();
        assert!(
            harness
                .settle_while(|_| false, &mut stalled)
                .await
                .is_empty()
        );
        // One status waits for capacity on the stream, the others at home.
        assert_eq!(harness.endpoint.statuses_held(), 1);
        for id in &ids {
            answer_who(&mut harness, id);
            assert!(
                harness
                    .settle_while(|_| false, &mut stalled)
                    .await
                    .is_empty()
            );
        }
        assert_eq!(harness.endpoint.statuses_held(), 1);
        let received = received(&harness.settle().await, &stream, "notifications/tasks");
        let received: Vec<_> = received
            .iter()
            .map(|it| (&it["taskId"], &it["status"]))
            .collect();
        let (first, completed) = (json!("input_required"), json!("completed"));
        let ids = ids.map(Value::from);
        let mut expected = vec![(&ids[0], &first)];
        expected.extend([&ids[1], &ids[2], &ids[0]].map(|id| (id, &completed)));
        assert_eq!(received, expected);
        check_no_server_listens(&mut harness);
    });
}

#[test]
fn a_stream_that_ends_is_removed_with_its_waiting_statuses() {
    on_executor(async {
        let mut harness = harness();
        let (waiting, eliciting) = (task(&mut harness, "waits"), task(&mut harness, "asks"));
        let mut stalled = Default::default();
        for (settles, held) in [(false, 0), (true, 1)] {
            let stream = listen(&mut harness, &[&waiting, &eliciting]);
            harness.poll();
            assert_eq!(harness.count(Counter::TasksWatched), 2);
            if settles {
                harness.settle_while(|_| false, &mut stalled).await;
            }
            assert_eq!(harness.endpoint.statuses_held(), held);
            harness.deliveries();
            leave(&mut harness, &stream);
            assert!(harness.settle().await.is_empty());
            check_no_server_listens(&mut harness);
            assert_eq!(harness.endpoint.statuses_held(), 0);
        }
        // No other subscription gets its status, in its place neither.
        let other = listen(&mut harness, &[&waiting]);
        check_acknowledged(&mut harness, &other, json!({"taskIds": [waiting]}));
        about(&mut harness, "tasks/cancel", &eliciting);
        assert!(harness.settle().await.is_empty());
        leave(&mut harness, &other);
        check_no_server_listens(&mut harness);
    });
}

#[test]
fn a_task_that_was_removed_before_its_end_was_sent_has_failed() {
    on_executor(async {
        let mut harness = harness();
        let running = task(&mut harness, "waits");
        let stream = listen(&mut harness, &[&running]);
        harness.deliveries();
        harness.expire_at(5000);
        let mut forgotten = received(&harness.settle().await, &stream, "notifications/tasks");
        let text = forgotten[0]["error"]
            .as_object_mut()
            .unwrap()
            .remove("message");
        assert!(text.unwrap().as_str().unwrap().contains("its time is over"));
        for time in ["createdAt", "lastUpdatedAt"] {
            let time = forgotten[0].as_object_mut().unwrap().remove(time).unwrap();
            assert!(time.as_str().unwrap().ends_with('Z'), "{time}");
        }
        let expected = json!({
            "taskId": running, "status": "failed", "ttlMs": 5000, "pollIntervalMs": 100,
            "error": {"code": -32603},
        });
        assert_eq!(forgotten, [expected]);
        check_no_server_listens(&mut harness);
        // The second one is over and evicted before its subscription has credit.
        let over = [(); 2].map(|()| task(&mut harness, "breaks"));
        let stream = listen(&mut harness, &[&over[0], &over[1]]);
        harness.deliveries();
        let mut stalled = Default::default();
        harness.settle_while(|_| false, &mut stalled).await;
        for _ in 0..4 {
            task(&mut harness, "waits");
        }
        let received = received(&harness.settle().await, &stream, "notifications/tasks");
        let codes: Vec<_> = received.iter().map(|it| &it["error"]["code"]).collect();
        assert_eq!(codes, [7, -32603]);
        assert_eq!(received[1]["taskId"], over[1]);
        check_no_server_listens(&mut harness);
    });
}

#[test]
fn the_streams_of_one_task_are_limited() {
    on_executor(async {
        let mut harness = harness();
        let id = task(&mut harness, "waits");
        let streams: Vec<Answer> = (0..32).map(|_| listen(&mut harness, &[&id])).collect();
        harness.deliveries();
        let late = listen(&mut harness, &[&id]);
        check_acknowledged(&mut harness, &late, json!({}));
        harness.gate.open();
        let delivered = harness.settle().await;
        for stream in &streams {
            assert_eq!(states(&delivered, stream), ["completed"]);
        }
        assert_eq!(delivered.len(), streams.len());
        check_no_server_listens(&mut harness);
    });
}

/// The shard of the connections and another one.
pub(super) fn pair() -> [TestEndpoint; 2] {
    [0, 1].map(|number| {
        endpoint_with(|settings| {
            settings.shard = number;
            settings.shards = 2;
        })
    })
}

/// Brings each shard the messages of the other until there are none.
pub(super) fn exchange_notes(shards: &mut [TestEndpoint; 2]) {
    let mut is_quiet = false;
    while !is_quiet {
        is_quiet = true;
        for from in [0, 1] {
            while let Some((to, note)) = shards[from].next_task_watch() {
                shards[usize::from(to)].endpoint.handle_task_watch(note);
                is_quiet = false;
            }
            shards[from].broadcast(|_| true);
        }
    }
}

#[test]
fn tasks_of_all_shards_are_acknowledged_when_their_homes_have_answered() {
    on_executor(async {
        let mut shards = pair();
        let [near, far] = [0, 1].map(|at| says(&mut shards[at]));
        let foreign = format!("0001{:032x}", 1);
        let stream = listen(&mut shards[0], &[&far, &foreign, &near]);
        shards[0].gate.open();
        // Its own shard has answered, and there is no status yet.
        assert!(shards[0].settle().await.is_empty());
        exchange_notes(&mut shards);
        let mut delivered = shards[0].deliveries();
        let (_, acknowledged) = part_of(&delivered.remove(0).1);
        let honoured = json!({"taskIds": [far, near]});
        assert_eq!(acknowledged["params"]["notifications"], honoured);
        assert_eq!(states(&delivered, &stream), ["input_required"]);
        shards[1].gate.open();
        assert!(shards[1].settle().await.is_empty());
        exchange_notes(&mut shards);
        let received = received(&shards[0].deliveries(), &stream, "notifications/tasks");
        assert_eq!(received[0]["taskId"], far);
        assert_eq!(received[0]["statusMessage"], "half");
        leave(&mut shards[0], &stream);
        exchange_notes(&mut shards);
        for shard in &mut shards {
            check_no_server_listens(shard);
        }
    });
}

#[test]
fn a_subscription_of_another_shard_gets_one_status_at_a_time() {
    on_executor(async {
        let mut shards = pair();
        let ids = [(); 2].map(|()| task(&mut shards[1], "asks"));
        shards[1].settle().await;
        let stream = listen(&mut shards[0], &[&ids[0], &ids[1]]);
        let mut notes_home = 0;
        for round in 0..8 {
            let [front, home] = &mut shards;
            while let Some((_, note)) = front.next_task_watch() {
                home.endpoint.handle_task_watch(note);
            }
            home.broadcast(|_| true);
            let mut statuses = 0;
            while let Some((_, note)) = home.next_task_watch() {
                front.endpoint.handle_task_watch(note);
                statuses += 1;
            }
            assert!(statuses <= 1);
            notes_home += statuses;
            front.broadcast(|_| round % 2 == 1);
        }
        assert_eq!(notes_home, 3, "an answer and two statuses");
        let mut delivered = shards[0].deliveries();
        delivered.remove(0);
        let expected = ["input_required", "input_required"];
        assert_eq!(states(&delivered, &stream), expected);
    });
}

#[test]
fn one_that_leaves_before_it_is_acknowledged_leaves_nothing() {
    on_executor(async {
        for drains in [false, true] {
            let mut shards = pair();
            let far = task(&mut shards[1], "waits");
            let stream = listen(&mut shards[0], &[&far]);
            if drains {
                shards[0].endpoint.drain();
            } else {
                leave(&mut shards[0], &stream);
            }
            exchange_notes(&mut shards);
            let delivered = shards[0].deliveries();
            let kinds: Vec<_> = delivered.iter().map(|(_, part)| part_of(part).0).collect();
            let expected: &[&str] = if drains { &["event", "200"] } else { &[] };
            assert_eq!(kinds, expected);
            check_no_server_listens(&mut shards[1]);
        }
    });
}

#[test]
fn a_status_of_a_call_without_a_task_goes_nowhere() {
    on_executor(async {
        let mut harness = harness();
        let answer = harness.call_modern("says", json!({}), json!({}));
        assert_eq!(kind_of(&answer.disposition), "pending");
        harness.gate.open();
        let delivered = harness.settle().await;
        assert_eq!(delivered.len(), 1, "{delivered:?}");
    });
}
