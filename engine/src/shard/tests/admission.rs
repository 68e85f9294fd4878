//! Limits on the connections of the process and of one address.

use std::net::IpAddr;

use super::client::Client;
use super::test_shard::{TestShard, settle_all, with_shard, with_shards};
use crate::meter::Counter;
use corelane_io::ring::Peer;

/// The address of the client's peer becomes known.
async fn is_at(shard: &mut TestShard, client: &Client, address: &str) {
    let address: IpAddr = address.parse().expect("an address");
    let key = shard.key(client);
    shard.shard.peer_found(key, Some(Peer::Address(address)));
    shard.settle().await;
}

#[test]
fn shards_together_have_no_more_connections_than_the_process_may() {
    with_shards(
        2,
        |setup| setup.profile.overload.connections_max = 3,
        async |shards| {
            let mut clients = Vec::new();
            for shard in [0, 0, 1] {
                clients.push(shards[shard].connect());
                settle_all(shards).await;
            }
            for shard in [0, 1] {
                let refused = shards[shard].connect();
                settle_all(shards).await;
                assert!(refused.end().is_some(), "shard {shard}");
                assert_eq!(shards[shard].count(Counter::ConnectionsRefusedLimit), 1);
            }
            assert!(clients.iter().all(|client| client.end().is_none()));
            clients[0].finishes();
            settle_all(shards).await;
            let accepted = shards[1].connect();
            settle_all(shards).await;
            assert_eq!(accepted.end(), None, "a place was free again");
            assert_eq!(shards[1].connections(), 2);
        },
    );
}

#[test]
fn an_address_has_no_more_connections_than_its_limit() {
    with_shard(
        |setup| setup.profile.overload.connections_per_address_max = 2,
        async |shard| {
            let mut clients = Vec::new();
            for address in [
                "192.0.2.1",
                "::ffff:192.0.2.1",
                "2001:db8::1",
                "2001:db8::2",
            ] {
                let (client, _) = shard.client().await;
                is_at(shard, &client, address).await;
                clients.push(client);
            }
            assert!(clients.iter().all(|client| client.end().is_none()));
            for address in ["192.0.2.1", "2001:db8::3"] {
                let (refused, _) = shard.client().await;
                is_at(shard, &refused, address).await;
                assert!(refused.end().is_some(), "{address}");
            }
            assert_eq!(shard.count(Counter::ConnectionsRefusedAddress), 2);
            let (other, _) = shard.client().await;
            is_at(shard, &other, "192.0.2.2").await;
            assert_eq!(other.end(), None, "another address has its own limit");
            clients[0].finishes();
            shard.settle().await;
            let (accepted, _) = shard.client().await;
            is_at(shard, &accepted, "192.0.2.1").await;
            assert_eq!(accepted.end(), None, "a place of the address was free");
        },
    );
}

#[test]
fn a_connection_whose_address_is_looked_up_again_counts_once() {
    with_shard(
        |setup| setup.profile.overload.connections_per_address_max = 2,
        async |shard| {
            let (first, _) = shard.client().await;
            for _ in 0..3 {
                is_at(shard, &first, "192.0.2.1").await;
            }
            let (second, _) = shard.client().await;
            is_at(shard, &second, "192.0.2.1").await;
            assert_eq!(first.end().or(second.end()), None);
        },
    );
}

#[test]
fn a_connection_without_a_known_address_is_served_and_counts_for_none() {
    with_shard(
        |setup| setup.profile.overload.connections_per_address_max = 1,
        async |shard| {
            // The model looks up no address.
            for _ in 0..3 {
                let (client, _) = shard.client().await;
                client.calls("echo", serde_json::json!({"message": "hello"}));
                shard.settle().await;
                assert!(client.received_text().starts_with("HTTP/1.1 200"));
                assert_eq!(client.end(), None);
            }
            assert_eq!(shard.count(Counter::ConnectionsRefusedAddress), 0);
        },
    );
}
