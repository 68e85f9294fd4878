//! The table that explains each dependency.

use super::source::{Finding, Source};

/// Every dependency from outside has a row in a table of `docs/dependencies.md`.
///
/// The first cell of a row names it, alone or among others, and the next cell is not empty.
#[must_use]
pub fn dependencies_are_explained(manifest: &Source, table: &Source) -> Vec<Finding> {
    let rows: Vec<Vec<&str>> = table
        .text
        .lines()
        .filter_map(|line| line.trim().strip_prefix('|')?.strip_suffix('|'))
        .map(|row| row.split('|').map(str::trim).collect())
        .collect();
    let mut findings = Vec::new();
    for (line, name) in outside_dependencies(&manifest.text) {
        let explained = rows.iter().any(|row| {
            let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
            let mut names = row[0].split(|c| !is_word(c));
            names.any(|named| named == name) && row.get(1).is_some_and(|cell| !cell.is_empty())
        });
        if !explained {
            let fault = format!(
                "dependency {name} has no row in the table of {}",
                table.path
            );
            findings.push(Finding::at(manifest, line, fault));
        }
    }
    findings
}

/// Names in `[workspace.dependencies]` that are no path of this repository, with their lines.
fn outside_dependencies(manifest: &str) -> Vec<(usize, &str)> {
    let mut inside = false;
    let mut names = Vec::new();
    for (at, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            inside = line.trim() == "[workspace.dependencies]";
        }
        if let Some((name, value)) = line.split_once('=').filter(|_| inside)
            && !name.starts_with([' ', '#'])
            && !value.contains("path =")
        {
            names.push((at + 1, name.trim()));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::{Source, dependencies_are_explained};

    fn check(table: &str, lines: &[usize]) {
        let manifest = "[workspace.package]\nversion = \"1\"\n[workspace.dependencies]\n\
            own = { path = \"own\" }\n# x = 1\nitoa = \"1\"\nlibc = { version = \"1\" }\n";
        let manifest = Source::new("Cargo.toml", manifest);
        let found =
            dependencies_are_explained(&manifest, &Source::new("docs/dependencies.md", table));
        let found: Vec<usize> = found.iter().map(|finding| finding.line).collect();
        assert_eq!(found, lines, "{table}");
    }

    #[test]
    fn finds_dependencies_without_a_row() {
        check(
            "| `itoa` | integers | fastest |\n| `libc`, x | constants |\n",
            &[],
        );
        check("| `itoa` | integers |\nand `libc` too\n", &[7]);
        check("| `itoa` | |\n| `libc` |\n", &[6, 7]);
        check("", &[6, 7]);
    }
}
