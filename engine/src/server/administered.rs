//! The parts of a running server that an administrator sees and changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Instant;

use super::event::Event;
use super::reload::Reloader;
use super::upgrade::Upgrader;
use super::upstreams::UpstreamRequests;
use super::{ClusterRequests, SlowRequests};
use crate::shard::ShardControl;

/// The parts of a running server that an administrator sees and changes.
#[cfg_attr(
    not(feature = "metrics"),
    expect(dead_code, reason = "only the control socket uses them")
)]
pub(super) struct Administered {
    pub(super) shards: Vec<Arc<ShardControl>>,
    /// Where it listens.
    pub(super) addresses: Vec<String>,
    pub(super) started: Instant,
    /// Reloads.
    pub(super) reloader: Option<Arc<Reloader>>,
    /// Upgrades.
    pub(super) upgrader: Arc<Upgrader>,
    /// The slow requests, if they are kept.
    pub(super) slow: Option<Arc<SlowRequests>>,
    /// Requests about upstreams, if there are any.
    pub(super) upstreams: Option<UpstreamRequests>,
    /// Requests about the cluster, if the server is in one.
    pub(super) cluster: Option<ClusterRequests>,
    pub(super) events: Sender<Event>,
    /// Set by the first request to end.
    pub(super) is_ending: Arc<AtomicBool>,
}

#[cfg_attr(
    not(feature = "metrics"),
    expect(dead_code, reason = "only the control socket uses them")
)]
impl Administered {
    /// Drains the server, as a signal does; with `at_once` without time for the calls in flight.
    /// Returns whether this is the first request to end.
    pub(super) fn end(&self, at_once: bool) -> bool {
        if at_once {
            for control in &self.shards {
                control.is_overdue.store(true, Ordering::Relaxed);
            }
        }
        let is_first = !self.is_ending.swap(true, Ordering::Relaxed);
        if is_first || at_once {
            // The receiver may be gone. A second event ends the notice of a drain.
            let _ = self.events.send(Event::Signal);
        }
        is_first
    }
}
