//! Simulates clusters of Corelane: the real core of each node, on a virtual clock, from one seed.
//!
//! A run injects faults, checks the invariants at each step, then lets the cluster become whole and
//! checks that it did. The same seed gives the same events.

mod bus;
mod checks;
mod client;
mod clients;
mod event;
mod faults;
mod host;
mod injure;
mod node;
mod operator;
pub mod options;
mod rng;
pub mod seeds;
mod settle;
mod store;
pub mod world;

pub use checks::Finding;
pub use faults::{Fault, Kind};
