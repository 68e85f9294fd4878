//! TLS 1.2, where it is allowed.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
};
use rustls::{
    AlertDescription, ClientConfig, HandshakeKind, ProtocolVersion, ServerConfig,
    SupportedCipherSuite,
};

use super::records::{alert_of, check_sizes, sealed};
use super::{
    Authority, Client, NAME, RawPeer, open_all, pair, raw_pair_of, server_config, shake_hands,
};
use crate::profile::{Tls, TlsVersion};
use crate::transport::tls::record::{Content, PLAINTEXT_BYTES_MAX};
use crate::transport::tls::session::{Opened, Session};

const SUITES: [SupportedCipherSuite; 3] = [
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// A server that allows TLS 1.2, and its authority.
fn server() -> (Authority, Arc<ServerConfig>) {
    let authority = Authority::new();
    let tls = Tls {
        min_version: TlsVersion::Tls12,
        certificates: vec![authority.server_files("server", &[NAME])],
        ..Tls::default()
    };
    let server = server_config(&tls);
    (authority, server)
}

fn raw_pair(suite: SupportedCipherSuite) -> (Session, RawPeer) {
    let (authority, server) = server();
    raw_pair_of(&server, &authority.client_config_tls12(suite))
}

#[test]
fn it_is_refused_unless_it_is_allowed_and_1_3_is_preferred() {
    let (authority, only_1_3, _) = pair();
    let mut old = Client::new(&authority.client_config_tls12(SUITES[0]), NAME);
    let error = shake_hands(&mut old, &only_1_3).err().unwrap();
    assert!(
        error.contains("received fatal alert: ProtocolVersion"),
        "{error}"
    );
    let (authority, server) = server();
    for (config, version) in [
        (
            authority.client_config_tls12(SUITES[0]),
            ProtocolVersion::TLSv1_2,
        ),
        (authority.client_config(), ProtocolVersion::TLSv1_3),
    ] {
        let mut client = Client::new(&config, NAME);
        shake_hands(&mut client, &server).unwrap();
        assert_eq!(client.tls.protocol_version(), Some(version));
    }
}

#[test]
fn plaintext_arrives_in_both_directions_in_any_size() {
    let (authority, server) = server();
    for suite in SUITES {
        let mut client = Client::new(&authority.client_config_tls12(suite), NAME);
        let session = &mut shake_hands(&mut client, &server).unwrap().session;
        check_sizes(&mut client, session);
        client.tls.send_close_notify();
        assert_eq!(open_all(session, client.output()), b"<closed>");
        let mut out = Vec::new();
        session.close(&mut out).unwrap();
        client.tls.read_tls(&mut &out[..]).unwrap();
        assert!(client.tls.process_new_packets().unwrap().peer_has_closed());
    }
}

#[test]
fn a_session_is_resumed() {
    let (authority, server) = server();
    let config: Arc<ClientConfig> = authority.client_config_tls12(SUITES[0]);
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let mut client = Client::new(&config, NAME);
        let established = shake_hands(&mut client, &server).unwrap();
        assert_eq!(client.tls.handshake_kind(), Some(kind));
        assert_eq!(established.is_resumed, kind == HandshakeKind::Resumed);
        let mut session = established.session;
        let sent = client.send(b"first");
        assert_eq!(open_all(&mut session, sent), b"first");
    }
}

#[test]
fn records_that_are_altered_or_of_another_kind_end_the_connection() {
    let altered = Some((2, AlertDescription::BadRecordMac));
    let unexpected = Some((2, AlertDescription::UnexpectedMessage));
    for suite in SUITES {
        let alert_for =
            |records: &dyn Fn(&mut RawPeer) -> Vec<Vec<u8>>| alert_of(raw_pair(suite), records);
        let bytes = raw_pair(suite).1.record(Content::ApplicationData, b"abc");
        // Whatever its length says, a record has no other content than it was sealed with. The type
        // becomes that of an alert or a message, or of none.
        for at in (5..bytes.len()).chain([0]) {
            let mut alert = alert_for(&|peer| {
                let mut record = peer.record(Content::ApplicationData, b"abc");
                record[at] ^= if at == 0 { 2 } else { 1 };
                vec![record]
            });
            if at == 0 && alert.is_some() {
                alert = altered;
            }
            assert_eq!(alert, altered, "{suite:?} {at}");
        }
        let twice = alert_for(&|peer| {
            let record = peer.record(Content::ApplicationData, b"abc");
            vec![record.clone(), record]
        });
        assert_eq!(twice, altered);
        let short = alert_for(&|_| vec![vec![23, 3, 3, 0, 3, 1, 2, 3]]);
        assert_eq!(short, altered);
        for kind in [20, 24, b'G', 0x80] {
            let alert = alert_for(&|_| vec![vec![kind, 3, 3, 0, 1, 1]]);
            assert_eq!(alert, unexpected, "{kind}");
        }
        let long = alert_for(&|_| vec![vec![23, 3, 3, 0x41, 0x01]]);
        assert_eq!(long, Some((2, AlertDescription::RecordOverflow)));
        let mut overlong = [0; 5 + PLAINTEXT_BYTES_MAX + 25];
        let length = (overlong.len() - 5) as u16;
        overlong[..3].copy_from_slice(&[23, 3, 3]);
        overlong[3..5].copy_from_slice(&length.to_be_bytes());
        let overlong = alert_for(&|_| vec![overlong.to_vec()]);
        assert_eq!(overlong, Some((2, AlertDescription::RecordOverflow)));
    }
}

#[test]
fn there_is_no_renegotiation_and_warnings_are_bounded() {
    let alert_for =
        |records: &dyn Fn(&mut RawPeer) -> Vec<Vec<u8>>| alert_of(raw_pair(SUITES[0]), records);
    let hello: &[u8] = b"\x01\x00\x00\x01\x00";
    let renegotiation = alert_for(&|peer| vec![peer.record(Content::Handshake, hello)]);
    assert_eq!(renegotiation, Some((1, AlertDescription::NoRenegotiation)));
    let unexpected = Some((2, AlertDescription::UnexpectedMessage));
    // unrecognized_name, as a warning.
    let warnings = alert_for(&|peer| {
        let warning = |_| peer.record(Content::Alert, &[1, 112]);
        (0..33).map(warning).collect()
    });
    assert_eq!(warnings, unexpected);
    let fatal = alert_for(&|peer| vec![peer.record(Content::Alert, &[2, 112])]);
    assert_eq!(fatal, None);
    let (mut session, mut peer) = raw_pair(SUITES[0]);
    let mut record = peer.record(Content::Alert, &[1, 112]);
    assert_eq!(session.open(&mut record), Ok(Opened::Nothing));
}

#[test]
fn a_key_protects_no_more_records_than_it_may() {
    let (mut session, mut peer) = raw_pair(TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384);
    let near = (1 << 24) - (1 << 20) - 1;
    session.skip_to(near);
    peer.rx.skip_to(near);
    let contents = peer.take(sealed(&mut session, b"abc"));
    assert_eq!(contents, [(Content::ApplicationData, b"abc".to_vec())]);
    let error = session.seal(b"abc", &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "a key of TLS 1.2 cannot be renewed");
}
