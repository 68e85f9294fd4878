//! `corelane-load fanout`: one change broadcast to many streams.

use super::context::RunContext;
use super::progress::Progress;
use super::usage::UsageSnapshot;
use crate::load::cli::{FanoutArguments, arguments as tool_arguments};
use crate::load::error::{Exit, LoadError};
use crate::load::mix::{Mix, RequestKind};
use crate::load::plan::{Role, START_DELAY_NS, Window};
use crate::load::report::{Distribution, FanoutReport, FanoutRound, Outcome};
use crate::load::run::{Run, WaitOutcome};
use crate::load::tally::Times;
use crate::load::worker::WorkerResults;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Time after the last delivery in which a second delivery is noticed.
const DUPLICATES: Duration = Duration::from_millis(200);
/// The notification that the trigger has to cause.
const NOTIFICATION: &str = "notifications/tools/list_changed";

pub(super) fn run(
    flags: &FanoutArguments,
    arguments: Vec<String>,
    interrupted: &Arc<AtomicBool>,
) -> Result<Exit, LoadError> {
    let context = RunContext::new(&flags.common)?;
    let object = tool_arguments(&flags.trigger, flags.arguments.as_deref())?;
    let trigger = Mix::of(RequestKind::call(&flags.trigger, object));
    let run = Run::start(
        context.plan(trigger.clone(), Role::Stream, flags.streams, 1),
        interrupted,
    )?;
    let progress = Progress::new("opening streams");
    let mut waited = run.connect(flags.streams);
    progress.show_connections(&run.state);
    drop(progress);
    let streams = run.state.sum(|live| &live.held);
    if streams == 0 && waited != WaitOutcome::Interrupted {
        let fault = run.fault(&context.common.url.url);
        run.finish()?;
        return Err(fault);
    }
    let start = UsageSnapshot::read(context.server_pid, run.state.now_ns());
    let mut triggered_ns: Vec<u64> = Vec::new();
    while waited == WaitOutcome::Reached && triggered_ns.len() < flags.rounds as usize {
        let round = triggered_ns.len() as u64 + 1;
        run.state.round.store(round, Ordering::Release);
        let sent_at = call_trigger(&context, trigger.clone(), interrupted)?;
        triggered_ns.push(sent_at.duration_since(run.state.epoch).as_nanos() as u64);
        let until_ns = run.state.now_ns() + flags.common.timeout.as_nanos() as u64;
        let all = || run.state.sum(|live| &live.delivered) >= streams * round;
        waited = match run.wait_until(Some(until_ns), all) {
            WaitOutcome::TimedOut => WaitOutcome::Reached,
            other => other,
        };
        thread::sleep(DUPLICATES);
    }
    let end = UsageSnapshot::read(context.server_pid, run.state.now_ns());
    let found = run.finish()?;
    let (rounds, delay) = rounds(&triggered_ns, &found, streams);
    let delivered = rounds.iter().map(|round| round.delivered).sum();
    let (generator, server) = start.used_until(&end, delivered);
    let outcome = Outcome::Fanout(FanoutReport {
        streams,
        notification: NOTIFICATION.to_owned(),
        rounds,
        delay,
        errors: found.tally.counts.errors,
        generator,
        server,
    });
    let mut report = context.report(arguments, outcome);
    report.error_samples = found.tally.samples;
    context.publish(report, waited)
}

/// The deliveries of each change, and the distribution of all delays.
fn rounds(
    triggered_ns: &[u64],
    found: &WorkerResults,
    streams: u64,
) -> (Vec<FanoutRound>, Distribution) {
    let mut all = Times::default();
    let rounds = triggered_ns.iter().enumerate().map(|(at, triggered)| {
        let arrivals = found.arrivals.get(at).map_or(&[][..], Vec::as_slice);
        let delays = arrivals.iter().map(|time| time.saturating_sub(*triggered));
        let mut delays: Vec<u64> = delays.collect();
        delays.sort_unstable();
        delays.iter().for_each(|time| all.record(*time));
        let duplicates = found.duplicates.get(at).copied().unwrap_or(0);
        round(&delays, streams, duplicates)
    });
    let rounds = rounds.collect();
    (rounds, all.distribution())
}

/// Calls the tool that makes the change, once, on a connection of its own; returns when the call
/// was due, which is when it was sent.
fn call_trigger(
    context: &RunContext<'_>,
    trigger: Mix,
    interrupted: &Arc<AtomicBool>,
) -> Result<Instant, LoadError> {
    let mut mix = trigger;
    // One call and no second: the rest lasts until the run is over.
    mix.think_ms = 3_600_000;
    let run = Run::start(context.plan(mix, Role::Caller, 1, 1), interrupted)?;
    let waited = run.connect(1);
    if waited != WaitOutcome::Reached || run.state.sum(|live| &live.held) == 0 {
        let fault = run.fault(&context.common.url.url);
        run.finish()?;
        return Err(fault);
    }
    let start_ns = run.state.now_ns() + START_DELAY_NS;
    let sent = run.state.epoch + Duration::from_nanos(start_ns);
    let window = Window {
        start_ns,
        measure_from_ns: start_ns,
        end_ns: start_ns + context.common.timeout.as_nanos() as u64,
        rate: None,
    };
    run.make_requests(window, |_| {
        let is_answered = run.state.sum(|live| &live.answered) > 0;
        if is_answered || run.state.sum(|live| &live.errors) > 0 {
            run.state.ends.store(true, Ordering::Relaxed);
        }
    });
    let tally = run.finish()?.tally;
    if tally.counts.answered == 0 {
        let reason = tally.samples.first().cloned().unwrap_or_default();
        return Err(LoadError::NotMcp {
            url: context.common.url.url.clone(),
            reason: format!("the tool of --trigger: {reason}"),
        });
    }
    Ok(sent)
}

/// The deliveries of one change; `delays` ascending.
fn round(delays: &[u64], streams: u64, duplicates: u64) -> FanoutRound {
    let at = |share: f64| {
        let rank = (delays.len() as f64 * share).ceil() as usize;
        delays.get(rank.saturating_sub(1)).copied().unwrap_or(0)
    };
    FanoutRound {
        delivered: delays.len() as u64,
        lost: streams.saturating_sub(delays.len() as u64),
        duplicates,
        p50_ns: at(0.5),
        p99_ns: at(0.99),
        last_ns: at(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::round;

    #[test]
    fn a_round_counts_losses_and_the_last_delivery() {
        let delays: Vec<u64> = (1..=98).collect();
        let round = round(&delays, 100, 3);
        assert_eq!((round.delivered, round.lost, round.duplicates), (98, 2, 3));
        assert_eq!((round.p50_ns, round.p99_ns, round.last_ns), (49, 98, 98));
    }

    #[test]
    fn a_round_without_deliveries_has_no_times() {
        let round = round(&[], 5, 0);
        assert_eq!((round.delivered, round.lost, round.last_ns), (0, 5, 0));
    }
}
