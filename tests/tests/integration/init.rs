//! The files of a new server, and the files for Prometheus and Grafana.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use corelane_tests::{Request, Session, Setup, binary};
use serde_json::json;

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let output = Command::new(binary())
        .args(arguments)
        .current_dir(folder)
        .output();
    output.expect("the binary runs")
}

#[test]
fn a_new_server_starts_with_its_files_and_they_are_never_replaced() {
    let home = tempfile::tempdir().expect("a folder");
    let output = run(home.path(), &["init", "made/here"]);
    assert!(output.status.success(), "{output:?}");
    let folder = home
        .path()
        .join("made/here")
        .canonicalize()
        .expect("it is made");
    let key = folder.join("state.key");
    let mode = key.metadata().expect("a key").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let made = std::fs::read(&key).expect("a key");

    let profile = folder.join("profile.toml");
    let profile = profile.to_str().expect("a path");
    let output = run(home.path(), &["profile", "check", profile]);
    assert!(output.status.success(), "{output:?}");
    // The ports of the files may be those of another server of this host.
    let arguments = ["--profile", profile, "--metrics", "127.0.0.1:0"];
    let server = Setup::shards(1).arguments(&arguments).start();
    let session = Session::open(&mut server.connect());
    let ping = server
        .connect()
        .exchange(&session.request(1, "ping", json!({})));
    assert_eq!(ping.status(), 200);
    let socket = folder.join("control.sock");
    let status = run(
        home.path(),
        &["status", "--socket", socket.to_str().expect("a path")],
    );
    assert!(status.status.success(), "{status:?}");

    // An example of the configuration, a server that is not there.
    let configuration = folder.join("corelane.toml");
    let text = std::fs::read_to_string(&configuration).expect("a file");
    let text = text.replacen(
        "# [[upstream]]\n# name = \"git\"\n# url",
        "[[upstream]]\nname = \"git\"\nurl",
        1,
    );
    std::fs::write(&configuration, text).expect("a file");
    drop(server);
    let server = Setup::shards(1).arguments(&arguments).start();
    assert_eq!(
        server
            .connect()
            .exchange(&Request::modern("l", "tools/list", json!({})))
            .status(),
        200
    );

    let output = run(&folder, &["init"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("profile.toml is there already"), "{text}");
    assert_eq!(std::fs::read(&key).expect("a key"), made);
}

#[test]
fn the_files_for_prometheus_and_grafana_are_those_of_the_repository() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    for (consumer, file) in [
        ("prometheus", "prometheus/corelane.rules.yml"),
        ("grafana", "grafana/corelane.json"),
    ] {
        let output = run(&deploy, &["rules", consumer]);
        assert_eq!(
            output.stdout,
            std::fs::read(deploy.join(file)).expect("a file")
        );
    }
}
