//! Handshakes: versions, protocols, resumption, bytes that are none.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::{ClientConfig, HandshakeKind, ServerConfig};

use super::{Client, Handshake, NAME, Step, open_all, pair, shake_hands};
use crate::profile::Tls;
use crate::transport::tls::config::{TlsSource, TlsView};
use crate::transport::tls::handshake::INPUT_BYTES_MAX;

fn changed(config: &Arc<ClientConfig>, change: impl Fn(&mut ClientConfig)) -> Arc<ClientConfig> {
    let mut config = ClientConfig::clone(config);
    config.resumption = Resumption::disabled();
    change(&mut config);
    Arc::new(config)
}

#[test]
fn only_http_1_1_is_offered_by_alpn() {
    let (_authority, server, config) = pair();
    let check = |protocols: &[&[u8]], agreed: Result<Option<&[u8]>, &str>| {
        let config = changed(&config, |config| {
            config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
        });
        let mut client = Client::new(&config, NAME);
        let outcome = shake_hands(&mut client, &server);
        match agreed {
            Ok(agreed) => {
                outcome.unwrap();
                assert_eq!(client.tls.alpn_protocol(), agreed);
            }
            Err(expected) => {
                let error = outcome.err().unwrap();
                assert!(error.contains(expected), "{error}");
            }
        }
    };
    check(&[], Ok(None));
    check(&[b"http/1.1"], Ok(Some(b"http/1.1")));
    check(&[b"h2", b"http/1.1"], Ok(Some(b"http/1.1")));
    check(&[b"h2"], Err("received fatal alert: NoApplicationProtocol"));
}

#[test]
fn a_session_is_resumed_on_any_shard_and_after_a_reload() {
    let (authority, _, _) = pair();
    let tls = Tls {
        certificates: vec![authority.server_files("server", &[NAME])],
        ..Tls::default()
    };
    let source = TlsSource::read(&tls).unwrap();
    let (mut first, mut second) = (source.view(), source.view());
    // It keeps the tickets that it gets.
    let config = authority.client_config();
    let connect = |view: &mut TlsView, expected| {
        let mut client = Client::new(&config, NAME);
        let established = shake_hands(&mut client, &view.current()).unwrap();
        assert_eq!(client.tls.handshake_kind(), Some(expected));
        assert_eq!(established.is_resumed, expected == HandshakeKind::Resumed);
    };
    connect(&mut first, HandshakeKind::Full);
    connect(&mut second, HandshakeKind::Resumed);
    connect(&mut first, HandshakeKind::Resumed);
    source.reload(&tls).unwrap();
    connect(&mut second, HandshakeKind::Resumed);
}

#[test]
fn no_data_is_taken_in_the_first_flight() {
    let (_authority, server, config) = pair();
    let mut config = ClientConfig::clone(&config);
    config.enable_early_data = true;
    let config = Arc::new(config);
    for _ in 0..2 {
        let mut client = Client::new(&config, NAME);
        assert!(client.tls.early_data().is_none());
        shake_hands(&mut client, &server).unwrap();
    }
}

/// As after the replacement of a server that had a name before, and took such data.
#[test]
fn data_in_the_first_flight_is_skipped() {
    let (authority, server, config) = pair();
    let mut other = ServerConfig::builder()
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&server.cert_resolver));
    other.max_early_data_size = 1 << 16;
    let mut config = ClientConfig::clone(&config);
    config.enable_early_data = true;
    let config = Arc::new(config);
    let mut first = Client::new(&config, NAME);
    let mut before = rustls::ServerConnection::new(Arc::new(other)).unwrap();
    while first.tls.is_handshaking() || first.tls.wants_write() || before.wants_write() {
        before.read_tls(&mut &first.output()[..]).unwrap();
        before.process_new_packets().unwrap();
        let mut out = Vec::new();
        while before.wants_write() {
            before.write_tls(&mut out).unwrap();
        }
        first.take(&out).unwrap();
    }
    let early = vec![b'e'; 3 << 14];
    let mut client = Client::new(&config, NAME);
    let mut writer = client.tls.early_data().expect("the ticket allows it");
    std::io::Write::write_all(&mut writer, &early).unwrap();
    shake_hands(&mut client, &server).unwrap();
    assert!(!client.tls.is_early_data_accepted());
    drop(authority);
}

