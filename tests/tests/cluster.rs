//! Clusters: the adapter to NATS against a real server, and several nodes with one bus.

#[path = "cluster/bus.rs"]
mod bus;
