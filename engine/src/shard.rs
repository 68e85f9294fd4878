//! One core: its ring, its connections, its endpoint, and the loop that drives them.
//!
//! A shard shares nothing that is ever written: what others want of it comes through lanes, what
//! it wants of others goes there. Its loop is in [`run`]; what a turn does is in the files beside.

pub(crate) mod accept;
pub(crate) mod connections;
pub(crate) mod control;
pub(crate) mod decoded;
pub(crate) mod delivery;
pub(crate) mod drain;
pub(crate) mod message;
pub(crate) mod overflow;
pub(crate) mod reading;
pub(crate) mod run;
pub(crate) mod shedding;
pub(crate) mod start;
#[cfg(test)]
mod tests;
pub(crate) mod work;

pub(crate) use control::ShardControl;
pub(crate) use message::ShardMessage;
pub(crate) use start::{Intake, ShardPlan, spawn};
