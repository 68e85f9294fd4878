//! A server on standard input and output: `corelane serve --stdio` and its parent.
//!
//! MCP 2025-11-25 basic/transports, "stdio", and 2026-07-28 basic/transports/stdio.

use std::fs::File;
use std::io::Write;
use std::process::{Command, Stdio};

use corelane_tests::client::{
    Channel, ERAS, call, check_text, echo, initialize, legacy, modern, sleep,
};
use corelane_tests::request::LEGACY;
use corelane_tests::{Setup, StdioServer, binary, wait_until};
use serde_json::json;

use crate::lines::eras::{check_both_eras, check_tools_change};

fn start() -> StdioServer {
    Setup::bare(&[]).start_stdio()
}

#[test]
fn both_eras_are_served_on_one_channel_with_calls_in_flight() {
    let mut server = start();
    check_both_eras(&mut server);
    // Only the cancelled calls have no answer.
    server.close_input();
    assert!(server.wait_for_exit().success());
}

#[test]
fn lines_that_are_no_message_are_refused_and_later_ones_are_served() {
    let setup = Setup::bare(&[]).profile("[lines]\nmessage_bytes_max = 2048");
    let mut server = setup.start_stdio();
    let too_long = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"{}\"}}",
        "x".repeat(1 << 20)
    );
    let cases: [(&[u8], i64); 5] = [
        (b"garbage", -32700),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1", -32700),
        (b"\xff\xfe{}", -32700),
        (b"[]", -32600),
        (too_long.as_bytes(), -32600),
    ];
    for (line, code) in cases {
        server.send_bytes(b"\n\r\n");
        server.send_bytes(line);
        server.send_bytes(b"\r\n");
        let answer = server.expect();
        assert_eq!(answer["error"]["code"], code, "{answer}");
        assert!(answer.get("id").is_none(), "{answer}");
        check_text(
            &server.exchange(&modern(1, "tools/call", echo("still there"))),
            "still there",
        );
    }
}

#[test]
fn messages_larger_than_any_pipe_pass_both_ways() {
    let mut server = start();
    let message = "0123456789abcdef".repeat(1 << 18);
    let answer = server.exchange(&modern(1, "tools/call", echo(&message)));
    check_text(&answer, &message);
    // As many as a client sends without waiting.
    for id in 0..200 {
        server.send(&modern(id, "tools/call", echo("m")));
    }
    for id in 0..200 {
        let answer = server.expect();
        assert_eq!(answer["id"], id);
    }
}

#[test]
fn a_server_that_ends_cancels_and_answers_each_listen_stream() {
    let mut server = start();
    check_tools_change(&mut server);
    // A server that ends cancels the stream, whose id is in flight until then, and answers it.
    server.process().signal("TERM");
    let message = server.expect();
    assert_eq!(message["method"], "notifications/cancelled", "{message}");
    assert_eq!(message["params"]["requestId"], "l");
    let message = server.expect();
    assert_eq!(message["id"], "l");
    assert_eq!(message["result"]["resultType"], "complete", "{message}");
    assert!(server.wait_for_exit().success());
}

#[test]
fn requests_in_flight_are_answered_at_the_end_of_input_and_at_a_signal() {
    for by_signal in [false, true] {
        let mut server = start();
        server.initialize(&json!({}));
        for (id, make) in ERAS.iter().enumerate() {
            server.send(&make(json!(id), "tools/call", sleep(300)));
        }
        // The server has read the calls when it answers later requests.
        check_text(&server.exchange(&modern("e", "tools/call", echo("m"))), "m");
        match by_signal {
            true => server.process().signal("TERM"),
            false => {
                // The last line needs no end of its own.
                let last = legacy("last", "tools/call", echo("last"));
                server.send_bytes(last.to_string().as_bytes());
                server.close_input();
                check_text(&server.expect(), "last");
            }
        }
        let mut ids = [server.expect(), server.expect()].map(|answer| answer["id"].as_i64());
        ids.sort_unstable();
        assert_eq!(ids, [Some(0), Some(1)]);
        assert!(server.wait_for_exit().success());
    }
}

