//! Starts that fail: one message with the fault and the remedy.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use corelane_tests::server::{Ended, binary};
use corelane_tests::{LivenessProbe, Setup, wait_until};

/// The process ends with `code`, and its message has all of `words`.
fn check(name: &str, ended: &Ended, codes: &[i32], words: &[&str]) {
    let Ended {
        code,
        output,
        error,
    } = ended;
    assert!(
        code.is_some_and(|code| codes.contains(&code)),
        "{name}: code {code:?}: {error}"
    );
    assert!(!error.contains("panicked"), "{name}: {error}");
    assert!(output.is_empty(), "{name}: {output}");
    assert!(
        (1..=12).contains(&error.lines().count()),
        "{name}: one message: {error}"
    );
    for word in words {
        assert!(
            error.contains(word),
            "{name}: {word:?} is missing in: {error}"
        );
    }
}

#[test]
fn usage_errors_name_the_argument() {
    for (arguments, words) in [
        (&["--no-such-flag"][..], &["--no-such-flag"][..]),
        (&["--shards", "many"], &["--shards", "many"]),
        (&["--shards"], &["--shards"]),
        (&["--shards", "0"], &["--shards", "0", "1..=256"]),
        (&["--shards", "257"], &["--shards", "257", "1..=256"]),
        (&["--directory", "docs=/d"], &["--directory", "docs://=/d"]),
        (&["--listen", "nowhere"], &["--listen", "nowhere"]),
        (&["--cores", "0-"], &["--cores", "0-"]),
        (&["--cores", "3-1"], &["--cores", "3-1"]),
        (&["--cores", "0,0"], &["--cores", "0"]),
        (&["--cores", ""], &["--cores"]),
        (&["--cores", "x"], &["--cores", "x"]),
        (&["surplus"], &["surplus"]),
    ] {
        let ended = Setup::bare(arguments).run_to_end();
        check(&arguments.join(" "), &ended, &[2], words);
    }
}

/// A server that everyone may use, behind a proxy.
const OPEN: &str = "[server]\nbehind_tls_proxy = true\npublic_without_auth = true\n\
                    allowed_hosts = [\"mcp.example.com\"]";

#[test]
fn values_that_cannot_be_had_are_named() {
    for (arguments, words) in [
        (&["--cores", "1023"][..], &["1023", "available"][..]),
        (
            &["--profile", "/no/such/profile.toml"],
            &["/no/such/profile.toml", "No such file"],
        ),
        (
            &["--listen", "192.0.2.1:0"],
            &["192.0.2.1", "interface", "0.0.0.0"],
        ),
        (
            &["--directory", "docs://=/no/such/directory"],
            &["the directory /no/such/directory: No such file"],
        ),
    ] {
        let setup = match arguments[0] {
            "--listen" => Setup::bare(arguments).profile(OPEN),
            _ => Setup::bare(&[arguments, &["--listen", "127.0.0.1:0"]].concat()),
        };
        let ended = setup.run_to_end();
        check(&arguments.join(" "), &ended, &[1, 2], words);
    }
}

#[test]
fn an_address_that_other_hosts_reach_is_refused_until_it_is_safe() {
    let listen = ["--listen", "127.0.0.1:0", "--listen", "0.0.0.0:0"];
    let ended = Setup::bare(&listen).run_to_end();
    assert_eq!((ended.code, ended.output.as_str()), (Some(1), ""));
    let lines: Vec<&str> = ended.error.lines().collect();
    assert_eq!(lines.len(), 3, "a line for each fault: {}", ended.error);
    for (line, remedies) in lines.iter().zip([
        ["--config corelane.toml", "public_without_auth = true"],
        ["https://", "behind_tls_proxy = true"],
        ["--allow-host", "allowed_hosts"],
    ]) {
        assert!(line.contains("http://0.0.0.0:0 "), "{line}");
        for remedy in remedies {
            assert!(line.contains(remedy), "{remedy}: {line}");
        }
    }
    let _safe = Setup::bare(&["--shards", "1"])
        .profile(OPEN)
        .listen("0.0.0.0:0")
        .start();
}

#[test]
fn a_profile_that_is_wrong_is_named_with_key_and_range() {
    for (profile, words) in [
        (
            "[http]\nno_such_key = 1",
            &["no_such_key", "line 2", "body_bytes_max"][..],
        ),
        ("[no_such_section]\na = 1", &["no_such_section", "line 1"]),
        (
            "[http]\nbody_bytes_max = 1",
            &["http.body_bytes_max", "1", "1024", "1073741824"],
        ),
        (
            "[ring]\nbuffer_count = 100",
            &["ring.buffer_count", "100", "power of two"],
        ),
        (
            "[connection]\nhead_timeout_ms = \"1s\"",
            &["connection.head_timeout_ms", "line 2", "86_400_000"],
        ),
        ("[http]\nbody_bytes_max = ", &["line 2"]),
        (
            "[lanes]\nreply = 1\nrequest = 2",
            &["lanes.request", "lanes.reply"],
        ),
    ] {
        let setup = Setup::bare(&["--listen", "127.0.0.1:0"]).profile(profile);
        let ended = setup.run_to_end();
        check(profile, &ended, &[1], words);
        check(profile, &ended, &[1], &["corelane-test-", ".toml"]);
    }
}

