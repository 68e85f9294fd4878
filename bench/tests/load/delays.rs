//! What is measured against what is known.

use crate::program::run;
use crate::servers::corelane;

#[test]
fn a_tool_that_takes_5_ms_takes_5_ms() {
    let (server, url) = corelane(0);
    let flags = "--tool nap --rate 200 --connections 16 --duration 2s --warmup 200ms";
    let ran = run(&format!("call {url} {flags}"), &[]);
    assert_eq!(ran.errors(), 0, "{}", ran.output);
    assert_eq!(ran.count("/counts/sent"), 400);
    let (p50, service) = (ran.ms("/latency/p50_ns"), ran.ms("/service/p50_ns"));
    assert!((5.0..12.0).contains(&p50), "{}", ran.output);
    assert!((5.0..12.0).contains(&service), "{}", ran.output);
    assert!(ran.ms("/latency/min_ns") >= 5.0);
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
    assert!(closed.count("/counts/sent") > 4000, "{}", closed.output);
    assert!(closed.ms("/latency/p999_ns") < 500.0, "{}", closed.output);
    assert!(closed.ms("/latency/max_ns") > 900.0, "{}", closed.output);
    server.drain().unwrap();
}
