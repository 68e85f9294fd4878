//! The drill of `deploy/backup.sh`: a server is saved while it runs, killed and wiped, and clients
//! go on with the restored state.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use corelane_guard::api_key;
use corelane_tests::request::{CAPABILITIES_KEY, LEGACY};
use corelane_tests::{Request, Response, Server, Session, Setup, binary, wait_until};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A tool that elicits.
const ELICITS: &str = "test_input_required_result_elicitation";
const TOOL: &str = "test_simple_text";

/// A host with a server: its configuration and its state, as the package for Debian has them, and
/// its keys in a place of their own.
struct Host {
    root: TempDir,
    api_key: String,
}

impl Host {
    fn new() -> Host {
        let (api_key, sha256) = api_key::create("ci", &[9; 32]).expect("an id");
        let host = Host {
            root: tempfile::tempdir().expect("a directory"),
            api_key,
        };
        for folder in ["etc/keys", "lib", "backups", "safe/keys"] {
            fs::create_dir_all(host.path(folder)).expect("a directory");
        }
        // 32 bytes of 1, as `openssl rand -base64 32` writes them.
        host.write("etc/keys/state", &("AQEB".repeat(10) + "AQE=\n"), 0o600);
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
        host.write("etc/keys/audit", &key.serialize_pem(), 0o600);
        for key in ["keys/state", "keys/audit"] {
            let (from, to) = (host.path("etc").join(key), host.path("safe").join(key));
            fs::copy(from, to).expect("a copy with its mode");
        }
        let (etc, lib) = (host.text("etc"), host.text("lib"));
        let profile = format!(
            "[server]\nstate_key_files = [\"{etc}/keys/state\"]\n\
             access_file = \"{etc}/corelane.toml\"\n\
             [sessions]\nid_max_age_s = 3600\n[limits]\nquota_write_interval_ms = 100\n"
        );
        host.write("etc/profile.toml", &profile, 0o644);
        let digits: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        let access = format!(
            "[auth]\nresource = \"https://mcp.example.com/mcp\"\n\
             [[auth.api_key]]\nid = \"ci\"\nsha256 = \"{digits}\"\n\
             [policy]\ndefault = \"authenticated\"\n\
             [audit]\ndirectory = \"{lib}/audit\"\nsigning_key_file = \"{etc}/keys/audit\"\n\
             node = \"n\"\ncalls = \"all\"\nsync = \"always\"\n\
             [limits]\nquota = {{ calls_per_day = 4, file = \"{lib}/quotas\" }}\n"
        );
        host.write("etc/corelane.toml", &access, 0o644);
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("a path of text").to_owned()
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        fs::write(self.path(name), text).expect("there is space");
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).expect("it is ours");
    }

    /// A server with the files of this host, which listens on a port of its own.
    fn setup(&self, shards: usize) -> Setup {
        let (profile, access) = (
            self.text("etc/profile.toml"),
            self.text("etc/corelane.toml"),
        );
        Setup::shards(shards).arguments(&["--profile", &profile, "--config", &access])
    }

    fn sign(&self, request: Request) -> Request {
        request.field("Authorization", &format!("Bearer {}", self.api_key))
    }

    fn exchange(&self, server: &Server, request: Request) -> Response {
        server.connect().exchange(&self.sign(request))
    }

    /// `backup.sh` with the folders of this host.
    fn backup(&self, arguments: &[&str]) -> Command {
        let script = format!("{}/../deploy/backup.sh", env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(script);
        command.args(arguments);
        command.args(["--config", &self.text("etc"), "--state", &self.text("lib")]);
        command
    }

    fn save(&self) -> String {
        let saved = run(&mut self.backup(&["save", &self.text("backups")]));
        assert!(saved.status.success(), "{saved:?}");
        String::from_utf8_lossy(&saved.stdout).trim().to_owned()
    }

    /// The disk of the host is gone, but for the backups and the keys elsewhere.
    fn wipe(&self) {
        for folder in ["etc", "lib"] {
            fs::remove_dir_all(self.path(folder)).expect("it was there");
        }
    }

    fn verify_audit(&self) -> Option<i32> {
        let directory = self.text("lib/audit");
        let verified = run(Command::new(binary()).args(["audit", "verify", &directory]));
        verified.status.code()
    }
}

