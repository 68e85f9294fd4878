//! What a shard lets go of or holds in a hand-over; see [`handover`](super::handover).

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use super::control::ShardControl;
use super::jobs::{Answer, Offered};
use crate::connection::http::Connection;
use crate::handover::rows::ConnectionRow;
use corelane_io::slots::SlotKey;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct HandOver {
    /// Nothing is accepted, and changes wait.
    pub(super) is_held: bool,
    /// The knob of before, while the shard receives nothing ahead.
    pub(super) quiet_after_ms: Option<u64>,
    /// Gets an answer when no accept is under way.
    pub(super) pausing: Option<Answer<()>>,
    /// Connections that were taken out of the table and not offered yet.
    pub(super) frozen: VecDeque<(SlotKey, Connection)>,
    /// Connections that the other process was offered, in the order of its rows.
    pub(super) offered: Vec<(SlotKey, Connection)>,
    /// Those of the last batch among them.
    pub(super) batch: Option<Batch>,
    /// Connections that were taken over and are not read from yet.
    pub(super) taken: Vec<SlotKey>,
    /// Streams of sessions that were taken over, by the place where each was open.
    pub(super) named: HashMap<String, u64>,
    /// The first index that may be free for another one.
    pub(super) next_index: u32,
}

/// Connections whose descriptors are being shared.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) rows: Vec<(SlotKey, ConnectionRow, Option<OwnedFd>)>,
    pub(super) left: usize,
    pub(super) answer: Answer<Option<Offered>>,
}

impl HandOver {
    /// Nothing yet, of a shard with these controls.
    pub(super) fn of(control: &ShardControl) -> HandOver {
        HandOver {
            is_held: control.is_held.load(Ordering::Relaxed),
            ..HandOver::default()
        }
    }

    /// Whether nothing is accepted, and changes wait.
    #[inline]
    pub(super) fn is_held(&self) -> bool {
        self.is_held
    }
}
