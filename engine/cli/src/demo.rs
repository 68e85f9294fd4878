//! The catalog of `corelane serve`: tools for trying a client, written against the public API only.
//! The MCP conformance suite calls the tools with `test_` in their names.

mod basic;
mod conformance;

use corelane::Server;

/// The demo server. The first tool of its list can be called without arguments.
pub(crate) fn server() -> Server {
    let server = Server::new("corelane-demo", env!("CARGO_PKG_VERSION"))
        .title("Corelane demo")
        .instructions("Tools to try a client with: echo, add, sleep, fibonacci.");
    basic::add_to(conformance::add_to(server))
}
