//! The loop of a shard.
//!
//! A shard without work polls its ring for as long as the profile sets, and then waits in it, which
//! is quick to leave. While handlers wait, it parks in the executor instead, because their wake-ups
//! arrive there; and also after a whole tick without work, to save power. The tick is one operation
//! in the ring, started again when it completes, rather than a timeout of each wait: that would
//! start and stop a timer of the kernel with each request of a server that is neither busy nor
//! idle.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::work::Shard;
use crate::meter::Counter;
use corelane_io::executor::{Parker, yield_now, yield_to_reactor};
use corelane_io::ring::Wait;

/// Entries of the timing wheel looked at in one turn.
const EXPIRIES_PER_TURN: usize = 1024;
/// The longest sleep: a shard that sleeps longer would miss the second for its date.
pub(crate) const PARK_MAX: Duration = Duration::from_secs(1);

/// Between two times that a shard publishes its page because it sleeps.
const PARK_PUBLISH_INTERVAL_US: u64 = 10_000;

/// The result of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TurnOutcome {
    /// Something was done.
    pub(super) did: bool,
    /// Something is left to be done at once, or the shard polls its rings.
    pub(super) has_work: bool,
    /// The shard has drained.
    pub(super) has_drained: bool,
}

/// Runs a shard until it has drained. Returns an error only when its ring is unusable.
pub(super) async fn run(shard: &mut Shard, parker: &Parker) -> std::io::Result<()> {
    let started = Instant::now();
    let idle_wait = Duration::from_micros(shard.profile.executor.idle_wait_us);
    let mut has_work = true;
    let mut worked_since_tick = false;
    shard.clock = Box::new(move || started.elapsed());
    shard.handling.meter.start_clock(started);
    shard.rings.first().tick_after(idle_wait);
    loop {
        shard.enter(has_work)?;
        let turn = shard.turn(started.elapsed())?;
        if turn.has_drained {
            return Ok(());
        }
        has_work = turn.has_work;
        let task_woken = shard.handling.event_queue.take_task_woken();
        let is_idle = !turn.did && !has_work && !task_woken;
        worked_since_tick |= !is_idle;
        if is_idle && (shard.has_waiting_handlers() || shard.has_ticked && !worked_since_tick) {
            shard.end_turn(turn.did, || started.elapsed());
            shard.park(parker).await?;
            has_work = true;
        } else {
            if shard.is_yield_due() {
                yield_to_reactor().await;
                shard.yielded_us = shard.now_us;
                has_work = true;
            } else if task_woken {
                yield_now().await;
                // Tasks may have left events or queued nothing at all: look without waiting.
                has_work = true;
            }
            shard.end_turn(turn.did, || started.elapsed());
        }
        if shard.has_ticked {
            worked_since_tick = false;
            shard.rings.first().tick_after(idle_wait);
        }
    }
}

impl Shard {
    /// Handles the events since the last turn, `elapsed` after the start of the shard. The next
    /// entry submits the operations that it queues.
    pub(super) fn turn(&mut self, elapsed: Duration) -> std::io::Result<TurnOutcome> {
        self.has_ticked = false;
        self.publish_turn();
        self.update_clock(elapsed);
        self.handle_deaths();
        self.handle_inspection();
        // The order of these steps is the order of the resources that they free: completions free
        // buffers, messages free lanes, events free calls, and only then is new work started.
        let mut did = self.handle_rechecks();
        did |= self.handle_completions();
        did |= self.end_lost();
        did |= self.handle_messages();
        did |= self.handle_call_events();
        did |= self.handle_decoded();
        did |= self.handle_handshakes();
        did |= self.handle_changes();
        did |= self.handle_leftover();
        did |= self.handle_links();
        let caught_up = self.handle_timers(EXPIRIES_PER_TURN);
        self.deliver_all();
        self.shed_output();
        self.shed_input();
        self.shed_memory();
        let has_drained = self.drain_step()?;
        self.release_send();
        self.report_failures();
        self.flush_lanes();
        if has_drained {
            self.handling.endpoint.finish_drain();
            // Other shards may still send messages.
            drop(self.announcement.take());
            self.publish(self.now_us);
            self.end_levels();
        }
        let has_work = self.has_work() || !caught_up;
        Ok(TurnOutcome {
            did,
            has_work: has_work || self.spins(did),
            has_drained,
        })
    }

    /// Lets the supervisor see that the shard is alive.
    fn publish_turn(&mut self) {
        self.turns += 1;
        let activity = &self.control.activity;
        activity.begin_turn(self.turns);
        #[cfg(feature = "test-support")]
        activity.die_if_doomed();
    }

    /// Whether the shard polls its rings because it has done something a short time ago. Wake-ups
    /// of handlers that wait arrive in the executor, which polling would keep from running.
    fn spins(&mut self, did: bool) -> bool {
        if did {
            self.worked_us = self.now_us;
        }
        let spin_us = self.profile.executor.spin_us;
        spin_us > 0 && self.now_us - self.worked_us < spin_us && !self.has_waiting_handlers()
    }

