//! The end of the audit log that threads share: records of the process, and the state of the
//! writer.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{SystemTime, UNIX_EPOCH};

use crossbeam::queue::ArrayQueue;
use rtrb::Consumer;

use crate::guard::audit::{AuditSettings, PACKED_BYTES_MAX, Record};

/// Records of the process that wait for the writer: reloads and the like, which are rare.
#[cfg(feature = "auth")]
const RECORDS_MAX: usize = 256;

/// The audit log of a running server. Cheap to clone; used from any thread.
#[derive(Clone, Debug)]
pub struct AuditLog {
    pub(super) shared: Arc<Shared>,
    pub(super) settings: Arc<AuditSettings>,
    pub(super) queue_bytes: usize,
}

/// The records of a shard that the writer takes: frames of a length in two bytes and a packed
/// record.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "auth"),
    expect(dead_code, reason = "only the writer reads them")
)]
pub(super) struct ShardRecords {
    /// The frames.
    pub(super) ring: Consumer<u8>,
    /// The frames after those in the ring, once the shard has let go of the ring.
    pub(super) last: Arc<Mutex<Vec<u8>>>,
}

/// The state that the writer shares with the other threads.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "auth"),
    expect(dead_code, reason = "only the writer reads them")
)]
pub(super) struct Shared {
    /// Whether the last attempt to write succeeded.
    pub(super) is_well: AtomicBool,
    /// Whether the writer waits for a record.
    pub(super) is_waiting: AtomicBool,
    /// Whether the writer is to write the records that are there, and end.
    pub(super) is_stopping: AtomicBool,
    /// Records that were written.
    pub(super) written: AtomicU64,
    /// Records that were lost.
    pub(super) lost: AtomicU64,
    /// Records of the process that were lost, and are not in the log as a gap.
    pub(super) lost_of_process: AtomicU64,
    /// Bytes of lines that wait for the disk.
    pub(super) pending_bytes: AtomicU64,
    /// Packed records of the process.
    pub(super) records: ArrayQueue<Box<[u8]>>,
    /// New rings of shards, which the writer takes.
    pub(super) shards: Mutex<Vec<ShardRecords>>,
    /// The thread of the writer.
    pub(super) thread: OnceLock<Thread>,
}

impl Shared {
    #[cfg(feature = "auth")]
    fn new() -> Shared {
        Shared {
            is_well: AtomicBool::new(true),
            is_waiting: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            written: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            lost_of_process: AtomicU64::new(0),
            pending_bytes: AtomicU64::new(0),
            records: ArrayQueue::new(RECORDS_MAX),
            shards: Mutex::new(Vec::new()),
            thread: OnceLock::new(),
        }
    }

    /// Wakes the writer if it waits. The caller has left a record before.
    pub(super) fn wake(&self) {
        // Either the writer sees the record before it waits, or this sees that it waits.
        fence(Ordering::SeqCst);
        if self.is_waiting.load(Ordering::Relaxed)
            && self.is_waiting.swap(false, Ordering::Relaxed)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// The new rings of shards.
    pub(super) fn shards(&self) -> MutexGuard<'_, Vec<ShardRecords>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AuditLog {
    /// A log with a queue of `queue_bytes` for each shard.
    #[cfg(feature = "auth")]
    pub(super) fn new(settings: AuditSettings, queue_bytes: usize) -> AuditLog {
        AuditLog {
            shared: Arc::new(Shared::new()),
            settings: Arc::new(settings),
            queue_bytes,
        }
    }

    /// Leaves a record of the process; the writer sets its time. It never waits: a record past the
    /// bound of the queue is lost, and counted.
    pub fn record(&self, record: &Record<'_>) {
        let mut packed = [0; PACKED_BYTES_MAX];
        let bytes = record.pack(&mut packed);
        if self.shared.records.push(packed[..bytes].into()).is_err() {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
            self.shared.lost_of_process.fetch_add(1, Ordering::Relaxed);
        }
        self.shared.wake();
    }

    /// Whether the last attempt to write succeeded.
    pub fn is_well(&self) -> bool {
        self.shared.is_well.load(Ordering::Relaxed)
    }

    /// How many records were written.
    pub fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Relaxed)
    }

    /// How many records were lost.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// Bytes of lines that wait for the disk.
    pub fn pending_bytes(&self) -> u64 {
        self.shared.pending_bytes.load(Ordering::Relaxed)
    }
}

/// Microseconds since 1970.
pub(crate) fn now_us() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}
