//! Runs the batches of a bench, times them and compares their checksums.
//!
//! A sample is the time of one batch of a fixed number of operations, because a clock reading
//! costs as much as many an operation. So percentiles are of batches: a single slow operation is
//! spread over its batch, and the percentiles of single operations are wider than those shown.
//!
//! On a core that is shared, the scheduler's turns of others (often 4 ms) appear as a maximum of
//! that time divided by the operations of a batch, and operations/s is lower than p50 suggests.
//!
//! Invariants: between two clock readings runs nothing but the batch; nothing is allocated while
//! batches are measured except by the bench itself; a batch with a wrong checksum ends the bench
//! and yields no figures. It lacks any statistics that discard outliers.

use super::checksum::Checksum;
use core_affinity::CoreId;
use hdrhistogram::Histogram;
use std::time::{Duration, Instant};

/// The longest batch that is recorded exactly, in nanoseconds.
const BATCH_NS_MAX: u64 = 10_000_000_000;
/// Resolution of the samples: three digits, an error of a thousandth.
const SIGNIFICANT_DIGITS: u8 = 3;

/// How long a bench performs.
#[derive(Clone, Copy, Debug)]
pub enum Length {
    /// A tenth of this time as warm-up, then this time.
    Time(Duration),
    /// So many batches, for tests.
    Batches(u32),
}

/// Settings of all benches of a run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long each bench performs.
    pub length: Length,
    /// The most operations in a batch of any bench; tests lower it.
    pub operations_max: u32,
    /// Where the second thread of a bench is pinned to; nowhere if absent.
    pub partner_core: Option<CoreId>,
    /// Does the work it is given and returns how many allocations the thread made meanwhile.
    pub count_allocations: fn(&mut dyn FnMut()) -> u64,
}

/// A bench did something else than it claims to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a batch answered {checksum:#018x} where the reference is {reference:#018x}")]
pub struct WrongChecksum {
    /// Checksum of the batch.
    pub checksum: u64,
    /// Expected checksum.
    pub reference: u64,
}

/// The samples of one bench.
#[derive(Clone, Debug)]
pub struct Measurement {
    batch_ns: Histogram<u64>,
    operations_per_batch: u32,
    elapsed_ns: u64,
    allocations: u64,
    checksum: Checksum,
}

impl Measurement {
    /// Time per operation in nanoseconds that `percent` of the batches did not exceed.
    pub fn operation_ns(&self, percent: f64) -> f64 {
        self.batch_ns.value_at_percentile(percent) as f64 / f64::from(self.operations_per_batch)
    }

    /// Time per operation of the slowest batch in nanoseconds.
    pub fn operation_ns_max(&self) -> f64 {
        self.batch_ns.max() as f64 / f64::from(self.operations_per_batch)
    }

    /// Operations per second over all measured batches.
    pub fn operations_per_second(&self) -> f64 {
        self.operations() as f64 / (self.elapsed_ns.max(1) as f64 / 1e9)
    }

    /// Allocations per operation, of the thread that measures.
    pub fn allocations_per_operation(&self) -> f64 {
        self.allocations as f64 / self.operations().max(1) as f64
    }

    /// How many operations were measured.
    pub fn operations(&self) -> u64 {
        self.batch_ns.len() * u64::from(self.operations_per_batch)
    }

    /// How many operations a sample covers.
    pub fn operations_per_batch(&self) -> u32 {
        self.operations_per_batch
    }

    /// The checksum of every batch.
    pub fn checksum(&self) -> Checksum {
        self.checksum
    }

    /// Adds the samples of another round of the same bench.
    ///
    /// # Panics
    /// If it was another bench, or its batches had another size.
    pub fn merge(&mut self, other: &Measurement) {
        assert_eq!(self.operations_per_batch, other.operations_per_batch);
        assert_eq!(self.checksum, other.checksum);
        let added = self.batch_ns.add(&other.batch_ns);
        added.expect("both histograms have the bounds of this module");
        self.elapsed_ns += other.elapsed_ns;
        self.allocations += other.allocations;
    }
}

/// Given to a bench to perform on.
#[derive(Debug)]
pub struct Bencher {
    settings: Settings,
    operations: u32,
    reference: Checksum,
    outcome: Option<Result<Measurement, WrongChecksum>>,
}

