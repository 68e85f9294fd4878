//! `corelane check --config` as a process: one line for each finding about access.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use tempfile::TempDir;

/// An access file with these lines of `[auth]`.
fn file(auth: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("corelane.toml");
    let text = format!(
        "[auth]\nresource = \"https://mcp.example.com/mcp\"\n{auth}\n\
         [policy]\ndefault = \"authenticated\"\n"
    );
    std::fs::write(&path, text).expect("a file");
    (folder, path)
}

/// The findings about access of `corelane check --config`, and whether it found anything.
fn check(auth: &str) -> (Vec<String>, bool) {
    let (_folder, path) = file(auth);
    let output = Command::new(env!("CARGO_BIN_EXE_corelane"))
        .args(["check", "--config"])
        .arg(&path)
        .output()
        .expect("corelane starts");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let is_of_access = |line: &&str| {
        let names = ["access_file: ", "issuers: ", "clocks: "];
        names.iter().any(|name| line.starts_with(name))
    };
    let findings = text.lines().filter(is_of_access).map(str::to_owned);
    (findings.collect(), output.status.code() == Some(1))
}

/// Answers the requests of one check as an issuer whose clock shows this time.
fn issuer(date: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let issuer = url.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.expect("a connection"), &issuer, date);
        }
    });
    url
}

fn answer(mut stream: TcpStream, issuer: &str, date: &str) {
    let mut lines = BufReader::new(stream.try_clone().expect("a socket")).lines();
    let Some(Ok(request)) = lines.next() else {
        return;
    };
    while lines
        .next()
        .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
    {}
    let body = match request.contains("/.well-known/") {
        true => format!("{{\"issuer\":\"{issuer}\",\"jwks_uri\":\"{issuer}/keys\"}}"),
        // The key of RFC 8037 A.2.
        false => "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\
                  \"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}"
            .to_owned(),
    };
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
}

fn of_issuer(url: &str) -> String {
    format!("[[auth.issuer]]\nalias = \"corp\"\nissuer = \"{url}\"")
}

#[test]
fn an_issuer_that_cannot_be_reached_is_one_line_with_a_remedy() {
    let port = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", port.local_addr().expect("an address"));
    drop(port);
    let (findings, found) = check(&of_issuer(&url));
    assert!(found && findings.len() == 1, "{findings:?}");
    let line = &findings[0];
    assert!(
        line.starts_with("issuers: issuer corp gives no keys: "),
        "{line}"
    );
    assert!(
        line.contains("; fix: check its URL in [[auth.issuer]]"),
        "{line}"
    );
    assert!(line.contains("; why: without the keys"), "{line}");
}

#[test]
fn a_clock_that_differs_is_one_line_with_the_difference() {
    let (findings, found) = check(&of_issuer(&issuer("Fri, 01 Jan 2100 00:00:00 GMT")));
    assert!(found && findings.len() == 1, "{findings:?}");
    let line = &findings[0];
    assert!(
        line.starts_with("clocks: the clock of issuer corp is "),
        "{line}"
    );
    assert!(
        line.contains(" seconds ahead of that of this host; fix: "),
        "{line}"
    );
    let (findings, _) = check(&of_issuer(&issuer("Thu, 01 Jan 2015 00:00:00 GMT")));
    assert!(
        findings[0].contains(" seconds behind that of"),
        "{findings:?}"
    );
}

#[test]
fn an_issuer_that_answers_is_no_finding() {
    // Without a usable time no clock is compared.
    let (findings, _) = check(&of_issuer(&issuer("now")));
    assert!(findings.is_empty(), "{findings:?}");
}

#[test]
fn each_fault_of_the_file_is_one_line() {
    let (findings, found) = check("scopes_initial = [\"offline_access\"]\nca_files = [\"absent\"]");
    assert!(found && findings.len() == 2, "{findings:?}");
    for (line, expected) in findings.iter().zip(["line 3: ", "line 4: "]) {
        assert!(
            line.starts_with(&format!("access_file: {expected}")),
            "{line}"
        );
        assert!(line.contains("; fix: correct "), "{line}");
    }
}
