//! The files that the rules read, and the findings of a rule.

use std::fmt;
use std::fs;
use std::path::Path;

use super::mask::{code_only, production_only};

/// A file of the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its path from the root of the repository, with slashes.
    pub path: String,
    /// Its contents.
    pub text: String,
    /// The text with comments, strings and characters blanked out, line by line as long.
    pub code: String,
    /// The code with parts blanked out that are compiled for tests only, line by line.
    pub production: String,
}

/// A place where a rule is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The path of the file.
    pub path: String,
    /// The line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// The broken rule.
    pub fault: String,
}

impl Finding {
    /// A fault of one line, counted from 1.
    #[must_use]
    pub fn at(source: &Source, line: usize, fault: impl Into<String>) -> Finding {
        Finding {
            path: source.path.clone(),
            line,
            fault: fault.into(),
        }
    }

    /// A fault of a whole file.
    #[must_use]
    pub fn of(source: &Source, fault: impl Into<String>) -> Finding {
        Finding::at(source, 0, fault)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.path, self.line, self.fault)
    }
}

/// Directories without code of this project, at any depth.
const SKIPPED: &[&str] = &[
    "target",
    "node_modules",
    "python_packages",
    "python_packages_2",
    "corpus",
    "artifacts",
];

impl Source {
    /// A file with this path and text.
    #[must_use]
    pub fn new(path: &str, text: &str) -> Source {
        let code = code_only(text);
        let is_test = path.contains("/tests/") || path.ends_with("/tests.rs");
        let production = if is_test {
            String::new()
        } else {
            production_only(&code)
        };
        Source {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
            production,
        }
    }

    /// All files below `root` whose name ends with one of `endings`, in order of their paths.
    ///
    /// # Panics
    /// If a directory or file cannot be read: the tests run in a checkout.
    #[must_use]
    pub fn read_all(root: &Path, endings: &[&str]) -> Vec<Source> {
        let mut found = Vec::new();
        let mut directories = vec![root.to_path_buf()];
        while let Some(directory) = directories.pop() {
            let entries = fs::read_dir(&directory)
                .unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
            for entry in entries {
                let path = entry.expect("the directory was opened").path();
                let name = path.file_name().and_then(|name| name.to_str());
                let name = name.expect("paths of the repository are UTF-8");
                if path.is_dir() {
                    if !name.starts_with('.') && !SKIPPED.contains(&name) {
                        directories.push(path);
                    }
                } else if endings.iter().any(|ending| name.ends_with(ending)) {
                    found.push(read(root, &path));
                }
            }
        }
        found.sort_by(|one, other| one.path.cmp(&other.path));
        found
    }

    /// Whether the file is Rust.
    #[must_use]
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

fn read(root: &Path, path: &Path) -> Source {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let path = path.strip_prefix(root).expect("the path is below the root");
    Source::new(
        path.to_str().expect("paths of the repository are UTF-8"),
        &text,
    )
}
