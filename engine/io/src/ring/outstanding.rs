//! The operations under way on each direct descriptor, so that none outlives its descriptor.
//!
//! The kernel looks a direct descriptor up when an operation runs. Most run when they are
//! submitted, but a shutdown runs on a worker thread, and the link of a chain after the link before
//! it. If the descriptor is closed and given to another connection in between, they act on that
//! connection. So a descriptor is closed after the last completion of every operation on it, and
//! `Closed` is the last completion of its key.
//!
//! Cost: eight bytes for each descriptor that was ever used, and no search, for any number of
//! connections. The table is reserved as a whole and touched as far as descriptors were used.

use super::tag::{Op, Tag};
use crate::slots::SlotKey;
use std::ops::Range;

/// Descriptors whose counts are initialised at a time.
const GROWTH_SLOTS: usize = 64;
/// The bit of [`OnSlot::brief`] that says that the descriptor is to be closed.
const CLOSING: u16 = 1 << 15;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    slots: Vec<OnSlot>,
    /// The indexes of the ring's descriptors.
    indexes: Range<u32>,
    /// How many of them, the first ones, accepts take.
    acceptable: u32,
    /// Those of the acceptable ones that were opened, up to the completion of their close.
    open: u32,
    /// Descriptors between [`Outstanding::begin_close`] and [`Outstanding::closed`].
    closing: usize,
}

/// The operations of one descriptor.
#[derive(Clone, Copy, Debug, Default)]
struct OnSlot {
    /// The upper half of the tag of the send or the dialling under way; 0 without one.
    transfer: u32,
    /// Operations that end by themselves: receives that do not wait, shutdowns, look-ups. And
    /// [`CLOSING`].
    brief: u16,
    watches: u8,
    streams: u8,
}

impl Outstanding {
    /// No operations on any of the descriptors with these indexes.
    pub(super) fn new(indexes: Range<u32>, acceptable: u32) -> Outstanding {
        Outstanding {
            slots: Vec::with_capacity(indexes.len()),
            indexes,
            acceptable,
            open: 0,
            closing: 0,
        }
    }

    /// The place in the ring's table of the descriptor `index`.
    pub(super) fn place(&self, index: u32) -> u32 {
        index - self.indexes.start
    }

    /// The descriptors of the ring that accepts take.
    pub(super) fn acceptable(&self) -> u32 {
        self.acceptable
    }

    /// Those that were opened and not closed.
    pub(super) fn open(&self) -> u32 {
        self.open
    }

    /// A descriptor was opened at `place` in the ring's table. Returns its index.
    pub(super) fn opened(&mut self, place: u32) -> u32 {
        self.open += u32::from(place < self.acceptable);
        self.indexes.start + place
    }

    /// Counts an operation on the descriptor `index`.
    ///
    /// # Panics
    /// If the descriptor is being closed, or has a second send.
    pub(super) fn begin(&mut self, tag: Tag, index: u32) {
        let slot = self.slot(index);
        assert!(
            !slot.is_closing(),
            "{:?} after the close of {index}",
            tag.op
        );
        match tag.op {
            Op::Watch => slot.watches = one_more(slot.watches),
            Op::Stream => slot.streams = one_more(slot.streams),
            Op::Receive | Op::ShutdownWrite | Op::LookUpPeer | Op::Share => {
                slot.brief += 1;
                assert!(!slot.is_closing(), "{CLOSING} operations on {index}");
            }
            Op::Send | Op::Connect => {
                assert_eq!(slot.transfer, 0, "a second {:?} on {index}", tag.op);
                slot.transfer = tag.high();
            }
            op => unreachable!("{op:?} is no operation on a descriptor"),
        }
    }

