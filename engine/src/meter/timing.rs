//! Durations on one shard, and the copy of all cells on its page: only while metrics are read.
//!
//! An operation is a request from the turn that it came in until its answer is written. The clock
//! is read once for each, when its handler ends, or at its end if it has none. A handler begins at
//! the last reading, which is the end of the operation before in the turn, or the begin of the
//! turn: the work between, such as the decoding of the request, counts as the handler's.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::counters::{Kind, ROWS};
use super::histogram::{Buckets, HTTP, OPERATION};
use super::label_sets::LabelSets;
use super::operations::{Failure, Labels};
use super::page::{COUNTERS_AT, HANDLER_AT, HTTP_AT, Page, QUEUE_AT};
use super::records::{Recorder, RequestRecord, Wanted};
use super::traces::{Parents, Trace};

/// A request that is being served, and its trace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    pub(super) measured: Measured,
    pub(super) trace: Option<Trace>,
}

/// The labels of a request, and its times since the shard was started.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    pub(super) labels: Labels,
    started_us: u64,
    /// When its handler began; 0 if it has none.
    handler_us: u64,
    /// The reading when its handler ended; 0 without.
    ended_us: u64,
    is_open: bool,
    /// Its handler has begun and not ended.
    is_in_handler: bool,
}

impl Operation {
    /// None.
    pub(crate) const NONE: Operation = Operation {
        measured: Measured::NONE,
        trace: None,
    };

    /// Leaves the times of the handler here, and gives the request that is answered before.
    pub(crate) fn split(&mut self) -> Operation {
        let mut answered = *self;
        answered.measured.handler_us = 0;
        answered.measured.is_in_handler = false;
        self.measured.is_open = false;
        answered
    }

    /// Records why it fails, unless that is known already.
    pub(crate) fn fail(&mut self, failure: Failure) {
        self.measured.fail(failure);
    }
}

impl Measured {
    const NONE: Measured = Measured {
        labels: Labels {
            method: Labels::OTHER_METHOD,
            revision: Labels::NO_REVISION,
            name: 0,
            failure: Failure::None,
            code: 0,
        },
        started_us: 0,
        handler_us: 0,
        ended_us: 0,
        is_open: false,
        is_in_handler: false,
    };

    /// A request for a method in a revision, of the turn that began at `started_us`.
    #[inline]
    pub(super) fn begun(method: u8, revision: u8, started_us: u64) -> Measured {
        Measured {
            labels: Labels {
                method,
                revision,
                ..Measured::NONE.labels
            },
            started_us,
            is_open: true,
            ..Measured::NONE
        }
    }

    pub(super) fn fail(&mut self, failure: Failure) {
        if self.labels.failure == Failure::None {
            self.labels.failure = failure;
        }
    }
}

/// The durations of one shard.
#[derive(Debug)]
pub(super) struct Timing {
    pub(super) page: Arc<Page>,
    /// The totals of the lives before.
    totals_before: Box<[u64]>,
    pub(super) clock: Cell<Option<Instant>>,
    pub(super) turn_us: Cell<u64>,
    pub(super) published_us: Cell<u64>,
    /// As on the page, from [`QUEUE_AT`] on.
    histograms: Box<[Cell<u64>]>,
    operations: LabelSets,
    pub(super) http: LabelSets,
    /// The last reading of the clock.
    read_us: Cell<u64>,
    current: Cell<Measured>,
    /// The trace of the same request. It changes less often, and is none without a recorder.
    trace: Cell<Option<Trace>>,
    recorder: Option<Recorder>,
}

impl Timing {
    /// For the next life of the shard of this page.
    pub(super) fn of(page: &Arc<Page>) -> Timing {
        let words = |from: usize, to: usize| (from..to).map(|at| page.word(at));
        let totals = words(COUNTERS_AT, QUEUE_AT).zip(&ROWS);
        let totals = totals.map(|(value, row)| match row.kind {
            Kind::Total => value,
            Kind::Level => 0,
        });
        Timing {
            totals_before: totals.collect(),
            clock: Cell::new(None),
            turn_us: Cell::new(0),
            published_us: Cell::new(0),
            histograms: words(QUEUE_AT, HTTP_AT).map(Cell::new).collect(),
            operations: LabelSets::of(page, page.operations(), &OPERATION),
            http: LabelSets::of(page, Page::HTTP, &HTTP),
            read_us: Cell::new(0),
            current: Cell::new(Measured::NONE),
            trace: Cell::new(None),
            recorder: (page.settings.records).map(|it| Recorder::of(it, &page.records)),
            page: Arc::clone(page),
        }
    }

    /// The last reading of the clock in this turn.
    #[inline]
    pub(super) fn last_us(&self) -> u64 {
        self.read_us.get().max(self.turn_us.get())
    }

