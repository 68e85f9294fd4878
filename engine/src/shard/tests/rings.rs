//! Shards with several rings: their tables fill one after the other.

use serde_json::json;

use super::client::Client;
use super::test_shard::{Setup, TestShard, with_shard};
use crate::meter::Counter;
use corelane_io::ring::fake::Operation::{Accept, AcceptOne};
use corelane_io::ring::fake::PeerEnd;

/// Sockets of each of the rings.
const EACH: usize = 100;
/// Rings: the last one has half as many sockets.
const RINGS: usize = 3;
const DESCRIPTORS: usize = 2 * EACH + EACH / 2;
const BACKLOG: usize = 4;

fn three_rings(setup: &mut Setup) {
    setup.descriptors = DESCRIPTORS as u32;
    setup.ring_descriptors_max = EACH as u32;
    setup.backlog = BACKLOG as u32;
}

/// Connects clients, never more at a time than the backlog holds.
async fn connect(shard: &mut TestShard, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    while clients.len() < count {
        let burst = BACKLOG.min(count - clients.len());
        clients.extend((0..burst).map(|_| shard.connect()));
        shard.settle().await;
    }
    clients
}

/// The ring of an accepted client.
fn ring(client: &Client) -> usize {
    client.descriptor().expect("it was accepted") as usize / EACH
}

/// Every client gets an answer.
async fn check_answers(shard: &mut TestShard, clients: &[Client]) {
    for client in clients {
        client.calls("echo", json!({"message": "hello"}));
    }
    shard.settle().await;
    for client in clients {
        let answer = client.received_text();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{client:?}: {answer}");
    }
}

#[test]
fn rings_fill_in_order_and_all_of_them_answer() {
    with_shard(three_rings, async |shard| {
        let mut clients = Vec::new();
        for count in [1, EACH - 2, 1, 1, EACH - 1, EACH / 2] {
            clients.extend(connect(shard, count).await);
        }
        assert_eq!(clients.len(), DESCRIPTORS);
        for (at, client) in clients.iter().enumerate() {
            assert_eq!(client.descriptor(), Some(at as u32));
        }
        assert_eq!(ring(&clients[DESCRIPTORS - 1]), RINGS - 1);
        check_answers(shard, &clients).await;
        assert_eq!(shard.count(Counter::ConnectionsRefusedDescriptors), 0);
    });
}

#[test]
fn all_clients_of_one_burst_are_accepted_by_several_rings() {
    // So many that no ring has as many descriptors as may come at once.
    let change = |setup: &mut Setup| {
        three_rings(setup);
        setup.backlog = DESCRIPTORS as u32;
    };
    with_shard(change, async |shard| {
        let clients: Vec<Client> = (0..DESCRIPTORS).map(|_| shard.connect()).collect();
        shard.settle().await;
        assert_eq!(shard.connections(), DESCRIPTORS);
        check_answers(shard, &clients).await;
    });
}

#[test]
fn clients_wait_when_all_rings_are_full_and_are_served_in_any_of_them() {
    with_shard(three_rings, async |shard| {
        let mut clients = connect(shard, DESCRIPTORS).await;
        let waiting = connect(shard, BACKLOG).await;
        assert_eq!(shard.network.waiting(), BACKLOG);
        assert!(shard.network.accepts().is_empty(), "nothing may be taken");
        assert_eq!(shard.count(Counter::ConnectionsTableFull), 1);
        for (served, from) in (1..).zip([0, EACH, 2 * EACH, 5]) {
            clients.swap_remove(from).finishes();
            shard.settle().await;
            let accepted = (DESCRIPTORS + served) as u64;
            assert_eq!(shard.count(Counter::ConnectionsAccepted), accepted);
        }
        clients.extend(waiting);
        check_answers(shard, &clients).await;
        assert_eq!(shard.count(Counter::ConnectionsRefusedDescriptors), 0);
    });
}

/// Connects clients until the second ring accepts all at once, or one by one.
async fn fill_one_ring(shard: &mut TestShard, are_many: bool) -> Vec<Client> {
    let more = if are_many { 10 } else { EACH / 2 };
    let clients = connect(shard, EACH + more).await;
    assert_eq!(
        shard.network.accepts()[0],
        if are_many { Accept } else { AcceptOne }
    );
    clients
}

#[test]
fn a_lower_ring_accepts_again_when_half_of_it_is_free() {
    for are_many in [true, false] {
        with_shard(three_rings, async |shard| {
            let mut clients = fill_one_ring(shard, are_many).await;
            for client in clients.drain(..EACH / 2 - 1) {
                client.finishes();
            }
            shard.settle().await;
            let next = connect(shard, 1).await.remove(0);
            assert_eq!(ring(&next), 1, "fewer than half are free");
            clients.remove(0).finishes();
            shard.settle().await;
            let lower = connect(shard, 2).await;
            assert!(lower.iter().all(|it| ring(it) == 0));
            clients.extend([next]);
            clients.extend(lower);
            check_answers(shard, &clients).await;
        });
    }
}

/// Fills the first ring, so that the second one accepts, and empties half of the first: it accepts
/// again some turns later, and `turns` of them are over. Returns the clients that are left.
async fn begin_move(shard: &mut TestShard, are_many: bool, turns: usize) -> Vec<Client> {
    let mut clients = fill_one_ring(shard, are_many).await;
    for client in clients.drain(..EACH / 2) {
        client.finishes();
    }
    for _ in 0..turns {
        shard.turn().await;
    }
    clients
}

#[test]
fn a_client_that_connects_while_another_ring_takes_over_is_accepted() {
    for are_many in [true, false] {
        // In each turn of the move.
        for turns in 0..8 {
            with_shard(three_rings, async |shard| {
                let mut clients = begin_move(shard, are_many, turns).await;
                clients.extend(connect(shard, 1).await);
                check_answers(shard, &clients).await;
                assert_eq!(ring(&connect(shard, 1).await[0]), 0);
            });
        }
    }
}

#[test]
fn a_drain_during_a_move_serves_the_clients_that_wait() {
    for are_many in [true, false] {
        for turns in 0..8 {
            with_shard(three_rings, async |shard| {
                let clients = begin_move(shard, are_many, turns).await;
                let waiting: Vec<Client> = (0..=BACKLOG).map(|_| shard.connect()).collect();
                for client in &waiting {
                    client.calls("echo", json!({"message": "first"}));
                }
                shard.shard.control.begin_drain();
                shard.settle().await;
                for client in &waiting {
                    let answer = client.received_text();
                    assert!(answer.starts_with("HTTP/1.1 200 "), "{turns}: {answer}");
                }
                for client in clients.iter().chain(&waiting) {
                    assert_eq!(client.end(), Some(PeerEnd::Finished));
                    client.finishes();
                }
                shard.settle().await;
                assert!(shard.turn().await.has_drained);
            });
        }
    }
}

#[test]
fn a_ring_without_connections_has_nothing_under_way() {
    with_shard(three_rings, async |shard| {
        let clients = connect(shard, DESCRIPTORS).await;
        for client in clients {
            client.finishes();
        }
        shard.settle().await;
        assert_eq!(shard.connections(), 0);
        assert_eq!(shard.shard.rings.in_use(), 1);
        assert_eq!(shard.network.accepts(), [AcceptOne; 64]);
    });
}