/// A tenth of a second for calls at the end, and a day for a client that does not read.
const SHORT_DRAIN: &str = "[server]\ndrain_timeout_ms = 100\n\
     [connection]\nlinger_timeout_ms = 100\nwrite_timeout_ms = 86400000";

fn end(server: &mut StdioServer, by_signal: bool) {
    match by_signal {
        true => server.process().signal("TERM"),
        false => server.close_input(),
    }
}

#[test]
fn calls_that_outlast_the_drain_time_are_answered_with_the_limit() {
    for by_signal in [false, true] {
        let mut server = Setup::bare(&[]).profile(SHORT_DRAIN).start_stdio();
        server.initialize(&json!({}));
        for (id, make) in ERAS.iter().enumerate() {
            server.send(&make(json!(id), "tools/call", sleep(60_000)));
        }
        check_text(&server.exchange(&modern("e", "tools/call", echo("m"))), "m");
        end(&mut server, by_signal);
        let mut ids = [server.expect(), server.expect()].map(|answer| {
            let text = answer["error"]["message"].as_str().unwrap_or_default();
            let limit = "get 100 ms to end (server.drain_timeout_ms)";
            assert!(text.contains(limit), "{answer}");
            answer["id"].as_i64()
        });
        ids.sort_unstable();
        assert_eq!(ids, [Some(0), Some(1)]);
        assert!(server.wait_for_exit().success());
    }
}

#[test]
fn a_parent_that_does_not_read_does_not_keep_the_process() {
    for by_signal in [false, true] {
        let mut server = Setup::bare(&[]).profile(SHORT_DRAIN).start_stdio();
        server.initialize(&json!({}));
        // Their answers are more than the pipe, the sockets and the connection hold.
        for id in 0..400 {
            server.send(&legacy(id, "tools/list", json!({})));
        }
        end(&mut server, by_signal);
        assert!(server.process().wait_for_exit().success());
        let log = server.process().log();
        assert!(
            log.contains("standard output was not read in time"),
            "{log}"
        );
    }
}

#[test]
fn a_request_to_the_client_fails_when_standard_input_ends() {
    let setup = Setup::bare(&[]).profile("[server]\ndrain_timeout_ms = 600000");
    let mut server = setup.start_stdio();
    server.initialize(&json!({ "elicitation": {}, "sampling": {} }));
    let elicits = call("test_elicitation", json!({ "message": "Who?" }));
    let samples = call("test_sampling", json!({ "prompt": "Say it." }));
    for (id, params) in [elicits, samples].into_iter().enumerate() {
        server.send(&legacy(id, "tools/call", params));
        assert!(server.expect()["method"].is_string());
    }
    server.close_input();
    let mut ids = [server.expect(), server.expect()].map(|answer| {
        let text = answer["result"]["content"][0]["text"].as_str();
        let is_explained = text.is_some_and(|text| text.contains("it has ended its input"));
        assert!(
            is_explained && answer["result"]["isError"] == true,
            "{answer}"
        );
        answer["id"].as_i64()
    });
    ids.sort_unstable();
    assert_eq!(ids, [Some(0), Some(1)]);
    assert!(server.wait_for_exit().success());
}

#[test]
fn a_malformed_response_ends_the_call_that_waits_for_it() {
    let mut server = start();
    server.initialize(&json!({ "elicitation": {} }));
    for members in [
        json!({ "error": 5 }),
        json!({ "result": {}, "error": {} }),
        json!({}),
    ] {
        let elicits = call("test_elicitation", json!({ "message": "Who?" }));
        server.send(&legacy(1, "tools/call", elicits));
        let mut response = members;
        response["jsonrpc"] = json!("2.0");
        response["id"] = server.expect()["id"].take();
        server.send(&response);
        let refusal = server.expect();
        assert_eq!(refusal["error"]["code"], -32600, "{refusal}");
        assert!(refusal.get("id").is_none(), "{refusal}");
        let answer = server.expect();
        assert_eq!(
            (&answer["id"], &answer["result"]["isError"]),
            (&json!(1), &json!(true))
        );
    }
}

