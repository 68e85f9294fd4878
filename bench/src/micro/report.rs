//! Figures for people and for programs.
//!
//! All times are nanoseconds per operation of whole batches. It lacks comparison with an earlier
//! run: two runs are compared only if they were taken interleaved on one machine.

use super::bencher::Measurement;
use crate::environment::Environment;
use serde_json::{Value as Json, json};

/// All rounds of one bench.
#[derive(Clone, Debug)]
pub struct Summary {
    name: &'static str,
    /// The samples of all rounds together.
    samples: Measurement,
    /// The median of each round, in nanoseconds per operation, ascending.
    medians_ns: Vec<f64>,
}

impl Summary {
    /// Of the first round.
    pub fn new(name: &'static str, first: Measurement) -> Summary {
        Summary {
            name,
            medians_ns: vec![first.operation_ns(50.0)],
            samples: first,
        }
    }

    /// Name of the bench.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Adds a round.
    pub fn add(&mut self, round: &Measurement) {
        self.medians_ns.push(round.operation_ns(50.0));
        self.medians_ns.sort_by(f64::total_cmp);
        self.samples.merge(round);
    }

    /// The median of the rounds' medians, the upper of two.
    fn median_ns(&self) -> f64 {
        self.medians_ns[self.medians_ns.len() / 2]
    }

    /// The lowest and the highest median of a round.
    fn median_ns_range(&self) -> (f64, f64) {
        (
            self.medians_ns[0],
            self.medians_ns[self.medians_ns.len() - 1],
        )
    }

    fn json(&self) -> Json {
        let (median_ns_min, median_ns_max) = self.median_ns_range();
        json!({
            "name": self.name,
            "rounds": self.medians_ns.len(),
            "operations": self.samples.operations(),
            "operations_per_batch": self.samples.operations_per_batch(),
            "p50_ns": self.median_ns(),
            "p50_ns_min": median_ns_min,
            "p50_ns_max": median_ns_max,
            "p99_ns": self.samples.operation_ns(99.0),
            "p99_9_ns": self.samples.operation_ns(99.9),
            "max_ns": self.samples.operation_ns_max(),
            "operations_per_second": self.samples.operations_per_second(),
            "allocations_per_operation": self.samples.allocations_per_operation(),
            "checksum": hash_text(&self.samples),
        })
    }
}

/// Head of the table with the rows of [`table_row`].
pub const TABLE_HEAD: &str = concat!(
    "| bench | batch | p50 ns | rounds | p99 ns | p99.9 ns | max ns ",
    "| operations/s | allocations | checksum |\n",
    "|---|--:|--:|:-:|--:|--:|--:|--:|--:|---|",
);

/// One bench as a row.
pub fn table_row(summary: &Summary) -> String {
    let samples = &summary.samples;
    let (lowest, highest) = summary.median_ns_range();
    format!(
        "| {} | {} | {:.1} | {lowest:.1}-{highest:.1} | {:.1} | {:.1} | {:.1} \
         | {:.2}M | {:.2} | {} |",
        summary.name,
        samples.operations_per_batch(),
        summary.median_ns(),
        samples.operation_ns(99.0),
        samples.operation_ns(99.9),
        samples.operation_ns_max(),
        samples.operations_per_second() / 1e6,
        samples.allocations_per_operation(),
        hash_text(samples),
    )
}

/// A whole run with its environment.
pub fn json(environment: &Environment, summaries: &[Summary]) -> Json {
    let benches: Vec<Json> = summaries.iter().map(Summary::json).collect();
    json!({ "environment": environment, "benches": benches })
}

fn hash_text(samples: &Measurement) -> String {
    format!("{:016x}", samples.checksum().hash())
}

#[cfg(test)]
mod tests {
    use super::{Summary, TABLE_HEAD, json, table_row};
    use crate::environment::Environment;
    use crate::micro::{Length, Settings, all, run};

    #[test]
    fn a_run_is_reported_with_its_environment() {
        let settings = Settings {
            length: Length::Batches(4),
            operations_max: 8,
            partner_core: None,
            count_allocations: |work| {
                work();
                0
            },
        };
        let bench = all().next().unwrap();
        let measured = run(bench, &settings).unwrap();
        let mut summary = Summary::new(bench.name, measured.clone());
        summary.add(&measured);

        let columns = |line: &str| line.matches('|').count();
        assert_eq!(columns(&table_row(&summary)), columns(TABLE_HEAD) / 2);

        let report = json(&Environment::read(1), &[summary]);
        assert!(report["environment"]["kernel"].is_string());
        let bench = &report["benches"][0];
        assert_eq!(bench["rounds"], 2);
        assert_eq!(bench["operations"], 64);
        assert!(bench["p50_ns"].as_f64() <= bench["max_ns"].as_f64());
    }
}
