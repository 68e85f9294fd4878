//! HTTP+SSE: messages come on other connections than their stream, perhaps of other shards.

use serde_json::{Value, json};

use super::client::Client;
use super::test_shard::{TestShard, settle_all, with_shard, with_shards};
use crate::mcp::tests::test_endpoint::{claim, initialize, request};
use crate::meter::Counter;

/// Opens a stream; returns its client and the URI for messages.
async fn open(shard: &mut TestShard) -> (Client, String) {
    let (client, _) = shard.client().await;
    client.sends(&client.head("GET /old/sse", "Accept: text/event-stream\r\n"));
    shard.settle().await;
    let text = client.received_text();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200"), "{text}");
    assert!(head.contains("Content-Type: text/event-stream"), "{text}");
    let (_, uri) = body
        .split_once("event: endpoint\ndata: ")
        .expect("the first event");
    let (uri, _) = uri.split_once('\n').expect("a line");
    assert!(uri.starts_with("/old/messages?sessionId="), "{uri}");
    (client, uri.to_owned())
}

fn post(client: &Client, uri: &str, body: &str) {
    let length = body.len();
    let headers = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
    let mut bytes = client.head(&format!("POST {uri}"), &headers);
    bytes.extend_from_slice(body.as_bytes());
    client.sends(&bytes);
}

/// The messages on a stream since the last look.
fn messages(client: &Client) -> Vec<Value> {
    let text = client.received_text();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).expect("JSON"))
        .collect()
}

fn status(client: &Client) -> String {
    client
        .received_text()
        .chars()
        .skip("HTTP/1.1 ".len())
        .take(3)
        .collect()
}

#[test]
fn messages_reach_their_stream_from_every_shard() {
    with_shards(
        2,
        |_| {},
        async |shards| {
            let (stream, uri) = open(&mut shards[0]).await;
            for (shard, id) in [(1, 1), (0, 2)] {
                let (poster, _) = shards[shard].client().await;
                let call = json!({"name": "echo", "arguments": {"message": "hello"}});
                let body = match id {
                    1 => initialize("2024-11-05"),
                    _ => request(id, "tools/call", call),
                };
                post(&poster, &uri, &body);
                settle_all(shards).await;
                assert_eq!(status(&poster), "202", "{id}");
                let found = messages(&stream);
                assert_eq!(found.len(), 1, "{found:?}");
                assert_eq!(found[0]["id"], id);
                assert!(found[0]["result"].is_object(), "{found:?}");
            }
            assert_eq!(shards[0].count(Counter::SessionsOpen), 1);
            assert_eq!(shards[0].count(Counter::StreamsOpen), 1);
            // The session ends with its stream.
            stream.resets();
            settle_all(shards).await;
            assert_eq!(shards[0].count(Counter::SessionsOpen), 0);
            for shard in [0, 1] {
                let (poster, _) = shards[shard].client().await;
                post(&poster, &uri, &request(3, "ping", Value::Null));
                settle_all(shards).await;
                assert_eq!(status(&poster), "404");
            }
        },
    );
}

#[test]
fn a_large_message_is_decoded_elsewhere_and_later_ones_wait_for_it() {
    let change = |setup: &mut super::test_shard::Setup| {
        setup.profile.json.inline_bytes_max = 1024;
        setup.threads.decode = 1;
    };
    with_shard(change, async |shard| {
        let (stream, uri) = open(shard).await;
        let echo = json!({"name": "echo", "arguments": {"message": "x".repeat(2000)}});
        for body in [
            initialize("2024-11-05"),
            request(7, "tools/call", echo),
            request(8, "ping", Value::Null),
        ] {
            let (poster, _) = shard.client().await;
            post(&poster, &uri, &body);
            shard.settle().await;
            while shard.shard.handling.pool.input_bytes > 0 {
                std::thread::yield_now();
                shard.settle().await;
            }
            assert_eq!(status(&poster), "202");
        }
        let found = messages(&stream);
        let ids: Vec<_> = found.iter().map(|it| it["id"].clone()).collect();
        assert_eq!(ids, [1, 7, 8]);
    });
}

#[test]
fn a_slow_call_is_answered_on_the_stream_and_others_meanwhile() {
    with_shard(
        |_| {},
        async |shard| {
            let (stream, uri) = open(shard).await;
            let (poster, _) = shard.client().await;
            let wait = json!({"name": "wait", "arguments": {}});
            for body in [
                initialize("2024-11-05"),
                request(7, "tools/call", wait),
                request(8, "ping", Value::Null),
            ] {
                post(&poster, &uri, &body);
                shard.settle().await;
                assert_eq!(status(&poster), "202");
            }
            let ids = |found: &[Value]| found.iter().map(|it| it["id"].clone()).collect::<Vec<_>>();
            assert_eq!(ids(&messages(&stream)), [json!(1), json!(8)]);
            shard.gate.open();
            shard.settle().await;
            assert_eq!(ids(&messages(&stream)), [json!(7)]);
        },
    );
}

