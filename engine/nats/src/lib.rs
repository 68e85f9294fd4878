//! The bus and the store of a cluster of Corelane: NATS and JetStream.
//!
//! | module | part |
//! |---|---|
//! | [`bus`] | the connection of a node: messages to other processes, and events for the core |
//! | [`schema`] | the two buckets, made by `corelane cluster init` and checked by each node |
//! | [`settings`] | where the servers are, and how they know this node |
//!
//! It is the bus and the store that [`corelane_cluster`] requires, and decides nothing. It reads no
//! message: the caller seals and opens them. A node never creates, changes or deletes a bucket.
//!
//! Traps of the client, each with a test (`tests/tests/cluster/bus.rs`): a subscription that is
//! full drops messages, which [`BusEvent::Lagged`] reports; publishing waits while the client is
//! disconnected, so that a queue of our own stands before it; the delay before a reconnect has no
//! jitter, and pings come once a minute; and an acknowledgement that is lost with its connection
//! leaves the outcome of a write unknown.

pub mod bus;
pub mod schema;
pub mod settings;
mod store;

pub use bus::{Bus, BusEvent};
pub use schema::{SchemaError, create};
pub use settings::{ConnectError, Settings};