fn run(command: &mut Command) -> Output {
    command.output().expect("it is there")
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn initialize() -> Request {
    Request::initialize(LEGACY)
}

/// A call of a modern client with elicitation.
fn elicits(more: Value) -> Request {
    let mut params = json!({ "name": ELICITS, "arguments": {} });
    if let (Some(params), Value::Object(more)) = (params.as_object_mut(), more) {
        params.extend(more);
    }
    let capabilities = json!({ "elicitation": {} });
    Request::modern("c", "tools/call", params).meta(CAPABILITIES_KEY, capabilities)
}

/// The answer of a user to the elicitation in `result`.
fn answered(result: &Value) -> Request {
    let requested = result["inputRequests"].as_object().expect("an elicitation");
    let key = requested.keys().next().expect("one");
    elicits(json!({
        "inputResponses": { key: { "action": "accept", "content": { "name": "Ada" } } },
        "requestState": result["requestState"],
    }))
}

#[test]
fn clients_go_on_after_a_server_was_destroyed_and_restored_elsewhere() {
    let host = Host::new();
    let first = host.setup(2).start();
    let opened = host.exchange(&first, initialize());
    let id = opened.head.field("MCP-Session-Id").expect("a session id");
    let session = Session { id: id.to_owned() };
    let call = || session.call(TOOL, json!({}));
    assert_eq!(host.exchange(&first, call()).status(), 200);
    let elicited = host.exchange(&first, elicits(json!({}))).json()["result"].clone();
    // Two calls of the four of the day.
    wait_until("the sums of the quota", || {
        let text = fs::read_to_string(host.path("lib/quotas")).ok()?;
        text.lines()
            .any(|line| line.starts_with("2 "))
            .then_some(())
    });

    let archive = host.save();
    first.signal("KILL");
    let _ = first.wait_for_exit();
    host.wipe();
    let (archive, keys) = (archive.as_str(), host.text("safe"));
    let restored = run(&mut host.backup(&["restore", archive, "--keys", &keys]));
    assert!(restored.status.success(), "{restored:?}");
    let killed = host.verify_audit();
    assert!(
        matches!(killed, Some(0 | 2)),
        "{killed:?}: a line may have no end"
    );

    let next = host.setup(1).start();
    assert_ne!(next.address(), first.address());
    let answer = host.exchange(&next, call());
    assert_eq!(answer.status(), 200, "the session goes on: {answer:?}");
    let answer = host.exchange(&next, answered(&elicited));
    let text = &answer.json()["result"]["content"][0]["text"];
    let text = text.as_str().unwrap_or_default();
    assert!(text.contains("Ada"), "the question is answered: {answer:?}");
    // Continuing a call is no call: one is left.
    assert_eq!(host.exchange(&next, call()).status(), 200);
    assert_eq!(
        host.exchange(&next, call()).status(),
        429,
        "the quota goes on"
    );
    next.signal("TERM");
    assert!(next.wait_for_exit().success());
    assert_eq!(host.verify_audit(), Some(0), "the chain of records goes on");
}

#[test]
fn an_archive_has_no_key_and_other_keys_are_refused() {
    let host = Host::new();
    // A backup has no key, whatever its mode is.
    let readable = Permissions::from_mode(0o644);
    fs::set_permissions(host.path("etc/keys/state"), readable).expect("it is ours");
    let archive = host.save();
    let listed = run(Command::new("tar").args(["--list", "--gzip", "--file", &archive]));
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("config/corelane.toml") && !listed.contains("config/keys/state"));
    let bytes = run(Command::new("gzip").args(["-dc", &archive])).stdout;
    for key in ["state", "audit"] {
        let secret = fs::read(host.path("safe/keys").join(key)).expect("the key");
        let secret = secret.trim_ascii_end();
        assert!(!bytes.windows(secret.len()).any(|it| it == secret), "{key}");
    }
    host.wipe();
    host.write("safe/keys/state", &("AgIC".repeat(10) + "AgI=\n"), 0o600);
    let keys = host.text("safe");
    let refused = run(&mut host.backup(&["restore", &archive, "--keys", &keys]));
    assert_eq!(refused.status.code(), Some(1));
    assert!(error(&refused).contains("keys/state"), "{refused:?}");
    assert!(!host.path("etc").exists() && !host.path("lib").exists());
    // Without keys the configuration comes back, and the server names the missing files.
    let restored = run(&mut host.backup(&["restore", &archive]));
    assert!(restored.status.success(), "{restored:?}");
    assert!(error(&restored).contains("keys/state"), "{restored:?}");
    let ended = host.setup(1).listen("127.0.0.1:0").run_to_end();
    assert_eq!(ended.code, Some(1));
    assert!(ended.error.contains("keys/"), "{}", ended.error);
    // Nothing is overwritten.
    let again = run(&mut host.backup(&["restore", &archive]));
    assert_eq!(again.status.code(), Some(1));
    assert!(error(&again).contains("not empty"), "{again:?}");
}

