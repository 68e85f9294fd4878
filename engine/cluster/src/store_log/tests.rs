//! Every cut and every damaged byte of a log, its bounds, and its conditions.

use super::{MAGIC, SLACK_BYTES, StoreLog};
use crate::vocabulary::{Expect, Key, PutResult, ReadResult};

const BYTES_MAX: u64 = 64 << 20;

fn session(number: u64) -> Key {
    Key::Session(9, u128::from(number))
}

/// A table with the log that was written for it.
#[derive(Default)]
struct Written {
    store: StoreLog,
    log: Vec<u8>,
}

impl Written {
    fn put(&mut self, key: Key, expect: Expect, ttl_s: u64, value: &[u8]) -> PutResult {
        let limits = (expect, ttl_s);
        let log = &mut self.log;
        self.store
            .put(100, key, limits, value.to_vec(), BYTES_MAX, |bytes| {
                log.extend_from_slice(bytes);
                true
            })
    }
}

#[test]
fn conditions_hold_as_those_of_a_bucket() {
    let mut it = Written::default();
    let key = session(1);
    assert_eq!(
        it.put(key, Expect::Revision(1), 0, b"a"),
        PutResult::Conflict
    );
    assert_eq!(it.put(key, Expect::Absent, 10, b"a"), PutResult::Written(1));
    assert_eq!(it.put(key, Expect::Absent, 10, b"b"), PutResult::Conflict);
    assert_eq!(
        it.put(key, Expect::Revision(2), 10, b"b"),
        PutResult::Conflict
    );
    assert_eq!(
        it.put(key, Expect::Revision(1), 10, b"b"),
        PutResult::Written(2)
    );
    assert_eq!(it.store.read(109, key), ReadResult::Found(2, b"b".to_vec()));
    // Its time is over: it is absent, for writes as well.
    assert_eq!(it.store.read(110, key), ReadResult::Absent);
    let late = |expect| (expect, 0);
    let put = |it: &mut Written, expect| {
        it.store
            .put(110, key, late(expect), vec![1], BYTES_MAX, |_| true)
    };
    assert_eq!(put(&mut it, Expect::Revision(2)), PutResult::Conflict);
    assert_eq!(put(&mut it, Expect::Absent), PutResult::Written(3));
}

#[test]
fn a_write_that_the_log_does_not_have_is_none() {
    let mut store = StoreLog::default();
    let limits = (Expect::Absent, 0);
    let put = store.put(1, Key::Level, limits, vec![1], BYTES_MAX, |_| false);
    assert_eq!(put, PutResult::Refused);
    assert_eq!(store.read(1, Key::Level), ReadResult::Absent);
    assert_eq!(store.size(), (0, 0));
}

#[test]
fn a_log_that_is_cut_anywhere_has_each_whole_record() {
    let mut it = Written::default();
    let mut ends = vec![MAGIC.len()];
    for number in 0..8 {
        let value = vec![number as u8; 3 * number as usize];
        it.put(session(number), Expect::Absent, 0, &value);
        ends.push(it.log.len());
    }
    for cut in 0..=it.log.len() {
        let (store, read) = StoreLog::read_back(&it.log[..cut]).expect("a log");
        let whole = ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(store.entries.len(), whole.saturating_sub(1), "{cut}");
        let end = whole.checked_sub(1).map_or(0, |last| ends[last]);
        assert_eq!((read.bytes, read.damaged), (end as u64, 0), "{cut}");
    }
}

#[test]
fn a_damaged_byte_costs_its_record_or_says_what_is_lost() {
    let mut it = Written::default();
    for number in 0..5 {
        it.put(session(number), Expect::Absent, 0, b"value");
    }
    for at in 0..it.log.len() {
        for bit in [1, 0x80] {
            let mut log = it.log.clone();
            log[at] ^= bit;
            let Ok((store, read)) = StoreLog::read_back(&log) else {
                assert!(at < MAGIC.len(), "{at}");
                continue;
            };
            assert!(at >= MAGIC.len(), "{at}");
            assert!(store.entries.len() < 5, "{at}");
            // A longer length than that of the rest looks as if the log was cut there.
            let is_reported = read.damaged > 0 || read.bytes < log.len() as u64;
            assert!(is_reported, "{at}: {read:?}");
            for (key, entry) in &store.entries {
                assert!(matches!(key, Key::Session(9, 0..5)), "{at}: {key:?}");
                assert_eq!(entry.value, b"value", "{at}");
            }
        }
    }
}

#[test]
fn what_does_not_count_is_left_out_of_the_next_log() {
    let mut it = Written::default();
    let value = vec![5; 1 << 10];
    let mut last = Expect::Absent;
    while !it.store.is_wasteful() {
        let PutResult::Written(revision) = it.put(session(1), last, 0, &value) else {
            panic!("it is written");
        };
        last = Expect::Revision(revision);
    }
    it.put(session(2), Expect::Absent, 5, b"is over");
    assert!(it.log.len() as u64 > SLACK_BYTES);
    let log = it.store.compact(105);
    it.store.compacted(log.len() as u64);
    assert!(log.len() < 2 << 10 && !it.store.is_wasteful());
    let (again, read) = StoreLog::read_back(&log).expect("a log");
    assert_eq!((read.bytes, read.damaged), (log.len() as u64, 0));
    let Expect::Revision(revision) = last else {
        panic!("it was written");
    };
    assert_eq!(
        again.read(105, session(1)),
        ReadResult::Found(revision, value)
    );
    assert_eq!(again.size().0, 1);
}

#[test]
fn a_full_log_refuses_until_something_is_over() {
    let mut store = StoreLog::default();
    let put = |store: &mut StoreLog, now_s: u64, number: u64| {
        let limits = (Expect::Absent, 50);
        store.put(
            now_s,
            session(number),
            limits,
            vec![0; 1_000],
            64 << 10,
            |_| true,
        )
    };
    let written =
        (0..100).take_while(|it| matches!(put(&mut store, 100, *it), PutResult::Written(_)));
    let written = written.count();
    assert!((28..=32).contains(&written), "{written}");
    assert_eq!(put(&mut store, 149, 1_000), PutResult::Refused);
    assert!(matches!(put(&mut store, 150, 1_000), PutResult::Written(_)));
    assert_eq!(store.size().0, 1);
}

#[test]
fn a_log_that_cannot_be_written_anew_has_a_bound() {
    let (mut store, mut last) = (StoreLog::default(), Expect::Absent);
    let bytes_max = 64 << 10;
    loop {
        let put = store.put(1, session(1), (last, 0), vec![0; 1_000], bytes_max, |_| {
            true
        });
        let PutResult::Written(revision) = put else {
            break;
        };
        last = Expect::Revision(revision);
    }
    let (_, log_bytes) = store.size();
    assert!(store.is_wasteful() && log_bytes <= bytes_max + SLACK_BYTES);
}

#[test]
fn something_else_is_no_log() {
    assert!(StoreLog::read_back(b"").is_ok());
    for text in [
        "x",
        "CLSTORE2",
        "a text of somebody, which must not be written over",
    ] {
        assert!(StoreLog::read_back(text.as_bytes()).is_err(), "{text}");
    }
}