    /// Takes an operation off the descriptor `index`. Returns whether it was the last one of a
    /// descriptor that is to be closed.
    pub(super) fn end(&mut self, op: Op, index: u32) -> bool {
        let slot = self.slot(index);
        match op {
            Op::Watch => slot.watches -= 1,
            Op::Stream => slot.streams -= 1,
            Op::Receive | Op::ShutdownWrite | Op::LookUpPeer | Op::Share => {
                assert!(slot.brief & !CLOSING > 0, "{op:?} ended twice on {index}");
                slot.brief -= 1;
            }
            Op::Send | Op::Connect => slot.transfer = 0,
            op => unreachable!("{op:?} is no operation on a descriptor"),
        }
        slot.is_closing() && slot.is_clear()
    }

    /// Forbids further operations on the descriptor. Returns whether it has none under way.
    ///
    /// # Panics
    /// If it is being closed already.
    pub(super) fn begin_close(&mut self, index: u32) -> bool {
        self.closing += 1;
        let slot = self.slot(index);
        assert!(!slot.is_closing(), "{index} is closed twice");
        slot.brief |= CLOSING;
        slot.is_clear()
    }

    /// The close itself is queued: later operations belong to the next connection.
    pub(super) fn reset(&mut self, index: u32) {
        let slot = self.slot(index);
        assert!(slot.is_clear(), "{index} is closed with {slot:?}");
        *slot = OnSlot::default();
    }

    /// The close of the descriptor `index` completed.
    pub(super) fn closed(&mut self, index: u32) {
        self.closing -= 1;
        self.open -= u32::from(self.place(index) < self.acceptable);
    }

    /// Descriptors whose close has not completed.
    pub(super) fn closing(&self) -> usize {
        self.closing
    }

    /// Whether the descriptor waits for its last operation before it is closed.
    pub(super) fn is_closing(&self, index: u32) -> bool {
        let slot = self.used_slot(index);
        slot.is_some_and(|slot| slot.is_closing())
    }

    /// Whether an operation on the descriptor `index` that ends by itself has not completed.
    pub(super) fn has_brief(&self, index: u32) -> bool {
        let slot = self.used_slot(index);
        slot.is_some_and(|slot| slot.brief & !CLOSING > 0)
    }

    /// Whether the descriptor `index` is polled.
    pub(super) fn is_watched(&self, index: u32) -> bool {
        self.used_slot(index).is_some_and(|slot| slot.watches > 0)
    }

    /// Whether the descriptor `index` has no operation under way but polls.
    pub(super) fn is_at_rest(&self, index: u32) -> bool {
        let slot = self.used_slot(index);
        slot.is_none_or(|slot| {
            OnSlot {
                watches: 0,
                ..*slot
            }
            .is_clear()
        })
    }

    /// The operations on the descriptor of `key` that may wait for ever.
    pub(super) fn waiting(&self, key: SlotKey) -> impl Iterator<Item = Tag> + use<> {
        let slot = self.used_slot(key.index);
        let slot = slot.copied().unwrap_or_default();
        let watch = (slot.watches > 0).then(|| Tag::for_slot(Op::Watch, key));
        let stream = (slot.streams > 0).then(|| Tag::for_slot(Op::Stream, key));
        let transfer = Tag::from_high(slot.transfer, key.generation);
        [watch, stream, transfer].into_iter().flatten()
    }

    /// The operations of a descriptor that was used before.
    fn used_slot(&self, index: u32) -> Option<&OnSlot> {
        self.slots.get(self.place(index) as usize)
    }

    fn slot(&mut self, index: u32) -> &mut OnSlot {
        let index = self.place(index) as usize;
        if index >= self.slots.len() {
            let ready = (index + 1).next_multiple_of(GROWTH_SLOTS);
            self.slots.resize(ready, OnSlot::default());
        }
        &mut self.slots[index]
    }
}

impl OnSlot {
    fn is_closing(&self) -> bool {
        self.brief & CLOSING != 0
    }

    fn is_clear(&self) -> bool {
        let brief = self.brief & !CLOSING;
        self.transfer == 0 && brief == 0 && self.watches == 0 && self.streams == 0
    }
}

fn one_more(count: u8) -> u8 {
    count.checked_add(1).expect("a few armed operations")
}
