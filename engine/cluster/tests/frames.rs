//! Messages between processes: golden bytes of each kind.
//!
//! Processes of two versions are in one cluster during an upgrade, so the bytes of a kind never
//! change: another content is another kind. `CORELANE_WRITE_GOLDEN=1` writes the line of a new one.

use std::fmt::Write as _;
use std::path::PathBuf;

use corelane_cluster::frame::{Envelope, Frame, Heartbeat, Request, Stage};
use corelane_cluster::id::{Birth, Process, SessionId, Tail};
use corelane_cluster::record::{Change, Record, State};
use corelane_cluster::refusal::{Busy, Missing};

const FROM: Process = Process {
    node: 3,
    incarnation: 7,
};
const SESSION: SessionId = SessionId {
    home: Process {
        node: 1,
        incarnation: 2,
    },
    shard: 5,
    random: 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff,
};

/// The name of a kind. A kind without one does not compile.
fn name(frame: &Frame) -> &'static str {
    match frame {
        Frame::Heartbeat(_) => "heartbeat",
        Frame::Superseded(_) => "superseded",
        Frame::Forward(..) => "forward",
        Frame::Accepted(_) => "accepted",
        Frame::NotHere(_) => "not_here",
        Frame::Moved(..) => "moved",
        Frame::Unknown(..) => "unknown",
        Frame::Busy(..) => "busy",
        Frame::Part(..) => "part",
        Frame::Credit(..) => "credit",
        Frame::Release(_) => "release",
        Frame::Released(..) => "released",
        Frame::Took(..) => "took",
        Frame::TookHeard(..) => "took_heard",
        Frame::Merge(..) => "merge",
        Frame::Update(..) => "update",
        Frame::Gap(..) => "gap",
        Frame::GapLost(..) => "gap_lost",
    }
}

/// Kinds in the order of their numbers on the wire.
const KINDS: usize = 18;

fn record() -> Record {
    Record {
        id: SESSION,
        principal: "alice".into(),
        birth: Birth {
            revision: 3,
            capabilities: 0b101,
            created_unix_s: 1_900_000_000,
        },
        owner: None,
        formers: vec![FROM],
        recent: vec![Change::Level(6)],
        has_ended: false,
        take_overs: 1,
        state: State {
            level: Some(6),
            uris: vec!["file:///a".into()],
            streams: vec![(2, 1 << 48)],
        },
    }
}

fn heartbeat() -> Heartbeat {
    Heartbeat {
        stage: Stage::Draining,
        unix_s: 1_900_000_000,
        level_max: 2,
        level: 1,
        keys: vec![1, u64::MAX],
        sealing_key: 1,
        lists: [0, 300, u64::MAX],
        updates: vec![(1_023, 1 << 40)],
        generation: 9,
    }
}

fn all() -> [Frame; KINDS] {
    let request = Request {
        session: SESSION,
        tail: std::array::from_fn::<u8, { size_of::<Tail>() }, _>(|at| at as u8),
        principal: "alice".into(),
        is_repeatable: true,
        body: br#"{"id":1}"#[..].into(),
    };
    [
        Frame::Heartbeat(Box::new(heartbeat())),
        Frame::Superseded(FROM),
        Frame::Forward(1, 60_000_000, Box::new(request)),
        Frame::Accepted(2),
        Frame::NotHere(3),
        Frame::Moved(4, FROM),
        Frame::Unknown(5, Missing::Ended),
        Frame::Busy(6, Busy::Suspect),
        Frame::Part(7, 300, true, b"bytes"[..].into()),
        Frame::Credit(8, 301),
        Frame::Release(SESSION),
        Frame::Released(9, 10, Box::new(record())),
        Frame::Took(SESSION, 9, 11),
        Frame::TookHeard(SESSION, 11),
        Frame::Merge(SESSION, vec![Change::Subscribe("file:///a".into())]),
        Frame::Update(1_023, 12, vec!["file:///a".into()]),
        Frame::Gap(1_023, 12),
        Frame::GapLost(1_023, 13),
    ]
}

fn bytes(frame: &Frame) -> Vec<u8> {
    let envelope = Envelope {
        from: FROM,
        sequence: 1 << 33,
        frame: frame.clone(),
    };
    postcard::to_allocvec(&envelope).expect("a message can be written")
}

#[test]
fn the_bytes_of_each_kind_are_those_of_the_first_version() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/frames.txt");
    let mut text = String::new();
    for frame in &all() {
        let digits = bytes(frame)
            .into_iter()
            .fold(String::new(), |mut all, byte| {
                write!(all, "{byte:02x}").expect("a string takes all");
                all
            });
        writeln!(text, "{} {digits}", name(frame)).expect("a string takes all");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    if std::env::var_os("CORELANE_WRITE_GOLDEN").is_some() && text.starts_with(&golden) {
        std::fs::write(&path, &text).expect("the golden file is written");
    }
    let golden = std::fs::read_to_string(&path).expect("the golden file is there");
    for (now, then) in text.lines().zip(golden.lines()) {
        assert_eq!(
            now, then,
            "the bytes of a kind have changed: add a kind instead"
        );
    }
    assert_eq!(text.lines().count(), golden.lines().count());
}

#[test]
fn each_kind_is_read_as_it_was_written_and_not_if_it_is_cut() {
    let frames = all();
    let names: std::collections::BTreeSet<&str> = frames.iter().map(name).collect();
    assert_eq!(names.len(), KINDS);
    for (number, frame) in frames.iter().enumerate() {
        let bytes = bytes(frame);
        // Sender, sequence, and then the number of the kind.
        assert_eq!(usize::from(bytes[7]), number, "{frame:?}");
        let read: Envelope = postcard::from_bytes(&bytes).expect("it was written so");
        assert_eq!(
            (read.from, read.sequence, &read.frame),
            (FROM, 1 << 33, frame)
        );
        for cut in 0..bytes.len() {
            let read = postcard::from_bytes::<Envelope>(&bytes[..cut]);
            assert!(read.is_err(), "{cut} of {frame:?}");
        }
    }
}
