//! Imports point down only: the table of layers of the engine.
//!
//! The table orders folders. That the files inside of a folder have an order too is the rule of
//! [`circles`](super::circles): where none of them imports itself, such an order exists.

use super::paths::named_paths;
use super::source::{Finding, Source};

/// The modules of the engine, from the ground up. A module may name those of lower layers.
const LAYERS: &[&[&str]] = &[
    &["guard"],
    &["profile", "meter", "breaker"],
    &["transport", "handler", "handover", "live", "log", "audit"],
    &["access", "cluster", "files", "upstream"],
    &["catalog"],
    &["mcp"],
    &["connection"],
    &["shard"],
    &["server"],
    &["arguments", "measure"],
];

/// Where the engine's modules are.
const ENGINE: &str = "engine/src/";
/// The root of the library, which declares the modules and belongs to none of them.
const ROOTS: &[&str] = &["lib.rs", "main.rs"];

/// Each file of the engine names other modules only if they are on a lower layer.
#[must_use]
pub fn imports_point_down(source: &Source) -> Vec<Finding> {
    let Some(inner) = source.path.strip_prefix(ENGINE) else {
        return Vec::new();
    };
    if ROOTS.contains(&inner) {
        return Vec::new();
    }
    let parts: Vec<&str> = inner.trim_end_matches(".rs").split('/').collect();
    let module = parts[0];
    let Some(layer) = layer_of(module) else {
        return vec![Finding::of(
            source,
            format!("module {module} is on no layer"),
        )];
    };
    let mut findings = Vec::new();
    for path in named_paths(&source.code) {
        let supers = path
            .parts
            .iter()
            .take_while(|part| *part == "super")
            .count();
        let named = match path.parts.first().map(String::as_str) {
            Some("crate") => path.parts.get(1),
            Some("super") if supers >= parts.len() + path.inline_depth => path.parts.get(supers),
            _ => None,
        };
        let Some(named) = named.filter(|named| *named != module) else {
            continue;
        };
        let below = layer_of(named).is_some_and(|other| other < layer);
        if layer_of(named).is_some() && !below {
            let fault = format!("{module} names {named}, which is not on a lower layer");
            findings.push(Finding::at(source, path.line, fault));
        }
    }
    findings
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

#[cfg(test)]
mod tests {
    use super::imports_point_down;
    use crate::tidy::Source;

    fn check(path: &str, code: &str, faults: usize) {
        let found = imports_point_down(&Source::new(path, code));
        assert_eq!(found.len(), faults, "{path}: {code}: {found:?}");
    }

    #[test]
    fn accepts_imports_of_lower_layers() {
        check(
            "engine/src/mcp/dispatch.rs",
            "use crate::catalog::Catalog;",
            0,
        );
        check(
            "engine/src/mcp/dispatch.rs",
            "use crate::mcp::Session; use super::endpoint;",
            0,
        );
        check(
            "engine/src/shard.rs",
            "use crate::{io::Ring, connection::Http};",
            0,
        );
        check("engine/src/files/list.rs", "use crate::handler::Call;", 0);
        check("engine/src/lib.rs", "pub use crate::server::Server;", 0);
        check("bench/src/lib.rs", "use crate::server::Server;", 0);
        check(
            "engine/src/guard/origin.rs",
            "// use crate::server::Server;",
            0,
        );
        check("engine/src/guard/origin.rs", "use super::super::guard;", 0);
        check("engine/src/guard.rs", "mod tests { use super::shard; }", 0);
        check("engine/src/guard.rs", "use crate::Result;", 0);
    }

    #[test]
    fn finds_imports_that_do_not_point_down() {
        check("engine/src/guard/origin.rs", "use crate::shard::Shard;", 1);
        check(
            "engine/src/guard/origin.rs",
            "use crate::profile::Profile;",
            1,
        );
        check("engine/src/files.rs", "use crate::catalog::Catalog;", 1);
        check(
            "engine/src/guard/origin.rs",
            "use super::super::mcp::Session;",
            1,
        );
        check(
            "engine/src/guard.rs",
            "mod tests { use super::super::shard; }",
            1,
        );
        check(
            "engine/src/catalog/tool.rs",
            "use crate::{guard, mcp::Session};",
            1,
        );
        check(
            "engine/src/server.rs",
            "fn f() { crate::measure::run() }",
            1,
        );
        check("engine/src/attic/x.rs", "", 1);
    }
}