    /// Submits the queued operations; waits for a completion unless there is work.
    pub(super) fn enter(&mut self, has_work: bool) -> std::io::Result<()> {
        if has_work || self.has_waiting_handlers() || !self.receiver.prepare_to_sleep() {
            self.rings.enter(Wait::No)?;
        } else {
            let entered = self.rings.enter(Wait::Completion);
            self.receiver.awake();
            entered?;
        }
        // All that has arrived is seen before the order of the turn is decided.
        self.rings
            .gather(self.profile.budget.completions_per_turn as usize)
    }

    fn has_waiting_handlers(&mut self) -> bool {
        self.handling.endpoint.has_handlers()
    }

    /// Whether waiting handlers, for a timer perhaps, have not had the core for their interval.
    fn is_yield_due(&mut self) -> bool {
        self.now_us - self.yielded_us >= self.profile.executor.yield_interval_us
            && self.has_waiting_handlers()
    }

    /// Takes catalog changes over, and broadcasts a share of them. Returns whether there was any.
    pub(super) fn handle_changes(&mut self) -> bool {
        if self.hand_over.is_held() {
            return self.continue_broadcasts();
        }
        let endpoint = &mut self.handling.endpoint;
        // Resources that changed wait among the updates, where they coalesce, until the last ones
        // were broadcast.
        if let Some(mut changes) = self.updates.take(endpoint.takes_updates()) {
            // A catalog with entries of other upstreams comes after the table with these.
            if let Some(links) = self.links.as_mut().filter(|_| changes.plan.is_some()) {
                links.take_table(&mut self.rings);
            }
            let live = changes.live.take();
            endpoint.handle_changes(changes);
            if let Some(live) = live {
                self.take_live(live);
            }
        }
        if self.shrinks {
            self.shrink();
        }
        self.continue_broadcasts()
    }

    /// Broadcasts a share of the changes. Returns whether there were any.
    fn continue_broadcasts(&mut self) -> bool {
        let endpoint = &mut self.handling.endpoint;
        // Broadcasts coalesce, so they wait while a lane is full: behind it they would only pile
        // up.
        let has_broadcasts = endpoint.has_broadcasts() && self.overflow.is_empty();
        if has_broadcasts {
            let requests_wait = !self.arrivals.is_empty() || !self.leftover.is_empty();
            endpoint.continue_broadcasts(requests_wait);
            // Statuses of this shard's own tasks reach its subscriptions here.
            self.deliver_all();
        }
        self.pass_on_statuses();
        has_broadcasts
    }

    /// Whether something can be done at once.
    pub(super) fn has_work(&mut self) -> bool {
        !self.leftover.is_empty()
            || !self.arrivals.is_empty()
            || !self.lost.is_empty()
            || !self.overflow.is_empty()
            || self.stalled_looks + self.status_looks > 0
            || self.handling.has_call_events()
            || self.handling.endpoint.has_decoded()
            || self.secured.has_finished()
            || self.handling.has_broadcasts()
            || !self.hand_over.is_held() && self.updates.has_changes()
            || self.shrinks
            || self.rechecks.has_work()
            || self.links.as_ref().is_some_and(|links| links.has_work())
            || self.has_connections_to_end()
    }

    /// Sleeps in the executor, which runs its tasks, until the ring or a deadline calls.
    async fn park(&mut self, parker: &Parker) -> std::io::Result<()> {
        self.rings.set_park_notify(true);
        // Completions from before notifying was on are seen by this look; later ones notify.
        self.rings.enter(Wait::No)?;
        if !self.rings.has_completions() && self.receiver.prepare_to_sleep() {
            self.handling.meter.count(Counter::Parks);
            let wait = self.time_until_publishing().min(self.time_until_due());
            let event_queue = Rc::clone(&self.handling.event_queue);
            parker
                .park_for(wait, |context| event_queue.poll_events(context))
                .await;
            self.receiver.awake();
        }
        self.rings.set_park_notify(false);
        Ok(())
    }

    /// Publishes the page before the shard sleeps, unless that was done a moment ago: then it
    /// sleeps no longer than this. A shard that sleeps and wakes all the time has other work.
    fn time_until_publishing(&mut self) -> Duration {
        let meter = &self.handling.meter;
        let Some(published_us) = meter.published_us() else {
            return PARK_MAX;
        };
        let now_us = (self.clock)().as_micros() as u64;
        let due_us = published_us + PARK_PUBLISH_INTERVAL_US;
        if now_us < due_us {
            return Duration::from_micros(due_us - now_us);
        }
        self.publish(now_us);
        PARK_MAX
    }

    /// Copies the counters and histograms to the page that metrics are read from.
    pub(super) fn publish(&self, now_us: u64) {
        self.count_loop();
        self.handling.meter.publish(now_us);
    }

    pub(super) fn time_until_due(&mut self) -> Duration {
        let deadline_ms = self.handling.endpoint.next_deadline_ms();
        let drain_ms = self.drain.deadline_ms();
        let recheck_ms = self.rechecks.due_ms();
        let links_ms = self.links.as_ref().and_then(|links| links.due_ms());
        let due_ms = [
            self.wheel.next_due_hint(),
            deadline_ms,
            drain_ms,
            recheck_ms,
            links_ms,
        ];
        let due_ms = due_ms.into_iter().flatten().min().unwrap_or(u64::MAX);
        let wait = Duration::from_millis(due_ms.saturating_sub(self.now_ms).max(1));
        wait.min(PARK_MAX)
    }
}
