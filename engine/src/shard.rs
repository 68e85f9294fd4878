//! One core: its ring, its connections, its endpoint, and the loop that drives them.
//!
//! A shard shares no memory that is written: messages from and to other shards go through lanes.
//! Its loop is in [`run`]; the steps of a turn are in the files beside.

pub(crate) mod accept;
mod accepting;
pub(crate) mod address_counts;
pub(crate) mod admission;
mod announced;
pub(crate) mod arrivals;
mod breaker_change;
mod busy_poll;
pub(crate) mod call_shedding;
pub(crate) mod connections;
pub(crate) mod control;
pub(crate) mod deaths;
pub(crate) mod decoded;
pub(crate) mod delivery;
pub(crate) mod drain;
pub(crate) mod error;
mod handed;
mod handover;
mod inspected;
pub(crate) mod inspection;
pub(crate) mod jobs;
pub(crate) mod kept;
mod linked;
mod links;
pub(crate) mod lives;
pub(crate) mod loop_delay;
pub(crate) mod memory;
pub(crate) mod message;
mod order;
pub(crate) mod overflow;
mod posts;
pub(crate) mod proxied;
pub(crate) mod reading;
mod rechecking;
mod rechecks;
pub(crate) mod run;
#[cfg(feature = "tls")]
pub(crate) mod secured;
mod sending;
mod settings;
mod shedding;
pub(crate) mod start;
mod taking_over;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
pub(crate) mod tls;
#[cfg(not(feature = "tls"))]
pub(crate) mod unsecured;
#[cfg(not(feature = "tls"))]
pub(crate) mod without_tls;
pub(crate) mod work;

pub(crate) use control::ShardControl;
pub(crate) use message::ShardMessage;
#[cfg(feature = "tls")]
pub(crate) use secured::{Secured, TlsSource};
pub(crate) use start::{Intake, ShardPlan, spawn};
#[cfg(not(feature = "tls"))]
pub(crate) use unsecured::{Secured, TlsSource};