    fn now_us(&self) -> u64 {
        let clock = self.clock.get();
        let now_us = clock.map_or(0, |started| started.elapsed().as_micros() as u64);
        self.read_us.set(now_us);
        now_us
    }

    /// A request begins. A forwarded one has no end here, and may have left its trace.
    #[inline]
    pub(super) fn begin(&self, begun: Measured) {
        self.current.set(begun);
        if self.is_traced() {
            self.trace.set(None);
        }
    }

    /// Whether spans are exported.
    #[inline]
    pub(super) fn is_traced(&self) -> bool {
        self.recorder.as_ref().is_some_and(Recorder::is_traced)
    }

    /// Begins the trace of the present request.
    pub(super) fn begin_trace(&self, parents: Parents) {
        if let Some(recorder) = &self.recorder {
            let trace = recorder.begin_trace(parents, self.turn_us.get());
            self.trace.set(trace);
        }
    }

    /// The trace of the present request.
    pub(super) fn trace(&self) -> Option<Trace> {
        self.trace.get()
    }

    /// Continues with another request, or with none; returns the one of before.
    pub(super) fn swap(&self, other: Operation) -> Operation {
        Operation {
            measured: self.current.replace(other.measured),
            trace: self.trace.replace(other.trace),
        }
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Measured)) {
        let mut current = self.current.get();
        change(&mut current);
        self.current.set(current);
    }

    #[inline]
    pub(super) fn record<const N: usize>(&self, at: usize, buckets: &Buckets<N>, duration_us: u64) {
        let at = at - QUEUE_AT;
        let bucket = &self.histograms[at + buckets.of(duration_us)];
        bucket.set(bucket.get() + 1);
        let sum = &self.histograms[at + N + 1];
        sum.set(sum.get().wrapping_add(duration_us));
    }

    #[inline]
    pub(super) fn begin_handler(&self) {
        let now_us = self.last_us();
        self.update(|current| {
            current.handler_us = now_us.max(1);
            current.is_in_handler = true;
            self.record(
                QUEUE_AT,
                &OPERATION,
                now_us.saturating_sub(current.started_us),
            );
        });
    }

    #[inline]
    pub(super) fn end_handler(&self) {
        self.update(|current| {
            if !current.is_in_handler {
                return;
            }
            current.ended_us = self.now_us();
            let handler_us = current.ended_us.saturating_sub(current.handler_us);
            self.record(HANDLER_AT, &OPERATION, handler_us);
            current.is_in_handler = false;
        });
    }

    /// Returns whether a record of the request was dropped.
    #[inline]
    pub(super) fn end(&self, code: Option<i64>) -> bool {
        let mut ended = self.current.replace(Measured::NONE);
        if !ended.is_open {
            return false;
        }
        if let Some(code) = code {
            ended.labels.code = Labels::place_of(code);
        }
        if ended.ended_us == 0 {
            ended.ended_us = self.now_us();
        }
        let duration_us = ended.ended_us.saturating_sub(ended.started_us);
        self.operations.record(ended.labels.pack(), duration_us);
        let Some(recorder) = &self.recorder else {
            return false;
        };
        let labels = ended.labels;
        let is_failed = labels.failure != Failure::None || labels.code != 0;
        let of_trace = (self.trace.take(), is_failed);
        let wanted = recorder.wanted(of_trace, (ended.ended_us, duration_us));
        wanted.is_any() && !recorder.leave(self.record_of(ended, wanted))
    }

    #[cold]
    fn record_of(&self, ended: Measured, wanted: Wanted) -> RequestRecord {
        let began = self.clock.get().unwrap_or(self.page.settings.base);
        // Without a handler it neither waits for one nor is in one.
        let handler_us = match ended.handler_us {
            0 => ended.ended_us,
            began_us => began_us,
        };
        let since = |from_us: u64, to_us: u64| to_us.saturating_sub(from_us);
        let has_handler = u64::from(ended.handler_us > 0);
        RequestRecord {
            labels: ended.labels,
            ended: began + Duration::from_micros(ended.ended_us),
            duration_us: since(ended.started_us, ended.ended_us),
            queue_us: has_handler * since(ended.started_us, handler_us),
            handler_us: since(handler_us, ended.ended_us),
            wanted,
        }
    }

    pub(super) fn publish(&self, cells: &[Cell<u64>], keeps_levels: bool) {
        let writer = self.page.write();
        let values = cells.iter().zip(&self.totals_before).zip(&ROWS);
        for (at, ((cell, before), row)) in (COUNTERS_AT..).zip(values) {
            let own = match row.kind {
                Kind::Level if !keeps_levels => 0,
                _ => cell.get(),
            };
            writer.put(at, own.wrapping_add(*before));
        }
        for (at, cell) in (QUEUE_AT..).zip(&self.histograms) {
            writer.put(at, cell.get());
        }
        self.http.publish(&writer);
        self.operations.publish(&writer);
    }
}
