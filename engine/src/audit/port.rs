//! The end of the audit log at a shard: records go into a ring, without waiting.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use rtrb::{Producer, RingBuffer};

use super::log::{AuditLog, ShardRecords, now_us};
use crate::guard::audit::{
    AuditSettings, Event, OnFailure, PACKED_BYTES_MAX, Record, RecordedArguments, RecordedCalls,
};

/// The bytes of the length before a packed record.
pub(super) const LENGTH_BYTES: usize = 2;
/// While calls are refused because of a full ring, one part in so many of it must get free.
const FREE_PART: usize = 4;

/// Where a shard leaves its records; off if the server has no audit log. The parts of a shard that
/// record events have clones of one port.
#[derive(Clone, Debug, Default)]
pub struct AuditPort(Option<Open>);

#[derive(Clone, Debug)]
struct Open {
    settings: Arc<AuditSettings>,
    log: AuditLog,
    active: Rc<RefCell<Active>>,
}

struct Active {
    shard: u16,
    ring: Producer<u8>,
    log: AuditLog,
    on_failure: OnFailure,
    /// Calls that found the ring full and must not be lost: new ones are refused meanwhile, so
    /// there are at most as many as calls in flight.
    backlog: VecDeque<Box<[u8]>>,
    /// Takes the rest when the shard ends.
    last: Arc<Mutex<Vec<u8>>>,
    lost: Lost,
    frame: [u8; LENGTH_BYTES + PACKED_BYTES_MAX],
}

/// Records that were lost since the last one that was not.
#[derive(Debug, Default)]
struct Lost {
    count: u64,
    from_us: u64,
    to_us: u64,
}

impl AuditLog {
    /// The end of a new ring for a shard. A shard that starts again has another one.
    pub fn port(&self, shard: u16) -> AuditPort {
        AuditPort::new(shard, self)
    }
}

impl AuditPort {
    /// The port of a server without an audit log.
    pub const OFF: AuditPort = AuditPort(None);

    fn new(shard: u16, log: &AuditLog) -> AuditPort {
        let (ring, records) = RingBuffer::new(log.queue_bytes);
        let last = Arc::default();
        log.shared.shards().push(ShardRecords {
            ring: records,
            last: Arc::clone(&last),
        });
        let active = Active {
            shard,
            ring,
            log: log.clone(),
            on_failure: log.settings.on_failure,
            backlog: VecDeque::new(),
            last,
            lost: Lost::default(),
            frame: [0; LENGTH_BYTES + PACKED_BYTES_MAX],
        };
        AuditPort(Some(Open {
            settings: Arc::clone(&log.settings),
            log: log.clone(),
            active: Rc::new(RefCell::new(active)),
        }))
    }

    /// Whether there is an audit log.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether records cannot be written now, or were not when that was last tried.
    pub fn is_failing(&self) -> bool {
        self.0.as_ref().is_some_and(|open| !open.log.is_well())
    }

    /// Whether the end of a call is recorded; of a tool, if `is_marked` for it.
    pub fn records_call(&self, is_marked: bool) -> bool {
        let Some(open) = &self.0 else {
            return false;
        };
        match open.settings.calls {
            RecordedCalls::All => true,
            RecordedCalls::Marked => is_marked,
            RecordedCalls::Denied => false,
        }
    }

    /// How the arguments of calls are recorded.
    pub fn arguments(&self) -> &RecordedArguments {
        let open = self.0.as_ref();
        open.map_or(&RecordedArguments::Off, |it| &it.settings.arguments)
    }

    /// Whether a call may begin that would be recorded at its end. It may not while records cannot
    /// be written and must not be lost.
    pub fn may_begin_call(&self) -> bool {
        let Some(open) = &self.0 else {
            return true;
        };
        match open.settings.on_failure {
            OnFailure::Drop => true,
            OnFailure::Refuse => {
                let mut active = open.active.borrow_mut();
                let is_free = active.flush()
                    && active.ring.slots() >= active.ring.buffer().capacity() / FREE_PART;
                is_free && active.log.is_well()
            }
        }
    }

    /// Leaves a record, with the time of now and the number of the shard.
    pub fn record(&self, record: Record<'_>) {
        let Some(open) = &self.0 else {
            return;
        };
        let mut active = open.active.borrow_mut();
        let shard = active.shard;
        active.record(&Record {
            shard: Some(shard),
            time_us: now_us(),
            ..record
        });
    }
}

impl Active {
    fn record(&mut self, record: &Record<'_>) {
        let must_stay = record.event == Event::Call && self.on_failure == OnFailure::Refuse;
        let is_left = self.flush() && self.report_lost(record.time_us) && self.push(record);
        if is_left {
            self.log.shared.wake();
        } else if must_stay {
            let bytes = self.pack(record);
            self.backlog.push_back(self.frame[..bytes].into());
        } else {
            self.lose(record.time_us);
        }
    }

    /// Packs a record as a frame, and returns its length.
    fn pack(&mut self, record: &Record<'_>) -> usize {
        let (length, packed) = self.frame.split_at_mut(LENGTH_BYTES);
        let packed = packed.first_chunk_mut().expect("the frame has its size");
        let bytes = record.pack(packed);
        let bytes_on_wire = u16::try_from(bytes).expect("packed records are shorter");
        length.copy_from_slice(&bytes_on_wire.to_le_bytes());
        LENGTH_BYTES + bytes
    }

    fn push(&mut self, record: &Record<'_>) -> bool {
        let bytes = self.pack(record);
        self.ring.push_entire_slice(&self.frame[..bytes]).is_ok()
    }

    /// Moves the backlog into the ring; returns whether all of it fitted.
    fn flush(&mut self) -> bool {
        while let Some(frame) = self.backlog.front() {
            if self.ring.push_entire_slice(frame).is_err() {
                return false;
            }
            self.backlog.pop_front();
        }
        true
    }

    fn lose(&mut self, time_us: u64) {
        if self.lost.count == 0 {
            self.lost.from_us = time_us;
        }
        self.lost.count += 1;
        self.lost.to_us = time_us;
        self.log.shared.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Leaves the record of lost records; returns whether there are none any more.
    fn report_lost(&mut self, time_us: u64) -> bool {
        if self.lost.count == 0 {
            return true;
        }
        let gap = self.gap(time_us);
        let is_left = self.push(&gap);
        if is_left {
            self.lost = Lost::default();
        }
        is_left
    }

    /// The record of the lost ones, made at a time: calls of the backlog may be later than them.
    fn gap(&self, time_us: u64) -> Record<'static> {
        let Lost {
            count,
            from_us,
            to_us,
        } = self.lost;
        Record {
            shard: Some(self.shard),
            time_us,
            ..Record::gap(from_us, to_us, count)
        }
    }
}

/// A shard that ends leaves everything to the writer.
impl Drop for Active {
    fn drop(&mut self) {
        let mut last = Vec::new();
        for frame in std::mem::take(&mut self.backlog) {
            last.extend_from_slice(&frame);
        }
        if self.lost.count > 0 {
            let gap = self.gap(now_us());
            let bytes = self.pack(&gap);
            last.extend_from_slice(&self.frame[..bytes]);
        }
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = last;
        self.log.shared.wake();
    }
}

impl fmt::Debug for Active {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Active")
            .field("shard", &self.shard)
            .field("backlog", &self.backlog.len())
            .field("lost", &self.lost)
            .finish_non_exhaustive()
    }
}
