//! `corelane-load soak`: connection density.

use super::context::RunContext;
use super::progress::Progress;
use super::usage::UsageSnapshot;
use crate::load::cli::{SoakArguments, SoakKind};
use crate::load::error::{Exit, LoadError};
use crate::load::pace::Rate;
use crate::load::plan::{Role, START_DELAY_NS, Window};
use crate::load::process::{Memory, slab_bytes};
use crate::load::report::{ActiveReport, Outcome, Slope, SoakReport, SoakStep};
use crate::load::run::{Run, WaitOutcome};
use crate::load::script::Revision;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Pause between the last answer of a step and reading memory, so that late frees are done.
const SETTLE: Duration = Duration::from_millis(500);

pub(super) fn run(
    flags: &SoakArguments,
    arguments: Vec<String>,
    interrupted: &Arc<AtomicBool>,
) -> Result<Exit, LoadError> {
    check(flags)?;
    let context = RunContext::new(&flags.common)?;
    let role = match flags.kind {
        SoakKind::Idle => Role::Idle,
        SoakKind::Session | SoakKind::Listen => Role::Stream,
    };
    let mut plan = context.plan(flags.sending.mix()?, role, flags.connections, 1);
    plan.ramp = flags.ramp;
    let run = Run::start(plan, interrupted)?;
    let start = UsageSnapshot::read(context.server_pid, run.state.now_ns());
    let (steps, ramp_s, mut waited) = ramp_up(&context, &run, flags);
    let stand = run.state.sum(|live| &live.held);
    if stand == 0 && waited != WaitOutcome::Interrupted {
        let fault = run.fault(&context.common.url.url);
        run.finish()?;
        return Err(fault);
    }
    let mut active_s = 0.0;
    let rate = flags.active.map(|percent| percent / 100.0 * stand as f64);
    if waited == WaitOutcome::Reached {
        (waited, active_s) = stay(&run, rate, flags.duration, interrupted);
    }
    let end = UsageSnapshot::read(context.server_pid, run.state.now_ns());
    let held = run.state.sum(|live| &live.held);
    let lost = run.state.sum(|live| &live.lost);
    // Their memory is that of the held connections only before these end.
    let (generator, server) = start.used_until(&end, stand);
    let tally = run.finish()?.tally;
    let errors = tally.counts.errors;
    let active = rate.map(|rate_per_s| ActiveReport {
        rate_per_s,
        measured_s: active_s,
        answered: tally.counts.answered,
        errors,
        latency: tally.latency.distribution(),
        schedule_slip: Some(tally.slip.distribution()),
    });
    let outcome = Outcome::Soak(SoakReport {
        kind: flags.kind.name().to_owned(),
        asked: u64::from(flags.connections),
        held,
        lost,
        ramp_s,
        connections_per_s: stand as f64 / ramp_s.max(1e-9),
        errors,
        connect: tally.connect.distribution(),
        slope: slope(&steps),
        steps,
        active,
        generator,
        server,
    });
    let mut report = context.report(arguments, outcome);
    report.error_samples = tally.samples;
    context.publish(report, waited)
}

fn check(flags: &SoakArguments) -> Result<(), LoadError> {
    let revision = flags.common.revision;
    let wrong = match flags.kind {
        SoakKind::Idle => None,
        _ if flags.active.is_some() => Some("--active needs --kind idle".to_owned()),
        SoakKind::Session if revision == Revision::Modern => {
            Some("--kind session needs --revision 2025-11-25".to_owned())
        }
        SoakKind::Listen if revision == Revision::Legacy => {
            Some("--kind listen needs --revision 2026-07-28".to_owned())
        }
        _ => None,
    };
    let is_wrong = wrong.or_else(|| {
        let is_churn = flags.sending.requests_per_connection.is_some();
        is_churn.then(|| {
            "--requests-per-connection closes connections, and soak holds them: leave it out"
                .to_owned()
        })
    });
    is_wrong.map_or(Ok(()), |text| Err(LoadError::Usage(text)))
}

/// Makes the connections in steps and reads memory at each; returns the seconds of connecting.
fn ramp_up(
    context: &RunContext<'_>,
    run: &Run,
    flags: &SoakArguments,
) -> (Vec<SoakStep>, f64, WaitOutcome) {
    let progress = Progress::new("connecting");
    let (mut steps, mut ramp_s) = (Vec::new(), 0.0);
    for step in 1..=flags.steps.min(flags.connections) {
        let wanted = u64::from(flags.connections) * u64::from(step);
        let wanted = (wanted / u64::from(flags.steps.min(flags.connections))) as u32;
        let began_ns = run.state.now_ns();
        let waited = run.connect(wanted);
        ramp_s += (run.state.now_ns() - began_ns) as f64 / 1e9;
        progress.show_connections(&run.state);
        if waited != WaitOutcome::Reached || run.state.sum(|live| &live.held) == 0 {
            return (steps, ramp_s, waited);
        }
        thread::sleep(SETTLE);
        steps.push(read_step(context, run));
    }
    (steps, ramp_s, WaitOutcome::Reached)
}

