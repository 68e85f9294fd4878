//! What each room must not name: the absences the architecture is made of.

use super::paths::named_paths;
use super::source::{Finding, Source};

/// A set of rooms, and what they do not name.
struct Absence {
    /// Beginnings of paths of files.
    rooms: &'static [&'static str],
    /// Files among them that may.
    exempt: &'static [&'static str],
    /// Beginnings of Rust paths.
    names: &'static [&'static str],
    /// Why, as the end of a sentence that starts with the name.
    because: &'static str,
}

const ABSENCES: &[Absence] = &[
    Absence {
        rooms: &["engine/src/mcp", "engine/src/catalog", "engine/src/handler"],
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
    Absence {
        rooms: &["engine/src/transport", "engine/src/io", "engine/src/files"],
        exempt: &[],
        names: &[
            "corelane_protocol",
            "crate::mcp",
            "crate::catalog",
            "crate::connection",
        ],
        because: "is of MCP, which what moves bytes does not know",
    },
    Absence {
        rooms: &["protocol/src/"],
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
    Absence {
        rooms: &["engine/", "protocol/", "tests/"],
        exempt: &[
            "engine/src/io/executor.rs",
            "engine/src/io/executor/file.rs",
        ],
        names: &["glommio"],
        because: "is named by io/executor only",
    },
];

/// No file names what its room is not to know. Code for tests may.
#[must_use]
pub fn rooms_name_only_what_they_may(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let paths = named_paths(&source.production);
    for absence in ABSENCES {
        let inside = absence.rooms.iter().any(|room| is_in(&source.path, room));
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

/// Whether `path` is the file of `room` or below it: `a/b` has `a/b.rs` and `a/b/c.rs`.
fn is_in(path: &str, room: &str) -> bool {
    let after = path.strip_prefix(room);
    after.is_some_and(|after| room.ends_with('/') || after.starts_with('/') || after == ".rs")
}

#[cfg(test)]
mod tests {
    use super::rooms_name_only_what_they_may;
    use crate::tidy::Source;

    fn check(path: &str, code: &str, faults: usize) {
        let found = rooms_name_only_what_they_may(&Source::new(path, code));
        assert_eq!(found.len(), faults, "{path}: {code}: {found:?}");
    }

    #[test]
    fn accepts_what_a_room_may_name() {
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
            "engine/src/io/executor.rs",
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
    fn finds_meaning_where_bytes_are_moved() {
        check(
            "engine/src/io/ring.rs",
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
