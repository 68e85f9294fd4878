//! The test harness: a real server process, real sockets, and types for requests and answers.
//!
//! Everything here is blocking and bounded in time, and panics with the received data when the
//! server does not behave as expected: that is how a test fails. The harness has its own HTTP and
//! MCP and shares no code with the server, so that a fault of one is not hidden by the other. Every
//! message that arrives on a [`Connection`] is checked against the official schema of its revision,
//! also where the test does not look at it. It deliberately lacks a client for use outside tests.

pub mod certificates;
pub mod client;
pub mod conformance;
pub mod connection;
pub mod event_stream;
pub mod http;
pub mod http_channel;
pub mod lines;
pub mod link;
pub mod liveness_probe;
pub mod mock_upstream;
pub mod nats;
pub mod process;
pub mod request;
pub mod scrape;
pub mod secret;
pub mod server;
pub mod session;
pub mod stdio;
pub mod tidy;
pub mod timeouts;
pub mod totals;
pub mod websocket;
pub mod wire_schema;

mod channel_checker;
mod schema_checker;

pub use certificates::Authority;
pub use client::{Channel, Client};
pub use connection::{Connection, ReadError};
pub use event_stream::{EventStream, Item};
pub use http::Response;
pub use http_channel::HttpChannel;
pub use lines::Lines;
pub use liveness_probe::LivenessProbe;
pub use nats::NatsServer;
pub use request::Request;
pub use scrape::Scrape;
pub use secret::write_secret;
pub use server::{Ended, Server, Setup, binary};
pub use session::Session;
pub use stdio::StdioServer;
pub use timeouts::{PATIENCE, wait_until, wait_within};
pub use totals::Totals;
pub use websocket::WebSocket;
