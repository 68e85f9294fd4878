//! Rotation of keys in three steps, and the level of the cluster. Each step refuses while a node
//! could not follow.

use crate::cluster::{Cluster, Purpose};
use crate::codec::{Kind, LEVEL_MIN, Written, decode, encode};
use crate::frame::{Heartbeat, Stage};
use crate::id::Now;
use crate::membership::Health;
use crate::operators::StepRefused;
use crate::sim::{mutated, sim_point};
use crate::timers::Timer;
use crate::vocabulary::{Expect, Key, Output, PutResult, ReadFrom, ReadResult};

impl Cluster {
    /// The fingerprints of the keys of this process, of which the first seals: for a host whose
    /// operators change keys by themselves.
    pub fn set_keys(&mut self, fingerprints: &[u64]) {
        self.set_heartbeat(|own| {
            own.keys = fingerprints.to_vec();
            own.sealing_key = fingerprints.first().copied().unwrap_or_default();
        });
    }

    /// Whether this process may open with these keys, of which the first seals, in the place of its
    /// own: for a host that checks them before it takes them.
    ///
    /// # Errors
    ///
    /// [`StepRefused`] while another live process cannot open with the first one, or seals with one
    /// that is missing among them.
    pub fn check_keys(&self, now: Now, fingerprints: &[u64]) -> Result<(), StepRefused> {
        let own = &self.operators.own;
        let promoted = fingerprints.first().filter(|key| **key != own.sealing_key);
        let is_dropped = |key: &u64| own.keys.contains(key) && !fingerprints.contains(key);
        if promoted.is_none() && !own.keys.iter().any(&is_dropped) {
            return Ok(());
        }
        if self.is_isolated || !self.is_connected || self.stage == Stage::Joining {
            return Err(StepRefused::Isolated);
        }
        for member in self.members.all().filter(|it| it.process != self.me) {
            let node = member.process.node;
            let (is_gone, heard) = (
                member.health(now.us, &self.settings) == Health::Gone,
                &member.heartbeat,
            );
            if !is_gone && promoted.is_some_and(|key| !heard.keys.contains(key)) {
                return Err(StepRefused::Lagging(node));
            }
            if !is_gone && is_dropped(&heard.sealing_key) {
                return Err(StepRefused::Sealing(node));
            }
        }
        Ok(())
    }

    /// The first step: this process opens with the key of this fingerprint from now on.
    pub fn add_key(&mut self, now: Now, fingerprint: u64) {
        self.begin(now);
        self.set_heartbeat(|own| {
            if !own.keys.contains(&fingerprint) {
                own.keys.push(fingerprint);
            }
        });
    }

    /// The second step: this process seals with the key from now on.
    ///
    /// # Errors
    ///
    /// [`StepRefused`] while one of `nodes`, the nodes of the cluster, cannot open with it.
    pub fn promote_key(
        &mut self,
        now: Now,
        fingerprint: u64,
        nodes: &[u16],
    ) -> Result<(), StepRefused> {
        self.begin(now);
        if !self.operators.own.keys.contains(&fingerprint) {
            return Err(StepRefused::NoKey);
        }
        if !mutated!("promote_early") {
            self.can_all(nodes, |heartbeat| heartbeat.keys.contains(&fingerprint))?;
        }
        sim_point!("key_promoted");
        let old = self.operators.own.sealing_key;
        self.operators.sealed_us.insert(old, now.us);
        self.set_heartbeat(|own| own.sealing_key = fingerprint);
        Ok(())
    }

    /// The third step: this process does not open with the key any more.
    ///
    /// # Errors
    ///
    /// [`StepRefused`] while one of `nodes` seals with it, or an id that it sealed may be in use.
    pub fn drop_key(
        &mut self,
        now: Now,
        fingerprint: u64,
        nodes: &[u16],
    ) -> Result<(), StepRefused> {
        self.begin(now);
        let rest_s = |since_us: u64| {
            let age_s = (now.us - since_us) / 1_000_000;
            let valid_s = self.settings.id_age_max_s + self.settings.leeway_s;
            valid_s.saturating_sub(age_s)
        };
        let max_s = rest_s(now.us);
        let sealed_us = self.operators.sealed_us.get(&fingerprint);
        let rest_s = sealed_us.map_or(max_s, |since| rest_s(*since));
        if self.operators.own.sealing_key == fingerprint || rest_s > 0 {
            return Err(StepRefused::InUse(rest_s));
        }
        self.can_all(nodes, |heartbeat| heartbeat.sealing_key != fingerprint)?;
        self.set_heartbeat(|own| own.keys.retain(|key| *key != fingerprint));
        Ok(())
    }

