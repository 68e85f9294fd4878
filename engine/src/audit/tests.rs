//! Records in real files: whole over restarts, rotations, full queues and faults of the disk.

mod faults;

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{AuditError, AuditPort, AuditThread, start};
use crate::guard::audit::{AuditSettings, AuditText, Event, Record, Summary, Verifier};
use crate::profile::Audit;

/// How long something may take that happens in milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

fn settings(directory: &Path, more: &str) -> AuditSettings {
    let text = format!("directory = {directory:?}\nnode = \"host\"\n{more}");
    let text: AuditText = toml::from_str(&text).expect("the section");
    text.check().expect("no faults")
}

fn started(directory: &Path, more: &str, profile: &Audit) -> AuditThread {
    start(settings(directory, more), profile).expect("it starts")
}

/// The files of the directory in the order of their records, with their texts.
fn files(directory: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(directory).expect("a directory");
    let mut paths: Vec<PathBuf> = entries.map(|it| it.expect("an entry").path()).collect();
    paths.sort();
    let named = paths.iter().map(|path| {
        let name = path.file_name().expect("a name").to_string_lossy();
        let text = fs::read(path).expect("a file");
        (
            name.into_owned(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    });
    named.collect()
}

/// All records are whole. Parts of lines at the ends of files are not.
fn verified(directory: &Path) -> Summary {
    let mut verifier = Verifier::default();
    for (_, text) in files(directory) {
        for line in text.split_inclusive('\n') {
            match line.strip_suffix('\n') {
                Some(line) => verifier.line(line.as_bytes()).expect("whole"),
                None => verifier.cut_line(),
            }
        }
    }
    verifier.finish().expect("whole")
}

/// The values of a member, of the records that have it.
fn members(directory: &Path, name: &str) -> Vec<serde_json::Value> {
    let mut values = Vec::new();
    for (_, text) in files(directory) {
        let lines = text
            .split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n'));
        for line in lines {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            values.extend(line.get(name).cloned());
        }
    }
    values
}

fn call(name: &str) -> Record<'_> {
    Record {
        name: Some(name),
        outcome: Some("ok"),
        ..Record::new(Event::Call, 0)
    }
}

#[track_caller]
fn wait_until(mut is_true: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_true() {
        assert!(begun.elapsed() < PATIENCE, "it does not happen");
        std::thread::yield_now();
    }
}

#[test]
fn records_of_shards_and_of_the_process_are_one_chain() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("audit");
    let thread = started(&path, "", &Audit::default());
    let ports = [0, 1].map(|shard| thread.log().port(shard));
    for number in 0..1000 {
        let name = format!("tool_{number}");
        ports[number % 2].record(call(&name));
    }
    thread.log().record(&Record::new(Event::PolicyLoaded, 0));
    drop(ports);
    drop(thread);
    let summary = verified(&path);
    assert_eq!((summary.head.seq, summary.lost), (1003, 0));
    assert!(summary.is_stopped);
    let mut names: Vec<_> = members(&path, "name");
    names.sort_by_key(|name| name.to_string());
    let mut expected: Vec<_> = (0..1000).map(|number| format!("tool_{number}")).collect();
    expected.sort_by_key(|name| format!("{name:?}"));
    assert_eq!(names, expected);
    let (mode, directory_mode) = (
        fs::metadata(path.join("audit-host-000000000001.jsonl"))
            .expect("a file")
            .mode(),
        fs::metadata(&path).expect("a directory").mode(),
    );
    assert_eq!((mode & 0o7137, directory_mode & 0o7027), (0, 0));
}

#[test]
fn a_restart_goes_on_in_a_new_file_also_after_a_kill() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path();
    for _ in 0..2 {
        drop(started(path, "", &Audit::default()));
    }
    // A kill leaves part of a line, and a file without one.
    let second = path.join("audit-host-000000000003.jsonl");
    let mut file = OpenOptions::new()
        .append(true)
        .open(second)
        .expect("a file");
    file.write_all(b"{\"v\":1,\"seq\":5").expect("written");
    fs::write(path.join("audit-host-000000000005.jsonl"), "{\"v\"").expect("written");
    drop(started(path, "", &Audit::default()));
    let summary = verified(path);
    assert_eq!((summary.head.seq, summary.is_cut), (6, false));
    // The kill came after the record of a stop.
    let outcomes = members(path, "outcome");
    assert_eq!(outcomes, ["first", "after_stop", "after_stop"]);
    assert_eq!(files(path).len(), 3);
}

