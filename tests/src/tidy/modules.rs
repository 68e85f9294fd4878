//! Files that no module declares: the compiler never reads them.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Finding, Source};

/// Every Rust file is the root of a target, or declared by a file that is reached from one.
///
/// `manifests` are the `Cargo.toml` files: where they are, packages are, and a `path` in them names
/// a further root.
#[must_use]
pub fn every_file_is_declared(manifests: &[Source], files: &[Source]) -> Vec<Finding> {
    let by_path: BTreeMap<&str, &Source> = files
        .iter()
        .map(|file| (file.path.as_str(), file))
        .collect();
    let mut reached = BTreeSet::new();
    let mut open: Vec<String> = Vec::new();
    for manifest in manifests {
        let package = manifest.path.trim_end_matches("Cargo.toml");
        open.extend(
            files
                .iter()
                .map(|file| &file.path)
                .filter(|path| is_root(package, path))
                .cloned(),
        );
        open.extend(named_roots(package, &manifest.text));
    }
    let roots: BTreeSet<String> = open.iter().cloned().collect();
    while let Some(path) = open.pop() {
        let Some(file) = by_path.get(path.as_str()) else {
            continue;
        };
        if reached.insert(path.clone()) {
            open.extend(declared(file, roots.contains(&path)));
        }
    }
    let unreached = files
        .iter()
        .filter(|file| file.is_rust() && !reached.contains(&file.path));
    unreached
        .map(|file| Finding::of(file, "no module declares this file"))
        .collect()
}

/// Whether cargo finds this root of a target by itself.
fn is_root(package: &str, path: &str) -> bool {
    let Some(inner) = path.strip_prefix(package) else {
        return false;
    };
    let folder = inner.rsplit_once('/').map_or("", |(folder, _)| folder);
    match inner {
        "src/lib.rs" | "src/main.rs" | "build.rs" => true,
        _ => matches!(folder, "src/bin" | "tests" | "benches" | "examples"),
    }
}

/// The roots that a manifest names: `path = "a/b.rs"`.
fn named_roots(package: &str, manifest: &str) -> Vec<String> {
    let values = manifest.lines().filter_map(|line| {
        let (name, value) = line.split_once('=')?;
        let value = value.trim().trim_matches('"');
        (name.trim() == "path" && value.ends_with(".rs")).then(|| format!("{package}{value}"))
    });
    values.collect()
}

/// The files that a file's `mod` declarations name; declarations without a file are ignored.
fn declared(file: &Source, is_root: bool) -> Vec<String> {
    let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
    let below = if is_root || name == "mod.rs" {
        folder.to_owned()
    } else {
        file.path.trim_end_matches(".rs").to_owned()
    };
    let mut paths = Vec::new();
    let mut attribute: Option<&str> = None;
    for (text, code) in file.text.lines().zip(file.code.lines()) {
        if code.trim_start().starts_with("#[path") {
            attribute = text.split('"').nth(1);
        }
        let Some(declaration) = code.trim().strip_suffix(';') else {
            continue;
        };
        let mut words = declaration.split_whitespace().rev();
        if let (Some(module), Some("mod")) = (words.next(), words.next()) {
            paths.push(match attribute.take() {
                Some(path) => format!("{folder}/{path}"),
                None => format!("{below}/{module}.rs"),
            });
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::{Source, every_file_is_declared};

    fn check(files: &[(&str, &str)], undeclared: &[&str]) {
        let manifest = "[[bin]]\nname = \"x\"\npath = \"targets/x.rs\"\n";
        let manifests = [Source::new("a/Cargo.toml", manifest)];
        let files: Vec<Source> = files
            .iter()
            .map(|(path, text)| Source::new(path, text))
            .collect();
        let found = every_file_is_declared(&manifests, &files);
        let found: Vec<&str> = found.iter().map(|finding| finding.path.as_str()).collect();
        assert_eq!(found, undeclared);
    }

    #[test]
    fn accepts_files_that_are_reached_from_a_root() {
        check(
            &[
                ("a/src/lib.rs", "mod b;"),
                ("a/src/b.rs", "pub mod c;"),
                ("a/src/b/c.rs", ""),
            ],
            &[],
        );
        check(
            &[
                ("a/src/main.rs", ""),
                ("a/tests/x.rs", "mod y;"),
                ("a/tests/y.rs", ""),
            ],
            &[],
        );
        check(
            &[
                ("a/targets/x.rs", "pub(crate) mod y;"),
                ("a/targets/y.rs", ""),
            ],
            &[],
        );
        let by_path = "#[cfg(test)]\n#[path = \"b/odd.rs\"]\nmod tests;";
        let lib = ("a/src/lib.rs", "mod b;");
        check(&[lib, ("a/src/b.rs", by_path), ("a/src/b/odd.rs", "")], &[]);
    }

    #[test]
    fn finds_undeclared_files() {
        check(
            &[("a/src/lib.rs", "// mod b;"), ("a/src/b.rs", "")],
            &["a/src/b.rs"],
        );
        check(
            &[("a/src/lib.rs", "mod c {}"), ("a/src/c.rs", "")],
            &["a/src/c.rs"],
        );
        let island = [("a/src/b.rs", "mod c;"), ("a/src/b/c.rs", "")];
        check(&island, &["a/src/b.rs", "a/src/b/c.rs"]);
    }
}
