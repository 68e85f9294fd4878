//! Files that import each other: none of them can be read, tested or moved alone.
//!
//! The rule: each Rust file is a module. A file that names a path imports the file that defines
//! the last item of the path which is one of this crate; a re-export is followed to where the item
//! is defined. `mod child;` imports nothing, nor does a re-export of a name that the file does not
//! use itself: they only say where something is found. Code under `#[cfg(test)]` does not count.

use std::collections::{BTreeMap, BTreeSet};

use super::paths::{NamedPath, named_paths};
use super::source::{Finding, Source};

/// Most re-exports that are followed from a path to the definition.
const REEXPORTS_MAX: usize = 16;

/// No file of the crate below `folder` imports itself through others; one finding a circle.
#[must_use]
pub fn imports_have_no_circles(folder: &str, sources: &[Source]) -> Vec<Finding> {
    let modules = Modules::of(folder, sources);
    let imports = modules.imports();
    let circles = circles(&imports);
    let finding = |circle| modules.finding(&imports, circle);
    circles.iter().map(finding).collect()
}

/// The imports of a file: the other files, each with the first path that names it.
type Imports<'a> = BTreeMap<usize, BTreeMap<usize, &'a NamedPath>>;

/// One file of the crate.
struct File<'a> {
    source: &'a Source,
    /// The names of the modules from the root of the crate to this one.
    module: Vec<String>,
    paths: Vec<NamedPath>,
}

impl File<'_> {
    /// Whether the file itself uses the `name` that it exports.
    fn uses(&self, name: &str) -> bool {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let words = self.source.production.split(|c| !is_part(c));
        words.filter(|word| *word == name).nth(1).is_some()
    }
}

/// The modules of a crate.
struct Modules<'a> {
    files: Vec<File<'a>>,
    by_module: BTreeMap<Vec<String>, usize>,
}

impl<'a> Modules<'a> {
    fn of(folder: &str, sources: &'a [Source]) -> Modules<'a> {
        let inside = |source: &'a Source| {
            let inner = source.path.strip_prefix(folder)?.strip_suffix(".rs")?;
            let is_test = source.path.contains("/tests/") || inner.ends_with("/tests");
            (!is_test).then(|| File {
                source,
                module: match inner {
                    "lib" | "main" => Vec::new(),
                    _ => inner.split('/').map(str::to_owned).collect(),
                },
                paths: named_paths(&source.production),
            })
        };
        let files: Vec<File<'a>> = sources.iter().filter_map(inside).collect();
        let by_module = files.iter().enumerate();
        let by_module = by_module.map(|(index, file)| (file.module.clone(), index));
        Modules {
            by_module: by_module.collect(),
            files,
        }
    }

    fn imports(&self) -> Imports<'_> {
        let mut imports = Imports::new();
        for (index, file) in self.files.iter().enumerate() {
            let of_file = imports.entry(index).or_default();
            for path in &file.paths {
                if path
                    .import
                    .as_ref()
                    .is_some_and(|it| it.is_exported && !file.uses(&it.name))
                {
                    continue;
                }
                let defined = self.defining_file(index, path, REEXPORTS_MAX);
                if let Some(other) = defined.filter(|other| *other != index) {
                    of_file.entry(other).or_insert(path);
                }
            }
        }
        imports
    }

    /// The file that defines the target of `path` in the file `from`; none if it is of another
    /// crate.
    fn defining_file(&self, from: usize, path: &NamedPath, follow: usize) -> Option<usize> {
        let module = &self.files[from].module;
        let (first, rest) = path.parts.split_first()?;
        match first.as_str() {
            "crate" => self.walk(&[], rest, follow),
            "self" => self.walk(module, rest, follow),
            "super" => {
                let supers = path.parts.iter().take_while(|part| *part == "super");
                let supers = supers.count();
                let up = supers.saturating_sub(path.inline_depth);
                let above = &module[..module.len().checked_sub(up)?];
                self.walk(above, &path.parts[supers..], follow)
            }
            _ => {
                let child = [module.as_slice(), std::slice::from_ref(first)].concat();
                if self.by_module.contains_key(&child) {
                    return self.walk(&child, rest, follow);
                }
                // A name that the file has imported: the rest of the path goes on from there.
                let import = self.import_of(from, first).filter(|it| *it != path)?;
                let mut longer = import.clone();
                longer.parts.extend_from_slice(rest);
                self.defining_file(from, &longer, follow.checked_sub(1)?)
            }
        }
    }

    /// The file that defines `rest`, seen from the module `from`.
    fn walk(&self, from: &[String], rest: &[String], follow: usize) -> Option<usize> {
        let file = *self.by_module.get(from)?;
        let Some(name) = rest.first().filter(|name| *name != "self") else {
            return Some(file);
        };
        let child = [from, std::slice::from_ref(name)].concat();
        if self.by_module.contains_key(&child) {
            return self.walk(&child, &rest[1..], follow);
        }
        let Some(import) = self.import_of(file, name) else {
            return Some(file);
        };
        let mut longer = import.clone();
        longer.parts.extend_from_slice(&rest[1..]);
        self.defining_file(file, &longer, follow.checked_sub(1)?)
    }

    /// The declaration by which a file knows `name`.
    fn import_of(&self, file: usize, name: &str) -> Option<&NamedPath> {
        let named = |path: &&NamedPath| path.import.as_ref().is_some_and(|it| it.name == name);
        self.files[file].paths.iter().find(named)
    }

    /// A circle as its author has to see it: each import from one file of it to another.
    fn finding(&self, imports: &Imports<'_>, circle: &BTreeSet<usize>) -> Finding {
        let mut fault = format!("{} files import each other", circle.len());
        for file in circle {
            for (other, path) in imports[file].iter().filter(|it| circle.contains(it.0)) {
                let (file, other) = (self.files[*file].source, self.files[*other].source);
                let (line, name) = (path.line, path.text());
                fault += &format!("\n    {}:{line}: {name} is in {}", file.path, other.path);
            }
        }
        let first = circle
            .first()
            .map_or("", |file| &self.files[*file].source.path);
        Finding {
            path: first.to_owned(),
            line: 0,
            fault,
        }
    }
}

