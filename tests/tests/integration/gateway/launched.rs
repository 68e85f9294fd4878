//! The starts of programs that are upstreams, their limits, and the end of all their processes.

use std::fs;
use std::path::Path;

use corelane_tests::scrape::Scrape;
use corelane_tests::{Connection, Session, Setup, wait_until};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use serde_json::json;

use super::Gateway;
use super::programs::{
    STOPS_SOON, call, numbers, process, script, section, sleepers, start, text, wait_for_end,
    wait_for_log, wait_until_dead,
};

#[test]
fn a_program_has_its_limits_and_gets_no_new_privileges() {
    let limits = "limits = { address_space_bytes = 1073741824, open_files = 99, processes = 9999 }";
    let gateway = start(&[], limits);
    let limits = text(&call(&mut gateway.connect(), None, "limits"));
    for expected in [
        "Max address space 1073741824 1073741824 bytes",
        "Max open files 99 99 files",
        "Max processes 9999 9999 processes",
        "NoNewPrivs: 1",
    ] {
        assert!(limits.contains(expected), "{expected}: {limits}");
    }
}

#[test]
fn a_limit_that_leaves_no_room_to_start_touches_its_own_entries_only() {
    let small = section("small", &[], "limits = { address_space_bytes = 65536 }");
    let gateway = Gateway::start(&(small + &section("up", &[], "")));
    gateway.wait_for("up_call");
    process(&mut gateway.connect(), None);
    wait_for_log(&gateway, "its program has ended");
}

#[test]
fn a_process_that_the_system_cannot_start_fails_its_calls_only() {
    let gateway = start(&[], "");
    let mut connection = gateway.connect();
    let first = Session::open(&mut connection);
    let second = Session::open(&mut connection);
    let one = process(&mut connection, Some(&first));
    let server = Pid::from_raw(gateway.server.process_id() as i32);
    let set = |limit| prlimit(server, Resource::Nofile, limit).expect("its limit can be changed");
    // There is no number left for a file. poll(2) takes no more files than that at once, and three
    // are those of a process that runs.
    let before = set(Rlimit {
        current: Some(3),
        ..getrlimit(Resource::Nofile)
    });
    let answer = call(&mut connection, Some(&second), "name");
    assert_eq!(answer["error"]["data"]["executed"], "no", "{answer}");
    assert_eq!(answer["error"]["data"]["reason"], "connect", "{answer}");
    assert_eq!(process(&mut connection, Some(&first)), one);
    set(before);
    wait_until("it is started", || {
        let answer = call(&mut connection, Some(&second), "name");
        answer.get("result").is_some().then_some(())
    });
}

#[test]
fn a_program_that_floods_its_errors_touches_no_other_one() {
    // The long form has 1 GB.
    let bytes = std::env::var("CORELANE_FLOOD_BYTES");
    let bytes = bytes.unwrap_or_else(|_| (16 << 20).to_string());
    let environment = format!("env = {{ ERROR_BYTES = \"{bytes}\" }}");
    let flooding = section("flooding", &[], &environment);
    let gateway = Gateway::start(&(flooding + &section("up", &[], "")));
    gateway.wait_for("up_call");
    gateway.wait_for("flooding_call");
    let mut connection = gateway.connect();
    let one = process(&mut connection, None);
    let before = gateway.server.resident_bytes();
    let mut flooded = gateway.connect();
    let session = Session::open(&mut flooded);
    flooded.send(&session.call("flooding_call", json!({ "do": "flood" })));
    assert_eq!(process(&mut connection, None), one, "it goes on meanwhile");
    let answer = flooded.read_response().answer();
    assert_eq!(text(&answer), "done");
    flooded.exchange(&session.delete());
    wait_for_log(&gateway, "lines of its program are left out");
    let grown = gateway.server.resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes");
}

#[test]
fn one_that_leaves_the_group_ends_with_its_input() {
    let setup = Setup::shards(1).profile(STOPS_SOON);
    let gateway = Gateway::start_with(&section("up", &[], ""), setup);
    gateway.wait_for("up_call");
    let mut connection = gateway.connect();
    let session = Session::open(&mut connection);
    let answer = call(&mut connection, Some(&session), "leave");
    assert_eq!(text(&answer), "left");
    let left = wait_until("it has left", || numbers(&gateway, "left ").pop());
    connection.exchange(&session.delete());
    wait_until_dead(&left);
}

