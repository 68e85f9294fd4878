//! A server on rmcp, the MCP library most Rust servers are written with, with the tools `echo` and
//! `add` of Corelane's demo, over Streamable HTTP on `/mcp`.
//!
//! Two binaries, because the allocator belongs to the binary: `rmcp-as-examples` is the result
//! of following rmcp's examples ([`as_examples`]), `rmcp-at-best` the best result of
//! settings alone ([`at_best`]). Both are linked as Corelane is (fat LTO, one codegen unit), and
//! run on one thread: see `hosting`.
//!
//! rmcp 3.9 knows revision 2026-07-28. It serves a request that claims it in `_meta` without a
//! session with any settings, checks `MCP-Protocol-Version`, `Mcp-Method` and `Mcp-Name`
//! against the body, and answers with `resultType`, so both servers get the same bytes and mean the
//! same by them. An answer of a session is always a stream of events there: its JSON answers are
//! for requests without one. Hence the two modes:
//!
//! - [`Mode::Stateless`] has no sessions and answers JSON, in every revision.
//! - [`Mode::Stateful`] opens a session at `initialize` of a revision before 2026-07-28.
//!
//! It lacks logging, which rmcp's examples turn on at debug level and which would be measured
//! instead of rmcp; deadlines and limits beyond rmcp's own; graceful shutdown. rmcp ends a session
//! that was idle for five minutes in both builds.

pub mod as_examples;
pub mod at_best;
#[cfg(test)]
mod tests;
mod tools;

use std::io;
use std::net::SocketAddr;

use axum::Router;
use clap::{Parser, ValueEnum};
use rmcp::transport::streamable_http_server::StreamableHttpServerConfig;

/// The handling of requests of revisions that have sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// They are served without a session, and simple calls are answered in JSON.
    Stateless,
    /// `initialize` opens a session, and calls are answered with a stream of events.
    Stateful,
}

impl Mode {
    /// The settings in rmcp's README for the mode; sessions are its default.
    fn settings(self) -> StreamableHttpServerConfig {
        match self {
            Self::Stateless => StreamableHttpServerConfig::default()
                .with_legacy_session_mode(false)
                .with_json_response(true),
            Self::Stateful => StreamableHttpServerConfig::default(),
        }
    }
}

/// Serves echo and add by rmcp over Streamable HTTP on /mcp, on one thread.
#[derive(Parser)]
struct Options {
    /// Where to listen: a loopback address; port 0 for any free one.
    #[arg(long, default_value = "127.0.0.1:0", value_parser = hosting::loopback_address)]
    listen: SocketAddr,
    /// Whether revisions that have sessions get one.
    #[arg(long, value_enum, default_value_t = Mode::Stateless)]
    mode: Mode,
}

/// Reads the command line and serves the router of the mode until the process is killed.
///
/// # Errors
/// The runtime cannot be made, or the address is taken.
pub fn run(router: impl FnOnce(Mode) -> Router) -> io::Result<()> {
    let options = Options::parse();
    hosting::serve(options.listen, router(options.mode), hosting::say_ready)
}
