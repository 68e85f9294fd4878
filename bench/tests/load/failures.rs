//! Failures: one line each, and the right exit code.

use crate::program::{Scratch, ran, run, run_bare, start};
use crate::servers::{
    corelane, counting, fails_after_the_first_call, silent, wait_for_calls, with_tls,
};
use rustix::process::{Pid, Signal, kill_process};
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

/// Runs a line that must end with `code` and say `message` in one line.
fn check(line: &str, code: i32, message: &str) {
    let ran = run_bare(line, &[]);
    assert_eq!(ran.code, Some(code), "{line}: {}{}", ran.output, ran.error);
    assert!(ran.error.contains(message), "{line}: {}", ran.error);
    if code != 2 {
        assert_eq!(ran.error.lines().count(), 1, "{line}: {}", ran.error);
    }
}

#[test]
fn a_refused_connection_is_an_error_of_one_line() {
    // Bound and not listening: the kernel refuses connections, and nothing else takes the port.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any_port.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let url = format!("http://{address}/mcp");
    for command in [
        "call",
        "soak --connections 5",
        "sweep",
        "fanout --streams 2 --trigger a",
    ] {
        let (name, flags) = command.split_once(' ').unwrap_or((command, ""));
        check(&format!("{name} {url} {flags}"), 3, "Connection refused");
    }
}

#[test]
fn a_certificate_is_checked_unless_that_is_left_out_by_name() {
    let (server, urls, _folder) = with_tls();
    let other = Scratch::new("pem");
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&other.0, made.cert.pem()).unwrap();
    for url in &urls {
        check(&format!("call {url}"), 2, "--insecure");
        let line = format!("call {url} --ca-file {}", other.path());
        check(&line, 3, "invalid peer certificate");
    }
    server.drain().unwrap();
    let (server, url) = corelane(0);
    let url = url.replace("http://", "https://");
    check(&format!("call {url} --insecure"), 3, "TLS");
    server.drain().unwrap();
}

#[test]
fn a_server_that_is_not_mcp_is_an_error_of_one_line() {
    let speaks = |answer: &'static str| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let _ = connection.read(&mut [0; 4096]);
                let _ = connection.write_all(answer.as_bytes());
            }
        });
        url
    };
    let html = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi";
    check(&format!("call {}", speaks(html)), 3, "no answer in it");
    let url = speaks("220 mail.example ESMTP\r\n");
    check(&format!("call {url}"), 3, "does not answer in HTTP/1.1");
    let (server, url) = corelane(0);
    let wrong = url.replace("/mcp", "/elsewhere");
    check(&format!("call {wrong}"), 3, "no such path");
    check(&format!("call {url} --tool none"), 3, "none");
    server.drain().unwrap();
}

#[test]
fn flags_that_make_no_sense_are_usage() {
    check("call", 2, "<URL>");
    check("call http://127.0.0.1:1/ --rate 0", 2, "ramp 1k..50k");
    check(
        "call http://127.0.0.1:1/ --duration 0s",
        2,
        "measures nothing",
    );
    check(
        "call http://127.0.0.1:1/ --mix /no/such/mix",
        2,
        "/no/such/mix",
    );
    check(
        "call http://127.0.0.1:1/ --arguments {x",
        2,
        "not a JSON object",
    );
    check(
        "call http://127.0.0.1:1/ --cores 4095",
        2,
        "may not use core 4095",
    );
    let url = "soak http://127.0.0.1:1/ --connections 5";
    check(&format!("{url} --kind session"), 2, "--revision 2025-11-25");
    check(
        &format!("{url} --kind listen --active 1%"),
        2,
        "--kind idle",
    );
    check("compare /no/such/a /no/such/b", 2, "/no/such/a");
}

