//! The cluster of Corelane without I/O: which processes live, which of them owns a session, and how
//! the state of sessions outlives its owner.
//!
//! [`cluster::Cluster`] is the core of one process: events in, outputs out. It lacks a clock,
//! threads and sockets, so a simulator can drive many of them through hours of faults in seconds.

pub mod cluster;
pub mod codec;
pub mod frame;
pub mod id;
mod lookup;
mod membership;
pub mod operators;
mod owners;
pub mod record;
pub mod refusal;
mod remote;
pub mod session;
pub mod settings;
pub mod sim;
pub mod store_log;
mod timers;
mod updates;
pub mod vocabulary;
mod window;

pub use cluster::MemberView;
pub use membership::Health;
pub use updates::partition_of;
