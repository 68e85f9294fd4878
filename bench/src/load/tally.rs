//! Counts and times of one worker, and how those of all workers are merged.
//!
//! Times are nanoseconds in HdrHistograms of three digits, so a merged percentile is as exact as
//! one of a single worker; averaging percentiles would not be. Invariant: each request that was
//! measured is in exactly one of `answered`, `aborted` and the errors.

use super::report::{Counts, CurvePoint, Distribution, Errors, MethodReport, Second};
use hdrhistogram::Histogram;

/// The lowest time with a bucket of its own, in nanoseconds.
const LOWEST_NS: u64 = 100;
/// The highest time that is recorded; longer ones count as this.
const HIGHEST_NS: u64 = 3_600_000_000_000;
/// Points of a curve between 50 % and 75 %, 75 % and 87.5 %, and so on.
const TICKS_PER_HALVING: u32 = 4;
/// Error lines that a run keeps.
const SAMPLES_MAX: usize = 8;

/// Times of one kind.
#[derive(Clone, Debug)]
pub struct Times(Histogram<u64>);

impl Times {
    /// Of so many digits.
    fn with_digits(digits: u8) -> Times {
        let histogram = Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, digits);
        Times(histogram.expect("bounds in order and digits within 0 to 5"))
    }

    /// Adds one, in nanoseconds.
    pub fn record(&mut self, time_ns: u64) {
        self.0.saturating_record(time_ns);
    }

    /// Adds all of another's.
    pub fn merge(&mut self, other: &Times) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time at or below which that many percent are; 0 if there is none.
    pub fn percentile_ns(&self, percentile: f64) -> u64 {
        self.0.value_at_percentile(percentile)
    }

    /// For the report.
    pub fn distribution(&self) -> Distribution {
        if self.0.is_empty() {
            return Distribution::default();
        }
        let mut count = 0;
        let curve = self.0.iter_quantiles(TICKS_PER_HALVING).map(|step| {
            count += step.count_since_last_iteration();
            CurvePoint {
                percentile: step.quantile_iterated_to() * 100.0,
                time_ns: step.value_iterated_to(),
                count,
            }
        });
        let curve = curve.collect();
        Distribution {
            count: self.0.len(),
            min_ns: self.0.min(),
            mean_ns: self.0.mean(),
            p50_ns: self.percentile_ns(50.0),
            p90_ns: self.percentile_ns(90.0),
            p99_ns: self.percentile_ns(99.0),
            p999_ns: self.percentile_ns(99.9),
            p9999_ns: self.percentile_ns(99.99),
            max_ns: self.0.max(),
            curve,
        }
    }
}

impl Default for Times {
    fn default() -> Times {
        Times::with_digits(3)
    }
}

/// The kinds of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A result with `isError` that the mix does not allow.
    ToolError,
    /// A JSON-RPC error.
    Protocol,
    /// A status of 400 or above, or no HTTP.
    Http,
    /// A wrong answer.
    WrongAnswer,
    /// No answer in time.
    Timeout,
    /// The connection ended first.
    Reset,
    /// No connection, or no session.
    Connect,
}

/// One kind of request.
#[derive(Clone, Debug, Default)]
struct MethodTally {
    failed: u64,
    latency: Times,
}

/// One second; its percentiles are for a plot, so two digits do.
#[derive(Clone, Debug)]
struct SecondTally {
    errors: u64,
    latency: Times,
}

/// See the module's text.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests and connections.
    pub counts: Counts,
    /// Answers that came while measuring, including those to earlier requests.
    pub answered_meanwhile: u64,
    /// From the intended send time.
    pub latency: Times,
    /// From the time of sending.
    pub service: Times,
    /// How late the generator was.
    pub slip: Times,
    /// From the start of connecting to the first answer, of connections that are held.
    pub connect: Times,
    methods: Vec<MethodTally>,
    seconds: Vec<SecondTally>,
    /// The first error lines.
    pub samples: Vec<String>,
}

impl Tally {
    /// Counts an answer of `kind` that came in `second` of the time measured.
    pub fn answered(&mut self, kind: usize, second: usize, latency_ns: u64, service_ns: u64) {
        self.counts.answered += 1;
        self.latency.record(latency_ns);
        self.service.record(service_ns);
        self.method(kind).latency.record(latency_ns);
        self.second(second).latency.record(latency_ns);
    }

    /// Counts a failed request.
    pub fn failed(&mut self, kind: usize, second: usize, failure: Failure) {
        self.count_error(failure);
        self.method(kind).failed += 1;
        self.second(second).errors += 1;
    }

    /// Counts a failure that is no request's.
    pub fn count_error(&mut self, failure: Failure) {
        let errors = &mut self.counts.errors;
        let count = match failure {
            Failure::ToolError => &mut errors.tool_error,
            Failure::Protocol => &mut errors.protocol,
            Failure::Http => &mut errors.http,
            Failure::WrongAnswer => &mut errors.wrong_answer,
            Failure::Timeout => &mut errors.timeout,
            Failure::Reset => &mut errors.reset,
            Failure::Connect => &mut errors.connect,
        };
        *count += 1;
    }

    /// Keeps an error line, if it is among the first.
    pub fn sample(&mut self, line: impl FnOnce() -> String) {
        if self.samples.len() < SAMPLES_MAX {
            self.samples.push(line());
        }
    }

