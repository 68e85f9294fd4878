//! The tables of documents that name tests: each name is that of a test, and each row has one.
//!
//! A test is named by its file and its function, as `` `tests/tests/soak.rs::nothing_grows` ``, and
//! a script by its path. A row without either says that the matter is not ours, and why.

use std::path::Path;

use super::source::{Finding, Source};

/// The start of a reason in a row without a test.
const NOT_OURS: &str = "not ours, because ";
/// The endings of scripts that are run as tests.
const SCRIPTS: &[&str] = &[".sh", ".py", ".mjs"];

/// Each test that a table names exists in `sources`, each script exists below `root`, and each row
/// of a table has a test, a script, or a reason why there is none.
#[must_use]
pub fn named_tests_exist(root: &Path, document: &Source, sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines: Vec<&str> = document.text.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let is_row = line.starts_with('|') && !is_head(&lines, at);
        let mut has_proof = line.contains(NOT_OURS);
        for span in code_spans(line) {
            let proof = match span.split_once(".rs::") {
                Some((file, test)) => is_test(sources, &format!("{file}.rs"), test),
                None if is_script(span) => root.join(span).is_file(),
                None => continue,
            };
            has_proof |= proof;
            if !proof {
                findings.push(Finding::at(document, at + 1, format!("no test: {span}")));
            }
        }
        if is_row && !has_proof {
            findings.push(Finding::at(
                document,
                at + 1,
                "row without a test or reason",
            ));
        }
    }
    findings
}

/// Whether a line of a table is its head or the rule below it.
fn is_head(lines: &[&str], at: usize) -> bool {
    let is_rule = |line: &&str| line.starts_with("|-");
    is_rule(&lines[at]) || lines.get(at + 1).is_some_and(is_rule)
}

fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn is_script(span: &str) -> bool {
    span.contains('/') && SCRIPTS.iter().any(|ending| span.ends_with(ending))
}

/// Whether the file at `path` has a test with this name.
fn is_test(sources: &[Source], path: &str, name: &str) -> bool {
    let source = sources.iter().find(|source| source.path == path);
    let mut follows_attribute = false;
    source.is_some_and(|source| {
        source.code.lines().any(|line| {
            let line = line.trim();
            follows_attribute |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            let Some((_, rest)) = line.split_once("fn ") else {
                return false;
            };
            let found = rest.split(['(', '<']).next() == Some(name);
            std::mem::take(&mut follows_attribute) && found
        })
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Source, named_tests_exist};

    const CODE: &str = "//! A.\n#[test]\nfn works() {\n}\nfn other() {}\n\
        #[tokio::test]\nasync fn waits() {}\n// #[test]\nfn never() {}\n";

    fn check(text: &str, lines: &[usize]) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("a root");
        let sources = [Source::new("a/b.rs", CODE)];
        let found = named_tests_exist(root, &Source::new("docs/x.md", text), &sources);
        let found: Vec<usize> = found.iter().map(|finding| finding.line).collect();
        assert_eq!(found, lines, "{text}");
    }

    #[test]
    fn accepts_rows_with_tests_scripts_and_reasons() {
        check("| a | test |\n|---|---|\n| b | `a/b.rs::works` |\n", &[]);
        check("| a |\n|---|\n| `a/b.rs::waits`, `x::y` |\n", &[]);
        check("| a |\n|---|\n| `perf-scripts/test.sh` |\n", &[]);
        check(
            "| a |\n|---|\n| not ours, because it is of clients |\n",
            &[],
        );
        check("No table names `this` or `that.rs`.\n", &[]);
    }

    #[test]
    fn finds_names_of_no_test_and_rows_without_one() {
        for name in ["never", "other", "work", "absent"] {
            check(&format!("`a/b.rs::{name}`\n"), &[1]);
        }
        check("`a/c.rs::works`\n`perf-scripts/absent.sh`\n", &[1, 2]);
        check("| a |\n|---|\n| `x` |\n|  |\n", &[3, 4]);
        check("| a |\n|---|\n| not ours |\n", &[3]);
    }
}
