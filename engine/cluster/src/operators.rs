//! Steps that an operator takes over the whole cluster: keys and levels.

use std::collections::BTreeMap;

use crate::codec::{LEVEL_MAX, LEVEL_MIN};
use crate::frame::Heartbeat;

/// Why a step of an operator is refused. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepRefused {
    /// A node cannot follow, or was not heard.
    #[error("node {0} does not have it yet: start it, and give it the key or the version first")]
    Lagging(u16),
    /// A node seals with a key that is to be dropped.
    #[error(
        "node {0} still seals with a key that is to be dropped: let it seal with another one first"
    )]
    Sealing(u16),
    /// This process does not hear the others.
    #[error("this node is isolated from the bus and cannot know the others: repair the bus first")]
    Isolated,
    /// The key is unknown here.
    #[error("this node does not have the key: add it first")]
    NoKey,
    /// The key seals, or ids that it sealed may still be in use.
    #[error("ids sealed with the key are valid for {0} more seconds: drop it after that")]
    InUse(u64),
    /// The store did not take the level.
    #[error("level outside of {LEVEL_MIN} to {LEVEL_MAX}: this version cannot read it")]
    Level,
}

/// The own facts that all heartbeats carry, and the wishes of operators.
#[derive(Debug)]
pub(crate) struct Operators {
    pub(crate) own: Heartbeat,
    /// When a key was last used for sealing, in microseconds.
    pub(crate) sealed_us: BTreeMap<u64, u64>,
    /// The level that an operator wants.
    pub(crate) wanted: u8,
    pub(crate) is_busy: bool,
}

impl Default for Operators {
    fn default() -> Operators {
        let own = Heartbeat {
            level: LEVEL_MIN,
            level_max: LEVEL_MAX,
            ..Heartbeat::default()
        };
        Operators {
            own,
            sealed_us: BTreeMap::new(),
            wanted: LEVEL_MIN,
            is_busy: false,
        }
    }
}

impl Operators {
    /// The level that records are written with.
    pub(crate) fn level(&self) -> u8 {
        self.own.level.min(LEVEL_MAX)
    }
}
