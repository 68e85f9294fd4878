//! `corelane-load call`: throughput and latency.

use super::context::RunContext;
use super::progress::Progress;
use super::usage::{UsageSnapshot, saturation};
use crate::load::cli::CallArguments;
use crate::load::error::{Exit, LoadError};
use crate::load::mix::Mix;
use crate::load::pace::Rate;
use crate::load::plan::{Role, START_DELAY_NS, Window};
use crate::load::report::{CallReport, Distribution, Load, Outcome, Pace};
use crate::load::run::{Run, WaitOutcome};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A generator that is later than this for 1 % of requests did not keep the schedule.
const SLIP_P99_NS_MAX: u64 = 1_000_000;

/// The load to measure.
pub(super) struct Measure {
    pub(super) mix: Mix,
    pub(super) connections: u32,
    pub(super) in_flight: u32,
    pub(super) rate: Option<Rate>,
    pub(super) warmup: Duration,
    pub(super) duration: Duration,
}

/// The measurements of a run.
pub(super) struct Measured {
    pub(super) report: CallReport,
    pub(super) invalid: Vec<String>,
    pub(super) error_samples: Vec<String>,
    pub(super) waited: WaitOutcome,
}

pub(super) fn run(
    flags: &CallArguments,
    arguments: Vec<String>,
    interrupted: &Arc<AtomicBool>,
) -> Result<Exit, LoadError> {
    let context = RunContext::new(&flags.common)?;
    let measure = Measure {
        mix: flags.sending.mix()?,
        connections: flags.connections,
        in_flight: flags.in_flight,
        rate: flags.rate,
        warmup: flags.warmup,
        duration: flags.duration,
    };
    if measure.duration.is_zero() {
        return Err(LoadError::Usage(
            "--duration 0s measures nothing: give 1s or more".to_owned(),
        ));
    }
    let Some(measured) = measure_calls(&context, measure, interrupted)? else {
        return Ok(Exit::Interrupted);
    };
    let mut report = context.report(arguments, Outcome::Call(measured.report));
    report.invalid = measured.invalid;
    report.error_samples = measured.error_samples;
    context.publish(report, measured.waited)
}

/// Makes one run; nothing if Ctrl-C came before measuring began.
pub(super) fn measure_calls(
    context: &RunContext<'_>,
    measure: Measure,
    interrupted: &Arc<AtomicBool>,
) -> Result<Option<Measured>, LoadError> {
    let Some(run) = connect(context, &measure, interrupted)? else {
        return Ok(None);
    };
    let start_ns = run.state.now_ns() + START_DELAY_NS;
    let measure_from_ns = start_ns + measure.warmup.as_nanos() as u64;
    let window = Window {
        start_ns,
        measure_from_ns,
        end_ns: measure_from_ns + measure.duration.as_nanos() as u64,
        rate: measure.rate,
    };
    let (waited, usage) = watch(context, &run, window);
    let threads = run.plan.workers;
    let tally = run.finish()?.tally;
    let Some((before, after)) = usage else {
        return Ok(None);
    };
    let ended_ns = after.at_ns.min(window.end_ns).max(before.at_ns);
    let measured_s = (ended_ns - measure_from_ns) as f64 / 1e9;
    let (generator, server) = before.used_until(&after, tally.answered_meanwhile);
    let slip = measure.rate.map(|_| tally.slip.distribution());
    let invalid = match &slip {
        None => saturation(&generator, server.as_ref()),
        Some(slip) => lateness(slip),
    };
    let names = measure.mix.kinds.iter().map(|kind| kind.name());
    let report = CallReport {
        load: Load {
            pace: pace(measure.rate),
            connections: measure.connections,
            in_flight: measure.in_flight,
            threads,
            warmup_s: measure.warmup.as_secs_f64(),
        },
        measured_s,
        counts: tally.counts,
        answers_per_s: tally.answered_meanwhile as f64 / measured_s.max(1e-9),
        latency: tally.latency.distribution(),
        service: tally.service.distribution(),
        schedule_slip: slip,
        methods: tally.method_reports(names),
        timeline: tally.timeline(measured_s),
        generator,
        server,
    };
    Ok(Some(Measured {
        report,
        invalid: invalid.into_iter().collect(),
        error_samples: tally.samples,
        waited,
    }))
}

