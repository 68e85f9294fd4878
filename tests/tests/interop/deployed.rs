//! The files of `deploy/` for systemd and for container runtimes, with the parsers that read them.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

use corelane_tests::{LivenessProbe, PATIENCE, Setup, binary};

/// The interpreter that the package python3-seccomp belongs to.
const PYTHON: &str = "/usr/bin/python3";

fn deployed(name: &str) -> String {
    format!("{}/../deploy/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A server under the list of system calls, without those that begin with `left_out`.
fn under_seccomp(left_out: &str, arguments: &[&str]) -> Setup {
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/interop/under_seccomp.py"
    );
    let (list, program) = (deployed("docker/seccomp.json"), binary());
    let program = program.to_str().expect("a path of text");
    let arguments = [&[script, &*list, left_out, program, "serve"], arguments].concat();
    Setup::program(PathBuf::from(PYTHON), &arguments)
}

#[test]
fn the_list_of_system_calls_is_enough() {
    let folder = tempfile::tempdir().expect("a directory");
    std::fs::write(folder.path().join("page.txt"), "text").expect("a file");
    let directory = format!("docs://={}", folder.path().display());
    let server = under_seccomp("-", &["--shards", "2", "--directory", &directory])
        .listen("tcp://127.0.0.1:0")
        .start();
    let mut probe = LivenessProbe::of(&server);
    probe.check("the start");
    drop(probe);
    server.signal("TERM");
    assert!(server.wait_for_exit().success(), "{}", server.log());
}

#[test]
fn a_list_without_io_uring_is_named() {
    let ended = under_seccomp("io_uring", &["--listen", "127.0.0.1:0"]).run_to_end();
    assert_eq!(ended.code, Some(78), "{}", ended.error);
    for word in ["io_uring", "deploy/docker/seccomp.json"] {
        assert!(ended.error.contains(word), "{}", ended.error);
    }
}

#[test]
fn systemd_learns_that_the_server_is_ready_and_that_it_ends() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager
        .set_read_timeout(Some(PATIENCE))
        .expect("it is valid");
    let mut received = [0; 64];
    let mut expect = |state: &str| {
        let length = manager.recv(&mut received).expect("a datagram");
        assert_eq!(String::from_utf8_lossy(&received[..length]).trim(), state);
    };
    let path = path.to_str().expect("a path of text");
    let server = Setup::shards(1).variable("NOTIFY_SOCKET", path).start();
    expect("READY=1");
    server.signal("TERM");
    expect("STOPPING=1");
    assert!(server.wait_for_exit().success(), "{}", server.log());
}

#[test]
fn systemd_accepts_the_units_and_finds_little_exposure() {
    // As installed, but for the programs, which it looks for.
    let program = binary().display().to_string();
    let folder = tempfile::tempdir().expect("a directory");
    for (name, installed, here) in [
        ("corelane.service", "/usr/bin/corelane", program),
        (
            "corelane-backup.service",
            "/usr/lib/corelane/backup.sh",
            deployed("backup.sh"),
        ),
    ] {
        let text = std::fs::read_to_string(deployed(&format!("systemd/{name}"))).expect("the unit");
        assert!(text.contains(&format!("ExecStart={installed} ")));
        let unit = folder.path().join(name);
        std::fs::write(&unit, text.replace(installed, &here)).expect("a file");
        analyzed(&["verify"], &unit);
        // In tenths: at most 2.0 of 10.
        analyzed(&["security", "--offline=true", "--threshold=20"], &unit);
    }
    let timer = folder.path().join("corelane-backup.timer");
    std::fs::copy(deployed("systemd/corelane-backup.timer"), &timer).expect("a copy");
    analyzed(&["verify"], &timer);
}

fn analyzed(arguments: &[&str], unit: &Path) {
    let mut command = Command::new("systemd-analyze");
    let output = command.args(arguments).arg(unit).output();
    let output = output.expect("systemd-analyze");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}");
    // It warns of keys that it does not know, and succeeds.
    assert!(!text.contains("Unknown"), "{text}");
}
