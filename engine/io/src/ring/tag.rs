//! The tag that a submission carries to its completion: 64 bits of `user_data`.
//!
//! Layout: operation in the top 5 bits, index in the next 27, generation in the low 32. A tag owns
//! nothing and points to nothing, so a completion that comes late can at worst be stale.

use crate::slots::SlotKey;

const INDEX_BITS: u32 = 27;
/// The most an index may be.
pub(crate) const INDEX_MAX: u32 = (1 << INDEX_BITS) - 1;

/// Every operation a ring submits, and [`Op::Woken`], which other rings submit to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Op {
    Accept = 1,
    AcceptOne,
    Watch,
    Receive,
    Send,
    ShutdownWrite,
    Cancel,
    Close,
    WatchWake,
    WakeShard,
    Woken,
    Dial,
    Connect,
    Stream,
    Tick,
    LookUpPeer,
    Share,
}

const OPS: [Op; 17] = [
    Op::Accept,
    Op::AcceptOne,
    Op::Watch,
    Op::Receive,
    Op::Send,
    Op::ShutdownWrite,
    Op::Cancel,
    Op::Close,
    Op::WatchWake,
    Op::WakeShard,
    Op::Woken,
    Op::Dial,
    Op::Connect,
    Op::Stream,
    Op::Tick,
    Op::LookUpPeer,
    Op::Share,
];

/// The unpacked form of `user_data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) op: Op,
    /// A slot, the listener of [`Op::Accept`] and [`Op::AcceptOne`], or for [`Op::Send`],
    /// [`Op::Dial`], [`Op::Connect`] and [`Op::LookUpPeer`] a place in `flight`; 0 where there is
    /// none of them.
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl Tag {
    pub(crate) fn of(op: Op) -> Tag {
        Tag {
            op,
            index: 0,
            generation: 0,
        }
    }

    /// Of an accept from the listener with this number.
    pub(crate) fn for_listener(op: Op, listener: u8) -> Tag {
        Tag {
            index: u32::from(listener),
            ..Tag::of(op)
        }
    }

    pub(crate) fn for_slot(op: Op, key: SlotKey) -> Tag {
        Tag {
            op,
            index: key.index,
            generation: key.generation,
        }
    }

    /// The listener that an accept is from.
    pub(crate) fn listener(self) -> u8 {
        self.index as u8
    }

    /// Whether the operation behind this one belongs to the same chain.
    pub(crate) fn is_link(self) -> bool {
        self.op == Op::Dial
    }

    pub(crate) fn key(self) -> SlotKey {
        SlotKey {
            index: self.index,
            generation: self.generation,
        }
    }

    pub(crate) fn pack(self) -> u64 {
        u64::from(self.high()) << 32 | u64::from(self.generation)
    }

    /// The operation and the index, packed; never 0.
    pub(crate) fn high(self) -> u32 {
        assert!(self.index <= INDEX_MAX, "index {} in a tag", self.index);
        (self.op as u32) << INDEX_BITS | self.index
    }

    /// Nothing if no ring of ours made this.
    pub(crate) fn unpack(user_data: u64) -> Option<Tag> {
        Tag::from_high((user_data >> 32) as u32, user_data as u32)
    }

    /// The tag whose [`Tag::high`] is `high`; none for 0.
    pub(crate) fn from_high(high: u32, generation: u32) -> Option<Tag> {
        let op = ((high >> INDEX_BITS) as usize).checked_sub(1)?;
        Some(Tag {
            op: *OPS.get(op)?,
            index: high & INDEX_MAX,
            generation,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{INDEX_MAX, OPS, Tag};

    fn check(index: u32, generation: u32) {
        for op in OPS {
            let tag = Tag {
                op,
                index,
                generation,
            };
            assert_eq!(Tag::unpack(tag.pack()), Some(tag));
        }
    }

    #[test]
    fn comes_back_as_it_went() {
        check(0, 0);
        check(1, 2);
        check(INDEX_MAX, u32::MAX);
    }

    #[test]
    fn a_foreign_number_is_no_tag() {
        assert_eq!(Tag::unpack(0), None);
        assert_eq!(Tag::unpack(u64::from(u32::MAX)), None);
    }
}