#[test]
fn bytes_that_are_no_handshake_get_an_alert() {
    let (_authority, server, _) = pair();
    let tls_1_2 = include_bytes!("hello-1.2.bin");
    let check = |input: &[u8], alert: u8| {
        let mut input = input.to_vec();
        let mut out = Vec::new();
        let handshake = Handshake::new(Arc::clone(&server)).unwrap();
        let step = handshake.advance(&mut input, &mut out);
        assert!(step.is_err());
        assert_eq!(out[..5], [21, 3, 3, 0, 2], "{out:?}");
        assert_eq!(out[5..], [2, alert]);
    };
    const UNEXPECTED_MESSAGE: u8 = 10;
    const DECODE_ERROR: u8 = 50;
    const RECORD_OVERFLOW: u8 = 22;
    const PROTOCOL_VERSION: u8 = 70;
    check(b"SSH-2.0-OpenSSH_9.6\r\n", DECODE_ERROR);
    check(&[0x17, 3, 3, 0, 3, 1, 2, 3], UNEXPECTED_MESSAGE);
    check(&[0x16, 3, 1, 0, 4, 14, 0, 0, 0], UNEXPECTED_MESSAGE);
    check(&[0x16, 3, 1, 0x40, 1, 1, 0, 0x3f], RECORD_OVERFLOW);
    check(tls_1_2, PROTOCOL_VERSION);
}

#[test]
fn a_handshake_may_arrive_byte_by_byte_and_with_the_first_data() {
    let (_authority, server, config) = pair();
    let mut client = Client::new(&config, NAME);
    let mut handshake = Handshake::new(server).unwrap();
    let (mut input, mut out) = (Vec::new(), Vec::new());
    for byte in client.output() {
        input.push(byte);
        match handshake.advance(&mut input, &mut out) {
            Ok(Step::Blocked(next)) => handshake = next,
            _ => panic!("it is not over"),
        }
    }
    assert!(!out.is_empty());
    client.take(&out).unwrap();
    input.extend(client.send(b"first"));
    input.extend(client.send(b" and second"));
    client.tls.send_close_notify();
    input.extend(client.output());
    let Ok(Step::Established(established)) = handshake.advance(&mut input, &mut out) else {
        panic!("it is over");
    };
    let mut session = established.session;
    assert_eq!(open_all(&mut session, input), b"first and second<closed>");
    assert!(session.is_read_closed());
}

/// The handshake records in `bytes`, again in records of at most `part_bytes`.
fn in_parts(mut bytes: &[u8], part_bytes: usize) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<5>() {
        let (body, after) = rest.split_at(usize::from(u16::from_be_bytes([header[3], header[4]])));
        assert_eq!(header[0], 22, "a handshake record");
        for part in body.chunks(part_bytes) {
            let [high, low] = (part.len() as u16).to_be_bytes();
            records.push([&[22, 3, 1, high, low], part].concat());
        }
        bytes = after;
    }
    records
}

#[test]
fn a_message_may_be_in_many_records_that_arrive_one_by_one() {
    let (_authority, server, config) = pair();
    for part_bytes in [1, 3, 4, 100, 1000] {
        let mut client = Client::new(&config, NAME);
        let mut handshake = Handshake::new(Arc::clone(&server)).unwrap();
        let (mut input, mut out) = (Vec::new(), Vec::new());
        for record in in_parts(&client.output(), part_bytes) {
            input.extend(record);
            match handshake.advance(&mut input, &mut out) {
                Ok(Step::Blocked(next)) => handshake = next,
                _ => panic!("records of {part_bytes} bytes: it is not over"),
            }
        }
        client.take(&out).unwrap();
        input.extend(client.send(b"first"));
        let Ok(Step::Established(established)) = handshake.advance(&mut input, &mut out) else {
            panic!("records of {part_bytes} bytes: it is over");
        };
        let mut session = established.session;
        assert_eq!(open_all(&mut session, input), b"first");
    }
}

#[test]
fn a_message_that_never_ends_is_refused() {
    // Of the longest message, that its header announces.
    const MESSAGE_BYTES: usize = 0xffff;
    let (_authority, server, _) = pair();
    let mut message = vec![0; MESSAGE_BYTES];
    message[..4].copy_from_slice(&[1, 0, 0xff, 0xff]);
    // The headers of records count: those of the smallest have five times the content.
    for (part_bytes, is_refused) in [(1, true), (1000, false)] {
        let mut handshake = Handshake::new(Arc::clone(&server)).unwrap();
        let mut input = Vec::new();
        let mut refusal = None;
        for part in message.chunks(part_bytes) {
            let [high, low] = (part.len() as u16).to_be_bytes();
            input.extend([&[22, 3, 1, high, low], part].concat());
            match handshake.advance(&mut input, &mut Vec::new()) {
                Ok(Step::Blocked(next)) => handshake = next,
                Ok(_) => panic!("it is not over"),
                Err(error) => {
                    refusal = Some(error.to_string());
                    break;
                }
            }
            assert!(input.len() <= INPUT_BYTES_MAX);
        }
        let expected = "more than 81920 bytes without a whole message".to_owned();
        assert_eq!(refusal, is_refused.then_some(expected), "{part_bytes}");
    }
}
