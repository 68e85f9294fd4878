//! The meaning of messages: sessions, calls and their answers, in both eras.
//!
//! An [`Endpoint`] is one shard's MCP server. A message goes one way through this folder:
//!
//! ```text
//! endpoint      whole messages in, deliveries out: the table of contents
//! decoding      large messages, which are decoded by the pool and come back
//! services      routes (modern, legacy, batch, channel) from methods to operations
//! operations    start, call_admission, endings, call_events, session_streams, task_requests,
//!               task_relaying, kept_result,
//!               task_updates, task_watching, listening, broadcasting, notifier: each borrows the
//!               services it uses
//! services' state  calls, rate_limits, sessions, streams, subscriptions, tasks, questions, outbox
//! names         exchange, delivery, disposition, inbound, ids
//! ```
//!
//! A file imports from the lines below its own, never from above; a test checks that. To add a
//! notification, send its message through the [`notifier`](self) from the operation that has its
//! trigger; to add a method, add its route and an operation.

mod age_list;
mod ahead;
mod audit;
mod batches;
mod broadcasting;
mod call_admission;
mod call_events;
mod call_result;
mod call_shares;
mod call_shedding;
mod call_table;
mod calls;
mod clustered;
mod context;
mod cursor;
mod decoding;
mod delivery;
mod disposition;
mod endings;
mod endpoint;
mod event_store;
mod exchange;
mod features;
mod forward_budget;
mod handler_kind;
mod holder_lists;
mod home_id;
mod inbound;
mod kept_result;
mod large_message;
mod listening;
mod notifier;
mod operation;
mod outbox;
mod parked;
mod permissions;
mod questions;
mod rate_limits;
mod relayed_input;
mod relayed_task;
mod relaying;
mod requester;
mod server_parts;
mod services;
mod session_id;
mod session_streams;
mod sessions;
mod settings;
mod start;
mod streams;
mod subscriptions;
mod sums;
mod task_id;
mod task_relaying;
mod task_requests;
mod task_table;
mod task_updates;
mod task_watch;
mod task_watching;
mod tasks;
mod timestamp;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use call_shedding::SERVED_ONE_OF_MAX;
pub(crate) use decoding::{Decoded, Undecoded};
pub(crate) use delivery::{Delivery, Part};
pub(crate) use disposition::{Disposition, Forwarded, ForwardedKind};
pub(crate) use endpoint::handover::session_of;
pub(crate) use endpoint::{Endpoint, Output};
pub(crate) use event_store::EventId;
#[cfg(test)]
pub(crate) use exchange::Opening;
pub(crate) use exchange::{Exchange, StreamOf, StreamOwner};
pub(crate) use forward_budget::ForwardedBody;
pub(crate) use inbound::{Channel, Inbound};
pub(crate) use large_message::LargeMessage;
pub(crate) use permissions::write_refusal;
pub(crate) use requester::Requester;
pub(crate) use server_parts::ServerParts;
#[cfg(any(test, feature = "measure"))]
pub(crate) use session_id::NamedSession;
pub(crate) use session_id::{NewSession, SessionId};
#[cfg(feature = "measure")]
pub(crate) use sessions::{SessionLimits, Sessions};
pub(crate) use settings::EndpointSettings;
pub(crate) use task_watch::TaskWatchMessage;
pub(crate) use timestamp::rfc3339;
