//! Links: connections to upstreams, without their sockets.
//!
//! A caller owns the sockets and the clock. It gives each event to these parts, and does what they
//! return.

mod balance;
mod budget;
mod endpoint_url;
mod http;
mod pool;

pub use balance::{Choice, Replica, choose_replica};
pub use budget::RepeatBudget;
pub use endpoint_url::{ENDPOINT_BYTES_MAX, EndpointFault, endpoint_target};
pub use http::{AnswerEnd, AnswerReader, AnswerStep, LinkFault};
pub use pool::{Assigned, IDLE_MS, IDLE_MS_MAX, Pool, PoolLimits, Released};
