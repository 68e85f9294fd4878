//! The catalogue of metrics: each family with its name, type, unit, labels, and source.
//!
//! Everything that is exported stands here, and nothing else is: the exposition walks this table,
//! and `docs/metrics.md` is written from it.

mod family;
mod process;
mod shards;

use std::fmt::Write;

pub(crate) use family::Source;
pub use family::{Family, FamilyType};
#[cfg(any(test, feature = "metrics"))]
pub(crate) use family::{ProcessFact, ShardFact, ShardHistogram};

/// Every family, in the order of the exposition.
pub fn families() -> impl Iterator<Item = &'static Family> {
    shards::FAMILIES.iter().chain(process::FAMILIES)
}

/// The catalogue as a page of Markdown, as `docs/metrics.md` has it.
///
/// ```
/// assert!(corelane::meter::catalogue::markdown().contains("`corelane_connections`"));
/// ```
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(INTRODUCTION);
    for family in families() {
        let suffix = match family.kind {
            FamilyType::Counter => "_total",
            FamilyType::Gauge | FamilyType::Histogram => "",
        };
        let of_shard = match family.source {
            Source::Counters(_) | Source::OfShard(_) | Source::Shard(_) => &["shard"][..],
            Source::Operations
            | Source::Sessions
            | Source::Http
            | Source::Merged(_)
            | Source::Process(_) => &[],
        };
        let labels = of_shard.iter().chain(family.labels);
        let labels: Vec<String> = labels.map(|label| format!("`{label}`")).collect();
        let (name, kind, labels) = (family.name, family.kind.as_str(), labels.join(", "));
        let _ = writeln!(
            text,
            "| `{name}{suffix}` | {kind} | {labels} | {} |",
            family.help
        );
    }
    text
}

const INTRODUCTION: &str = include_str!("catalogue/introduction.md");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{FamilyType, Source, families, markdown};
    use crate::meter::{Counter, Kind, ROWS};

    /// Counted by the supervisor for all shards; each shard has a fact instead.
    const OF_SUPERVISOR: [Counter; 2] = [Counter::ShardsRestarted, Counter::ShardStalls];

    #[test]
    fn each_counter_is_in_one_family_of_its_type() {
        let mut seen = BTreeSet::new();
        for family in families() {
            let Source::Counters(counters) = family.source else {
                continue;
            };
            for (counter, label) in counters {
                assert!(seen.insert(*counter as usize), "{counter:?}");
                let expected = match ROWS[*counter as usize].kind {
                    Kind::Total => FamilyType::Counter,
                    Kind::Level => FamilyType::Gauge,
                };
                assert_eq!(family.kind, expected, "{}", family.name);
                assert_eq!(
                    label.is_empty(),
                    family.labels.is_empty(),
                    "{}",
                    family.name
                );
            }
        }
        let others = ROWS
            .iter()
            .filter(|row| !seen.contains(&(row.counter as usize)));
        let others: Vec<Counter> = others.map(|row| row.counter).collect();
        assert_eq!(others, OF_SUPERVISOR);
    }

    #[test]
    fn names_and_units_are_those_that_the_formats_allow() {
        let mut names = BTreeSet::new();
        for family in families() {
            let name = family.name;
            assert!(names.insert(name), "{name} is there twice");
            let is_legal = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            assert!(name.bytes().all(is_legal), "{name}");
            assert!(
                name.ends_with(family.unit),
                "{name} does not end in its unit"
            );
            assert!(
                !name.ends_with("_total") && !name.ends_with("_count"),
                "{name}"
            );
            assert!(family.help.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn the_document_has_the_catalogue() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        if std::env::var_os("CORELANE_WRITE_REFERENCE").is_some() {
            std::fs::write(path, markdown()).expect("it can be written");
        }
        let text = std::fs::read_to_string(path).expect("the document");
        let remedy = "run corelane metrics --markdown >docs/metrics.md";
        assert!(text == markdown(), "docs/metrics.md is old: {remedy}");
    }
}
