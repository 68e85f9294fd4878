//! The probes on the texts of several kinds of host, and on each fault by itself.

mod faults;

use std::collections::BTreeSet;
use std::path::Path;

use corelane::Profile;

use faults::{BLOCKED, FAULTS};

use super::finding::Outcome;
use super::host::Host;
use super::plan::Plan;
use super::{PROBES, examine, report, script};

/// The hosts under `samples`: see the README there.
const SAMPLES: &[(&str, &str)] = &[
    (
        "virtual-machine",
        include_str!("samples/virtual-machine.txt"),
    ),
    ("two-sockets", include_str!("samples/two-sockets.txt")),
    ("container", include_str!("samples/container.txt")),
    ("cgroup-v1", include_str!("samples/cgroup-v1.txt")),
];

/// A sample has a line `== PATH` before the text of each file.
fn parse(text: &str) -> Host {
    let mut host = Host::default();
    for part in text.split("== ").skip(1) {
        let (path, text) = part.split_once('\n').expect("a path has a text");
        host.insert(path, text);
    }
    host
}

fn sample(name: &str) -> Host {
    let sample = SAMPLES.iter().find(|it| it.0 == name);
    parse(sample.unwrap_or_else(|| panic!("no sample {name}")).1)
}

/// A host, the changes of its sample, and the server that it is examined for.
struct Case {
    host: &'static str,
    changes: &'static [(&'static str, &'static str)],
    profile: &'static str,
    connections: Option<u64>,
    start_error: &'static str,
}

/// The virtual machine as it is, and a server with defaults.
const PLAIN: Case = Case {
    host: "virtual-machine",
    changes: &[],
    profile: "",
    connections: None,
    start_error: "",
};

impl Case {
    fn outcomes(&self) -> Vec<Outcome> {
        let mut host = sample(self.host);
        for (path, text) in self.changes {
            host.insert(path, text);
        }
        let profile = Profile::from_toml(self.profile).expect("the profile is valid");
        let mut plan = Plan::new(profile, self.connections, &self.planned_on(&host));
        plan.start_error = Some(self.start_error.to_owned()).filter(|it| !it.is_empty());
        examine(&host, &plan)
    }

    /// The host without the quotas of its sample, so that each of its cores has a shard. A quota
    /// among the changes stays.
    fn planned_on(&self, host: &Host) -> Host {
        let mut planned = sample(self.host);
        let changed: Vec<&str> = self.changes.iter().map(|(path, _)| *path).collect();
        for (path, text) in host.files() {
            let text = match path.rsplit('/').next() {
                Some("cpu.max") if !changed.contains(&path) => "max 100000",
                Some("cpu.cfs_quota_us") if !changed.contains(&path) => "-1",
                _ => text,
            };
            planned.insert(path, text);
        }
        planned
    }

    /// The lines of the findings of one probe.
    fn lines(&self, probe: &str) -> Vec<String> {
        let mut outcomes = self.outcomes();
        outcomes.retain(|it| it.probe.name == probe);
        assert!(outcomes[0].faults.is_some(), "{probe} lacks a text");
        report(&outcomes).lines().map(str::to_owned).collect()
    }
}

/// The names of the probes with findings.
fn found(outcomes: &[Outcome]) -> Vec<&'static str> {
    let found = outcomes
        .iter()
        .filter(|it| it.faults.as_ref().is_some_and(|faults| !faults.is_empty()));
    found.map(|it| it.probe.name).collect()
}

/// Writes the texts of this host to the file that CORELANE_WRITE_SAMPLE names, as a new sample.
#[test]
fn this_host_makes_a_sample() {
    let host = Host::read(Path::new("/"));
    let files = host
        .files()
        .map(|(path, text)| format!("== {path}\n{text}\n"));
    let text: String = files.collect();
    assert!(text.contains("== proc/self/status\n"), "{text}");
    assert!(parse(&text).files().eq(host.files()), "{text}");
    if let Some(path) = std::env::var_os("CORELANE_WRITE_SAMPLE") {
        std::fs::write(path, text).expect("the sample can be written");
    }
}

#[test]
fn hosts_have_these_findings() {
    let bare = "mitigations memory huge_pages quota smt numa numa_balancing syn_backlog \
                slow_start send_queues";
    let inside = "seccomp mitigations memory huge_pages quota smt numa_balancing syn_backlog \
                  slow_start";
    for (host, start_error, expected) in [
        (
            "virtual-machine",
            "",
            "mitigations syn_backlog slow_start queues",
        ),
        ("two-sockets", "", bare),
        ("cgroup-v1", "", bare),
        ("container", BLOCKED, inside),
    ] {
        let outcomes = Case {
            host,
            start_error,
            ..PLAIN
        }
        .outcomes();
        assert_eq!(found(&outcomes).join(" "), expected, "{host}");
        let missing = outcomes.iter().filter(|it| it.faults.is_none());
        let missing: Vec<_> = missing.map(|it| it.probe.name).collect();
        // Only the first network namespace has the setting.
        let hidden = if host == "container" {
            &["tcp_memory"][..]
        } else {
            &[]
        };
        assert_eq!(missing, hidden, "{host}");
    }
}

#[test]
fn each_fault_is_found_by_its_probe() {
    let mut seen = BTreeSet::new();
    for &(probe, ref case, expected) in FAULTS {
        let lines = case.lines(probe).join("\n");
        let line = lines.strip_prefix(probe).unwrap_or_default();
        let line = line.strip_prefix(" (note)").unwrap_or(line);
        let line = line.strip_prefix(": ").unwrap_or_default();
        let is_one = !line.contains('\n') && line.contains("; why: ");
        assert!(
            is_one && line.starts_with(expected),
            "{probe}: {lines}\n{expected}"
        );
        seen.insert(probe);
    }
    let all = PROBES.iter().copied().flatten();
    assert_eq!(seen, all.map(|it| it.name).collect());
}

