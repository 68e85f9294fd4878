//! The catalog of `corelane serve`: tools to try a client with, written against the public API
//! only. The `test_` ones are what the MCP conformance suite calls.

mod basic;
mod conformance;

use corelane::Server;

/// The demo server. The first tool of its list can be called without arguments.
pub(crate) fn server() -> Server {
    let server = Server::new("corelane-demo", env!("CARGO_PKG_VERSION"))
        .with_title("Corelane demo")
        .with_instructions("Tools to try a client with: echo, add, sleep, fibonacci.");
    basic::add_to(conformance::add_to(server))
}
