//! `corelane login` and `logout` with an authorization server of one user, which always agrees.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::process::{Run, command, finish};
use crate::scripted::{greeting, http};

/// A server whose token is this, and whose metadata lead to itself.
const TOKEN: &str = "canary-3c7b";

/// Starts it; the resource is known when it has started. Returns its URL and the paths it got.
fn start() -> (String, Arc<Mutex<Vec<String>>>) {
    let paths: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&paths);
    let url = http(move |head, message| {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        seen.lock().expect("no panic").push(path.clone());
        let host = head.lines().find_map(|line| line.strip_prefix("host: "));
        let origin = format!("http://{}", host.unwrap_or_default());
        let answer = match &*path {
            "/mcp" if head.contains(&format!("authorization: bearer {TOKEN}")) => {
                return (
                    200,
                    greeting(message, &json!([])).expect("a list").remove(0),
                );
            }
            "/mcp" => return (401, String::new()),
            "/.well-known/oauth-protected-resource/mcp" => {
                json!({"resource": format!("{origin}/mcp"), "authorization_servers": [origin]})
            }
            "/.well-known/oauth-authorization-server" => json!({
                "issuer": origin, "token_endpoint": format!("{origin}/token"),
                "authorization_endpoint": format!("{origin}/authorize"),
                "registration_endpoint": format!("{origin}/register"),
                "code_challenge_methods_supported": ["S256"],
            }),
            "/register" => json!({"client_id": "c"}),
            "/token" => json!({"access_token": TOKEN, "token_type": "Bearer"}),
            _ => return (404, String::new()),
        };
        (200, answer.to_string())
    });
    (url, paths)
}

fn run(home: &Path, arguments: &[&str]) -> Run {
    let mut command = command(arguments);
    let child = command.env("XDG_CONFIG_HOME", home).spawn();
    finish(child.expect("corelane starts"), "")
}

/// Logs in: opens the address that the printed page leads back to.
fn log_in(home: &Path, url: &str) -> (Option<i32>, String) {
    let mut child = command(&["login", url])
        .env("XDG_CONFIG_HOME", home)
        .spawn()
        .expect("corelane starts");
    let mut errors = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut page = String::new();
    while !page.starts_with("http") {
        page.clear();
        assert!(errors.read_line(&mut page).expect("a line") > 0, "no page");
    }
    let query = page.trim().split_once('?').expect("a query").1;
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let found = pairs.find(|(found, _)| *found == name);
        found.expect("a parameter").1.to_owned()
    };
    let back = value("redirect_uri")
        .replace("%3A", ":")
        .replace("%2F", "/");
    let address = back
        .trim_start_matches("http://")
        .trim_end_matches("/callback");
    let mut stream = TcpStream::connect(address).expect("it waits");
    let target = format!("/callback?code=x&state={}", value("state"));
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("sent");
    stream
        .read_to_string(&mut String::new())
        .expect("an answer");
    let found = finish(child, "");
    (found.code, found.out)
}

#[test]
fn credentials_are_kept_for_the_other_commands_until_they_are_removed() {
    let (url, paths) = start();
    let home = tempfile::tempdir().expect("a folder");
    let home = home.path();
    let refused = run(home, &["list", &url]);
    assert_eq!(refused.code, Some(4), "{refused:?}");

    let (code, text) = log_in(home, &url);
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains(TOKEN), "{text}");
    let file = home.join("corelane/credentials.json");
    let mode = std::fs::metadata(&file)
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    paths.lock().expect("no panic").clear();
    let listed = run(home, &["list", &url, "--json", "--trace"]);
    assert_eq!((listed.code, &*listed.out), (Some(0), "[]\n"), "{listed:?}");
    assert!(!listed.errors.contains(TOKEN), "{}", listed.errors);
    // The stored token is used at once.
    assert_eq!(*paths.lock().expect("no panic"), ["/mcp", "/mcp"]);

    // Another server gets nothing of it.
    let (other, _) = start();
    let refused = run(home, &["list", &other, "--json"]);
    assert_eq!(
        (refused.code, &refused.failure()["kind"]),
        (Some(4), &Value::from("auth"))
    );

    assert_eq!(run(home, &["logout", &url]).code, Some(0));
    assert_eq!(run(home, &["logout", &url]).code, Some(1));
    assert_eq!(run(home, &["list", &url]).code, Some(4));
    let stored = std::fs::read_to_string(file).expect("a file");
    assert!(!stored.contains(TOKEN), "{stored}");
}