#[test]
fn a_folder_named_state_in_the_configuration_comes_back() {
    let host = Host::new();
    fs::create_dir_all(host.path("etc/policies/state")).expect("a directory");
    host.write("etc/policies/state/rules", "rules", 0o644);
    let archive = host.save();
    host.wipe();
    let restored = run(&mut host.backup(&["restore", &archive]));
    assert!(restored.status.success(), "{restored:?}");
    let rules = fs::read_to_string(host.path("etc/policies/state/rules")).expect("the file");
    assert_eq!(rules, "rules");
}

#[test]
fn days_that_are_no_number_are_refused_before_anything_is_saved_or_deleted() {
    let host = Host::new();
    for days in ["-1", "abc", "1.5", ""] {
        let refused = run(&mut host.backup(&["save", &host.text("backups"), "--keep", days]));
        assert_eq!(refused.status.code(), Some(2), "{days}: {refused:?}");
    }
    let mut names = fs::read_dir(host.path("backups")).expect("a folder");
    assert!(names.next().is_none());
    let saved = run(&mut host.backup(&["save", &host.text("backups"), "--keep", "0"]));
    assert!(saved.status.success(), "{saved:?}");
    let archive = String::from_utf8_lossy(&saved.stdout).trim().to_owned();
    let verified = run(&mut host.backup(&["verify", &archive]));
    assert!(verified.status.success(), "{verified:?}");
}

#[test]
fn empty_folders_stay_and_are_filled() {
    let host = Host::new();
    host.write("lib/quotas", "sums", 0o644);
    host.write("etc/keys/other", "other", 0o600);
    let archive = host.save();
    host.wipe();
    let folders = ["etc", "lib"].map(|it| host.path(it));
    for folder in &folders {
        fs::create_dir(folder).expect("a directory");
        // What a killed restore leaves, and what a new file system has.
        fs::create_dir(folder.join(".corelane.abcdef")).expect("a directory");
        fs::create_dir(folder.join("lost+found")).expect("a directory");
    }
    let inode = |folder: &PathBuf| fs::metadata(folder).expect("a folder").ino();
    let before = folders.each_ref().map(inode);
    let restored = run(&mut host.backup(&["restore", &archive]));
    assert!(restored.status.success(), "{restored:?}");
    // A mount point cannot be replaced.
    assert_eq!(folders.each_ref().map(inode), before);
    assert!(host.path("etc/corelane.toml").exists() && host.path("etc/profile.toml").exists());
    assert!(host.path("lib/quotas").exists());
    for folder in &folders {
        let mut names = fs::read_dir(folder).expect("a folder");
        let is_left = names.any(|it| {
            let name = it.expect("an entry").file_name();
            name.to_string_lossy().starts_with(".corelane.")
        });
        assert!(!is_left, "{}", folder.display());
    }
}