/// Whether this process may make control groups, as its servers may then.
fn has_control_groups() -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut folders = mounts.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let is_second = after.starts_with("cgroup2 ");
        is_second.then(|| before.split(' ').nth(4))?
    });
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
    let path = folders
        .next()
        .zip(own)
        .map(|(folder, own)| Path::new(folder).join(own));
    path.is_some_and(|path| {
        let trial = path.join(format!("test-{}", std::process::id()));
        let is_made = fs::create_dir(&trial).is_ok();
        let can_kill = trial.join("cgroup.kill").exists();
        let _ = fs::remove_dir(trial);
        is_made && can_kill
    })
}

#[test]
fn one_that_leaves_the_group_and_its_input_is_killed_where_there_are_control_groups() {
    let setup = Setup::shards(1).profile(STOPS_SOON);
    let gateway = Gateway::start_with(&section("up", &[], ""), setup);
    gateway.wait_for("up_call");
    let mut connection = gateway.connect();
    let escape = |connection: &mut Connection, session: &Session| {
        let seen = numbers(&gateway, "escaped ").len();
        assert_eq!(text(&call(connection, Some(session), "escape")), "escaped");
        wait_until("it has escaped", || {
            let all = numbers(&gateway, "escaped ");
            all.get(seen).cloned()
        })
    };
    let [ended, crashed] = [(); 2].map(|()| Session::open(&mut connection));
    let of_ended = escape(&mut connection, &ended);
    let of_crashed = escape(&mut connection, &crashed);
    connection.exchange(&ended.delete());
    call(&mut connection, Some(&crashed), "exit");
    if has_control_groups() {
        wait_until_dead(&of_ended);
        wait_until_dead(&of_crashed);
        return;
    }
    // There it is left behind, as the documentation says.
    for process in [of_ended, of_crashed] {
        let process = Pid::from_raw(process.parse().expect("a number")).expect("a process");
        let _ = kill_process(process, Signal::KILL);
    }
}

#[test]
fn a_program_that_ends_again_and_again_before_it_answers_is_a_condition() {
    let folder = tempfile::TempDir::new().expect("a directory");
    let works = folder.path().join("works");
    fs::write(&works, "").expect("there is space");
    let (works_text, script) = (works.display(), script());
    let program = format!(
        "test -e {works_text} && exec sh {}; exit 3",
        script.display()
    );
    let section = format!("[[upstream]]\nname = \"up\"\ncommand = [\"sh\", \"-c\", {program:?}]\n");
    let setup = Setup::shards(1).profile("[gateway]\nfailures_max = 0\n");
    let gateway = Gateway::start_with(&section, setup.arguments(&["--metrics", "127.0.0.1:0"]));
    gateway.wait_for("up_call");
    let condition = || {
        let scrape = Scrape::of(gateway.server.metrics_address());
        scrape.sum(
            "corelane_condition",
            &[r#"condition="upstream_crash_loop""#],
        )
    };
    assert_eq!(condition(), 0.0);
    fs::remove_file(&works).expect("it is there");
    let mut connection = gateway.connect();
    wait_until("it keeps ending", || {
        let session = Session::open(&mut connection);
        let answer = call(&mut connection, Some(&session), "name");
        assert_eq!(answer["error"]["data"]["upstream"], "up", "{answer}");
        let log = gateway.server.log();
        log.contains("its program keeps ending before it answers")
            .then_some(())
    });
    wait_until("the condition holds", || (condition() == 1.0).then_some(()));
    let ends = || gateway.server.log().matches("exit status: 3").count();
    let before = ends();
    let session = Session::open(&mut connection);
    let answer = call(&mut connection, Some(&session), "name");
    assert_eq!(answer["error"]["data"]["executed"], "no", "{answer}");
    assert_eq!(ends(), before, "it is not started in a minute");
}

#[test]
fn many_starts_and_stops_leave_no_process_behind() {
    // The long form has 1,000.
    let calls = std::env::var("CORELANE_PROCESSES");
    let calls = calls.map_or(20, |it| it.parse().expect("a number"));
    for arguments in [&[][..], &["stubborn"]] {
        let setup = Setup::shards(1).profile(STOPS_SOON);
        let section = section("up", arguments, "sessions = \"call\"");
        let gateway = Gateway::start_with(&section, setup);
        gateway.wait_for("up_call");
        let mut connection = gateway.connect();
        let mut seen: Vec<_> = (0..calls).map(|_| process(&mut connection, None)).collect();
        let children = wait_until("only that of the lists is left", || {
            let children = gateway.server.children();
            (children.len() <= 1).then_some(children)
        });
        seen.iter().for_each(|process| wait_for_end(process));
        gateway.server.signal("TERM");
        assert!(gateway.server.wait_for_exit().success());
        seen = children;
        seen.extend(sleepers(&gateway));
        seen.iter().for_each(|process| wait_until_dead(process));
    }
}