    /// Adds the figures of another worker.
    pub fn merge(&mut self, other: &Tally) {
        add_counts(&mut self.counts, &other.counts);
        self.answered_meanwhile += other.answered_meanwhile;
        self.latency.merge(&other.latency);
        self.service.merge(&other.service);
        self.slip.merge(&other.slip);
        self.connect.merge(&other.connect);
        for (at, method) in other.methods.iter().enumerate() {
            let own = self.method(at);
            own.failed += method.failed;
            own.latency.merge(&method.latency);
        }
        for (at, second) in other.seconds.iter().enumerate() {
            let own = self.second(at);
            own.errors += second.errors;
            own.latency.merge(&second.latency);
        }
        for line in &other.samples {
            self.sample(|| line.clone());
        }
    }

    /// The kinds of requests, by the names given.
    pub fn method_reports(&self, names: impl Iterator<Item = String>) -> Vec<MethodReport> {
        let reports = names.enumerate().map(|(at, name)| {
            let method = self.methods.get(at).cloned().unwrap_or_default();
            MethodReport {
                name,
                answered: method.latency.count(),
                failed: method.failed,
                latency: method.latency.distribution(),
            }
        });
        reports.collect()
    }

    /// Each second of `measured_s`; the last may be shorter.
    pub fn timeline(&self, measured_s: f64) -> Vec<Second> {
        let seconds = self.seconds.iter().enumerate().map(|(at, second)| {
            let start_s = at as f64;
            let end_s = measured_s.clamp(start_s + 1e-3, start_s + 1.0);
            Second {
                at_s: end_s,
                answers_per_s: second.latency.count() as f64 / (end_s - start_s),
                errors: second.errors,
                p50_ns: second.latency.percentile_ns(50.0),
                p99_ns: second.latency.percentile_ns(99.0),
                max_ns: second.latency.0.max(),
            }
        });
        seconds.collect()
    }

    fn method(&mut self, kind: usize) -> &mut MethodTally {
        if self.methods.len() <= kind {
            self.methods.resize_with(kind + 1, MethodTally::default);
        }
        &mut self.methods[kind]
    }

    fn second(&mut self, second: usize) -> &mut SecondTally {
        if self.seconds.len() <= second {
            self.seconds.resize_with(second + 1, || SecondTally {
                errors: 0,
                latency: Times::with_digits(2),
            });
        }
        &mut self.seconds[second]
    }
}

fn add_counts(own: &mut Counts, other: &Counts) {
    own.sent += other.sent;
    own.answered += other.answered;
    own.tool_errors += other.tool_errors;
    own.aborted += other.aborted;
    own.connected += other.connected;
    own.sessions_opened += other.sessions_opened;
    own.sessions_deleted += other.sessions_deleted;
    own.sessions_abandoned += other.sessions_abandoned;
    add_errors(&mut own.errors, &other.errors);
}

fn add_errors(own: &mut Errors, other: &Errors) {
    own.tool_error += other.tool_error;
    own.protocol += other.protocol;
    own.http += other.http;
    own.wrong_answer += other.wrong_answer;
    own.timeout += other.timeout;
    own.reset += other.reset;
    own.connect += other.connect;
    own.unsent += other.unsent;
}

#[cfg(test)]
mod tests {
    use super::{Failure, Tally};

    #[test]
    fn merged_percentiles_are_those_of_all_times_together() {
        let (mut all, mut merged) = (Tally::default(), Tally::default());
        let mut workers = [Tally::default(), Tally::default(), Tally::default()];
        for time in 1..=30_000_u64 {
            // Each worker has another part of the range, so no single one shows the whole.
            let worker = (time / 10_001) as usize;
            let second = (time % 5) as usize;
            all.answered(worker, second, time * 1000, time * 500);
            workers[worker].answered(worker, second, time * 1000, time * 500);
        }
        workers[1].failed(1, 4, Failure::Timeout);
        for worker in &workers {
            merged.merge(worker);
        }
        assert_eq!(merged.latency.distribution(), all.latency.distribution());
        assert_eq!(merged.service.distribution(), all.service.distribution());
        let latency = merged.latency.distribution();
        assert_eq!(latency.count, 30_000);
        assert!(latency.p50_ns.abs_diff(15_000_000) < 15_000, "{latency:?}");
        assert!(latency.p999_ns.abs_diff(29_970_000) < 30_000);
        assert_eq!(latency.curve.last().map(|point| point.count), Some(30_000));
        assert_eq!(merged.counts.answered, 30_000);
        assert_eq!(merged.counts.errors.timeout, 1);
        let names = ["a", "b", "c"].map(str::to_owned);
        let methods = merged.method_reports(names.into_iter());
        assert_eq!(methods[1].failed, 1);
        assert_eq!(
            methods.iter().map(|method| method.answered).sum::<u64>(),
            30_000
        );
        let timeline = merged.timeline(4.5);
        assert_eq!(timeline.len(), 5);
        assert_eq!(
            (timeline[0].answers_per_s, timeline[4].answers_per_s),
            (6000.0, 12_000.0)
        );
        assert_eq!(timeline[4].errors, 1);
    }

    #[test]
    fn nothing_recorded_is_no_time() {
        let nothing = Tally::default().latency.distribution();
        assert_eq!((nothing.count, nothing.max_ns), (0, 0));
        assert!(nothing.curve.is_empty());
    }
}
