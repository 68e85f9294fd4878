//! Several listeners of one server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use corelane_tests::connection::Connection;
use corelane_tests::{Request, Setup};
use serde_json::json;

/// The server answers a call at `address`.
#[track_caller]
fn check(address: SocketAddr) {
    let mut connection = Connection::open(address).expect("it listens");
    let call = json!({"name": "echo", "arguments": {"message": "hello"}});
    let response = connection.exchange(&Request::modern(1, "tools/call", call));
    assert_eq!(response.status(), 200, "{address}: {response:?}");
}

#[test]
fn every_address_is_served_by_every_shard() {
    let server = Setup::shards(2)
        .demo("basic")
        .listen("http://[::1]:0")
        .listen("[::]:0")
        .start();
    let addresses = server.addresses().iter();
    let addresses: Vec<SocketAddr> = addresses
        .map(|text| {
            text.trim_start_matches("http://")
                .parse()
                .expect("an address")
        })
        .collect();
    let [v4, v6, both] = addresses[..] else {
        panic!("{addresses:?}");
    };
    assert_eq!(
        (v4, v6.ip()),
        (server.address(), Ipv6Addr::LOCALHOST.into())
    );
    assert!(both.ip().is_unspecified(), "{both}");
    let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    for _ in 0..8 {
        check(v4);
        check(v6);
        for ip in loopback {
            check(SocketAddr::new(ip, both.port()));
        }
    }
    let (other, port) = (loopback[0], v6.port());
    assert!(Connection::open(SocketAddr::new(other, port)).is_err());
}
