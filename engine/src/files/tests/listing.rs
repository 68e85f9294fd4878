//! Lists are in order, within their limits, and contain readable files only.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::{DirectoryLimits, Shard, following, open, tree};

#[track_caller]
fn check(root: &Path, limits: DirectoryLimits, expected: &[&str]) {
    let listing = open(root, limits)
        .list_blocking()
        .expect("it can be listed");
    let names: Vec<&str> = listing
        .entries
        .iter()
        .map(|entry| entry.relative.as_str())
        .collect();
    assert_eq!(names, expected);
    assert!(listing.is_complete);
}

#[test]
fn lists_readable_files_in_order() {
    let root = tree(&[
        "b",
        "a/z",
        "a/b/c",
        "a-b",
        "ä",
        "Z",
        "empty/",
        ".hidden/x",
        "a/.y",
    ]);
    let in_order = ["Z", "a-b", "a/b/c", "a/z", "b", "ä"];
    check(root.path(), DirectoryLimits::default(), &in_order);
    Shard::run(1, async |shard| {
        let directory = open(root.path(), DirectoryLimits::default());
        let listing = directory.list_blocking();
        for entry in listing.expect("it can be listed").entries {
            let read = shard.read(&directory, &entry.relative).await;
            let read = read.unwrap_or_else(|error| panic!("{}: {error}", entry.relative));
            assert_eq!(read, entry.relative.as_bytes());
            assert_eq!(entry.size_bytes, read.len() as u64);
        }
    });
}

#[test]
fn gives_size_and_time_of_each() {
    let root = tree(&[]);
    let path = root.path().join("a");
    fs::write(&path, [1; 12_345]).expect("it can be written");
    let modified = UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
    let file = File::options().write(true).open(&path).expect("it exists");
    file.set_modified(modified).expect("it is ours");
    let listing = open(root.path(), DirectoryLimits::default()).list_blocking();
    let [entry] = &listing.expect("it can be listed").entries[..] else {
        panic!("there is one file");
    };
    assert_eq!((entry.size_bytes, entry.modified), (12_345, modified));
}

#[test]
fn skips_entries_that_are_not_files_or_have_no_valid_name() {
    let root = tree(&["a"]);
    let fifo = root.path().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).expect("a pipe can be made");
    fs::write(root.path().join(OsStr::from_bytes(b"\xff")), "x").expect("it can be written");
    let limits = DirectoryLimits {
        path_bytes_max: 10,
        ..DirectoryLimits::default()
    };
    fs::write(root.path().join("0123456789"), "x").expect("it can be written");
    fs::write(root.path().join("0123456789x"), "x").expect("it can be written");
    check(root.path(), limits, &["0123456789", "a"]);
}

#[test]
fn lists_hidden_files_if_wanted() {
    let root = tree(&["b", ".hidden/x", "a/.y"]);
    let limits = DirectoryLimits {
        shows_hidden: true,
        ..DirectoryLimits::default()
    };
    check(root.path(), limits, &[".hidden/x", "a/.y", "b"]);
}

#[test]
fn lists_links_to_files_where_they_are_followed() {
    let outer = tree(&["secret", "root/a", "root/d/b", "root/.versions/c"]);
    let root = outer.path().join("root");
    for (name, target) in [
        ("copy", "a"),
        ("current", ".versions/c"),
        ("same", "d"),
        ("loop", "."),
        ("out", "../secret"),
        ("nowhere", "none"),
    ] {
        symlink(target, root.join(name)).expect("a link can be made");
    }
    check(&root, DirectoryLimits::default(), &["a", "d/b"]);
    check(&root, following(), &["a", "copy", "current", "d/b"]);
}

#[test]
fn looks_no_deeper_than_the_limit() {
    let root = tree(&["0", "a/1", "a/b/2", "a/b/c/3"]);
    for (depth_max, expected) in [
        (0, &["0"][..]),
        (1, &["0", "a/1"]),
        (2, &["0", "a/1", "a/b/2"]),
        (3, &["0", "a/1", "a/b/2", "a/b/c/3"]),
    ] {
        let limits = DirectoryLimits {
            depth_max,
            ..DirectoryLimits::default()
        };
        check(root.path(), limits, expected);
    }
}

#[test]
fn a_list_that_is_too_long_says_so() {
    let files = tree(&["a", "b", "c", "d/e"]);
    let directories = tree(&["a/", "b/", "c/", "d/"]);
    for (root, entries_max, count, is_complete) in [
        (&files, 4, 4, true),
        (&files, 3, 3, false),
        (&files, 0, 0, false),
        (&directories, 4, 0, true),
        (&directories, 3, 0, false),
    ] {
        let limits = DirectoryLimits {
            entries_max,
            ..DirectoryLimits::default()
        };
        let listing = open(root.path(), limits)
            .list_blocking()
            .expect("it can be listed");
        assert!(listing.entries.len() <= count, "{listing:?}");
        assert_eq!(listing.is_complete, is_complete, "{listing:?}");
        assert!(
            !is_complete || listing.entries.len() == count,
            "{listing:?}"
        );
    }
}