/// One shard is started on trial, and the server may have more.
#[test]
fn too_little_locked_memory_is_one_finding_with_the_sum_of_all_shards() {
    let case = |profile| Case {
        host: "container",
        profile,
        start_error: "shard 0 needs 712 KiB of locked memory, and the limit (RLIMIT_MEMLOCK) is 8",
        ..PLAIN
    };
    let twelve = case("[server]\nshards = 12");
    assert_eq!(twelve.lines("start"), [""; 0]);
    assert!(twelve.lines("locked_memory")[0].contains("12 shards lock 8544"));
    // With enough for the server alone, other processes have taken it.
    let one = case("[server]\nshards = 1");
    assert_eq!(one.lines("locked_memory"), [""; 0]);
    assert_eq!(one.lines("start").len(), 1);
}

#[test]
fn one_shard_is_no_plural() {
    let case = Case {
        host: "two-sockets",
        changes: &[("sys/fs/cgroup/system.slice/cpu.max", "5000 100000")],
        profile: "[server]\nshards = 1",
        ..PLAIN
    };
    let line = &case.lines("quota")[0];
    assert!(line.contains(" cores for 1 shard; fix"), "{line}");
}

#[test]
fn a_limit_on_all_memory_of_a_shard_is_enough_for_the_host() {
    let case = |profile| Case {
        host: "two-sockets",
        profile,
        ..PLAIN
    };
    assert_eq!(case("").lines("memory").len(), 1);
    let limited = case("[overload]\nmemory_bytes_max = 67_108_864");
    assert_eq!(limited.lines("memory"), [""; 0]);
}

/// A host that suits a small server on one of its cores.
#[test]
fn a_host_without_faults_has_no_findings() {
    let case = Case {
        host: "two-sockets",
        changes: &[
            ("proc/sys/kernel/numa_balancing", "0"),
            ("proc/sys/net/ipv4/tcp_max_syn_backlog", "4096"),
            ("proc/sys/net/ipv4/tcp_slow_start_after_idle", "0"),
            (
                "sys/kernel/mm/transparent_hugepage/enabled",
                "always [madvise] never",
            ),
            (
                "sys/devices/system/cpu/vulnerabilities/l1tf",
                "Not affected",
            ),
        ],
        profile: "[server]\ncores = \"4\"\n[connection]\ninput_bytes_max = 67_108_864\n\
            [calls]\nbytes_max = 67_108_864\n[http]\nbody_bytes_max = 1_048_576\n\
            [lines]\nmessage_bytes_max = 1_048_576\n",
        ..PLAIN
    };
    let notes_only = ["mitigations"];
    assert_eq!(found(&case.outcomes()), notes_only);
}

#[test]
fn a_server_on_standard_input_and_output_needs_no_network() {
    let case = Case {
        profile: "[server]\nstdio = true",
        ..PLAIN
    };
    assert_eq!(found(&case.outcomes()), ["mitigations"]);
}

#[test]
fn a_text_that_is_missing_is_no_finding() {
    let host = Host::default();
    let plan = Plan::new(Profile::default(), None, &host);
    let outcomes = examine(&host, &plan);
    assert_eq!(found(&outcomes), [""; 0]);
    let known: Vec<_> = outcomes.iter().filter(|it| it.faults.is_some()).collect();
    let known: Vec<_> = known.iter().map(|it| it.probe.name).collect();
    // A server starts, has no cards to tune, and no connections are tracked.
    assert_eq!(known, ["start", "governor", "conntrack"]);
}

/// Texts that are cut off or wrong end no probe.
#[test]
fn texts_that_are_wrong_are_no_panic() {
    for (name, _) in SAMPLES {
        let good = sample(name);
        for (path, text) in good.files() {
            let half = &text[..text.floor_char_boundary(text.len() / 2)];
            for wrong in ["", "x", "-1", "99999999999999999999 0", "0 0 0", half] {
                let mut host = sample(name);
                host.insert(path, wrong);
                let plan = Plan::new(Profile::default(), None, &host);
                report(&examine(&host, &plan));
            }
        }
    }
}

#[test]
fn the_script_has_the_commands_and_changes_as_comments() {
    let outcomes = Case {
        host: "two-sockets",
        start_error: "line 1\nline 2",
        ..PLAIN
    }
    .outcomes();
    let script = script(&outcomes);
    let commands = script
        .lines()
        .filter(|it| !it.is_empty() && !it.starts_with('#'));
    let commands: Vec<&str> = commands.collect();
    assert_eq!(
        commands[..3],
        [
            "set -eu",
            "sysctl -w kernel.numa_balancing=0",
            "sysctl -w net.ipv4.tcp_max_syn_backlog=4096",
        ]
    );
    assert!(commands[4].starts_with("echo 00000001 >/sys/class/net/eth0/queues/tx-0/xps_cpus;"));
    assert_eq!(commands.len(), 5, "{commands:#?}");
    for comment in [
        "# by hand: --cores 0,2,4,6",
        "# echo madvise >",
        "# start: line 1 line 2;",
    ] {
        assert!(script.contains(comment), "{comment}: {script}");
    }
}

#[test]
fn the_documents_explain_each_probe() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/tuning.md");
    let text = std::fs::read_to_string(path).expect("the document is there");
    let rows = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let rows: BTreeSet<&str> = rows.map(|(name, _)| name).collect();
    for probe in PROBES.iter().copied().flatten() {
        assert!(
            rows.contains(probe.name),
            "docs/tuning.md has no row for {}",
            probe.name
        );
    }
}
