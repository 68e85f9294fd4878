//! A distribution in the percentile format of HdrHistogram, for plotters that know it.
//!
//! It lacks the standard deviation and the sizes of buckets that HdrHistogram writes at the end: a
//! report does not carry them, and plotters skip those lines.

use super::model::{CurvePoint, Distribution};
use std::fmt::Write as _;

const NS_PER_MS: f64 = 1e6;

/// The curve as `Value Percentile TotalCount 1/(1-Percentile)`, with values in milliseconds exact
/// to the nanosecond. The line of 100 % has no fourth column.
pub fn hgrm(distribution: &Distribution) -> String {
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    for point in &distribution.curve {
        text += &line(point);
    }
    let ends_at = distribution.curve.last().map(|point| point.percentile);
    if distribution.count > 0 && ends_at.is_none_or(|percentile| percentile < 100.0) {
        text += &line(&CurvePoint {
            percentile: 100.0,
            time_ns: distribution.max_ns,
            count: distribution.count,
        });
    }
    let mean_ms = distribution.mean_ns / NS_PER_MS;
    let max_ms = distribution.max_ns as f64 / NS_PER_MS;
    // Writing to a string does not fail.
    let _ = writeln!(text, "#[Mean    = {mean_ms:>12.6}]");
    let count = distribution.count;
    let _ = writeln!(
        text,
        "#[Max     = {max_ms:>12.6}, Total count    = {count:>12}]"
    );
    text
}

fn line(point: &CurvePoint) -> String {
    let value_ms = point.time_ns as f64 / NS_PER_MS;
    let share = point.percentile / 100.0;
    let count = point.count;
    if share < 1.0 {
        let of_one = 1.0 / (1.0 - share);
        format!("{value_ms:>12.6} {share:>14.12} {count:>10} {of_one:>14.2}\n")
    } else {
        format!("{value_ms:>12.6} {share:>14.12} {count:>10}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CurvePoint, Distribution};
    use super::hgrm;

    fn point(percentile: f64, time_ns: u64, count: u64) -> CurvePoint {
        CurvePoint {
            percentile,
            time_ns,
            count,
        }
    }

    fn check(curve: Vec<CurvePoint>, lines: &[&str]) {
        let distribution = Distribution {
            count: 1_000,
            mean_ns: 150_000.0,
            max_ns: 12_345_678,
            curve,
            ..Distribution::default()
        };
        let text = hgrm(&distribution);
        let found: Vec<&str> = text.lines().collect();
        assert_eq!(
            found[0],
            "       Value     Percentile TotalCount 1/(1-Percentile)"
        );
        assert_eq!(found[1], "");
        assert_eq!(found[2..found.len() - 2], *lines);
        assert!(found[found.len() - 2..].iter().all(|l| l.starts_with("#[")));
        assert!(text.ends_with("]\n"));
    }

    #[test]
    fn each_point_is_a_line_and_the_last_has_three_columns() {
        check(
            vec![
                point(0.0, 59_001, 1),
                point(50.0, 100_000, 500),
                point(99.9, 2_500_000, 999),
                point(100.0, 12_345_678, 1_000),
            ],
            &[
                "    0.059001 0.000000000000          1           1.00",
                "    0.100000 0.500000000000        500           2.00",
                "    2.500000 0.999000000000        999        1000.00",
                "   12.345678 1.000000000000       1000",
            ],
        );
    }

    #[test]
    fn a_curve_that_stops_early_is_ended_with_the_highest() {
        let end = "   12.345678 1.000000000000       1000";
        check(
            vec![point(50.0, 100_000, 500)],
            &["    0.100000 0.500000000000        500           2.00", end],
        );
        check(Vec::new(), &[end]);
    }

    #[test]
    fn nothing_recorded_is_no_line() {
        let text = hgrm(&Distribution::default());
        assert_eq!(text.lines().filter(|line| !line.is_empty()).count(), 3);
    }
}
