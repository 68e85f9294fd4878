//! Axes of plots: where a value lies, and which values are written beside them.

use plotters::coord::ranged1d::Ranged;
use plotters::coord::types::RangedCoordf64;

/// The most ticks of a linear axis.
const LINEAR_TICKS_MAX: usize = 7;

/// A logarithmic axis longer than this has ticks at powers of ten only.
const DECADES_MAX_WITH_STEPS: f64 = 3.0;

/// Round steps in each power of ten.
const STEPS: [f64; 3] = [1.0, 2.0, 5.0];

/// Percentiles a percentile axis may name; it stops at the highest of the values.
const PERCENTILES: [f64; 8] = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999];

/// How values are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// From 0, evenly.
    Linear,
    /// By their logarithm; values of 0 and below have no place.
    Logarithmic,
    /// Percentiles by the logarithm of 1 / (1 - p); 100 % lies at infinity and has no place.
    Percentile,
}

impl Scale {
    /// Where a value lies, if it has a place.
    pub(crate) fn position(self, value: f64) -> Option<f64> {
        let position = match self {
            Scale::Linear => value,
            Scale::Logarithmic if value <= 0.0 => return None,
            Scale::Logarithmic => value.log10(),
            Scale::Percentile if value >= 100.0 => return None,
            Scale::Percentile => -(1.0 - value / 100.0).log10(),
        };
        position.is_finite().then_some(position)
    }
}

/// A value written beside an axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    /// Where it lies.
    pub(crate) position: f64,
    /// Its label.
    pub(crate) label: String,
}

/// An axis that covers some values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    /// Lowest position.
    pub(crate) from: f64,
    /// Highest position, above the lowest.
    pub(crate) to: f64,
    /// Ascending.
    pub(crate) ticks: Vec<Tick>,
}

impl Axis {
    /// Covers the values that have a place; nothing if none has.
    pub(crate) fn over(
        values: impl Iterator<Item = f64>,
        scale: Scale,
        label: fn(f64) -> String,
    ) -> Option<Axis> {
        let positions = values.filter_map(|value| scale.position(value));
        let (lowest, highest) = positions.fold(
            (f64::INFINITY, f64::NEG_INFINITY),
            |(lowest, highest), position| (lowest.min(position), highest.max(position)),
        );
        if lowest > highest {
            return None;
        }
        let (from, to) = match scale {
            Scale::Linear => (lowest.min(0.0), above(highest * 1.05, lowest.min(0.0))),
            Scale::Logarithmic => (lowest - 0.05, highest + 0.05),
            Scale::Percentile => (0.0, above(highest, 0.0)),
        };
        let values = match scale {
            Scale::Linear => RangedCoordf64::from(from..to).key_points(LINEAR_TICKS_MAX),
            Scale::Logarithmic => logarithmic_values(from, to),
            Scale::Percentile => PERCENTILES.to_vec(),
        };
        let tick = |value: f64| {
            let position = scale.position(value)?;
            (from <= position && position <= to).then(|| Tick {
                position,
                label: label(value),
            })
        };
        let ticks = values.into_iter().filter_map(tick).collect();
        Some(Axis { from, to, ticks })
    }

    /// The label at a position; empty if there is none.
    pub(crate) fn label(&self, position: f64) -> String {
        let tick = self.ticks.iter().find(|tick| tick.position == position);
        tick.map(|tick| tick.label.clone()).unwrap_or_default()
    }
}

/// An axis of no length cannot be drawn.
fn above(to: f64, from: f64) -> f64 {
    if to > from { to } else { from + 1.0 }
}

fn logarithmic_values(from: f64, to: f64) -> Vec<f64> {
    let steps: &[f64] = if to - from > DECADES_MAX_WITH_STEPS {
        &STEPS[..1]
    } else {
        &STEPS
    };
    let decades = from.floor() as i32..=to.ceil() as i32;
    decades
        .flat_map(|decade| steps.iter().map(move |step| step * 10_f64.powi(decade)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Axis, Scale};

    fn check(values: &[f64], scale: Scale, labels: &[&str]) {
        let label = |value: f64| format!("{value}");
        let axis = Axis::over(values.iter().copied(), scale, label).unwrap();
        let found: Vec<&str> = axis.ticks.iter().map(|tick| tick.label.as_str()).collect();
        assert_eq!(found, labels);
        assert!(axis.from < axis.to);
        for value in values {
            if let Some(position) = scale.position(*value) {
                assert!(axis.from <= position && position <= axis.to, "{value}");
            }
        }
    }

    #[test]
    fn ticks_are_round_numbers() {
        let even = ["0", "2000", "4000", "6000", "8000", "10000"];
        check(&[9_000.0, 10_000.0], Scale::Linear, &even);
        check(
            &[0.0],
            Scale::Linear,
            &["0", "0.2", "0.4", "0.6000000000000001", "0.8", "1"],
        );
        check(
            &[-10.0, 10.0],
            Scale::Linear,
            &["-10", "-5", "0", "5", "10"],
        );
        check(
            &[90.0, 600.0, 0.0],
            Scale::Logarithmic,
            &["100", "200", "500"],
        );
        let decades = ["1", "10", "100", "1000", "10000", "100000"];
        check(&[1.0, 1e5], Scale::Logarithmic, &decades);
        let percentiles = ["0", "50", "90", "99", "99.9"];
        check(&[0.0, 99.95, 100.0], Scale::Percentile, &percentiles);
    }

    #[test]
    fn values_without_a_position_make_no_axis() {
        let label = |value: f64| format!("{value}");
        assert!(Axis::over([].into_iter(), Scale::Linear, label).is_none());
        assert!(Axis::over([0.0, -1.0].into_iter(), Scale::Logarithmic, label).is_none());
        assert!(Axis::over([100.0].into_iter(), Scale::Percentile, label).is_none());
        assert!(Axis::over([f64::NAN].into_iter(), Scale::Linear, label).is_none());
    }
}
