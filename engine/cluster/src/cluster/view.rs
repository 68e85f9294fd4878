//! Getters: how the process, its sessions and its tables stand.

use crate::cluster::Cluster;
use crate::frame::Stage;
use crate::id::{Now, Process};
use crate::membership::Health;
use crate::record::State;
use crate::session::{Session, Standing};
use crate::vocabulary::SessionKey;

/// A process of the cluster, as this one hears it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// The process.
    pub process: Process,
    /// How it describes itself.
    pub stage: Stage,
    /// Whether it lives.
    pub health: Health,
    /// Microseconds since it was last heard.
    pub silence_us: u64,
    /// Its clock in the last heartbeat, in seconds of Unix time.
    pub unix_s: u64,
    /// Fingerprints of the state keys that it opens with.
    pub keys: Vec<u64>,
    /// The fingerprint of the one that it seals with.
    pub sealing_key: u64,
}

impl Cluster {
    /// This process; its incarnation is 0 until it has joined.
    #[must_use]
    pub fn process(&self) -> Process {
        self.me
    }

    /// Whether it joined, and whether it drains.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Counts the reasons for which other processes may have taken any session.
    #[must_use]
    pub fn doubts(&self) -> u64 {
        self.epoch
    }

    /// The processes of the cluster, this one included, one for each node number.
    #[must_use]
    pub fn members(&self, now: Now) -> Vec<MemberView> {
        let all = self.members.all().map(|member| MemberView {
            process: member.process,
            stage: member.heartbeat.stage,
            health: member.health(now.us, &self.settings),
            silence_us: member.silence_us(now.us),
            unix_s: member.heartbeat.unix_s,
            keys: member.heartbeat.keys.clone(),
            sealing_key: member.heartbeat.sealing_key,
        });
        all.collect()
    }

    /// Whether its own heartbeats do not come back.
    #[must_use]
    pub fn is_isolated(&self) -> bool {
        self.is_isolated
    }

    /// How a session of this process stands; nothing if it is not here.
    #[must_use]
    pub fn standing(&self, key: SessionKey) -> Option<Standing> {
        Some(self.sessions.get(&key)?.standing(self.epoch))
    }

    /// The changed part of a session of this process.
    #[must_use]
    pub fn state(&self, key: SessionKey) -> Option<&State> {
        Some(&self.sessions.get(&key)?.state)
    }

    /// The sessions of this process.
    pub fn sessions(&self) -> impl Iterator<Item = SessionKey> {
        self.sessions.keys().copied()
    }

    /// Whether the store lacks changes of a session.
    #[must_use]
    pub fn is_dirty(&self, key: SessionKey) -> bool {
        self.sessions.get(&key).is_some_and(Session::has_unwritten)
    }

    /// The sessions with changes that the store lacks, and microseconds since the first of these
    /// changes. It looks at each session.
    #[must_use]
    pub fn replication_lag(&self, now: Now) -> (usize, u64) {
        let dirty = self.sessions.values().filter(|it| it.has_unwritten());
        dirty.fold((0, 0), |(count, lag_us), session| {
            (count + 1, lag_us.max(now.us - session.dirty_since_us))
        })
    }

    /// Each table with a bound: its name, entries and limit.
    #[must_use]
    pub fn tables(&self) -> [(&'static str, usize, usize); 15] {
        let limits = &self.settings;
        [
            ("sessions", self.sessions.len(), limits.sessions_max),
            ("dirty", self.dirty.len(), limits.sessions_max),
            ("lane", self.lane.len(), limits.lane_max),
            ("writes", self.writes_in_flight, limits.writes_in_flight_max),
            ("tombstones", self.tombstones.len(), limits.tombstones_max),
            ("graves", self.graves.0.len(), limits.graves_max),
            ("unread", self.unread.len(), limits.sessions_max),
            ("lookups", self.lookups.len(), limits.lookups_max),
            ("exchanges", self.exchanges.len(), limits.exchanges_max),
            ("again", self.again.len(), limits.exchanges_max),
            ("remotes", self.remotes.len(), limits.exchanges_max),
            ("notices", self.notices.len(), limits.notices_max),
            ("owners", self.owners.len(), limits.owners_max),
            ("members", self.members.len(), limits.members_max),
            ("followed", self.updates.followed(), limits.followed_max),
        ]
    }

    /// The oldest deadline of an exchange with another process, in microseconds.
    #[must_use]
    pub fn oldest_exchange_us(&self) -> Option<u64> {
        let sent = self.exchanges.values().map(|it| it.deadline_us);
        sent.chain(self.remotes.values().map(|it| it.deadline_us))
            .min()
    }
}