/// Starts a run and opens all its connections; nothing if Ctrl-C came first.
fn connect(
    context: &RunContext<'_>,
    measure: &Measure,
    interrupted: &Arc<AtomicBool>,
) -> Result<Option<Run>, LoadError> {
    let Measure {
        mix,
        connections,
        in_flight,
        ..
    } = measure;
    if !answers_one(context, mix, interrupted)? {
        return Ok(None);
    }
    let plan = context.plan(mix.clone(), Role::Caller, *connections, *in_flight);
    let run = Run::start(plan, interrupted)?;
    let waited = run.connect(*connections);
    let stand = run.state.sum(|live| &live.held);
    if waited == WaitOutcome::Reached && stand == u64::from(*connections) {
        return Ok(Some(run));
    }
    let fault = run.fault(&context.common.url.url);
    run.finish()?;
    match waited {
        WaitOutcome::Interrupted => Ok(None),
        _ => Err(fault),
    }
}

/// Makes the requests, and reads the usage of generator and server when measuring begins and ends;
/// no usage if measuring never began.
fn watch(
    context: &RunContext<'_>,
    run: &Run,
    window: Window,
) -> (WaitOutcome, Option<(UsageSnapshot, UsageSnapshot)>) {
    let (mut before, mut after) = (None, None);
    let mut progress = Progress::new("measuring");
    let waited = run.make_requests(window, |now| {
        if before.is_none() && now >= window.measure_from_ns {
            before = Some(UsageSnapshot::read(context.server_pid, now));
        }
        let ends = now >= window.end_ns || run.state.ends.load(Ordering::Relaxed);
        if after.is_none() && before.is_some() && ends {
            after = Some(UsageSnapshot::read(context.server_pid, now));
        }
        progress.show(&run.state, now);
    });
    let now = run.state.now_ns();
    let after = after.unwrap_or_else(|| UsageSnapshot::read(context.server_pid, now));
    (waited, before.map(|before| (before, after)))
}

/// Explains that the generator did not keep the schedule of an open loop, if so.
fn lateness(slip: &Distribution) -> Option<String> {
    (slip.p99_ns > SLIP_P99_NS_MAX).then(|| {
        format!(
            "the generator did not keep its schedule: 1 % of requests were sent {:.3} ms late or \
             more, the limit is {:.0} ms; give it --cores that the server does not use, or more \
             --threads",
            slip.p99_ns as f64 / 1e6,
            SLIP_P99_NS_MAX as f64 / 1e6
        )
    })
}

/// Makes one request, which separates a server that never answers from one that breaks under
/// load; false if Ctrl-C came first.
fn answers_one(
    context: &RunContext<'_>,
    mix: &Mix,
    interrupted: &Arc<AtomicBool>,
) -> Result<bool, LoadError> {
    let run = Run::start(context.plan(mix.clone(), Role::Idle, 1, 1), interrupted)?;
    let waited = run.connect(1);
    let is_answered = run.state.sum(|live| &live.held) > 0;
    let fault = run.fault(&context.common.url.url);
    run.finish()?;
    match waited {
        WaitOutcome::Interrupted => Ok(false),
        _ if is_answered => Ok(true),
        _ => Err(fault),
    }
}

fn pace(rate: Option<Rate>) -> Pace {
    match rate {
        None => Pace::Closed,
        Some(rate) => Pace::Open {
            from_per_s: rate.from_per_s,
            to_per_s: rate.to_per_s,
        },
    }
}
