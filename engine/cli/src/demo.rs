//! The catalogs of `corelane serve`, written against the public API only.

mod basic;
mod conformance;

use clap::ValueEnum;
use corelane::Server;

/// A catalog to serve.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Demo {
    /// A few tools, a prompt and a resource to try a client with.
    #[default]
    Basic,
    /// The tools, prompts and resources that the MCP conformance suite requests by name.
    Conformance,
}

impl Demo {
    /// The server with this catalog.
    pub(crate) fn server(self) -> Server {
        let server =
            Server::new("corelane-demo", env!("CARGO_PKG_VERSION")).with_title("Corelane demo");
        match self {
            Demo::Basic => basic::add_to(server.with_instructions(
                "Tools to try a client with: echo, add, sleep, fibonacci, countdown, greet.",
            )),
            Demo::Conformance => conformance::add_to(server),
        }
    }
}
