//! Where unsafe code may be, and that it says why it is sound.

use super::source::{Finding, Source};

/// Files and directories that may have unsafe code.
const LISTED: &[&str] = &[
    "engine/io/src/",
    // Servers to compare with, which are no part of the engine.
    "bench/peers/",
];
/// How far above an unsafe block its reason may start, in lines.
const REASON_LINES_MAX: usize = 12;

/// Unsafe code is in listed files only, and each piece has its reason above it.
#[must_use]
pub fn unsafe_stays_where_it_is_listed(source: &Source) -> Vec<Finding> {
    let listed = LISTED.iter().any(|entry| {
        source.path == *entry || (entry.ends_with('/') && source.path.starts_with(entry))
    });
    let text: Vec<&str> = source.text.lines().collect();
    let mut findings = Vec::new();
    for (at, line) in source.code.lines().enumerate() {
        let mut words = line.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        if !words.any(|word| word == "unsafe") {
            continue;
        }
        if !listed {
            findings.push(Finding::at(
                source,
                at + 1,
                "unsafe code in a file not listed for it",
            ));
        } else if !has_reason(&text, at) {
            findings.push(Finding::at(
                source,
                at + 1,
                "unsafe code without SAFETY above it",
            ));
        }
    }
    findings
}

/// Whether a reason stands in the comments right above line `at`, counted from 0.
fn has_reason(text: &[&str], at: usize) -> bool {
    let from = at.saturating_sub(REASON_LINES_MAX);
    text[from..=at].iter().any(|line| {
        line.split_once("//")
            .is_some_and(|(_, comment)| comment.contains("SAFETY:") || comment.contains("# Safety"))
    })
}

#[cfg(test)]
mod tests {
    use super::unsafe_stays_where_it_is_listed;
    use crate::tidy::Source;

    fn check(path: &str, text: &str, faults: usize) {
        let found = unsafe_stays_where_it_is_listed(&Source::new(path, text));
        assert_eq!(found.len(), faults, "{path}: {text}: {found:?}");
    }

    #[test]
    fn accepts_reasoned_unsafe_code_where_it_is_listed() {
        let block = "// SAFETY: the buffer outlives the read.\nunsafe { f() }";
        check("engine/io/src/ring/open.rs", block, 0);
        check(
            "engine/io/src/wake.rs",
            "/// # Safety\n/// x\npub unsafe fn f() {}",
            0,
        );
        check(
            "engine/src/mcp.rs",
            "#![forbid(unsafe_code)] // unsafe\n\"unsafe\"",
            0,
        );
    }

    #[test]
    fn finds_unsafe_code_elsewhere() {
        check("engine/src/mcp.rs", "// SAFETY: none.\nunsafe { f() }", 1);
        check(
            "engine/src/transport/x.rs",
            "// SAFETY: none.\nunsafe impl Send for X {}",
            1,
        );
    }

    #[test]
    fn finds_unsafe_code_without_a_reason() {
        check("engine/io/src/ring.rs", "unsafe { f() }", 1);
        let far = format!("// SAFETY: far away.\n{}unsafe {{ f() }}", "\n".repeat(20));
        check("engine/io/src/ring.rs", &far, 1);
    }
}
