//! The metrics that are compared, by name.

use crate::load::report::quantity::{bytes, number, time};
use crate::load::report::{
    CallReport, Distribution, FanoutReport, Outcome, Report, SoakReport, SweepReport,
};

/// A figure that a report may have.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// As thresholds and tables name it.
    pub name: &'static str,
    /// Its value in a report: nanoseconds, bytes, microseconds of CPU time, or a plain number;
    /// nothing if the report lacks it or recorded nothing.
    pub(super) value: fn(&Report) -> Option<f64>,
    /// A value for people.
    pub(super) text: fn(f64) -> String,
}

const fn metric(
    name: &'static str,
    value: fn(&Report) -> Option<f64>,
    text: fn(f64) -> String,
) -> Metric {
    Metric { name, value, text }
}

/// All metrics, in the order of tables.
///
/// Percentiles without a prefix are of the latency of `call`, of the active calls of `soak`, and of
/// the delay of `fanout`. Where `server_busiest` is below 95, compare `server_cpu` instead of
/// `answers_per_s`; in `fanout` it is for each delivery. `errors` are [`Outcome::failures`].
pub static METRICS: [Metric; 15] = [
    metric("answers_per_s", |it| Some(call(it)?.answers_per_s), number),
    metric("p50", |it| Some(latency(it)?.p50_ns as f64), time),
    metric("p90", |it| Some(latency(it)?.p90_ns as f64), time),
    metric("p99", |it| Some(latency(it)?.p99_ns as f64), time),
    metric("p999", |it| Some(latency(it)?.p999_ns as f64), time),
    metric("max", |it| Some(latency(it)?.max_ns as f64), time),
    metric("service_p50", |it| Some(service(it)?.p50_ns as f64), time),
    metric("service_p99", |it| Some(service(it)?.p99_ns as f64), time),
    metric("server_cpu", server_cpu, |us| format!("{us:.2} us")),
    metric("server_busiest", server_busiest, |percent| {
        format!("{percent:.1} %")
    }),
    metric(
        "errors",
        |it| Some(it.outcome.failures() as f64),
        |count| count.to_string(),
    ),
    metric("rss_per_connection", rss_per_connection, bytes),
    metric(
        "connections_per_s",
        |it| Some(soak(it)?.connections_per_s),
        number,
    ),
    metric("fanout_last", fanout_last, time),
    metric("capacity", |it| Some(sweep(it)?.capacity_per_s), number),
];

/// The command that a report is of.
pub(super) fn command(report: &Report) -> &'static str {
    match report.outcome {
        Outcome::Call(_) => "call",
        Outcome::Soak(_) => "soak",
        Outcome::Fanout(_) => "fanout",
        Outcome::Sweep(_) => "sweep",
    }
}

fn call(report: &Report) -> Option<&CallReport> {
    match &report.outcome {
        Outcome::Call(call) => Some(call),
        _ => None,
    }
}

fn soak(report: &Report) -> Option<&SoakReport> {
    match &report.outcome {
        Outcome::Soak(soak) => Some(soak),
        _ => None,
    }
}

fn fanout(report: &Report) -> Option<&FanoutReport> {
    match &report.outcome {
        Outcome::Fanout(fanout) => Some(fanout),
        _ => None,
    }
}

fn sweep(report: &Report) -> Option<&SweepReport> {
    match &report.outcome {
        Outcome::Sweep(sweep) => Some(sweep),
        _ => None,
    }
}

fn latency(report: &Report) -> Option<&Distribution> {
    match &report.outcome {
        Outcome::Call(call) => recorded(&call.latency),
        Outcome::Soak(soak) => recorded(&soak.active.as_ref()?.latency),
        Outcome::Fanout(fanout) => recorded(&fanout.delay),
        Outcome::Sweep(_) => None,
    }
}

fn service(report: &Report) -> Option<&Distribution> {
    recorded(&call(report)?.service)
}

fn recorded(times: &Distribution) -> Option<&Distribution> {
    (times.count > 0).then_some(times)
}

