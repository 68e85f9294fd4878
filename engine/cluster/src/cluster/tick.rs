//! The passing of time: deadlines, heartbeats, isolation, and the writer.

use crate::cluster::Cluster;
use crate::frame::{Frame, Heartbeat, Stage};
use crate::id::{Now, Process};
use crate::sim::{mutated, sim_point};
use crate::timers::Timer;
use crate::vocabulary::{Note, PutResult, ReadResult};

/// Own heartbeats on their way that are remembered: eight seconds of them.
const ECHOES_MAX: usize = 32;

impl Cluster {
    /// Takes the time. The host calls it every 10 ms.
    pub fn handle_tick(&mut self, now: Now) {
        let tick_us = now.us - self.last_us;
        self.begin(now);
        while let Some(timer) = self.timers.pop(now.us) {
            self.on_timer(now, timer);
        }
        if self.stage == Stage::Joining {
            return;
        }
        if now.us - self.echo_us > self.settings.doubt_us && !self.is_isolated {
            sim_point!("isolated");
            self.is_isolated = true;
        }
        if now.us >= self.heartbeat_us {
            self.heartbeat(now);
            self.fail_exchanges_of_gone(now);
            self.follow_gone(now);
        }
        if now.us >= self.generation_due_us {
            self.check_generation(now);
        }
        self.flush_updates(now);
        self.reseed(tick_us);
        self.write_behind(now);
        self.drain(now);
    }

    fn on_timer(&mut self, now: Now, timer: Timer) {
        match timer {
            Timer::Op(op) => match self.ops.get(&op).map(|doing| doing.is_put) {
                Some(true) => self.handle_put(now, op, PutResult::Unknown),
                Some(false) => self.handle_read(now, op, ReadResult::Failed),
                None => {}
            },
            Timer::Accept(xid) => self.on_accept_timeout(now, xid),
            Timer::Exchange(xid) => self.on_exchange_timeout(xid),
            Timer::Remote(from, xid) => self.end_remote(from, xid),
            Timer::Again(call) => self.on_again(now, call),
            Timer::Waiting(key) => self.on_waiting(now, key),
            Timer::Retry(key) => self.on_retry(key),
            Timer::Refresh(key) => self.on_refresh(key),
            Timer::Notice(key, to) => self.on_notice(now, key, to),
            Timer::Tombstone(key) => self.end_wait(key),
            Timer::TombstoneRetry(key) => self.bury(now, key),
            Timer::Generation => self.check_generation(now),
            Timer::Claim => self.on_claim(now),
            Timer::Level => self.read_level(now),
        }
    }

    /// Publishes the own heartbeat.
    pub(super) fn heartbeat(&mut self, now: Now) {
        self.heartbeat_us = now.us + self.settings.heartbeat_us;
        let mut heartbeat = self.operators.own.clone();
        heartbeat.stage = self.stage;
        heartbeat.unix_s = now.unix_s;
        heartbeat.updates = self.updates.sequences();
        if !sim_point!("heartbeat_lost", 20) {
            self.publish(Frame::Heartbeat(Box::new(heartbeat)));
            self.echoes.push_back((self.sequence, now.us));
            self.echoes.truncate(ECHOES_MAX);
        }
    }

    pub(super) fn on_heartbeat(
        &mut self,
        now: Now,
        (from, sequence): (Process, u64),
        heartbeat: Heartbeat,
    ) {
        if from == self.me {
            self.echo_us = now.us;
            self.echoed_us = now.us;
            while let Some((own, sent_us)) = self.echoes.pop_front() {
                if own >= sequence {
                    self.echo_took_us = now.us - sent_us;
                    break;
                }
            }
            if self.is_isolated {
                sim_point!("isolation_ends");
                self.is_isolated = false;
                self.members.excuse_silence(now.us);
                if !mutated!("no_doubt_after_isolation") {
                    self.epoch += 1;
                }
                self.is_generation_sure = false;
                self.check_generation(now);
                self.doubt_updates();
                self.claim_later(now);
            }
        } else if from.node == self.me.node && from.incarnation > self.me.incarnation {
            if self.me.incarnation != 0 {
                self.superseded(from);
            }
        } else {
            self.compare(now, from, &heartbeat);
        }
        self.members.heard(from, heartbeat, now.us);
    }

    /// Compares a heartbeat with the facts that are known here.
    fn compare(&mut self, now: Now, from: Process, heartbeat: &Heartbeat) {
        let skew_s = heartbeat.unix_s.abs_diff(now.unix_s);
        if skew_s > self.settings.skew_warn_s {
            self.note(Note::Skew(from, skew_s));
        }
        if heartbeat.generation != 0 && heartbeat.generation != self.generation {
            sim_point!("other_generation");
            self.is_generation_sure = false;
            self.check_generation(now);
        }
        if heartbeat.level != self.operators.own.level {
            self.read_level(now);
        }
        self.compare_lists(from, heartbeat);
        self.find_gaps(now, from, &heartbeat.updates);
    }
}
