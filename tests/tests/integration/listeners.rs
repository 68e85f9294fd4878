//! Several listeners of one server.

use std::collections::HashSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;

use corelane::{Call, ListenAddress, Tool};
use corelane_tests::client::{call, modern};
use corelane_tests::request::LEGACY;
use corelane_tests::{Client, Connection, Request, Setup, wait_until};
use serde_json::json;
use tempfile::TempDir;

use crate::fixture::Fixture;

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
        .profile(
            "[server]\nbehind_tls_proxy = true\npublic_without_auth = true\n\
             allowed_hosts = [\"127.0.0.1\", \"[::1]\"]",
        )
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

/// A directory for sockets, and the address of one in it.
fn socket() -> (TempDir, String) {
    let directory = TempDir::new().expect("a directory");
    let address = format!("unix://{}/socket", directory.path().display());
    (directory, address)
}

#[test]
fn a_unix_socket_is_served_by_every_shard_and_its_file_ends_with_the_server() {
    let (directory, address) = socket();
    let server = Setup::shards(2)
        .demo("basic")
        .listen(&format!("http+{address}"))
        .start();
    let path = directory.path().join("socket");
    let metadata = fs::metadata(&path).expect("it is there");
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let mut homes = HashSet::new();
    let mut open = Vec::new();
    for _ in 0..16 {
        let mut stream = UnixStream::connect(&path).expect("it listens");
        let request = Request::initialize(LEGACY).to_bytes(server.address());
        stream.write_all(&request).expect("it is served");
        let mut answer = vec![0; 4096];
        let count = stream.read(&mut answer).expect("an answer");
        let answer = String::from_utf8_lossy(&answer[..count]).to_ascii_lowercase();
        let (_, id) = answer.split_once("mcp-session-id: ").expect("a session");
        homes.insert(id[..4].to_owned());
        open.push(stream);
    }
    assert_eq!(homes.len(), 2, "{homes:?}");
    server.signal("TERM");
    assert!(server.wait_for_exit().success());
    assert!(!path.exists());
}

#[test]
fn the_socket_of_a_killed_server_is_replaced_and_that_of_a_running_one_is_not() {
    let (directory, address) = socket();
    let path = directory.path().join("socket");
    // Dropping a server kills it.
    drop(Setup::shards(1).listen(&address).start());
    assert!(path.exists());
    // The kernel ends the rings of a killed process, and with them its listener, a little later.
    wait_until("the end of the listener", || {
        UnixStream::connect(&path).is_err().then_some(())
    });
    let server = Setup::shards(1).listen(&address).start();
    let second = Setup::bare(&["--listen", &address]).run_to_end();
    let expected = format!("{} is taken: stop the program", path.display());
    assert_eq!(second.code, Some(1), "{}", second.error);
    assert!(second.error.contains(&expected), "{}", second.error);
    let mut client = Client::of_lines(&address);
    let answer = client.exchange(&modern(1, "tools/list", json!({})));
    assert!(answer["result"].is_object(), "{answer}");
    assert!(server.log().contains("listening on"));
}

#[test]
fn the_principal_of_a_client_on_a_unix_socket_is_the_user_of_its_process() {
    let (directory, address) = socket();
    let own = fs::metadata(directory.path()).expect("it is there").uid();
    for user_is_principal in [true, false] {
        let fixture = Fixture::with(
            1,
            |profile| {
                let unix: ListenAddress = address.parse().expect("an address");
                profile.server.listen.push(unix);
                profile.unix.user_is_principal = user_is_principal;
            },
            |server| {
                let who = async |call: &Call, _: serde_json::Value| {
                    let principal = call.principal();
                    Ok(principal.unwrap_or_else(|| "anonymous".to_owned()))
                };
                let schema = r#"{"type":"object"}"#;
                server.with_tool(Tool::from_schema("who", "d", schema, who))
            },
        );
        let mut client = Client::of_lines(&address);
        let answer = client.exchange(&modern(1, "tools/call", call("who", json!({}))));
        let expected = match user_is_principal {
            true => format!("unix:uid={own}"),
            false => "anonymous".to_owned(),
        };
        assert_eq!(
            answer["result"]["content"][0]["text"], *expected,
            "{answer}"
        );
        drop(fixture);
        assert!(!directory.path().join("socket").exists());
    }
}
