//! The result of a run: unexpected failures, and expected failures that passed.

use std::collections::BTreeMap;

use super::expectation::Expectation;
use super::suite::{Run, Scenario, Status};

/// The result of a run. It is a pass if there are no surprises.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckResult {
    /// Scenarios of which every check passed.
    pub scenarios_passed: usize,
    /// Checks that passed, in all scenarios.
    pub checks_passed: usize,
    /// Entries of the list that failed as expected.
    pub expected: Vec<String>,
    /// Sentences about differences from the list.
    pub surprises: Vec<String>,
}

/// Compares a run with the expected failures.
///
/// A warning counts as a failure: the suite warns where the specification says SHOULD. A scenario
/// in which everything was skipped did not pass either: its subject was never checked. An entry of
/// the list that passes is a surprise, so that the list gets shorter as the server gains features;
/// so is an entry that names a scenario which the suite did not run. A listed check that was
/// skipped or left out is not a surprise: the suite leaves out checks that depend on a failed one.
#[must_use]
pub fn check_run(run: &Run, expectation: &Expectation) -> CheckResult {
    let mut result = CheckResult::default();
    for scenario in &run.scenarios {
        let statuses = statuses(scenario);
        let passed = |status: &&Status| **status == Status::Passed;
        result.checks_passed += statuses.values().filter(passed).count();
        let passes = statuses.values().max() == Some(&Status::Passed);
        result.scenarios_passed += usize::from(passes);
        if expectation.scenarios.contains(&scenario.name) {
            result.settle(&scenario.name, passes);
        } else {
            compare_checks(scenario, &statuses, expectation, &mut result);
        }
    }
    let ran = |name: &str| run.scenarios.iter().any(|scenario| scenario.name == name);
    let of_checks = expectation.checks.iter().map(|(scenario, _)| scenario);
    for name in expectation.scenarios.iter().chain(of_checks) {
        if !ran(name) {
            result
                .surprises
                .push(format!("{name} is listed and was not run"));
        }
    }
    result
}

fn compare_checks(
    scenario: &Scenario,
    statuses: &BTreeMap<&str, Status>,
    expectation: &Expectation,
    result: &mut CheckResult,
) {
    if statuses.values().all(|status| *status == Status::Neither) {
        let surprise = format!("{} checked nothing", scenario.name);
        result.surprises.push(surprise);
    }
    for (id, status) in statuses {
        let entry = format!("{}:{id}", scenario.name);
        let listed = expectation
            .checks
            .contains(&(scenario.name.clone(), (*id).to_owned()));
        match status {
            Status::Passed if listed => result.settle(&entry, true),
            Status::Failed if listed => result.settle(&entry, false),
            Status::Failed => {
                let mut of_id = scenario.checks.iter().filter(|check| check.id == **id);
                let failed = of_id.find(|check| check.status == Status::Failed);
                let said = failed.map_or("", |check| check.message.as_str());
                result.surprises.push(format!("{entry} failed: {said}"));
            }
            Status::Passed | Status::Neither => {}
        }
    }
}

impl CheckResult {
    fn settle(&mut self, entry: &str, passed: bool) {
        if passed {
            self.surprises
                .push(format!("{entry} is listed and passes: remove it"));
        } else {
            self.expected.push(entry.to_owned());
        }
    }
}

/// The worst status of each check id: ids repeat where a scenario tries variants.
fn statuses(scenario: &Scenario) -> BTreeMap<&str, Status> {
    let mut statuses = BTreeMap::new();
    for check in &scenario.checks {
        let worst = statuses.entry(check.id.as_str()).or_insert(Status::Neither);
        *worst = check.status.max(*worst);
    }
    statuses
}

#[cfg(test)]
mod tests {
    use super::{Expectation, Run, Scenario, Status, check_run};
    use crate::conformance::Check;

    fn check(list: &str, surprises: &[&str]) {
        let of = |name: &str, checks: &[(&str, Status)]| Scenario {
            name: name.to_owned(),
            checks: checks
                .iter()
                .map(|(id, status)| Check {
                    id: (*id).to_owned(),
                    status: *status,
                    message: String::new(),
                })
                .collect(),
        };
        let run = Run {
            scenarios: vec![
                of("good", &[("a", Status::Passed), ("b", Status::Neither)]),
                of(
                    "bad",
                    &[
                        ("c", Status::Passed),
                        ("c", Status::Failed),
                        ("d", Status::Passed),
                    ],
                ),
            ],
        };
        let list = format!("server:\n{list}");
        let result = check_run(&run, &Expectation::parse(&list).unwrap());
        assert_eq!(result.surprises, surprises, "{list}");
    }

    #[test]
    fn passes_if_exactly_the_listed_ones_fail() {
        check("  - bad\n", &[]);
        check("  - bad:c\n", &[]);
        check("  - bad:c\n  - bad:left-out\n  - good:b\n", &[]);
    }

    #[test]
    fn fails_if_an_unlisted_one_fails() {
        check("", &["bad:c failed: "]);
        check("  - bad:x\n", &["bad:c failed: "]);
    }

    #[test]
    fn fails_if_a_listed_one_passes() {
        check(
            "  - bad\n  - good\n",
            &["good is listed and passes: remove it"],
        );
        check(
            "  - bad:c\n  - bad:d\n",
            &["bad:d is listed and passes: remove it"],
        );
    }

    #[test]
    fn fails_if_a_listed_one_was_not_run() {
        check(
            "  - bad\n  - absent\n",
            &["absent is listed and was not run"],
        );
        check(
            "  - bad\n  - absent:x\n",
            &["absent is listed and was not run"],
        );
    }

    #[test]
    fn fails_if_a_scenario_checked_nothing() {
        let check = |list: &str, statuses: &[Status], surprises: &[&str]| {
            let checks = statuses.iter().map(|status| Check {
                id: "a".to_owned(),
                status: *status,
                message: String::new(),
            });
            let scenario = Scenario {
                name: "empty".to_owned(),
                checks: checks.collect(),
            };
            let scenarios = vec![scenario];
            let result = check_run(&Run { scenarios }, &Expectation::parse(list).unwrap());
            assert_eq!(result.surprises, surprises, "{list} {statuses:?}");
        };
        check("", &[], &["empty checked nothing"]);
        check("", &[Status::Neither], &["empty checked nothing"]);
        check("server:\n- empty", &[Status::Neither], &[]);
    }
}
