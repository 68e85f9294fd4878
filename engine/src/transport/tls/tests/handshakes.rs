//! Handshakes: versions, protocols, resumption, bytes that are none.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::{ClientConfig, HandshakeKind};

use super::{Client, Handshake, NAME, Step, open_all, pair, shake_hands};
use crate::profile::Tls;
use crate::transport::tls::config::{TlsSource, TlsView};

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
    const PROTOCOL_VERSION: u8 = 70;
    check(b"SSH-2.0-OpenSSH_9.6\r\n", DECODE_ERROR);
    check(&[0x17, 3, 3, 0, 3, 1, 2, 3], UNEXPECTED_MESSAGE);
    check(&[0x16, 3, 1, 0, 4, 14, 0, 0, 0], UNEXPECTED_MESSAGE);
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
