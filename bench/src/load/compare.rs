//! Two sides of reports of one command, metric by metric.
//!
//! Each side is several runs, best taken interleaved with those of the other on one machine. The
//! medians of the sides are compared, with the range of their runs beside them. Invariant:
//! a metric that one run of a side lacks is missing on that side: no median hides a run.

mod error;
mod metric;
mod reading;
mod threshold;
mod warning;

pub use error::CompareError;
pub use metric::{METRICS, Metric};
pub use reading::{BASELINE, REPORTS_MAX, RecordedRun, read_record, read_reports};
pub use threshold::{Threshold, ThresholdError};

use super::report::Report;
use super::report::columns::Columns;

/// The comparison of two sides, metric by metric.
#[derive(Clone, Debug)]
pub struct Comparison {
    runs: (usize, usize),
    rows: Vec<Row>,
    warnings: Vec<String>,
    thresholds: Vec<Threshold>,
}

/// One metric that at least one side has.
#[derive(Clone, Debug)]
struct Row {
    metric: &'static Metric,
    a: Option<Spread>,
    b: Option<Spread>,
    /// B divided by A.
    ratio: Option<Spread>,
}

/// A median with its range.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

/// Compares the runs of `a` with those of `b`, and holds the ratios against `thresholds`.
///
/// # Errors
/// If a side has no report, or the reports are of different commands.
pub fn compare(
    a: &[Report],
    b: &[Report],
    thresholds: &[Threshold],
) -> Result<Comparison, CompareError> {
    for (side, reports) in [("A", a), ("B", b)] {
        if reports.is_empty() {
            return Err(CompareError::NoReports { side });
        }
    }
    let command = metric::command(&a[0]);
    if let Some(other) = a.iter().chain(b).find(|r| metric::command(r) != command) {
        return Err(CompareError::Commands {
            one: command,
            other: metric::command(other),
        });
    }
    let row = |metric: &'static Metric| {
        let (a, b) = (values(metric, a), values(metric, b));
        Row {
            metric,
            a: a.as_deref().map(Spread::of),
            b: b.as_deref().map(Spread::of),
            ratio: a.zip(b).and_then(|(a, b)| ratio(&a, &b)),
        }
    };
    let rows = METRICS.iter().map(row);
    Ok(Comparison {
        runs: (a.len(), b.len()),
        rows: rows
            .filter(|row| row.a.is_some() || row.b.is_some())
            .collect(),
        warnings: warning::warnings(a, b),
        thresholds: thresholds.to_vec(),
    })
}

impl Comparison {
    /// For people: warnings, each metric with median (min-max) of both sides, the ratio of the
    /// medians, how far it could lie off, and the thresholds on it.
    pub fn table(&self) -> String {
        let mut text: String = self
            .warnings
            .iter()
            .map(|warning| format!("WARNING: {warning}\n"))
            .collect();
        text += &format!("{} runs of A, {} runs of B\n", self.runs.0, self.runs.1);
        let mut columns = Columns::with_head(&["metric", "A", "B", "B/A", "spread", "threshold"]);
        for row in &self.rows {
            columns.add(self.cells(row));
        }
        text + &columns.text()
    }

    /// Thresholds that are not kept, with the reason; one on a metric that is missing is not kept.
    pub fn broken(&self) -> Vec<String> {
        self.thresholds
            .iter()
            .filter_map(|threshold| self.fault(threshold))
            .collect()
    }

    /// Why the figures may mislead.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn fault(&self, threshold: &Threshold) -> Option<String> {
        let row = self
            .rows
            .iter()
            .find(|row| row.metric.name == threshold.metric.name);
        match row.and_then(|row| row.ratio) {
            None => Some(format!("{threshold}: there is no ratio")),
            Some(ratio) if threshold.is_kept(ratio.median) => None,
            Some(ratio) => Some(format!("{threshold}: the ratio is {:.3}", ratio.median)),
        }
    }

    fn cells(&self, row: &Row) -> Vec<String> {
        let side = |values: Option<Spread>| match values {
            Some(values) => values.text(row.metric),
            None => "missing".to_owned(),
        };
        let (ratio, spread) = match row.ratio {
            Some(ratio) => (
                format!("{:.3}", ratio.median),
                format!("{:.3}-{:.3}", ratio.min, ratio.max),
            ),
            None => ("-".to_owned(), "-".to_owned()),
        };
        let of_row = self
            .thresholds
            .iter()
            .filter(|t| t.metric.name == row.metric.name);
        let results: Vec<String> = of_row
            .map(|threshold| match self.fault(threshold) {
                Some(_) => format!("{threshold} BROKEN"),
                None => format!("{threshold} kept"),
            })
            .collect();
        let name = row.metric.name.to_owned();
        let (a, b) = (side(row.a), side(row.b));
        vec![name, a, b, ratio, spread, results.join(", ")]
    }
}

/// A metric of each run, in their order; nothing if one of the reports lacks it.
fn values(metric: &Metric, reports: &[Report]) -> Option<Vec<f64>> {
    reports
        .iter()
        .map(|report| (metric.value)(report))
        .collect()
}

/// B divided by A: run by run where both sides have as many runs, because runs taken in turn share
/// the disturbances of the machine; else the ratio of the medians, with the range it could have.
/// Nothing if a value is below 0, as a slope of noise may be: such a ratio says nothing.
fn ratio(a: &[f64], b: &[f64]) -> Option<Spread> {
    if a.iter().chain(b).any(|value| *value < 0.0) {
        return None;
    }
    if a.len() == b.len() {
        let ratios: Vec<f64> = a.iter().zip(b).map(|(a, b)| divide(*b, *a)).collect();
        return Some(Spread::of(&ratios));
    }
    let (a, b) = (Spread::of(a), Spread::of(b));
    Some(Spread {
        median: divide(b.median, a.median),
        min: divide(b.min, a.max),
        max: divide(b.max, a.min),
    })
}

/// Nothing and nothing are equal; something is endlessly more than nothing.
fn divide(b: f64, a: f64) -> f64 {
    if b == a { 1.0 } else { b / a }
}

impl Spread {
    /// Of at least one value.
    fn of(values: &[f64]) -> Spread {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        let half = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[half]
        } else {
            f64::midpoint(values[half - 1], values[half])
        };
        Spread {
            median,
            min: values[0],
            max: values[values.len() - 1],
        }
    }

    fn text(self, metric: &Metric) -> String {
        let [median, min, max] = [self.median, self.min, self.max].map(|at| (metric.text)(at));
        if self.min == self.max {
            median
        } else {
            format!("{median} ({min}-{max})")
        }
    }
}

#[cfg(test)]
mod tests;
