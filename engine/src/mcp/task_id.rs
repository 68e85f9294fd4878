//! Task ids: 128 random bits and the shard where the task lives.

use std::fmt;

use super::home_id::{self, HOME_ID_BYTES};

/// The id of a task. For a task without an owner, knowing the id is the permission.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
// Eighteen bytes rather than thirty-two: connections and tasks hold them by the million.
#[repr(Rust, packed(2))]
pub(crate) struct TaskId {
    /// The shard that owns the task.
    pub(crate) home: u16,
    /// Cannot be guessed.
    pub(crate) random: u128,
}

impl TaskId {
    /// Reads an id as it is on the wire; `None` for anything this server never made.
    pub(crate) fn parse(text: &[u8]) -> Option<TaskId> {
        let (home, random) = home_id::parse(text)?;
        Some(TaskId { home, random })
    }

    /// The id as it is on the wire.
    pub(crate) fn to_text(self) -> [u8; HOME_ID_BYTES] {
        home_id::to_text(self.home, self.random)
    }
}

/// A log must not allow its reader to take over a task: only the home shard is shown.
impl fmt::Debug for TaskId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TaskId({:04x}..)", self.home)
    }
}

#[cfg(test)]
mod tests {
    use super::TaskId;

    #[test]
    fn is_read_back_from_its_text_and_shows_no_random_bits() {
        let (home, random) = (0xbeef, 0x0123_4567_89ab_cdef << 50);
        let id = TaskId { home, random };
        assert_eq!(TaskId::parse(&id.to_text()), Some(id));
        assert_eq!(TaskId::parse(&id.to_text()[1..]), None);
        assert_eq!(format!("{id:?}"), "TaskId(beef..)");
    }
}
