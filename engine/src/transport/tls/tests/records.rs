//! Records of an established connection.

use rustls::AlertDescription;

use super::{Client, NAME, RawPeer, open_all, pair, raw_pair, shake_hands};
use crate::transport::tls::fault::Fault;
use crate::transport::tls::record::{Content, PLAINTEXT_BYTES_MAX, RECORD_BYTES_MAX};
use crate::transport::tls::session::{Opened, Session};

/// More than one record, and more than rustls buffers.
pub(super) const LARGE_BYTES: usize = 3 << 20;

pub(super) fn sealed(session: &mut Session, plaintext: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    session.seal(plaintext, &mut out).unwrap();
    assert!(out.len() <= Session::sealed_bytes(plaintext.len()));
    out
}

/// Plaintext of any size arrives in both directions.
pub(super) fn check_sizes(client: &mut Client, session: &mut Session) {
    client.tls.set_buffer_limit(None);
    let sizes = [1, 100, PLAINTEXT_BYTES_MAX, PLAINTEXT_BYTES_MAX + 1];
    for bytes in sizes.into_iter().chain([LARGE_BYTES]) {
        let suite = client.tls.negotiated_cipher_suite();
        let plaintext: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
        let sent = client.send(&plaintext);
        assert!(open_all(session, sent) == plaintext, "{suite:?} {bytes}");
        let sent = sealed(session, &plaintext);
        let taken = client.take(&sent).unwrap();
        assert!(taken == plaintext, "{suite:?} {bytes}");
        session.shed();
    }
}

#[test]
fn plaintext_arrives_in_both_directions_in_any_size() {
    let (_authority, server, config) = pair();
    let mut client = Client::new(&config, NAME);
    let session = &mut shake_hands(&mut client, &server).unwrap().session;
    check_sizes(&mut client, session);
    assert!(sealed(session, b"").is_empty());
}

#[test]
fn the_length_of_a_record_is_known_from_its_header_on() {
    let (mut session, mut peer) = raw_pair();
    let mut record = peer.record(Content::ApplicationData, b"abc");
    for bytes in 0..5 {
        assert_eq!(session.record_bytes(&record[..bytes]), Ok(None));
    }
    assert_eq!(session.record_bytes(&record), Ok(Some(record.len())));
    let opened = session.open(&mut record).unwrap();
    assert_eq!(opened, Opened::Data(&mut b"abc".to_vec()[..]));
    let longest = [23, 3, 3, 0x41, 0x00];
    assert_eq!(session.record_bytes(&longest), Ok(Some(RECORD_BYTES_MAX)));
}

/// The alert for this input, of which each part is a record.
fn alert_for(records: impl Fn(&mut RawPeer) -> Vec<Vec<u8>>) -> Option<AlertDescription> {
    let (level, alert) = alert_of(raw_pair(), records)?;
    assert_eq!(level, 2, "a fatal alert");
    Some(alert)
}

