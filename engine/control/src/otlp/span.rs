//! Spans as the engine leaves them.

use std::sync::atomic::AtomicU64;

/// A request of MCP that was served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The id of the trace, not 0.
    pub trace_id: u128,
    /// Its own id, not 0.
    pub span_id: u64,
    /// The span that it is a part of.
    pub parent_id: Option<u64>,
    /// The flags of W3C Trace Context.
    pub flags: u8,
    /// Another span that it belongs to, as its trace and its id.
    pub link: Option<(u128, u64)>,
    /// Its name.
    pub name: String,
    /// When it began and ended, in nanoseconds since 1970.
    pub time_unix_ns: (u64, u64),
    /// Its attributes.
    pub attributes: Vec<(&'static str, AttributeValue)>,
    /// Whether it failed.
    pub is_error: bool,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeValue {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
}

/// The spans of a process by their fate.
#[derive(Debug, Default)]
pub struct SpanCounts {
    /// The collector took them.
    pub sent: AtomicU64,
    /// The collector did not take them.
    pub failed: AtomicU64,
    /// The queue was full.
    pub dropped: AtomicU64,
}
