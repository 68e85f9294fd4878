//! The list of expected failures, in the format of the suite's `--expected-failures`.
//!
//! ```yaml
//! server:
//!   - resources-list            # a whole scenario
//!   - server-stateless:some-id  # one check of a scenario
//! ```
//!
//! It deliberately lacks the rest of YAML: any other form is refused.

use std::collections::BTreeSet;

/// The expected failures; see [`check_run`](super::check_run) for their meaning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    /// Scenarios of which at least one check fails.
    pub scenarios: BTreeSet<String>,
    /// Scenario and id of single checks that fail.
    pub checks: BTreeSet<(String, String)>,
}

/// Why a list cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectationError {
    /// The line, from 1, is neither the heading `server:` nor an entry below it.
    Line(usize),
    /// The line, from 1, repeats an entry, or names a check of a scenario that is listed whole.
    Redundant(usize),
}

impl Expectation {
    /// Reads a list.
    ///
    /// # Errors
    /// If it does not have the form above, or an entry repeats another.
    pub fn parse(text: &str) -> Result<Expectation, ExpectationError> {
        let mut expectation = Expectation::default();
        let mut in_server = false;
        for (at, line) in text.lines().enumerate() {
            let line_number = at + 1;
            let content = line.split('#').next().unwrap_or_default().trim_end();
            if content.is_empty() {
                continue;
            }
            if content == "server:" && !in_server {
                in_server = true;
                continue;
            }
            let entry = content.trim_start().strip_prefix("- ");
            let entry = entry.filter(|entry| in_server && !entry.trim().contains(' '));
            let entry = entry.ok_or(ExpectationError::Line(line_number))?.trim();
            if !expectation.add(entry) {
                return Err(ExpectationError::Redundant(line_number));
            }
        }
        Ok(expectation)
    }

    /// Adds an entry, unless another entry covers it.
    fn add(&mut self, entry: &str) -> bool {
        match entry.split_once(':') {
            Some((scenario, check)) => {
                let entry = (scenario.to_owned(), check.to_owned());
                !self.scenarios.contains(scenario) && self.checks.insert(entry)
            }
            None => {
                let mut listed = self.checks.iter().map(|(scenario, _)| scenario.as_str());
                let apart = listed.all(|scenario| scenario != entry);
                apart && self.scenarios.insert(entry.to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Expectation, ExpectationError};

    #[test]
    fn reads_scenarios_and_checks() {
        let text = "# why\nserver:\n  # resources\n  - resources-list\n  - a:b-c # one\n\n";
        let expectation = Expectation::parse(text).unwrap();
        assert!(expectation.scenarios.contains("resources-list"));
        assert!(
            expectation
                .checks
                .contains(&("a".to_owned(), "b-c".to_owned()))
        );
        assert_eq!(Expectation::parse("server:\n"), Ok(Expectation::default()));
    }

    #[test]
    fn refuses_unknown_forms() {
        let cases = [
            ("- a\n", ExpectationError::Line(1)),
            ("server:\n  - a: b\n", ExpectationError::Line(2)),
            ("server:\nclient:\n", ExpectationError::Line(2)),
            ("server:\n  a\n", ExpectationError::Line(2)),
            ("server:\n  - a\n  - a\n", ExpectationError::Redundant(3)),
            ("server:\n  - a\n  - a:b\n", ExpectationError::Redundant(3)),
            ("server:\n  - a:b\n  - a\n", ExpectationError::Redundant(3)),
        ];
        for (text, error) in cases {
            assert_eq!(Expectation::parse(text), Err(error), "{text}");
        }
    }
}
