//! The parts of the package for Debian: manual pages, completions, configuration and scripts.
//! `deploy/debian/build.sh` makes the package, and `test.sh` beside it installs it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use corelane_tests::{Request, Setup, binary};
use serde_json::Value;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[track_caller]
fn succeeded(command: &mut Command) -> Output {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = [&*output.stdout, &*output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success(), "{command:?}: {text}");
    output
}

/// The names of the commands below `path`, as `--help` has them, each with its path.
fn commands_below(path: &[String], found: &mut BTreeSet<String>) {
    found.insert([&["corelane".to_owned()], path].concat().join("-"));
    let output = succeeded(Command::new(binary()).args(path).arg("--help"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let Some((_, list)) = text.split_once("\nCommands:\n") else {
        return;
    };
    let (list, _) = list.split_once("\n\n").expect("options follow");
    for line in list.lines().filter(|line| !line.starts_with("   ")) {
        let name = line.split_whitespace().next().expect("a name");
        if name != "help" {
            commands_below(&[path, &[name.to_owned()]].concat(), found);
        }
    }
}

#[test]
fn each_command_has_a_page_of_the_manual_without_faults() {
    let folder = tempfile::tempdir().expect("a directory");
    let pages = folder.path().join("man/man1");
    succeeded(Command::new(binary()).arg("man").arg(&pages));
    let mut expected = BTreeSet::new();
    commands_below(&[], &mut expected);
    assert!(expected.contains("corelane-profile-check"), "{expected:?}");
    let files = std::fs::read_dir(&pages).expect("pages");
    let files: Vec<PathBuf> = files.map(|it| it.expect("an entry").path()).collect();
    let names = files.iter().map(|it| {
        let name = it.file_name().expect("a name").to_string_lossy();
        name.trim_end_matches(".1").to_owned()
    });
    assert_eq!(names.collect::<BTreeSet<String>>(), expected);
    let mut mandoc = Command::new("mandoc");
    succeeded(mandoc.args(["-T", "lint", "-W", "warning"]).args(&files));
    // A folder that cannot be made has the exit code of I/O.
    let below_file = files[0].join("man1");
    let output = Command::new(binary()).arg("man").arg(&below_file).output();
    let output = output.expect("the server is built");
    assert_eq!(output.status.code(), Some(74), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains(".1/man1"));
}

#[test]
fn shells_read_their_completions() {
    let folder = tempfile::tempdir().expect("a directory");
    for (shell, only_reads) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let output = succeeded(Command::new(binary()).args(["completions", shell]));
        let text = String::from_utf8_lossy(&output.stdout);
        for command in ["serve", "status", "probe"] {
            assert!(text.contains(command), "{shell}: {command}");
        }
        let file = folder.path().join(shell);
        std::fs::write(&file, &output.stdout).expect("a file");
        let output = succeeded(Command::new(shell).arg(only_reads).arg(&file));
        assert!(output.stderr.is_empty(), "{shell}: {output:?}");
    }
}

#[test]
fn shellcheck_finds_no_fault_in_the_scripts() {
    let mut scripts = Vec::new();
    for folder in ["deploy", "deploy/debian", "deploy/docker"] {
        let files = std::fs::read_dir(repository().join(folder)).expect("a folder");
        for path in files
            .map(|it| it.expect("an entry").path())
            .filter(|it| it.is_file())
        {
            let text = std::fs::read(&path).expect("a file");
            if text.starts_with(b"#!") && !text.starts_with(b"#!/usr/bin/env python") {
                scripts.push(path);
            }
        }
    }
    assert!(scripts.len() >= 8, "{scripts:?}");
    let mut shellcheck = Command::new("shellcheck");
    // The scripts that these include are beside them.
    succeeded(
        shellcheck
            .args(["--external-sources", "--severity=warning"])
            .args(&scripts),
    );
}

/// The description of the package, as Cargo reads it.
fn package() -> Value {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version=1"]);
    let output = succeeded(cargo.current_dir(repository()));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("a list");
    let package = packages.iter().find(|it| it["name"] == "corelane-cli");
    package.expect("it is a member")["metadata"]["deb"].clone()
}

#[test]
fn the_package_has_the_files_of_the_unit_and_keeps_changed_configuration() {
    let package = package();
    let folder = repository().join("engine/cli");
    let build = repository().join("deploy/debian/build.sh");
    let build = std::fs::read_to_string(build).expect("the script");
    let mut installed = BTreeSet::new();
    for asset in package["assets"].as_array().expect("a list") {
        let text = |at: usize| asset[at].as_str().expect("text");
        let (source, place) = (text(0), text(1));
        let name = source.rsplit('/').next().expect("a name");
        let is_made = source.contains("target/");
        assert!(
            is_made || source.contains('*') || folder.join(source).is_file(),
            "{source}"
        );
        installed.insert(match place.ends_with('/') {
            true => format!("/{place}{name}"),
            false => format!("/{place}"),
        });
    }
    // Files of /etc are configuration, and all of it: dpkg keeps the changes of an administrator.
    let kept = package["conf-files"].as_array().expect("a list").iter();
    let kept: BTreeSet<&str> = kept.filter_map(Value::as_str).collect();
    let of_etc = installed.iter().filter(|it| it.starts_with("/etc/"));
    assert_eq!(kept, of_etc.map(String::as_str).collect::<BTreeSet<&str>>());
    for unit in ["corelane.service", "corelane-backup.service"] {
        let unit = repository().join("deploy/systemd").join(unit);
        let unit = std::fs::read_to_string(unit).expect("the unit");
        let (_, start) = unit.split_once("ExecStart=").expect("a command");
        let start = start.replace("\\\n", "");
        let start = start.lines().next().unwrap_or_default();
        for path in start
            .split_whitespace()
            .filter(|it| it.starts_with("/usr/") || it.starts_with("/etc/"))
        {
            assert!(installed.contains(path), "{path}");
        }
    }
    // A service without a configuration of its own is neither enabled nor started.
    for units in package["systemd-units"].as_array().expect("a list") {
        for key in ["enable", "start"] {
            assert_eq!(units[key], false);
        }
    }
    assert!(build.contains("lintian --fail-on error"));
}

#[test]
fn the_configuration_of_the_package_serves_nobody_yet() {
    let folder = repository().join("deploy/debian");
    let profile = std::fs::read_to_string(folder.join("profile.toml")).expect("the profile");
    let config = folder.join("corelane.toml").display().to_string();
    // The test has a port of its own.
    let profile = profile.replace("/etc/corelane/corelane.toml", &config);
    let server = Setup::shards(1)
        .profile(&profile)
        .arguments(&["--config", &config])
        .start();
    let refused = server
        .connect()
        .exchange(&Request::modern_call("echo", serde_json::json!({})));
    assert_eq!(refused.status(), 401, "{refused:?}");
    let ready = server
        .connect()
        .exchange(&Request::new("GET").path("/ready"));
    assert_eq!(ready.status(), 200);
}