#[test]
fn an_answer_that_comes_too_late_is_none() {
    let (server, url) = corelane(100);
    let flags = "--tool nap --timeout 1ms --connections 2 --duration 500ms --warmup 0s";
    let ran = run(&format!("call {url} {flags}"), &[]);
    assert_eq!(ran.code, Some(3), "{}{}", ran.output, ran.error);
    assert!(ran.error.contains("no answer within 1 ms"), "{}", ran.error);
    let flags = "--tool hiccup --timeout 200ms --connections 2 --duration 2s --warmup 0s";
    let ran = run(&format!("call {url} {flags}"), &[]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.output, ran.error);
    assert!(ran.count("/counts/errors/timeout") >= 2, "{}", ran.output);
    assert_eq!(ran.count("/counts/errors/timeout"), ran.errors());
    server.drain().unwrap();
}

#[test]
fn each_request_to_a_silent_server_is_a_timeout() {
    let url = silent();
    let flags = "--connections 3 --in-flight 2 --timeout 300ms --duration 500ms --warmup 0s";
    let ran = run(&format!("call {url} {flags}"), &[]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.output, ran.error);
    let sent = ran.count("/counts/sent");
    assert!(sent > 0, "{}", ran.output);
    assert_eq!(ran.count("/counts/errors/timeout"), sent, "{}", ran.output);
    assert_eq!(ran.count("/counts/answered"), 0);
}

#[test]
fn a_failed_tool_is_an_error_unless_the_mix_allows_it() {
    let url = fails_after_the_first_call();
    let flags = "--connections 2 --duration 200ms --warmup 0s";
    let refused = run(&format!("call {url} {flags}"), &[]);
    assert_eq!(refused.code, Some(1), "{}{}", refused.output, refused.error);
    let sent = refused.count("/counts/sent");
    assert!(sent > 0, "{}", refused.output);
    assert_eq!(refused.count("/counts/errors/tool_error"), sent);
    assert!(refused.output.contains("tool_error"), "{}", refused.output);

    // By now no call succeeds, as on a server that does not have the tool.
    let line = format!("call {url} {flags}");
    check(&line, 3, "the tool is not there");
    let mix = Scratch::new("toml");
    std::fs::write(
        &mix.0,
        "[[request]]\ntool = 'echo'\nallow_tool_errors = true\n",
    )
    .unwrap();
    let allowed = run(&line, &["--mix", mix.path()]);
    assert_eq!(allowed.code, Some(0), "{}{}", allowed.output, allowed.error);
    let answered = allowed.count("/counts/answered");
    assert_eq!(allowed.count("/counts/tool_errors"), answered);
    assert!(answered > 0, "{}", allowed.output);
}

#[test]
fn a_server_that_dies_in_the_middle_leaves_a_report() {
    let (server, url, calls) = counting(0);
    let json = Scratch::new("json");
    let flags = "--tool hiccup --connections 4 --duration 600s --warmup 0s";
    let child = start(&format!("call {url} {flags}"), &["--json", json.path()]);
    wait_for_calls(&calls);
    server.drain().unwrap();
    let ran = ran(child.wait_with_output().unwrap(), &json.text());
    assert_eq!(ran.code, Some(5), "{}{}", ran.output, ran.error);
    assert!(ran.report["outcome"]["measured_s"].as_f64().unwrap() < 600.0);
    assert!(ran.error.contains("went away"), "{}", ran.error);
    assert!(ran.count("/counts/answered") > 0);
}

#[test]
fn an_interrupt_ends_early_and_still_reports() {
    let (server, url, calls) = counting(0);
    let json = Scratch::new("json");
    let flags = "--tool hiccup --connections 4 --duration 600s --warmup 0s";
    let child = start(&format!("call {url} {flags}"), &["--json", json.path()]);
    wait_for_calls(&calls);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let ran = ran(child.wait_with_output().unwrap(), &json.text());
    assert_eq!(ran.code, Some(130), "{}{}", ran.output, ran.error);
    assert_eq!(ran.report["interrupted"], true);
    assert!(ran.count("/counts/answered") > 0);
    let measured = ran.report["outcome"]["measured_s"].as_f64().unwrap();
    assert!((0.0..600.0).contains(&measured), "{measured}");
    server.drain().unwrap();
}
