//! The search for better values, one knob after the other, by paired measurements.
//!
//! It starts nothing and reads no clock: measuring is a function that it gets. Invariant: a value
//! is in the result only if it won twice, against the value before it and, with all others, against
//! the start, in measurements of its own.
//!
//! A pair is one measurement of each of two settings, one right after the other; the order turns
//! round from pair to pair. The speed of a machine drifts, and a pair sees little of it.

use super::estimate::Estimate;

/// Pairs after which a candidate may win.
const PAIRS_MIN: usize = 5;
/// Pairs after which a candidate has lost that did not win.
const PAIRS_MAX: usize = 8;
/// Pairs after which a candidate without promise is given up.
const PAIRS_GIVE_UP: usize = 2;
/// Pairs of the start with itself, for the noise, and of the result with the start.
const PAIRS_CHECK: usize = 8;
/// The least gain that counts: 1 %. Less is not worth a setting.
const GAIN_MIN: f64 = 0.01;
/// The noise above which nothing is measured: 10 %.
const NOISE_MAX: f64 = 0.10;
/// How much worse the guarded figure may be: 5 %.
const GUARD_MAX: f64 = 0.05;

/// The values of all knobs, in the order of the knobs.
pub(super) type Point = Vec<u64>;

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figure {
    /// To be as low as possible.
    pub(super) cost: f64,
    /// Not to rise meanwhile.
    pub(super) guard: f64,
}

/// A knob of the search.
#[derive(Clone, Debug)]
pub(super) struct Knob {
    /// Its key in a profile.
    pub(super) key: &'static str,
    /// The values to try, ascending; that of the start and the default are among them.
    pub(super) values: Vec<u64>,
    pub(super) default: u64,
}

/// The host, or a function in its place.
pub(super) trait Measure {
    /// Measures one setting.
    ///
    /// # Errors
    /// Why it cannot be measured, such as a server that does not start.
    fn measure(&mut self, point: &[u64]) -> Result<Figure, String>;
    /// Whether a profile may have these values.
    fn allows(&self, point: &[u64]) -> bool;
    /// How many measurements the time is left for.
    fn left(&self) -> usize;
}

/// Why a candidate was not taken, or that it was.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum RaceResult {
    Won,
    /// Not better by more than the noise.
    Level,
    /// The guarded figure rose.
    GuardRose(Estimate),
    /// It cannot be measured.
    Failed(String),
}

/// One candidate against the value before it.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    pub(super) key: &'static str,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) gain: Estimate,
    pub(super) result: RaceResult,
}

/// Why the search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// No candidate is better by more than the noise.
    InsideNoise,
    /// The time is over; these are the knobs that were not tried to the end.
    OutOfTime { untried: usize },
    /// Pairs of equal settings differ too much.
    TooNoisy,
}

/// The result of a search.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// The start, if nothing better was found.
    pub(super) point: Point,
    pub(super) noise: f64,
    pub(super) trials: Vec<Trial>,
    pub(super) end: End,
    /// The point that was found against the start, if they differ.
    pub(super) confirmed: Option<(Estimate, RaceResult)>,
}

/// Searches from `start`.
///
/// # Errors
/// The start cannot be measured.
pub(super) fn search(
    knobs: &[Knob],
    start: &[u64],
    bench: &mut impl Measure,
) -> Result<Found, String> {
    let (same, _) = pairs(bench, start, start, PAIRS_CHECK)?;
    let noise = same.half_width.max(same.mean.abs());
    let mut found = Found {
        point: start.to_vec(),
        noise,
        trials: Vec::new(),
        end: End::InsideNoise,
        confirmed: None,
    };
    if noise > NOISE_MAX {
        found.end = End::TooNoisy;
        return Ok(found);
    }
    climb(knobs, &mut found, bench);
    if found.point != start {
        let point = std::mem::replace(&mut found.point, start.to_vec());
        let (gain, guard) = pairs(bench, start, &point, PAIRS_CHECK)?;
        let result = check_gain(noise, gain, guard);
        if result == RaceResult::Won {
            found.point = point;
        }
        found.confirmed = Some((gain, result));
    }
    Ok(found)
}