#[test]
fn secrets_whose_names_have_escapes_are_refused() {
    let host = Host::new();
    for name in ["etc/keys/a\\b", "etc/keys/a\nb"] {
        host.write(name, "a secret", 0o600);
        let refused = run(&mut host.backup(&["save", &host.text("backups")]));
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(error(&refused).contains("rename it"), "{refused:?}");
        fs::remove_file(host.path(name)).expect("it was there");
    }
    host.save();
}

#[test]
fn a_damaged_archive_is_found_and_not_restored() {
    let host = Host::new();
    let archive = host.save();
    let whole = fs::read(&archive).expect("the archive");
    host.wipe();
    let mut damaged = Vec::new();
    // A prime, so that the places differ in each part of the format.
    for at in (0..whole.len()).step_by(37) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        damaged.push(bytes);
    }
    damaged.push(whole[..whole.len() - 1].to_vec());
    damaged.push(Vec::new());
    for (at, bytes) in damaged.iter().enumerate() {
        fs::write(&archive, bytes).expect("there is space");
        for command in ["verify", "restore"] {
            let found = run(&mut host.backup(&[command, &archive]));
            assert_eq!(found.status.code(), Some(1), "{at}: {found:?}");
            assert!(error(&found).contains("damaged"), "{at}: {found:?}");
        }
        assert!(!host.path("etc").exists(), "{at}");
    }
    fs::write(&archive, &whole).expect("there is space");
    fs::remove_file(archive.clone() + ".sha256").expect("it was there");
    let unknown = run(&mut host.backup(&["restore", &archive]));
    assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
}

/// Programs that kill the script that starts them, at the start that the file `left` counts to.
fn kill_at(folder: &Path, start: usize) -> String {
    let shim = "#!/bin/sh\nleft=$(($(cat LEFT) - 1))\necho $left >LEFT\n\
                [ $left -gt 0 ] || { kill -9 $PPID; exit 1; }\nexec /usr/bin/NAME \"$@\"\n";
    let left = folder.join("left");
    fs::write(&left, start.to_string()).expect("there is space");
    let shim = shim.replace("LEFT", left.to_str().expect("a path of text"));
    for name in ["cp", "gzip", "mktemp", "mv", "sha256sum", "sync", "tar"] {
        let path = folder.join(name);
        fs::write(&path, shim.replace("NAME", name)).expect("there is space");
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("it is ours");
    }
    let path = std::env::var("PATH").expect("there are programs");
    format!("{}:{path}", folder.display())
}

#[test]
fn a_crash_at_any_step_leaves_whole_archives_and_whole_folders() {
    let host = Host::new();
    let shims = tempfile::tempdir().expect("a directory");
    let first = host.save();
    let mut kills = 0;
    for start in 1.. {
        // Not in the second of the archive before.
        let saved = wait_until("the next second", || {
            let mut save = host.backup(&["save", &host.text("backups")]);
            let saved = run(save.env("PATH", kill_at(shims.path(), start)));
            (!error(&saved).contains("wait a second")).then_some(saved)
        });
        let names = fs::read_dir(host.path("backups")).expect("a folder");
        let names = names.map(|it| it.expect("an entry").path());
        for archive in names.filter(|it| it.extension().is_some_and(|it| it == "gz")) {
            let archive = archive.to_str().expect("a path of text");
            let verified = run(&mut host.backup(&["verify", archive]));
            assert!(verified.status.success(), "{start}: {verified:?}");
        }
        if saved.status.success() {
            break;
        }
        kills += 1;
    }
    assert!(kills >= 8, "{kills} steps");
    host.wipe();
    let keys = host.text("safe");
    for start in 1.. {
        let mut restore = host.backup(&["restore", &first, "--keys", &keys]);
        let restored = run(restore.env("PATH", kill_at(shims.path(), start)));
        let is_there = host.path("etc").exists();
        assert_eq!(is_there, restored.status.success(), "{start}: {restored:?}");
        if is_there {
            assert!(host.path("etc/keys/audit").exists() && host.path("lib").exists());
            break;
        }
        if host.path("lib").exists() {
            fs::remove_dir_all(host.path("lib")).expect("it is whole");
        }
    }
    let server = host.setup(1).start();
    assert_eq!(host.exchange(&server, initialize()).status(), 200);
}
