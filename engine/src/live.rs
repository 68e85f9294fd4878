//! The settings that a server takes over while it runs.
//!
//! A reload makes one immutable [`Live`] of a whole profile, after everything in it was checked.
//! Each shard finds it among its pending updates and takes it between two requests, so that it has
//! the settings of one profile or of the next and never a mixture. Shards take it at different
//! times, each at its own turn: [`RolloutBarrier`] waits for the last one.
//!
//! It deliberately lacks the catalog and access control, which have snapshots of their own.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use corelane_protocol::request_state::Sealer;

use crate::guard::origin::OriginPolicy;
use crate::guard::principal::PrincipalHeader;
use crate::profile::{Profile, Server, ShardProfile};

/// The settings of one profile that a server takes over while it runs.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    /// The number of the reload, from 1; the settings of the start have 0.
    pub(crate) generation: u64,
    /// Of each shard.
    pub(crate) shards: Vec<ShardProfile>,
    /// Of the process.
    pub(crate) server: Server,
    /// The hosts and origins of each listener.
    pub(crate) origins: Vec<OriginPolicy>,
    /// The header that names the principal, if there is one.
    pub(crate) principal: Option<PrincipalHeader>,
    /// Seals the states that modern clients return.
    pub(crate) sealer: Arc<Sealer>,
    /// Bytes of memory that a shard may hold for its clients.
    pub(crate) memory_bytes_max: u64,
}

impl Live {
    /// The knobs of a shard that runs with `present`, in `profile`. Its rings and its executor stay
    /// as they are: their knobs take a restart, and the start may have adjusted them to the host.
    pub(crate) fn shard_profile(present: &ShardProfile, profile: &Profile) -> ShardProfile {
        ShardProfile {
            ring: present.ring,
            executor: present.executor,
            ..profile.shard_on(present.core_id)
        }
    }
}

/// Settings on their way to one shard.
#[derive(Debug)]
pub(crate) struct NewLive {
    pub(crate) live: Arc<Live>,
    barrier: Arc<RolloutBarrier>,
    shard: usize,
}

impl NewLive {
    /// The shard uses the settings from now on.
    pub(crate) fn adopted(self) {
        self.barrier.note(self.shard);
    }
}

/// The shards that use the settings of one reload.
#[derive(Debug)]
pub(crate) struct RolloutBarrier {
    began: Instant,
    /// Microseconds from the beginning until each shard used them.
    adopted_us: Mutex<Vec<Option<u64>>>,
    changed: Condvar,
}

impl RolloutBarrier {
    /// None of `shards` uses the settings yet, from now on.
    pub(crate) fn begin(shards: usize) -> Arc<RolloutBarrier> {
        Arc::new(RolloutBarrier {
            began: Instant::now(),
            adopted_us: Mutex::new(vec![None; shards]),
            changed: Condvar::new(),
        })
    }

    /// The settings on their way to `shard`.
    pub(crate) fn of(self: &Arc<RolloutBarrier>, live: &Arc<Live>, shard: usize) -> NewLive {
        NewLive {
            live: Arc::clone(live),
            barrier: Arc::clone(self),
            shard,
        }
    }

    /// Waits until every shard uses the settings, and returns the microseconds that each took.
    ///
    /// # Errors
    /// The shards that do not use them after `time`.
    pub(crate) fn wait(&self, time: Duration) -> Result<Vec<u64>, Vec<usize>> {
        let is_missing = |adopted: &mut Vec<Option<u64>>| adopted.contains(&None);
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), time, is_missing);
        let (adopted, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let all: Option<Vec<u64>> = adopted.iter().copied().collect();
        all.ok_or_else(|| {
            let shards = adopted.iter().enumerate();
            let late = shards.filter(|(_, adopted)| adopted.is_none());
            late.map(|(shard, _)| shard).collect()
        })
    }

    fn note(&self, shard: usize) {
        let took_us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.lock()[shard] = Some(took_us);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<u64>>> {
        self.adopted_us
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Live {
    /// The settings of `profile` for one shard without a listener.
    pub(crate) fn for_tests(generation: u64, profile: &Profile) -> Arc<Live> {
        Arc::new(Live {
            generation,
            shards: vec![profile.for_core(0)],
            server: profile.server.clone(),
            origins: Vec::new(),
            principal: None,
            sealer: Arc::new(Sealer::random()),
            memory_bytes_max: u64::MAX,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollout_is_over_when_the_last_shard_uses_the_settings() {
        let live = Live::for_tests(1, &Profile::default());
        let barrier = RolloutBarrier::begin(3);
        for shard in [2, 0] {
            barrier.of(&live, shard).adopted();
        }
        assert_eq!(barrier.wait(Duration::ZERO), Err(vec![1]));
        let last = barrier.of(&live, 1);
        let thread = std::thread::spawn(move || last.adopted());
        let adopted_us = barrier.wait(Duration::from_secs(3600)).expect("all do");
        assert_eq!(adopted_us.len(), 3);
        thread.join().expect("it ends");
    }

    #[test]
    fn settings_that_were_replaced_before_a_shard_took_them_are_not_adopted() {
        let live = Live::for_tests(1, &Profile::default());
        let barrier = RolloutBarrier::begin(1);
        drop(barrier.of(&live, 0));
        assert_eq!(barrier.wait(Duration::ZERO), Err(vec![0]));
    }

    #[test]
    fn the_rings_and_the_executor_of_a_shard_stay() {
        let mut present = Profile::default().for_core(0);
        present.executor.spin_us = 0;
        let mut next = Profile::default();
        next.executor.spin_us = 50;
        next.sessions.per_shard_max = 7;
        let taken = Live::shard_profile(&present, &next);
        assert_eq!(taken.executor, present.executor);
        assert_eq!(taken.sessions.per_shard_max, 7);
    }
}
