//! Estimates of differences from paired measurements.

/// Quantiles of 97.5 % of Student's distribution, for 1 to 15 degrees of freedom.
const QUANTILES: [f64; 15] = [
    12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13,
];

/// A relative difference with its 95 % interval, from logarithms of ratios of pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Estimate {
    /// The mean: -0.03 for 3 % less.
    pub(super) mean: f64,
    /// Half of the width of the interval; infinite for fewer than two pairs.
    pub(super) half_width: f64,
    /// How many pairs.
    pub(super) pairs: usize,
}

impl Estimate {
    pub(super) fn of(ratios: &[f64]) -> Estimate {
        let pairs = ratios.len();
        let count = pairs.max(1) as f64;
        let mean = ratios.iter().sum::<f64>() / count;
        let half_width = match pairs {
            0 | 1 => f64::INFINITY,
            _ => {
                let squares: f64 = ratios.iter().map(|it| (it - mean).powi(2)).sum();
                let deviation = (squares / (count - 1.0)).sqrt();
                QUANTILES[(pairs - 2).min(QUANTILES.len() - 1)] * deviation / count.sqrt()
            }
        };
        Estimate {
            mean,
            half_width,
            pairs,
        }
    }

    /// The end of the interval that is worse.
    pub(super) fn highest(&self) -> f64 {
        self.mean + self.half_width
    }

    /// The end of the interval that is better.
    pub(super) fn lowest(&self) -> f64 {
        self.mean - self.half_width
    }
}

/// As in "-3.1 % (± 0.8 %, 6 pairs)".
impl std::fmt::Display for Estimate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (mean, half) = (self.mean.exp_m1() * 100.0, self.half_width * 100.0);
        write!(
            formatter,
            "{mean:+.1} % (± {half:.1} %, {} pairs)",
            self.pairs
        )
    }
}