#[test]
fn a_core_section_for_a_core_that_is_not_there_is_refused() {
    // The last bit of a mask: no machine of a test has this core.
    let profile = "[[core]]\nid = 1023";
    for arguments in [&["--listen", "127.0.0.1:0"][..], &["--stdio"]] {
        let ended = Setup::bare(arguments).profile(profile).run_to_end();
        check(profile, &ended, &[1], &["[[core]]", "1023", "may run on"]);
    }
}

#[test]
fn an_address_on_the_command_line_wins_over_stdio_of_the_profile() {
    let profile = "[server]\nstdio = true";
    let server = Setup::shards(1).profile(profile).start();
    LivenessProbe::of(&server).check("listening");
    for arguments in [["--shards", "1"], ["--allow-host", "mcp.example.com"]] {
        let ended = Setup::bare(&arguments).profile(profile).run_to_end();
        let words = [arguments[0], "server.stdio", "--listen"];
        check(arguments[0], &ended, &[1], &words);
    }
}

#[test]
fn a_wrong_filter_of_the_log_is_reported_and_the_profile_counts() {
    let setup = Setup::shards(1).profile("[log]\nlevel = \"info\"");
    let server = setup.variable("RUST_LOG", "corelane=loud").start();
    server.signal("TERM");
    wait_until("a report", || {
        let log = server.log();
        (log.contains("RUST_LOG is ignored") && log.contains("draining")).then_some(())
    });
}