#[test]
fn a_start_after_a_kill_says_so() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path();
    let thread = started(path, "", &Audit::default());
    let (name, text) = files(path).remove(0);
    drop(thread);
    fs::write(path.join(name), text).expect("written");
    drop(started(path, "", &Audit::default()));
    assert_eq!(members(path, "outcome"), ["first", "after_crash"]);
    assert_eq!(verified(path).head.seq, 3);
}

#[test]
fn files_rotate_and_old_ones_are_removed_with_a_record() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path();
    let profile = Audit {
        segment_bytes: 4096,
        ..Audit::default()
    };
    let thread = started(path, "keep_segments = 2", &profile);
    let port = thread.log().port(0);
    for _ in 0..5 {
        let written = thread.log().written();
        for _ in 0..20 {
            port.record(call("x"));
        }
        wait_until(|| thread.log().written() >= written + 20);
    }
    drop(port);
    drop(thread);
    assert_eq!(files(path).len(), 2);
    let summary = verified(path);
    assert!(summary.first_seq > 1 && summary.is_stopped, "{summary:?}");
    let removed = members(path, "event")
        .iter()
        .filter(|it| *it == "audit.removed")
        .count();
    assert!(removed > 0);
}

/// A writer that cannot write: its directory is gone, so no new file can be made.
fn broken(directory: &Path, more: &str) -> AuditThread {
    let profile = Audit {
        queue_bytes: 65_536,
        segment_bytes: 1,
        ..Audit::default()
    };
    let thread = started(directory, more, &profile);
    fs::rename(directory, directory.with_extension("gone")).expect("renamed");
    thread
}

#[test]
fn a_full_queue_loses_records_and_counts_them_in_the_log() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("audit");
    let thread = broken(&path, "");
    let port = thread.log().port(0);
    port.record(call("first"));
    wait_until(|| !thread.log().is_well());
    let mut left = 1;
    while thread.log().lost() == 0 {
        assert!(port.may_begin_call(), "nothing is refused");
        port.record(call("more"));
        left += 1;
    }
    for _ in 0..9 {
        port.record(call("lost"));
    }
    assert_eq!(thread.log().lost(), 10);
    fs::rename(path.with_extension("gone"), &path).expect("renamed");
    wait_until(|| thread.log().is_well());
    wait_until(|| thread.log().written() >= left);
    port.record(call("last"));
    drop(port);
    drop(thread);
    assert_eq!(verified(&path).lost, 10);
    let names = members(&path, "name");
    assert_eq!(names.len() as u64, left);
    assert_eq!(names.last(), Some(&"last".into()));
}

#[test]
fn calls_are_refused_and_none_is_lost_if_records_must_stay() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("audit");
    let thread = broken(&path, "on_failure = \"refuse\"\ncalls = \"all\"");
    let port = thread.log().port(0);
    assert!(port.may_begin_call());
    port.record(call("first"));
    wait_until(|| !thread.log().is_well());
    assert!(!port.may_begin_call());
    // Calls that began before end now, more than the queue takes.
    for _ in 0..2000 {
        port.record(call("begun before"));
    }
    port.record(Record::new(Event::AuthRefused, 0));
    fs::rename(path.with_extension("gone"), &path).expect("renamed");
    wait_until(|| port.may_begin_call());
    drop(port);
    drop(thread);
    assert_eq!(members(&path, "name").len(), 2001);
    assert_eq!(verified(&path).lost, 1);
}

