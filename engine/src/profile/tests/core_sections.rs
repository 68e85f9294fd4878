//! `[[core]]` sections.

use super::{check, check_start};
use crate::profile::{CoreRole, Profile, cores};

#[test]
fn refuses_core_sections_that_are_wrong() {
    check(
        "[[core]]\nid = 1\n[[core]]\nid = 1",
        "core 1 has two [[core]] sections; merge them into one",
    );
    check(
        "[server]\ncores = \"0\"\n[[core]]\nid = 1",
        "core 1 has a [[core]] section but is not in server.cores or --cores: add it there, or \
         remove the section",
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

#[test]
fn refuses_roles_that_contradict_the_rest_of_the_profile() {
    check_start(
        "[server]\ncores = \"0-1\"\n[[core]]\nid = 1\nrole = \"offload\"",
        "lines 5 and 2: core 1 has role = \"offload\" but is in server.cores or --cores: \
         remove it there",
    );
    check_start(
        "[[core]]\nid = 1\nrole = \"none\"\nring.buffer_count = 64",
        "line 3: core 1 has role = \"none\" and knobs of a shard, which it has not: remove",
    );
    check_start(
        "[[core]]\nid = 1\nrole = \"shards\"",
        "line 3, column 8, `role = \"shards\"`: core[0].role: unknown variant `shards`",
    );
    let apart = "[server]\ncores = \"0\"\n[[core]]\nid = 1\nrole = \"control\"";
    assert_eq!(
        Profile::from_toml(apart).map(|it| it.role_of(1)).ok(),
        Some(CoreRole::Control)
    );
}

#[test]
fn cores_of_other_roles_get_no_shard() {
    let available = cores::available().expect("the mask is readable");
    let ids = available.as_slice();
    let with = |ids: &[usize]| {
        let sections = ids
            .iter()
            .map(|id| format!("[[core]]\nid = {id}\nrole = \"none\"\n"));
        Profile::from_toml(&sections.collect::<String>())
            .expect("valid")
            .choose_cores()
    };
    assert_eq!(with(&[]).as_deref(), Ok(ids));
    let error = with(ids).expect_err("no core is left").to_string();
    assert!(
        error.starts_with("no core is left for a shard: write role"),
        "{error}"
    );
    if let [first, rest @ ..] = ids
        && !rest.is_empty()
    {
        assert_eq!(with(&[*first]).as_deref(), Ok(rest));
    }
}
