//! `corelane token` as a process: its output and its exit codes.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Runs `corelane token` with this input. Returns the exit code, the output and the errors.
fn token(arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_corelane"))
        .arg("token")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("corelane starts");
    // A process that reads nothing closes the pipe.
    let _ = child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(input.as_bytes());
    let output = child.wait_with_output().expect("corelane ends");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// An issuer with its key set in a file.
struct Issuer {
    key: Ed25519KeyPair,
    folder: tempfile::TempDir,
}

impl Issuer {
    fn new() -> Issuer {
        let key = Ed25519KeyPair::generate().expect("a key");
        let folder = tempfile::tempdir().expect("a folder");
        let x = URL_SAFE_NO_PAD.encode(key.public_key());
        let set = format!(
            r#"{{"keys":[{{"kty":"oct","k":"AA"}},{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}]}}"#
        );
        std::fs::write(folder.path().join("keys.json"), set).expect("a file");
        Issuer { key, folder }
    }

    fn token(&self, typ: &str, claims: &str) -> String {
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"EdDSA","typ":"{typ}"}}"#));
        let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }

    fn verify(&self, token_text: &str) -> (Option<i32>, String, String) {
        let path = self.folder.path().join("keys.json");
        verify_with(&path, token_text)
    }
}

fn verify_with(path: &Path, token_text: &str) -> (Option<i32>, String, String) {
    let path = path.to_str().expect("UTF-8");
    let issuer = ["--issuer", "https://issuer.example"];
    let resource = ["--resource", "https://mcp.example.com/mcp"];
    let arguments = [&["verify", "--jwks", path][..], &issuer, &resource].concat();
    token(&arguments, &format!("{token_text}\n"))
}

fn claims(expires_s: u64) -> String {
    let issuer = r#""iss":"https://issuer.example","aud":"https://mcp.example.com/mcp""#;
    format!(r#"{{{issuer},"sub":"alice","exp":{expires_s}}}"#)
}

#[test]
fn verify_says_which_rule_a_token_breaks() {
    let issuer = Issuer::new();
    let far = claims(4_000_000_000);
    let (code, output, _) = issuer.verify(&issuer.token("at+jwt", &far));
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("1 usable keys\nkey 0 is skipped: it is private or symmetric\n"));
    assert!(output.contains("the token is valid\n"), "{output}");
    assert!(output.contains("sub = \"alice\"\n"), "{output}");
    for (text, rule) in [
        (
            issuer.token("at+jwt", &claims(1)),
            "FAILED  V8: the token has expired\n",
        ),
        (issuer.token("JWT", &far), "set profile = \"jwt\"\n"),
        (
            Issuer::new().token("at+jwt", &far),
            "FAILED  V5: the signature does not match\n",
        ),
        ("a.b".to_owned(), "FAILED  V1: "),
    ] {
        let (code, output, _) = issuer.verify(&text);
        assert_eq!(code, Some(1), "{output}");
        assert!(output.contains(rule), "{output}");
    }
}

#[test]
fn verify_without_keys_or_with_too_long_a_token_has_no_answer() {
    let (code, _, errors) = verify_with(Path::new("/nonexistent/keys.json"), "a");
    assert_eq!(code, Some(3));
    assert!(
        errors.contains("/nonexistent/keys.json: No such file"),
        "{errors}"
    );
    let (code, _, errors) = Issuer::new().verify(&"a".repeat(8193));
    assert_eq!(code, Some(3));
    assert!(errors.contains("more than 8192 bytes"), "{errors}");
}

/// Runs `corelane token verify --config` with the token in a file.
fn verify_as_server(
    issuer: &Issuer,
    auth: &str,
    token_text: &str,
) -> (Option<i32>, String, String) {
    let config = issuer.folder.path().join("corelane.toml");
    let text = format!(
        "[auth]\nresource = \"https://mcp.example.com/mcp\"\n{auth}\n\
         [policy]\ndefault = \"authenticated\"\n"
    );
    std::fs::write(&config, text).expect("a file");
    let file = issuer.folder.path().join("token");
    std::fs::write(&file, format!("{token_text}\n")).expect("a file");
    let (config, file) = (
        config.to_str().expect("UTF-8"),
        file.to_str().expect("UTF-8"),
    );
    token(&["verify", "--config", config, file], "")
}

const CONFIGURED: &str = "[[auth.issuer]]\nalias = \"corp\"\n\
                          issuer = \"https://issuer.example\"\njwks_file = \"keys.json\"";

