//! Micro-benchmarks: the parts of one request, lanes and look-ups, each alone.
//!
//! A [`Bench`] is data: a name, the size of a batch, a reference for its checksum, and a function
//! that prepares on its own stack and then hands its iteration to a [`Bencher`]. The reference
//! comes from another way of doing the work (serde_json, a formatted string, arithmetic), so a
//! bench that measures the wrong thing fails instead of printing a number.
//!
//! | module | benches |
//! |---|---|
//! | `wire` | decode, framing, admission checks, encode, response head |
//! | `dispatch` | a whole call, from received bytes to bytes to be sent |
//! | `lanes` | lanes on one core and between two |
//! | `lists` | pages of lists, whole and filtered |
//! | `registry` | tools by name and sessions by id, here and through a lane |
//!
//! No number here shows system calls, cold caches or cold branch predictors (each bench
//! repeats one input), the parts competing for one cache, or
//! memory bandwidth shared with other shards. The parts do not add up to a request.

mod bench;
mod bencher;
mod checksum;
mod corpus;
mod dispatch;
mod lanes;
mod lists;
mod registry;
mod report;
mod wire;

pub use bench::{Bench, run};
pub use bencher::{Bencher, Length, Measurement, Settings, WrongChecksum};
pub use checksum::Checksum;
pub use report::{Summary, TABLE_HEAD, json, table_row};

/// Every bench, in the order of the way of a request.
pub fn all() -> impl Iterator<Item = &'static Bench> {
    [
        HARNESS,
        wire::BENCHES,
        dispatch::BENCHES,
        lanes::BENCHES,
        lists::BENCHES,
        registry::BENCHES,
    ]
    .into_iter()
    .flatten()
}

/// The cost of the harness for each operation: one folded word, and its loop.
const HARNESS: &[Bench] = &[Bench {
    name: "harness/fold",
    operations: 16_384,
    cores: 1,
    reference: |operations| Checksum::repeated(1, operations),
    perform: |bencher| bencher.each(|| std::hint::black_box(1)),
}];

#[cfg(test)]
mod tests {
    use super::{Bench, Checksum, Length, Settings, all, run};
    use std::collections::HashSet;

    fn check(bench: &Bench, operations_max: u32) {
        let settings = Settings {
            length: Length::Batches(2),
            operations_max,
            partner_core: None,
            count_allocations: |work| {
                work();
                0
            },
        };
        let checksum = || match run(bench, &settings) {
            Ok(measured) => measured.checksum(),
            Err(wrong) => panic!("{} of {operations_max}: {wrong}", bench.name),
        };
        assert_eq!(checksum(), checksum(), "{}", bench.name);
        let operations = bench.operations.min(operations_max);
        assert_eq!(checksum(), (bench.reference)(operations), "{}", bench.name);
    }

    #[test]
    fn every_bench_answers_as_its_reference_in_tiny_batches() {
        for bench in all() {
            check(bench, 1);
            check(bench, 300);
        }
    }

    #[test]
    fn every_bench_answers_as_its_reference_in_whole_batches() {
        for bench in all() {
            check(bench, u32::MAX);
        }
    }

    #[test]
    fn a_reference_depends_on_the_size_of_the_batch() {
        for bench in all() {
            let (small, large) = ((bench.reference)(3), (bench.reference)(4));
            assert_ne!(small, large, "{}", bench.name);
            assert_ne!(small, Checksum::default(), "{}", bench.name);
        }
    }

    #[test]
    fn names_are_unique() {
        let mut names = HashSet::new();
        assert!(all().all(|bench| names.insert(bench.name)));
    }
}
