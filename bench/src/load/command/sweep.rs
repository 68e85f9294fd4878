//! `corelane-load sweep`: raises the rate until latency breaks, then narrows down where.

use super::call::{Measure, measure_calls};
use super::context::RunContext;
use crate::load::cli::SweepArguments;
use crate::load::error::{Exit, LoadError};
use crate::load::pace::{RATE_MAX, Rate};
use crate::load::report::{CallReport, Outcome, SweepReport, SweepStep};
use crate::load::run::WaitOutcome;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The most rates that are tried on the way up.
const STEPS_MAX: usize = 64;
/// Rates tried between the last one kept and the first that broke.
const NARROWING_STEPS: usize = 3;
/// A server that answers less than this share of the due requests in time is overloaded.
const FOLLOWED_SHARE: f64 = 0.98;

pub(super) fn run(
    flags: &SweepArguments,
    arguments: Vec<String>,
    interrupted: &Arc<AtomicBool>,
) -> Result<Exit, LoadError> {
    let context = RunContext::new(&flags.common)?;
    let mut sweep = SweepReport {
        p99_limit_ns: flags.p99.as_nanos() as u64,
        capacity_per_s: 0.0,
        steps: Vec::new(),
    };
    let mut invalid = Vec::new();
    let mut waited = WaitOutcome::Reached;
    let mut broke_at = None;
    let mut rate = flags.from.from_per_s;
    while sweep.steps.len() < STEPS_MAX + NARROWING_STEPS && !interrupted.load(Ordering::Relaxed) {
        let measure = Measure {
            mix: flags.sending.mix()?,
            connections: flags.connections,
            in_flight: 1,
            rate: Some(Rate::constant(rate)),
            warmup: flags.warmup,
            duration: flags.duration,
        };
        let Some(measured) = measure_calls(&context, measure, interrupted)? else {
            break;
        };
        if measured.waited != WaitOutcome::Reached {
            waited = measured.waited;
            break;
        }
        let broke = broken(&measured.report, rate, sweep.p99_limit_ns);
        sweep.steps.push(SweepStep {
            rate_per_s: rate,
            answers_per_s: measured.report.answers_per_s,
            latency: measured.report.latency,
            errors: measured.report.counts.errors,
            broke: broke.clone(),
        });
        if broke.is_some() {
            // A rate the generator could not make says nothing about the server.
            invalid.extend(measured.invalid);
            broke_at = Some(broke_at.map_or(rate, |lowest: f64| lowest.min(rate)));
        } else {
            sweep.capacity_per_s = sweep.capacity_per_s.max(rate);
        }
        match next_rate(&sweep, broke_at, flags.growth) {
            Some(next) => rate = next,
            None => break,
        }
    }
    if interrupted.load(Ordering::Relaxed) {
        waited = WaitOutcome::Interrupted;
    }
    let mut report = context.report(arguments, Outcome::Sweep(sweep));
    report.invalid = invalid;
    context.publish(report, waited)
}

/// Why a rate is too high; nothing if it is not.
fn broken(call: &CallReport, rate: f64, p99_limit_ns: u64) -> Option<String> {
    let p99_ns = call.latency.p99_ns;
    let errors = call.counts.errors.total();
    if errors > 0 {
        return Some(format!("{errors} errors"));
    }
    if p99_ns > p99_limit_ns {
        let (p99, limit) = (p99_ns as f64 / 1e6, p99_limit_ns as f64 / 1e6);
        return Some(format!("p99 of {p99:.3} ms exceeds limit of {limit:.3} ms"));
    }
    let share = call.answers_per_s / rate;
    let text = format!("only {:.1} % answered in time", share * 100.0);
    (share < FOLLOWED_SHARE).then_some(text)
}

/// The rate to try next: higher until one broke, then between the highest kept and the lowest
/// that broke; nothing when that is narrow enough.
fn next_rate(sweep: &SweepReport, broke_at: Option<f64>, growth: f64) -> Option<f64> {
    let Some(broke_at) = broke_at else {
        let next = sweep.capacity_per_s * growth;
        return (next <= RATE_MAX && sweep.steps.len() < STEPS_MAX).then_some(next);
    };
    let first_broke = sweep.steps.iter().position(|step| step.broke.is_some())?;
    let narrowed = sweep.steps.len() - first_broke - 1;
    let is_bracketed = sweep.capacity_per_s > 0.0;
    (is_bracketed && narrowed < NARROWING_STEPS).then(|| (sweep.capacity_per_s + broke_at) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::{broken, next_rate};
    use crate::load::report::{
        CallReport, Distribution, Errors, Outcome, SweepReport, SweepStep, samples,
    };

    /// The rates that a sweep tries on a server that sustains `capacity`, and its result.
    fn sweep(from: f64, growth: f64, capacity: f64) -> (Vec<f64>, f64) {
        let mut sweep = SweepReport {
            p99_limit_ns: 1,
            capacity_per_s: 0.0,
            steps: Vec::new(),
        };
        let (mut rate, mut broke_at) = (from, None);
        loop {
            let broke = (rate > capacity).then(|| "too fast".to_owned());
            match broke {
                Some(_) => broke_at = Some(broke_at.map_or(rate, |lowest: f64| lowest.min(rate))),
                None => sweep.capacity_per_s = sweep.capacity_per_s.max(rate),
            }
            sweep.steps.push(SweepStep {
                rate_per_s: rate,
                answers_per_s: rate,
                latency: Distribution::default(),
                errors: Errors::default(),
                broke,
            });
            match next_rate(&sweep, broke_at, growth) {
                Some(next) => rate = next,
                None => break,
            }
        }
        let rates = sweep.steps.iter().map(|step| step.rate_per_s).collect();
        (rates, sweep.capacity_per_s)
    }

    #[test]
    fn the_rate_rises_until_it_breaks_and_is_then_narrowed_down() {
        let (rates, found) = sweep(1000.0, 2.0, 5500.0);
        assert_eq!(
            rates,
            [1000.0, 2000.0, 4000.0, 8000.0, 6000.0, 5000.0, 5500.0]
        );
        assert_eq!(found, 5500.0);
    }

    #[test]
    fn a_rate_breaks_by_errors_by_its_p99_or_by_answers_that_come_late() {
        let check = |change: fn(&mut CallReport), expected: Option<&str>| {
            let Outcome::Call(mut call) = samples::call().outcome else {
                panic!("the sample is a call");
            };
            call.counts.errors = Errors::default();
            call.answers_per_s = 1000.0;
            call.latency.p99_ns = 5_000_000;
            change(&mut call);
            assert_eq!(broken(&call, 1000.0, 5_000_000).as_deref(), expected);
        };
        check(|_| {}, None);
        check(|call| call.answers_per_s = 980.0, None);
        check(
            |call| call.answers_per_s = 970.0,
            Some("only 97.0 % answered in time"),
        );
        check(|call| call.counts.errors.timeout = 2, Some("2 errors"));
        check(
            |call| call.latency.p99_ns = 5_000_001,
            Some("p99 of 5.000 ms exceeds limit of 5.000 ms"),
        );
    }

    #[test]
    fn a_first_rate_that_breaks_ends_the_sweep() {
        assert_eq!(sweep(1000.0, 2.0, 500.0), (vec![1000.0], 0.0));
    }
}
