//! The conformance suite passes over each transport: both requirement sets against one process,
//! with few and many shards, over HTTP and, through a bridge, over the others, except for the
//! failures in `tests/conformance/expected-failures-*.yml`. It passes through the gateway, too.

#[path = "conformance/gateway.rs"]
mod gateway;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;

use corelane_tests::conformance::{Bridge, Expectation, check_run, run};
use corelane_tests::{Authority, Setup};

/// A requirement set, and the number of scenarios that it runs, scored or not. The suite is pinned,
/// so another number means that scenarios are missing.
const SETS: &[Set] = &[("2025-11-25", 33), ("2026-07-28", 50)];

type Set = (&'static str, usize);

/// A name, an address to listen on, and the number of shards.
type Transport = (&'static str, &'static str, usize);

/// HTTP as it is; the suite reaches the others through a bridge.
const TRANSPORTS: &[Transport] = &[
    ("http", "http://127.0.0.1:0", 2),
    ("http-4-shards", "http://127.0.0.1:0", 4),
    ("https", "https://127.0.0.1:0", 2),
    ("ws", "ws://127.0.0.1:0", 2),
    ("wss", "wss://127.0.0.1:0", 2),
    ("tcp", "tcp://127.0.0.1:0", 2),
    ("tcps", "tcps://127.0.0.1:0", 2),
    ("unix", "unix://FOLDER/socket", 2),
    ("stdio", "stdio", 1),
];

/// Transports that are checked at a time. The suite mostly waits, so that they share the cores; a
/// process may lock the memory of some ten shards with the usual limit.
const AT_ONCE_MAX: usize = 4;

/// Sets of a transport that may differ while several transports are checked, and not when each is
/// checked again alone. More of them are no accident: a second try would hide a fault.
const RETRIED_MAX: usize = 2;

/// A set that differed from the list of failures over a transport.
struct Difference {
    set: Set,
    surprises: Vec<String>,
}

/// Runs sets against a server of its own, and returns those that differ.
fn check(transport: &Transport, sets: &[Set]) -> Vec<Difference> {
    let (name, address, shards) = *transport;
    if address == "stdio" {
        return check_at((Bridge::to_program().url(), name), "channel-", sets);
    }
    let folder = tempfile::tempdir().expect("a directory");
    let address = address.replace("FOLDER", folder.path().to_str().expect("it is UTF-8"));
    let setup = Setup::shards(shards).profile(&Authority::shared().profile());
    let server = setup.listen(&address).start();
    let address = &server.addresses()[1];
    let kind = if address.starts_with("http") {
        ""
    } else {
        "channel-"
    };
    let differences = match address.starts_with("http://") {
        true => check_at((&format!("{address}/mcp"), name), kind, sets),
        false => check_at((Bridge::to_address(address).url(), name), kind, sets),
    };
    server.assert_alive();
    differences
}

/// Runs sets, and compares them with the lists of failures that belong to this kind of server.
fn check_at((url, server): (&str, &str), kind: &str, sets: &[Set]) -> Vec<Difference> {
    let mut differences = Vec::new();
    for set in sets {
        let (revision, scenarios) = set;
        let results = results_folder(revision, server);
        let run = run(url, revision, &results);
        assert_eq!(run.scenarios.len(), *scenarios, "scenarios of {revision}");
        let result = check_run(&run, &expectation(&format!("{kind}{revision}")));
        println!(
            "{revision}, {server}: {} of {scenarios} scenarios and {} checks passed, failed as \
             listed: {}",
            result.scenarios_passed,
            result.checks_passed,
            result.expected.join(", "),
        );
        if !result.surprises.is_empty() {
            let said = result.surprises.iter();
            differences.push(Difference {
                set: *set,
                surprises: said
                    .map(|said| format!("{server} {revision} {said}"))
                    .collect(),
            });
        }
    }
    differences
}

fn expectation(list: &str) -> Expectation {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance");
    let path = folder.join(format!("expected-failures-{list}.yml"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{error}: {path:?}"));
    Expectation::parse(&text).unwrap_or_else(|error| panic!("{error:?}: {path:?}"))
}

/// An empty folder for the suite's files, kept after the run to look into.
fn results_folder(revision: &str, server: &str) -> PathBuf {
    let name = format!("conformance-{revision}-{server}");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("results of an earlier run can be removed");
    }
    folder
}

/// Writes a line that is seen also if the test passes.
fn report(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("standard error is open");
}

/// Checks all of them, several at a time, and returns the sets that differed.
fn check_all<'a, T: Sync>(
    all: &'a [T],
    check: impl Fn(&'a T) -> Vec<Difference> + Sync,
) -> Vec<(&'a T, Difference)> {
    let rest = Mutex::new(all.iter());
    let next = || rest.lock().expect("nothing panics with it").next();
    let work = || {
        let mut differed = Vec::new();
        while let Some(one) = next() {
            let differences = check(one).into_iter();
            differed.extend(differences.map(|it| (one, it)));
        }
        differed
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE_MAX).map(|_| scope.spawn(work)).collect();
        let ends = workers.into_iter().map(|it| it.join().expect("its runs"));
        ends.flatten().collect()
    })
}

/// The suite waits 1.5 s for some notifications, which a busy machine can exceed: a set that
/// differs while several transports are checked is checked again alone, and that result counts.
#[test]
fn both_revisions_conform_over_each_transport() {
    check_twice(TRANSPORTS, SETS.len(), check, |_| SETS);
}

/// Checks the sets of all of them, and those that differ again alone.
fn check_twice<'a, T: Sync>(
    all: &'a [T],
    sets: usize,
    check: impl Fn(&'a T, &[Set]) -> Vec<Difference> + Sync,
    sets_of: impl Fn(&'a T) -> &'a [Set] + Sync,
) {
    // Another test would keep the cores busy.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let differed = check_all(all, |it| check(it, sets_of(it)));
    let mut surprises = Vec::new();
    for (one, first) in &differed {
        report(&format!(
            "conformance differed, and is checked again alone:\n{}",
            first.surprises.join("\n")
        ));
        let again = check(one, &[first.set]);
        surprises.extend(again.into_iter().flat_map(|it| it.surprises));
    }
    report(&format!(
        "conformance: {} of {} sets were checked a second time",
        differed.len(),
        all.len() * sets
    ));
    let folder = env!("CARGO_TARGET_TMPDIR");
    assert!(
        surprises.is_empty(),
        "{}\nresults are in {folder}",
        surprises.join("\n")
    );
    assert!(
        differed.len() <= RETRIED_MAX,
        "more than {RETRIED_MAX} sets passed only alone: see above what failed at first"
    );
}
