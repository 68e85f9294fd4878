//! The role of one core.

use serde::{Deserialize, Serialize};

/// The work of the server on a core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CoreRole {
    /// A shard has the core.
    #[default]
    Shard,
    /// The threads around the shards: the I/O of handlers, and watching files. No shard.
    Control,
    /// The threads that handlers move work to. No shard.
    Offload,
    /// The core is left to other programs.
    None,
}

impl CoreRole {
    /// Its name in a profile.
    pub fn as_str(self) -> &'static str {
        match self {
            CoreRole::Shard => "shard",
            CoreRole::Control => "control",
            CoreRole::Offload => "offload",
            CoreRole::None => "none",
        }
    }

    pub(super) fn is_shard(&self) -> bool {
        *self == CoreRole::Shard
    }
}
