//! Bounds on ratios, as a command line gives them.

use super::metric::{METRICS, Metric};
use std::fmt;
use std::str::FromStr;

/// A bound on the ratio B/A of a metric's medians, written `p99<=1.25` or `answers_per_s>=0.95`.
#[derive(Clone, Copy, Debug)]
pub struct Threshold {
    /// The bounded metric.
    pub(super) metric: &'static Metric,
    bound: Bound,
}

#[derive(Clone, Copy, Debug)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

type MakeBound = fn(f64) -> Bound;

/// A text that is no threshold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdError {
    /// Neither `<=` nor `>=`.
    #[error("threshold {text:?} has neither <= nor >=: write it as p99<=1.25")]
    NoBound {
        /// The whole text.
        text: String,
    },
    /// No such metric.
    #[error("metric {name:?} is not known, only {}", metric_names())]
    Metric {
        /// The text in its place.
        name: String,
    },
    /// The ratio is not a finite number of 0 or above.
    #[error("ratio {text:?} is not a finite number of 0 or above")]
    Ratio {
        /// The text in its place.
        text: String,
    },
}

impl Threshold {
    /// Whether a ratio is within the bound.
    pub(super) fn is_kept(&self, ratio: f64) -> bool {
        match self.bound {
            Bound::AtMost(most) => ratio <= most,
            Bound::AtLeast(least) => ratio >= least,
        }
    }
}

impl FromStr for Threshold {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Threshold, ThresholdError> {
        let split = |sign| text.split_once(sign);
        let parts = match (split("<="), split(">=")) {
            (Some((name, ratio)), _) => Some((name, ratio, Bound::AtMost as MakeBound)),
            (None, Some((name, ratio))) => Some((name, ratio, Bound::AtLeast as MakeBound)),
            (None, None) => None,
        };
        let Some((name, ratio, bound)) = parts else {
            let text = text.to_owned();
            return Err(ThresholdError::NoBound { text });
        };
        let metric = METRICS
            .iter()
            .find(|metric| metric.name == name.trim())
            .ok_or_else(|| ThresholdError::Metric {
                name: name.trim().to_owned(),
            })?;
        let number: Option<f64> = ratio.trim().parse().ok();
        let number = number.filter(|number| number.is_finite() && *number >= 0.0);
        let number = number.ok_or_else(|| ThresholdError::Ratio {
            text: ratio.trim().to_owned(),
        })?;
        Ok(Threshold {
            metric,
            bound: bound(number),
        })
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.metric.name;
        match self.bound {
            Bound::AtMost(most) => write!(f, "{name}<={most}"),
            Bound::AtLeast(least) => write!(f, "{name}>={least}"),
        }
    }
}

fn metric_names() -> String {
    METRICS.each_ref().map(|metric| metric.name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::{METRICS, Threshold};

    #[test]
    fn a_threshold_of_each_metric_is_read_and_written() {
        for metric in &METRICS {
            for text in [
                format!("{}<=1.25", metric.name),
                format!("{}>=0", metric.name),
            ] {
                let threshold: Threshold = text.parse().unwrap();
                assert_eq!(threshold.metric.name, metric.name);
                assert_eq!(threshold.to_string(), text);
            }
        }
        let spaced: Threshold = " p99 <= 1.25 ".parse().unwrap();
        assert_eq!(spaced.to_string(), "p99<=1.25");
    }

    #[test]
    fn a_ratio_on_the_bound_keeps_it() {
        let check = |text: &str, ratio: f64, is_kept: bool| {
            let threshold: Threshold = text.parse().unwrap();
            assert_eq!(threshold.is_kept(ratio), is_kept, "{text} {ratio}");
        };
        check("p99<=1.25", 1.25, true);
        check("p99<=1.25", 1.26, false);
        check("answers_per_s>=0.95", 0.95, true);
        check("answers_per_s>=0.95", 0.94, false);
        check("errors<=1", f64::INFINITY, false);
        check("errors<=1", f64::NAN, false);
        check("errors>=1", f64::NAN, false);
    }

    #[test]
    fn an_invalid_threshold_is_refused() {
        let check = |text: &str, expected: &str| {
            let fault = text.parse::<Threshold>().unwrap_err().to_string();
            assert!(fault.starts_with(expected), "{fault}");
        };
        check("", "threshold \"\" has neither <= nor >=");
        check("p99<1", "threshold \"p99<1\" has neither");
        check(
            "p98<=1",
            "metric \"p98\" is not known, only answers_per_s, p50, ",
        );
        check("<=1", "metric \"\" is not known");
        check("p99<=", "ratio \"\" is not a finite number of 0 or above");
        check("p99<=-1", "ratio \"-1\"");
        check("p99<=inf", "ratio \"inf\"");
        check("p99<=NaN", "ratio \"NaN\"");
        check("p99<=1<=2", "ratio \"1<=2\"");
    }
}
