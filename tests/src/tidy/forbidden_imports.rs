//! The imports that each module must not have.

use super::paths::named_paths;
use super::source::{Finding, Source};

/// A set of modules, and the imports that they must not have.
struct ForbiddenImport {
    /// Beginnings of paths of files.
    modules: &'static [&'static str],
    /// Files among them that may.
    exempt: &'static [&'static str],
    /// Beginnings of Rust paths.
    names: &'static [&'static str],
    /// Why, as the end of a sentence that starts with the name.
    because: &'static str,
}

const FORBIDDEN_IMPORTS: &[ForbiddenImport] = &[
    ForbiddenImport {
        modules: &["engine/src/mcp", "engine/src/catalog", "engine/src/handler"],
        exempt: &[],
        names: &[
            "crate::io::ring",
            "crate::io::Ring",
            "crate::transport",
            "std::net",
            "std::os::fd",
            "socket2",
            "io_uring",
            "libc",
        ],
        because: "is of sockets, which meaning does not know",
    },
    ForbiddenImport {
        modules: &["engine/src/mcp", "engine/src/catalog"],
        exempt: &[],
        names: &["corelane_protocol::framing"],
        because: "is of a transport's framing, which meaning does not know",
    },
    ForbiddenImport {
        modules: &["engine/src/transport", "engine/io/src/", "engine/src/files"],
        exempt: &[],
        names: &[
            "corelane_protocol",
            "crate::mcp",
            "crate::catalog",
            "crate::connection",
        ],
        because: "is of MCP, which what moves bytes does not know",
    },
    ForbiddenImport {
        modules: &["protocol/src/", "engine/cluster/src/"],
        exempt: &[],
        names: &[
            "std::net",
            "std::thread",
            "std::fs",
            "std::io",
            "std::process",
            "std::time::Instant",
            "std::time::SystemTime",
            "time::Instant",
            "time::SystemTime",
            "tokio",
            "glommio",
        ],
        because: "is not sans-io",
    },
    ForbiddenImport {
        modules: &["engine/", "protocol/", "tests/"],
        exempt: &[
            "engine/io/src/executor.rs",
            "engine/io/src/executor/file.rs",
        ],
        names: &["glommio"],
        because: "is named by io/executor only",
    },
];

/// No file has an import that is forbidden for its module. Code for tests may.
#[must_use]
pub fn forbidden_imports_are_absent(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let paths = named_paths(&source.production);
    for absence in FORBIDDEN_IMPORTS {
        let inside = absence
            .modules
            .iter()
            .any(|module| is_in(&source.path, module));
        if !inside || absence.exempt.contains(&source.path.as_str()) {
            continue;
        }
        for path in &paths {
            if absence.names.iter().any(|name| path.is_under(name)) {
                let fault = format!("{} {}", path.text(), absence.because);
                findings.push(Finding::at(source, path.line, fault));
            }
        }
    }
    findings
}

/// Whether `path` is the file of `module` or below it: `a/b` has `a/b.rs` and `a/b/c.rs`.
fn is_in(path: &str, module: &str) -> bool {
    let after = path.strip_prefix(module);
    after.is_some_and(|after| module.ends_with('/') || after.starts_with('/') || after == ".rs")
}

#[cfg(test)]
mod tests {
    use super::forbidden_imports_are_absent;
    use crate::tidy::Source;

    fn check(path: &str, code: &str, faults: usize) {
        let found = forbidden_imports_are_absent(&Source::new(path, code));
        assert_eq!(found.len(), faults, "{path}: {code}: {found:?}");
    }

    #[test]
    fn accepts_allowed_imports() {
        check(
            "engine/src/mcp/session.rs",
            "use crate::io::slots::Slot;",
            0,
        );
        check(
            "engine/src/mcp_client/session.rs",
            "use std::net::TcpStream;",
            0,
        );
        check("engine/src/transport/tcp.rs", "use std::net::TcpStream;", 0);
        check(
            "engine/io/src/executor.rs",
            "use glommio::LocalExecutor;",
            0,
        );
        check("protocol/src/limits.rs", "use std::time::Duration;", 0);
        check(
            "protocol/src/limits.rs",
            "#[cfg(test)]\nmod tests { use std::thread; }",
            0,
        );
        check(
            "protocol/src/jsonrpc/tests.rs",
            "use std::thread::Builder;",
            0,
        );
        check(
            "protocol/src/limits.rs",
            "//! Not `std::net::TcpStream`.",
            0,
        );
    }

    #[test]
    fn finds_sockets_where_meaning_is() {
        check("engine/src/mcp/session.rs", "use crate::io::ring::Ring;", 1);
        check(
            "engine/src/catalog.rs",
            "use std::net::{IpAddr, TcpStream};",
            2,
        );
        check(
            "engine/src/handler/call.rs",
            "fn f(s: socket2::Socket) {}",
            1,
        );
    }

    #[test]
    fn finds_framing_where_meaning_is() {
        let import = "use corelane_protocol::framing::http1::RequestHead;";
        check("engine/src/mcp/calls.rs", import, 1);
        check("engine/src/mcp/tests/test_endpoint.rs", import, 0);
        check("engine/src/connection/http.rs", import, 0);
        let nested = "use corelane_protocol::{binding::claims::Claims, framing::sse};";
        check("engine/src/mcp.rs", nested, 1);
    }

    #[test]
    fn finds_meaning_where_bytes_are_moved() {
        check(
            "engine/io/src/ring.rs",
            "use corelane_protocol::mcp::tools;",
            1,
        );
        check(
            "engine/src/transport/tcp.rs",
            "use corelane_protocol::binding;",
            1,
        );
        check(
            "engine/src/files/list.rs",
            "use corelane_protocol::mcp::content;",
            1,
        );
    }

    #[test]
    fn finds_clocks_threads_and_sockets_in_the_protocol() {
        check(
            "protocol/src/a.rs",
            "use std::time::{Duration, Instant};",
            1,
        );
        check(
            "protocol/src/a.rs",
            "use std::time;\nfn f() { time::Instant::now() }",
            1,
        );
        check(
            "protocol/src/a.rs",
            "fn f() { std::thread::spawn(g); std::net::x() }",
            2,
        );
    }

    #[test]
    fn finds_the_executor_named_elsewhere() {
        check("engine/src/shard/run.rs", "use glommio::spawn_local;", 1);
    }
}