/// Tries the knobs until the neighbours of all were tried, or until the time is over.
fn climb(knobs: &[Knob], found: &mut Found, bench: &mut impl Measure) {
    /// Measurements of the longest race and of the confirmation.
    const RESERVED: usize = 2 * (PAIRS_MAX + PAIRS_CHECK);
    let mut tried: Vec<(usize, u64)> = Vec::new();
    loop {
        let mut has_won = false;
        for (at, knob) in knobs.iter().enumerate() {
            while let Some(to) = next_candidate(knob, found.point[at], |value| {
                let mut point = found.point.clone();
                point[at] = value;
                !tried.contains(&(at, value)) && bench.allows(&point)
            }) {
                if bench.left() < RESERVED {
                    let untried = knobs.len() - at;
                    found.end = End::OutOfTime { untried };
                    return;
                }
                tried.push((at, to));
                let trial = race(knob.key, at, to, found, bench);
                if trial.result == RaceResult::Won {
                    found.point[at] = to;
                    has_won = true;
                }
                found.trials.push(trial);
            }
        }
        if !has_won {
            return;
        }
    }
}

/// The default, or else the value above or below the present one.
fn next_candidate(knob: &Knob, present: u64, is_new: impl Fn(u64) -> bool) -> Option<u64> {
    let above = knob.values.iter().copied().find(|it| *it > present);
    let below = knob.values.iter().copied().rfind(|it| *it < present);
    let candidates = [Some(knob.default), above, below];
    let mut candidates = candidates.into_iter().flatten();
    candidates.find(|it| *it != present && is_new(*it))
}

/// A candidate against the present point, until it has won or lost.
fn race(key: &'static str, at: usize, to: u64, found: &Found, bench: &mut impl Measure) -> Trial {
    let mut candidate = found.point.clone();
    candidate[at] = to;
    let mut rounds = Rounds::default();
    let mut trial = Trial {
        key,
        from: found.point[at],
        to,
        gain: Estimate::of(&[]),
        result: RaceResult::Level,
    };
    while rounds.costs.len() < PAIRS_MAX {
        if let Err(error) = rounds.measure(bench, &found.point, &candidate) {
            trial.result = RaceResult::Failed(error);
            return trial;
        }
        let (gain, guard) = rounds.estimates();
        trial.gain = gain;
        let is_dull = gain.pairs >= PAIRS_GIVE_UP && gain.mean > -GAIN_MIN;
        trial.result = match gain.pairs >= PAIRS_MIN {
            true => check_gain(found.noise, gain, guard),
            false => RaceResult::Level,
        };
        if is_dull || trial.result != RaceResult::Level {
            return trial;
        }
    }
    trial
}

/// Whether a gain is outside the noise, and worth a setting.
fn check_gain(noise: f64, gain: Estimate, guard: Estimate) -> RaceResult {
    let has_gained = gain.highest() < 0.0 && -gain.mean > noise.max(GAIN_MIN);
    let has_risen = guard.mean > GUARD_MAX && guard.lowest() > 0.0;
    match (has_gained, has_risen) {
        (true, true) => RaceResult::GuardRose(guard),
        (true, false) => RaceResult::Won,
        (false, _) => RaceResult::Level,
    }
}

/// The ratios of pairs: costs and guarded figures.
#[derive(Default)]
struct Rounds {
    costs: Vec<f64>,
    guards: Vec<f64>,
}

impl Rounds {
    fn measure(
        &mut self,
        bench: &mut impl Measure,
        before: &[u64],
        after: &[u64],
    ) -> Result<(), String> {
        let (before, after) = match self.costs.len().is_multiple_of(2) {
            true => (bench.measure(before)?, bench.measure(after)?),
            false => {
                let after = bench.measure(after)?;
                (bench.measure(before)?, after)
            }
        };
        self.costs.push((after.cost / before.cost).ln());
        self.guards.push((after.guard / before.guard).ln());
        Ok(())
    }

    fn estimates(&self) -> (Estimate, Estimate) {
        (Estimate::of(&self.costs), Estimate::of(&self.guards))
    }
}

fn pairs(
    bench: &mut impl Measure,
    before: &[u64],
    after: &[u64],
    count: usize,
) -> Result<(Estimate, Estimate), String> {
    let mut rounds = Rounds::default();
    for _ in 0..count {
        rounds.measure(bench, before, after)?;
    }
    Ok(rounds.estimates())
}

#[cfg(test)]
mod tests;
