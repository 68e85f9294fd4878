//! Why a schema is not used.

/// Why a schema is unusable.
#[derive(Debug, thiserror::Error)]
pub enum SchemaDefect {
    /// The root is not an object schema (MCP server/tools: `inputSchema` has `type: object`).
    #[error("must have \"type\": \"object\" at its root")]
    RootType,
    /// The schema is larger than a bound.
    #[error("exceeds the limit of {limit} {what}")]
    TooLarge {
        /// The name of the bounded quantity.
        what: &'static str,
        /// How much of it may be.
        limit: u64,
    },
    /// The schema is invalid in its dialect, or refers to another document.
    #[error("does not compile: {0}")]
    Invalid(String),
}
