//! The thread that writes the audit log.

use std::io;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::files::{OldSegment, Segments};
use super::log::{ShardRecords, Shared, now_us};
use super::port::LENGTH_BYTES;
use crate::guard::audit::{Chain, Event, Record, STOPPED, SigningKey};

/// How long records gather before they are written: a write costs more than a record.
const GATHERING: Duration = Duration::from_millis(5);
/// How long the writer waits after an error before it tries again.
const RETRY: Duration = Duration::from_secs(1);
/// Bytes that are taken from a ring in one step.
const STEP_BYTES: usize = 256 * 1024;

/// When the writer signs and synchronises.
#[derive(Clone, Copy, Debug)]
pub(super) struct Intervals {
    /// From a record to a checkpoint after it.
    pub(super) checkpoint: Duration,
    /// Records between two checkpoints.
    pub(super) checkpoint_records: u64,
    /// From a write to its synchronisation; zero to synchronise each one at once.
    pub(super) sync: Duration,
}

/// Takes records, chains them and writes them.
pub(super) struct Writer {
    shared: Arc<Shared>,
    shards: Vec<ShardRecords>,
    chain: Chain,
    key: Option<SigningKey>,
    segments: Segments,
    /// Old segments that are removed after the next write: the lines to write record it.
    replaced: Vec<OldSegment>,
    intervals: Intervals,
    /// Lines that are not written, and how many.
    pending: Vec<u8>,
    pending_records: u64,
    /// The number of the first of them.
    pending_seq: u64,
    /// Frames of a step; kept for its memory.
    frames: Vec<u8>,
    /// Records since the last checkpoint, and when the next one is due.
    unsigned: u64,
    checkpoint_at: Option<Instant>,
    sync_at: Option<Instant>,
    /// When to try again, after an error.
    retry_at: Option<Instant>,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        (chain, key): (Chain, Option<SigningKey>),
        segments: Segments,
        intervals: Intervals,
    ) -> Writer {
        Writer {
            shared,
            shards: Vec::new(),
            pending_seq: chain.head().seq + 1,
            chain,
            key,
            segments,
            replaced: Vec::new(),
            intervals,
            pending: Vec::new(),
            pending_records: 0,
            frames: Vec::new(),
            unsigned: 0,
            checkpoint_at: None,
            sync_at: None,
            retry_at: None,
        }
    }

    /// Writes the record of the start.
    ///
    /// # Errors
    /// It cannot be written: the server does not start.
    pub(super) fn begin(&mut self, outcome: &'static str) -> io::Result<()> {
        self.append(&Record {
            outcome: Some(outcome),
            ..Record::new(Event::AuditStarted, now_us())
        });
        self.checkpoint(None);
        self.append_pending()?;
        self.segments.sync()
    }

    /// Writes records until it is stopped.
    pub(super) fn run(mut self) {
        while !self.shared.is_stopping.load(Ordering::Acquire) {
            let took = self.take_records();
            self.checkpoint_if_due();
            self.write();
            match took {
                // The next records gather meanwhile: a write costs more than a record.
                true => thread::sleep(GATHERING),
                false => self.wait(),
            }
        }
        self.end();
    }

    /// Takes records while they can be written; returns whether there was one.
    fn take_records(&mut self) -> bool {
        if self.retry_at.is_some() {
            return false;
        }
        self.shards.append(&mut self.shared.shards());
        let before = self.chain.head();
        self.take_of_process();
        let mut shards = std::mem::take(&mut self.shards);
        shards.retain_mut(|shard| self.take_of_shard(shard));
        self.shards.append(&mut shards);
        self.chain.head() != before
    }

    fn take_of_process(&mut self) {
        let lost = self.shared.lost_of_process.swap(0, Ordering::Relaxed);
        while let Some(packed) = self.shared.records.pop() {
            let mut record = unpack(&packed);
            record.time_us = now_us();
            self.append(&record);
        }
        if lost > 0 {
            let now_us = now_us();
            self.append(&Record::gap(now_us, now_us, lost));
        }
    }

    /// Takes a step's records of a shard; returns whether more may come.
    fn take_of_shard(&mut self, shard: &mut ShardRecords) -> bool {
        // Before the look at the ring: no record comes after that.
        let is_over = shard.ring.is_abandoned();
        let ready = shard.ring.slots();
        let mut frames = std::mem::take(&mut self.frames);
        frames.clear();
        if let Ok(chunk) = shard.ring.read_chunk(ready.min(STEP_BYTES)) {
            let (one, two) = chunk.as_slices();
            frames.extend_from_slice(one);
            frames.extend_from_slice(two);
            chunk.commit(self.append_frames(&frames));
        }
        self.frames = frames;
        if is_over && ready <= STEP_BYTES {
            let last =
                std::mem::take(&mut *shard.last.lock().unwrap_or_else(PoisonError::into_inner));
            self.append_frames(&last);
        }
        !is_over || ready > STEP_BYTES
    }

    /// Appends the records of whole frames; returns the bytes of these.
    fn append_frames(&mut self, frames: &[u8]) -> usize {
        let mut at = 0;
        while let Some((length, rest)) = frames[at..].split_first_chunk::<LENGTH_BYTES>() {
            let bytes = usize::from(u16::from_le_bytes(*length));
            let Some(packed) = rest.get(..bytes) else {
                break;
            };
            self.append(&unpack(packed));
            at += LENGTH_BYTES + bytes;
        }
        at
    }

    fn append(&mut self, record: &Record<'_>) {
        let time_us = match record.shard {
            None => record.time_us,
            Some(_) => now_us(),
        };
        self.record_replaced(time_us);
        self.append_line(record);
        if self.checkpoint_at.is_none() {
            self.checkpoint_at = Some(Instant::now() + self.intervals.checkpoint);
        }
        if self.unsigned >= self.intervals.checkpoint_records {
            self.checkpoint(None);
        }
    }

    fn append_line(&mut self, record: &Record<'_>) {
        self.chain.append(record, &mut self.pending);
        self.pending_records += 1;
        self.unsigned += 1;
    }

    /// Begins the first lines of a new segment with records of the old ones that are removed for
    /// it, once these lines are written: none is ever removed without its record.
    fn record_replaced(&mut self, time_us: u64) {
        if !self.pending.is_empty() {
            return;
        }
        for segment in self.segments.old(self.pending_seq) {
            self.append_line(&Record {
                name: Some(&segment.name),
                count: Some(segment.records),
                ..Record::new(Event::AuditRemoved, time_us)
            });
            self.replaced.push(segment);
        }
    }

    fn checkpoint_if_due(&mut self) {
        let is_due = self.checkpoint_at.is_some_and(|at| at <= Instant::now());
        if is_due && self.retry_at.is_none() {
            self.checkpoint(None);
        }
    }

    fn checkpoint(&mut self, outcome: Option<&'static str>) {
        let now_us = now_us();
        if self.key.is_some() {
            self.record_replaced(now_us);
        }
        if let Some(key) = &self.key {
            let record = Record {
                outcome,
                ..Record::new(Event::Checkpoint, now_us)
            };
            self.chain.checkpoint(&record, key, &mut self.pending);
            self.pending_records += 1;
        }
        self.unsigned = 0;
        self.checkpoint_at = None;
    }

    /// Writes and synchronises as far as that is due; after an error, not before the time to try
    /// again.
    fn write(&mut self) {
        let now = Instant::now();
        if self.retry_at.is_some_and(|at| now < at) {
            return;
        }
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let mut result = match self.pending.is_empty() {
            true => Ok(()),
            false => self.append_pending(),
        };
        if result.is_ok() && (is_due(self.sync_at) || self.retry_at.is_some()) {
            result = self.segments.sync();
            self.sync_at = None;
        }
        match result {
            Err(error) => self.fail(&error),
            Ok(()) if self.retry_at.take().is_some() => {
                self.shared.is_well.store(true, Ordering::Relaxed);
                tracing::info!("the audit log is written again");
            }
            Ok(()) => {}
        }
    }

    /// Writes the pending lines. They stay pending after an error.
    fn append_pending(&mut self) -> io::Result<()> {
        let bytes = self.pending.len() as u64;
        self.shared.pending_bytes.store(bytes, Ordering::Relaxed);
        self.segments.append(self.pending_seq, &self.pending)?;
        for segment in self.replaced.drain(..) {
            self.segments.remove(&segment);
        }
        let records = std::mem::take(&mut self.pending_records);
        self.shared.written.fetch_add(records, Ordering::Relaxed);
        self.shared.pending_bytes.store(0, Ordering::Relaxed);
        self.pending.clear();
        self.pending_seq = self.chain.head().seq + 1;
        let sync_at = Instant::now() + self.intervals.sync;
        self.sync_at = self.sync_at.or(Some(sync_at));
        match self.intervals.sync.is_zero() {
            true => self.segments.sync(),
            false => Ok(()),
        }
    }

    fn fail(&mut self, error: &io::Error) {
        if self.retry_at.is_none() {
            tracing::error!(%error, "the audit log cannot be written: records wait, then are lost");
        }
        self.shared.is_well.store(false, Ordering::Relaxed);
        self.retry_at = Some(Instant::now() + RETRY);
    }

    /// Waits for a record, or until something is due.
    fn wait(&self) {
        self.shared.is_waiting.store(true, Ordering::Relaxed);
        // See `Shared::wake`.
        fence(Ordering::SeqCst);
        let is_stopping = self.shared.is_stopping.load(Ordering::Relaxed);
        let has_records = !self.shared.records.is_empty()
            || !self.shared.shards().is_empty()
            || self
                .shards
                .iter()
                .any(|it| !it.ring.is_empty() || it.ring.is_abandoned());
        let has_work = match self.retry_at {
            Some(_) => false,
            None => has_records || !self.pending.is_empty(),
        };
        if !is_stopping && !has_work {
            let due = match self.retry_at {
                Some(at) => Some(at),
                None => self.checkpoint_at.into_iter().chain(self.sync_at).min(),
            };
            match due {
                Some(due) => thread::park_timeout(due.saturating_duration_since(Instant::now())),
                None => thread::park(),
            }
        }
        self.shared.is_waiting.store(false, Ordering::Relaxed);
    }

    /// Writes the last records, in one attempt.
    fn end(mut self) {
        self.retry_at = None;
        while self.retry_at.is_none() && self.take_records() {
            self.write();
        }
        self.append(&Record::new(Event::AuditStopped, now_us()));
        self.checkpoint(Some(STOPPED));
        let written = self.append_pending().and_then(|()| self.segments.sync());
        if let Err(error) = written {
            let lines = self.pending_records;
            self.shared.lost.fetch_add(lines, Ordering::Relaxed);
            tracing::error!(%error, lines, "the end of the audit log is not written");
        }
    }
}

fn unpack(packed: &[u8]) -> Record<'_> {
    Record::unpack(packed).expect("a packed record is unpacked as it was")
}
