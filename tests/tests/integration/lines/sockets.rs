//! Lines on sockets: their beginnings and ends, and clients that are none.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Instant;

use corelane_tests::client::{call, check_text, echo, legacy, modern, sleep};
use corelane_tests::{Channel, Client, Lines, PATIENCE, Setup, wait_until};
use serde_json::json;

use super::LineServer;
use super::eras::listen;

/// The server ends the connection without a byte.
#[track_caller]
fn expect_silent_end(lines: &mut Lines) {
    let received = lines.receive_bytes(Instant::now() + PATIENCE);
    match received {
        Ok(bytes) => assert!(bytes.is_empty(), "{}", String::from_utf8_lossy(&bytes)),
        // With bytes that the server has not read.
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[test]
fn clients_of_other_protocols_are_closed_at_once_and_one_warning_names_the_first() {
    let started = LineServer::start(Setup::shards(1));
    let post = format!(
        "POST /mcp HTTP/1.1\r\nHost: h\r\n\r\n{}\n",
        modern(1, "ping", json!({}))
    );
    for address in started.lines() {
        for hello in [
            post.as_bytes(),
            b"\x16\x03\x01\x02\x00",
            b"SSH-2.0-x\r\n",
            b"\0",
        ] {
            let mut lines = Lines::connect(address).expect("it listens");
            lines.send_bytes(hello).expect("it is read");
            expect_silent_end(&mut lines);
        }
    }
    let warning = "it begins with an HTTP request, which needs an address with http://";
    let log = wait_until("the warning", || {
        let log = started.server.log();
        log.contains(warning).then_some(log)
    });
    assert_eq!(
        log.matches("closed a connection that has no lines").count(),
        1,
        "{log}"
    );
}

#[test]
fn a_client_that_sends_no_more_gets_its_answers_and_then_the_end() {
    let started = LineServer::start(Setup::shards(1));
    for address in started.lines() {
        let mut client = Client::of_lines(address).boxed();
        client.initialize(&json!({ "elicitation": {} }));
        listen(&mut client, "l");
        let elicits = call("test_elicitation", json!({ "message": "Who?" }));
        client.send(&legacy(1, "tools/call", elicits));
        assert_eq!(client.expect()["method"], "elicitation/create");
        client.send(&modern(2, "tools/call", sleep(50)));
        client.send(&legacy(3, "tools/call", sleep(50)));
        client.finish();
        // Its question can have no answer, its subscription would last for ever, and its calls end.
        let mut received: Vec<String> = Vec::new();
        while let Some(message) = client.receive() {
            received.push(format!("{} {}", message["method"], message["id"]));
        }
        received.sort();
        let expected = [
            "\"notifications/cancelled\" null",
            "null \"l\"",
            "null 1",
            "null 2",
            "null 3",
        ];
        assert_eq!(received, expected, "{address}");
    }
}

#[test]
fn the_last_line_of_a_client_needs_no_end() {
    let started = LineServer::start(Setup::shards(1));
    for address in started.lines() {
        let mut client = Client::of_lines(address);
        client.send_bytes(modern(1, "tools/call", echo("last")).to_string().as_bytes());
        client.finish();
        check_text(&client.expect(), "last");
        client.expect_end();
    }
}

#[test]
fn a_drain_cancels_subscriptions_and_answers_calls_and_subscriptions() {
    let started = LineServer::start(Setup::shards(2));
    let mut clients: Vec<_> = (started.lines().iter())
        .map(|address| Client::of_lines(address).boxed())
        .collect();
    for client in &mut clients {
        client.initialize(&json!({}));
        listen(client, "l");
        client.send(&legacy(1, "tools/call", sleep(2000)));
        check_text(&client.exchange(&modern(2, "tools/call", echo("m"))), "m");
    }
    let idle = Lines::connect(&started.lines()[0]).expect("it listens");
    started.server.signal("TERM");
    for client in &mut clients {
        let message = client.expect();
        assert_eq!(message["method"], "notifications/cancelled", "{message}");
        assert_eq!(message["params"]["requestId"], "l");
        let message = client.expect();
        assert_eq!(
            (&message["id"], &message["result"]["resultType"]),
            (&json!("l"), &json!("complete"))
        );
        assert_eq!(client.expect()["id"], 1);
        client.expect_end();
    }
    expect_silent_end(&mut { idle });
    assert!(started.server.wait_for_exit().success());
}

#[test]
fn a_session_ends_with_its_connection() {
    let started = LineServer::start(Setup::shards(1).profile("[sessions]\nper_shard_max = 2"));
    let address = &started.lines()[0];
    for _ in 0..10 {
        let mut client = Client::of_lines(address);
        client.initialize(&json!({}));
        let answer = client.exchange(&legacy(1, "tools/call", echo("m")));
        check_text(&answer, "m");
        // The table has places again, without an eviction, as soon as the connection is gone.
        client.finish();
        client.expect_end();
    }
    // A message of a session on another connection is of none.
    let mut client = Client::of_lines(address);
    let refused = client.exchange(&legacy(1, "tools/call", echo("m")));
    assert_eq!(refused["error"]["code"], -32600, "{refused}");
}

#[test]
fn deadlines_end_connections_that_send_nothing_or_half_a_message() {
    let deadlines = "[lines]\nfirst_message_timeout_ms = 100\nidle_timeout_ms = 1000\n\
                     [connection]\nbody_timeout_ms = 100\nquiet_after_ms = 10";
    let started = LineServer::start(Setup::shards(1).profile(deadlines));
    for address in started.lines() {
        let mut silent = Lines::connect(address).expect("it listens");
        let mut half = Client::of_lines(address);
        half.send_bytes(b"{\"jsonrpc\":");
        let mut idle = Client::of_lines(address);
        check_text(&idle.exchange(&modern(1, "tools/call", echo("m"))), "m");
        let mut busy = Client::of_lines(address).boxed();
        listen(&mut busy, "l");
        expect_silent_end(&mut silent);
        let refused = half.expect();
        assert_eq!(
            refused["error"]["message"],
            "message took longer than 100 ms (connection.body_timeout_ms)"
        );
        half.expect_end();
        idle.expect_end();
        // A connection with a request in flight is not idle.
        check_text(&busy.exchange(&modern(1, "tools/call", echo("m"))), "m");
    }
}

#[test]
fn requests_past_the_bound_of_a_connection_are_refused_and_others_are_served() {
    let started = LineServer::start(Setup::shards(1).profile("[lines]\nin_flight_max = 3"));
    for address in started.lines() {
        let mut client = Client::of_lines(address);
        for id in 0..3 {
            client.send(&modern(id, "tools/call", sleep(60_000)));
        }
        let refused = client.exchange(&modern(3, "tools/call", echo("m")));
        let text = refused["error"]["message"].as_str().unwrap_or_default();
        assert!(text.contains("lines.in_flight_max"), "{refused}");
        client.send(&corelane_tests::client::cancelled(0));
        check_text(&client.exchange(&modern(4, "tools/call", echo("m"))), "m");
    }
}

#[test]
fn a_peer_that_reads_nothing_is_given_up_and_keeps_no_other_waiting() {
    let limits = "[connection]\nwrite_timeout_ms = 500\noutput_bytes_max = 65536\n\
                  output_bytes_per_shard_max = 1048576";
    let started = LineServer::start(Setup::shards(1).profile(limits));
    for address in started.lines() {
        let mut slow = Lines::connect(address).expect("it listens");
        let list = format!("{}\n", modern(1, "tools/list", json!({}))).repeat(100);
        // Until it takes no more, because nothing is read of its answers.
        let deadline = Instant::now() + PATIENCE;
        while slow.send_bytes(list.as_bytes()).is_ok() {
            assert!(Instant::now() < deadline, "{address} takes everything");
        }
        let mut other = Client::of_lines(address);
        check_text(&other.exchange(&modern(1, "tools/call", echo("m"))), "m");
    }
}

#[test]
fn connections_of_an_address_are_limited_as_those_of_http_are() {
    let limit = "[overload]\nconnections_per_address_max = 2";
    let started = LineServer::start(Setup::shards(1).profile(limit));
    let tcp = &started.lines()[0];
    let mut clients = [Client::of_lines(tcp), Client::of_lines(tcp)];
    for client in &mut clients {
        check_text(&client.exchange(&modern(1, "tools/call", echo("m"))), "m");
    }
    expect_silent_end(&mut Lines::connect(tcp).expect("it listens"));
    // Both listeners count the same address; a Unix socket has none.
    let http = TcpStream::connect(started.server.address()).expect("it listens");
    expect_silent_end(&mut Lines::over_socket(http.into()).expect("a socket"));
    for _ in 0..4 {
        let mut client = Client::of_lines(&started.lines()[2]);
        check_text(&client.exchange(&modern(1, "tools/call", echo("m"))), "m");
    }
}

#[test]
fn nothing_is_lost_of_messages_in_any_pieces() {
    let started = LineServer::start(Setup::shards(1));
    let mut client = Client::of_lines(&started.lines()[0]);
    let messages: String = (0..20)
        .map(|id| {
            format!(
                "{}\r\n",
                modern(id, "tools/call", echo(&"m".repeat(id as usize * 50)))
            )
        })
        .collect();
    for piece in messages.as_bytes().chunks(97) {
        client.send_bytes(piece);
    }
    for id in 0..20 {
        let answer = client.channel().receive(Instant::now() + PATIENCE);
        let answer = answer.expect("it is served").expect("an answer");
        let answer: serde_json::Value = serde_json::from_slice(&answer).expect("a message");
        assert_eq!(answer["id"], id);
    }
}