/// The same for this pair, with the level of the alert.
pub(super) fn alert_of(
    (mut session, mut peer): (Session, RawPeer),
    records: impl Fn(&mut RawPeer) -> Vec<Vec<u8>>,
) -> Option<(u8, AlertDescription)> {
    let mut fault: Option<Fault> = None;
    for mut record in records(&mut peer) {
        assert!(fault.is_none(), "a record after a fault");
        fault = match session.record_bytes(&record) {
            Err(fault) => Some(fault),
            Ok(_) => session.open(&mut record).err(),
        };
    }
    let fault = fault.expect("a fault");
    let mut out = Vec::new();
    session.fail(fault, &mut out);
    assert!(session.is_write_closed());
    // Nothing follows a fault.
    session.seal(b"more", &mut out).unwrap();
    session.close(&mut out).unwrap();
    match peer.take(out)[..] {
        [] => None,
        [(Content::Alert, ref alert)] => Some((alert[0], alert[1].into())),
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn each_fault_of_a_peer_has_its_alert() {
    use AlertDescription as Alert;
    let check = |alert: Option<Alert>, content: Content, parts: &[&[u8]]| {
        let records = |peer: &mut RawPeer| {
            let records = parts.iter().map(|part| peer.record(content, part));
            records.collect()
        };
        assert_eq!(alert_for(records), alert, "{content:?} {parts:?}");
    };
    let unexpected = Some(Alert::UnexpectedMessage);
    check(unexpected, Content::Alert, &[b""]);
    check(Some(Alert::DecodeError), Content::Alert, &[b"\x02"]);
    check(Some(Alert::DecodeError), Content::Alert, &[b"\x02\x00\x00"]);
    // Its own alerts get none in return.
    check(None, Content::Alert, &[b"\x02\x14"]);
    check(None, Content::Alert, &[b"\x01\x14"]);
    check(unexpected, Content::Handshake, &[b""]);
    // ClientHello: there is no renegotiation.
    check(unexpected, Content::Handshake, &[b"\x01\x00\x00\x01\x00"]);
    check(
        unexpected,
        Content::Handshake,
        &[b"\x18\x00\x00\x01\x00\x18"],
    );
    check(
        Some(Alert::DecodeError),
        Content::Handshake,
        &[b"\x18\x00\x00\x02\x00\x00"],
    );
    check(
        Some(Alert::DecodeError),
        Content::Handshake,
        &[b"\x18\x00", b"\x00\x00"],
    );
    check(
        Some(Alert::IllegalParameter),
        Content::Handshake,
        &[b"\x18\x00\x00\x01\x02"],
    );
    let empty: &[u8] = b"";
    check(unexpected, Content::ApplicationData, &[empty; 33]);
    let padding: &[u8] = b"\x01\x5a";
    check(unexpected, Content::Alert, &[padding; 33]);
}

#[test]
fn records_that_are_altered_or_of_another_kind_end_the_connection() {
    let alter = |at: usize| {
        alert_for(move |peer| {
            let mut record = peer.record(Content::ApplicationData, b"abc");
            record[at] ^= 1;
            vec![record]
        })
    };
    // Of the version, which is authenticated; the content; the type; the tag.
    for at in [1, 2, 5, 8, 9, 24] {
        assert_eq!(alter(at), Some(AlertDescription::BadRecordMac), "{at}");
    }
    assert_eq!(alter(0), Some(AlertDescription::UnexpectedMessage));
    let twice = alert_for(|peer| {
        let record = peer.record(Content::ApplicationData, b"abc");
        vec![record.clone(), record]
    });
    assert_eq!(twice, Some(AlertDescription::BadRecordMac));
    for kind in [20, 21, 22, 24, b'G', 0x80] {
        let record = move |_: &mut RawPeer| vec![vec![kind, 3, 3, 0, 1, 1]];
        assert_eq!(alert_for(record), Some(AlertDescription::UnexpectedMessage));
    }
    let short = |_: &mut RawPeer| vec![vec![23, 3, 3, 0, 3, 1, 2, 3]];
    assert_eq!(alert_for(short), Some(AlertDescription::BadRecordMac));
    let long = |_: &mut RawPeer| vec![vec![23, 3, 3, 0x41, 0x01]];
    assert_eq!(alert_for(long), Some(AlertDescription::RecordOverflow));
}

#[test]
fn both_sides_end_their_direction_and_nothing_follows() {
    let (_authority, server, config) = pair();
    let mut client = Client::new(&config, NAME);
    let session = &mut shake_hands(&mut client, &server).unwrap().session;
    let mut sent = client.send(b"last");
    client.tls.send_close_notify();
    sent.extend(client.output());
    assert_eq!(open_all(session, sent), b"last<closed>");
    // Its answer still arrives.
    let answer = sealed(session, b"answer");
    assert_eq!(client.take(&answer).unwrap(), b"answer");
    let mut out = Vec::new();
    session.close(&mut out).unwrap();
    let end_bytes = out.len();
    session.seal(b"more", &mut out).unwrap();
    session.close(&mut out).unwrap();
    assert_eq!(out.len(), end_bytes);
    client.tls.read_tls(&mut &out[..]).unwrap();
    let state = client.tls.process_new_packets().unwrap();
    assert!(state.peer_has_closed());
}

#[test]
fn bytes_after_the_end_of_a_peer_are_ignored() {
    let (mut session, mut peer) = raw_pair();
    let mut end = peer.record(Content::Alert, &[1, 0]);
    let mut more = peer.record(Content::ApplicationData, b"more");
    assert_eq!(session.open(&mut end), Ok(Opened::Closed));
    assert_eq!(session.open(&mut more), Ok(Opened::Closed));
    assert_eq!(session.open(&mut [23, 3, 3, 0, 1, 1]), Ok(Opened::Closed));
}

#[test]
fn keys_are_renewed_when_a_peer_does_it() {
    let (_authority, server, config) = pair();
    let mut client = Client::new(&config, NAME);
    let session = &mut shake_hands(&mut client, &server).unwrap().session;
    for round in 0..100_u8 {
        client.tls.refresh_traffic_keys().unwrap();
        let sent = client.send(&[round]);
        assert_eq!(open_all(session, sent), [round]);
        assert!(session.has_output(), "the other direction is renewed, too");
        let answer = sealed(session, &[round]);
        assert!(!session.has_output());
        assert_eq!(client.take(&answer).unwrap(), [round]);
    }
}

#[test]
fn a_message_may_arrive_in_parts_but_not_with_others_between() {
    let update = [24, 0, 0, 1, 0];
    for at in 1..update.len() {
        let (mut session, mut peer) = raw_pair();
        for part in [&update[..at], &update[at..]] {
            let mut record = peer.record(Content::Handshake, part);
            assert_eq!(session.open(&mut record), Ok(Opened::Nothing));
        }
        assert!(!session.has_output(), "it did not request one");
        let alert = alert_for(|peer| {
            let part = peer.record(Content::Handshake, &update[..at]);
            vec![part, peer.record(Content::ApplicationData, b"abc")]
        });
        assert_eq!(alert, Some(AlertDescription::UnexpectedMessage));
    }
}

#[test]
fn a_key_for_sending_is_renewed_before_its_limit() {
    let (mut session, mut peer) = raw_pair();
    // AES-256-GCM: 2^24 records, less a margin of 2^20.
    let near = (1 << 24) - (1 << 20) - 1;
    session.skip_to(near);
    peer.rx.skip_to(near);
    let contents = peer.take(sealed(&mut session, b"abc"));
    assert_eq!(contents, [(Content::ApplicationData, b"abc".to_vec())]);
    let mut out = sealed(&mut session, b"abc");
    let rest = out.split_off(session.record_bytes(&out).unwrap().unwrap());
    let contents = peer.take(out);
    assert_eq!(contents, [(Content::Handshake, vec![24, 0, 0, 1, 0])]);
    // The next record has another key.
    let mut rest = rest;
    assert!(peer.rx.open(&mut rest).is_err());
}
