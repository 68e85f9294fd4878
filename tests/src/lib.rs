//! The test harness: a real server process, real sockets, and words to talk about them.
//!
//! Everything here is blocking and bounded in time, and panics with what it saw when the server
//! does something else than expected: that is how a test fails. The harness knows HTTP and MCP on
//! its own and shares no code with the server, so that a fault of one is not hidden by the other.
//! Every message that arrives on a [`Connection`] is held to the official schema of its revision,
//! whatever the test looks at. What it deliberately lacks: a client anybody should use outside
//! tests.

pub mod conformance;
pub mod connection;
pub mod event_stream;
pub mod http;
pub mod liveness_probe;
pub mod request;
pub mod server;
pub mod session;
pub mod tidy;
pub mod timeouts;
pub mod wire_schema;

mod schema_checker;

pub use connection::{Connection, ReadError};
pub use event_stream::{EventStream, Item};
pub use http::Response;
pub use liveness_probe::LivenessProbe;
pub use request::Request;
pub use server::{Server, Setup};
pub use session::Session;
pub use timeouts::{PATIENCE, wait_until};
