//! Records of single requests, on their way from a shard to the thread that shows them.
//!
//! A shard leaves a record of a request that was slow, or that the access log shows, in a ring. It
//! waits for no one and wakes no one: a record that finds the ring full is dropped and counted. A
//! record has no byte of a message.

use std::cell::{Cell, RefCell};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rtrb::{Consumer, Producer, RingBuffer};

use super::operations::Labels;

/// Records of a shard that wait: it ends some 10,000 of them each second before one is dropped.
const WAITING_MAX: usize = 1024;

/// The requests of which records are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordSettings {
    /// The access log shows one request in so many; 0 is none.
    pub(crate) access_one_in: u64,
    /// A request that takes so long is slow, in microseconds; without it, none is.
    pub(crate) slow_us: Option<u64>,
}

/// A request that ended.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    not(any(test, feature = "metrics")),
    expect(dead_code, reason = "only the thread that shows records reads them")
)]
pub(crate) struct RequestRecord {
    pub(crate) labels: Labels,
    pub(crate) ended: Instant,
    /// From the turn that it came in until its end.
    pub(crate) duration_us: u64,
    /// From that turn until its handler began; 0 without a handler.
    pub(crate) queue_us: u64,
    pub(crate) handler_us: u64,
    pub(crate) is_slow: bool,
    /// The access log shows it.
    pub(crate) is_shown: bool,
}

/// The ends of the rings of a shard's lives, where records are read.
#[derive(Debug, Default)]
pub(crate) struct RecordInbox(Mutex<Vec<Consumer<RequestRecord>>>);

impl RecordInbox {
    /// A ring for the next life of the shard.
    fn open(&self) -> Producer<RequestRecord> {
        let (producer, consumer) = RingBuffer::new(WAITING_MAX);
        let mut rings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rings.retain(|ring| !ring.is_abandoned() || !ring.is_empty());
        rings.push(consumer);
        producer
    }

    /// Takes the records that wait.
    #[cfg(any(test, feature = "metrics"))]
    pub(crate) fn take(&self, mut receive: impl FnMut(RequestRecord)) {
        let mut rings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for ring in &mut *rings {
            // A shard that leaves more meanwhile is read the next time.
            for _ in 0..WAITING_MAX {
                let Ok(record) = ring.pop() else { break };
                receive(record);
            }
        }
    }
}

/// Leaves the records of one life of a shard.
#[derive(Debug)]
pub(super) struct Recorder {
    settings: RecordSettings,
    ring: RefCell<Producer<RequestRecord>>,
    /// The state of the generator that chooses requests for the access log.
    random: Cell<u64>,
    /// It chooses a request for a value below this, of 32 bits.
    chosen_below: u64,
}

impl Recorder {
    /// A recorder that leaves records in this inbox.
    pub(super) fn of(settings: RecordSettings, inbox: &RecordInbox) -> Recorder {
        Recorder {
            settings,
            ring: RefCell::new(inbox.open()),
            random: Cell::new(0),
            chosen_below: (1_u64 << 32)
                .checked_div(settings.access_one_in)
                .unwrap_or(0),
        }
    }

    /// Whether a request that took so long is slow, and whether the access log shows it.
    #[inline]
    pub(super) fn wants(&self, duration_us: u64) -> (bool, bool) {
        let is_slow = self
            .settings
            .slow_us
            .is_some_and(|slow_us| duration_us >= slow_us);
        (is_slow, self.chosen_below > 0 && self.is_chosen())
    }

    fn is_chosen(&self) -> bool {
        // The generator of Knuth (MMIX): its high bits are the good ones.
        let random = self.random.get();
        let random = random
            .wrapping_mul(0x5851_F42D_4C95_7F2D)
            .wrapping_add(0x1405_7B7E_F767_814F);
        self.random.set(random);
        random >> 32 < self.chosen_below
    }

    /// Leaves a record. Returns whether there was place for it.
    #[cold]
    pub(super) fn leave(&self, record: RequestRecord) -> bool {
        self.ring.borrow_mut().push(record).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{RecordInbox, RecordSettings, Recorder, RequestRecord, WAITING_MAX};
    use crate::meter::timing::Operation;

    fn recorder(access_one_in: u64, slow_us: Option<u64>, inbox: &RecordInbox) -> Recorder {
        let settings = RecordSettings {
            access_one_in,
            slow_us,
        };
        Recorder::of(settings, inbox)
    }

    fn record(duration_us: u64) -> RequestRecord {
        RequestRecord {
            labels: Operation::NONE.labels,
            ended: Instant::now(),
            duration_us,
            queue_us: 0,
            handler_us: 0,
            is_slow: true,
            is_shown: false,
        }
    }

    #[test]
    fn slow_requests_and_one_in_so_many_are_wanted() {
        let inbox = RecordInbox::default();
        let slow = recorder(0, Some(100), &inbox);
        assert_eq!(slow.wants(99), (false, false));
        assert_eq!(slow.wants(100), (true, false));
        assert_eq!(recorder(1, None, &inbox).wants(u64::MAX), (false, true));
        assert_eq!(recorder(0, None, &inbox).wants(u64::MAX), (false, false));
        let some = recorder(100, None, &inbox);
        let shown = (0..100_000).filter(|_| some.wants(0).1).count();
        assert!((900..=1100).contains(&shown), "{shown}");
    }

    #[test]
    fn a_full_ring_drops_and_a_new_life_loses_none() {
        let inbox = RecordInbox::default();
        for _ in 0..2 {
            let life = recorder(0, Some(0), &inbox);
            for at in 0..WAITING_MAX as u64 + 7 {
                assert_eq!(life.leave(record(at)), at < WAITING_MAX as u64);
            }
        }
        let mut found = Vec::new();
        inbox.take(|record| found.push(record.duration_us));
        let ring: Vec<u64> = (0..WAITING_MAX as u64).collect();
        assert_eq!(found, [&ring[..], &ring].concat());
        let _life = recorder(0, Some(0), &inbox);
        assert_eq!(inbox.0.lock().expect("no panic").len(), 1, "read and over");
        inbox.take(|record| panic!("{record:?}"));
    }
}
