//! The events that a running server waits for.

use crate::transport::stdio::StdioError;

/// The events that a running server waits for.
#[derive(Debug)]
pub(crate) enum Event {
    /// A signal to end.
    Signal,
    /// The parent of the process sends no more, or its messages cannot be read.
    InputEnded(Option<StdioError>),
    /// Another process serves in the place of this one.
    HandedOver,
    /// A shard ended.
    ShardEnded,
}
