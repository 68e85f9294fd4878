//! Comparisons of sample reports with changed figures.

use super::{Comparison, Spread, Threshold, compare, divide, ratio};
use crate::load::report::{CallReport, Outcome, Pace, Report, samples};

/// Runs of `call` with these medians of latency.
fn calls(p50_ns: &[u64]) -> Vec<Report> {
    let call = |p50_ns: &u64| changed(|call| call.latency.p50_ns = *p50_ns);
    p50_ns.iter().map(call).collect()
}

fn changed(change: impl FnOnce(&mut CallReport)) -> Report {
    let mut report = samples::call();
    if let Outcome::Call(call) = &mut report.outcome {
        change(call);
    }
    report
}

fn thresholds(texts: &[&str]) -> Vec<Threshold> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn compared(a: &[Report], b: &[Report], texts: &[&str]) -> Comparison {
    compare(a, b, &thresholds(texts)).unwrap()
}

/// The cells of a metric's row of the table.
fn row(comparison: &Comparison, metric: &str) -> String {
    let table = comparison.table();
    let row = table.lines().find(|line| line.starts_with(metric));
    let cells: Vec<&str> = row.unwrap().split_whitespace().collect();
    cells.join(" ")
}

#[test]
fn the_ratio_is_of_the_medians_and_its_spread_of_the_ends() {
    let a = calls(&[120_000, 80_000, 100_000]);
    let b = calls(&[150_000, 90_000, 110_000, 190_000]);
    let comparison = compared(&a, &b, &["p50<=1.25", "p50>=1.25", "p90<=1"]);
    let expected = "p50 100 us (80.0 us-120 us) 130 us (90.0 us-190 us) 1.300 0.750-2.375 \
                    p50<=1.25 BROKEN, p50>=1.25 kept";
    assert_eq!(row(&comparison, "p50"), expected);
    let equal = "p90 150 us 150 us 1.000 1.000-1.000 p90<=1 kept";
    assert_eq!(row(&comparison, "p90"), equal);
    assert_eq!(comparison.broken(), ["p50<=1.25: the ratio is 1.300"]);
    assert!(comparison.table().starts_with("3 runs of A, 4 runs of B\n"));
    assert!(comparison.warnings().is_empty());
}

#[test]
fn equal_sides_keep_the_thresholds_of_their_metrics() {
    for report in samples::all() {
        let side = [report.clone(), report];
        let comparison = compared(&side, &side[..1], &["errors<=1", "errors>=1"]);
        assert_eq!(comparison.broken(), [""; 0]);
        assert!(comparison.warnings().is_empty(), "{comparison:?}");
    }
}

#[test]
fn a_threshold_on_a_missing_metric_is_broken() {
    let without = changed(|call| call.server = None);
    let (a, b) = (
        [samples::call(), samples::call()],
        [samples::call(), without],
    );
    let comparison = compared(&a, &b, &["server_cpu<=9", "capacity>=0"]);
    let broken = [
        "server_cpu<=9: there is no ratio",
        "capacity>=0: there is no ratio",
    ];
    assert_eq!(comparison.broken(), broken);
    let lacks = [
        "1 of 2 runs of B lack server_cpu",
        "1 of 2 runs of B lack server_busiest",
    ];
    assert_eq!(comparison.warnings(), lacks);
    let expected = "server_cpu 45.00 us missing - - server_cpu<=9 BROKEN";
    assert_eq!(row(&comparison, "server_cpu"), expected);
}

#[test]
fn nothing_by_nothing_is_one_and_something_by_nothing_has_no_bound() {
    assert_eq!(divide(0.0, 0.0), 1.0);
    assert_eq!(divide(1.0, 0.0), f64::INFINITY);
    assert_eq!(divide(0.0, 2.0), 0.0);
    let flawless = [changed(|call| call.counts.errors = Default::default())];
    let flawed = [samples::call()];
    let comparison = compared(&flawless, &flawed, &["errors<=1000"]);
    assert_eq!(comparison.broken(), ["errors<=1000: the ratio is inf"]);
    assert!(
        compared(&flawed, &flawless, &["errors<=0"])
            .broken()
            .is_empty()
    );
}

#[test]
fn as_many_runs_on_both_sides_are_divided_in_pairs() {
    let spread = |median, min, max| Some(Spread { median, min, max });
    // The machine was slow in the third round, for both sides.
    assert_eq!(
        ratio(&[2.0, 4.0, 40.0], &[1.0, 2.0, 30.0]),
        spread(0.5, 0.5, 0.75)
    );
    assert_eq!(
        ratio(&[2.0, 4.0], &[1.0, 2.0, 3.0]),
        spread(2.0 / 3.0, 0.25, 1.5)
    );
}

#[test]
fn a_side_below_nothing_has_no_ratio() {
    assert_eq!(ratio(&[-1.0, 4.0], &[1.0, 2.0]), None);
    assert_eq!(ratio(&[1.0, 2.0], &[-1.0, 2.0]), None);
}

#[test]
fn reports_that_may_mislead_are_warned_of() {
    let mut invalid = samples::call();
    invalid.invalid = vec!["the generator was busy".to_owned()];
    invalid.interrupted = true;
    invalid.environment.is_release = false;
    invalid.environment.cpu = "another".to_owned();
    invalid.environment.kernel = "7.0.0".to_owned();
    let comparison = compared(&[samples::call()], &[samples::call(), invalid], &[]);
    let expected = [
        "run 2 of B is invalid: the generator was busy",
        "run 2 of B was interrupted",
        "run 2 of B is of an unoptimised load generator",
        "the processors differ: Example <9000> & Sons | another",
        "the kernels differ: 6.18.0 | 7.0.0",
    ];
    assert_eq!(comparison.warnings(), expected);
    assert!(
        comparison
            .table()
            .starts_with("WARNING: run 2 of B is invalid")
    );
}

#[test]
fn loads_that_differ_are_warned_of() {
    let check = |other: Report| {
        let comparison = compared(&[samples::call()], &[other], &[]);
        let warnings = comparison.warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].starts_with("the loads differ: "));
        assert!(warnings[0].contains("open loop of 10,000/s, 64 connections"));
    };
    check(changed(|call| call.load.connections = 640));
    check(changed(|call| call.load.in_flight = 2));
    check(changed(|call| call.load.pace = Pace::Closed));
    check(changed(|call| call.measured_s = 60.0));
    check(changed(|call| call.methods[0].name = "ping".to_owned()));
}

#[test]
fn sides_that_cannot_be_compared_are_refused() {
    let check = |a: &[Report], b: &[Report], expected: &str| {
        let fault = compare(a, b, &[]).unwrap_err();
        assert_eq!(fault.to_string(), expected);
    };
    let (call, soak) = ([samples::call()], [samples::soak()]);
    check(&[], &call, "side A has no report");
    check(&call, &[], "side B has no report");
    let differ = "a report of call cannot be compared with one of soak";
    check(&call, &soak, differ);
    check(&[samples::call(), samples::soak()], &call, differ);
}