impl Bencher {
    pub(super) fn new(settings: &Settings, operations: u32, reference: Checksum) -> Bencher {
        Bencher {
            settings: *settings,
            operations,
            reference,
            outcome: None,
        }
    }

    /// Where a second thread belongs.
    pub fn partner_core(&self) -> Option<CoreId> {
        self.settings.partner_core
    }

    /// Measures an operation that returns a word of its result.
    pub fn each(&mut self, mut operation: impl FnMut() -> u64) {
        self.batches(|operations, checksum| {
            for _ in 0..operations {
                checksum.word(operation());
            }
        });
    }

    /// Measures batches: each makes the given number of operations and folds their results.
    ///
    /// # Panics
    /// If the bench measures a second time.
    pub fn batches(&mut self, mut batch: impl FnMut(u32, &mut Checksum)) {
        assert!(self.outcome.is_none(), "a bench measures once");
        let mut samples = Histogram::new_with_bounds(1, BATCH_NS_MAX, SIGNIFICANT_DIGITS)
            .expect("the bounds are constants within the histogram's range");
        let warm_up = match self.settings.length {
            Length::Time(time) => Length::Time(time / 10),
            Length::Batches(_) => Length::Batches(1),
        };
        let outcome = self
            .perform(warm_up, &mut samples, &mut batch)
            .and_then(|_| {
                samples.reset();
                let mut elapsed_ns = Ok(0);
                let allocations = (self.settings.count_allocations)(&mut || {
                    elapsed_ns = self.perform(self.settings.length, &mut samples, &mut batch);
                });
                Ok((elapsed_ns?, allocations))
            });
        self.outcome = Some(outcome.map(|(elapsed_ns, allocations)| Measurement {
            batch_ns: samples,
            operations_per_batch: self.operations,
            elapsed_ns,
            allocations,
            checksum: self.reference,
        }));
    }

    /// Runs batches and returns their time in nanoseconds, without the time between them.
    fn perform(
        &self,
        length: Length,
        samples: &mut Histogram<u64>,
        batch: &mut impl FnMut(u32, &mut Checksum),
    ) -> Result<u64, WrongChecksum> {
        let mut elapsed_ns = 0;
        loop {
            let mut checksum = Checksum::default();
            let begin = Instant::now();
            batch(self.operations, &mut checksum);
            let batch_ns = begin.elapsed().as_nanos() as u64;
            if checksum != self.reference {
                return Err(WrongChecksum {
                    checksum: checksum.hash(),
                    reference: self.reference.hash(),
                });
            }
            elapsed_ns += batch_ns;
            samples.saturating_record(batch_ns);
            let is_over = match length {
                Length::Time(time) => u128::from(elapsed_ns) >= time.as_nanos(),
                Length::Batches(batches) => samples.len() >= u64::from(batches),
            };
            if is_over {
                return Ok(elapsed_ns);
            }
        }
    }

    pub(super) fn outcome(self) -> Result<Measurement, WrongChecksum> {
        self.outcome.expect("a bench measures once")
    }
}

#[cfg(test)]
mod tests {
    use super::{Bencher, Checksum, Length, Measurement, Settings, WrongChecksum};

    fn performed(words: u64) -> Result<Measurement, WrongChecksum> {
        let settings = Settings {
            length: Length::Batches(3),
            operations_max: 10,
            partner_core: None,
            count_allocations: |work| {
                work();
                15
            },
        };
        let mut bencher = Bencher::new(&settings, 10, Checksum::repeated(1, 10));
        bencher.each(|| words);
        bencher.outcome()
    }

    #[test]
    fn counts_operations_and_allocations_without_the_warm_up() {
        let mut measured = performed(1).unwrap();
        assert_eq!(measured.operations(), 30);
        assert!(measured.operation_ns(50.0) <= measured.operation_ns_max());
        measured.merge(&measured.clone());
        assert_eq!(measured.operations(), 60);
        assert_eq!(measured.allocations_per_operation(), 0.5);
    }

    #[test]
    fn a_wrong_answer_yields_no_figures() {
        let wrong = performed(2).unwrap_err();
        assert_eq!(wrong.reference, Checksum::repeated(1, 10).hash());
        assert_eq!(wrong.checksum, Checksum::repeated(2, 10).hash());
    }
}
