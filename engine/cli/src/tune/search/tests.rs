//! The search on hosts that are functions: their costs, noise and time are known.

use super::{End, Figure, Found, Knob, Measure, RaceResult, search};

/// A host where the values of the first knob have these costs; others cost nothing.
struct Host {
    cost: fn(&[u64]) -> f64,
    guard: fn(&[u64]) -> f64,
    /// Each figure differs by up to this share.
    noise: f64,
    /// The host gets slower with each measurement by this share.
    drift: f64,
    random: u64,
    measured: usize,
    measured_max: usize,
}

impl Default for Host {
    fn default() -> Host {
        Host {
            cost: |_| 4.0,
            guard: |_| 100.0,
            noise: 0.01,
            drift: 0.0,
            random: 1,
            measured: 0,
            measured_max: 10_000,
        }
    }
}

impl Host {
    /// From -1 to 1, as splitmix64 has it.
    fn next(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) as f64 / u64::MAX as f64 * 2.0 - 1.0
    }

    fn search(mut self, start: &[u64]) -> Found {
        search(&KNOBS.map(knob), start, &mut self).expect("the start can be measured")
    }
}

impl Measure for Host {
    fn measure(&mut self, point: &[u64]) -> Result<Figure, String> {
        self.measured += 1;
        if point[1] == 9 {
            return Err("it does not start".to_owned());
        }
        let slower = 1.0 + self.drift * self.measured as f64;
        let (of_cost, of_guard) = (self.next(), self.next());
        Ok(Figure {
            cost: (self.cost)(point) * slower * (1.0 + self.noise * of_cost),
            guard: (self.guard)(point) * slower * (1.0 + self.noise * of_guard),
        })
    }

    fn allows(&self, point: &[u64]) -> bool {
        point[0] != 256
    }

    fn left(&self) -> usize {
        self.measured_max.saturating_sub(self.measured)
    }
}

const KNOBS: [(&str, &[u64], u64); 2] = [
    ("depth", &[1, 4, 16, 64, 256], 16),
    ("other", &[3, 6, 9], 6),
];

fn knob((key, values, default): (&'static str, &[u64], u64)) -> Knob {
    Knob {
        key,
        values: values.to_vec(),
        default,
    }
}

#[test]
fn noise_alone_changes_nothing() {
    for seed in 0..200 {
        let host = Host {
            noise: 0.03,
            drift: 0.001,
            random: seed,
            ..Host::default()
        };
        let found = host.search(&[16, 6]);
        assert_eq!(found.point, [16, 6], "seed {seed}: {found:?}");
        assert_eq!(found.end, End::InsideNoise);
        assert!(found.noise > 0.0 && found.noise < 0.10);
    }
}

#[test]
fn a_clear_winner_is_found_from_anywhere_and_confirmed() {
    for (start, seed) in [(1, 1), (4, 2), (16, 3), (64, 4)] {
        let host = Host {
            cost: |point| 4.0 + (point[0] as f64 - 64.0).abs() / 64.0,
            random: seed,
            ..Host::default()
        };
        let found = host.search(&[start, 6]);
        assert_eq!(found.point, [64, 6], "from {start}: {found:?}");
        assert_eq!(found.confirmed.is_some(), start != 64);
        if let Some((gain, result)) = found.confirmed {
            assert_eq!(result, RaceResult::Won);
            let truth = (4.0 / (4.0 + (64.0 - start as f64) / 64.0)).ln();
            assert!(
                (gain.mean - truth).abs() < gain.half_width + 0.01,
                "{gain} of {truth}"
            );
        }
    }
}

#[test]
fn a_plateau_is_left_alone_and_a_planted_bad_value_returns_to_the_default_first() {
    let host = Host {
        cost: |point| if point[0] < 16 { 8.0 } else { 4.0 },
        ..Host::default()
    };
    let found = host.search(&[1, 6]);
    assert_eq!(found.point, [16, 6], "{found:?}");
    assert_eq!((found.trials[0].from, found.trials[0].to), (1, 16));
    assert_eq!(found.trials[0].result, RaceResult::Won);
}

#[test]
fn a_loser_is_given_up_after_a_few_pairs() {
    let host = Host {
        cost: |point| if point[0] == 16 { 4.0 } else { 5.0 },
        ..Host::default()
    };
    let found = host.search(&[16, 6]);
    assert_eq!(found.point, [16, 6]);
    let of_depth = found.trials.iter().filter(|trial| trial.key == "depth");
    let lost: Vec<_> = of_depth.map(|trial| (trial.to, trial.gain.pairs)).collect();
    assert_eq!(lost, [(64, 2), (4, 2)]);
    assert!(
        found
            .trials
            .iter()
            .all(|trial| trial.result != RaceResult::Won)
    );
}

#[test]
fn a_gain_that_costs_the_guarded_figure_is_refused() {
    let host = Host {
        cost: |point| if point[0] == 64 { 3.0 } else { 4.0 },
        guard: |point| if point[0] == 64 { 150.0 } else { 100.0 },
        ..Host::default()
    };
    let found = host.search(&[16, 6]);
    assert_eq!(found.point, [16, 6]);
    assert!(
        matches!(found.trials[0].result, RaceResult::GuardRose(_)),
        "{found:?}"
    );
}

#[test]
fn what_cannot_be_measured_or_is_not_allowed_is_never_taken() {
    let found = Host::default().search(&[64, 6]);
    let tried = |value| found.trials.iter().filter(move |trial| trial.to == value);
    assert_eq!(tried(256).count(), 0);
    let failed: Vec<_> = tried(9).map(|trial| trial.result.clone()).collect();
    assert_eq!(failed, [RaceResult::Failed("it does not start".to_owned())]);
    assert_eq!(found.point, [64, 6]);
    let mut host = Host::default();
    let error = search(&KNOBS.map(knob), &[16, 9], &mut host).expect_err("no start");
    assert_eq!(error, "it does not start");
}

#[test]
fn a_noisy_host_and_a_short_time_are_named() {
    let noisy = Host {
        noise: 0.5,
        ..Host::default()
    };
    let found = noisy.search(&[1, 6]);
    assert_eq!((found.end, found.trials.len()), (End::TooNoisy, 0));
    let short = Host {
        measured_max: 50,
        cost: |point| 4.0 + point[1] as f64,
        ..Host::default()
    };
    let found = short.search(&[16, 6]);
    assert_eq!(found.end, End::OutOfTime { untried: 2 }, "{found:?}");
}

#[test]
fn a_gain_that_was_luck_is_not_confirmed() {
    // The candidate is better in its first ten measurements only.
    struct Lucky(Host, usize);
    impl Measure for Lucky {
        fn measure(&mut self, point: &[u64]) -> Result<Figure, String> {
            let mut figure = self.0.measure(point)?;
            if point[0] == 64 && self.1 > 0 {
                self.1 -= 1;
                figure.cost *= 0.8;
            }
            Ok(figure)
        }
        fn allows(&self, point: &[u64]) -> bool {
            self.0.allows(point)
        }
        fn left(&self) -> usize {
            self.0.left()
        }
    }
    let knobs = KNOBS.map(knob);
    let found = search(&knobs, &[16, 6], &mut Lucky(Host::default(), 5)).expect("measured");
    assert_eq!(found.trials[0].result, RaceResult::Won, "{found:?}");
    assert_eq!(found.point, [16, 6]);
    let (_, result) = found.confirmed.expect("it was tried again");
    assert_eq!(result, RaceResult::Level);
}
