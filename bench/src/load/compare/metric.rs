//! The metrics that are compared, by name.

use crate::load::report::quantity::{bytes, number, time};
use crate::load::report::{Distribution, Outcome, Report, SweepReport};

/// A figure that a report may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Right answers per second of `call`.
    AnswersPerS,
    /// Median latency: of `call`, of the active calls of `soak`, and the delay of `fanout`.
    P50,
    /// The 90th percentile of the same.
    P90,
    /// The 99th percentile of the same.
    P99,
    /// The 99.9th percentile of the same.
    P999,
    /// The highest of the same.
    Max,
    /// Median from sending to the answer, of `call`.
    ServiceP50,
    /// The 99th percentile of the same.
    ServiceP99,
    /// CPU time of the server for each answer of `call`.
    ServerCpu,
    /// Busiest thread of the server, in percent of a core: below 95, compare `server_cpu` instead
    /// of `answers_per_s`.
    ServerBusiest,
    /// All that went wrong: failed requests, lost connections of `soak`, streams of `fanout` that a
    /// change did not reach, and failures at the rates of `sweep` that did not break.
    Errors,
    /// Resident memory of the server for each connection of `soak`.
    RssPerConnection,
    /// Connections made per second by `soak`.
    ConnectionsPerS,
    /// Time until the last stream of `fanout` had a change; the median of the rounds, the upper of
    /// two.
    FanoutLast,
    /// The rate that `sweep` found.
    Capacity,
}

impl Metric {
    /// All, in the order of tables.
    pub const ALL: [Metric; 15] = [
        Metric::AnswersPerS,
        Metric::P50,
        Metric::P90,
        Metric::P99,
        Metric::P999,
        Metric::Max,
        Metric::ServiceP50,
        Metric::ServiceP99,
        Metric::ServerCpu,
        Metric::ServerBusiest,
        Metric::Errors,
        Metric::RssPerConnection,
        Metric::ConnectionsPerS,
        Metric::FanoutLast,
        Metric::Capacity,
    ];