#[test]
fn verify_takes_the_configuration_of_a_server_and_a_token_in_a_file() {
    let issuer = Issuer::new();
    let valid = issuer.token("at+jwt", &claims(4_000_000_000));
    let (code, output, errors) = verify_as_server(&issuer, CONFIGURED, &valid);
    assert_eq!(code, Some(0), "{output}{errors}");
    for line in [
        "issuer corp: 1 usable keys\n",
        "issuer corp: key 0 is skipped: it is private or symmetric\n",
        "the token is valid\n",
        "principal = jwt:corp:alice\n",
    ] {
        assert!(output.contains(line), "{line}: {output}");
    }
    let expired = issuer.token("at+jwt", &claims(1));
    let (code, output, _) = verify_as_server(&issuer, CONFIGURED, &expired);
    assert_eq!(code, Some(1), "{output}");
    assert!(
        output.contains("FAILED  V8: the token has expired\n"),
        "{output}"
    );
    assert!(!output.contains("principal"), "{output}");
    // The token is read from standard input without a file.
    let config = issuer.folder.path().join("corelane.toml");
    let config = config.to_str().expect("UTF-8");
    let (code, output, _) = token(&["verify", "--config", config], &valid);
    assert_eq!(code, Some(0), "{output}");
}

#[test]
fn verify_takes_the_api_keys_of_a_configuration() {
    let issuer = Issuer::new();
    let (_, made, _) = token(&["new", "--id", "ci"], "");
    let (key, _) = made.split_once('\n').expect("lines");
    let (_, entry, _) = token(&["hash"], key);
    let (code, output, errors) = verify_as_server(&issuer, &entry, key);
    assert_eq!(code, Some(0), "{output}{errors}");
    assert_eq!(output, "the API key is valid\nprincipal = api_key::ci\n");
    let (_, other, _) = token(&["new", "--id", "ci"], "");
    let (other, _) = other.split_once('\n').expect("lines");
    let (code, output, _) = verify_as_server(&issuer, &entry, other);
    assert_eq!(code, Some(1), "{output}");
    assert!(
        output.starts_with("FAILED  the API key is unknown"),
        "{output}"
    );
}

#[test]
fn verify_has_no_answer_without_the_issuer_or_with_a_wrong_configuration() {
    let issuer = Issuer::new();
    // A port that this process had, and on which nothing listens any more.
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", port.local_addr().expect("an address"));
    drop(port);
    let auth = format!("[[auth.issuer]]\nalias = \"corp\"\nissuer = \"{url}\"");
    let of_it = claims(4_000_000_000).replace("https://issuer.example", &url);
    let valid = issuer.token("at+jwt", &of_it);
    let (code, output, errors) = verify_as_server(&issuer, &auth, &valid);
    let text = format!("{output}{errors}");
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("issuer corp: no keys: "), "{text}");
    assert!(text.contains("FAILED  K4: "), "{text}");
    let (code, _, errors) = verify_as_server(&issuer, "scopes_initail = []", &valid);
    assert_eq!(code, Some(3), "{errors}");
    assert!(errors.contains("line 3"), "{errors}");
    // Keys of a file and those of a configuration exclude each other.
    let (code, _, errors) = token(&["verify", "--config", "a", "--jwks", "b"], "");
    assert_eq!(code, Some(3), "{errors}");
}

#[test]
fn a_new_key_has_the_hash_that_hash_prints() {
    let (code, output, _) = token(&["new", "--id", "ci", "--roles", "reader,ops"], "");
    assert_eq!(code, Some(0));
    let (key, entry) = output.split_once('\n').expect("lines");
    assert!(key.starts_with("clk_ci_"), "{key}");
    assert!(
        entry.ends_with("roles = [\"reader\", \"ops\"]\n"),
        "{entry}"
    );
    let (code, hashed, _) = token(&["hash"], key);
    assert_eq!(code, Some(0));
    assert!(
        !hashed.is_empty() && entry.contains(&hashed),
        "{entry} has not {hashed}"
    );
    let (_, other, _) = token(&["new", "--id", "ci"], "");
    assert_ne!(output.lines().next(), other.lines().next());
    let (code, _, errors) = token(&["hash"], &key[..key.len() - 1]);
    assert_eq!(code, Some(3));
    assert!(errors.contains("standard input is no API key"), "{errors}");
    let (code, _, errors) = token(&["new", "--id", "a_b"], "");
    assert_eq!(code, Some(3));
    assert!(
        errors.contains("use 1 to 64 lower-case letters"),
        "{errors}"
    );
}
