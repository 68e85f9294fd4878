//! Tables of connections that fill up.

use super::live_shard::{Client, with_shard};
use crate::meter::Counter;

/// More than the backlog and the accepts one by one need, so that the kernel accepts at first.
const DESCRIPTORS: usize = 100;
const BACKLOG: usize = 4;

#[test]
fn who_finds_the_table_full_waits_and_is_served_when_there_is_room() {
    let toml = format!("[server]\nbacklog = {BACKLOG}\n[ring]\ndescriptors = {DESCRIPTORS}");
    with_shard(&toml, async |shard| {
        let mut clients: Vec<Client> = Vec::new();
        for _ in 0..DESCRIPTORS {
            clients.push(shard.client().await.0);
        }
        let mut waiting: Vec<Client> = (0..BACKLOG).map(|_| shard.connect()).collect();
        for _ in 0..4 {
            shard.turn().await;
        }
        assert_eq!(shard.connections(), DESCRIPTORS);
        assert!(waiting.iter_mut().all(Client::is_waiting));
        assert_eq!(shard.count(Counter::ConnectionsTableFull), 1);
        for served in 1..=BACKLOG {
            drop(clients.pop());
            let accepted = (DESCRIPTORS + served) as u64;
            shard
                .turn_until("an accept", |it| {
                    it.count(Counter::ConnectionsAccepted) == accepted
                })
                .await;
            assert_eq!(shard.connections(), DESCRIPTORS);
            assert!(waiting.iter_mut().all(Client::is_waiting));
        }
        assert_eq!(shard.count(Counter::ConnectionsRefusedDescriptors), 0);
        shard.turn().await;
        let times = 1 + BACKLOG as u64;
        assert_eq!(shard.count(Counter::ConnectionsTableFull), times);
    });
}
