//! Measuring Corelane, and any other MCP server.
//!
//! | module | contents |
//! |---|---|
//! | [`load`] | `corelane-load`: drives a server over HTTP and measures it |
//! | [`micro`] | micro-benchmarks: the parts of one request, lanes and look-ups, each alone |
//! | [`environment`] | the machine, the build and the load that belong to every figure |
//!
//! Invariant: no number leaves this crate unless the result of the timed work was
//! checked, and none without its environment.

pub mod environment;
pub mod load;
pub mod micro;
