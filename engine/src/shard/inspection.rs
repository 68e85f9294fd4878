//! Lists of a shard's connections and sessions for an administrator.
//!
//! Another thread leaves a request and wakes the shard, which answers it in its next turn: a share
//! of its table, so that a list of 100,000 connections delays no client. One request waits at a
//! time. A shard that is stuck does not answer, and whoever waits for it gives up. The hand-over to
//! another process comes the same way, as jobs.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::jobs::{Job, Jobs};

/// The tables that can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "metrics"),
    expect(dead_code, reason = "only the control socket lists them")
)]
pub(crate) enum Listed {
    Connections,
    /// Connections with an open stream of events.
    Streams,
    Sessions,
    /// The links to upstreams.
    Upstreams,
}

/// A part of a table, from a place on.
#[derive(Debug, Clone)]
pub(crate) struct InspectionRequest {
    pub(crate) listed: Listed,
    pub(crate) from: u32,
    /// The most rows.
    pub(crate) rows_max: usize,
    pub(crate) answer: SyncSender<InspectionAnswer>,
}

/// The rows of a part of a table.
#[derive(Debug, Default)]
pub(crate) struct InspectionAnswer {
    pub(crate) rows: Vec<Row>,
    /// The place where the next part begins, if there is one.
    pub(crate) next: Option<u32>,
}

/// A row of a list. Nothing in it is a secret: it has no id by which a session could be used, and
/// no byte of a message.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Row {
    Connection {
        key: String,
        state: &'static str,
        tls: bool,
        listener: u8,
        requests: u32,
        output_bytes: usize,
        stream_s: Option<u64>,
    },
    Upstream {
        number: u16,
        links: usize,
        links_idle: usize,
        waiting: usize,
        calls: usize,
        sessions: usize,
        processes: usize,
        breaker: &'static str,
    },
    Session {
        key: String,
        revision: &'static str,
        age_s: u64,
        calls: usize,
        streams: usize,
        subscriptions: usize,
    },
}

/// The place where a request waits for its shard.
#[derive(Debug, Default)]
pub(crate) struct Inspection {
    is_waiting: AtomicBool,
    request: Mutex<Option<InspectionRequest>>,
    jobs: Mutex<Jobs>,
}

impl Inspection {
    /// Leaves a request, in the place of one that was not answered. The shard must be woken then.
    #[cfg_attr(
        not(feature = "metrics"),
        expect(dead_code, reason = "only the control socket lists them")
    )]
    pub(crate) fn leave(&self, request: InspectionRequest) {
        *self.request.lock().unwrap_or_else(PoisonError::into_inner) = Some(request);
        self.is_waiting.store(true, Ordering::Release);
    }

    /// Leaves a job behind the others. The shard must be woken then. Whoever leaves one waits for
    /// its answer before the next, so there are a few at most.
    pub(crate) fn leave_job(&self, job: Job) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.0.push(job);
        self.is_waiting.store(true, Ordering::Release);
    }

    /// Whether a request or a job waits.
    #[inline]
    pub(super) fn is_waiting(&self) -> bool {
        self.is_waiting.load(Ordering::Acquire)
    }

    /// Takes the request and the jobs, if there are any and no other thread holds them just now.
    #[cold]
    pub(super) fn take(&self) -> (Option<InspectionRequest>, Vec<Job>) {
        let (Ok(mut request), Ok(mut jobs)) = (self.request.try_lock(), self.jobs.try_lock())
        else {
            return (None, Vec::new());
        };
        self.is_waiting.store(false, Ordering::Relaxed);
        (request.take(), mem::take(&mut jobs.0))
    }
}
