//! `[[core]]` sections.

use super::check;
use crate::profile::Profile;

#[test]
fn refuses_core_sections_that_are_wrong() {
    check(
        "[[core]]\nid = 1\n[[core]]\nid = 1",
        "core 1 has two [[core]] sections; merge them into one",
    );
    check(
        "[server]\ncores = \"0\"\n[[core]]\nid = 1",
        "core 1 has a [[core]] section but is not in server.cores: add it there, or remove \
         the section",
    );
    check(
        "[[core]]\nid = 2000",
        "core.id = 2000 is outside the allowed range 0 to 1023",
    );
    check(
        "[[core]]\nid = 3\nring.buffer_count = 3",
        "core 3 ring.buffer_count = 3 is outside the allowed range 16 to 32768",
    );
    check(
        "[[core]]\nid = 3\nring.completion_entries = 256\nring.submission_entries = 256",
        "core 3 budget.completions_per_turn = 512 must be at most ring.completion_entries = 256: \
         lower the first to 256 or raise the second to 512",
    );
}

#[test]
fn resolves_the_knobs_of_each_core() {
    let profile = Profile::from_toml(
        "[ring]\nbuffer_count = 1024\n[[core]]\nid = 1\n\
         [core.ring]\nbuffer_bytes = 4096\ndescriptors = 100\n[core.budget]\nlane_batch = 8",
    )
    .expect("valid");
    let plain = profile.for_core(0);
    assert_eq!((plain.core_id, plain.ring), (0, profile.ring));
    assert_eq!(
        (plain.executor, plain.budget),
        (profile.executor, profile.budget)
    );
    let tuned = profile.for_core(1);
    assert_eq!(
        (tuned.ring.buffer_count, tuned.ring.buffer_bytes),
        (1024, 4096)
    );
    assert_eq!(tuned.ring.descriptors, Some(100));
    assert_eq!(
        (tuned.budget.lane_batch, tuned.budget.completions_per_turn),
        (8, 512)
    );
    assert_eq!(tuned.executor, profile.executor);
}
