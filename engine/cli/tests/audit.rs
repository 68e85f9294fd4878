//! `corelane audit` as a process, and verifiers that share no code with it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use corelane::audit::start;
use corelane::profile::Audit;
use corelane_guard::audit::{AuditText, Event, Record};
use tempfile::TempDir;

const VERIFIER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/audit/verify.py");

/// A log of three files in a folder, beside its keys.
struct Log(TempDir);

impl Log {
    fn new() -> Log {
        let log = Log(TempDir::new().expect("a folder"));
        let (private, public) = (log.path("private.pem"), log.path("public.pem"));
        run(
            "openssl",
            &["genpkey", "-algorithm", "ed25519", "-out", text(&private)],
        );
        fs::set_permissions(&private, Permissions::from_mode(0o600)).expect("set");
        run(
            "openssl",
            &[
                "pkey",
                "-in",
                text(&private),
                "-pubout",
                "-out",
                text(&public),
            ],
        );
        let settings = format!(
            "directory = {:?}\nnode = \"a-b\"\nsigning_key_file = {private:?}",
            log.path("audit")
        );
        for start_number in 0..3 {
            let settings: AuditText = toml::from_str(&settings).expect("the section");
            let profile = Audit {
                checkpoint_records: 7,
                ..Audit::default()
            };
            let thread = start(settings.check().expect("no faults"), &profile).expect("it starts");
            let port = thread.log().port(0);
            for number in 0..20 {
                let name = format!("tool \u{202e}\"{start_number}\n{number}");
                port.record(Record {
                    principal: Some("jwt:corp:alice"),
                    name: Some(&name),
                    session: Some(b"secret session"),
                    outcome: Some("ok"),
                    ..Record::new(Event::Call, 0)
                });
            }
        }
        log
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Its files in order.
    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("audit")).expect("a folder");
        let mut files: Vec<PathBuf> = entries.map(|it| it.expect("an entry").path()).collect();
        files.sort();
        files
    }

    /// Verifies it, with its key, and with more arguments.
    fn verify(&self, more: &[&str]) -> (Option<i32>, String) {
        let (path, key) = (self.path("audit"), self.path("public.pem"));
        let arguments = ["verify", text(&path), "--key", text(&key)];
        audit(&[&arguments[..], more].concat())
    }

    /// The exit code of the verifier in Python, and its output.
    fn verify_in_python(&self) -> (Option<i32>, String) {
        let output = Command::new("python3")
            .arg(VERIFIER)
            .arg(self.path("public.pem"))
            .args(self.files())
            .output()
            .expect("python3 starts");
        (output.status.code(), all(output))
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn all(output: Output) -> String {
    String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8")
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.expect("the program starts");
    let is_success = output.status.success();
    let text = all(output);
    assert!(is_success, "{program} {arguments:?}: {text}");
    text
}

fn audit(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_corelane"))
        .arg("audit")
        .args(arguments)
        .output()
        .expect("corelane starts");
    (output.status.code(), all(output))
}

#[test]
fn a_whole_log_passes_here_and_in_python_and_openssl() {
    let log = Log::new();
    assert_eq!(log.files().len(), 3);
    let (code, output) = log.verify(&[]);
    assert_eq!(code, Some(0), "{output}");
    for line in [
        "node a-b: the records 1 to ",
        "signed: all",
        "lost by the server: 0",
    ] {
        assert!(output.contains(line), "{line}: {output}");
    }
    assert!(
        output.contains("end: the server stopped in order"),
        "{output}"
    );
    let (code, in_python) = log.verify_in_python();
    assert_eq!(code, Some(0), "{in_python}");
    assert!(
        in_python.ends_with(" signatures\n") && !in_python.contains(" 0 "),
        "{in_python}"
    );
    // The last checkpoint, with openssl alone.
    let last = fs::read_to_string(&log.files()[2]).expect("a file");
    let last = last.lines().next_back().expect("a record");
    let record: serde_json::Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(record["event"], "checkpoint");
    let seq = record["seq"].as_u64().expect("a number") - 1;
    let prev = record["prev"].as_str().expect("a text");
    let signed = format!("corelane audit checkpoint 1\na-b\n{seq}\n{prev}\n");
    let signature = record["signature"].as_str().expect("a text");
    fs::write(log.path("signed"), signed).expect("written");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
    fs::write(log.path("signature"), signature).expect("written");
    let [key, signed, signature] = ["public.pem", "signed", "signature"].map(|it| log.path(it));
    run(
        "openssl",
        &[
            "pkeyutl",
            "-verify",
            "-rawin",
            "-pubin",
            "-inkey",
            text(&key),
            "-in",
            text(&signed),
            "-sigfile",
            text(&signature),
        ],
    );
}

#[test]
fn lines_have_no_session_and_no_hidden_character() {
    let log = Log::new();
    let all: String = log
        .files()
        .iter()
        .map(|path| fs::read_to_string(path).expect("UTF-8"))
        .collect();
    assert!(!all.contains("secret") && !all.contains('\u{202e}'));
    assert!(all.contains("tool \\u202e\\\"0\\n0"), "{all}");
    let head = audit(&["head", text(&log.path("audit"))]).1;
    assert_eq!(
        head.split(':').next(),
        Some(&*all.lines().count().to_string())
    );
}

#[test]
fn changed_files_are_found_here_and_in_python() {
    for change in [
        |text: &mut String, _: &Path| *text = text.replacen("alice", "carol", 1),
        |text: &mut String, _: &Path| *text = text.replacen("\"v\":1", "\"v\":2", 1),
        |text: &mut String, _: &Path| {
            let lines: Vec<&str> = text.lines().collect();
            *text = [&lines[..3], &lines[4..]].concat().join("\n") + "\n";
        },
        |text: &mut String, _: &Path| {
            let mut lines: Vec<&str> = text.lines().collect();
            lines.swap(3, 4);
            *text = lines.join("\n") + "\n";
        },
        |text: &mut String, path: &Path| {
            fs::remove_file(path).expect("removed");
            text.clear();
        },
    ] {
        let log = Log::new();
        let path = log.files()[1].clone();
        let mut text = fs::read_to_string(&path).expect("a file");
        change(&mut text, &path);
        if !text.is_empty() {
            fs::write(&path, text).expect("written");
        }
        let (code, output) = log.verify(&[]);
        assert_eq!(code, Some(1), "{output}");
        assert!(output.contains(": record "), "{output}");
        let (code, output) = log.verify_in_python();
        assert_eq!(code, Some(1), "{output}");
    }
}

#[test]
fn a_cut_end_is_found_by_its_line_or_by_an_anchor() {
    let log = Log::new();
    let head = audit(&["head", text(&log.path("audit"))]);
    assert_eq!(head.0, Some(0));
    let anchor = ["--anchor", head.1.trim()];
    assert_eq!(log.verify(&anchor).0, Some(0));
    let path = log.files()[2].clone();
    let whole = fs::read_to_string(&path).expect("a file");
    fs::write(&path, &whole[..whole.len() - 1]).expect("written");
    let (code, output) = log.verify(&[]);
    assert_eq!(code, Some(2), "{output}");
    let shorter: Vec<&str> = whole.lines().collect();
    let shorter = shorter[..shorter.len() - 1].join("\n") + "\n";
    fs::write(&path, shorter).expect("written");
    assert_eq!(log.verify(&[]).0, Some(0));
    let (code, output) = log.verify(&anchor);
    assert_eq!(code, Some(1), "{output}");
    assert!(
        output.contains("the log ends before the record of the anchor"),
        "{output}"
    );
}

#[test]
fn other_keys_and_wrong_arguments_have_their_exit_codes() {
    let (log, other) = (Log::new(), Log::new());
    let path = log.path("audit");
    let key = other.path("public.pem");
    let (code, output) = audit(&["verify", text(&path), "--key", text(&key)]);
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("which was not given"), "{output}");
    let printed = audit(&["key", text(&log.path("private.pem"))]);
    let public = fs::read_to_string(log.path("public.pem")).expect("a file");
    assert_eq!(printed, (Some(0), public));
    for arguments in [
        &["verify"][..],
        &["verify", "/nowhere"],
        &["verify", text(log.0.path())],
        &["verify", text(&path), "--anchor", "7"],
        &[
            "verify",
            text(&path),
            "--key",
            text(&log.path("private.pem")),
        ],
        &["key", text(&key)],
        &["head", "/nowhere"],
    ] {
        let (code, output) = audit(arguments);
        assert_eq!(code, Some(3), "{arguments:?}: {output}");
    }
    assert_eq!(audit(&["--help"]).0, Some(0));
}
