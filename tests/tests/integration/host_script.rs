//! `perf-scripts/host.sh` on a directory in place of the host.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The values of a host before the script changes any.
const VALUES: &[(&str, &str)] = &[
    (
        "proc/interrupts",
        " CPU0 CPU1\n 40: 1 2 PCI-MSI 1-edge virtio2-input.0\n 41: 1 2 x eth1\n",
    ),
    ("proc/irq/40/smp_affinity_list", "0-1\n"),
    ("proc/irq/41/smp_affinity_list", "0-1\n"),
    ("proc/sys/fs/file-max", "9223372036854775807\n"),
    ("proc/sys/net/core/somaxconn", "4096\n"),
    ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
    ("proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t33554432\n"),
    ("proc/sys/net/ipv4/tcp_wmem", "4096\t16384\t1048576\n"),
    ("proc/sys/vm/swappiness", "60\n"),
    ("sys/class/net/eth0/queues/rx-0/rps_cpus", "0\n"),
    (
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
        "powersave\n",
    ),
    ("sys/devices/system/cpu/cpu1/online", "1\n"),
    ("etc/security/limits.conf", "# empty\n"),
    ("etc/systemd/system/corelane.service", "[Service]\n"),
];

fn host() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a folder can be made");
    for (path, text) in VALUES {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("below the root")).expect("made");
        fs::write(path, text).expect("written");
    }
    let device = root.path().join("sys/class/net/eth0/device");
    symlink("../../../virtio2", device).expect("linked");
    root
}

fn run(root: &Path, arguments: &[&str]) -> Output {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../perf-scripts/host.sh");
    let mut command = Command::new("bash");
    command
        .arg(script)
        .args(arguments)
        .env("CORELANE_HOST_ROOT", root);
    command.output().expect("there is a bash")
}

/// Runs the script, which succeeds, and returns its output.
fn succeed(root: &Path, arguments: &[&str]) -> String {
    let output = run(root, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && error.is_empty(),
        "{arguments:?}: {error}"
    );
    String::from_utf8(output.stdout).expect("output is UTF-8")
}

/// All files below the root with their words.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<String>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("readable") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let inner = path.strip_prefix(root).expect("below the root").to_owned();
                found.insert(inner, text.split_whitespace().map(str::to_owned).collect());
            }
        }
    }
    found
}

#[test]
fn showing_changes_nothing() {
    let root = host();
    let before = files(root.path());
    let shown = succeed(root.path(), &["show"]);
    for line in [
        "/proc/sys/net/core/somaxconn: 4096 -> 65535",
        "/proc/sys/fs/file-max is 9223372036854775807",
        "/proc/sys/net/ipv4/ip_local_port_range: 32768 60999 -> 1024 65535",
        "/proc/sys/net/ipv4/tcp_rmem: 4096 131072 33554432 -> 4096 16384 33554432",
        "/proc/sys/net/ipv4/tcp_wmem: 4096 16384 1048576 -> 4096 16384 4194304",
        "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor: powersave -> performance",
    ] {
        assert!(shown.lines().any(|it| it == line), "{line}: {shown}");
    }
    succeed(root.path(), &["show", "interrupts", "eth0", "0", "1"]);
    assert_eq!(files(root.path()), before);
}

#[test]
fn what_was_applied_once_or_twice_is_taken_back() {
    let root = host();
    let before = files(root.path());
    succeed(root.path(), &["apply"]);
    succeed(root.path(), &["apply", "interrupts", "eth0", "1", "0"]);
    let applied = files(root.path());
    for (path, value) in [
        ("proc/irq/40/smp_affinity_list", "1"),
        ("proc/irq/41/smp_affinity_list", "0-1"),
        ("proc/sys/fs/file-max", "9223372036854775807"),
        ("proc/sys/net/core/somaxconn", "65535"),
        ("proc/sys/vm/swappiness", "10"),
        ("sys/class/net/eth0/queues/rx-0/rps_cpus", "3"),
        (
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
            "performance",
        ),
    ] {
        assert_eq!(applied[Path::new(path)], [value], "{path}");
    }
    for path in [
        "etc/sysctl.d/90-corelane.conf",
        "etc/security/limits.d/90-corelane.conf",
        "etc/systemd/system/corelane.service.d/90-limits.conf",
    ] {
        assert!(applied.contains_key(Path::new(path)), "{path}: {applied:?}");
    }
    let kept = &applied[Path::new("etc/sysctl.d/90-corelane.conf")];
    let has = |name: &str| kept.iter().any(|word| word == name);
    assert!(has("net.core.somaxconn") && !has("fs.file-max"), "{kept:?}");
    succeed(root.path(), &["apply"]);
    assert_eq!(files(root.path()), applied);
    succeed(root.path(), &["revert"]);
    assert_eq!(files(root.path()), before);
    assert!(
        !run(root.path(), &["revert"]).status.success(),
        "nothing is left to revert"
    );
}

#[test]
fn files_of_somebody_else_are_left_alone() {
    let root = host();
    for path in [
        "etc/security/limits.d/90-corelane.conf",
        "etc/sysctl.d/90-corelane.conf",
    ] {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, "# by hand\n").expect("written");
    }
    let before = files(root.path());
    let shown = succeed(root.path(), &["apply"]);
    assert_eq!(shown.matches("left as it is").count(), 2, "{shown}");
    succeed(root.path(), &["revert"]);
    assert_eq!(files(root.path()), before);
}

#[test]
fn wrong_arguments_change_nothing() {
    let root = host();
    let before = files(root.path());
    for arguments in [
        &[][..],
        &["undo"],
        &["apply", "everything"],
        &["apply", "interrupts", "eth0"],
        &["apply", "interrupts", "eth9", "0"],
        &["apply", "interrupts", "eth0", "0", "32"],
        &["show", "interrupts", "eth0", "9"],
        &["revert", "sysctl"],
        &["revert"],
    ] {
        let output = run(root.path(), arguments);
        assert!(
            !output.status.success() && !output.stderr.is_empty(),
            "{arguments:?}"
        );
    }
    assert_eq!(files(root.path()), before);
}
