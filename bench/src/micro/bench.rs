//! One micro-benchmark, and how it is run.

use super::bencher::{Bencher, Measurement, Settings, WrongChecksum};
use super::checksum::Checksum;

/// One micro-benchmark.
#[derive(Clone, Copy, Debug)]
pub struct Bench {
    /// `part/case`, unique.
    pub name: &'static str,
    /// Operations in a batch: so many that reading the clock is lost in them, some 20 to 100 us.
    pub operations: u32,
    /// Cores it takes to mean anything, 1 or 2.
    pub cores: usize,
    /// The checksum of a batch of that many operations.
    pub reference: fn(u32) -> Checksum,
    /// Prepares, then measures on the bencher once.
    pub perform: fn(&mut Bencher),
}

/// Runs one bench.
///
/// # Errors
/// [`WrongChecksum`] if a batch had another checksum than the reference.
pub fn run(bench: &Bench, settings: &Settings) -> Result<Measurement, WrongChecksum> {
    let operations = bench.operations.min(settings.operations_max);
    let mut bencher = Bencher::new(settings, operations, (bench.reference)(operations));
    (bench.perform)(&mut bencher);
    bencher.outcome()
}
