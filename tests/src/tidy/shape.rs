//! How long lines, functions and files may be.

use super::source::{Finding, Source};

/// Characters of a line.
const LINE_COLUMNS_MAX: usize = 100;
/// Lines of a file.
const FILE_LINES_MAX: usize = 500;
/// Lines of a function, from its name to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

/// Functions that may be longer: the file, the name, and why.
const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[
    (
        "protocol/src/jsonrpc/decode/tests.rs",
        "refuses_invalid_json",
        "one table of cases",
    ),
    (
        "protocol/src/jsonrpc/deserialize/tests.rs",
        "reads_structs_and_enums_like_serde_json",
        "one table of cases",
    ),
];
/// Files that may be longer: the file, and why.
const LONG_FILES: &[(&str, &str)] = &[];

/// No line has more than 100 columns.
#[must_use]
pub fn lines_are_short(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, line) in source.text.lines().enumerate() {
        let columns = line.chars().count();
        if columns > LINE_COLUMNS_MAX {
            let fault = format!("line of {columns} columns exceeds limit of {LINE_COLUMNS_MAX}");
            findings.push(Finding::at(source, at + 1, fault));
        }
    }
    findings
}

/// No file has more than 500 lines.
#[must_use]
pub fn files_are_short(source: &Source) -> Vec<Finding> {
    let lines = source.text.lines().count();
    let excused = LONG_FILES.iter().any(|(path, _)| *path == source.path);
    if lines <= FILE_LINES_MAX || excused {
        return Vec::new();
    }
    let fault = format!("file of {lines} lines exceeds limit of {FILE_LINES_MAX}");
    vec![Finding::of(source, fault)]
}

/// No function has more than 70 lines.
#[must_use]
pub fn functions_are_short(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, _) in source.code.match_indices("fn ") {
        let before = source.code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let after = &source.code[at + 3..];
        let is_named = after.starts_with(|c: char| c.is_alphabetic() || c == '_');
        let Some(body) = body_bytes(after).filter(|_| is_named) else {
            continue;
        };
        let name = after
            .split(|c: char| !(c.is_alphanumeric() || c == '_'))
            .next();
        let name = name.unwrap_or_default();
        let lines = after[..body].matches('\n').count() + 1;
        let excused = LONG_FUNCTIONS
            .iter()
            .any(|(path, function, _)| *path == source.path && *function == name);
        if lines > FUNCTION_LINES_MAX && !excused {
            let line = source.code[..at].matches('\n').count() + 1;
            let fault =
                format!("function {name} of {lines} lines exceeds limit of {FUNCTION_LINES_MAX}");
            findings.push(Finding::at(source, line, fault));
        }
    }
    findings
}

/// Where the body of a function ends, counted from its name; nothing if it has no body.
fn body_bytes(after: &str) -> Option<usize> {
    let mut nested = 0usize;
    let mut braces = 0usize;
    for (at, c) in after.char_indices() {
        match c {
            '(' | '[' if braces == 0 => nested += 1,
            ')' | ']' if braces == 0 => nested = nested.saturating_sub(1),
            ';' if braces == 0 && nested == 0 => return None,
            '{' if nested == 0 => braces += 1,
            '}' if nested == 0 => {
                braces = braces.checked_sub(1)?;
                if braces == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Finding, Source, files_are_short, functions_are_short, lines_are_short};

    fn check(rule: fn(&Source) -> Vec<Finding>, text: &str, lines: &[usize]) {
        let found = rule(&Source::new("a/b.rs", text));
        let found_lines: Vec<usize> = found.iter().map(|finding| finding.line).collect();
        assert_eq!(found_lines, lines, "{found:?}");
    }

    #[test]
    fn finds_lines_over_100_columns() {
        let fits = "ä".repeat(100);
        check(lines_are_short, &fits, &[]);
        check(lines_are_short, &format!("{fits}\n{fits}x\n{fits}"), &[2]);
    }

    #[test]
    fn finds_files_over_500_lines() {
        check(files_are_short, &"x\n".repeat(500), &[]);
        check(files_are_short, &"x\n".repeat(501), &[0]);
    }

    #[test]
    fn finds_functions_over_70_lines() {
        let of_lines = |lines: usize| {
            let inner = "    // }\n".repeat(lines - 2);
            format!("\npub async fn f(a: [u8; 4]) -> u8\n{{\n{inner}}}\n")
        };
        check(functions_are_short, &of_lines(69), &[]);
        check(functions_are_short, &of_lines(71), &[2]);
        check(
            functions_are_short,
            &format!("{}{}", of_lines(5), of_lines(80)),
            &[9],
        );
        let declared = format!("trait T {{ fn f(&self);\n{} }}", "\n".repeat(90));
        check(functions_are_short, &declared, &[]);
        check(
            functions_are_short,
            &format!("type F = fn (u8);{}", "\n".repeat(90)),
            &[],
        );
    }
}