#[test]
fn standard_streams_that_carry_no_messages_are_an_error() {
    for (redirection, text) in [
        ("<&-", "standard input is closed"),
        (">&-", "standard output is closed"),
        ("0>/dev/null", "standard input is not open for reading"),
        ("1</dev/null", "standard output is not open for writing"),
        ("</", "cannot read standard input: Is a directory"),
    ] {
        let output = Command::new("sh")
            .arg("-c")
            .arg(format!("exec \"$0\" serve --stdio {redirection}"))
            .arg(binary())
            .stdin(Stdio::null())
            .output()
            .expect("a shell");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{redirection}: {error}");
        assert!(error.contains(text), "{redirection}: {error}");
    }
}

#[test]
fn a_signal_after_the_end_of_input_ends_the_process_at_once() {
    let mut server = Setup::bare(&[])
        .profile("[server]\ndrain_timeout_ms = 600000")
        .start_stdio();
    server.send(&modern(1, "tools/call", sleep(60_000)));
    check_text(&server.exchange(&modern(2, "tools/call", echo("m"))), "m");
    server.close_input();
    let status = wait_until("the end of the process", || {
        // The first signal or the end of input starts the drain, the next signal ends it.
        server.process().signal("TERM");
        server.process().try_wait()
    });
    assert_eq!(status.code(), Some(128 + 15));
}

#[test]
fn a_parent_that_closes_standard_output_ends_the_process() {
    let mut server = start();
    server.initialize(&json!({}));
    server.send(&legacy(1, "tools/call", sleep(60_000)));
    server.close_output();
    // A process that another test starts has all open pipes until it runs its program, and takes an
    // answer for this one then.
    let status = wait_until("the exit of the server", || {
        let unread = legacy(2, "tools/call", echo("nobody reads this")).to_string();
        // The server may be gone.
        let _ = server.channel().send(unread.as_bytes());
        server.process().try_wait()
    });
    assert!(status.success(), "{status}");
    let log = server.process().log();
    assert!(log.contains("standard output is lost"), "{log}");
    assert!(!log.contains("panic"), "{log}");
}

#[test]
fn standard_input_may_be_a_file() {
    let path = std::env::temp_dir().join(format!("corelane-stdio-{}", std::process::id()));
    let mut file = File::create(&path).expect("a file for the test");
    let requests = [
        initialize(LEGACY, &json!({})),
        legacy(1, "tools/call", echo("from a file")),
    ];
    for request in requests {
        writeln!(file, "{request}").expect("a file for the test");
    }
    let input = File::open(&path).expect("it was made");
    std::fs::remove_file(&path).expect("it was made");
    let ended = Setup::bare(&["--stdio"]).run_to_end_with(Stdio::from(input));
    assert_eq!(ended.code, Some(0), "{}", ended.error);
    let answers: Vec<&str> = ended.output.lines().collect();
    assert_eq!(answers.len(), 2, "{}", ended.output);
    assert!(answers[1].contains("from a file"), "{}", ended.output);
}

#[test]
fn an_empty_standard_input_is_no_error() {
    let ended = Setup::bare(&["--stdio"]).run_to_end();
    // Nothing in the log looks like a fault either.
    let found = (ended.code, &*ended.output, &*ended.error);
    assert_eq!(found, (Some(0), "", ""));
}

#[test]
fn a_server_on_standard_input_and_output_does_not_listen() {
    let ended = Setup::bare(&["--stdio", "--listen", "127.0.0.1:0"]).run_to_end();
    assert_eq!(ended.code, Some(2), "{}", ended.error);
    assert!(ended.error.contains("--listen"), "{}", ended.error);
}

/// An ordinary user may lock 8 MiB. Such a server locks 36 KiB more than its registered memory: its
/// rings, which no file of the kernel shows.
#[test]
fn thirty_servers_fit_the_locked_memory_of_an_ordinary_user() {
    let mut server = start();
    server.initialize(&json!({}));
    assert!(server.process().registered_bytes() <= 192 << 10);
}
