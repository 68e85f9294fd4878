//! Names of files relative to the root, as a URI gives them after percent-decoding.
//!
//! The kernel would contain names that are refused here as well. They are refused first because
//! a file must have one name: `a//b`, `./a/b` and `c/../a/b` would be further resources.

use super::error::FilesError;
use super::limits::DirectoryLimits;

/// The longest component of any file system, NAME_MAX, in bytes.
const COMPONENT_BYTES_MAX: usize = 255;

/// Whether `relative` can be the name of a file: components between single slashes.
///
/// # Errors
/// [`FilesError::NotFound`] otherwise: there is no file of such a name.
pub(super) fn check(relative: &str, limits: &DirectoryLimits) -> Result<(), FilesError> {
    let names_a_file = relative.len() <= limits.path_bytes_max
        && relative
            .split('/')
            .all(|component| is_component(component) && limits.is_shown(component));
    if names_a_file {
        Ok(())
    } else {
        Err(FilesError::NotFound)
    }
}

/// Whether an entry of a directory can have this name; `.` and `..` are not entries.
fn is_component(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && name.len() <= COMPONENT_BYTES_MAX && !name.contains('\0')
}

/// The name of `name` within `directory`, which is empty for the root.
pub(super) fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() {
        return name.to_owned();
    }
    format!("{directory}/{name}")
}

/// The number of directories between the root and `directory`, which counts; the root has 0.
pub(super) fn depth(directory: &str) -> usize {
    if directory.is_empty() {
        return 0;
    }
    directory.split('/').count()
}

#[cfg(test)]
mod tests {
    use super::{DirectoryLimits, check, depth, join};

    #[test]
    fn distinguishes_names_of_files_from_other_text() {
        let limits = DirectoryLimits {
            path_bytes_max: 600,
            ..DirectoryLimits::default()
        };
        let longest_component = "c".repeat(255);
        let longest = format!("{longest_component}/{longest_component}/{}", "c".repeat(88));
        for name in [
            "a",
            "a/b/c.txt",
            "a b/ü/日本.md",
            "...",
            "a..",
            "a\\..\\b",
            "a\nb",
            &longest_component,
            &longest,
        ] {
            let limits = DirectoryLimits {
                shows_hidden: true,
                ..limits.clone()
            };
            check(name, &limits).unwrap_or_else(|error| panic!("{name:?}: {error}"));
        }
        for name in [
            "",
            "/",
            "/etc/passwd",
            "a/",
            "a//b",
            ".",
            "..",
            "./a",
            "a/.",
            "a/./b",
            "../a",
            "a/..",
            "a/../b",
            "a\0b",
            "\0",
            "a/.git/config",
            ".env",
            &format!("{longest_component}c"),
            &format!("{longest}c"),
        ] {
            check(name, &limits).expect_err(name);
        }
    }

    #[test]
    fn joins_and_counts() {
        for (directory, joined, directories) in [("", "x", 0), ("a", "a/x", 1), ("a/b", "a/b/x", 2)]
        {
            assert_eq!(join(directory, "x"), joined);
            assert_eq!(depth(directory), directories);
        }
    }
}
