//! The controls that other threads have over a shard.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use super::inspection::Inspection;
use super::jobs::{Answer, HandsOver};
use crate::connection::readiness::Readiness;
use crate::handler::activity::Activity;
use crate::meter::MeterSnapshot;
use crate::meter::page::{Page, PageSettings};
use crate::profile::Server;
use corelane_io::wake::Waker;

/// The controls that other threads have over a shard.
#[derive(Debug, Default)]
pub(crate) struct ShardControl {
    /// Of all shards of this server.
    pub(crate) readiness: Arc<Readiness>,
    /// Set to make the shard drain.
    pub(crate) drain: AtomicBool,
    /// Set when the time for calls is over before the shard would notice.
    pub(crate) is_overdue: AtomicBool,
    /// How long calls get to end while the shard drains, in milliseconds.
    drain_timeout_ms: AtomicU64,
    /// Shards of this server that drain and have nothing left to do.
    pub(crate) quiet_shards: Arc<AtomicUsize>,
    /// Whether it accepts nothing until it is opened: another process still serves.
    pub(crate) is_held: AtomicBool,
    /// Whether this shard is among them.
    pub(crate) is_quiet: AtomicBool,
    /// The work of the shard.
    pub(crate) activity: Arc<Activity>,
    /// Open connections of each shard of this server, written by that shard alone; they are counted
    /// if `overload.connections_max` is set.
    pub(crate) open_connections: Arc<[AtomicU32]>,
    /// Its page, if metrics are read.
    pub(crate) page: Option<Arc<Page>>,
    /// Whether the supervisor finds it stalled.
    pub(crate) is_stalled: AtomicBool,
    /// How often it was found stalled, and how often it was started again.
    pub(crate) stalls: AtomicU64,
    pub(crate) restarts: AtomicU64,
    /// Where an administrator requests a list.
    pub(crate) inspection: Inspection,
    /// Wakes the shard, once it runs.
    waker: Mutex<Option<Waker>>,
    /// Counters of the lives of the shard that ended with a failure.
    totals: Mutex<MeterSnapshot>,
}

impl ShardControl {
    /// The controls of each of `shards` shards of one server, which is held or not. They have pages
    /// if their settings are given.
    pub(crate) fn of_server(
        shards: usize,
        (server, is_held): (&Server, bool),
        pages: Option<&Arc<PageSettings>>,
    ) -> Vec<Arc<ShardControl>> {
        let readiness = Arc::new(Readiness {
            shards_down: AtomicUsize::new(shards),
            ..Readiness::default()
        });
        let quiet_shards = Arc::new(AtomicUsize::new(0));
        let open_connections = (0..shards).map(|_| AtomicU32::new(0)).collect::<Arc<[_]>>();
        let controls = (0..shards).map(|_| ShardControl {
            readiness: Arc::clone(&readiness),
            is_held: AtomicBool::new(is_held),
            drain_timeout_ms: AtomicU64::new(server.drain_timeout_ms),
            quiet_shards: Arc::clone(&quiet_shards),
            open_connections: Arc::clone(&open_connections),
            page: pages.map(|settings| Arc::new(Page::new(Arc::clone(settings)))),
            ..ShardControl::default()
        });
        controls.map(Arc::new).collect()
    }

    /// How long calls get to end while the shard drains, in milliseconds.
    pub(crate) fn drain_timeout_ms(&self) -> u64 {
        self.drain_timeout_ms.load(Ordering::Relaxed)
    }

    /// Changes that time for a drain that has yet to begin.
    pub(crate) fn set_drain_timeout_ms(&self, drain_timeout_ms: u64) {
        self.drain_timeout_ms
            .store(drain_timeout_ms, Ordering::Relaxed);
    }

    /// So many required upstreams have not been read, or not lately: probes of readiness of all
    /// shards are refused until there is none.
    pub(crate) fn set_upstreams_down(&self, count: usize) {
        self.readiness
            .upstreams_down
            .store(count, Ordering::Relaxed);
    }

    /// Whether the program of an upstream keeps ending before it answers.
    pub(crate) fn set_crash_loop(&self, has_crash_loop: bool) {
        self.readiness
            .has_crash_loop
            .store(has_crash_loop, Ordering::Relaxed);
    }

    /// Lets all shards refuse probes of readiness; they serve everything else.
    pub(crate) fn begin_notice(&self) {
        self.readiness.is_leaving.store(true, Ordering::Relaxed);
    }

    /// Makes the shard drain.
    pub(crate) fn begin_drain(&self) {
        self.begin_notice();
        self.drain.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// Lets the shard do a job between two requests, and returns where its answer comes. Nothing
    /// comes from a shard that ends before that.
    pub(crate) fn request<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn HandsOver, Answer<T>) + Send + 'static,
    ) -> Receiver<T> {
        let (answer, answered) = sync_channel(1);
        let job = Box::new(|shard: &mut dyn HandsOver| job(shard, answer));
        self.inspection.leave_job(job);
        self.wake();
        answered
    }

    /// Wakes the shard if it runs.
    pub(crate) fn wake(&self) {
        if let Some(waker) = &*self.waker.lock().unwrap_or_else(PoisonError::into_inner) {
            waker.wake();
        }
    }

    /// Sets the waker of the shard, in the place of that of its life before.
    pub(super) fn set_waker(&self, waker: Waker) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker);
    }

    /// Keeps the counters of a life that failed; its levels are over with it.
    pub(super) fn keep_totals(&self, snapshot: &MeterSnapshot) {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        totals.merge(&snapshot.without_levels());
    }

    /// The counters of the lives that failed.
    pub(crate) fn totals(&self) -> MeterSnapshot {
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the shard among those that have nothing left to do, as one that has ended or never
    /// ran does not. Returns how many those are, unless it was counted before.
    pub(crate) fn count_quiet(&self) -> Option<usize> {
        let was_counted = self.is_quiet.swap(true, Ordering::AcqRel);
        (!was_counted).then(|| self.quiet_shards.fetch_add(1, Ordering::AcqRel) + 1)
    }
}
