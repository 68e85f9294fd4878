//! Commands of the documentation, run as they stand there but for the address.

use std::fs;
use std::process::{Command, Stdio};

use corelane_tests::client::{check_text, echo, modern};
use corelane_tests::lines::Lines;
use corelane_tests::{Client, Setup};
use serde_json::json;

/// The command of the documentation that begins so, for another address.
fn documented(begin: &str, (address, actual): (&str, &str)) -> Command {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/deployment.md");
    let text = fs::read_to_string(path).expect("the documentation");
    let mut quoted = text.split('`').skip(1).step_by(2);
    let command = quoted.find(|it| it.starts_with(begin) && it.contains(address));
    let command = command.unwrap_or_else(|| panic!("no command {begin:?} in {path}"));
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command.replace(address, actual));
    shell
}

#[test]
fn socat_is_a_client_on_both_kinds_of_sockets() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("socket").display().to_string();
    let setup = Setup::shards(1).listen("tcp://127.0.0.1:0");
    let server = setup.listen(&format!("unix://{path}")).start();
    let tcp = server.addresses()[1].trim_start_matches("tcp://");
    for (begin, place) in [
        ("socat STDIO TCP:", ("127.0.0.1:9000", tcp)),
        ("socat STDIO UNIX-CONNECT:", ("/run/corelane.sock", &path)),
    ] {
        let mut command = documented(begin, place);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut socat = command.spawn().expect("a shell");
        let (input, output) = (socat.stdin.take(), socat.stdout.take());
        let (input, output) = (input.expect("a pipe"), output.expect("a pipe"));
        let mut client = Client::over(Lines::over_pipes(input.into(), output.into()));
        client.initialize(&json!({}));
        check_text(&client.exchange(&modern(2, "tools/call", echo("m"))), "m");
        client.finish();
        client.expect_end();
        assert!(socat.wait().expect("its end").success(), "{begin}");
    }
}

#[test]
fn curl_reaches_http_on_a_unix_socket() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("socket").display().to_string();
    let server = Setup::shards(1).listen(&format!("http+unix://{path}"));
    let _server = server.start();
    let mut command = documented("curl --unix-socket ", ("/run/corelane.sock", &path));
    let output = command.output().expect("a shell");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text, r#"{"status":"ready"}"#, "{output:?}");
}
