//! The cluster: records of the store, the log of a store, and messages of other nodes to the core.
//!
//! No input panics, no table grows past its limit, and a record that is read is written again as it
//! was. The first byte chooses the part, the others are the input.
#![no_main]

use corelane_cluster::cluster::Cluster;
use corelane_cluster::codec::{ENVELOPE_BYTES, Kind, LEVEL_MAX, decode, encode};
use corelane_cluster::frame::{Envelope, Frame, Request, Stage};
use corelane_cluster::id::{Birth, Now, OpenTail, SessionId, Tail};
use corelane_cluster::record::Record;
use corelane_cluster::settings::{PARTITIONS, Settings};
use corelane_cluster::store_log::{self, StoreLog};
use corelane_cluster::vocabulary::{Key, Output, PutResult, ReadResult};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Microseconds between two messages.
const STEP_US: u64 = 10_000;
/// Of these, a node needs less to join.
const JOIN_STEPS_MAX: u32 = 400;

fuzz_target!(|data: &[u8]| {
    let Some((part, input)) = data.split_first() else {
        return;
    };
    match part % 4 {
        0 => {
            check_record(input);
            check_log(input);
        }
        part => Node::joined(part == 1).take(input),
    }
});

/// Reads the input as a record, and as the payload of one.
fn check_record(input: &[u8]) {
    let _ = decode::<Record>(Kind::Session, input);
    check_payload::<Record>(Kind::Session, input);
    check_payload::<u64>(Kind::Generation, input);
    check_payload::<u16>(Kind::Node, input);
    check_payload::<u8>(Kind::Level, input);
}

/// Reads the input as the records of a log. The records that are found are in the next log, too.
fn check_log(input: &[u8]) {
    let log = [store_log::MAGIC, input].concat();
    let (mut store, read) = StoreLog::read_back(&log).expect("it begins as a log");
    assert!(read.bytes + read.lost_bytes <= log.len() as u64);
    let again = store.compact(0);
    let (copy, read) = StoreLog::read_back(&again).expect("a log");
    assert_eq!((read.bytes, read.damaged), (again.len() as u64, 0));
    assert_eq!(copy.size().0, store.size().0);
}

fn check_payload<T: Serialize + DeserializeOwned>(kind: Kind, payload: &[u8]) {
    let mut bytes = b"CL".to_vec();
    bytes.extend([kind as u8, LEVEL_MAX]);
    bytes.extend((payload.len() as u32).to_le_bytes());
    bytes.extend([1; ENVELOPE_BYTES - 12]);
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
    let mut digest = crc.digest();
    digest.update(&bytes);
    digest.update(payload);
    bytes.extend(digest.finalize().to_le_bytes());
    bytes.extend(payload);
    if let Ok((written, value)) = decode::<T>(kind, &bytes) {
        let again = encode(kind, LEVEL_MAX, written, &value).expect("it was not too long");
        // Numbers may have been written with more bytes than they need.
        let (_, again) = decode::<T>(kind, &again).expect("it is readable");
        let texts = [&value, &again].map(|it| postcard::to_allocvec(it).expect("it is readable"));
        assert_eq!(texts[0], texts[1]);
    }
}

struct AnyTail;

impl OpenTail for AnyTail {
    fn open_tail(&self, _: &SessionId, _: &Tail, _: &str) -> Option<Birth> {
        Some(Birth {
            revision: 1,
            capabilities: 0,
            created_unix_s: 0,
        })
    }
}

/// A node that has joined.
struct Node {
    core: Cluster,
    us: u64,
    revision: u64,
}

impl Node {
    fn joined(forwards: bool) -> Node {
        let settings = Settings {
            forwards,
            sessions_max: 8,
            waiting_max: 2,
            exchanges_max: 4,
            followed_max: 4,
            updates_kept: 4,
            ..Settings::default()
        };
        let now = Now { us: 1, unix_s: 0 };
        let core = Cluster::new(1, settings, Box::new(AnyTail), Box::new(|| 7), now);
        let mut node = Node {
            core,
            us: 1,
            revision: 0,
        };
        for partition in 0..PARTITIONS {
            node.core.set_interest(now, partition, true);
        }
        node.core.handle_connected(now);
        for _ in 0..JOIN_STEPS_MAX {
            if node.core.stage() == Stage::Alive {
                break;
            }
            node.step();
        }
        assert_eq!(node.core.stage(), Stage::Alive);
        node
    }

    fn now(&self) -> Now {
        Now {
            us: self.us,
            unix_s: self.us / 1_000_000,
        }
    }

    /// Takes messages, and values of the store in between.
    fn take(&mut self, mut input: &[u8]) {
        while let Some((kind, rest)) = input.split_first() {
            input = match kind % 4 {
                0 => self.request(rest),
                1 => self.update(rest),
                _ => match postcard::take_from_bytes::<Envelope>(rest) {
                    Ok((envelope, rest)) => {
                        self.core.handle_frame(self.now(), envelope);
                        rest
                    }
                    Err(_) => return,
                },
            };
            self.step();
            for (table, entries, limit) in self.core.tables() {
                assert!(entries <= limit, "{table}: {entries} of {limit}");
            }
        }
    }

    fn request<'a>(&mut self, input: &'a [u8]) -> &'a [u8] {
        let Ok((request, rest)) = postcard::take_from_bytes::<Request>(input) else {
            return &[];
        };
        self.core
            .handle_request(self.now(), self.us, Box::new(request));
        rest
    }

    fn update<'a>(&mut self, input: &'a [u8]) -> &'a [u8] {
        let Ok((uri, rest)) = postcard::take_from_bytes::<&str>(input) else {
            return &[];
        };
        self.core.resource_updated(self.now(), uri);
        rest
    }

    /// Lets time pass, and does the work of the core with an empty store that takes all.
    fn step(&mut self) {
        self.us += STEP_US;
        self.core.handle_tick(self.now());
        while let Some(output) = self.core.poll_output() {
            let now = self.now();
            match output {
                Output::Put(op, _, _, _, _) => {
                    self.revision += 1;
                    let written = PutResult::Written(self.revision);
                    self.core.handle_put(now, op, written);
                }
                Output::Read(op, Key::Session(..), _) if self.revision % 3 == 0 => {
                    self.core.handle_read(now, op, ReadResult::Failed);
                }
                Output::Read(op, ..) => self.core.handle_read(now, op, ReadResult::Absent),
                Output::Serve(origin, request) => {
                    let key = request.session.random;
                    self.core.answer(now, origin, key, true, Box::default());
                }
                Output::Publish(envelope) | Output::Send(_, envelope) => {
                    let bytes = postcard::to_allocvec(&envelope).expect("a message");
                    assert_eq!(postcard::from_bytes(&bytes).as_ref(), Ok(&envelope));
                    // Its own messages come back.
                    if matches!(envelope.frame, Frame::Heartbeat(_)) {
                        self.core.handle_frame(now, envelope);
                    }
                }
                _ => {}
            }
        }
    }
}
