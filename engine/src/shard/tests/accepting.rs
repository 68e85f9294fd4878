//! Tables of connections that fill up, and accepting that fails.

use super::client::Client;
use super::test_shard::{Setup, TestShard, with_shard};
use crate::meter::Counter;
use crate::profile::Binding;
use corelane_io::ring::fake::Operation::{self, Accept, AcceptOne};

/// More than the backlog and the accepts one by one need, so that the kernel accepts at first.
const DESCRIPTORS: usize = 100;
const BACKLOG: usize = 4;
/// Accepts under way at once when connections are accepted one by one.
const ONE_BY_ONE: usize = 64;

fn small(setup: &mut Setup) {
    setup.descriptors = DESCRIPTORS as u32;
    setup.backlog = BACKLOG as u32;
}

async fn connect(shard: &mut TestShard, count: usize) -> Vec<Client> {
    let clients = (0..count).map(|_| shard.connect()).collect();
    shard.settle().await;
    clients
}

fn accepts(shard: &TestShard, operation: Operation) -> usize {
    let accepts = shard.network.accepts();
    accepts.iter().filter(|it| **it == operation).count()
}

#[test]
fn a_client_waits_while_the_table_is_full_and_is_served_later() {
    with_shard(small, async |shard| {
        let mut clients = connect(shard, DESCRIPTORS).await;
        let waiting = connect(shard, BACKLOG).await;
        assert_eq!(shard.connections(), DESCRIPTORS);
        assert_eq!(shard.network.waiting(), BACKLOG);
        assert!(shard.network.accepts().is_empty(), "nothing may be taken");
        assert_eq!(shard.count(Counter::ConnectionsTableFull), 1);
        for served in 1..=BACKLOG {
            clients.pop().expect("there are more").finishes();
            shard.settle().await;
            let accepted = (DESCRIPTORS + served) as u64;
            assert_eq!(shard.count(Counter::ConnectionsAccepted), accepted);
            assert_eq!(shard.connections(), DESCRIPTORS);
        }
        assert!(waiting.iter().all(|it| it.descriptor().is_some()));
        assert!(waiting.iter().all(|it| it.end().is_none()));
        assert_eq!(shard.count(Counter::ConnectionsRefusedDescriptors), 0);
        let times = 1 + BACKLOG as u64;
        assert_eq!(shard.count(Counter::ConnectionsTableFull), times);
    });
}

#[test]
fn the_kernel_accepts_while_a_burst_of_the_backlog_fits_and_each_is_accepted_alone_after_that() {
    let change = |setup: &mut Setup| {
        small(setup);
        setup.descriptors = 256;
    };
    with_shard(change, async |shard| {
        let few = BACKLOG + ONE_BY_ONE;
        let mut clients = connect(shard, 256 - few - 1).await;
        assert_eq!(shard.network.accepts(), [Accept]);
        clients.extend(connect(shard, 1).await);
        assert_eq!(shard.network.accepts(), [AcceptOne; ONE_BY_ONE]);
        // No more at a time than there are slots.
        clients.extend(connect(shard, few - 10).await);
        assert_eq!(shard.network.accepts(), [AcceptOne; 10]);
        // Twice as many slots as lead to accepting one by one, before the kernel accepts again.
        for client in clients.drain(..2 * few - 10) {
            client.finishes();
        }
        shard.settle().await;
        assert_eq!(accepts(shard, Accept), 0);
        clients.pop().expect("there are more").finishes();
        shard.settle().await;
        assert_eq!(accepts(shard, Accept), 1);
    });
}

#[test]
fn accepting_that_fails_is_tried_again_a_little_later() {
    for (descriptors, operation) in [(256, Accept), (60, AcceptOne)] {
        let change = |setup: &mut Setup| {
            small(setup);
            setup.descriptors = descriptors;
        };
        with_shard(change, async |shard| {
            shard.settle().await;
            let all = accepts(shard, operation);
            for _ in 0..all {
                shard.network.fail_next(operation, libc::EMFILE);
            }
            let client = connect(shard, 1).await.remove(0);
            shard.advance(99).await;
            assert!(shard.network.accepts().is_empty(), "{operation:?}");
            assert_eq!(client.descriptor(), None);
            shard.advance(1).await;
            assert!(client.descriptor().is_some(), "{operation:?}");
            assert_eq!(shard.count(Counter::ConnectionsRefusedDescriptors), 0);
        });
    }
}

#[test]
fn accepting_that_keeps_failing_is_logged_once_in_ten_seconds() {
    const FAILURES: usize = 50;
    with_shard(small, async |shard| {
        shard.settle().await;
        let all = accepts(shard, Accept);
        for _ in 0..all + FAILURES {
            shard.network.fail_next(Accept, libc::EMFILE);
        }
        let _client = connect(shard, 1).await;
        for _ in 0..FAILURES {
            shard.advance(100).await;
        }
        let later_ms = shard.now_ms + 10_000;
        let suppressed = shard.shard.warnings.accept.admit(later_ms);
        assert!(suppressed.is_some_and(|times| times > 10), "{suppressed:?}");
    });
}

