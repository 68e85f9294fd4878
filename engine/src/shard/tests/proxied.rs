//! Connections of proxies that name their clients.

use std::net::IpAddr;

use corelane_io::ring::Peer;
use corelane_io::slots::SlotKey;

use super::client::Client;
use super::test_shard::{Setup, TestShard, with_shard};
use crate::guard::network::Networks;
use crate::meter::Counter;

const HELLO: &[u8] = b"GET /ready HTTP/1.1\r\nHost: h\r\n\r\n";
const PROXY: &str = "10.0.0.1";

fn networks(entry: &str) -> Networks {
    Networks::new("server.x", &[entry.to_owned()]).expect("a network")
}

fn behind_a_proxy(setup: &mut Setup) {
    setup.proxies.announcing = networks("10.0.0.0/8");
    setup.profile.overload.connections_per_address_max = 2;
}

/// A client that was just accepted. The model looks up no address, and that in a later turn.
async fn accepted(shard: &mut TestShard) -> (Client, SlotKey) {
    let client = shard.connect();
    let is_open = |shard: &TestShard, index| shard.shard.slots.key_of(index).is_some();
    while client.descriptor().is_none_or(|it| !is_open(shard, it)) {
        shard.turn().await;
    }
    let key = shard.key(&client);
    (client, key)
}

/// A client that was accepted, with a peer of this address.
async fn client_at(shard: &mut TestShard, address: &str) -> (Client, SlotKey) {
    let (client, key) = accepted(shard).await;
    let address: IpAddr = address.parse().expect("an address");
    shard.shard.peer_found(key, Some(Peer::Address(address)));
    shard.settle().await;
    (client, key)
}

fn header(client: &str) -> Vec<u8> {
    format!("PROXY TCP4 {client} 198.51.100.1 1 2\r\n").into_bytes()
}

#[test]
fn a_proxy_begins_with_a_header_in_any_pieces() {
    with_shard(behind_a_proxy, async |shard| {
        let input = [header("192.0.2.1"), HELLO.to_vec()].concat();
        for piece_bytes in [1, 7, input.len()] {
            let (client, key) = client_at(shard, PROXY).await;
            for piece in input.chunks(piece_bytes) {
                assert_eq!(client.received_text(), "");
                client.sends(piece);
                shard.settle().await;
            }
            let answer = client.received_text();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            let named = shard.shard.clients.of(key.index);
            assert_eq!(named.map(|it| it.to_string()).as_deref(), Some("192.0.2.1"));
            // Requests follow, and no other header.
            client.sends(HELLO);
            shard.settle().await;
            assert!(client.received_text().starts_with("HTTP/1.1 200"));
            client.sends(&header("192.0.2.2"));
            shard.settle().await;
            assert!(client.received_text().starts_with("HTTP/1.1 400"));
            client.resets();
            shard.settle().await;
        }
    });
}

#[test]
fn nothing_is_read_before_the_peer_is_known() {
    with_shard(behind_a_proxy, async |shard| {
        let (client, key) = accepted(shard).await;
        client.sends(HELLO);
        shard.shard.peer_found(
            key,
            Some(Peer::Address("192.0.2.9".parse().expect("an address"))),
        );
        shard.settle().await;
        assert!(client.received_text().starts_with("HTTP/1.1 200"));
        // An address that cannot be looked up may be that of a proxy.
        let unknown = shard.connect();
        unknown.sends(HELLO);
        shard.settle().await;
        assert!(unknown.end().is_some());
        assert_eq!(unknown.received_text(), "");
    });
}

#[test]
fn a_header_is_required_of_proxies_and_refused_of_others() {
    with_shard(behind_a_proxy, async |shard| {
        let (bare, _) = client_at(shard, PROXY).await;
        bare.sends(HELLO);
        shard.settle().await;
        assert_eq!(
            (bare.received_text(), bare.end().is_some()),
            (String::new(), true)
        );
        let (silent, _) = client_at(shard, PROXY).await;
        shard.advance(10_000).await;
        assert_eq!(
            (silent.received_text(), silent.end().is_some()),
            (String::new(), true)
        );
        let (other, _) = client_at(shard, "192.0.2.9").await;
        other.sends(&header("192.0.2.1"));
        shard.settle().await;
        assert!(other.received_text().starts_with("HTTP/1.1 400"));
    });
}

#[test]
fn the_named_client_counts_and_not_the_proxy() {
    with_shard(behind_a_proxy, async |shard| {
        let mut clients = Vec::new();
        for (address, is_served) in [
            ("192.0.2.1", true),
            ("192.0.2.1", true),
            ("192.0.2.1", false),
            ("192.0.2.2", true),
        ] {
            let (client, _) = client_at(shard, PROXY).await;
            client.sends(&[header(address), HELLO.to_vec()].concat());
            shard.settle().await;
            assert_eq!(client.end().is_none(), is_served, "{address}");
            clients.push(client);
        }
        assert_eq!(shard.count(Counter::ConnectionsRefusedAddress), 1);
    });
}

#[test]
fn a_proxy_that_forwards_has_as_many_connections_as_it_likes() {
    let change = |setup: &mut Setup| {
        setup.proxies.forwarding = networks(PROXY);
        setup.profile.overload.connections_per_address_max = 1;
    };
    with_shard(change, async |shard| {
        for (address, is_served) in [
            (PROXY, true),
            (PROXY, true),
            ("10.0.0.2", true),
            ("10.0.0.2", false),
        ] {
            let (client, _) = client_at(shard, address).await;
            assert_eq!(client.end().is_none(), is_served, "{address}");
        }
    });
}
