//! A writer that is killed at random points, and one whose disk is full. Each is a process of its
//! own: this test program, started again.

use std::env;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{call, members, started, verified, wait_until};
use crate::guard::audit::{Event, Record};
use crate::profile::Audit;

/// Set for a process that is not a test.
const DIRECTORY: &str = "CORELANE_TEST_AUDIT_DIRECTORY";
/// How many kills there are.
const KILLS: u32 = 100;

/// The directory of this process, if it is one of those below.
fn directory() -> Option<PathBuf> {
    env::var_os(DIRECTORY).map(PathBuf::from)
}

/// This program, to run one function with a directory.
fn program(function: &str, directory: &Path) -> Command {
    let mut command = Command::new(env::current_exe().expect("this program"));
    let name = format!("audit::tests::faults::{function}");
    command
        .args(["--exact", &name, "--nocapture"])
        .env(DIRECTORY, directory);
    command
}

/// Not a test by itself: leaves records until it is killed, and a byte after each ten.
#[test]
fn a_process_that_records() {
    let Some(directory) = directory() else {
        return;
    };
    let profile = Audit {
        segment_bytes: 20_000,
        ..Audit::default()
    };
    let thread = started(&directory, "", &profile);
    let port = thread.log().port(0);
    let (mut progress, mut written) = (std::io::stderr(), 0);
    loop {
        for _ in 0..10 {
            port.record(call("x"));
        }
        progress.write_all(b".").expect("the parent reads");
        written += 10;
        // Not faster than the writer, so that nothing is lost and the kill comes while it writes.
        wait_until(|| thread.log().written() + 200 > written);
    }
}

#[test]
fn a_kill_at_any_point_leaves_records_that_a_restart_continues() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("audit");
    let mut random = 1_u32;
    for _ in 0..KILLS {
        let mut child = program("a_process_that_records", &path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let mut progress = vec![0; (random >> 24) as usize + 1];
        let mut errors = child.stderr.take().expect("a pipe");
        errors.read_exact(&mut progress).expect("it records");
        child.kill().expect("killed");
        child.wait().expect("ended");
    }
    drop(started(&path, "", &Audit::default()));
    let summary = verified(&path);
    assert_eq!(
        (summary.first_seq, summary.is_cut, summary.lost),
        (1, false, 0)
    );
    let outcomes = members(&path, "outcome");
    let starts = outcomes.iter().filter(|it| *it == "after_crash").count();
    assert_eq!(starts as u32, KILLS);
}

/// Not a test by itself: fills its disk, and makes room again.
#[test]
fn a_process_with_a_full_disk() {
    let Some(directory) = directory() else {
        return;
    };
    for (more, loses) in [
        ("", true),
        ("calls = \"all\"\non_failure = \"refuse\"", false),
    ] {
        let path = directory.join(if loses { "drop" } else { "refuse" });
        let profile = Audit {
            queue_bytes: 65_536,
            ..Audit::default()
        };
        let thread = started(&path, more, &profile);
        let port = thread.log().port(0);
        let ballast = directory.join("ballast");
        let mut file = File::create(&ballast).expect("a file");
        while file.write_all(&[0; 4096]).is_ok() {}
        // An open file would keep its blocks after it is removed.
        drop(file);
        let mut calls = 0;
        while thread.log().is_well() {
            if port.may_begin_call() {
                port.record(call("full"));
                calls += 1;
            }
            port.record(Record::new(Event::AuthRefused, 0));
        }
        assert_eq!(port.may_begin_call(), loses);
        while thread.log().lost() == 0 {
            port.record(Record::new(Event::AuthRefused, 0));
        }
        fs::remove_file(&ballast).expect("removed");
        wait_until(|| thread.log().is_well() && port.may_begin_call());
        // The queue may be full for a moment more.
        wait_until(|| {
            let before = thread.log().lost();
            port.record(call("last"));
            thread.log().lost() == before
        });
        let lost = thread.log().lost();
        drop(port);
        drop(thread);
        let summary = verified(&path);
        assert!(summary.is_stopped && summary.lost == lost, "{summary:?}");
        let names = members(&path, "name");
        assert_eq!(names.last(), Some(&"last".into()));
        if !loses {
            assert_eq!(names.len(), calls + 1);
        }
    }
    println!("both modes were tested");
}

#[test]
fn a_full_disk_loses_counted_records_or_refuses_calls() {
    let directory = TempDir::new().expect("a directory");
    let program = program("a_process_with_a_full_disk", directory.path());
    // A file system of its own, in namespaces of its own.
    let script = "mount -t tmpfs -o size=16m tmpfs \"$0\" && exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(directory.path())
        .arg(program.get_program())
        .args(program.get_args())
        .env(DIRECTORY, directory.path())
        .output()
        .expect("unshare starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    assert!(text.contains("both modes were tested"), "{text}{errors}");
}
