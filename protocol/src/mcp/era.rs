//! The two ways of speaking MCP.

/// Which lifecycle a message belongs to, decided for every message from its own body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Era {
    /// Up to 2025-11-25: `initialize`, then a session.
    Legacy,
    /// From 2026-07-28: no session, every request carries its claim in `params._meta`.
    Modern,
}
