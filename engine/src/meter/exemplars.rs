//! Exemplars of histograms: of each bucket, the last request in it whose span was exported.
//!
//! They are made of records, on the thread that shows these, so that a request without a span costs
//! nothing. OpenMetrics 1.0.0, "Exemplars".

use std::collections::BTreeMap;
use std::num::NonZero;
use std::time::Duration;

use super::histogram::{OPERATION, OPERATION_BOUNDS_US};
use super::records::RequestRecord;

/// Most exemplars, of some 100 bytes each. Past them the oldest makes place.
const EXEMPLARS_MAX: usize = 2048;
/// The buckets of a histogram.
const BUCKETS: usize = OPERATION_BOUNDS_US.len() + 1;

/// A request in a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exemplar {
    pub(crate) trace_id: NonZero<u128>,
    pub(crate) duration_us: u64,
    /// Since 1970.
    pub(crate) ended: Duration,
}

/// A histogram that has exemplars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Histogram {
    /// That of operations with these packed labels.
    Operation(u64),
    Queue,
    Handler,
}

/// The exemplars of all histograms.
#[derive(Debug, Default)]
pub(crate) struct Exemplars {
    /// With the number of each, in the order in which they came.
    all: BTreeMap<(Histogram, usize), (u64, Exemplar)>,
    places: BTreeMap<u64, (Histogram, usize)>,
    added: u64,
}

impl Exemplars {
    /// Takes those of a request whose span is exported, and which ended so long after 1970.
    pub(crate) fn add(&mut self, record: &RequestRecord, trace_id: NonZero<u128>, ended: Duration) {
        let operation = Histogram::Operation(record.labels.pack().0);
        let mut durations = vec![(operation, record.duration_us)];
        // It is 0 without a handler, and of one that is faster than a microsecond.
        if record.handler_us > 0 {
            durations.push((Histogram::Queue, record.queue_us));
            durations.push((Histogram::Handler, record.handler_us));
        }
        for (histogram, duration_us) in durations {
            let exemplar = Exemplar {
                trace_id,
                duration_us,
                ended,
            };
            self.put((histogram, OPERATION.of(duration_us)), exemplar);
        }
    }

    fn put(&mut self, place: (Histogram, usize), exemplar: Exemplar) {
        self.added += 1;
        if let Some((before, _)) = self.all.insert(place, (self.added, exemplar)) {
            self.places.remove(&before);
        }
        self.places.insert(self.added, place);
        if self.all.len() > EXEMPLARS_MAX
            && let Some((_, oldest)) = self.places.pop_first()
        {
            self.all.remove(&oldest);
        }
    }

    /// Those of a histogram, by bucket.
    pub(crate) fn of(&self, histogram: Histogram) -> [Option<Exemplar>; BUCKETS] {
        let mut found = [None; BUCKETS];
        for ((_, bucket), (_, exemplar)) in self.all.range((histogram, 0)..=(histogram, BUCKETS)) {
            found[*bucket] = Some(*exemplar);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;
    use std::time::{Duration, Instant};

    use super::{EXEMPLARS_MAX, Exemplars, Histogram};
    use crate::meter::operations::{Failure, Labels};
    use crate::meter::records::{RequestRecord, Wanted};

    fn labels(name: u16) -> Labels {
        Labels {
            method: 3,
            revision: 4,
            name,
            failure: Failure::None,
            code: 0,
        }
    }

    /// Adds a request of a tool, with the number as its trace and in seconds.
    fn add(exemplars: &mut Exemplars, number: u16, times_us: [u64; 3], name: u16) {
        let [duration_us, queue_us, handler_us] = times_us;
        let record = RequestRecord {
            labels: labels(name),
            ended: Instant::now(),
            duration_us,
            queue_us,
            handler_us,
            wanted: Wanted::default(),
        };
        let trace_id = NonZero::new(u128::from(number)).expect("from 1");
        exemplars.add(&record, trace_id, Duration::from_secs(number.into()));
    }

    /// The traces of a histogram, with their buckets.
    fn traces(exemplars: &Exemplars, histogram: Histogram) -> Vec<(usize, u128)> {
        let all = exemplars.of(histogram).into_iter().enumerate();
        all.filter_map(|(at, it)| Some((at, it?.trace_id.get())))
            .collect()
    }

    #[test]
    fn the_last_request_of_each_bucket_stays() {
        let mut exemplars = Exemplars::default();
        for (number, times_us) in [
            (1, [90, 40, 50]),
            (2, [30, 0, 0]),
            (3, [40, 20, 20]),
            (4, [400_000_000, 1, 400_000_000]),
        ] {
            add(&mut exemplars, number, times_us, 7);
        }
        let operation = Histogram::Operation(labels(7).pack().0);
        assert_eq!(traces(&exemplars, operation), [(1, 3), (2, 1), (22, 4)]);
        assert_eq!(traces(&exemplars, Histogram::Queue), [(0, 4), (1, 1)]);
        let handlers = traces(&exemplars, Histogram::Handler);
        assert_eq!(handlers, [(0, 3), (1, 1), (22, 4)], "2 has no handler");
        let other = Histogram::Operation(labels(8).pack().0);
        assert_eq!(traces(&exemplars, other), []);
    }

    #[test]
    fn past_the_limit_the_oldest_makes_place() {
        let mut exemplars = Exemplars::default();
        let most = EXEMPLARS_MAX as u16;
        (1..=most).for_each(|name| add(&mut exemplars, name, [30, 0, 0], name));
        // The first one is renewed, so the second one is the oldest.
        add(&mut exemplars, 1, [30, 0, 0], 1);
        add(&mut exemplars, 9, [30, 0, 0], most + 1);
        assert_eq!(exemplars.all.len(), EXEMPLARS_MAX);
        assert_eq!(exemplars.places.len(), EXEMPLARS_MAX);
        let count = |name| traces(&exemplars, Histogram::Operation(labels(name).pack().0)).len();
        assert_eq!([1, 2, 3, most + 1].map(count), [1, 0, 1, 1]);
    }
}
