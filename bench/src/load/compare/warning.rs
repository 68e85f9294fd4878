//! Why a comparison may mislead.

use super::metric::{METRICS, Metric};
use crate::load::report::table::pace_text;
use crate::load::report::{Outcome, Report};
use std::collections::BTreeSet;

/// A fact that all reports should share.
type Fact = fn(&Report) -> String;

/// All reasons: of each report first, then of all together.
pub(super) fn warnings(a: &[Report], b: &[Report]) -> Vec<String> {
    let mut warnings = Vec::new();
    for (side, reports) in [("A", a), ("B", b)] {
        for (at, report) in reports.iter().enumerate() {
            let run = format!("run {} of {side}", at + 1);
            warnings.extend(of_report(report).map(|reason| format!("{run} {reason}")));
        }
        warnings.extend(partly_missing(side, reports));
    }
    let all = || a.iter().chain(b);
    let facts: [(&str, Fact); 3] = [
        ("processors", |report| report.environment.cpu.clone()),
        ("kernels", |report| report.environment.kernel.clone()),
        ("loads", load),
    ];
    for (name, fact) in facts {
        let found: BTreeSet<String> = all().map(fact).collect();
        if found.len() > 1 {
            let found: Vec<String> = found.into_iter().collect();
            warnings.push(format!("the {name} differ: {}", found.join(" | ")));
        }
    }
    warnings
}

fn of_report(report: &Report) -> impl Iterator<Item = String> {
    let interrupted = report.interrupted.then(|| "was interrupted".to_owned());
    let unoptimised = !report.environment.is_release;
    let unoptimised = unoptimised.then(|| "is of an unoptimised load generator".to_owned());
    let invalid = report.invalid.iter();
    let invalid = invalid.map(|reason| format!("is invalid: {reason}"));
    invalid.chain(interrupted).chain(unoptimised)
}

/// Metrics that some reports of a side have and others lack.
fn partly_missing(side: &str, reports: &[Report]) -> Vec<String> {
    let runs = reports.len();
    let missing = |metric: &Metric| {
        let lacks = |report: &&Report| (metric.value)(report).is_none();
        reports.iter().filter(lacks).count()
    };
    METRICS
        .iter()
        .map(|metric| (metric.name, missing(metric)))
        .filter(|(_, missing)| (1..runs).contains(missing))
        .map(|(name, missing)| format!("{missing} of {runs} runs of {side} lack {name}"))
        .collect()
}

/// The load of the run; two runs are comparable if it is equal.
fn load(report: &Report) -> String {
    let revision = &report.revision;
    match &report.outcome {
        Outcome::Call(call) => {
            let load = &call.load;
            let methods: Vec<&str> = call.methods.iter().map(|m| m.name.as_str()).collect();
            format!(
                "{}, {} connections, {} in flight, {} threads, {} s of warm-up, {:.0} s of {}, \
                 {revision}",
                pace_text(&load.pace),
                load.connections,
                load.in_flight,
                load.threads,
                load.warmup_s,
                call.measured_s,
                methods.join(" + "),
            )
        }
        Outcome::Soak(soak) => {
            let active = soak.active.as_ref().map_or(0.0, |active| active.rate_per_s);
            format!(
                "{} {} connections, {active} calls/s, {revision}",
                soak.asked, soak.kind
            )
        }
        Outcome::Fanout(fanout) => format!(
            "{} streams, {} rounds of {}, {revision}",
            fanout.streams,
            fanout.rounds.len(),
            fanout.notification
        ),
        Outcome::Sweep(sweep) => format!("p99 limit of {} ns, {revision}", sweep.p99_limit_ns),
    }
}
