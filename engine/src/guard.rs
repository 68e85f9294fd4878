//! Access checks: the host and origin of a request, and its principal.
//!
//! A guard decides; it never answers, closes or logs. It deliberately lacks the transport of a
//! peer, and the protocol.

pub mod network;
pub mod origin;
pub mod principal;
