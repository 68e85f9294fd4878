//! `corelane-load fan`: one change told to many streams.

use super::machines::Machines;
use super::progress::Progress;
use super::site::Site;
use crate::load::cli::{FanArguments, arguments as tool_arguments};
use crate::load::error::{Exit, LoadError};
use crate::load::mix::{Mix, RequestKind};
use crate::load::plan::{LEAD_NS, Role, Window};
use crate::load::report::{Distribution, FanReport, FanRound, Outcome};
use crate::load::run::{Run, Waited};
use crate::load::tally::Times;
use crate::load::worker::Found;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// After the last stream had a change, how long to look for those that have it again.
const DUPLICATES: Duration = Duration::from_millis(200);
/// What the trigger has to make the server tell.
const NOTIFICATION: &str = "notifications/tools/list_changed";

pub(super) fn run(
    flags: &FanArguments,
    arguments: Vec<String>,
    interrupted: &Arc<AtomicBool>,
) -> Result<Exit, LoadError> {
    let site = Site::new(&flags.common)?;
    let object = tool_arguments(&flags.trigger, flags.arguments.as_deref())?;
    let trigger = Mix::of(RequestKind::call(&flags.trigger, object));
    let run = Run::start(
        site.plan(trigger.clone(), Role::Stream, flags.streams, 1),
        interrupted,
    )?;
    let start = Machines::read(site.server_pid, run.board.now_ns());
    let progress = Progress::new("opening streams");
    let mut waited = run.connect(flags.streams);
    progress.tell(&run.board);
    drop(progress);
    let streams = run.board.sum(|live| &live.held);
    if streams == 0 && waited != Waited::Interrupted {
        let fault = run.fault(&site.common.url.url);
        run.finish()?;
        return Err(fault);
    }
    let mut triggered_ns: Vec<u64> = Vec::new();
    while waited == Waited::Came && triggered_ns.len() < flags.rounds as usize {
        let round = triggered_ns.len() as u64 + 1;
        run.board.round.store(round, Ordering::Release);
        let pulled = pull(&site, trigger.clone(), interrupted)?;
        triggered_ns.push(pulled.duration_since(run.board.epoch).as_nanos() as u64);
        let until_ns = run.board.now_ns() + flags.common.timeout.as_nanos() as u64;
        let all = || run.board.sum(|live| &live.delivered) >= streams * round;
        waited = match run.wait_until(Some(until_ns), all) {
            Waited::TooLong => Waited::Came,
            other => other,
        };
        thread::sleep(DUPLICATES);
    }
    let end = Machines::read(site.server_pid, run.board.now_ns());
    let found = run.finish()?;
    let (rounds, delay) = rounds(&triggered_ns, &found, streams);
    let delivered = rounds.iter().map(|round| round.delivered).sum();
    let (generator, server) = start.used_until(&end, delivered);
    let mut failures = found.tally.counts.errors;
    failures.timeout += rounds.iter().map(|round| round.lost).sum::<u64>();
    failures.wrong_answer += rounds.iter().map(|round| round.duplicates).sum::<u64>();
    let outcome = Outcome::Fan(FanReport {
        streams,
        notification: NOTIFICATION.to_owned(),
        rounds,
        delay: delay.clone(),
        errors: found.tally.counts.errors,
        generator,
        server,
    });
    let mut report = site.report(arguments, outcome);
    report.error_samples = found.tally.samples;
    report.interrupted = waited == Waited::Interrupted;
    site.publish(&report, Some(&delay), &failures, waited)
}

/// What became of each change, and all delays together.
fn rounds(triggered_ns: &[u64], found: &Found, streams: u64) -> (Vec<FanRound>, Distribution) {
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
fn pull(
    site: &Site<'_>,
    trigger: Mix,
    interrupted: &Arc<AtomicBool>,
) -> Result<Instant, LoadError> {
    let mut mix = trigger;
    // One call and no second: the rest lasts until the run is over.
    mix.think_ms = 3_600_000;
    let run = Run::start(site.plan(mix, Role::Caller, 1, 1), interrupted)?;
    let waited = run.connect(1);
    if waited != Waited::Came || run.board.sum(|live| &live.held) == 0 {
        let fault = run.fault(&site.common.url.url);
        run.finish()?;
        return Err(fault);
    }
    let start_ns = run.board.now_ns() + LEAD_NS;
    let sent = run.board.epoch + Duration::from_nanos(start_ns);
    let window = Window {
        start_ns,
        measure_from_ns: start_ns,
        end_ns: start_ns + site.common.timeout.as_nanos() as u64,
        rate: None,
    };
    run.make_requests(window, |_| {
        let is_answered = run.board.sum(|live| &live.answered) > 0;
        if is_answered || run.board.sum(|live| &live.errors) > 0 {
            run.board.ends.store(true, Ordering::Relaxed);
        }
    });
    let tally = run.finish()?.tally;
    if tally.counts.answered == 0 {
        let reason = tally.samples.first().cloned().unwrap_or_default();
        return Err(LoadError::NotMcp {
            url: site.common.url.url.clone(),
            reason: format!("the trigger failed: {reason}"),
        });
    }
    Ok(sent)
}

/// What became of one change; `delays` ascending.
fn round(delays: &[u64], streams: u64, duplicates: u64) -> FanRound {
    let at = |share: f64| {
        let rank = (delays.len() as f64 * share).ceil() as usize;
        delays.get(rank.saturating_sub(1)).copied().unwrap_or(0)
    };
    FanRound {
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
    fn a_round_counts_what_is_missing_and_when_the_last_one_had_it() {
        let delays: Vec<u64> = (1..=98).collect();
        let round = round(&delays, 100, 3);
        assert_eq!((round.delivered, round.lost, round.duplicates), (98, 2, 3));
        assert_eq!((round.p50_ns, round.p99_ns, round.last_ns), (49, 98, 98));
    }

    #[test]
    fn a_round_that_nobody_heard_of_has_no_times() {
        let round = round(&[], 5, 0);
        assert_eq!((round.delivered, round.lost, round.last_ns), (0, 5, 0));
    }
}