fn server_cpu(report: &Report) -> Option<f64> {
    let server = match &report.outcome {
        Outcome::Call(call) => call.server,
        Outcome::Fanout(fanout) => fanout.server,
        Outcome::Soak(_) | Outcome::Sweep(_) => None,
    };
    let cpu_us = server?.cpu_us_per_answer;
    (cpu_us > 0.0).then_some(cpu_us)
}

fn server_busiest(report: &Report) -> Option<f64> {
    Some(call(report)?.server?.busiest_thread_percent)
}

fn rss_per_connection(report: &Report) -> Option<f64> {
    let soak = soak(report)?;
    // Memory of a server that was not found is 0 at each step.
    let is_found = soak.steps.iter().any(|step| step.server_rss_bytes > 0);
    Some(soak.slope.filter(|_| is_found)?.rss_bytes_per_connection)
}

/// Time until the last stream had a change; the median of the rounds, the upper of two.
fn fanout_last(report: &Report) -> Option<f64> {
    let rounds = fanout(report)?.rounds.iter();
    let delivered = rounds.filter(|round| round.delivered > 0);
    let mut last_ns: Vec<u64> = delivered.map(|round| round.last_ns).collect();
    last_ns.sort_unstable();
    last_ns.get(last_ns.len() / 2).map(|ns| *ns as f64)
}

#[cfg(test)]
mod tests {
    use super::{METRICS, Outcome, Report};
    use crate::load::report::samples;

    fn check(report: &Report, expected: &[(&str, &str)]) {
        let found: Vec<(&str, String)> = METRICS
            .iter()
            .filter_map(|metric| Some((metric.name, (metric.text)((metric.value)(report)?))))
            .collect();
        let found: Vec<(&str, &str)> = found.iter().map(|(n, v)| (*n, v.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn each_command_has_its_metrics() {
        check(
            &samples::call(),
            &[
                ("answers_per_s", "10,000"),
                ("p50", "60.0 us"),
                ("p90", "150 us"),
                ("p99", "360 us"),
                ("p999", "660 us"),
                ("max", "1.20 ms"),
                ("service_p50", "55.0 us"),
                ("service_p99", "330 us"),
                ("server_cpu", "45.00 us"),
                ("server_busiest", "45.0 %"),
                ("errors", "4"),
            ],
        );
        check(
            &samples::soak(),
            &[
                ("p50", "70.0 us"),
                ("p90", "175 us"),
                ("p99", "420 us"),
                ("p999", "770 us"),
                ("max", "1.40 ms"),
                ("errors", "1"),
                ("rss_per_connection", "48 B"),
                ("connections_per_s", "40,000"),
            ],
        );
        let mut report = samples::fanout();
        if let Outcome::Fanout(fanout) = &mut report.outcome {
            fanout.server = Some(fanout.generator);
        }
        check(
            &report,
            &[
                ("p50", "2.00 ms"),
                ("p90", "5.00 ms"),
                ("p99", "12.0 ms"),
                ("p999", "22.0 ms"),
                ("max", "40.0 ms"),
                ("server_cpu", "2.00 us"),
                ("errors", "0"),
                ("fanout_last", "5.00 ms"),
            ],
        );
        let sweep = [("errors", "0"), ("capacity", "150,000")];
        check(&samples::sweep(), &sweep);
    }

    #[test]
    fn unrecorded_metrics_are_missing() {
        let mut report = samples::call();
        if let Outcome::Call(call) = &mut report.outcome {
            call.latency = Default::default();
            call.service = Default::default();
            call.server = None;
        }
        check(&report, &[("answers_per_s", "10,000"), ("errors", "4")]);

        let mut report = samples::soak();
        if let Outcome::Soak(soak) = &mut report.outcome {
            soak.active = None;
            for step in &mut soak.steps {
                step.server_rss_bytes = 0;
            }
        }
        let rest = [("errors", "1"), ("connections_per_s", "40,000")];
        check(&report, &rest);
    }
}
