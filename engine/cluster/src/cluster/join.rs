//! Joining: the node number is claimed in the store, which gives the incarnation.

use crate::cluster::{Claim, Cluster, Purpose};
use crate::codec::{Kind, Written, decode, encode};
use crate::frame::Stage;
use crate::id::{Now, Process};
use crate::membership::Health;
use crate::sim::{mutated, sim_point};
use crate::timers::Timer;
use crate::vocabulary::{Expect, Key, Note, Output, PutResult, ReadFrom, ReadResult};

impl Cluster {
    /// The bus and the store are reachable, for the first time or again.
    pub fn handle_connected(&mut self, now: Now) {
        self.begin(now);
        self.is_connected = true;
        self.members.excuse_silence(now.us);
        self.is_reading_generation = false;
        self.is_generation_sure = false;
        self.check_generation(now);
        self.claim_later(now);
        self.doubt_updates();
    }

    /// The bus and the store are not reachable.
    pub fn handle_disconnected(&mut self, now: Now) {
        self.begin(now);
        self.is_connected = false;
    }

    /// Listens for a live holder of the node number before it is claimed, or before the claim is
    /// read again: another process may have it since this one was out of reach or stopped.
    pub(super) fn claim_later(&mut self, now: Now) {
        self.arm(now.us + self.settings.suspect_us, Timer::Claim);
    }

    pub(super) fn on_claim(&mut self, now: Now) {
        if self.is_connected {
            let key = Key::Node(self.me.node);
            self.read(now, Purpose::Claim, key, ReadFrom::Leader);
        }
    }

    pub(super) fn on_claim_read(&mut self, now: Now, result: ReadResult) {
        if self.me.incarnation != 0 {
            return self.check_claim(now, &result);
        }
        let (expect, last) = match result {
            ReadResult::Failed => return self.claim_later(now),
            ReadResult::Absent => (Expect::Absent, 0),
            ReadResult::Marker(revision) => (Expect::Revision(revision), 0),
            ReadResult::Found(revision, value) => {
                let Ok((written, last)) = decode::<u16>(Kind::Node, &value) else {
                    return self.claim_later(now);
                };
                if written.number == self.claim.nonce && last == self.claim.incarnation {
                    sim_point!("claim_read_back");
                    return self.join(now);
                }
                (Expect::Revision(revision), last)
            }
        };
        let holder = self.members.of_node(self.me.node);
        let is_live = holder.is_some_and(|it| it.health(now.us, &self.settings) != Health::Gone);
        if let Some(holder) = holder.filter(|_| is_live) {
            let process = holder.process;
            self.note(Note::NodeTaken(process));
            return self.claim_later(now);
        }
        let step = u16::from(last == 0 || !mutated!("reuse_incarnation"));
        let Some(incarnation) = last.checked_add(step) else {
            return self.claim_later(now);
        };
        let nonce = (self.random)();
        self.claim = Claim { nonce, incarnation };
        let written = Written {
            writer: self.me,
            number: nonce,
        };
        let level = self.operators.level();
        if let Ok(value) = encode(Kind::Node, level, written, &incarnation) {
            let op = self.op(now, Purpose::Claim, self.settings.put_us, true);
            let key = Key::Node(self.me.node);
            self.outputs
                .push_back(Output::Put(op, key, expect, 0, value));
        }
    }

    pub(super) fn on_claim_put(&mut self, now: Now, result: PutResult) {
        match result {
            PutResult::Written(_) if self.me.incarnation == 0 => self.join(now),
            _ if self.me.incarnation == 0 => self.claim_later(now),
            _ => {}
        }
    }

    fn check_claim(&mut self, now: Now, result: &ReadResult) {
        match result {
            ReadResult::Failed => self.claim_later(now),
            ReadResult::Found(_, value) => {
                let found = decode::<u16>(Kind::Node, value);
                let later = found.map_or(0, |(_, incarnation)| incarnation);
                if later > self.me.incarnation {
                    let node = self.me.node;
                    self.superseded(Process {
                        node,
                        incarnation: later,
                    });
                }
            }
            ReadResult::Absent | ReadResult::Marker(_) => {}
        }
    }

    fn join(&mut self, now: Now) {
        sim_point!("joined");
        self.me.incarnation = self.claim.incarnation;
        self.stage = Stage::Alive;
        self.echo_us = now.us;
        self.members.excuse_silence(now.us);
        self.note(Note::Joined(self.me));
        self.read_level(now);
        self.heartbeat(now);
    }

    /// A later process has this node number: this one must not serve any more.
    pub(super) fn superseded(&mut self, by: Process) {
        if self.stage != Stage::Joining && !mutated!("outlive_successor") {
            sim_point!("superseded");
            self.repeat_updates();
            self.stage = Stage::Joining;
            self.note(Note::NodeTaken(by));
        }
    }
}
