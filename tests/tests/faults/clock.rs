//! Jumps of the wall clock, which faketime(1) makes for the server alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use corelane_tests::{Connection, Request, Session, Setup, wait_until};
use serde_json::{Value, json};

use crate::trial::Trial;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The time by which a date may be late.
const LATE: Duration = Duration::from_secs(10);

/// The library of faketime(1) for programs with threads.
fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?;
    let in_folder = |folder: PathBuf| folder.join("faketime/libfaketimeMT.so.1");
    let mut paths = folders.filter_map(|folder| Some(in_folder(folder.ok()?.path())));
    paths.find(|path| path.exists())
}

/// The distance of the date of an answer from now.
fn date_offset(connection: &mut Connection) -> (Duration, bool) {
    let echo = json!({ "message": "x" });
    let response = connection.exchange(&Request::modern_call("echo", echo));
    let date = response.head.field("Date").expect("an answer has a date");
    let date = httpdate::parse_http_date(date).expect("a date of HTTP");
    match date.duration_since(SystemTime::now()) {
        Ok(ahead) => (ahead, true),
        Err(error) => (error.duration(), false),
    }
}

/// The clock goes a day ahead and back again. Dates follow, and nothing ends before its time or
/// stays for longer: all deadlines are those of another clock.
#[test]
fn a_wall_clock_that_jumps() {
    let Some(library) = library() else {
        println!("a jump of the clock is left out: there is no faketime(1)");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder of the test");
    let offset = folder.path().join("offset");
    fs::write(&offset, "+0").expect("the file of the test");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let setup = Setup::shards(1)
        .profile("[tasks]\nttl_default_ms = 60000\n[sessions]\nidle_timeout_ms = 60000")
        .variable("LD_PRELOAD", &text(&library))
        .variable("FAKETIME_TIMESTAMP_FILE", &text(&offset))
        .variable("FAKETIME_NO_CACHE", "1")
        .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    Trial::of("jumps of the wall clock", setup).run(|server| {
        let mut connection = server.connect();
        let session = Session::open(&mut connection);
        let arguments = json!({ "seconds": 60, "label": "jump" });
        let params = json!({ "name": "slow_compute", "arguments": arguments, "task": {} });
        let made = connection.exchange(&session.request(1, "tools/call", params));
        let task = json!({ "taskId": made.answer()["result"]["task"]["taskId"] });
        for (text, expected) in [("+1d", DAY), ("-1d", DAY), ("+0", Duration::ZERO)] {
            fs::write(&offset, text).expect("the file of the test");
            wait_until("dates to follow the clock", || {
                let (distance, is_ahead) = date_offset(&mut connection);
                let is_right_way = expected.is_zero() || is_ahead == text.starts_with('+');
                (distance.abs_diff(expected) <= LATE && is_right_way).then_some(())
            });
            let get = session.request(2, "tasks/get", task.clone());
            let state = connection.exchange(&get).answer();
            assert_eq!(state["result"]["status"], "working", "{text}: {state}");
            let ping = session.request(3, "ping", Value::Null);
            assert_eq!(connection.exchange(&ping).status(), 200, "{text}");
        }
        let cancel = session.request(4, "tasks/cancel", task);
        let cancelled = connection.exchange(&cancel).answer();
        assert_eq!(cancelled["result"]["status"], "cancelled", "{cancelled}");
        assert_eq!(connection.exchange(&session.delete()).status(), 204);
    });
}