#[test]
fn a_shard_that_ends_leaves_its_calls_to_the_writer() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("audit");
    let thread = broken(&path, "on_failure = \"refuse\"\ncalls = \"all\"");
    let port = thread.log().port(0);
    for _ in 0..2000 {
        port.record(call("x"));
    }
    drop(port);
    let next = thread.log().port(0);
    next.record(call("y"));
    drop(next);
    fs::rename(path.with_extension("gone"), &path).expect("renamed");
    drop(thread);
    assert_eq!(members(&path, "name").len(), 2001);
    assert_eq!(verified(&path).lost, 0);
}

#[test]
fn a_record_allocates_nothing() {
    const RECORDS: u32 = 4000;
    let directory = TempDir::new().expect("a directory");
    let profile = Audit {
        queue_bytes: 16 << 20,
        ..Audit::default()
    };
    let thread = started(directory.path(), "", &profile);
    let port = thread.log().port(0);
    let record = Record {
        principal: Some("jwt:corp:ann"),
        client: Some("app"),
        issuer: Some("corp"),
        peer: Some([127, 0, 0, 1].into()),
        request: Some(b"4711"),
        kind: Some("tool"),
        name: Some("echo"),
        duration_us: Some(1200),
        bytes_out: Some(300),
        ..call("echo")
    };
    let begun = Instant::now();
    let counted = allocation_counter::measure(|| {
        for _ in 0..RECORDS {
            port.record(record);
        }
    });
    println!(
        "{} ns a record",
        begun.elapsed().as_nanos() / u128::from(RECORDS)
    );
    assert_eq!((counted.count_total, thread.log().lost()), (0, 0));
}

#[test]
fn calls_are_recorded_as_the_configuration_sets_it() {
    assert!(!AuditPort::OFF.records_call(true) && !AuditPort::OFF.is_on());
    for (calls, expected) in [("denied", [false, false]), ("marked", [false, true])]
        .into_iter()
        .chain([("all", [true, true])])
    {
        let directory = TempDir::new().expect("a directory");
        let more = format!("calls = {calls:?}");
        let thread = started(directory.path(), &more, &Audit::default());
        let port = thread.log().port(0);
        assert_eq!(
            [false, true].map(|it| port.records_call(it)),
            expected,
            "{calls}"
        );
    }
}

#[test]
fn unusable_directories_and_keys_are_refused() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("audit");
    let fault = |more: &str| start(settings(&path, more), &Audit::default()).err();
    let thread = started(&path, "", &Audit::default());
    assert!(matches!(fault(""), Some(AuditError::Locked(_))));
    drop(thread);
    fs::set_permissions(&path, Permissions::from_mode(0o757)).expect("set");
    assert!(matches!(fault(""), Some(AuditError::DirectoryMode { .. })));
    fs::set_permissions(&path, Permissions::from_mode(0o750)).expect("set");
    let key = directory.path().join("key");
    let more = format!("signing_key_file = {key:?}");
    assert!(matches!(fault(&more), Some(AuditError::KeyFile { .. })));
    fs::write(&key, "no key").expect("written");
    fs::set_permissions(&key, Permissions::from_mode(0o604)).expect("set");
    assert!(matches!(fault(&more), Some(AuditError::KeyMode { .. })));
    fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("set");
    assert!(matches!(fault(&more), Some(AuditError::Key { .. })));
    let mut last = files(&path).pop().expect("a file");
    last.1 = last.1.replace("audit.stopped", "audit.started");
    fs::write(path.join(&last.0), last.1).expect("written");
    assert!(matches!(fault(""), Some(AuditError::Damaged(_))));
}

#[test]
fn a_link_in_the_place_of_the_next_file_is_not_followed() {
    let directory = TempDir::new().expect("a directory");
    let (path, target) = (
        directory.path().join("audit"),
        directory.path().join("target"),
    );
    drop(started(&path, "", &Audit::default()));
    fs::write(&target, "other contents\n").expect("written");
    // Its contents are no record, so nothing is removed, and it is not written to.
    symlink(&target, path.join("audit-host-000000000003.jsonl")).expect("a link");
    assert!(start(settings(&path, ""), &Audit::default()).is_err());
    assert_eq!(fs::read(&target).expect("a file"), b"other contents\n");
}