fn read_step(context: &RunContext<'_>, run: &Run) -> SoakStep {
    let usage = UsageSnapshot::read(context.server_pid, run.state.now_ns());
    let memory = context.server_pid.map(Memory::read).unwrap_or_default();
    SoakStep {
        held: run.state.sum(|live| &live.held),
        at_s: usage.at_ns as f64 / 1e9,
        server_rss_bytes: memory.rss_bytes,
        server_private_bytes: memory.private_bytes,
        server_cpu_s: usage.server.map_or(0.0, |(_, sample)| sample.cpu_s()),
        slab_bytes: slab_bytes(),
    }
}

/// Holds for `duration`, with calls if there is a rate; returns the seconds of calls.
fn stay(
    run: &Run,
    rate: Option<f64>,
    duration: Duration,
    interrupted: &AtomicBool,
) -> (WaitOutcome, f64) {
    let duration_ns = (duration.as_nanos() as u64).max(1);
    let Some(per_s) = rate else {
        let end_ns = run.state.now_ns() + duration_ns;
        let waited = run.wait_until(Some(end_ns), || false);
        let is_early = waited == WaitOutcome::Interrupted || interrupted.load(Ordering::Relaxed);
        let waited = if is_early {
            WaitOutcome::Interrupted
        } else {
            WaitOutcome::Reached
        };
        return (waited, 0.0);
    };
    let mut progress = Progress::new("holding");
    let start_ns = run.state.now_ns() + START_DELAY_NS;
    let end_ns = start_ns + duration_ns;
    let window = Window {
        start_ns,
        measure_from_ns: start_ns,
        end_ns,
        rate: Some(Rate::constant(per_s)),
    };
    let waited = run.make_requests(window, |now| progress.show(&run.state, now));
    (
        waited,
        run.state.now_ns().min(end_ns).saturating_sub(start_ns) as f64 / 1e9,
    )
}

/// Least squares of memory over connections; nothing without two different steps.
fn slope(steps: &[SoakStep]) -> Option<Slope> {
    let per_connection = |bytes: fn(&SoakStep) -> u64| {
        let count = steps.len() as f64;
        let mean_held = steps.iter().map(|step| step.held as f64).sum::<f64>() / count;
        let mean_bytes = steps.iter().map(|step| bytes(step) as f64).sum::<f64>() / count;
        let (mut products, mut squares) = (0.0, 0.0);
        for step in steps {
            let held = step.held as f64 - mean_held;
            products += held * (bytes(step) as f64 - mean_bytes);
            squares += held * held;
        }
        (squares > 0.0).then(|| products / squares)
    };
    Some(Slope {
        rss_bytes_per_connection: per_connection(|step| step.server_rss_bytes)?,
        private_bytes_per_connection: per_connection(|step| step.server_private_bytes)?,
        slab_bytes_per_connection: per_connection(|step| step.slab_bytes)?,
    })
}

#[cfg(test)]
mod tests {
    use super::slope;
    use crate::load::report::SoakStep;

    fn step(held: u64, rss: u64) -> SoakStep {
        SoakStep {
            held,
            at_s: 0.0,
            server_rss_bytes: rss,
            server_private_bytes: rss / 2,
            server_cpu_s: 0.0,
            slab_bytes: 7 * rss,
        }
    }

    #[test]
    fn a_slope_is_bytes_for_each_connection() {
        let steps = [step(1000, 64_000), step(2000, 128_000), step(4000, 256_000)];
        let slope = slope(&steps).unwrap();
        assert!((slope.rss_bytes_per_connection - 64.0).abs() < 1e-9);
        assert!((slope.private_bytes_per_connection - 32.0).abs() < 1e-9);
        assert!((slope.slab_bytes_per_connection - 448.0).abs() < 1e-9);
    }

    #[test]
    fn one_step_has_no_slope() {
        assert!(slope(&[]).is_none());
        assert!(slope(&[step(5, 5)]).is_none());
        assert!(slope(&[step(5, 5), step(5, 6)]).is_none());
    }
}
