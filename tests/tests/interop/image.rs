//! The files of `deploy/docker`: validators accept them, and the collected image serves without
//! rights.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use corelane_tests::conformance::python;
use corelane_tests::{LivenessProbe, Setup, binary};
use serde_json::Value;

/// Starts a program in the image with what a container runtime mounts, as the user of the image.
const IN_IMAGE: &str = "for name in proc sys; do mount --rbind /$name \"$0/$name\" || exit; done; \
                        exec chroot \"$0\" \"$@\"";
/// The options of unshare(1) for that: the user has rights in these namespaces alone.
const AS_USER: [&str; 4] = [
    "--map-user=65532",
    "--map-group=65532",
    "--keep-caps",
    "--mount",
];

fn deployed(name: &str) -> String {
    format!("{}/../deploy/docker/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[track_caller]
fn succeeded(output: std::io::Result<Output>) -> String {
    let output = output.expect("perf-scripts/test.sh installs the program");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn validators_accept_the_files_for_containers() {
    let hadolint = Command::new(python("hadolint"))
        .arg(deployed("Dockerfile"))
        .output();
    assert_eq!(succeeded(hadolint), "");
    let compose = Command::new(python("docker-compose"))
        .args(["--file", &deployed("compose.yaml")])
        .args(["config", "--format", "json"])
        .output();
    let compose: Value = serde_json::from_str(&succeeded(compose)).expect("JSON");
    let services = compose["services"].as_object().expect("an object");
    let volumes = services.values().filter_map(|it| it["volumes"].as_array());
    let mut mounted = 0;
    for volume in volumes.flatten().filter(|it| it["type"] == "bind") {
        let source = volume["source"].as_str().expect("a path");
        let is_own = source.ends_with("docker/corelane");
        assert!(is_own || Path::new(source).is_file(), "{source}");
        mounted += 1;
    }
    assert_eq!(mounted, 6);
    let server = &services["corelane"];
    assert_eq!(server["read_only"], true);
    for image in services.values().map(|it| it["image"].as_str()) {
        let (_, tag) = image.and_then(|it| it.split_once(':')).expect("a tag");
        assert!(tag != "latest", "{image:?}");
    }
}

#[test]
fn the_stack_replaces_its_replicas_one_by_one_on_prepared_nodes() {
    let path = deployed("stack.yaml");
    let stack = Command::new(python("docker-compose"))
        .args(["--file", &path, "config", "--format", "json"])
        .output();
    let stack: Value = serde_json::from_str(&succeeded(stack)).expect("JSON");
    let server = &stack["services"]["corelane"];
    assert_eq!(server["read_only"], true);
    // A swarm ignores it: a file with it would promise a list that no container has.
    assert!(server.get("security_opt").is_none());
    let deploy = &server["deploy"];
    assert_eq!(deploy["update_config"]["order"], "start-first");
    assert_eq!(deploy["update_config"]["failure_action"], "rollback");
    let constraints = &deploy["placement"]["constraints"];
    assert_eq!(constraints[0], "node.labels.corelane == true");
    let text = std::fs::read_to_string(path).expect("the stack");
    let head = text.split("services:").next().expect("a comment");
    assert!(head.contains("daemon.json") && head.contains("\"seccomp-profile\""));
}

/// The image with the program that is tested, in `folder`.
fn collect(folder: &Path) -> PathBuf {
    let image = folder.join("image");
    let collected = Command::new(deployed("collect.sh"))
        .args([&binary(), &image])
        .output();
    succeeded(collected);
    image
}

fn files_in(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        match entry.path().is_dir() {
            true => files_in(&entry.path(), found),
            false => drop(found.insert(entry.file_name().to_string_lossy().into_owned())),
        }
    }
}

/// The health check of the Dockerfile, for this server.
fn health_check(address: &str) -> Command {
    let text = std::fs::read_to_string(deployed("Dockerfile")).expect("the file");
    let (_, rest) = text.split_once("HEALTHCHECK").expect("it has one");
    let (_, rest) = rest.split_once("CMD ").expect("a command");
    let line = rest.lines().next().expect("a line");
    let words: Vec<String> = serde_json::from_str(line).expect("a list of words");
    assert_eq!(words[0], "/usr/bin/corelane");
    let mut command = Command::new(binary());
    let words = words[1..].iter();
    command.args(words.map(|word| word.replace("127.0.0.1:8080", address)));
    command
}

#[test]
fn the_image_serves_without_rights_and_has_no_shell() {
    let folder = tempfile::tempdir().expect("a directory");
    let image = collect(folder.path());
    let again = Command::new(deployed("collect.sh"))
        .args([&binary(), &image])
        .status();
    assert!(
        !again.expect("a shell").success(),
        "a folder is kept as it is"
    );
    let mut files = BTreeSet::new();
    files_in(&image, &mut files);
    assert!(
        files.contains("corelane") && files.contains("libc.so.6"),
        "{files:?}"
    );
    assert!(
        !["sh", "bash", "apt", "dpkg"]
            .iter()
            .any(|it| files.contains(*it))
    );
    let mut unshare = Command::new("unshare");
    if !unshare
        .args(AS_USER)
        .arg("true")
        .status()
        .is_ok_and(|it| it.success())
    {
        println!("the start is left out: this user may make no namespaces with unshare(1)");
        return;
    }
    let image = image.to_str().expect("a path of text");
    let program = ["sh", "-c", IN_IMAGE, image, "/usr/bin/corelane", "serve"];
    let arguments = [&AS_USER[..], &program].concat();
    let server = Setup::program(PathBuf::from("unshare"), &arguments).start();
    LivenessProbe::of(&server).check("the start");
    let address = server.address().to_string();
    succeeded(health_check(&address).output());
    server.signal("TERM");
    assert!(server.wait_for_exit().success(), "{}", server.log());
}
