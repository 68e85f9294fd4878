//! An endpoint and the death of another shard: tasks there are lost, and so are its subscriptions.

use serde_json::json;

use super::task_status::{check_no_server_listens, exchange_notes, leave, listen_as, pair};
use super::tasks::task;
use super::test_endpoint::{on_executor, part_of};

#[test]
fn a_subscription_to_tasks_of_a_dead_shard_ends_with_its_result() {
    on_executor(async {
        for is_acknowledged in [false, true] {
            let mut shards = pair();
            let [near, far] = [0, 1].map(|at| task(&mut shards[at], "waits"));
            let lost = listen_as(&mut shards[0], true, json!({ "taskIds": [near, far] }));
            let kept = listen_as(&mut shards[0], true, json!({ "taskIds": [near] }));
            if is_acknowledged {
                exchange_notes(&mut shards);
                assert_eq!(shards[0].deliveries().len(), 2);
            }
            shards[0].endpoint.handle_shard_gone(1);
            let delivered = shards[0].deliveries().into_iter();
            let of_lost = delivered.filter(|(exchange, _)| *exchange == lost.exchange);
            let kinds: Vec<_> = of_lost.map(|(_, part)| part_of(&part).0).collect();
            let expected: &[&str] = match is_acknowledged {
                true => &["200"],
                false => &["event", "200"],
            };
            assert_eq!(kinds, expected);
            // Earlier messages of the dead shard change nothing.
            exchange_notes(&mut shards);
            leave(&mut shards[0], &kept);
            exchange_notes(&mut shards);
            check_no_server_listens(&mut shards[0]);
        }
    });
}

#[test]
fn the_home_of_a_task_forgets_the_subscriptions_of_a_dead_shard() {
    on_executor(async {
        let mut shards = pair();
        let far = task(&mut shards[1], "waits");
        listen_as(&mut shards[0], true, json!({ "taskIds": [far] }));
        exchange_notes(&mut shards);
        shards[1].endpoint.handle_shard_gone(0);
        check_no_server_listens(&mut shards[1]);
    });
}

#[test]
fn an_answer_to_a_request_of_an_earlier_life_is_ignored() {
    on_executor(async {
        let mut shards = pair();
        let far = task(&mut shards[1], "waits");
        listen_as(&mut shards[0], true, json!({ "taskIds": [far] }));
        let (to, request) = shards[0].next_task_watch().expect("a request to its home");
        assert_eq!(to, 1);
        let [next_life, _] = pair();
        shards[0] = next_life;
        shards[1].endpoint.handle_task_watch(request);
        exchange_notes(&mut shards);
        assert!(shards[0].deliveries().is_empty());
        // Nothing is counted for it: the life has all of its requests.
        let stream = listen_as(&mut shards[0], true, json!({ "taskIds": [far] }));
        exchange_notes(&mut shards);
        assert_eq!(shards[0].deliveries().len(), 1);
        leave(&mut shards[0], &stream);
    });
}
