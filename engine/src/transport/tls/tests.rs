//! Handshakes and records against the client of rustls, without a socket.

mod authority;
mod handshakes;
mod names;
mod records;
mod reloads;
mod tls12;

use std::sync::Arc;

use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{ClientConfig, ClientConnection, ServerConfig};

use self::authority::Authority;
use super::config::TlsSource;
use super::handshake::{Established, Handshake, Step};
use super::record::{Content, Direction};
use super::session::{Opened, Session};
use crate::profile::Tls;

/// The name that clients request.
const NAME: &str = "mcp.example.com";

/// A configuration with one certificate, and a client that trusts it.
fn pair() -> (Authority, Arc<ServerConfig>, Arc<ClientConfig>) {
    let authority = Authority::new();
    let tls = Tls {
        certificates: vec![authority.server_files("server", &[NAME])],
        ..Tls::default()
    };
    let server = server_config(&tls);
    let client = authority.client_config();
    (authority, server, client)
}

fn server_config(tls: &Tls) -> Arc<ServerConfig> {
    TlsSource::read(tls).unwrap().view().current()
}

/// A client at work.
struct Client {
    tls: ClientConnection,
}

impl Client {
    fn new(config: &Arc<ClientConfig>, name: &'static str) -> Client {
        let name = name.try_into().unwrap();
        let tls = ClientConnection::new(Arc::clone(config), name).unwrap();
        Client { tls }
    }

    /// All bytes that it has to send.
    fn output(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    /// Takes bytes of the server; returns the plaintext in them.
    fn take(&mut self, mut bytes: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let mut plaintext = Vec::new();
        while !bytes.is_empty() {
            self.tls.read_tls(&mut bytes).unwrap();
            let state = self.tls.process_new_packets()?;
            let start = plaintext.len();
            plaintext.resize(start + state.plaintext_bytes_to_read(), 0);
            std::io::Read::read_exact(&mut self.tls.reader(), &mut plaintext[start..]).unwrap();
        }
        Ok(plaintext)
    }

    fn send(&mut self, plaintext: &[u8]) -> Vec<u8> {
        std::io::Write::write_all(&mut self.tls.writer(), plaintext).unwrap();
        self.output()
    }
}

/// Does a handshake to its end. An error is that of the side that found it, as text.
fn shake_hands(
    client: &mut Client,
    server: &Arc<ServerConfig>,
) -> Result<Box<Established>, String> {
    let mut handshake = Handshake::new(Arc::clone(server)).unwrap();
    let mut input = Vec::new();
    loop {
        input.extend(client.output());
        let mut out = Vec::new();
        let step = handshake.advance(&mut input, &mut out);
        let taken = client.take(&out);
        match (step, taken) {
            (Ok(Step::Established(established)), Ok(plaintext)) => {
                assert!(input.is_empty() && plaintext.is_empty());
                return Ok(established);
            }
            (Ok(Step::Blocked(next)), Ok(_)) => handshake = next,
            (Ok(Step::Closed), _) => return Err("closed".to_owned()),
            // The client's view of an alert, which is what it can act on.
            (Err(error), Err(alert)) => return Err(format!("{error} / {alert}")),
            (Err(error), Ok(_)) => return Err(error.to_string()),
            (Ok(_), Err(error)) => return Err(error.to_string()),
        }
    }
}

/// The records in `bytes`, each opened; the last one is whole.
fn open_all(session: &mut Session, mut bytes: Vec<u8>) -> Vec<u8> {
    let mut plaintext = Vec::new();
    while !bytes.is_empty() {
        let length = session.record_bytes(&bytes).unwrap().unwrap();
        match session.open(&mut bytes[..length]).unwrap() {
            Opened::Data(data) => plaintext.extend_from_slice(data),
            Opened::Nothing => {}
            Opened::Closed => plaintext.extend_from_slice(b"<closed>"),
        }
        bytes.drain(..length);
    }
    plaintext
}

/// A peer that sends records of any kind.
struct RawPeer {
    tx: Direction,
    rx: Direction,
}

/// A session, and its peer after the handshake.
fn raw_pair() -> (Session, RawPeer) {
    let (_authority, server, config) = pair();
    raw_pair_of(&server, &config)
}

fn raw_pair_of(server: &Arc<ServerConfig>, config: &ClientConfig) -> (Session, RawPeer) {
    let mut config = config.clone();
    config.enable_secret_extraction = true;
    config.resumption = Resumption::disabled();
    let name = NAME.try_into().unwrap();
    let mut client = UnbufferedClientConnection::new(Arc::new(config), name).unwrap();
    let mut handshake = Some(Handshake::new(Arc::clone(server)).unwrap());
    let (mut to_client, mut to_server) = (Vec::new(), Vec::new());
    let mut established = None;
    loop {
        let UnbufferedStatus { discard, state } = client.process_tls_records(&mut to_client);
        let mut is_blocked = false;
        match state.unwrap() {
            ConnectionState::EncodeTlsData(mut data) => {
                let Err(EncodeError::InsufficientSize(needed)) = data.encode(&mut []) else {
                    panic!("a record of no bytes");
                };
                let start = to_server.len();
                to_server.resize(start + needed.required_size, 0);
                data.encode(&mut to_server[start..]).unwrap();
            }
            ConnectionState::TransmitTlsData(transmit) => transmit.done(),
            ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_) => {
                is_blocked = true;
            }
            other => panic!("{other:?}"),
        }
        to_client.drain(..discard);
        if is_blocked && established.is_some() {
            break;
        }
        if let Some(handshake_now) = handshake.take_if(|_| is_blocked) {
            match handshake_now.advance(&mut to_server, &mut to_client) {
                Ok(Step::Blocked(next)) => handshake = Some(next),
                Ok(Step::Established(made)) => established = Some(made),
                _ => panic!("the handshake failed"),
            }
        }
    }
    let (secrets, keys) = client.dangerous_into_kernel_connection().unwrap();
    let version = keys.protocol_version();
    let peer = RawPeer {
        tx: Direction::new(version, secrets.tx),
        rx: Direction::new(version, secrets.rx),
    };
    (established.unwrap().session, peer)
}

impl RawPeer {
    fn record(&mut self, content: Content, bytes: &[u8]) -> Vec<u8> {
        let mut record = Vec::new();
        self.tx.seal(content, bytes, &mut record).unwrap();
        record
    }

    /// The contents of the records in `bytes`.
    fn take(&mut self, mut bytes: Vec<u8>) -> Vec<(Content, Vec<u8>)> {
        let mut contents = Vec::new();
        while !bytes.is_empty() {
            let length = self.rx.record_bytes(&bytes).unwrap().unwrap();
            let (content, opened) = self.rx.open(&mut bytes[..length]).unwrap();
            contents.push((content, opened.to_vec()));
            bytes.drain(..length);
        }
        contents
    }
}
