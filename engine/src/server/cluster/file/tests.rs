//! A file that is cut, damaged, in use or something else, and a disk that takes nothing.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use corelane_cluster::vocabulary::{Expect, Key, PutResult, ReadResult};
use corelane_nats::BusEvent;
use tempfile::TempDir;

use super::FileLink;

const BYTES_MAX: u64 = 1 << 20;

fn session(number: u64) -> Key {
    Key::Session(1, u128::from(number))
}

fn open(path: &Path) -> FileLink {
    FileLink::open(path, BYTES_MAX).expect("a file")
}

/// The file in the next process. It cannot have the file while this one has it.
fn next_process(link: FileLink, path: &Path) -> FileLink {
    let fault = FileLink::open(path, BYTES_MAX).expect_err("it is in use");
    assert!(fault.contains("another process has it"), "{fault}");
    drop(link);
    open(path)
}

fn put(link: &mut FileLink, key: Key, expect: Expect, value: Vec<u8>) -> PutResult {
    link.put(7, key, (expect, 0), value);
    let mut events = std::iter::from_fn(|| link.next());
    let result = events.find_map(|event| match event {
        BusEvent::Put(7, result) => Some(result),
        _ => None,
    });
    result.expect("a write has a result")
}

fn read(link: &mut FileLink, key: Key) -> ReadResult {
    link.read(8, key);
    let mut events = std::iter::from_fn(|| link.next());
    let result = events.find_map(|event| match event {
        BusEvent::Read(8, result) => Some(result),
        _ => None,
    });
    result.expect("a read has a result")
}

/// A file in which a process before wrote this value for sessions 0 to `count`, and its bytes.
fn written(count: u64, value: &[u8]) -> (TempDir, PathBuf, Vec<u8>) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("sessions");
    let mut link = open(&path);
    for number in 0..count {
        put(&mut link, session(number), Expect::Absent, value.to_vec());
    }
    drop(link);
    let log = std::fs::read(&path).expect("a file");
    (folder, path, log)
}

#[test]
fn what_was_written_is_there_in_the_next_process_and_for_no_other_at_once() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("sessions");
    let mut link = open(&path);
    assert!(matches!(link.next(), Some(BusEvent::Connected)));
    assert_eq!(
        put(&mut link, session(1), Expect::Absent, vec![1; 100]),
        PutResult::Written(1)
    );
    let mode = path.metadata().expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let mut link = next_process(link, &path);
    assert_eq!(
        read(&mut link, session(1)),
        ReadResult::Found(1, vec![1; 100])
    );
}

#[test]
fn a_record_that_was_cut_off_leaves_room_for_the_next() {
    let (_folder, path, log) = written(2, &[2; 50]);
    std::fs::write(&path, &log[..log.len() - 1]).expect("a file");
    let mut link = open(&path);
    assert_eq!(read(&mut link, session(1)), ReadResult::Absent);
    assert_eq!(
        put(&mut link, session(3), Expect::Absent, vec![3; 9]),
        PutResult::Written(2)
    );
    drop(link);
    let mut link = open(&path);
    assert_eq!(
        read(&mut link, session(0)),
        ReadResult::Found(1, vec![2; 50])
    );
    assert_eq!(
        read(&mut link, session(3)),
        ReadResult::Found(2, vec![3; 9])
    );
}

#[test]
fn a_damaged_file_is_kept_beside_the_one_that_is_left_of_it() {
    let (folder, path, mut log) = written(3, &[4; 50]);
    let middle = log.len() / 2;
    log[middle] ^= 1;
    std::fs::write(&path, &log).expect("a file");
    let mut link = open(&path);
    assert_eq!(read(&mut link, session(1)), ReadResult::Absent);
    assert_eq!(
        read(&mut link, session(2)),
        ReadResult::Found(3, vec![4; 50])
    );
    let kept = folder.path().join("sessions.damaged");
    assert_eq!(std::fs::read(kept).expect("it is kept"), log);
    drop(link);
    let mut link = open(&path);
    assert_eq!(
        read(&mut link, session(2)),
        ReadResult::Found(3, vec![4; 50])
    );
    drop(link);
    std::fs::write(&path, "a text of somebody").expect("a file");
    let fault = FileLink::open(&path, BYTES_MAX).expect_err("it is no log");
    assert!(fault.contains("it is no log"), "{fault}");
    assert_eq!(std::fs::read(&path).expect("a file"), b"a text of somebody");
}

#[test]
fn a_damaged_file_has_its_place_until_the_next_one_is_whole() {
    let (folder, path, mut log) = written(3, &[4; 50]);
    let middle = log.len() / 2;
    log[middle] ^= 1;
    std::fs::write(&path, &log).expect("a file");
    // The next file cannot be written.
    let next = folder.path().join("sessions.new");
    std::fs::create_dir(&next).expect("a folder");
    for _ in 0..2 {
        FileLink::open(&path, BYTES_MAX).expect_err("no place for the next file");
        assert_eq!(std::fs::read(&path).expect("it is there"), log);
    }
    std::fs::remove_dir(&next).expect("a folder");
    let mut link = open(&path);
    assert_eq!(
        read(&mut link, session(2)),
        ReadResult::Found(3, vec![4; 50])
    );
}

#[test]
fn a_file_that_grows_is_written_anew_and_keeps_its_place() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("sessions");
    let mut link = FileLink::open(&path, 16 << 20).expect("a file");
    let (mut last, mut longest) = (Expect::Absent, 0);
    for _ in 0..100 {
        let PutResult::Written(revision) = put(&mut link, session(1), last, vec![5; 60_000]) else {
            panic!("it is written");
        };
        last = Expect::Revision(revision);
        longest = longest.max(path.metadata().expect("a file").len());
    }
    assert!(longest < 2 << 20, "{longest}");
    let mut link = next_process(link, &path);
    assert_eq!(
        read(&mut link, session(1)),
        ReadResult::Found(100, vec![5; 60_000])
    );
}

#[test]
fn a_full_disk_is_reported_once_and_costs_no_earlier_record() {
    // The device refuses each write, as a full disk does.
    let file = std::fs::OpenOptions::new().append(true).open("/dev/full");
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("sessions");
    let mut link = open(&path);
    put(&mut link, session(1), Expect::Absent, vec![6; 9]);
    let file = std::mem::replace(&mut link.file, file.expect("Linux has it"));
    let mut reports = 0;
    for _ in 0..3 {
        link.put(7, session(2), (Expect::Absent, 0), vec![6; 9]);
        while let Some(event) = link.next() {
            match event {
                BusEvent::Put(7, result) => assert_eq!(result, PutResult::Refused),
                BusEvent::Refused(text) => {
                    assert!(text.contains("sessions: "), "{text}");
                    reports += 1;
                }
                _ => {}
            }
        }
    }
    assert_eq!(reports, 1);
    link.file = file;
    assert_eq!(
        put(&mut link, session(2), Expect::Absent, vec![6; 9]),
        PutResult::Written(2)
    );
    assert_eq!(
        read(&mut link, session(1)),
        ReadResult::Found(1, vec![6; 9])
    );
}