    /// Raises the level of the cluster. It goes to the store, and from there to all processes.
    ///
    /// # Errors
    ///
    /// [`StepRefused`] while one of `nodes` cannot read that level.
    pub fn finalize(&mut self, now: Now, level: u8, nodes: &[u16]) -> Result<(), StepRefused> {
        self.begin(now);
        if level < LEVEL_MIN || level > self.operators.own.level_max {
            return Err(StepRefused::Level);
        }
        self.can_all(nodes, |heartbeat| heartbeat.level_max >= level)?;
        self.operators.wanted = level;
        self.read_level(now);
        Ok(())
    }

    /// The level that this process writes.
    #[must_use]
    pub fn level(&self) -> u8 {
        self.operators.own.level
    }

    /// The highest level that this process reads, if the host limits it further.
    pub fn set_level_max(&mut self, level: u8) {
        self.set_heartbeat(|own| own.level_max = level);
    }

    /// Whether all the nodes of the cluster can follow, those that are gone included: they come
    /// back.
    fn can_all(&self, nodes: &[u16], can: impl Fn(&Heartbeat) -> bool) -> Result<(), StepRefused> {
        if self.is_isolated || self.stage == Stage::Joining {
            return Err(StepRefused::Isolated);
        }
        let others = nodes.iter().filter(|node| **node != self.me.node);
        let lags = |node: &&u16| {
            let member = self.members.of_node(**node);
            member.is_none_or(|it| it.heartbeat.stage == Stage::Joining || !can(&it.heartbeat))
        };
        let mut lagging = others.filter(lags);
        lagging
            .next()
            .map_or(Ok(()), |node| Err(StepRefused::Lagging(*node)))
    }

    pub(super) fn read_level(&mut self, now: Now) {
        if self.is_connected && !self.operators.is_busy {
            self.operators.is_busy = true;
            self.read(now, Purpose::Level, Key::Level, ReadFrom::Leader);
        }
    }

    pub(super) fn on_level_read(&mut self, now: Now, result: ReadResult) {
        self.operators.is_busy = false;
        let (expect, level) = match result {
            ReadResult::Failed => return self.level_later(now),
            ReadResult::Absent => (Expect::Absent, LEVEL_MIN),
            ReadResult::Marker(revision) => (Expect::Revision(revision), LEVEL_MIN),
            ReadResult::Found(revision, value) => {
                let level = decode::<u8>(Kind::Level, &value).map_or(LEVEL_MIN, |found| found.1);
                (Expect::Revision(revision), level)
            }
        };
        let own = self.operators.own.level.max(level);
        self.set_heartbeat(|heartbeat| heartbeat.level = own);
        let wanted = self.operators.wanted;
        if wanted <= level {
            return;
        }
        sim_point!("level_raised");
        let written = Written {
            writer: self.me,
            number: self.next_write,
        };
        self.next_write += 1;
        if let Ok(value) = encode(Kind::Level, LEVEL_MIN, written, &wanted) {
            self.operators.is_busy = true;
            let op = self.op(now, Purpose::Level, self.settings.put_us, true);
            self.outputs
                .push_back(Output::Put(op, Key::Level, expect, 0, value));
        }
    }

    pub(super) fn on_level_put(&mut self, now: Now, result: PutResult) {
        self.operators.is_busy = false;
        match result {
            PutResult::Written(_) => {
                let wanted = self.operators.wanted;
                self.set_heartbeat(|own| own.level = own.level.max(wanted));
            }
            _ => self.level_later(now),
        }
    }

    fn level_later(&mut self, now: Now) {
        let at_us = now.us + self.settings.store_retry_us;
        self.arm(at_us, Timer::Level);
    }
}
