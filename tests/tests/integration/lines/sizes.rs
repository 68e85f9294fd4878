//! Long messages on sockets.

use corelane_tests::client::{check_text, echo, modern};
use corelane_tests::{Client, LivenessProbe, Setup};
use serde_json::json;

use super::LineServer;

const LIMIT: &str = "[lines]\nmessage_bytes_max = 1048576";
const LIMIT_BYTES: usize = 1 << 20;

/// A request of exactly so many bytes; its message has the letters.
fn of_bytes(id: u32, bytes: usize) -> (String, String) {
    let empty = modern(id, "tools/call", echo("")).to_string().len();
    let letters = "m".repeat(bytes - empty);
    let request = modern(id, "tools/call", echo(&letters)).to_string();
    assert_eq!(request.len(), bytes);
    (request, letters)
}

#[test]
fn a_message_of_the_limit_is_served_and_a_longer_one_is_refused_by_its_id() {
    let started = LineServer::start(Setup::shards(1).profile(LIMIT));
    for address in started.lines() {
        for end in ["\n", "\r\n"] {
            let mut client = Client::of_lines(address);
            let (request, letters) = of_bytes(1, LIMIT_BYTES);
            client.send_bytes(format!("{request}{end}").as_bytes());
            let answer = client.expect();
            assert_eq!(answer["id"], 1);
            check_text(&answer, &letters);
            let (request, _) = of_bytes(2, LIMIT_BYTES + 1);
            client.send_bytes(format!("{request}{end}").as_bytes());
            let refused = client.expect();
            let text = refused["error"]["message"].as_str().unwrap_or_default();
            assert_eq!(refused["id"], 2, "{refused}");
            assert!(text.contains("lines.message_bytes_max"), "{refused}");
            check_text(&client.exchange(&modern(3, "tools/call", echo("m"))), "m");
        }
    }
}

/// The message is decoded away from the only shard, and later ones of its connection wait for it.
#[test]
fn a_message_of_16_mib_is_served_in_its_order_and_others_meanwhile() {
    let started = LineServer::start(Setup::shards(1));
    let mut probe = LivenessProbe::of(&started.server);
    let (request, letters) = of_bytes(1, 16 << 20);
    for address in started.lines() {
        let mut client = Client::of_lines(address);
        let ping = modern(2, "tools/call", echo("m"));
        client.send_bytes(format!("{request}\n{ping}\n").as_bytes());
        probe.check("a large message");
        check_text(&client.expect(), &letters);
        check_text(&client.expect(), "m");
    }
}

#[test]
fn a_message_of_100_megabytes_takes_no_more_memory_than_its_limit() {
    const PIECES: usize = 1600;
    /// With these the memory for a message of the limit and all receive buffers are touched.
    const FIRST_PIECES: usize = 200;
    const GROWTH_BYTES_MAX: usize = 1 << 20;
    let started = LineServer::start(Setup::shards(1).profile(LIMIT));
    let piece = vec![b'x'; 1 << 16];
    for address in started.lines() {
        let mut client = Client::of_lines(address);
        check_text(&client.exchange(&modern(1, "tools/call", echo("m"))), "m");
        client.send_bytes(b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\",\"params\":\"");
        let resident_bytes = || started.server.resident_bytes();
        let mut first_bytes = 0;
        for at in 0..PIECES {
            client.send_bytes(&piece);
            match at {
                FIRST_PIECES => first_bytes = resident_bytes(),
                at if at % 100 == 0 && at > FIRST_PIECES => {
                    let grown = resident_bytes().saturating_sub(first_bytes);
                    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more");
                }
                _ => {}
            }
        }
        client.send_bytes(b"\"}\n");
        let refused = client.expect();
        assert_eq!(
            (&refused["id"], &refused["error"]["code"]),
            (&json!(7), &json!(-32600))
        );
        check_text(&client.exchange(&modern(2, "tools/call", echo("m"))), "m");
    }
}
