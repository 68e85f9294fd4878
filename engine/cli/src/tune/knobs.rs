//! The knobs that `tune` tries, and profiles with their values.

use corelane::Profile;
use corelane::profile::{CoreProfile, ShardProfile};

use super::search::{Knob, Point};

/// A knob of a shard.
struct Tunable {
    key: &'static str,
    values: &'static [u64],
    read: fn(&ShardProfile) -> u64,
    write: fn(&mut CoreProfile, u64),
}

/// The number of shards: the last knob of a point.
pub(super) const SHARDS: &str = "server.shards";

macro_rules! tunables {
    ($($section:ident.$name:ident: $type:ty = [$($value:literal),*];)*) => {
        &[$(Tunable {
            key: concat!(stringify!($section), ".", stringify!($name)),
            values: &[$($value),*],
            read: |shard| u64::from(shard.$section.$name),
            write: |core, value| core.$section.$name = Some(value as $type),
        }),*]
    };
}

/// In the order in which they are tried. Steps of four: a smaller one is inside the noise.
const TUNABLES: &[Tunable] = tunables! {
    budget.completions_per_turn: u32 = [8, 32, 128, 512, 2048];
    budget.request_time_us: u64 = [30, 60, 250, 1000];
    ring.buffer_count: u32 = [64, 256, 1024, 4096, 16_384];
    ring.buffer_bytes: u32 = [512, 1024, 2048, 4096, 8192, 16_384];
    ring.submission_entries: u32 = [128, 512, 2048, 8192];
    ring.completion_entries: u32 = [1024, 4096, 16_384, 65_536];
    executor.spin_us: u64 = [0, 20, 100, 1000];
    executor.idle_wait_us: u64 = [0, 1000, 10_000, 100_000];
};

/// The knobs and their present values on `cores`, which share them.
pub(super) fn knobs(profile: &Profile, cores: &[usize]) -> (Vec<Knob>, Point) {
    let defaults = Profile::default().for_core(0);
    let present = profile.for_core(cores[0]);
    let mut start = Vec::new();
    let mut knobs: Vec<Knob> = Vec::new();
    let mut add = |key, values: &[u64], present, default| {
        let mut values = values.to_vec();
        values.extend([present, default]);
        values.sort_unstable();
        values.dedup();
        knobs.push(Knob {
            key,
            values,
            default,
        });
        start.push(present);
    };
    for it in TUNABLES {
        add(it.key, it.values, (it.read)(&present), (it.read)(&defaults));
    }
    let count = cores.len() as u64;
    let values = [count.div_ceil(2), count, 2 * count];
    let shards = profile.server.shards.map_or(count, |shards| shards as u64);
    add(SHARDS, &values, shards, count);
    (knobs, start)
}

/// The profile with the values of a point that differ from it, in the sections of `cores`.
pub(super) fn with_point(profile: &Profile, cores: &[usize], point: &[u64]) -> Profile {
    let mut profile = profile.clone();
    for &id in cores {
        let present = profile.for_core(id);
        let changes = TUNABLES.iter().zip(point);
        let changes: Vec<_> = changes
            .filter(|(it, value)| (it.read)(&present) != **value)
            .collect();
        if changes.is_empty() {
            continue;
        }
        let at = profile.core.iter().position(|core| core.id == id);
        let at = at.unwrap_or_else(|| {
            profile.core.push(CoreProfile {
                id,
                ..CoreProfile::default()
            });
            profile.core.len() - 1
        });
        for (tunable, value) in changes {
            (tunable.write)(&mut profile.core[at], *value);
        }
    }
    profile
}

#[cfg(test)]
mod tests {
    use super::{Knob, TUNABLES, knobs, with_point};
    use corelane::Profile;

    #[test]
    fn a_point_is_what_the_profile_of_its_cores_has() {
        let text = "[ring]\nbuffer_count = 32\n[[core]]\nid = 1\nbudget.lane_batch = 8";
        let profile = Profile::from_toml(text).expect("valid");
        let (all, mut point) = knobs(&profile, &[1, 2]);
        assert_eq!(point.len(), TUNABLES.len() + 1);
        for (knob, present) in all.iter().zip(&point) {
            assert!(
                knob.values.is_sorted() && knob.values.contains(present),
                "{knob:?}"
            );
            assert!(knob.values.contains(&knob.default));
        }
        let is_count = |knob: &Knob| knob.key == "ring.buffer_count";
        let count = all.iter().position(is_count).expect("it is a knob");
        assert_eq!((point[count], all[count].default), (32, 4096));
        point[count] = 64;
        let tuned = with_point(&profile, &[1, 2], &point);
        assert_eq!(knobs(&tuned, &[1, 2]).1, point);
        assert_eq!(tuned.for_core(1).budget.lane_batch, 8);
        assert_eq!(tuned.for_core(0), profile.for_core(0));
    }

    #[test]
    fn every_value_is_one_that_its_knob_takes() {
        let profile = Profile::default();
        let (all, start) = knobs(&profile, &[0]);
        for (at, knob) in all[..TUNABLES.len()].iter().enumerate() {
            for value in &knob.values {
                let mut point = start.clone();
                point[at] = *value;
                let valid = with_point(&profile, &[0], &point).validate();
                // Two knobs may contradict each other, and a single one may not.
                let text = valid
                    .err()
                    .map(|error| error.to_string())
                    .unwrap_or_default();
                assert!(
                    text.is_empty() || text.contains("must be at most"),
                    "{text}"
                );
            }
        }
    }
}
