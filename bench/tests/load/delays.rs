//! Measured times against known ones. Only lower bounds are checked: a busy machine adds time.

use crate::program::run;
use crate::servers::corelane;

#[test]
fn a_tool_that_takes_5_ms_takes_at_least_5_ms() {
    let (server, url) = corelane(0);
    let flags = "--tool nap --rate 200 --connections 16 --duration 2s --warmup 200ms";
    let ran = run(&format!("call {url} {flags}"), &[]);
    assert_eq!(ran.errors(), 0, "{}", ran.output);
    assert_eq!(ran.count("/counts/sent"), 400);
    for times in ["latency", "service"] {
        let min_ms = ran.ms(&format!("/{times}/min_ns"));
        assert!(min_ms >= 5.0, "{times}: {}", ran.output);
    }
    // Latency counts from when a request was due, so it is never below the service time.
    for figure in ["p50_ns", "p99_ns", "max_ns"] {
        let of = |times: &str| ran.count(&format!("/{times}/{figure}"));
        assert!(of("latency") >= of("service"), "{figure}: {}", ran.output);
    }
    server.drain().unwrap();
}

#[test]
fn an_open_loop_shows_a_stall_that_a_closed_loop_hides() {
    let (server, url) = corelane(1000);
    let flags = "--tool hiccup --rate 500 --connections 8 --duration 4s --warmup 0s";
    let open = run(&format!("call {url} {flags}"), &[]);
    assert_eq!(open.errors(), 0, "{}", open.output);
    // A quarter of the requests were due while the server stood still.
    assert!(open.ms("/latency/p999_ns") > 900.0, "{}", open.output);
    assert!(open.ms("/latency/p90_ns") > 300.0, "{}", open.output);
    server.drain().unwrap();

    let (server, url) = corelane(1000);
    let flags = "--tool hiccup --connections 2 --duration 4s --warmup 0s";
    let closed = run(&format!("call {url} {flags}"), &[]);
    assert_eq!(closed.errors(), 0, "{}", closed.output);
    let outcome = &closed.report["outcome"];
    // No request is due before its connection is free, so none waits for the stall to end.
    assert_eq!(outcome["latency"], outcome["service"]);
    server.drain().unwrap();
}
