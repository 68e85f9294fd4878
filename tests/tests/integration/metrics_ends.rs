//! Metrics of the ends of connections and streams, and of the lanes between shards.

use corelane_tests::{EventStream, PATIENCE, Scrape, Session};
use serde_json::Value;

use crate::fixture::Fixture;
use crate::metrics::{HTTP, call, measured, tuned};

#[test]
fn connections_and_streams_are_counted_by_their_ends() {
    let server = measured(1)
        .profile("[connection]\nhead_timeout_ms = 100")
        .start();
    let address = server.metrics_address();
    let ended = |reason: &'static str| {
        Scrape::wait_for(address, reason, |scrape| {
            let labels = [&*format!("reason=\"{reason}\"")];
            let closed = scrape.sum("corelane_connections_closed_total", &labels);
            (closed == 1.0).then_some(())
        });
    };
    let mut connection = server.connect();
    let session = Session::open(&mut connection);
    connection.send(&session.stream());
    let stream = EventStream::begin(connection);
    Scrape::wait_for(address, "the stream", |scrape| {
        (scrape.sum("corelane_streams", &[]) == 1.0).then_some(())
    });
    drop(stream);
    ended("peer");
    let mut connection = server.connect();
    connection.exchange(&call("test_simple_text").field("Connection", "close"));
    connection.expect_close();
    ended("answered");
    // A request without an end, which gets its time, and an answer that says so.
    let mut connection = server.connect();
    connection.send_bytes(b"POST /mcp HTTP/1.1\r\n");
    let answer = connection.read_to_close(PATIENCE).expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 408 "));
    drop(connection);
    let scrape = Scrape::wait_for(address, "the timeout", |scrape| {
        let timeouts = scrape.sum("corelane_timeouts_total", &["kind=\"head\""]);
        let closed = scrape.sum("corelane_connections_closed_total", &[]);
        (timeouts == 1.0 && closed == 3.0).then(|| scrape.clone())
    });
    assert_eq!(scrape.sum("corelane_streams_opened_total", &[]), 1.0);
    assert_eq!(scrape.sum("corelane_streams", &[]), 0.0);
    assert_eq!(
        scrape.sum("corelane_stream_duration_seconds_count", &[]),
        1.0
    );
    assert_eq!(scrape.sum(HTTP, &["code=\"408\""]), 1.0);
    // A stream lasts for hours: it is no duration of a request.
    assert_eq!(scrape.sum(HTTP, &["\"GET\""]), 0.0);
}

#[test]
fn messages_between_shards_are_counted() {
    let fixture = Fixture::with(2, tuned, |server| server);
    let address = fixture.metrics_address();
    let mut all = fixture.on_each_shard();
    let session = all[1].1.clone();
    let ping = session.request(1, "ping", Value::Null);
    let before = Scrape::of(address).sum("corelane_lane_sent_total", &["\"request\""]);
    assert_eq!(all[0].0.exchange(&ping).status(), 200);
    Scrape::wait_for(address, "a request and its answer", |scrape| {
        let sent = |tier: &str| scrape.sum("corelane_lane_sent_total", &[tier]);
        (sent("\"request\"") > before && sent("\"reply\"") > 0.0).then_some(())
    });
}