#[test]
fn the_ends_of_every_allowed_range_can_be_served() {
    for profile in [
        "[json]\ndepth_max = 256",
        "[json]\ndepth_max = 8\nnodes_max = 64",
        "[http]\nheaders_max = 64",
        "[http]\nhead_bytes_max = 1024\ntarget_bytes_max = 16\nheaders_max = 8",
        "[ring]\nsubmission_entries = 64\ncompletion_entries = 128\nbuffer_count = 16\n\
         buffer_bytes = 512\ndescriptors = 16\n[budget]\ncompletions_per_turn = 128",
        "[budget]\ncompletions_per_turn = 1\nrequests_per_connection_per_turn = 1\nlane_batch = 4",
        "[lanes]\ncontrol = 1\nreply = 1\nrequest = 1\nbulk = 1",
        "[connection]\nlinger_timeout_ms = 0\nlinger_bytes_max = 0\noutput_bytes_max = 4096\n\
         pipelined_bytes_max = 16384",
        "[executor]\nidle_wait_us = 0",
        "[calls]\nin_flight_max = 1\nevents_queued_max = 1",
        "[tasks]\nper_shard_max = 1\nper_owner_max = 1\nttl_default_ms = 1000\nttl_max_ms = 1000\n\
         poll_interval_ms = 10\nresult_bytes_max = 1024\nbytes_max = 1048576\n\
         per_listen_max = 0",
        "[offload]\nthreads = 1\nqueue_max = 1",
        "[catalog]\npage_entries_max = 1",
        "[log]\nlevel = \"trace\"\nformat = \"json\"",
        "[log]\nlevel = \"off\"",
    ] {
        for shards in [1, 2] {
            let server = Setup::shards(shards).profile(profile).start();
            for _ in 0..4 {
                LivenessProbe::of(&server).check(profile);
            }
        }
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let address = taken
        .local_addr()
        .expect("a bound socket has an address")
        .to_string();
    let ended = Setup::bare(&["--shards", "1", "--listen", &address]).run_to_end();
    check("taken", &ended, &[1], &[&address, "taken", "--listen"]);
}

/// Shards share their port with each other, but not with another server: half of the clients
/// would silently get to the wrong one.
#[test]
fn a_second_server_does_not_share_the_port_of_the_first() {
    let server = Setup::shards(2).start();
    let mut probe = LivenessProbe::of(&server);
    let address = server.address().to_string();
    let ended = Setup::bare(&["--shards", "1", "--listen", &address]).run_to_end();
    check("second", &ended, &[1], &[&address, "taken", "--listen"]);
    probe.check("a second server");
}

#[test]
fn too_few_files_to_start_with_are_named() {
    let setup = Setup::bare(&["--shards", "1", "--listen", "127.0.0.1:0"]).open_files_max(20);
    check(
        "few files",
        &setup.run_to_end(),
        &[1],
        &["open files", "20", "64", "ulimit -n"],
    );
}

#[test]
fn too_little_locked_memory_is_named_with_what_a_shard_needs_and_the_knobs() {
    let knobs = ["--shards", "server.shards", "ring.completion_entries"];
    // The needs of one shard, and of three.
    let numbers = ["712 KiB", "100 KiB", "ulimit -l 2136", "LimitMEMLOCK="];
    let setup = Setup::bare(&["--shards", "3", "--listen", "127.0.0.1:0"]).locked_kib_max(100);
    let words = [&knobs[..], &numbers].concat();
    check("shards", &setup.run_to_end(), &[78], &words);
    let setup = Setup::bare(&["--stdio"]).locked_kib_max(100);
    let words = ["240 KiB", "100 KiB", "ulimit -l 512", "other processes"];
    check("stdio", &setup.run_to_end(), &[78], &words);
}

#[test]
fn a_host_that_hides_its_cores_is_named_with_the_remedy() {
    const WITHOUT_SYS: [&str; 6] = [
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        "mount -t tmpfs none /sys && exec \"$@\"",
        "sh",
    ];
    let mut unshare = Command::new("unshare");
    let allowed = unshare.args(WITHOUT_SYS).arg("true").status();
    if !allowed.is_ok_and(|it| it.success()) {
        println!("left out: this user may make no namespaces with unshare(1)");
        return;
    }
    let binary = binary();
    let corelane = [
        binary.to_str().expect("a path of text"),
        "serve",
        "--listen=127.0.0.1:0",
        "--cores=0",
    ];
    let arguments = [&WITHOUT_SYS[..], &corelane].concat();
    let ended = Setup::program(PathBuf::from("unshare"), &arguments).run_to_end();
    let words = ["/sys/devices/system/cpu/online", "mount", "pin = \"no\""];
    check("no sysfs", &ended, &[78], &words);
}

#[test]
fn connections_are_those_of_the_profile_or_of_the_limit_on_open_files_whichever_is_less() {
    let rings = 64 * 190;
    for (descriptors, expected, is_reported) in [
        (180, 180, false),
        (400, 400, false),
        (1_000_000, rings, true),
    ] {
        let server = Setup::shards(1)
            .profile(&format!("[ring]\ndescriptors = {descriptors}"))
            .open_files_max(200)
            .start();
        let line = format!("shards: 1, connections per shard: {expected}");
        wait_until(&line, || server.log().contains(&line).then_some(()));
        let report = format!("ring.descriptors = {descriptors} has no effect");
        match is_reported {
            true => wait_until(&report, || server.log().contains(&report).then_some(())),
            false => assert!(!server.log().contains(&report), "{}", server.log()),
        }
    }
}

#[test]
fn the_first_line_says_where_the_server_listens() {
    for shards in [1, 4] {
        let server = Setup::shards(shards).start();
        assert!(server.address().ip().is_loopback(), "{}", server.address());
        assert_ne!(server.address().port(), 0);
        let expected = format!("listening on http://{}/mcp", server.address());
        assert!(
            server.log().lines().any(|line| line.starts_with(&expected)),
            "{}",
            server.log()
        );
    }
}

#[test]
fn directories_whose_prefixes_overlap_are_refused() {
    let root = tempfile::TempDir::new().expect("a temporary directory");
    let path = root.path().display();
    for (one, other) in [("x://", "x://sub/"), ("x://sub/", "x://"), ("x://", "x://")] {
        let (one_argument, other_argument) = (format!("{one}={path}"), format!("{other}={path}"));
        let setup = Setup::bare(&["--listen", "127.0.0.1:0"]);
        let arguments = ["--directory", &one_argument, "--directory", &other_argument];
        let ended = setup.arguments(&arguments).run_to_end();
        let (one, other) = (format!("{one:?}"), format!("{other:?}"));
        check("overlap", &ended, &[1], &[&one, &other, "prefix"]);
    }
}

#[test]
fn a_profile_takes_the_names_of_addresses_as_the_command_line_does() {
    let server = Setup::bare(&["--shards", "1"])
        .profile("[server]\nlisten = \"localhost:0\"")
        .start();
    assert!(server.address().ip().is_loopback(), "{}", server.address());
    let setup = Setup::bare(&["--shards", "1"]).profile("[server]\nlisten = \"nowhere\"");
    let words = ["listen", "nowhere", "HOST:PORT", "127.0.0.1:8080"];
    check("nowhere", &setup.run_to_end(), &[1], &words);
}

#[test]
fn the_memory_that_clients_can_take_is_summed_and_compared_with_what_there_is() {
    let setup = |bytes: u64| {
        let line = format!("[calls]\nbytes_max = {bytes}\n[http]\nbody_bytes_max = 1048576");
        Setup::shards(2).profile(&line)
    };
    let (small, large) = (setup(32 << 20).start(), setup(64 << 20).start());
    let mib = |server: &corelane_tests::Server| -> u64 {
        // It is printed after the address, which is all that `start` waits for.
        let line = wait_until("the sum", || {
            let log = server.log();
            let mut lines = log.lines();
            let sum = lines.find_map(|line| line.strip_prefix("memory: up to "));
            sum.map(str::to_owned)
        });
        assert!(
            line.contains(" MiB by the bounds of the profile, "),
            "{line}"
        );
        let number = line.split(' ').next().unwrap_or_default();
        number
            .parse()
            .unwrap_or_else(|_| panic!("no number: {line}"))
    };
    // Two shards, each of which has the bound twice: for calls, and for what it forwards.
    assert_eq!(mib(&large) - mib(&small), 4 * 32);
}
