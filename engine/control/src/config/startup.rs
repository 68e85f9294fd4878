//! The sections of the configuration that only a start applies.

use toml::{Table, Value};

/// The places of what only a start applies: sections, and a key of one.
const PLACES: [&[&str]; 3] = [&["audit"], &["pins"], &["limits", "quota", "file"]];

/// What a configuration has there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StartupSections([Option<Value>; PLACES.len()]);

impl StartupSections {
    /// Those of a text; of one that is no TOML, none.
    pub(super) fn of(text: &str) -> StartupSections {
        let table: Table = text.parse().unwrap_or_default();
        StartupSections(PLACES.map(|place| at(&table, place).cloned()))
    }

    /// The places that differ from those of the configuration that the server started with, such
    /// as `audit` or `limits.quota.file`.
    pub(crate) fn differing(&self, started: &StartupSections) -> Vec<String> {
        let all = PLACES.iter().zip(self.0.iter().zip(&started.0));
        let differing = all.filter(|(_, (now, before))| now != before);
        differing.map(|(place, _)| place.join(".")).collect()
    }
}

fn at<'t>(table: &'t Table, place: &[&str]) -> Option<&'t Value> {
    let (first, rest) = place.split_first()?;
    let mut value = table.get(*first)?;
    for key in rest {
        value = value.get(*key)?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::StartupSections;

    #[test]
    fn each_change_that_needs_a_start_is_named() {
        let started = StartupSections::of(
            "[audit]\ndirectory = \"a\"\n[limits]\nquota = { calls_per_day = 1, file = \"q\" }",
        );
        for (text, expected) in [
            ("[audit]\ndirectory = \"b\"", "audit limits.quota.file"),
            (
                "[limits]\nquota = { file = \"q\" }\n[pins]\nfile = \"p\"",
                "audit pins",
            ),
            (
                "[audit]\ndirectory = \"a\"\n[limits]\nquota = { calls_per_day = 2, file = \"q\" }",
                "",
            ),
            ("[[upstream]]\nname = \"x\"", "audit limits.quota.file"),
        ] {
            let differing = StartupSections::of(text).differing(&started);
            assert_eq!(differing.join(" "), expected, "{text}");
        }
    }
}
