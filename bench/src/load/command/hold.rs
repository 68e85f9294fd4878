//! `corelane-load hold`: connection density.

use super::machines::Machines;
use super::progress::Progress;
use super::site::Site;
use crate::load::cli::{HoldArguments, HoldKind};
use crate::load::error::{Exit, LoadError};
use crate::load::pace::Rate;
use crate::load::plan::{LEAD_NS, Role, Window};
use crate::load::process::{Memory, slab_bytes};
use crate::load::report::{ActiveReport, HoldReport, HoldStep, Outcome, Slope};
use crate::load::run::{Run, Waited};
use crate::load::script::Revision;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// From the last answer of a step to reading memory: what is freed late is freed by then.
const SETTLE: Duration = Duration::from_millis(500);

pub(super) fn run(
    flags: &HoldArguments,
    arguments: Vec<String>,
    interrupted: &Arc<AtomicBool>,
) -> Result<Exit, LoadError> {
    check(flags)?;
    let site = Site::new(&flags.common)?;
    let role = match flags.kind {
        HoldKind::Idle => Role::Idle,
        HoldKind::Session | HoldKind::Listen => Role::Stream,
    };
    let mut plan = site.plan(flags.sending.mix()?, role, flags.connections, 1);
    plan.ramp = flags.ramp;
    let run = Run::start(plan, interrupted)?;
    let start = Machines::read(site.server_pid, run.board.now_ns());
    let (steps, ramp_s, mut waited) = climb(&site, &run, flags);
    let stand = run.board.sum(|live| &live.held);
    if stand == 0 && waited != Waited::Interrupted {
        let fault = run.fault(&site.common.url.url);
        run.finish()?;
        return Err(fault);
    }
    let mut active_s = 0.0;
    let rate = flags.active.map(|percent| percent / 100.0 * stand as f64);
    if waited == Waited::Came {
        (waited, active_s) = stay(&run, rate, flags.duration, interrupted);
    }
    let end = Machines::read(site.server_pid, run.board.now_ns());
    let held = run.board.sum(|live| &live.held);
    let lost = run.board.sum(|live| &live.lost);
    let tally = run.finish()?.tally;
    let (generator, server) = start.used_until(&end, stand);
    let errors = tally.counts.errors;
    let connect = tally.connect.distribution();
    let active = rate.map(|rate_per_s| ActiveReport {
        rate_per_s,
        measured_s: active_s,
        answered: tally.counts.answered,
        errors,
        latency: tally.latency.distribution(),
    });
    let latency = active
        .as_ref()
        .map_or(&connect, |active| &active.latency)
        .clone();
    let outcome = Outcome::Hold(HoldReport {
        kind: flags.kind.name().to_owned(),
        asked: u64::from(flags.connections),
        held,
        lost,
        ramp_s,
        connections_per_s: stand as f64 / ramp_s.max(1e-9),
        errors,
        connect,
        slope: slope(&steps),
        steps,
        active,
        generator,
        server,
    });
    let mut report = site.report(arguments, outcome);
    report.error_samples = tally.samples;
    report.interrupted = waited == Waited::Interrupted;
    let mut failures = errors;
    failures.reset += lost;
    site.publish(&report, Some(&latency), &failures, waited)
}

fn check(flags: &HoldArguments) -> Result<(), LoadError> {
    let revision = flags.common.revision;
    let wrong = match flags.kind {
        HoldKind::Idle => None,
        _ if flags.active.is_some() => Some("--active takes connections of --kind idle".to_owned()),
        HoldKind::Session if revision == Revision::Modern => {
            Some("--kind session takes --revision 2025-11-25".to_owned())
        }
        HoldKind::Listen if revision == Revision::Legacy => {
            Some("--kind listen takes --revision 2026-07-28".to_owned())
        }
        _ => None,
    };
    let is_wrong = wrong.or_else(|| {
        let is_churn = flags.sending.requests_per_connection.is_some();
        is_churn.then(|| "held connections are not closed after some requests".to_owned())
    });
    is_wrong.map_or(Ok(()), |text| Err(LoadError::Usage(text)))
}

/// Makes the connections in steps and reads memory at each; returns the seconds of connecting.
fn climb(site: &Site<'_>, run: &Run, flags: &HoldArguments) -> (Vec<HoldStep>, f64, Waited) {
    let progress = Progress::new("connecting");
    let (mut steps, mut ramp_s) = (Vec::new(), 0.0);
    for step in 1..=flags.steps.min(flags.connections) {
        let wanted = u64::from(flags.connections) * u64::from(step);
        let wanted = (wanted / u64::from(flags.steps.min(flags.connections))) as u32;
        let began_ns = run.board.now_ns();
        let waited = run.connect(wanted);
        ramp_s += (run.board.now_ns() - began_ns) as f64 / 1e9;
        progress.tell(&run.board);
        if waited != Waited::Came || run.board.sum(|live| &live.held) == 0 {
            return (steps, ramp_s, waited);
        }
        thread::sleep(SETTLE);
        steps.push(read_step(site, run));
    }
    (steps, ramp_s, Waited::Came)
}

fn read_step(site: &Site<'_>, run: &Run) -> HoldStep {
    let machines = Machines::read(site.server_pid, run.board.now_ns());
    let memory = site.server_pid.map(Memory::read).unwrap_or_default();
    HoldStep {
        held: run.board.sum(|live| &live.held),
        at_s: machines.at_ns as f64 / 1e9,
        server_rss_bytes: memory.rss_bytes,
        server_private_bytes: memory.private_bytes,
        server_cpu_s: machines.server.map_or(0.0, |(_, sample)| sample.cpu_s()),
        slab_bytes: slab_bytes(),
    }
}

/// Holds for `duration`, with calls if there is a rate; returns the seconds of calls.
fn stay(
    run: &Run,
    rate: Option<f64>,
    duration: Duration,
    interrupted: &AtomicBool,
) -> (Waited, f64) {
    let duration_ns = (duration.as_nanos() as u64).max(1);
    let Some(per_s) = rate else {
        let end_ns = run.board.now_ns() + duration_ns;
        let waited = run.wait_until(Some(end_ns), || false);
        let is_early = waited == Waited::Interrupted || interrupted.load(Ordering::Relaxed);
        let waited = if is_early {
            Waited::Interrupted
        } else {
            Waited::Came
        };
        return (waited, 0.0);
    };
    let mut progress = Progress::new("holding");
    let start_ns = run.board.now_ns() + LEAD_NS;
    let end_ns = start_ns + duration_ns;
    let window = Window {
        start_ns,
        measure_from_ns: start_ns,
        end_ns,
        rate: Some(Rate::constant(per_s)),
    };
    let waited = run.make_requests(window, |now| progress.show(&run.board, now));
    (
        waited,
        run.board.now_ns().min(end_ns).saturating_sub(start_ns) as f64 / 1e9,
    )
}

/// Least squares of memory over connections; nothing without two different steps.
fn slope(steps: &[HoldStep]) -> Option<Slope> {
    let per_connection = |bytes: fn(&HoldStep) -> u64| {
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
    use crate::load::report::HoldStep;

    fn step(held: u64, rss: u64) -> HoldStep {
        HoldStep {
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
