//! The text has the figures of the report.

use super::super::{Errors, Outcome, Pace, Report, samples};
use super::{errors_text, pace_text, table};

fn check(report: &Report, lines: &[&str]) {
    let text = table(report);
    for line in lines {
        assert!(text.lines().any(|found| found == *line), "{line}\n{text}");
    }
}

#[test]
fn a_call_shows_latency_counts_errors_and_use() {
    let lines = [
        "server     http://127.0.0.1:8080/mcp?a=1&b=<2>, revision 2026-07-28, profile production",
        "arguments  --label <b>a & 'b'</b>",
        "load       open loop of 10,000/s; 64 connections, 1 in flight on each; 1 threads; \
         2.00 s of warm-up",
        "measured   10.0 s",
        "answers    10,000/s",
        "requests   100,000 sent, 99,996 answered, 64 connections opened",
        "errors     timeout 3, reset 1",
        "                  p50      p90      p99    p99.9   p99.99      max    count",
        "latency       60.0 us   150 us   360 us   660 us   960 us  1.20 ms   99,996",
        "service time  55.0 us   138 us   330 us   605 us   880 us  1.10 ms   99,996",
        "send delay     900 ns  2.25 us  5.40 us  9.90 us  14.4 us  18.0 us  100,000",
        "service time: from the time it was sent to its whole answer",
        "date       2026-09-21T14:13:20Z",
        "method           answered  failed      p50     p99      max",
        "tools/call echo    99,996       4  60.0 us  360 us  1.20 ms",
        "process     pid     CPU  CPU per answer  busiest thread  resident",
        "generator  4001  6.00 s        60.00 us          60.0 %  12.0 MiB",
        "server     4000  4.50 s        45.00 us          45.0 %  12.0 MiB",
    ];
    check(&samples::call(), &lines);
}

#[test]
fn a_soak_shows_steps_slope_and_slab() {
    let lines = [
        "held       19,999 of 20,000 idle connections, 1 lost",
        "ramp       0.50 s, 40,000 connections/s",
        "errors     none",
        "active     200/s for 5.00 s: 1,000 answered, errors: none",
        "send delay   900 ns  2.25 us  5.40 us  9.90 us  14.4 us  18.0 us   1,000",
        "held        at  resident   private  server CPU     slab",
        "5,000   0.12 s  8.23 MiB  5.21 MiB      0.12 s  335 MiB",
        "each connection: resident 48 B, private 44 B, slab 7.23 KiB",
        "(slab is of the whole machine: both ends)",
    ];
    check(&samples::soak(), &lines);
}

#[test]
fn a_fan_shows_each_round() {
    let lines = [
        "streams    1,000, waiting for notifications/tools/list_changed",
        "round  delivered  lost  duplicates      p50      p99     last",
        "2          1,000     0           0  2.00 ms  4.00 ms  9.00 ms",
        "server     not found on this machine",
    ];
    check(&samples::fanout(), &lines);
}

#[test]
fn a_sweep_shows_each_rate_and_the_capacity() {
    let mut report = samples::sweep();
    let text = table(&report);
    assert!(text.contains("p99 of 5.40 ms exceeds 2.00 ms\n"), "{text}");
    assert!(text.contains("unsent 25"), "{text}");
    check(
        &report,
        &["limit      p99 of 2.00 ms", "capacity   150,000/s"],
    );
    if let Outcome::Sweep(sweep) = &mut report.outcome {
        sweep.capacity_per_s = 0.0;
    }
    check(&report, &["capacity   none: no rate kept the limit"]);
}

#[test]
fn reasons_not_to_use_the_figures_come_first() {
    for mut report in samples::all() {
        report.invalid = vec!["one".to_owned(), "two".to_owned()];
        report.interrupted = true;
        let text = table(&report);
        let first = "INVALID: one\nINVALID: two\nINTERRUPTED: the run was ended early\nserver  ";
        assert!(text.starts_with(first), "{text}");
    }
}

#[test]
fn nothing_recorded_shows_no_times() {
    let mut report = samples::call();
    if let Outcome::Call(call) = &mut report.outcome {
        call.latency = Default::default();
    }
    let text = table(&report);
    let row = text.lines().find(|line| line.starts_with("latency"));
    let cells: Vec<&str> = row.unwrap().split_whitespace().collect();
    assert_eq!(cells, ["latency", "-", "-", "-", "-", "-", "-", "0"]);
}

#[test]
fn every_kind_of_error_has_a_name() {
    let errors = Errors {
        tool_error: 8,
        protocol: 1,
        http: 2,
        wrong_answer: 3,
        timeout: 4,
        reset: 5,
        connect: 6,
        unsent: 7_000,
    };
    assert_eq!(
        errors_text(&errors),
        "tool_error 8, protocol 1, http 2, wrong_answer 3, timeout 4, reset 5, connect 6, \
         unsent 7,000"
    );
}

#[test]
fn a_pace_says_its_loop_and_rates() {
    let ramp = Pace::Open {
        from_per_s: 10.0,
        to_per_s: 2_000.0,
    };
    assert_eq!(pace_text(&ramp), "open loop from 10.0/s to 2,000/s");
    assert_eq!(pace_text(&Pace::Closed), "closed loop");
}
