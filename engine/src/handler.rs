//! The interface for tool authors: a call, its arguments, a result, and nothing of the wire.
//!
//! A handler never learns its transport, era or shard. It reports through [`Call`]; the dispatcher
//! encodes its return value.

pub(crate) mod activity;
pub(crate) mod call;
pub(crate) mod caller_info;
pub(crate) mod elicitation;
pub(crate) mod error;
pub(crate) mod event_queue;
mod form;
pub(crate) mod input;
pub(crate) mod offload;
pub(crate) mod outcome;
pub(crate) mod output;
mod progress;
pub(crate) mod rounds;
pub(crate) mod runner;
pub(crate) mod runtime;
pub(crate) mod state;
pub(crate) mod type_schema;
mod waiters;
pub(crate) mod wakers;

pub use call::{Call, Cancellation};
pub use caller_info::{EXPOSED_HEADERS_MAX, ExposedHeaderError};
pub use corelane_io::executor::sleep;
pub use elicitation::{Elicitation, Elicited, Root, Sampled, Sampling};
pub use error::{CallError, HandlerError};
pub use input::{CompleteRequest, ReadRequest};
pub use output::{IntoContents, IntoPromptResult, IntoToolResult, Structured, Suggestions};
pub use progress::{Progress, ProgressFuture};
pub use rounds::ONCE_BYTES_MAX;

#[cfg(test)]
mod tests;
