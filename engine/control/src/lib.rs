//! The control side of access: the configuration, the keys of issuers, and introspections.
//!
//! | module | part |
//! |---|---|
//! | [`config`] | `corelane.toml`, checked as a whole |
//! | [`secret`] | secrets from files and the environment |
//! | [`control`] | the thread that does all of the following, and its snapshots |
//! | [`event`] | the events of that thread |
//! | [`schedule`] | when the keys of an issuer are fetched and dropped, without clock and network |
//! | [`gate`] | the answers to shards that request keys |
//! | [`introspection`] | opaque tokens in flight, and their results |
//! | [`discovery`] | the metadata of an issuer |
//! | [`requests`] | the requests to an issuer |
//! | [`fetch`] | requests without redirects, to checked addresses, with bounds |
//! | [`address`] | the addresses that requests may go to |
//! | [`probe`] | one fetch of the keys of each issuer, for commands |
//! | [`admin`] | a Unix socket for the commands of an administrator |
//! | [`observe`] | a listener that only answers GET, for metrics and the dashboard |
//! | [`dashboard`] | the page that shows the metrics in a browser |
//! | [`otlp`] | spans on their way to a collector |
//! | [`counters`] | counts for metrics |
//!
//! It knows the guard and nothing of the engine: it makes snapshots of
//! [`Access`](corelane_guard::access::Access), and takes requests of shards.

pub mod address;
pub mod admin;
pub mod config;
pub mod control;
pub mod counters;
pub mod dashboard;
pub mod discovery;
pub mod event;
pub mod fetch;
mod file;
pub mod gate;
mod http_thread;
pub mod introspection;
mod issuer;
pub mod observe;
pub mod otlp;
pub mod probe;
pub mod requests;
pub mod schedule;
pub mod secret;
mod shared;

pub use control::{Control, ControlError};
pub use event::ControlEvent;
pub use observe::Observer;
