//! A message for a stream of HTTP+SSE that came in the POST of another connection.

use std::fmt;

use corelane_io::slots::SlotKey;

use crate::mcp::{Exchange, ForwardedBody};

/// Names a stream of HTTP+SSE: its connection, and random bits that only its client knows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamId {
    /// The shard of the connection.
    pub(crate) shard: u16,
    /// The connection.
    pub(crate) slot: SlotKey,
    /// Cannot be guessed.
    pub(crate) random: u128,
}

/// A message on its way from one connection to the stream that it belongs to.
#[derive(Debug)]
pub(crate) struct PostedMessage {
    /// The POST, which waits for its status.
    pub(crate) exchange: Exchange,
    /// The stream.
    pub(crate) stream: StreamId,
    /// The principal of the POST.
    pub(crate) principal: Option<Box<str>>,
    /// The message.
    pub(crate) body: ForwardedBody,
}

/// Digits of the parts of an id.
const DIGITS: [usize; 4] = [4, 8, 8, 32];

impl StreamId {
    /// The id as it is in a URI.
    pub(super) fn to_text(self) -> String {
        let SlotKey { index, generation } = self.slot;
        let (shard, random) = (self.shard, self.random);
        format!("{shard:04x}{index:08x}{generation:08x}{random:032x}")
    }

    /// Reads an id; `None` for anything this server never made.
    pub(super) fn parse(text: &str) -> Option<StreamId> {
        let mut rest = text;
        let mut part = |digits: usize| {
            let (part, after) = rest.split_at_checked(digits)?;
            rest = after;
            let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            part.bytes().all(is_hex).then_some(())?;
            u128::from_str_radix(part, 16).ok()
        };
        let [shard, index, generation, random] = DIGITS;
        let slot = (part(shard)?, part(index)?, part(generation)?);
        let random = part(random)?;
        rest.is_empty().then_some(StreamId {
            shard: slot.0 as u16,
            slot: SlotKey {
                index: slot.1 as u32,
                generation: slot.2 as u32,
            },
            random,
        })
    }
}

/// A log must not allow its reader to take over a stream.
impl fmt::Debug for StreamId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "StreamId({:04x}, {:?}..)", self.shard, self.slot)
    }
}

#[cfg(test)]
mod tests {
    use super::StreamId;
    use corelane_io::slots::SlotKey;

    #[test]
    fn an_id_is_read_back_and_nothing_else_is() {
        let id = StreamId {
            shard: 0xbeef,
            slot: SlotKey {
                index: 7,
                generation: u32::MAX,
            },
            random: 0x0123_4567 << 90,
        };
        let text = id.to_text();
        assert_eq!(StreamId::parse(&text), Some(id));
        assert!(!format!("{id:?}").contains("1234"));
        let other = text.replace('f', "F");
        for text in [
            "",
            "+",
            &text[1..],
            &format!("{text}0"),
            &other,
            &"é".repeat(26),
        ] {
            assert_eq!(StreamId::parse(text), None, "{text}");
        }
    }
}
