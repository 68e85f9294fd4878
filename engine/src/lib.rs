//! Corelane: a thread-per-core MCP server engine.
