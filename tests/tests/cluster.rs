//! Clusters: the adapter to NATS against a real server, and several nodes with one bus.
//!
//! It needs the NATS server that `perf-scripts/test.sh` installs. Nodes behind a proxy are in
//! `interop/clustered.rs`.

#[path = "cluster/alone.rs"]
mod alone;
#[path = "cluster/bus.rs"]
mod bus;
#[path = "cluster/changes.rs"]
mod changes;
#[path = "cluster/nodes.rs"]
mod nodes;
#[path = "cluster/operators.rs"]
mod operators;
#[path = "cluster/test_cluster.rs"]
mod test_cluster;
