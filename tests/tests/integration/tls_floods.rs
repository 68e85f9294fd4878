//! Floods of TLS handshakes from one address: they end handshakes of that address alone.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::sync::Arc;

use corelane_tests::{Authority, PATIENCE, Request, Server, Setup, Totals};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use serde_json::json;

/// Handshakes that may be under way.
const HANDSHAKES_MAX: usize = 64;
/// The start of a first message of 512 bytes.
const HELLO_START: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];

const FLOOD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// How the address of a client becomes known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Naming {
    /// By its socket.
    Socket,
    /// By a header of the PROXY protocol.
    Header,
}

fn start(naming: Naming) -> Server {
    let proxies = match naming {
        Naming::Socket => "",
        Naming::Header => "[server]\nproxy_protocol_from = [\"127.0.0.1\"]\n",
    };
    let limits = format!("handshakes_max = {HANDSHAKES_MAX}\nhandshake_timeout_ms = 600000");
    let authority = Authority::shared();
    Setup::shards(1)
        .profile(&format!("{proxies}[log]\nformat = \"json\""))
        .secured_for(authority, authority.client(), &limits)
        .start()
}

fn connect(server: &Server, client: Ipv4Addr, naming: Naming) -> TcpStream {
    let source = match naming {
        Naming::Socket => client,
        Naming::Header => Ipv4Addr::LOCALHOST,
    };
    let connection = server.connect_from(IpAddr::from(source));
    let mut socket = connection.stream().try_clone().expect("a descriptor");
    socket
        .set_read_timeout(Some(PATIENCE))
        .expect("it is valid");
    if naming == Naming::Header {
        let header = format!("PROXY TCP4 {client} 198.51.100.1 1 2\r\n");
        socket.write_all(header.as_bytes()).expect("it is sent");
    }
    socket
}

/// A client that has sent a part of its first message.
struct SlowClient {
    tls: ClientConnection,
    socket: TcpStream,
    rest: Vec<u8>,
}

impl SlowClient {
    fn begin(mut socket: TcpStream, config: &Arc<ClientConfig>) -> SlowClient {
        let name = ServerName::try_from("localhost").expect("a name");
        let mut tls = ClientConnection::new(Arc::clone(config), name).expect("it is valid");
        let mut hello = Vec::new();
        tls.write_tls(&mut hello).expect("it is memory");
        let rest = hello.split_off(HELLO_START.len());
        socket.write_all(&hello).expect("it is read");
        SlowClient { tls, socket, rest }
    }

    /// Ends the handshake and calls a tool.
    #[track_caller]
    fn check(mut self, server: &Server) {
        self.socket.write_all(&self.rest).expect("it is read");
        let call = Request::modern_call("echo", json!({ "message": "served" }));
        let call = call.field("Connection", "close");
        let mut stream = rustls::Stream::new(&mut self.tls, &mut self.socket);
        stream
            .write_all(&call.to_bytes(server.address()))
            .expect("the handshake ends");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.contains("served"), "{answer}");
    }
}

fn check_flood(naming: Naming) {
    let server = start(naming);
    let config = Authority::shared().client();
    let open = |client| connect(&server, client, naming);
    let before = SlowClient::begin(open(CLIENT), &config);
    let mut flood: Vec<TcpStream> = Vec::new();
    for _ in 0..2 * HANDSHAKES_MAX {
        let mut socket = open(FLOOD);
        socket.write_all(HELLO_START).expect("it is read");
        flood.push(socket);
    }
    let during = SlowClient::begin(open(CLIENT), &config);
    // Half of them are too many. One more after that client is one more that ends.
    for _ in 0..HANDSHAKES_MAX {
        let mut socket = open(FLOOD);
        socket.write_all(HELLO_START).expect("it is read");
        flood.push(socket);
    }
    for socket in &mut flood[..2 * HANDSHAKES_MAX] {
        // An end, or a reset.
        let end = socket.read(&mut [0; 64]);
        assert!(end.is_err() || end.is_ok_and(|bytes| bytes == 0));
    }
    before.check(&server);
    during.check(&server);
    drop(flood);
    let totals = Totals::of_end(&server, || server.log());
    let evicted = totals.value("tls_handshakes", "evicted");
    assert!(evicted >= 2 * HANDSHAKES_MAX as u64, "{totals}");
}

#[test]
fn a_flood_from_one_address_ends_no_handshake_of_another() {
    check_flood(Naming::Socket);
}

#[test]
fn a_flood_of_one_client_of_a_proxy_ends_no_handshake_of_another() {
    check_flood(Naming::Header);
}
