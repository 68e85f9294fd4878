//! Event ids: the place of an event, which a client sends back in `Last-Event-ID`.
//!
//! The text is `home-stream-sequence` in lower-case hex: four digits of the home shard, then the
//! two numbers without leading zeros. An id names a place and authorizes nothing.

use crate::mcp::home_id::{HOME_DIGITS, read_hex};

/// The number of a stream, never used twice on its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StreamId(pub(in crate::mcp) u64);

/// Names an event among all there ever were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventId {
    /// The shard that keeps the stream.
    pub(crate) home: u16,
    /// The stream.
    pub(crate) stream: StreamId,
    /// How many events of the stream came before.
    pub(crate) sequence: u64,
}

/// Digits of the largest number.
const NUMBER_DIGITS_MAX: usize = 16;

impl EventId {
    /// Reads an id as it is on the wire; `None` for anything this server never writes.
    pub(crate) fn parse(text: &[u8]) -> Option<EventId> {
        let (home, rest) = text.split_first_chunk::<HOME_DIGITS>()?;
        let mut parts = rest.strip_prefix(b"-")?.split(|byte| *byte == b'-');
        let (stream, sequence) = (parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        Some(EventId {
            home: u16::from_be_bytes(read_hex(home)?),
            stream: StreamId(read_number(stream)?),
            sequence: read_number(sequence)?,
        })
    }

    /// The id as it is on the wire: visible ASCII, at most 38 bytes.
    pub(crate) fn to_text(self) -> String {
        let EventId {
            home,
            stream: StreamId(stream),
            sequence,
        } = self;
        format!("{home:04x}-{stream:x}-{sequence:x}")
    }
}

/// A number without leading zeros, so that each id has one text only.
fn read_number(digits: &[u8]) -> Option<u64> {
    let is_canonical = match digits {
        [] => false,
        [b'0', rest @ ..] => rest.is_empty(),
        _ => digits.len() <= NUMBER_DIGITS_MAX,
    };
    if !is_canonical {
        return None;
    }
    let mut padded = [b'0'; NUMBER_DIGITS_MAX];
    padded[NUMBER_DIGITS_MAX - digits.len()..].copy_from_slice(digits);
    read_hex(&padded).map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::{EventId, StreamId};

    fn id(home: u16, stream: u64, sequence: u64) -> EventId {
        EventId {
            home,
            stream: StreamId(stream),
            sequence,
        }
    }

    #[test]
    fn ids_are_read_back_from_their_text() {
        let cases = [
            (id(0, 0, 0), "0000-0-0"),
            (id(0xa, 0x10, 0xff), "000a-10-ff"),
            (
                id(u16::MAX, u64::MAX, u64::MAX),
                "ffff-ffffffffffffffff-ffffffffffffffff",
            ),
        ];
        for (id, expected) in cases {
            assert_eq!(id.to_text(), expected);
            assert_eq!(EventId::parse(expected.as_bytes()), Some(id));
        }
    }

    #[test]
    fn other_text_is_no_id() {
        for text in [
            "",
            "0001",
            "0001-",
            "0001-1",
            "0001-1-",
            "0001--1",
            "0001-1-1-",
            "0001-1-1-1",
            "001-1-1",
            "00001-1-1",
            "0001-01-1",
            "0001-1-00",
            "0001-A-1",
            "000A-1-1",
            "0001-+1-1",
            "0001-1-0x1",
            "0001-1-1 ",
            " 0001-1-1",
            "0001-1-10000000000000000",
            "0001_1-1",
        ] {
            assert_eq!(EventId::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_changed_byte_makes_another_id_or_none() {
        let good = id(0x12, 0x34, 0x56);
        let written = good.to_text();
        for at in 0..written.len() {
            for byte in (0..=u8::MAX).filter(|byte| *byte != written.as_bytes()[at]) {
                let mut changed = written.clone().into_bytes();
                changed[at] = byte;
                if let Some(id) = EventId::parse(&changed) {
                    assert_ne!(id, good);
                    assert_eq!(id.to_text().into_bytes(), changed);
                }
            }
        }
    }
}
