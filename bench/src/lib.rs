//! Measuring Corelane, and any other MCP server.
//!
//! | room | what is in it |
//! |---|---|
//! | [`load`] | `corelane-load`: drives a server over HTTP and says what it saw |
//! | [`micro`] | micro-benchmarks: the parts of one request and of one core, each alone |
//! | [`environment`] | the machine, the build and the load that belong to every figure |
//!
//! Invariant: no number leaves this crate without the answer of the work it timed having been
//! checked, and none without its environment.

pub mod environment;
pub mod load;
pub mod micro;
