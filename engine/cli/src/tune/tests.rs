//! The profile that is written, without a server.

use corelane::Profile;

use super::estimate::Estimate;
use super::plan::{Goal, HostPlan};
use super::report::{settings_text, summary};
use super::search::{End, Found, RaceResult, Trial};
use super::{knobs, profile_text, shard_cores, share};

const WON: Estimate = Estimate {
    mean: -0.2,
    half_width: 0.02,
    pairs: 8,
};

/// The search has changed `budget.completions_per_turn` from 8 to 512.
fn found(profile: &Profile, result: RaceResult) -> Found {
    let (_, mut point) = knobs::knobs(profile, &[0]);
    assert_eq!(point[0], 8);
    point[0] = 512;
    Found {
        point,
        noise: 0.02,
        trials: vec![Trial {
            key: "budget.completions_per_turn",
            from: 8,
            to: 512,
            gain: WON,
            result: RaceResult::Won,
        }],
        end: End::InsideNoise,
        confirmed: Some((WON, result)),
    }
}

#[test]
fn a_profile_is_written_and_read_back_as_it_was() {
    let text = "[server]\nallowed_hosts = [\"a\"]\nbacklog = 9\nshards = 2\n[budget]\n\
                lane_batch = 16\n[[core]]\nid = 1\nrole = \"none\"\n\
                [[core]]\nid = 3\nring.buffer_count = 64\nbudget.lane_batch = 8";
    let profile = Profile::from_toml(text).expect("valid");
    let written = settings_text(&profile, &[]);
    assert_eq!(
        Profile::from_toml(&written).ok(),
        Some(profile),
        "{written}"
    );
}

#[test]
fn the_values_found_are_in_the_section_of_each_core_with_their_provenance() {
    let profile = Profile::from_toml("[budget]\ncompletions_per_turn = 8").expect("valid");
    let plan = HostPlan::new(Goal::Cpu, &[0, 1], &[0, 1]).expect("two cores");
    let lines = ["measured".to_owned()];
    let won = found(&profile, RaceResult::Won);
    let text = profile_text(&profile, &plan, &[0, 1], &won, &lines);
    let tuned = Profile::from_toml(&text).expect("valid");
    for core in [0, 1] {
        assert_eq!(tuned.for_core(core).budget.completions_per_turn, 512);
    }
    assert_eq!(tuned.for_core(2), profile.for_core(2));
    assert!(
        text.starts_with("# measured\n# Cores that had the generator"),
        "{text}"
    );
    let note = "# 8 -> 512: cost -18.1 % (± 2.0 %, 8 pairs)\nbudget.completions_per_turn = 512\n";
    assert_eq!(text.matches(note).count(), 2, "{text}");
    assert!(
        summary(&won).contains(&"all changes together: cost -18.1 % (± 2.0 %, 8 pairs)".into())
    );
}

#[test]
fn a_value_that_is_not_confirmed_is_not_written() {
    let profile = Profile::from_toml("[budget]\ncompletions_per_turn = 8").expect("valid");
    let plan = HostPlan::new(Goal::Cpu, &[0, 1], &[0, 1]).expect("two cores");
    let lost = found(&profile, RaceResult::Level);
    let text = profile_text(&profile, &plan, &[0, 1], &lost, &[]);
    assert_eq!(Profile::from_toml(&text).ok(), Some(profile));
    assert!(
        summary(&lost)
            .iter()
            .any(|line| line.starts_with("not confirmed"))
    );
}

#[test]
fn shards_are_divided_as_the_cores_are() {
    let profile = Profile::from_toml("[[core]]\nid = 1\nrole = \"offload\"").expect("valid");
    assert_eq!(shard_cores(&profile, &[0, 1, 2, 3]), [0, 2, 3]);
    let shares = [(4, 2, 4), (2, 1, 2), (1, 1, 2), (2, 4, 2)];
    let shares = shares.map(|(shards, cores, all)| share(shards, cores, all));
    assert_eq!(shares, [2, 1, 1, 4]);
}
