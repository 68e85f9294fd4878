//! Addresses of peers, on listeners of both families, and users.

use crate::ring::tests::server::{SMALL, Server};
use crate::ring::{AddressFamily, Completion, Peer};
use crate::slots::SlotKey;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

fn peer(server: &mut Server, wanted: SlotKey, family: AddressFamily) -> Option<Peer> {
    server.ring.look_up_peer(wanted, family);
    let fits = |completion: &Completion| match completion {
        Completion::PeerFound { key, .. } => *key == wanted,
        _ => false,
    };
    let Completion::PeerFound { peer, .. } = server.take("peer", fits) else {
        unreachable!("take returns what fits");
    };
    peer
}

fn address(server: &mut Server, wanted: SlotKey, family: AddressFamily) -> Option<IpAddr> {
    match peer(server, wanted, family) {
        Some(Peer::Address(address)) => Some(address),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_user_of_a_peer_is_looked_up() {
    const INDEX: u32 = 0;
    let mut server = Server::open(&SMALL);
    let (socket, _peer) = UnixStream::pair().unwrap();
    server.ring.install(INDEX, socket.as_fd()).unwrap();
    let key = server.slots.insert_at(INDEX, ());
    // SAFETY: geteuid(2) takes nothing and cannot fail.
    let user = unsafe { libc::geteuid() };
    let found = peer(&mut server, key, AddressFamily::Unix);
    assert_eq!(found, Some(Peer::User(user)));
}

#[test]
fn the_address_of_a_peer_is_looked_up_at_any_time() {
    let mut server = Server::open(&SMALL);
    let clients: Vec<_> = (0..3).map(|_| server.pair()).collect();
    let in_flight = server.ring.in_flight();
    for (client, key) in &clients {
        let expected = client.local_addr().unwrap().ip();
        for _ in 0..2 {
            let found = address(&mut server, *key, AddressFamily::V4);
            assert_eq!(found, Some(expected));
        }
    }
    assert_eq!(server.ring.in_flight(), in_flight);
}

#[test]
fn a_listener_on_ipv6_names_peers_of_both_families() {
    let any: SocketAddr = "[::]:0".parse().unwrap();
    let mut server = Server::listening_on(any, &SMALL);
    let port = server
        .listener
        .local_addr()
        .unwrap()
        .as_socket()
        .unwrap()
        .port();
    for to in ["127.0.0.1", "::1"] {
        let to: IpAddr = to.parse().unwrap();
        let _client = TcpStream::connect((to, port)).unwrap();
        let key = server.accepted();
        assert_eq!(address(&mut server, key, AddressFamily::V6), Some(to));
    }
}

#[test]
fn a_look_up_and_a_close_behind_it_keep_their_order() {
    let mut server = Server::open(&SMALL);
    let (client, key) = server.pair();
    server.ring.look_up_peer(key, AddressFamily::V4);
    server.close(key);
    let found = server
        .waiting
        .iter()
        .find_map(|completion| match completion {
            Completion::PeerFound { peer, .. } => *peer,
            _ => None,
        });
    let address = client.local_addr().unwrap().ip();
    assert_eq!(found, Some(Peer::Address(address)));
}
