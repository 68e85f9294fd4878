//! `corelane check` and `corelane profile` on the host of the tests: output and exit codes.

use std::fs;
use std::process::{Command, Output};

use corelane_tests::Setup;
use corelane_tests::server::binary;

/// Runs `corelane` with these arguments behind `prefix`, a command of the shell.
fn run(prefix: &str, arguments: &[&str]) -> Output {
    let script = format!("{prefix} exec \"$0\" \"$@\"");
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(script).arg(binary()).args(arguments);
    shell.output().expect("there is a shell")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

#[test]
fn each_finding_is_a_line_with_fix_and_reason_and_decides_the_exit_code() {
    let output = run("", &["check"]);
    let (lines, summary) = (text(&output.stdout), text(&output.stderr));
    for line in lines.lines() {
        assert!(
            line.contains("; fix: ") && line.contains("; why: "),
            "{line}"
        );
    }
    let findings = lines.lines().filter(|line| !line.contains(" (note): "));
    let count = findings.count();
    let plural = if count == 1 { "" } else { "s" };
    let findings = format!(": {count} finding{plural}, ");
    assert!(summary.contains(&findings), "{summary}");
    assert_eq!(output.status.code(), Some(i32::from(count > 0)), "{lines}");
}

#[test]
fn a_host_on_which_the_server_does_not_start_is_found_with_its_message() {
    let ended = Setup::bare(&["--listen", "127.0.0.1:0"]);
    let ended = ended.open_files_max(50).run_to_end();
    let message = ended.error.trim_start_matches("corelane: ").trim_end();
    assert!(message.contains("50"), "{message}");
    let output = run("ulimit -n 50 &&", &["check"]);
    let lines = text(&output.stdout);
    assert!(
        lines.contains(&format!("start: {message}; fix: ")),
        "{lines}"
    );
    assert!(
        lines.contains("open_files: the hard limit on open files is 50,"),
        "{lines}"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_script_is_one_of_the_shell_and_holds_what_was_printed() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("fix.sh");
    let file = path.to_str().expect("UTF-8");
    // No host tracks that many connections with its usual limits on open files.
    let arguments = ["check", "--connections", "100000000", "--fix", file];
    let output = run("", &arguments);
    assert_eq!(output.status.code(), Some(1));
    let script = fs::read_to_string(&path).expect("the script was written");
    let checked = Command::new("sh").arg("-n").arg(&path).status();
    assert!(checked.expect("there is a shell").success(), "{script}");
    let lines = text(&output.stdout);
    let commands = lines.lines().filter_map(|line| line.split_once("; fix: `"));
    let commands: Vec<_> = commands
        .filter_map(|(_, rest)| rest.split_once("`; why"))
        .collect();
    assert!(!commands.is_empty(), "{lines}");
    for (command, _) in commands {
        assert!(script.contains(command), "{command}: {script}");
    }
}

#[test]
fn what_cannot_be_checked_has_an_exit_code_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let profile = folder.path().join("profile.toml");
    fs::write(&profile, "[lanes]\nreply = 1\nrequest = 2\n").expect("written");
    let profile = profile.to_str().expect("UTF-8");
    for (arguments, code, words) in [
        (
            &["check", "--profile", "/no/such.toml"][..],
            2,
            "/no/such.toml",
        ),
        (
            &["check", "--profile", profile],
            2,
            "lines 3 and 2: lanes.request",
        ),
        (&["check", "--fix", "/no/such/fix.sh"], 2, "/no/such/fix.sh"),
        (&["check", "--connections", "0"], 2, "--connections"),
        (
            &["tune", "--output", "/no/such/tuned.toml"],
            1,
            "cannot write /no/such/tuned.toml",
        ),
        (
            &["profile", "check", profile],
            1,
            "lines 3 and 2: lanes.request",
        ),
        (
            &["profile", "show", profile],
            1,
            "lines 3 and 2: lanes.request",
        ),
        (
            &["profile", "diff", profile, profile],
            2,
            "lines 3 and 2: lanes.request",
        ),
        (
            &["profile", "explain", "lanes.requests"],
            1,
            "lanes.request",
        ),
    ] {
        let output = run("", arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(words), "{arguments:?}: {error}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
    }
}

/// A profile that no server starts with is not valid; one for a larger machine is.
#[test]
fn a_profile_without_a_core_for_a_shard_is_not_valid() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let profile = folder.path().join("profile.toml");
    let path = profile.to_str().expect("UTF-8");
    let status = fs::read_to_string("/proc/self/status").expect("there is proc");
    let allowed = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let allowed = allowed.expect("proc names the cores").trim();
    let ranges = allowed
        .split(',')
        .map(|part| part.split_once('-').unwrap_or((part, part)));
    let number = |text: &str| text.parse::<usize>().expect("a core");
    let cores = ranges.flat_map(|(first, last)| number(first)..=number(last));
    let sections = cores.map(|id| format!("[[core]]\nid = {id}\nrole = \"offload\"\n"));
    fs::write(&profile, sections.collect::<String>()).expect("written");
    let output = run("", &["profile", "check", path]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("no core is left for a shard"), "{error}");

    fs::write(&profile, "[server]\ncores = \"1023\"\n").expect("written");
    let output = run("", &["profile", "check", path]);
    assert_eq!(output.status.code(), Some(0));
    let lines = text(&output.stdout);
    assert!(lines.contains(" is valid\nnote, "), "{lines}");
    assert!(lines.contains("core 1023 is not available"), "{lines}");
}

#[test]
fn profiles_are_shown_explained_compared_and_checked() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let profile = folder.path().join("profile.toml");
    fs::write(&profile, "[lanes]\nbulk = 7\n").expect("written");
    let profile = profile.to_str().expect("UTF-8");
    for (arguments, code, words) in [
        (&["profile", "show"][..], 0, "lanes.bulk = 1024\n"),
        (
            &["profile", "show", profile],
            0,
            "lanes.bulk = 7  # default: 1024\n",
        ),
        (&["profile", "explain", "lanes.bulk"], 0, "bulk = 1024\n"),
        (&["profile", "check", profile], 0, "is valid\n"),
        (&["profile", "diff", profile, profile], 0, ""),
        (
            &["profile", "diff", profile, "/dev/null"],
            1,
            "lanes.bulk = 7 -> 1024\n",
        ),
    ] {
        let output = run("", arguments);
        let answer = text(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {answer}");
        assert!(answer.contains(words), "{arguments:?}: {answer}");
        assert_eq!(text(&output.stderr), "", "{arguments:?}");
    }
}
