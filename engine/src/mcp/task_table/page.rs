//! Pages of a list of tasks.

use super::task::Task;
use crate::mcp::home_id::read_hex;

/// Some of an owner's tasks, in the order they were made.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    /// The tasks.
    pub(crate) tasks: Vec<&'a Task>,
    /// Where to go on, if there is more.
    pub(crate) next: Option<ListCursor>,
}

/// The end of a page. It stays valid for any change of the tasks: the next page begins with the
/// first one made later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListCursor {
    /// The last task listed.
    pub(super) ordinal: u64,
}

/// Bytes of a cursor on the wire.
const CURSOR_BYTES: usize = 16;

impl ListCursor {
    /// Reads a cursor as it is on the wire; `None` for anything this server never writes.
    pub(crate) fn parse(text: &[u8]) -> Option<ListCursor> {
        let digits: &[u8; CURSOR_BYTES] = text.try_into().ok()?;
        let ordinal = u64::from_be_bytes(read_hex(digits)?);
        Some(ListCursor { ordinal })
    }

    /// The cursor as it is on the wire: hex digits, which mean nothing to a peer.
    pub(crate) fn to_text(self) -> String {
        format!("{:016x}", self.ordinal)
    }
}

#[cfg(test)]
mod tests {
    use super::ListCursor;

    #[test]
    fn a_cursor_is_read_back_from_its_text_and_nothing_else_is() {
        for ordinal in [0, 1, 0xabcd << 33, u64::MAX] {
            let cursor = ListCursor { ordinal };
            assert_eq!(ListCursor::parse(cursor.to_text().as_bytes()), Some(cursor));
        }
        for text in [
            "",
            "0",
            "00000000000000001",
            "000000000000000A",
            "+000000000000001",
        ] {
            assert_eq!(ListCursor::parse(text.as_bytes()), None, "{text}");
        }
    }
}
