//! Names of files, module docs, and marks of unfinished work.

use super::source::{Finding, Source};

/// Names without information about the contents.
const FORBIDDEN: &[&str] = &[
    "util", "utils", "common", "misc", "helper", "helpers", "manager", "managers", "mod",
];

/// Marks of unfinished work, split so that this file has none.
const MARKS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];

/// No file, directory or inline module has a name without information.
#[must_use]
pub fn names_are_allowed(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for part in source.path.trim_end_matches(".rs").split('/') {
        if is_forbidden(part) {
            findings.push(Finding::of(source, format!("name {part} is forbidden")));
        }
    }
    for (at, line) in source.code.lines().enumerate() {
        let mut words = line.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        let name = words.find(|word| *word == "mod").and_then(|_| words.next());
        if let Some(name) = name.filter(|name| is_forbidden(name)) {
            let fault = format!("name {name} is forbidden");
            findings.push(Finding::at(source, at + 1, fault));
        }
    }
    findings
}

fn is_forbidden(name: &str) -> bool {
    name.split(['_', '-']).any(|word| FORBIDDEN.contains(&word))
}

/// The file starts with module documentation.
#[must_use]
pub fn has_module_docs(source: &Source) -> Vec<Finding> {
    if source.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![Finding::of(source, "file does not start with //!")]
}

/// Nothing is marked as unfinished.
#[must_use]
pub fn nothing_is_left_to_do(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, line) in source.text.lines().enumerate() {
        let mut words = line.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        if let Some(mark) = words.find(|word| MARKS.contains(word)) {
            findings.push(Finding::at(source, at + 1, format!("line has a {mark}")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{
        Finding, MARKS, Source, has_module_docs, names_are_allowed, nothing_is_left_to_do,
    };

    fn check(rule: fn(&Source) -> Vec<Finding>, path: &str, text: &str, faults: usize) {
        let found = rule(&Source::new(path, text));
        assert_eq!(found.len(), faults, "{path}: {text}: {found:?}");
    }

    #[test]
    fn finds_names_that_say_nothing() {
        check(
            names_are_allowed,
            "engine/io/src/ring.rs",
            "mod tests {}",
            0,
        );
        check(
            names_are_allowed,
            "engine/src/utility.rs",
            "let common = 1;",
            0,
        );
        check(names_are_allowed, "engine/src/util.rs", "", 1);
        check(names_are_allowed, "engine/src/common/ring.rs", "", 1);
        check(names_are_allowed, "engine/io/src/mod.rs", "", 1);
        check(names_are_allowed, "engine/src/session_manager.rs", "", 1);
        check(
            names_are_allowed,
            "engine/io/src/lib.rs",
            "x\npub(crate) mod helper;",
            1,
        );
    }

    #[test]
    fn finds_modules_without_docs() {
        check(has_module_docs, "a.rs", "//! What it is for.\n", 0);
        check(has_module_docs, "a.rs", "use std::fmt;\n//! Late.\n", 1);
        check(has_module_docs, "a.rs", "", 1);
    }

    #[test]
    fn finds_marks_of_unfinished_work() {
        check(nothing_is_left_to_do, "a.rs", "// todo lists are fine", 0);
        for mark in MARKS {
            check(
                nothing_is_left_to_do,
                "a.rs",
                &format!("// {mark}: later"),
                1,
            );
            check(nothing_is_left_to_do, "a.rs", &format!("x{mark}"), 0);
        }
    }
}
