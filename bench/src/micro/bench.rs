//! One micro-benchmark, and how it is run.

use super::answer::Answer;
use super::stage::{Conditions, Measurement, Stage, WrongAnswer};

/// One micro-benchmark.
#[derive(Clone, Copy, Debug)]
pub struct Bench {
    /// `part/case`, unique.
    pub name: &'static str,
    /// Operations in a batch: so many that reading the clock is lost in them, some 20 to 100 us.
    pub operations: u32,
    /// Cores it takes to mean anything, 1 or 2.
    pub cores: usize,
    /// What a batch of so many operations answers.
    pub reference: fn(u32) -> Answer,
    /// Prepares, then measures on the stage once.
    pub perform: fn(&mut Stage),
}

/// Runs one bench.
///
/// # Errors
/// [`WrongAnswer`] if a batch did not find what its reference says.
pub fn run(bench: &Bench, conditions: &Conditions) -> Result<Measurement, WrongAnswer> {
    let operations = bench.operations.min(conditions.operations_max);
    let mut stage = Stage::new(conditions, operations, (bench.reference)(operations));
    (bench.perform)(&mut stage);
    stage.outcome()
}
