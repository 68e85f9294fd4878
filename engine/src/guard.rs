//! Who may speak to this server, and who it is.
//!
//! A guard judges; it never answers, closes or logs. What lacks here on purpose: the transport a
//! peer came on, and the protocol it speaks.

pub mod network;
pub mod origin;
pub mod principal;
