//! The documents: how long the README is, where links lead, whether JSON in them is JSON.

use std::path::Path;

use super::source::{Finding, Source};

/// Lines of the README. Details belong to `docs/`.
const README_LINES_MAX: usize = 249;

/// The README is short.
#[must_use]
pub fn readme_is_short(source: &Source) -> Vec<Finding> {
    let lines = source.text.lines().count();
    if source.path != "README.md" || lines <= README_LINES_MAX {
        return Vec::new();
    }
    let fault = format!("README of {lines} lines exceeds limit of {README_LINES_MAX}: use docs/");
    vec![Finding::of(source, fault)]
}

/// Each relative link leads to a file or folder of the repository, and to a heading if it has a
/// fragment.
#[must_use]
pub fn links_resolve(root: &Path, source: &Source) -> Vec<Finding> {
    let own = root.join(&source.path);
    let folder = own.parent().unwrap_or(root);
    let mut findings = Vec::new();
    for (line, target) in links(&source.text) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
        let file = if path.is_empty() {
            own.clone()
        } else {
            folder.join(path)
        };
        if !file.exists() {
            findings.push(Finding::at(
                source,
                line,
                format!("link leads nowhere: {target}"),
            ));
        } else if !fragment.is_empty() && !has_heading(&file, fragment) {
            findings.push(Finding::at(
                source,
                line,
                format!("no such heading: {target}"),
            ));
        }
    }
    findings
}

/// Each block that is marked as JSON is JSON.
#[must_use]
pub fn json_blocks_are_json(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut block: Option<(usize, String)> = None;
    for (at, line) in source.text.lines().enumerate() {
        match &mut block {
            None if line.trim() == "```json" => block = Some((at + 1, String::new())),
            None => {}
            Some((start, text)) if line.trim() == "```" => {
                if let Err(error) = serde_json::from_str::<serde_json::Value>(text) {
                    findings.push(Finding::at(source, *start, format!("not JSON: {error}")));
                }
                block = None;
            }
            Some((_, text)) => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    findings
}

/// The targets of links in Markdown, outside of code blocks, with their lines.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut is_code = false;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        if is_code {
            continue;
        }
        for part in line.split("](").skip(1) {
            if let Some((target, _)) = part.split_once(')') {
                found.push((at + 1, target));
            }
        }
    }
    found
}

/// Whether a Markdown file has a heading with the fragment that renderers make of it.
fn has_heading(file: &Path, fragment: &str) -> bool {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    headings
        .map(|heading| heading.trim_start_matches('#').trim().to_lowercase())
        .map(|heading| {
            let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
            heading.chars().filter(kept).collect::<String>()
        })
        .any(|heading| heading.replace(' ', "-") == fragment)
}

#[cfg(test)]
mod tests {
    use super::{Finding, Source, json_blocks_are_json, links_resolve, readme_is_short};

    fn lines(found: &[Finding]) -> Vec<usize> {
        found.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn finds_a_long_readme() {
        let long = "x\n".repeat(250);
        assert_eq!(readme_is_short(&Source::new("README.md", &long)).len(), 1);
        assert!(readme_is_short(&Source::new("docs/long.md", &long)).is_empty());
        let fits = "x\n".repeat(249);
        assert!(readme_is_short(&Source::new("README.md", &fits)).is_empty());
    }

    #[test]
    fn finds_links_that_lead_nowhere() {
        let root = tempfile::tempdir().expect("a folder can be made");
        std::fs::create_dir(root.path().join("docs")).expect("a folder can be made");
        std::fs::write(root.path().join("a.md"), "# One `two`, three\n").expect("a file");
        let text = "[a](../a.md) [b](../b.md)\n[c](../a.md#one-two-three)\n[d](../a.md#four)\n\
            [e](https://example.com/x.md)\n```\n[f](g.md)\n```\n[h](../docs)\n";
        let found = links_resolve(root.path(), &Source::new("docs/x.md", text));
        assert_eq!(lines(&found), [1, 3], "{found:?}");
    }

    #[test]
    fn finds_blocks_that_are_not_json() {
        let text = "```json\n{ \"a\": 1 }\n```\n```json\n{ a: 1 }\n```\n```sh\n{\n```\n";
        let found = json_blocks_are_json(&Source::new("a.md", text));
        assert_eq!(lines(&found), [4], "{found:?}");
    }
}