#[test]
fn an_overflown_queue_of_completions_is_counted_while_the_shard_runs() {
    with_shard(small, async |shard| {
        shard.settle().await;
        shard.network.overflow_next();
        shard.turn().await;
        shard.advance(1000).await;
        assert_eq!(shard.count(Counter::RingCompletionsOverflowed), 1);
    });
}

#[test]
fn listeners_share_the_table_and_the_clients_of_one_leave_a_slot_to_each() {
    const LISTENERS: usize = 3;
    let change = |setup: &mut Setup| {
        small(setup);
        setup.bindings = vec![Binding::Http; LISTENERS];
    };
    with_shard(change, async |shard| {
        let _some = connect(shard, DESCRIPTORS - 60).await;
        assert_eq!(shard.network.accepts(), [AcceptOne; 60]);
        let _more = connect(shard, DESCRIPTORS).await;
        assert_eq!(shard.connections(), DESCRIPTORS + 1 - LISTENERS);
        assert_eq!(shard.count(Counter::ConnectionsTableFull), 1);
        for listener in 1..LISTENERS as u8 {
            let other = shard.connect_to(listener);
            shard.settle().await;
            assert!(other.descriptor().is_some(), "{listener}");
        }
        assert_eq!(shard.connections(), DESCRIPTORS);
        assert_eq!(shard.count(Counter::ConnectionsRefusedDescriptors), 0);
    });
}

#[test]
fn a_listener_that_cannot_accept_does_not_keep_the_others_from_it() {
    let change = |setup: &mut Setup| {
        setup.bindings = vec![Binding::Http; 2];
    };
    with_shard(change, async |shard| {
        shard.settle().await;
        shard.network.fail_next(Accept, libc::EMFILE);
        let first = shard.connect_to(0);
        shard.settle().await;
        let second = shard.connect_to(1);
        shard.settle().await;
        assert!(first.descriptor().is_none() && second.descriptor().is_some());
        shard.advance(100).await;
        assert!(first.descriptor().is_some());
    });
}

#[test]
fn a_connection_speaks_what_its_listener_says() {
    let change = |setup: &mut Setup| {
        setup.bindings = vec![Binding::Http, Binding::Lines];
    };
    with_shard(change, async |shard| {
        let lines = shard.connect_to(1);
        let http = shard.connect_to(0);
        shard.settle().await;
        let message = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n";
        lines.sends(message.as_bytes());
        http.sends(message.as_bytes());
        shard.settle().await;
        assert!(lines.received_text().starts_with('{'));
        assert!(http.received_text().starts_with("HTTP/1.1 400"));
    });
}

#[test]
fn accepting_that_the_kernel_ends_goes_on_at_once() {
    with_shard(small, async |shard| {
        shard.network.end_next(Accept);
        let clients = connect(shard, 3).await;
        assert!(clients.iter().all(|it| it.descriptor().is_some()));
        assert_eq!(shard.network.accepts(), [Accept]);
    });
}

#[test]
fn a_connection_that_finds_no_descriptor_is_counted_and_accepting_goes_on() {
    with_shard(small, async |shard| {
        shard.network.fail_next(Accept, libc::ENFILE);
        let client = connect(shard, 1).await.remove(0);
        assert_eq!(shard.count(Counter::ConnectionsRefusedDescriptors), 1);
        shard.advance(100).await;
        assert!(client.descriptor().is_some());
    });
}

#[test]
fn a_stampede_delays_a_client_by_as_many_turns_as_its_accepts_take() {
    const STAMPEDE: usize = 900;
    const PER_TURN: usize = 100;
    let change = |setup: &mut Setup| {
        setup.descriptors = 2000;
        setup.backlog = STAMPEDE as u32;
        setup.profile.budget.completions_per_turn = PER_TURN as u32;
    };
    with_shard(change, async |shard| {
        let (client, _) = shard.client().await;
        let _stampede: Vec<Client> = (0..STAMPEDE).map(|_| shard.connect()).collect();
        client.calls("echo", serde_json::json!({"message": "hello"}));
        let mut turns = 0;
        while client.received_text().is_empty() {
            shard.turn().await;
            turns += 1;
            let accepted = shard.count(Counter::ConnectionsAccepted) as usize;
            assert!(accepted <= 1 + turns * PER_TURN, "{accepted} in {turns}");
        }
        // The announcement waits behind the accepts, and the bytes behind their polls.
        assert!(turns <= 2 * STAMPEDE / PER_TURN + 4, "{turns} turns");
    });
}
