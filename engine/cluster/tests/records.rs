//! Records in the store: golden files of each level, and the refusal of other bytes.
//!
//! A golden file is never changed: a later version must read it. `CORELANE_WRITE_GOLDEN=1` writes
//! those that are missing.

use std::path::PathBuf;

use corelane_cluster::codec::{
    BadRecord, ENVELOPE_BYTES, Kind, PAYLOAD_BYTES_MAX, Written, decode, encode,
};
use corelane_cluster::id::{Birth, Process, SessionId};
use corelane_cluster::record::{Change, Record, State};
use serde::Serialize;
use serde::de::DeserializeOwned;

const WRITTEN: Written = Written {
    writer: Process {
        node: 3,
        incarnation: 7,
    },
    number: 0x0102_0304_0506_0708,
};

fn session(has_ended: bool) -> Record {
    let home = Process {
        node: 1,
        incarnation: 2,
    };
    Record {
        id: SessionId {
            home,
            shard: 5,
            random: 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff,
        },
        principal: "https://issuer.example alice".into(),
        birth: Birth {
            revision: 3,
            capabilities: 0b101,
            created_unix_s: 1_900_000_000,
        },
        owner: (!has_ended).then_some(WRITTEN.writer),
        formers: vec![home],
        recent: vec![
            Change::Level(6),
            Change::Subscribe("file:///a".into()),
            Change::Unsubscribe("file:///b".into()),
            Change::Stream(2, 1 << 48),
        ],
        has_ended,
        take_overs: 1,
        state: State {
            level: Some(6),
            uris: vec!["file:///a".into(), "db://täble".into()],
            streams: vec![(2, 1 << 48)],
        },
    }
}

/// Compares the bytes with the golden file, and reads it.
fn check<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
    name: &str,
    kind: Kind,
    value: &T,
) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let path = folder.join(name);
    let bytes = encode(kind, 1, WRITTEN, value).expect("the record is short");
    if std::env::var_os("CORELANE_WRITE_GOLDEN").is_some() && !path.exists() {
        std::fs::write(&path, &bytes).expect("the golden file is written");
    }
    let golden = std::fs::read(&path).expect("the golden file is there");
    assert_eq!(bytes, golden, "{name}: the format of level 1 has changed");
    assert_eq!(
        decode::<T>(kind, &golden).as_ref(),
        Ok(&(WRITTEN, read(&golden, kind)))
    );
    assert_eq!(&read::<T>(&golden, kind), value);
}

fn read<T: DeserializeOwned>(bytes: &[u8], kind: Kind) -> T {
    decode(kind, bytes).expect("the golden file is a record").1
}

#[test]
fn level_1_stays_as_it_is() {
    check("level1-session.bin", Kind::Session, &session(false));
    check("level1-ended.bin", Kind::Session, &session(true));
    check("level1-generation.bin", Kind::Generation, &0xfeed_u64);
    check("level1-node.bin", Kind::Node, &7_u16);
    check("level1-level.bin", Kind::Level, &1_u8);
}

#[test]
fn every_cut_and_every_changed_byte_is_refused() {
    let bytes = encode(Kind::Session, 1, WRITTEN, &session(false)).expect("the record is short");
    for length in 0..bytes.len() {
        let cut = decode::<Record>(Kind::Session, &bytes[..length]);
        assert_eq!(cut, Err(BadRecord::Envelope), "cut to {length} bytes");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    let longer = decode::<Record>(Kind::Session, &longer);
    assert_eq!(longer, Err(BadRecord::Envelope));
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            let result = decode::<Record>(Kind::Session, &changed);
            assert!(result.is_err(), "byte {at}, bit {bit}: {result:?}");
        }
    }
}

/// Bytes of an envelope with a right checksum around any payload.
fn wrapped(kind: u8, level: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = b"CL".to_vec();
    bytes.extend([kind, level]);
    let length = u32::try_from(payload.len()).expect("the payload is short");
    bytes.extend(length.to_le_bytes());
    bytes.extend([0; ENVELOPE_BYTES - 12]);
    let digest = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
    let mut digest = digest.digest();
    digest.update(&bytes);
    digest.update(payload);
    bytes.extend(digest.finalize().to_le_bytes());
    bytes.extend(payload);
    bytes
}

#[test]
fn kinds_levels_and_payloads_are_checked_after_the_checksum() {
    let is = |bytes: &[u8]| decode::<u16>(Kind::Node, bytes).map(|found| found.1);
    assert_eq!(is(&wrapped(3, 1, &[7])), Ok(7));
    assert_eq!(is(&wrapped(2, 1, &[7])), Err(BadRecord::Payload));
    assert_eq!(is(&wrapped(3, 2, &[7])), Err(BadRecord::Level(2)));
    assert_eq!(is(&wrapped(3, 0, &[7])), Err(BadRecord::Level(0)));
    assert_eq!(is(&wrapped(3, 1, &[7, 0])), Err(BadRecord::Payload));
    assert_eq!(is(&wrapped(3, 1, &[0xff])), Err(BadRecord::Payload));
    assert_eq!(is(&wrapped(3, 1, &[])), Err(BadRecord::Payload));
}

#[test]
fn a_record_that_is_too_long_is_refused() {
    let long = "x".repeat(PAYLOAD_BYTES_MAX);
    let result = encode(Kind::Session, 1, WRITTEN, &long);
    assert_eq!(result, Err(BadRecord::Length(PAYLOAD_BYTES_MAX + 3)));
}
