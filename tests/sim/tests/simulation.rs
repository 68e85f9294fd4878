//! The short form of the simulation: seeds that failed once, fresh seeds, and the mutations.

use corelane_sim::options::{MUTATIONS, Options};
use corelane_sim::seeds::{check, regressions, replay_command, shrink};
use corelane_sim::world::{Report, run};

/// The mutation of a rule that holds where nothing is forwarded, and a seed that finds it.
const FOUND_MOVING: (&str, u64) = ("serve_unheard", 1_883_354_716_704_886);

/// Each other mutation, and a seed that finds it with the usual options.
const FOUND: &[(&str, u64)] = &[
    ("skip_revision", 2101),
    ("reuse_incarnation", 100036),
    ("outlive_successor", 3118),
    ("forget_tombstone", 3006),
    ("no_tombstone", 3006),
    ("reuse_sequence", 3006),
    ("run_on_unknown", 3006),
    ("missing_when_gone", 3006),
    ("no_doubt_after_pause", 3006),
    ("no_doubt_after_isolation", 31346),
    ("drop_on_full_lane", 3006),
    ("ignore_generation", 3006),
    ("accept_twice", 2101),
    ("any_principal", 3006),
    ("revive_ended", 3006),
    ("old_proof", 41016),
    ("no_notice", 100036),
    ("write_after_conflict", 3011),
    ("no_gap_repair", 3006),
    ("promote_early", 11471),
    ("refuse_unknown", 1_883_354_702_020_695),
    ("reuse_event", 3006),
];
/// Fresh seeds of each run of this test.
const FRESH: u64 = 12;

fn expect_clean(report: &Report, options: &Options) {
    let command = replay_command(report.seed, options);
    assert_eq!(report.finding, None, "replay: {command}");
}

#[test]
fn seeds_that_failed_once_pass_and_repeat_themselves() {
    let options = Options::default();
    for seed in regressions() {
        let report = check(seed, &options, true).expect("the run is deterministic");
        expect_clean(&report, &options);
    }
}

#[test]
fn fresh_seeds_pass() {
    let options = Options::default();
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let from = time.map_or(1, |time| time.as_secs() << 20);
    println!("fresh seeds from {from}");
    for seed in from..from + FRESH {
        expect_clean(&run(seed, &options), &options);
    }
}

/// Seeds that failed once where nothing is forwarded.
const MOVING: &[u64] = &[
    1_883_325_845_209_129, // a session that the host had was owned without a look at the store
    1_883_325_898_686_598, // a session that was just taken was deleted, and its owner not notified
    1_883_325_966_844_972, // changes were given to an owner that had died
    1_883_326_096_867_900, // a session was served here before its owner knew that it was taken
    1_883_332_412_442_310, // the same, and the notice was lost on a slow node
    1_883_353_691_193_823, // changes from before a doubt went over later ones of the owner
    1_883_353_785_565_617, // an owner that took a session back said that it had given it up
    1_883_354_204_998_960, // a notice that was repeated undid a later one
    1_883_355_785_200_245, // the check took a change for lost that an earlier, late one may replace
    1_883_353_956_484_591, // the check forgot why a record had expired when the store was emptied
];

#[test]
fn sessions_move_to_their_clients_where_nothing_is_forwarded() {
    let options = Options {
        forwards: false,
        ..Options::default()
    };
    for seed in regressions().chain(MOVING.iter().copied()) {
        expect_clean(&run(seed, &options), &options);
    }
}

#[test]
fn every_mutation_is_found() {
    let mut missing: Vec<&str> = MUTATIONS.to_vec();
    for (mutation, seed) in FOUND {
        let whole = run(*seed, &Options::default());
        expect_clean(&whole, &Options::default());
        let options = Options {
            mutation: Some(mutation),
            ..Options::default()
        };
        let broken = run(*seed, &options);
        assert!(
            broken.finding.is_some(),
            "{mutation} is not found by seed {seed}"
        );
        missing.retain(|other| other != mutation);
    }
    let (mutation, seed) = FOUND_MOVING;
    let options = Options {
        forwards: false,
        mutation: Some(mutation),
        ..Options::default()
    };
    assert!(run(seed, &options).finding.is_some(), "{mutation}");
    missing.retain(|other| *other != mutation);
    assert!(missing.is_empty(), "no seed finds {missing:?}");
}

#[test]
fn a_failing_seed_shrinks_to_few_faults() {
    let (mutation, seed) = FOUND[0];
    let mut options = Options {
        mutation: Some(mutation),
        ..Options::default()
    };
    let count = run(seed, &options).faults.len();
    options.without = shrink(seed, &options);
    let left = count - options.without.len();
    assert!(left <= 10, "{left} of {count} faults are left");
    assert!(run(seed, &options).finding.is_some());
}
