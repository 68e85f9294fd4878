//! Records of single requests, on their way from a shard to the thread that shows them.
//!
//! A shard leaves a record of a request that was slow, that the access log shows, or whose span is
//! exported, in a ring. It waits for no one and wakes no one: a record that finds the ring full is
//! dropped and counted. A record has no byte of a message but the ids of its trace.

use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rtrb::{Consumer, Producer, RingBuffer};

use super::operations::Labels;
use super::traces::{Parents, Random, Trace, TraceSettings, Tracer};

/// Records of a shard that wait, 200 bytes each. They are read ten times a second: a shard can
/// leave 10,000 of them each second.
const WAITING_MAX: usize = 1024;

/// The requests of which records are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordSettings {
    /// The access log shows one request in so many; 0 is none.
    pub(crate) access_one_in: u64,
    /// A request that takes so long is slow, in microseconds; without it, none is.
    pub(crate) slow_us: Option<u64>,
    /// The spans that are exported; without it, none are.
    pub(crate) traces: Option<TraceSettings>,
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
    pub(crate) wanted: Wanted,
}

/// Those that want the record of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The list of slow requests.
    pub(crate) is_slow: bool,
    /// The access log.
    pub(crate) is_shown: bool,
    /// The exporter of spans.
    pub(crate) trace: Option<Trace>,
}

impl Wanted {
    pub(super) fn is_any(&self) -> bool {
        self.is_slow || self.is_shown || self.trace.is_some()
    }
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
    slow_us: Option<u64>,
    /// The access log shows a request for a random number of 32 bits below this.
    shown_below: u64,
    random: Random,
    tracer: Option<Tracer>,
    ring: RefCell<Producer<RequestRecord>>,
}

impl Recorder {
    /// A recorder that leaves records in this inbox.
    pub(super) fn of(settings: RecordSettings, inbox: &RecordInbox) -> Recorder {
        let shown_below = (1_u64 << 32).checked_div(settings.access_one_in);
        Recorder {
            slow_us: settings.slow_us,
            shown_below: shown_below.unwrap_or(0),
            random: Random::new(),
            tracer: settings.traces.map(Tracer::new),
            ring: RefCell::new(inbox.open()),
        }
    }

    /// Whether spans are exported.
    #[inline]
    pub(super) fn is_traced(&self) -> bool {
        self.tracer.is_some()
    }

    /// The trace of a request that begins at this time, if spans are exported.
    pub(super) fn begin_trace(&self, parents: Parents, now_us: u64) -> Option<Trace> {
        let tracer = self.tracer.as_ref()?;
        Some(tracer.begin(parents, &self.random, now_us))
    }

    /// Those that want the record of a request that ends at `now_us` after so long.
    #[inline]
    pub(super) fn wanted(
        &self,
        (trace, is_failed): (Option<Trace>, bool),
        (now_us, duration_us): (u64, u64),
    ) -> Wanted {
        let times = (now_us, duration_us);
        let is_exported = |tracer: &Tracer, trace: &Trace| tracer.exports(trace, is_failed, times);
        let tracer = self.tracer.as_ref();
        Wanted {
            is_slow: self.slow_us.is_some_and(|slow_us| duration_us >= slow_us),
            is_shown: self.shown_below > 0 && self.random.next() >> 32 < self.shown_below,
            trace: tracer.and_then(|it| trace.filter(|trace| is_exported(it, trace))),
        }
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

    use super::{
        Parents, RecordInbox, RecordSettings, Recorder, RequestRecord, TraceSettings, WAITING_MAX,
        Wanted,
    };
    use crate::meter::timing::Operation;

    const NONE: RecordSettings = RecordSettings {
        access_one_in: 0,
        slow_us: None,
        traces: None,
    };

    fn wanted(settings: RecordSettings, duration_us: u64) -> Wanted {
        let recorder = Recorder::of(settings, &RecordInbox::default());
        let trace = recorder.begin_trace(Parents::default(), 0);
        recorder.wanted((trace, false), (0, duration_us))
    }

    fn record(duration_us: u64) -> RequestRecord {
        RequestRecord {
            labels: Operation::NONE.measured.labels,
            ended: Instant::now(),
            duration_us,
            queue_us: 0,
            handler_us: 0,
            wanted: Wanted::default(),
        }
    }

    #[test]
    fn a_record_is_wanted_of_slow_requests_of_one_in_so_many_and_of_traces() {
        let slow = RecordSettings {
            slow_us: Some(100),
            ..NONE
        };
        assert!(!wanted(slow, 99).is_any());
        assert!(wanted(slow, 100).is_slow);
        assert!(!wanted(NONE, u64::MAX).is_any());
        let shown = |access_one_in| RecordSettings {
            access_one_in,
            ..NONE
        };
        assert!(wanted(shown(1), 0).is_shown);
        let some = Recorder::of(shown(100), &RecordInbox::default());
        let count = (0..100_000).filter(|_| some.wanted((None, false), (0, 0)).is_shown);
        let count = count.count();
        // Six standard deviations, which are 31.5.
        assert!((811..=1189).contains(&count), "{count}");
        let traced = RecordSettings {
            traces: Some(TraceSettings {
                one_in: 1,
                parents_per_s: 0,
                kept_per_s: 0,
                slow_us: 0,
            }),
            ..NONE
        };
        assert!(wanted(traced, 0).trace.is_some());
        assert!(size_of::<RequestRecord>() <= 208, "see WAITING_MAX");
    }

    #[test]
    fn a_full_ring_drops_and_a_new_life_loses_none() {
        let inbox = RecordInbox::default();
        for _ in 0..2 {
            let life = Recorder::of(NONE, &inbox);
            for at in 0..WAITING_MAX as u64 + 7 {
                assert_eq!(life.leave(record(at)), at < WAITING_MAX as u64);
            }
        }
        let mut found = Vec::new();
        inbox.take(|record| found.push(record.duration_us));
        let ring: Vec<u64> = (0..WAITING_MAX as u64).collect();
        assert_eq!(found, [&ring[..], &ring].concat());
        let _life = Recorder::of(NONE, &inbox);
        assert_eq!(inbox.0.lock().expect("no panic").len(), 1, "read and over");
        inbox.take(|record| panic!("{record:?}"));
    }
}