#[test]
fn uris_that_name_no_stream_are_not_found() {
    with_shard(
        |_| {},
        async |shard| {
            let (stream, uri) = open(shard).await;
            let (poster, key) = shard.client().await;
            let own = format!("{:08x}{:08x}", key.index, key.generation);
            let zero = "0".repeat(32);
            let cut = &uri[..uri.len() - 1];
            for (other, expected) in [
                (uri.replace("sessionId", "id"), "404"),
                (format!("{cut}g"), "404"),
                (cut.to_owned(), "404"),
                (
                    format!("{}{}", cut, if uri.ends_with('0') { 1 } else { 0 }),
                    "404",
                ),
                (format!("/old/messages?sessionId=ffff{own}{zero}"), "404"),
                (format!("/old/messages?sessionId=0000{own}{zero}"), "404"),
                ("/old/messages".to_owned(), "404"),
                ("/messages".to_owned(), "404"),
                ("/old/sse".to_owned(), "405"),
                (uri.replace('?', "?a=b&"), "202"),
            ] {
                post(&poster, &other, &request(3, "ping", Value::Null));
                shard.settle().await;
                assert_eq!(status(&poster), expected, "{other}");
            }
            assert_eq!(messages(&stream).len(), 1);
            poster.sends(&poster.head("GET /old/messages", ""));
            shard.settle().await;
            assert!(
                poster
                    .received_text()
                    .contains("\r\nAllow: POST, OPTIONS\r\n")
            );
        },
    );
}

#[test]
fn the_modern_era_is_refused_on_the_stream() {
    with_shard(
        |_| {},
        async |shard| {
            let (stream, uri) = open(shard).await;
            let (poster, _) = shard.client().await;
            let list = request(5, "tools/list", json!({"_meta": claim()}));
            post(&poster, &uri, &list);
            post(&poster, &uri, "{");
            shard.settle().await;
            assert_eq!(status(&poster), "202");
            let found = messages(&stream);
            let codes: Vec<_> = found.iter().map(|it| it["error"]["code"].clone()).collect();
            assert_eq!(codes, [json!(-32022), json!(-32700)], "{found:?}");
        },
    );
}

#[test]
fn a_quiet_stream_shows_signs_of_life_and_takes_no_request() {
    with_shard(
        |_| {},
        async |shard| {
            let (stream, _) = open(shard).await;
            stream.sends(&stream.head("GET /ready", ""));
            // It was not quiet for the first second.
            shard.advance(2000).await;
            for _ in 0..3 {
                shard.advance(15_200).await;
                assert_eq!(stream.received_text(), "e\r\n: keep-alive\n\n\r\n");
            }
            stream.finishes();
            shard.settle().await;
            assert_eq!(
                shard.connections(),
                0,
                "a client that sends no more has gone"
            );
        },
    );
}

#[test]
fn a_drain_ends_streams_and_opens_no_others() {
    with_shard(
        |_| {},
        async |shard| {
            let (stream, _) = open(shard).await;
            let (late, _) = shard.client().await;
            late.sends(&late.head("GET /old/sse", "Accept: text/event-stream\r\n"));
            shard.shard.control.begin_drain();
            shard.settle().await;
            assert!(stream.received_text().ends_with("0\r\n\r\n"));
            assert_eq!(status(&late), "503");
        },
    );
}

#[test]
fn messages_wait_while_their_client_does_not_read() {
    let change = |setup: &mut super::test_shard::Setup| {
        setup.profile.connection.output_bytes_max = 4096;
        setup.profile.lines.in_flight_max = 2;
    };
    with_shard(change, async |shard| {
        let (stream, uri) = open(shard).await;
        let mut posters = Vec::new();
        for _ in 0..4 {
            posters.push(shard.client().await.0);
        }
        post(&posters[0], &uri, &initialize("2024-11-05"));
        shard.settle().await;
        assert_eq!(status(&posters[0]), "202");
        stream.received_text();
        stream.takes(0);
        let echo = json!({"name": "echo", "arguments": {"message": "x".repeat(5000)}});
        for (id, poster) in posters.iter().enumerate() {
            post(
                poster,
                &uri,
                &request(id as i64, "tools/call", echo.clone()),
            );
            shard.settle().await;
        }
        // The first is answered, two wait, and the last is one too many.
        let statuses: Vec<_> = posters.iter().map(status).collect();
        assert_eq!(statuses, ["202", "", "", "503"]);
        stream.takes(1 << 20);
        shard.settle().await;
        let ids: Vec<_> = messages(&stream)
            .iter()
            .map(|it| it["id"].clone())
            .collect();
        assert_eq!(ids, [0, 1, 2]);
        assert_eq!(status(&posters[1]), "202");
        assert_eq!(status(&posters[2]), "202");
        // Those of a client that goes are not found.
        stream.takes(0);
        for id in [1, 2] {
            post(
                &posters[id],
                &uri,
                &request(id as i64, "tools/call", echo.clone()),
            );
            shard.settle().await;
        }
        stream.resets();
        shard.settle().await;
        assert_eq!(status(&posters[1]), "202");
        assert_eq!(status(&posters[2]), "404");
    });
}