    /// As thresholds and tables name it.
    pub fn name(self) -> &'static str {
        match self {
            Metric::AnswersPerS => "answers_per_s",
            Metric::P50 => "p50",
            Metric::P90 => "p90",
            Metric::P99 => "p99",
            Metric::P999 => "p999",
            Metric::Max => "max",
            Metric::ServiceP50 => "service_p50",
            Metric::ServiceP99 => "service_p99",
            Metric::ServerCpu => "server_cpu",
            Metric::ServerBusiest => "server_busiest",
            Metric::Errors => "errors",
            Metric::RssPerConnection => "rss_per_connection",
            Metric::ConnectionsPerS => "connections_per_s",
            Metric::FanoutLast => "fanout_last",
            Metric::Capacity => "capacity",
        }
    }

    /// Its value in a report: nanoseconds, bytes, microseconds of CPU time, or a plain number;
    /// nothing if the report lacks it or recorded nothing.
    pub(super) fn value(self, report: &Report) -> Option<f64> {
        let latency = latency(report);
        match self {
            Metric::P50 => latency.map(|times| times.p50_ns as f64),
            Metric::P90 => latency.map(|times| times.p90_ns as f64),
            Metric::P99 => latency.map(|times| times.p99_ns as f64),
            Metric::P999 => latency.map(|times| times.p999_ns as f64),
            Metric::Max => latency.map(|times| times.max_ns as f64),
            Metric::Errors => Some(errors(report) as f64),
            _ => self.value_of_one_command(&report.outcome),
        }
    }

    fn value_of_one_command(self, outcome: &Outcome) -> Option<f64> {
        match (self, outcome) {
            (Metric::AnswersPerS, Outcome::Call(call)) => Some(call.answers_per_s),
            (Metric::ServiceP50, Outcome::Call(call)) => {
                recorded(&call.service).map(|times| times.p50_ns as f64)
            }
            (Metric::ServiceP99, Outcome::Call(call)) => {
                recorded(&call.service).map(|times| times.p99_ns as f64)
            }
            (Metric::ServerCpu, Outcome::Call(call)) => {
                let cpu_us = call.server?.cpu_us_per_answer;
                (cpu_us > 0.0).then_some(cpu_us)
            }
            (Metric::ServerBusiest, Outcome::Call(call)) => {
                Some(call.server?.busiest_thread_percent)
            }
            (Metric::RssPerConnection, Outcome::Soak(soak)) => {
                // Memory of a server that was not found is 0 at each step.
                let is_found = soak.steps.iter().any(|step| step.server_rss_bytes > 0);
                let slope = soak.slope.filter(|_| is_found)?;
                Some(slope.rss_bytes_per_connection)
            }
            (Metric::ConnectionsPerS, Outcome::Soak(soak)) => Some(soak.connections_per_s),
            (Metric::FanoutLast, Outcome::Fanout(fanout)) => {
                let delivered = fanout.rounds.iter().filter(|round| round.delivered > 0);
                let mut last_ns: Vec<u64> = delivered.map(|round| round.last_ns).collect();
                last_ns.sort_unstable();
                last_ns.get(last_ns.len() / 2).map(|ns| *ns as f64)
            }
            (Metric::Capacity, Outcome::Sweep(sweep)) => Some(sweep.capacity_per_s),
            _ => None,
        }
    }

    /// A value for people.
    pub(super) fn text(self, value: f64) -> String {
        match self {
            Metric::P50
            | Metric::P90
            | Metric::P99
            | Metric::P999
            | Metric::Max
            | Metric::ServiceP50
            | Metric::ServiceP99
            | Metric::FanoutLast => time(value),
            Metric::ServerCpu => format!("{value:.2} us"),
            Metric::ServerBusiest => format!("{value:.1} %"),
            Metric::RssPerConnection => bytes(value),
            Metric::Errors => value.to_string(),
            Metric::AnswersPerS | Metric::ConnectionsPerS | Metric::Capacity => number(value),
        }
    }
}

/// The command that a report is of.
pub(super) fn command(report: &Report) -> &'static str {
    match report.outcome {
        Outcome::Call(_) => "call",
        Outcome::Soak(_) => "soak",
        Outcome::Fanout(_) => "fanout",
        Outcome::Sweep(_) => "sweep",
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

fn recorded(times: &Distribution) -> Option<&Distribution> {
    (times.count > 0).then_some(times)
}

fn errors(report: &Report) -> u64 {
    match &report.outcome {
        Outcome::Call(call) => call.counts.errors.total(),
        Outcome::Soak(soak) => {
            let active = soak.active.as_ref();
            let of_calls = active.map_or(0, |active| active.errors.total());
            soak.errors.total() + soak.lost + of_calls
        }
        Outcome::Fanout(fanout) => {
            let lost: u64 = fanout.rounds.iter().map(|round| round.lost).sum();
            fanout.errors.total() + lost
        }
        Outcome::Sweep(sweep) => errors_below_the_break(sweep),
    }
}

fn errors_below_the_break(sweep: &SweepReport) -> u64 {
    let kept = sweep.steps.iter().filter(|step| step.broke.is_none());
    kept.map(|step| step.errors.total()).sum()
}

#[cfg(test)]
mod tests {
    use super::{Metric, Outcome, Report};
    use crate::load::report::samples;

    fn check(report: &Report, expected: &[(&str, &str)]) {
        let found: Vec<(&str, String)> = Metric::ALL
            .into_iter()
            .filter_map(|metric| Some((metric.name(), metric.text(metric.value(report)?))))
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
        check(
            &samples::fanout(),
            &[
                ("p50", "2.00 ms"),
                ("p90", "5.00 ms"),
                ("p99", "12.0 ms"),
                ("p999", "22.0 ms"),
                ("max", "40.0 ms"),
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
