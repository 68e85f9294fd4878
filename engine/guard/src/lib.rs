//! Access checks: the host and origin of a request, its principal, the share of each client in
//! tables and budgets, and the records of the audit log.
//!
//! A guard decides; it never answers, closes or logs. It deliberately lacks the transport of a
//! peer, and the protocol.

#[cfg(feature = "auth")]
pub mod access;
#[cfg(feature = "auth")]
pub mod api_key;
pub mod audit;
pub mod bits;
pub mod credential;
pub mod finding;
pub mod forwarded;
pub mod hidden;
pub mod holder;
pub mod identity;
pub mod limit;
pub mod lookalike;
pub mod looks;
#[cfg(feature = "auth")]
pub mod metadata;
pub mod network;
pub mod origin;
pub mod peer;
#[cfg(feature = "auth")]
pub mod pins;
pub mod policy;
pub mod principal;
pub mod proxies;
pub mod refusal;
pub mod shares;
pub mod subject;
#[cfg(feature = "auth")]
pub mod token;
