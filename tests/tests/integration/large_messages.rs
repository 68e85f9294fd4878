//! Messages that are too large to be decoded within a turn of their shard.

use corelane_tests::{LivenessProbe, Request, Session, Setup};
use serde_json::{Value, json};

use crate::access_file::AccessFile;

/// Bytes past which a message is decoded elsewhere.
const INLINE_BYTES_MAX: usize = 2048;

fn setup(shards: usize) -> Setup {
    let profile = format!("[json]\ninline_bytes_max = {INLINE_BYTES_MAX}");
    Setup::shards(shards).profile(&profile)
}

#[test]
fn messages_of_every_size_are_served_in_both_eras_and_across_shards() {
    for shards in [1, 4] {
        let server = setup(shards).start();
        let mut probe = LivenessProbe::of(&server);
        let session = Session::open(&mut server.connect());
        for bytes in [
            1,
            INLINE_BYTES_MAX,
            2 * INLINE_BYTES_MAX,
            100_000,
            3_000_000,
        ] {
            let message = "\u{e9}\n".repeat(bytes.div_ceil(3));
            let arguments = json!({ "message": message });
            for request in [
                session.call("echo", arguments.clone()),
                Request::modern_call("echo", arguments),
            ] {
                // Another shard each time, which may not be the home of the session.
                let mut connection = server.connect();
                let answer = connection.exchange(&request).answer();
                let text = &answer["result"]["content"][0]["text"];
                assert!(*text == message, "{bytes} bytes on {shards} shards");
                connection.send_bytes(&request.to_chunked_bytes(server.address(), 70_000));
                let answer = connection.read_response().answer();
                assert!(answer["result"]["content"][0]["text"] == message);
            }
            probe.check("a large message");
        }
    }
}

#[test]
fn faults_of_a_large_message_are_reported_too() {
    let server = setup(2).start();
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    let members: Value = (0..5000).map(|at| (format!("m{at}"), json!(at))).collect();
    for request in [
        session.call("add", members.clone()),
        Request::modern_call("add", members),
    ] {
        let answer = connection.exchange(&request).answer();
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        let text = &answer["result"]["content"][0]["text"];
        let expected = "invalid arguments: \"a\" is a required property; \
                        \"b\" is a required property";
        assert_eq!(*text, expected);
    }
}

#[test]
fn a_client_that_leaves_while_its_message_is_decoded_affects_no_other() {
    let server = setup(1).start();
    let mut probe = LivenessProbe::of(&server);
    let message = "x".repeat(4_000_000);
    let request = Request::modern_call("echo", json!({ "message": message }));
    for _ in 0..8 {
        let mut connection = server.connect();
        connection.send(&request);
        drop(connection);
        probe.check("a client that left");
    }
}

/// The address of a client is looked up for its first request, which is kept until then.
#[test]
fn a_large_first_request_is_served_when_rules_depend_on_addresses() {
    let file = AccessFile::new(
        "[[role]]\nname = \"user\"\nclaim_roles = [\"ci\"]\n\
         [[grant]]\nrole = \"user\"\ntools = [\"*\"]\naddresses = [\"127.0.0.0/8\"]\n",
    );
    let server = file.setup(1).start();
    let sized = |bytes: usize| {
        let message = "x".repeat(bytes);
        file.sign(Request::modern_call("echo", json!({ "message": message })))
    };
    for bytes in [100, 70_000, 3_000_000] {
        let mut connection = server.connect();
        // In one write: the second must not be answered in place of the first.
        let both = [sized(bytes), sized(7)].map(|it| it.to_bytes(server.address()));
        connection.send_bytes(&both.concat());
        for expected in [bytes, 7] {
            let answer = connection.read_response().answer();
            let text = answer["result"]["content"][0]["text"].as_str();
            assert_eq!(text.map(str::len), Some(expected), "{bytes} bytes");
        }
    }
}
