//! Two sides of reports of one command, metric by metric.
//!
//! Each side is several runs, best taken interleaved with those of the other on one machine. What
//! is compared is the median of each side; how far the runs lie apart stands beside it. Invariant:
//! a metric that one run of a side lacks is missing on that side: no median hides a run.

mod error;
mod metric;
mod reading;
mod threshold;
mod warning;

pub use error::CompareError;
pub use metric::Metric;
pub use reading::{REPORTS_MAX, read_reports};
pub use threshold::{Threshold, ThresholdError};

use super::report::Report;
use super::report::columns::Columns;

/// What two sides have in common and where they differ.
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
    metric: Metric,
    a: Option<Values>,
    b: Option<Values>,
}

/// A metric's values of all runs of a side.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Values {
    median: f64,
    min: f64,
    max: f64,
}

/// B divided by A.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ratio {
    /// Of the medians.
    median: f64,
    /// The lowest B by the highest A.
    min: f64,
    /// The highest B by the lowest A.
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
    let row = |metric: Metric| Row {
        metric,
        a: Values::of(metric, a),
        b: Values::of(metric, b),
    };
    let rows = Metric::ALL.into_iter().map(row);
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
        let row = self.rows.iter().find(|row| row.metric == threshold.metric);
        match row.and_then(Row::ratio) {
            None => Some(format!("{threshold}: there is no ratio")),
            Some(ratio) if threshold.is_kept(ratio.median) => None,
            Some(ratio) => Some(format!("{threshold}: the ratio is {:.3}", ratio.median)),
        }
    }

    fn cells(&self, row: &Row) -> Vec<String> {
        let side = |values: Option<Values>| match values {
            Some(values) => values.text(row.metric),
            None => "missing".to_owned(),
        };
        let (ratio, spread) = match row.ratio() {
            Some(ratio) => (
                format!("{:.3}", ratio.median),
                format!("{:.3}-{:.3}", ratio.min, ratio.max),
            ),
            None => ("-".to_owned(), "-".to_owned()),
        };
        let of_row = self.thresholds.iter().filter(|t| t.metric == row.metric);
        let verdicts: Vec<String> = of_row
            .map(|threshold| match self.fault(threshold) {
                Some(_) => format!("{threshold} BROKEN"),
                None => format!("{threshold} kept"),
            })
            .collect();
        let name = row.metric.name().to_owned();
        let (a, b) = (side(row.a), side(row.b));
        vec![name, a, b, ratio, spread, verdicts.join(", ")]
    }
}

impl Row {
    /// Nothing if a side is missing, or has a value below 0, as a slope of noise may be: dividing
    /// by that says nothing.
    fn ratio(&self) -> Option<Ratio> {
        let (a, b) = (self.a?, self.b?);
        (a.min >= 0.0 && b.min >= 0.0).then(|| Ratio {
            median: divide(b.median, a.median),
            min: divide(b.min, a.max),
            max: divide(b.max, a.min),
        })
    }
}

/// Nothing and nothing are equal; something is endlessly more than nothing.
fn divide(b: f64, a: f64) -> f64 {
    if b == a { 1.0 } else { b / a }
}

impl Values {
    /// Nothing if one of the reports lacks the metric.
    fn of(metric: Metric, reports: &[Report]) -> Option<Values> {
        let mut values: Vec<f64> = reports
            .iter()
            .map(|report| metric.value(report))
            .collect::<Option<_>>()?;
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let half = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[half]
        } else {
            f64::midpoint(values[half - 1], values[half])
        };
        Some(Values { median, min, max })
    }

    fn text(self, metric: Metric) -> String {
        let [median, min, max] = [self.median, self.min, self.max].map(|at| metric.text(at));
        if self.min == self.max {
            median
        } else {
            format!("{median} ({min}-{max})")
        }
    }
}

#[cfg(test)]
mod tests;