/// The sets of files of which each reaches each other.
fn circles(imports: &Imports<'_>) -> Vec<BTreeSet<usize>> {
    let reached: BTreeMap<usize, BTreeSet<usize>> = imports
        .keys()
        .map(|file| (*file, reached_from(*file, imports)))
        .collect();
    let mut circles = Vec::new();
    let mut seen = BTreeSet::new();
    for file in imports.keys() {
        let circle: BTreeSet<usize> = reached[file]
            .iter()
            .copied()
            .filter(|other| reached[other].contains(file))
            .collect();
        if !circle.is_empty() && seen.insert(circle.clone()) {
            circles.push(circle);
        }
    }
    circles
}

/// The files that `file` imports, and those that they import in turn.
fn reached_from(file: usize, imports: &Imports<'_>) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut open = vec![file];
    while let Some(next) = open.pop() {
        let further = imports[&next].keys();
        open.extend(further.filter(|other| reached.insert(**other)));
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::imports_have_no_circles;
    use crate::tidy::{Finding, Source};

    fn found(files: &[(&str, &str)]) -> Vec<Finding> {
        let root = [("lib.rs", "")];
        let sources: Vec<Source> = root
            .iter()
            .chain(files)
            .map(|(path, text)| Source::new(&format!("c/src/{path}"), text))
            .collect();
        imports_have_no_circles("c/src/", &sources)
    }

    fn check(files: &[(&str, &str)], circles: usize) {
        let found = found(files);
        assert_eq!(found.len(), circles, "{files:?}: {found:?}");
    }

    #[test]
    fn accepts_imports_in_one_direction() {
        check(&[("a.rs", "use crate::b::B;"), ("b.rs", "use c::D;")], 0);
        // A parent that only declares its child and says where the child's items are found.
        let parent = "mod b; pub use b::B; pub struct A;";
        check(&[("a.rs", parent), ("a/b.rs", "use super::A;")], 0);
        // The parent says where the items of one child are found for another.
        let parent = "mod b; mod c; pub(crate) use c::C; use b::B;";
        let child = ("a/b.rs", "use super::C;");
        check(&[("a.rs", parent), child, ("a/c.rs", "pub struct C;")], 0);
        // Visibilities, comments and tests import nothing.
        let a = ("a.rs", "use crate::b::B;");
        check(&[a, ("b.rs", "pub(in crate::a) fn f() {}")], 0);
        check(&[a, ("b.rs", "//! See [`crate::a::A`].")], 0);
        check(
            &[a, ("b.rs", "#[cfg(test)]\nmod t { use crate::a::A; }")],
            0,
        );
        check(&[a, ("b/tests.rs", "use crate::a::A;"), ("b.rs", "")], 0);
    }

    #[test]
    fn finds_files_that_import_each_other() {
        let a = ("a.rs", "use crate::b::B;");
        check(&[a, ("b.rs", "use super::a::A;")], 1);
        check(&[a, ("b.rs", "fn f() { crate::a::f() }")], 1);
        check(&[a, ("b.rs", "mod t { use super::super::a::A; }")], 1);
        let three = [a, ("b.rs", "use crate::c::C;"), ("c.rs", "use crate::a;")];
        check(&three, 1);
        let two = [("c.rs", "use crate::d::D;"), ("d.rs", "use crate::c::C;")];
        check(&[a, ("b.rs", "use crate::a::A;"), two[0], two[1]], 2);
    }

    #[test]
    fn finds_a_parent_and_a_child_that_import_each_other() {
        let child = ("a/b.rs", "use super::A;");
        check(&[("a.rs", "mod b; use b::B;"), child], 1);
        check(&[("a.rs", "mod b; fn f() { b::f() }"), child], 1);
        // A file imports the names that it exports and uses.
        check(&[("a.rs", "pub use b::B; mod b; fn f(b: B) {}"), child], 1);
    }

    #[test]
    fn follows_reexports_to_the_definition() {
        let facade = ("f.rs", "pub use super::a::A as Name;");
        let a = ("a.rs", "pub struct A; use crate::b::B;");
        check(&[facade, a, ("b.rs", "use crate::f::Name;")], 1);
        check(&[facade, a, ("b.rs", "use crate::f; type B = f::Name;")], 1);
        // A name that leads back to itself ends.
        check(&[("a.rs", "use b::c; use c::b;")], 0);
    }

    #[test]
    fn a_circle_is_shown_with_its_files_and_lines() {
        let files = [("a.rs", "use crate::b::B;"), ("b.rs", "\nuse super::a::A;")];
        assert_eq!(
            found(&files)[0].to_string(),
            "c/src/a.rs:0: 2 files import each other\n    \
             c/src/a.rs:1: crate::b::B is in c/src/b.rs\n    \
             c/src/b.rs:2: super::a::A is in c/src/a.rs"
        );
    }
}
